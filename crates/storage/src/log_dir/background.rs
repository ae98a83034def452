//! The background worker: writes chunks to segments, makes checkpoints, grows the journal, removes
//! what was deleted, and scrubs.
//!
//! A checkpoint is made in a *round*: each log with something new is written to its files and gives
//! a record; then all those files are synced; then the records are appended to the checkpoint; then
//! the journal up to the LSN at which the round began is free, and what was doomed is removed. The
//! round is cut into steps, so that growing the journal and early writing go on meanwhile.
//!
//! The order in which a round begins matters: what is doomed is taken first, then the last LSN is
//! read, then the dirty logs are taken; and the floor stays below the entry of a deletion whose log
//! is not among the doomed yet, or a crash would bring the log back. So a checkpoint that says that
//! a log is deleted also covers every entry of it, and a log with an entry up to that LSN is among
//! those taken (it is listed before its entry gets an LSN).

use super::Shared;
use super::scrub::Scrub;
use super::shared::Doomed;
use crate::checkpoint::Record;
use crate::error::{IoContext, StorageError};
use crate::journal::ring::{RingKind, make_file};
use crate::log::Log;
use crate::log::flush::{Extent, Flushed};
use afluente_env::clock::Moment;
use afluente_env::disk::File;
use afluente_env::worker::{Step, Worker};
use afluente_stdx::aligned_buf::AlignedBuf;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// More files than this are synced together, by syncing the file system. That is far cheaper for
/// thousands of files, but it waits for what everybody else has written to the same file system.
pub(super) const FILES_SYNCED_SINGLY_MAX: usize = 64;
/// Bytes and logs of a round that are written in one step.
const STEP_BYTES: u64 = 8 << 20;
const STEP_LOGS: usize = 256;
const GROW_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// However small `log.cleaner.backoff.ms` is set: a look at all logs takes a while.
const CLEANER_BACKOFF_MIN: Duration = Duration::from_millis(1);
/// However little compaction may read and write in a second.
const CLEANER_PAUSE_MAX: Duration = Duration::from_secs(3600);
/// How long to wait before trying again when the file system is full.
const RETRY_AFTER: Duration = Duration::from_millis(500);

pub(super) struct Background {
    dir: Arc<Shared>,
    scratch: AlignedBuf,
    unsynced: Unsynced,
    round: Option<Round>,
    last_round: Moment,
    /// Journal bytes when it was last seen growing, and when that was.
    last_growth: (u64, Moment),
    next_retention: Moment,
    /// No look for logs to compact before then.
    next_cleaning: Moment,
    /// Logs to be looked at for compaction.
    compacting: Vec<Arc<Log>>,
    /// There was no room for another journal file; not before then.
    grow_again_at: Moment,
    /// The disk was full; not before then.
    retry_at: Option<Moment>,
    scrub: Scrub,
}

/// What was written and not synced.
#[derive(Default)]
struct Unsynced {
    files: Vec<(Arc<dyn File>, PathBuf)>,
    directories: BTreeSet<PathBuf>,
    /// There are more than are worth a sync each.
    many: bool,
}

struct Round {
    floor_lsn: u64,
    journal_bytes: u64,
    todo: Vec<Arc<Log>>,
    done: Vec<Arc<Log>>,
    records: Vec<Record>,
    doomed: Vec<Doomed>,
}

impl Background {
    pub(super) fn new(dir: Arc<Shared>) -> Self {
        let now = dir.env.clock.now();
        let dir_retention_interval = dir.config.retention_interval;
        let scrub = Scrub::new(&dir);
        let has_unsynced = dir.has_unsynced.swap(false, Ordering::AcqRel);
        Self {
            dir,
            scratch: AlignedBuf::new(),
            // What an earlier one has written and not synced is not known here.
            unsynced: Unsynced { many: has_unsynced, ..Unsynced::default() },
            round: None,
            last_round: now,
            last_growth: (0, now),
            grow_again_at: now,
            compacting: Vec::new(),
            next_cleaning: now,
            next_retention: now + dir_retention_interval,
            retry_at: None,
            scrub,
        }
    }

    fn work(&mut self) -> Result<Step, StorageError> {
        if self.grow_journal()? || self.write_filled()? {
            return Ok(Step::Again);
        }
        if self.round.is_none() {
            self.apply_retention_if_due();
            if let Some(log) = self.next_to_compact() {
                return self.compact(&log);
            }
            if !self.is_round_due() {
                if self.remove_leftover()? {
                    return Ok(Step::Again);
                }
                return Ok(match self.scrub.step(&self.dir) {
                    None => Step::Again,
                    Some(idle) => Step::ParkFor(idle.min(self.dir.idle())),
                });
            }
            self.begin_round();
        }
        self.advance_round()?;
        Ok(Step::Again)
    }

