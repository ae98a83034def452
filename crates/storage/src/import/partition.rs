//! One partition: from its files to a log.

use super::error::ImportError;
use super::files::{Files, Found};
use super::scan::{Fault, Scan, Scanned, Scanner};
use super::{FileAction, ImportedLog, ImportedSegment, read_file};
use crate::kafka_files::names::{SegmentFile, SegmentFileKind as Kind};
use crate::kafka_files::partition_metadata::{self, PARTITION_METADATA_FILE};
use crate::leader_epochs::{LEADER_EPOCH_CHECKPOINT_FILE, LeaderEpochs};
use crate::offset_index::OffsetIndex;
use crate::producer_state::{BatchContent, ProducerBatch, ProducerState, snapshot};
use crate::segment_index::SegmentIndex;
use crate::time_index::{TimeIndex, TimestampOffset};
use crate::txn_index::TxnIndex;
use afluente_env::disk::Disk;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::RecordsError;
use afluente_protocol::uuid::Uuid;
use std::path::{Path, PathBuf};

/// What is known of a partition before its directory is read.
#[derive(Debug, Clone, Copy)]
pub struct ImportRules {
    /// Whether the last stop was clean.
    pub is_clean: bool,
    /// Up to here the log was made durable.
    pub recovery_point: Offset,
    /// Where its start was moved to.
    pub start: Option<Offset>,
    /// `index.interval.bytes`, for indexes that are built again.
    pub index_interval_bytes: u64,
}

const REMEDY: &str = "take the partition from another replica or from a backup; up to there it can \
                      be read with kafka-dump-log. Nothing was changed";

/// Reads a partition's directory. Changes nothing.
///
/// # Errors
/// The disk refuses, or something that was durable is damaged.
pub fn read_partition(
    disk: &dyn Disk,
    dir: &Path,
    rules: &ImportRules,
) -> Result<ImportedLog, ImportError> {
    let files = Files::list(disk, dir)?;
    let topic_id = read_topic_id(disk, dir)?;
    let mut import = Import::new(disk, dir, rules, files)?;
    let looks = import.look_at_segments()?;
    import.read_segments(looks)?;
    import.finish(topic_id)
}

/// A partition being read.
struct Import<'a> {
    disk: &'a dyn Disk,
    dir: &'a Path,
    rules: &'a ImportRules,
    files: Files,
    epochs: LeaderEpochs,
    /// The epochs are not on file and have to be found in the batches.
    epochs_are_lost: bool,
    producers: ProducerState,
    segments: Vec<ImportedSegment>,
    end: Offset,
    /// Segments behind this one go: the log was cut in it.
    was_cut: bool,
}

/// What the files of a segment say before its batches are read.
struct Look {
    base: Offset,
    found: Found,
    /// `None` if an index is missing or damaged, or the segment may not be durable: it is read
    /// whole, and its indexes are built again.
    indexes: Option<Indexes>,
    /// Whether it was made durable, all of it.
    is_durable: bool,
}

struct Indexes {
    offsets: OffsetIndex,
    times: TimeIndex,
    txns: TxnIndex,
}

impl<'a> Import<'a> {
    fn new(
        disk: &'a dyn Disk,
        dir: &'a Path,
        rules: &'a ImportRules,
        mut files: Files,
    ) -> Result<Self, ImportError> {
        let epochs = read_epochs(disk, dir, &mut files.notes)?;
        let start = rules.start.unwrap_or_default();
        Ok(Self {
            disk,
            dir,
            rules,
            files,
            epochs_are_lost: epochs.is_none(),
            epochs: epochs.unwrap_or_default(),
            producers: ProducerState::starting_at(start),
            segments: Vec::new(),
            end: start,
            was_cut: false,
        })
    }

    /// Reads the indexes of all segments and finds out which have to be read whole.
    fn look_at_segments(&mut self) -> Result<Vec<Look>, ImportError> {
        let bases = self.files.segments();
        let mut looks = Vec::new();
        for (at, base) in bases.iter().enumerate() {
            let next = bases.get(at + 1).copied();
            let found = self.files.get(*base, Kind::Log).expect("it was listed").clone();
            // Of a segment behind which none comes, the end is not known yet.
            let end = next.unwrap_or(Offset(base.0.saturating_add(i64::from(i32::MAX) + 1)));
            let is_durable =
                self.rules.is_clean || next.is_some_and(|next| next <= self.rules.recovery_point);
            let indexes = if is_durable { self.read_indexes(*base, &found, end)? } else { None };
            looks.push(Look { base: *base, found, indexes, is_durable });
        }
        Ok(looks)
    }

