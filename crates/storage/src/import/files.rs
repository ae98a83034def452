//! The files of a partition's directory, after an interrupted compaction was taken into account.

use super::FileAction;
use super::error::ImportError;
use super::scan::{Scan, Scanner};
use crate::kafka_files::names::{FileStage, SegmentFile, SegmentFileKind};
use afluente_env::disk::Disk;
use afluente_protocol::numbers::Offset;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The files that count, by the names that they will have, and where they are now.
#[derive(Debug, Default)]
pub(super) struct Files {
    live: BTreeMap<(Offset, SegmentFileKind), Found>,
    /// What has to be done so that they have these names.
    pub(super) actions: Vec<FileAction>,
    pub(super) notes: Vec<String>,
}

/// A file as it lies in the directory.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) len: u64,
    pub(super) modified_ms: i64,
}

impl Files {
    /// Lists a directory by Kafka's rules.
    ///
    /// Compaction writes `.cleaned` files, renames all of them to `.swap` when they are complete,
    /// gives up the segments that they replace, and takes `.swap` from the names. So a `.cleaned`
    /// file is worth nothing, and neither is a `.swap` file at or behind one: the renaming was not
    /// finished. Any other `.swap` file counts, and the segments whose offsets it spans do not.
    pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Self, ImportError> {
        let mut all: BTreeMap<SegmentFile, Found> = BTreeMap::new();
        let failed = |source| ImportError::io("list", dir, source);
        for entry in disk.read_dir(dir).map_err(failed)?.into_iter().filter(|entry| !entry.is_dir) {
            let Some(file) = SegmentFile::parse(&entry.name) else { continue };
            let failed = |source| ImportError::io("look at", &entry.path, source);
            let Some(metadata) = disk.metadata(&entry.path).map_err(failed)? else { continue };
            let modified_ms = i64::try_from(metadata.modified_ns / 1_000_000).unwrap_or(0);
            all.insert(file, Found { path: entry.path.clone(), len: metadata.len, modified_ms });
        }
        let mut files = Self::default();
        let cleaned = all.keys().filter(|file| file.stage == FileStage::Cleaned);
        let first_cleaned = cleaned.map(|file| file.base).min();
        let is_swap = |file: &SegmentFile| {
            file.stage == FileStage::Swap && first_cleaned.is_none_or(|first| file.base < first)
        };
        let replaced = files.replaced_by_swaps(disk, &all, is_swap)?;
        for (file, found) in &all {
            let is_replaced =
                replaced.is_some_and(|(from, to)| from <= file.base && file.base < to);
            // A snapshot of producers is as true after compaction as before.
            let is_snapshot = file.kind == SegmentFileKind::Snapshot;
            if file.stage == FileStage::Live && (!is_replaced || is_snapshot) {
                files.live.insert((file.base, file.kind), found.clone());
            } else if !is_swap(file) {
                files.actions.push(FileAction::Remove(found.path.clone()));
            }
        }
        // Only once the old ones are gone do the new ones take their names.
        for (file, found) in all.iter().filter(|(file, _)| is_swap(file)) {
            let to = dir.join(file.at(FileStage::Live).to_string());
            files.actions.push(FileAction::Rename { from: found.path.clone(), to });
            files.live.insert((file.base, file.kind), found.clone());
        }
        files.drop_orphans();
        Ok(files)
    }

    /// The base offsets of the segments, in order.
    pub(super) fn segments(&self) -> Vec<Offset> {
        let is_log = |(_, kind): &&(Offset, SegmentFileKind)| *kind == SegmentFileKind::Log;
        self.live.keys().filter(is_log).map(|(base, _)| *base).collect()
    }

    /// The offsets of the producer snapshots, in order.
    pub(super) fn snapshots(&self) -> Vec<Offset> {
        let is_snapshot =
            |(_, kind): &&(Offset, SegmentFileKind)| *kind == SegmentFileKind::Snapshot;
        self.live.keys().filter(is_snapshot).map(|(base, _)| *base).collect()
    }

    pub(super) fn get(&self, base: Offset, kind: SegmentFileKind) -> Option<&Found> {
        self.live.get(&(base, kind))
    }

    /// The range of offsets that the `.swap` segments span.
    fn replaced_by_swaps(
        &mut self,
        disk: &dyn Disk,
        all: &BTreeMap<SegmentFile, Found>,
        is_swap: impl Fn(&SegmentFile) -> bool,
    ) -> Result<Option<(Offset, Offset)>, ImportError> {
        let mut range: Option<(Offset, Offset)> = None;
        let is_log = |file: &SegmentFile| file.kind == SegmentFileKind::Log && is_swap(file);
        for (file, found) in all.iter().filter(|(file, _)| is_log(file)) {
            let mut scanner = Scanner::open(disk, &found.path, 0, Scan::Headers)?;
            let mut end = file.base;
            while let Some(batch) = scanner.next()? {
                end = batch.header.next_offset();
            }
            let (from, to) = range.unwrap_or((file.base, end));
            range = Some((from.min(file.base), to.max(end)));
            self.notes.push(format!(
                "compaction of offsets {} to {end} was interrupted; \"{}\" takes their place",
                file.base,
                found.path.display()
            ));
        }
        Ok(range)
    }

    /// An index without its segment is worth nothing.
    fn drop_orphans(&mut self) {
        let segments = self.segments();
        let is_orphan = |(base, kind): &(Offset, SegmentFileKind)| {
            *kind != SegmentFileKind::Snapshot && segments.binary_search(base).is_err()
        };
        let orphans: Vec<_> = self.live.keys().filter(|key| is_orphan(key)).copied().collect();
        for key in orphans {
            if let Some(found) = self.live.remove(&key) {
                // One that was to be renamed is removed under the name that it has now.
                self.actions.retain(|action| {
                    !matches!(action, FileAction::Rename { from, .. } if *from == found.path)
                });
                self.actions.push(FileAction::Remove(found.path));
            }
        }
    }
}