    /// During recovery: writes out what was replayed, so that it need not all be in memory. The
    /// logs stay dirty, as no checkpoint says so.
    pub(super) fn relieve<'a>(
        &mut self,
        logs: impl Iterator<Item = &'a Arc<Log>>,
    ) -> Result<(), StorageError> {
        for log in logs {
            let flushed = log.flush(Extent::All, &mut self.scratch)?;
            self.take(flushed);
            let mut state = log.state.lock();
            if state.applied_lsn > 0 {
                self.dir.note_dirty(log, &mut state);
            }
        }
        // Everything is clean now, and goes as it is needed.
        self.dir.tail.make_room(0, 0);
        Ok(())
    }

    /// Makes a checkpoint of everything, now.
    pub(super) fn checkpoint(&mut self) -> Result<(), StorageError> {
        self.begin_round();
        while self.round.is_some() {
            self.advance_round()?;
        }
        Ok(())
    }

    /// Makes another journal file when all are in use and there may be more.
    fn grow_journal(&mut self) -> Result<bool, StorageError> {
        let is_stuck = self.is_journal_stuck();
        if self.dir.env.clock.now() < self.grow_again_at && !is_stuck {
            return Ok(false);
        }
        let len = self.dir.config.journal_file_bytes;
        let files_max = self.dir.config.journal_bytes_max / len;
        for kind in [RingKind::Synced, RingKind::Buffered] {
            let look = |writer: &mut crate::journal::writer::FrameWriter| {
                let ring = &writer.ring;
                let wants = ring.free_count() == 0
                    && ring.file_count() > 0
                    && (ring.file_count() as u64) < files_max;
                wants.then(|| ring.next_file_number())
            };
            let number = match kind {
                RingKind::Synced => self.dir.journal.with_synced(look),
                RingKind::Buffered => self.dir.journal.with_buffered(look),
            };
            let Some(number) = number else { continue };
            let disk = self.dir.env.disk.as_ref();
            let file = match make_file(disk, &self.dir.path, kind, number, len) {
                Err(error) if error.is_no_space() => {
                    // It goes on with the files that it has; half a file is of no use.
                    remove_tree(disk, &kind.unfinished_path(&self.dir.path, number))?;
                    if is_stuck {
                        return Err(error);
                    }
                    self.grow_again_at = self.dir.env.clock.now() + GROW_AGAIN_AFTER;
                    return Ok(false);
                }
                made => made?,
            };
            match kind {
                RingKind::Synced => self.dir.journal.with_synced(|writer| writer.add_file(file)),
                RingKind::Buffered => {
                    self.dir.journal.with_buffered(|writer| writer.add_file(file));
                }
            }
            self.dir.journal_full.store(false, Ordering::Release);
            self.dir.journal.bell.ring();
            return Ok(true);
        }
        Ok(false)
    }

    /// Whether nothing can be journaled until there is another file: the only one is full, and as
    /// the one in use it is never free.
    fn is_journal_stuck(&self) -> bool {
        self.dir.journal_full.load(Ordering::Acquire)
            && self.dir.journal.with_synced(|writer| writer.ring.file_count()) == 1
    }

    /// Writes the full chunks of a log that has some.
    fn write_filled(&mut self) -> Result<bool, StorageError> {
        let log = self.dir.filled.lock().pop();
        let Some(log) = log else { return Ok(false) };
        let flushed = log.flush(Extent::Filled, &mut self.scratch)?;
        self.take(flushed);
        self.dir.tell_room();
        Ok(true)
    }

    /// Looks through all logs for segments that are to go.
    fn apply_retention_if_due(&mut self) {
        let now = self.dir.env.clock.now();
        if now < self.next_retention {
            return;
        }
        self.next_retention = now + self.dir.config.retention_interval;
        let logs: Vec<Arc<Log>> = self.dir.logs.read().by_name.values().cloned().collect();
        let now_ms = self.dir.env.clock.wall_ms();
        for log in logs {
            let count = log.apply_retention(now_ms);
            if count > 0 {
                tracing::info!(log = %log.partition(), segments = count, "old segments go");
            }
        }
    }

    /// The next log to be looked at for compaction. A look at all of them that finds nothing to do
    /// is followed by a pause, and a pass over one by as much of it as the allowed rate asks for.
    fn next_to_compact(&mut self) -> Option<Arc<Log>> {
        let now = self.dir.env.clock.now();
        if now < self.next_cleaning {
            return None;
        }
        if self.compacting.is_empty() {
            let cleaner = *self.dir.cleaner.read();
            self.next_cleaning = now + cleaner.backoff.max(CLEANER_BACKOFF_MIN);
            if cleaner.is_enabled {
                let logs = self.dir.logs.read();
                let compacted = logs.by_name.values().filter(|log| log.is_compacted());
                self.compacting = compacted.cloned().collect();
            }
        }
        self.compacting.pop()
    }

    /// Compacts a log if that is due. A damaged log is left as it is, and told.
    fn compact(&mut self, log: &Arc<Log>) -> Result<Step, StorageError> {
        match log.compact_if_due(self.dir.env.clock.wall_ms()) {
            Ok(0) => Ok(Step::Again),
            Ok(bytes) => {
                let rate = self.dir.cleaner.read().bytes_per_second_max;
                let seconds = (bytes as f64 / rate).min(CLEANER_PAUSE_MAX.as_secs_f64());
                // Where something was done there may be more to do: no pause beyond that.
                self.next_cleaning =
                    self.dir.env.clock.now() + Duration::from_secs_f64(seconds.max(0.0));
                Ok(Step::Again)
            }
            Err(error @ StorageError::Corrupt { .. }) => {
                tracing::error!(
                    log = %log.partition(),
                    error = &error as &dyn std::error::Error,
                    "could not compact a log"
                );
                Ok(Step::Again)
            }
            Err(error) => Err(error),
        }
    }

    fn is_round_due(&mut self) -> bool {
        let dir = &self.dir;
        if dir.is_full()
            || dir.journal_full.load(Ordering::Acquire) && !self.is_journal_stuck()
            || dir.refused.load(Ordering::Acquire)
            || dir.journal_bytes_uncovered() >= dir.config.checkpoint_bytes
            || dir.tail.dirty_bytes() >= dir.tail.dirty_bytes_max() / 2
            || dir.tail.is_crowded()
            || dir.deleting.lock().is_empty() && !dir.doomed.lock().is_empty()
        {
            return true;
        }
        if dir.dirty.lock().is_empty() {
            return false;
        }
        let now = dir.env.clock.now();
        let journal_bytes = dir.journal_bytes();
        if self.last_growth.0 != journal_bytes {
            self.last_growth = (journal_bytes, now);
        }
        now.saturating_since(self.last_growth.1) >= dir.config.checkpoint_after_quiet
            || now.saturating_since(self.last_round) >= dir.config.checkpoint_interval
    }

    fn begin_round(&mut self) {
        let (doomed, floor_lsn) = {
            let deleting = self.dir.deleting.lock();
            let mut doomed = self.dir.doomed.lock();
            // A log that is told to be deleted must have no entry above the floor.
            let is_for_later =
                |doomed: &Doomed| doomed.deleted_log.is_some() && !deleting.is_empty();
            let (later, now) = std::mem::take(&mut *doomed).into_iter().partition(is_for_later);
            *doomed = later;
            let last_lsn = self.dir.journal.last_lsn();
            let first_deletion = deleting.values().min();
            (now, first_deletion.map_or(last_lsn, |lsn| last_lsn.min(lsn - 1)))
        };
        let journal_bytes = self.dir.journal_bytes();
        let todo = std::mem::take(&mut *self.dir.dirty.lock());
        let (done, records) = (Vec::with_capacity(todo.len()), Vec::with_capacity(todo.len()));
        self.round = Some(Round { floor_lsn, journal_bytes, todo, done, records, doomed });
    }

    fn advance_round(&mut self) -> Result<(), StorageError> {
        let mut bytes = 0;
        for _ in 0..STEP_LOGS {
            let round = self.round.as_mut().expect("a round is under way");
            let Some(log) = round.todo.pop() else { return self.finish_round() };
            // First on the list of the done: if it fails, it is dirty again.
            round.done.push(Arc::clone(&log));
            let mut flushed = log.flush(Extent::All, &mut self.scratch)?;
            round.records.extend(flushed.record.take().map(|record| Record::Log(Box::new(record))));
            bytes += flushed.bytes;
            self.take(flushed);
            if bytes >= STEP_BYTES {
                break;
            }
        }
        Ok(())
    }

    /// All logs of the round are written: syncs them, appends their records, frees the journal.
    fn finish_round(&mut self) -> Result<(), StorageError> {
        self.sync()?;
        let round = self.round.as_mut().expect("a round is under way");
        for doomed in &round.doomed {
            round.records.extend(doomed.deleted_log.map(|log_id| Record::Deleted { log_id }));
            round.records.push(Record::Doomed(doomed.path.clone()));
        }
        let dir = Arc::clone(&self.dir);
        let facts = dir.facts(round.floor_lsn, false);
        let frame = dir.checkpoint.lock().append(&facts, &round.records)?;
        let round = self.round.take().expect("a round is under way");
        dir.floor_lsn.store(round.floor_lsn, Ordering::Release);
        dir.journal_bytes_covered.store(round.journal_bytes, Ordering::Release);
        dir.journal_full.store(false, Ordering::Release);
        dir.journal.checkpointed(frame, facts.rings);
        dir.checkpoints.fetch_add(1, Ordering::Relaxed);
        self.last_round = dir.env.clock.now();
        dir.set_full(false);
        dir.tell_room();
        for doomed in &round.doomed {
            dir.remove_doomed(&doomed.path)?;
        }
        if dir.checkpoint.lock().wants_rewrite() {
            self.sync_removals()?;
            dir.checkpoint.lock().rewrite()?;
        }
        Ok(())
    }

    fn take(&mut self, flushed: Flushed) {
        self.dir.segment_bytes_written.fetch_add(flushed.bytes, Ordering::Relaxed);
        self.unsynced.directories.extend(flushed.directories);
        if self.unsynced.many {
            return;
        }
        self.unsynced.files.extend(flushed.files);
        if self.unsynced.files.len() > FILES_SYNCED_SINGLY_MAX {
            self.unsynced.files.clear();
            self.unsynced.many = true;
        }
    }

    /// Makes everything durable that was written to segments and indexes.
    fn sync(&mut self) -> Result<(), StorageError> {
        let disk = self.dir.env.disk.as_ref();
        let Unsynced { files, directories, many } = std::mem::take(&mut self.unsynced);
        if many {
            disk.sync_file_system(&self.dir.path)
                .doing("sync the file system of", &self.dir.path)?;
            return Ok(());
        }
        for (file, path) in files {
            file.sync_data().doing("sync", &path)?;
        }
        for directory in directories {
            // It may have been renamed away with its log; then nobody needs it.
            if disk.metadata(&directory).doing("look at", &directory)?.is_some() {
                disk.sync_dir(&directory).doing("sync", &directory)?;
            }
        }
        Ok(())
    }

    /// Removes what is left of something that was doomed before the directory was opened.
    fn remove_leftover(&self) -> Result<bool, StorageError> {
        let Some(path) = self.dir.leftovers.lock().pop() else { return Ok(false) };
        self.dir.remove_doomed(&path)?;
        Ok(true)
    }

    /// Makes it durable that doomed files are gone, as nothing will name them any more.
    fn sync_removals(&self) -> Result<(), StorageError> {
        let disk = self.dir.env.disk.as_ref();
        let directories = std::mem::take(&mut *self.dir.removed_in.lock());
        for path in directories {
            if disk.metadata(&path).doing("look at", &path)?.is_some() {
                disk.sync_dir(&path).doing("sync", &path)?;
            }
        }
        Ok(())
    }

    /// The disk was full, or the worker stops in the middle: nothing that the round had done counts,
    /// and all of it is to be done again.
    fn give_up_round(&mut self) {
        let Some(round) = self.round.take() else { return };
        self.dir.doomed.lock().extend(round.doomed);
        for log in round.done.into_iter().chain(round.todo) {
            let mut state = log.state.lock();
            if !state.deleted {
                state.listed_dirty = false;
                self.dir.note_dirty(&log, &mut state);
            }
        }
    }
}