    /// The indexes of a segment, if they agree with it as far as can be seen without reading it.
    fn read_indexes(
        &mut self,
        base: Offset,
        segment: &Found,
        end: Offset,
    ) -> Result<Option<Indexes>, ImportError> {
        let Some(offsets) = self.read_index(base, Kind::OffsetIndex)? else { return Ok(None) };
        let Some(times) = self.read_index(base, Kind::TimeIndex)? else { return Ok(None) };
        let txns = self.read_index(base, Kind::TxnIndex)?.unwrap_or_default();
        let decoded = OffsetIndex::decode(base, offsets, segment.len, end).and_then(|offsets| {
            let times = TimeIndex::decode(base, times, end)?;
            Ok(Indexes { offsets, times, txns: TxnIndex::decode(base, &txns, end)? })
        });
        let indexes = match decoded {
            Ok(indexes) => indexes,
            Err(error) => {
                self.note_rebuild(base, &error.to_string());
                return Ok(None);
            }
        };
        let points_right = match indexes.offsets.last() {
            None => true,
            Some(last) => {
                let at = u64::from(last.position);
                let mut scanner = Scanner::open(self.disk, &segment.path, at, Scan::Headers)?;
                let batch = scanner.next()?;
                batch.is_some_and(|batch| batch.header.last_offset() == last.offset)
            }
        };
        if !points_right {
            self.note_rebuild(base, "its last entry does not point to the batch that it names");
        }
        Ok(points_right.then_some(indexes))
    }

    fn read_index(&mut self, base: Offset, kind: Kind) -> Result<Option<Vec<u8>>, ImportError> {
        let Some(found) = self.files.get(base, kind) else {
            if kind != Kind::TxnIndex {
                self.note_rebuild(base, &format!("it has no {} file", kind.suffix()));
            }
            return Ok(None);
        };
        read_file(self.disk, &found.path)
    }

    fn note_rebuild(&mut self, base: Offset, why: &str) {
        self.files.notes.push(format!("the indexes of segment {base} are built again: {why}"));
    }

    /// Reads what has to be read of each segment, in order, and the producers on the way.
    fn read_segments(&mut self, looks: Vec<Look>) -> Result<(), ImportError> {
        let first_base = looks.first().map(|look| look.base);
        self.end = first_base.unwrap_or(self.end);
        let first_whole = looks.iter().find(|look| look.indexes.is_none()).map(|look| look.base);
        let replay_from = self.load_snapshot(first_base, first_whole)?;
        let count = looks.len();
        for (at, look) in looks.into_iter().enumerate() {
            if self.was_cut {
                self.give_up(look);
                continue;
            }
            if look.base < self.end {
                return Err(damaged(
                    &look.found.path,
                    Fault {
                        position: 0,
                        error: RecordsError::OffsetOutOfOrder {
                            offset: look.base,
                            after: self.end,
                        },
                    },
                ));
            }
            let is_last = at + 1 == count;
            match look.indexes {
                None => self.read_whole(look)?,
                Some(indexes) => {
                    let look = Look { indexes: None, ..look };
                    self.read_headers(look, indexes, replay_from, is_last)?;
                }
            }
        }
        Ok(())
    }

    /// Begins with the newest snapshot that is not newer than what has to be read again, and says
    /// from which offset on batches have to be replayed.
    fn load_snapshot(
        &mut self,
        first_base: Option<Offset>,
        first_whole: Option<Offset>,
    ) -> Result<Offset, ImportError> {
        for offset in self.files.snapshots().into_iter().rev() {
            if first_whole.is_some_and(|first| offset > first) {
                continue;
            }
            let found = self.files.get(offset, Kind::Snapshot).expect("it was listed").clone();
            let Some(bytes) = read_file(self.disk, &found.path)? else { continue };
            match snapshot::decode(&bytes) {
                Ok(entries) => {
                    self.producers = ProducerState::restored(entries, offset);
                    return Ok(offset);
                }
                Err(error) => self.files.notes.push(format!(
                    "\"{}\" is damaged and was passed over: {error}",
                    found.path.display()
                )),
            }
        }
        Ok(first_base.unwrap_or(self.end))
    }

    /// A segment that may not be durable, or whose indexes are lost: every byte is read.
    fn read_whole(&mut self, look: Look) -> Result<(), ImportError> {
        let mut scanner = Scanner::open(self.disk, &look.found.path, 0, Scan::Whole)?;
        let mut index = SegmentIndex::new(look.base);
        let mut txns = TxnIndex::default();
        let mut first_timestamp_ms = None;
        let mut next = look.base;
        let mut fault = None;
        while let Some(scanned) = scanner.next()? {
            if let Err(error) = check_place(&scanned, look.base, next) {
                fault = Some(Fault { position: scanned.position, error });
                break;
            }
            let header = scanned.header;
            first_timestamp_ms.get_or_insert(header.max_timestamp);
            if let Err(error) = self.replay(&scanned, &mut txns) {
                fault = Some(Fault { position: scanned.position, error });
                break;
            }
            index.append(&header, self.rules.index_interval_bytes);
            next = header.next_offset();
        }
        let fault = fault.or_else(|| scanner.fault().cloned());
        if let Some(fault) = fault {
            let is_legacy = matches!(fault.error, RecordsError::LegacyFormat(_));
            if look.is_durable || is_legacy || next < self.rules.recovery_point {
                return Err(damaged(&look.found.path, fault));
            }
            self.cut(&look.found.path, look.found.len, &fault, next);
        }
        index.close();
        self.end = next;
        self.write_indexes(look.base, &index, &txns);
        self.segments.push(ImportedSegment {
            base: look.base,
            size_bytes: u64::from(index.position()),
            first_timestamp_ms,
            newest: index.newest(),
            modified_ms: look.found.modified_ms,
            offsets: index.offsets,
            times: index.times,
            txns,
        });
        Ok(())
    }

    /// A durable segment with good indexes: its first header, those that producers or epochs need,
    /// and, of the last segment, those behind the last entry of the index.
    fn read_headers(
        &mut self,
        look: Look,
        indexes: Indexes,
        replay_from: Offset,
        is_last: bool,
    ) -> Result<(), ImportError> {
        let path = &look.found.path;
        let mut first = Scanner::open(self.disk, path, 0, Scan::Headers)?;
        let first_timestamp_ms = first.next()?.map(|batch| batch.header.max_timestamp);
        if let Some(fault) = first.fault() {
            return Err(damaged(path, fault.clone()));
        }
        let begin = if self.epochs_are_lost {
            0
        } else {
            u64::from(indexes.offsets.lookup(replay_from.max(look.base)).position)
        };
        let tail = indexes.offsets.last().map_or(0, |last| u64::from(last.position));
        let begin = if is_last { begin.min(tail) } else { begin };
        let mut scanner = Scanner::open(self.disk, path, begin, Scan::Headers)?;
        let mut newest = indexes.times.last();
        let mut next = look.base;
        // The transaction index is good: what a replay would put there is there.
        let mut known = TxnIndex::default();
        while let Some(scanned) = scanner.next()? {
            let header = scanned.header;
            let position = scanned.position;
            let placed = check_place(&scanned, look.base, next);
            let replayed = placed.and_then(|()| self.replay(&scanned, &mut known));
            if let Err(error) = replayed {
                return Err(damaged(path, Fault { position, error }));
            }
            if header.max_timestamp > newest.map_or(-1, |newest| newest.timestamp_ms) {
                let (timestamp_ms, offset) = (header.max_timestamp, header.last_offset());
                newest = Some(TimestampOffset { timestamp_ms, offset });
            }
            next = header.next_offset();
        }
        if let Some(fault) = scanner.fault() {
            return Err(damaged(path, fault.clone()));
        }
        self.end = self.end.max(next);
        let times = self.trim_times(look.base, indexes.times, is_last);
        self.segments.push(ImportedSegment {
            base: look.base,
            size_bytes: scanner.position(),
            first_timestamp_ms,
            newest,
            modified_ms: look.found.modified_ms,
            offsets: indexes.offsets,
            times,
            txns: indexes.txns,
        });
        Ok(())
    }