impl Drop for Background {
    /// Who closes the directory finds what was under way.
    fn drop(&mut self) {
        let Unsynced { files, directories, many } = &self.unsynced;
        let has_unsynced = *many || !files.is_empty() || !directories.is_empty();
        self.dir.has_unsynced.store(has_unsynced, Ordering::Release);
        self.give_up_round();
    }
}

impl Worker for Background {
    fn step(&mut self) -> Step {
        if self.dir.is_offline() {
            return Step::Park;
        }
        if let Some(at) = self.retry_at {
            let now = self.dir.env.clock.now();
            if now < at {
                return Step::ParkFor(at - now);
            }
            self.retry_at = None;
        }
        match self.work() {
            Ok(step) => step,
            Err(error) if error.is_no_space() => {
                self.give_up_round();
                self.dir.set_full(true);
                self.retry_at = Some(self.dir.env.clock.now() + RETRY_AFTER);
                Step::ParkFor(RETRY_AFTER)
            }
            Err(error) => {
                self.dir.fail(&error);
                Step::Park
            }
        }
    }
}

/// Removes a file, or a directory with the files in it; nothing there is no error.
pub(super) fn remove_tree(
    disk: &dyn afluente_env::disk::Disk,
    path: &Path,
) -> Result<(), StorageError> {
    match disk.metadata(path).doing("look at", path)? {
        None => Ok(()),
        Some(found) if found.is_dir => {
            for entry in disk.read_dir(path).doing("read", path)? {
                remove_tree(disk, &entry.path)?;
            }
            disk.remove_dir(path).doing("remove", path)
        }
        Some(_) => disk.remove_file(path).doing("remove", path),
    }
}