    /// Of the last segment, the end was not known when its time index was checked.
    fn trim_times(&mut self, base: Offset, mut times: TimeIndex, is_last: bool) -> TimeIndex {
        let end = self.end;
        if is_last && times.last().is_some_and(|last| last.offset >= end) {
            self.note_rebuild(base, "its last entry points behind the segment's end");
            times.truncate_to(end);
            let path = self.dir.join(SegmentFile::live(base, Kind::TimeIndex).to_string());
            self.files.actions.push(FileAction::Write { path, bytes: times.bytes().to_vec() });
        }
        times
    }

    /// Takes a batch into epochs and producers.
    fn replay(&mut self, scanned: &Scanned<'_>, txns: &mut TxnIndex) -> Result<(), RecordsError> {
        let header = &scanned.header;
        let epoch = header.partition_leader_epoch;
        if epoch.0 >= 0 && self.epochs.latest().is_none_or(|latest| latest < epoch) {
            self.epochs.assign(epoch, header.base_offset);
        }
        if header.next_offset() <= self.producers.end() {
            // A snapshot has it already.
            return Ok(());
        }
        let producer = match &scanned.batch {
            Some(batch) => ProducerBatch::of(batch)?,
            None => {
                let transactional = header.attributes.is_transactional();
                ProducerBatch::new(header, BatchContent::Data { transactional })
            }
        };
        if let Some(completed) = self.producers.apply(&producer, header.base_offset) {
            txns.note(&completed);
        }
        Ok(())
    }

    /// What was never durable goes.
    fn cut(&mut self, path: &Path, len: u64, fault: &Fault, next: Offset) {
        self.was_cut = true;
        self.files
            .actions
            .push(FileAction::Cut { path: self.final_path(path), len: fault.position });
        self.files.notes.push(format!(
            "\"{}\" was cut at byte {} of {len}, offset {next}: {}; the log was made durable up to \
             offset {} before the unclean stop",
            path.display(),
            fault.position,
            fault.error,
            self.rules.recovery_point
        ));
    }

    /// A segment behind the place where the log was cut.
    fn give_up(&mut self, look: Look) {
        self.files.notes.push(format!(
            "\"{}\" with {} bytes was given up: it lies behind what was cut",
            look.found.path.display(),
            look.found.len
        ));
        for kind in Kind::ALL {
            if let Some(found) = self.files.get(look.base, kind) {
                let path = self.final_path(&found.path);
                self.files.actions.push(FileAction::Remove(path));
            }
        }
    }

    fn write_indexes(&mut self, base: Offset, index: &SegmentIndex, txns: &TxnIndex) {
        let mut write = |kind, bytes: Vec<u8>| {
            let path = self.dir.join(SegmentFile::live(base, kind).to_string());
            self.files.actions.push(FileAction::Write { path, bytes });
        };
        write(Kind::OffsetIndex, index.offsets.bytes().to_vec());
        write(Kind::TimeIndex, index.times.bytes().to_vec());
        if !txns.is_empty() {
            write(Kind::TxnIndex, txns.encode());
        } else if let Some(found) = self.files.get(base, Kind::TxnIndex) {
            let path = self.final_path(&found.path);
            self.files.actions.push(FileAction::Remove(path));
        }
    }

    /// The name that a file has once the renames before are done.
    fn final_path(&self, path: &Path) -> PathBuf {
        let renamed = self.files.actions.iter().find_map(|action| match action {
            FileAction::Rename { from, to } if from == path => Some(to.clone()),
            _ => None,
        });
        renamed.unwrap_or_else(|| path.to_owned())
    }

    fn finish(mut self, topic_id: Option<Uuid>) -> Result<ImportedLog, ImportError> {
        let first_base = self.segments.first().map_or(self.end, |segment| segment.base);
        let start = self.rules.start.unwrap_or(first_base).max(first_base);
        if start > self.end {
            self.give_up_all(start);
        } else if self.end < self.rules.recovery_point {
            return Err(self.missing());
        }
        self.remove_stale_snapshots();
        self.epochs.truncate_from_end(self.end);
        self.epochs.truncate_from_start(start);
        self.producers.advance_to(self.end);
        Ok(ImportedLog {
            path: self.dir.to_owned(),
            topic_id,
            start,
            end: self.end,
            segments: self.segments,
            epochs: self.epochs,
            producers: self.producers,
            actions: self.files.actions,
            notes: self.files.notes,
        })
    }

    /// The files end before the offset up to which the log was made durable.
    fn missing(&self) -> ImportError {
        let last = self.segments.last();
        let file = |segment: &ImportedSegment| {
            self.dir.join(SegmentFile::live(segment.base, Kind::Log).to_string())
        };
        ImportError::Damaged {
            path: last.map_or_else(|| self.dir.to_owned(), file),
            position: last.map_or(0, |segment| segment.size_bytes),
            expected: format!("batches up to offset {}", self.rules.recovery_point),
            found: format!("the end of the log at offset {}", self.end),
            remedy: REMEDY,
        }
    }

    /// The log's start lies behind its end: its segments hold nothing that counts.
    fn give_up_all(&mut self, start: Offset) {
        self.files.notes.push(format!(
            "all segments are given up: they end at offset {}, and the log begins at {start}",
            self.end
        ));
        for base in self.files.segments() {
            for kind in Kind::ALL {
                if let Some(found) = self.files.get(base, kind) {
                    let path = self.final_path(&found.path);
                    self.files.actions.push(FileAction::Remove(path));
                }
            }
        }
        self.segments.clear();
        self.epochs.clear();
        self.producers = ProducerState::starting_at(start);
        self.end = start;
    }

    /// A snapshot behind the log's end speaks of batches that are not there.
    fn remove_stale_snapshots(&mut self) {
        for offset in self.files.snapshots().into_iter().filter(|offset| *offset > self.end) {
            let found = self.files.get(offset, Kind::Snapshot).expect("it was listed");
            self.files.actions.push(FileAction::Remove(found.path.clone()));
        }
    }
}

/// A batch belongs behind the one before it, and near enough to the segment's beginning.
fn check_place(scanned: &Scanned<'_>, base: Offset, next: Offset) -> Result<(), RecordsError> {
    let header = &scanned.header;
    let spans = header.last_offset().0.saturating_sub(base.0);
    if header.base_offset < next || spans > i64::from(i32::MAX) {
        return Err(RecordsError::OffsetOutOfOrder { offset: header.base_offset, after: next });
    }
    Ok(())
}

fn damaged(path: &Path, fault: Fault) -> ImportError {
    if let RecordsError::LegacyFormat(magic) = fault.error {
        return ImportError::Legacy { path: path.to_owned(), position: fault.position, magic };
    }
    ImportError::Damaged {
        path: path.to_owned(),
        position: fault.position,
        expected: "a record batch".to_owned(),
        found: fault.error.to_string(),
        remedy: REMEDY,
    }
}

fn read_topic_id(disk: &dyn Disk, dir: &Path) -> Result<Option<Uuid>, ImportError> {
    let path = dir.join(PARTITION_METADATA_FILE);
    let Some(bytes) = read_file(disk, &path)? else { return Ok(None) };
    let remedy = "write the topic's id into it, which kafka-topics --describe shows";
    let topic_id = partition_metadata::decode(&bytes);
    topic_id.map(Some).map_err(|source| ImportError::Text { path, remedy, source })
}

/// The epochs on file; `None` if there are none that can be read, and batches have to tell them.
fn read_epochs(
    disk: &dyn Disk,
    dir: &Path,
    notes: &mut Vec<String>,
) -> Result<Option<LeaderEpochs>, ImportError> {
    let path = dir.join(LEADER_EPOCH_CHECKPOINT_FILE);
    let Some(bytes) = read_file(disk, &path)? else { return Ok(None) };
    match LeaderEpochs::from_file(&bytes) {
        Ok(epochs) => Ok(Some(epochs)),
        Err(error) => {
            notes.push(format!("\"{}\" is built again from the batches: {error}", path.display()));
            Ok(None)
        }
    }
}
