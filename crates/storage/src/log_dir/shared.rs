//! What the logs of a directory and its workers share.

use super::background::remove_tree;
use super::{Advance, CleanerConfig, LogDirConfig, LogObserver};
use crate::TopicPartition;
use crate::append::AppendError;
use crate::checkpoint::{CheckpointWriter, FrameFacts, Record};
use crate::cold_read::ColdReaders;
use crate::error::{IoContext, StorageError};
use crate::journal::Journal;
use crate::journal::frame::EntryKind;
use crate::journal::ring::{RingKind, make_file};
use crate::log::Log;
use crate::log::flush::Flushed;
use crate::log::state::LogState;
use crate::log_config::{Durability, LogConfig};
use crate::tail::Tail;
use afluente_env::Env;
use afluente_env::disk::LockGuard;
use afluente_env::worker::Doorbell;
use afluente_protocol::numbers::Offset;
use parking_lot::{Mutex, RwLock};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) path: PathBuf,
    pub(crate) config: LogDirConfig,
    /// What its configuration says, or what it was told later.
    pub(crate) cleaner: RwLock<CleanerConfig>,
    pub(crate) observer: Arc<dyn LogObserver>,
    pub(crate) journal: Journal,
    pub(crate) tail: Tail,
    pub(crate) cold: ColdReaders,
    pub(crate) checkpoint: Mutex<CheckpointWriter>,
    pub(crate) logs: RwLock<Logs>,
    /// Logs with something that is not in the checkpoint.
    pub(crate) dirty: Mutex<Vec<Arc<Log>>>,
    /// Logs that have filled a chunk, which can be written early.
    pub(crate) filled: Mutex<Vec<Arc<Log>>>,
    /// Records that the next checkpoint takes along, and what is removed after it.
    pub(crate) doomed: Mutex<Vec<Doomed>>,
    /// Logs that are being deleted and are not among the doomed yet, with the LSN of the entry that
    /// says so: no floor may pass it before.
    pub(crate) deleting: Mutex<BTreeMap<u64, u64>>,
    /// What the checkpoint named as doomed when the directory was opened: it may still be there.
    pub(crate) leftovers: Mutex<Vec<String>>,
    /// Where doomed files were removed since the checkpoint was last rewritten.
    pub(crate) removed_in: Mutex<BTreeSet<PathBuf>>,
    condition: AtomicU8,
    offline: Mutex<Option<Arc<StorageError>>>,
    /// Somebody was refused and wants to be told when there is room in memory, or on the disk.
    pub(crate) refused: AtomicBool,
    /// Or in the journal's queue.
    refused_by_journal: AtomicBool,
    /// The journal has no room until the next checkpoint.
    pub(crate) journal_full: AtomicBool,
    pub(crate) closing: AtomicBool,
    /// A background worker that stopped has left files that are written and not synced.
    pub(super) has_unsynced: AtomicBool,
    pub(crate) background_bell: Doorbell,
    /// Journal bytes when the last checkpoint round began.
    pub(crate) journal_bytes_covered: AtomicU64,
    pub(crate) segment_bytes_written: AtomicU64,
    pub(crate) checkpoints: AtomicU64,
    pub(crate) scrubbed_bytes: AtomicU64,
    pub(crate) scrub_findings: AtomicU64,
    pub(crate) indexes_rebuilt: AtomicU64,
    /// What the last round covered.
    pub(crate) floor_lsn: AtomicU64,
    pub(super) lock: Mutex<Option<Box<dyn LockGuard>>>,
}

/// Who uses a directory: its handles and its workers. Logs know their directory, and it them; when
/// nobody is left who could write to it, it forgets them, so that its memory comes free without a
/// clean stop, too.
pub(super) struct User(pub(super) Arc<Shared>);

impl Drop for User {
    fn drop(&mut self) {
        // Outside of the locks: the last reference to a log may be among them.
        let by_name = std::mem::take(&mut self.0.logs.write().by_name);
        let dirty = std::mem::take(&mut *self.0.dirty.lock());
        let filled = std::mem::take(&mut *self.0.filled.lock());
        drop((by_name, dirty, filled));
        self.0.journal.forget();
    }
}

/// The logs of a directory.
#[derive(Default)]
pub(crate) struct Logs {
    pub(crate) by_name: BTreeMap<TopicPartition, Arc<Log>>,
    pub(crate) next_id: u64,
}

/// Something to be removed once a checkpoint no longer needs it.
pub(crate) struct Doomed {
    /// It is the directory of this log.
    pub(crate) deleted_log: Option<u64>,
    /// Relative to the log directory; a directory goes with all that is in it.
    pub(crate) path: String,
}

/// How a log directory is.
#[derive(Debug, Clone)]
pub enum DirState {
    /// Everything works.
    Online,
    /// The file system is full: appends are refused until there is room again.
    Full,
    /// An error took it out of service, until the process is started again.
    Offline(Arc<StorageError>),
}

/// Figures of a log directory, counted since it was opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct DirFigures {
    /// Group commits.
    pub commits: u64,
    /// Bytes of journal frames.
    pub journal_bytes: u64,
    /// The time that group commits took, together, in nanoseconds.
    pub commit_ns: u64,
    /// Syncs of the ring for `durability=replicated`.
    pub buffered_syncs: u64,
    /// Bytes written to segments.
    pub segment_bytes: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// Memory of the newest records, now.
    pub tail_bytes: u64,
    /// Of that, what is not in the segments yet.
    pub dirty_bytes: u64,
    /// Journal bytes that no checkpoint covers yet.
    pub journal_uncovered_bytes: u64,
    /// Memory of blocks for catch-up readers, now.
    pub block_cache_bytes: u64,
    /// Files of the journal.
    pub journal_files: u64,
    /// Bytes of segments that the scrub has read.
    pub scrubbed_bytes: u64,
    /// Segments in which it has found damage.
    pub scrub_findings: u64,
    /// Segments whose indexes were built again.
    pub indexes_rebuilt: u64,
}

const ONLINE: u8 = 0;
const FULL: u8 = 1;
const OFFLINE: u8 = 2;

impl Shared {
    #[expect(clippy::too_many_arguments, reason = "the parts come from one place, where it opens")]
    pub(super) fn new(
        env: Env,
        path: PathBuf,
        config: LogDirConfig,
        observer: Arc<dyn LogObserver>,
        journal: Journal,
        checkpoint: CheckpointWriter,
        next_log_id: u64,
        floor_lsn: u64,
        lock: Box<dyn LockGuard>,
    ) -> Self {
        let tail = Tail::new(config.tail_bytes);
        let cold = ColdReaders::new(config.block_cache_bytes);
        Self {
            env,
            path,
            cleaner: RwLock::new(config.cleaner),
            config,
            observer,
            journal,
            tail,
            cold,
            checkpoint: Mutex::new(checkpoint),
            logs: RwLock::new(Logs { by_name: BTreeMap::new(), next_id: next_log_id }),
            dirty: Mutex::default(),
            filled: Mutex::default(),
            doomed: Mutex::default(),
            deleting: Mutex::default(),
            leftovers: Mutex::default(),
            removed_in: Mutex::default(),
            condition: AtomicU8::new(ONLINE),
            offline: Mutex::default(),
            refused: AtomicBool::new(false),
            refused_by_journal: AtomicBool::new(false),
            journal_full: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            has_unsynced: AtomicBool::new(false),
            background_bell: Doorbell::new(),
            journal_bytes_covered: AtomicU64::new(0),
            segment_bytes_written: AtomicU64::new(0),
            checkpoints: AtomicU64::new(0),
            scrubbed_bytes: AtomicU64::new(0),
            scrub_findings: AtomicU64::new(0),
            indexes_rebuilt: AtomicU64::new(0),
            floor_lsn: AtomicU64::new(floor_lsn),
            lock: Mutex::new(Some(lock)),
        }
    }

    /// Whether the journal is so far behind that a client has to wait. Asked before anything is done
    /// for its batches; who writes for itself (a coordinator, a follower) is let in.
    pub(crate) fn check_backlog(&self, len: usize) -> Result<(), AppendError> {
        if !self.journal.has_room(len) {
            self.refused_by_journal.store(true, Ordering::Release);
            // Room may have been made between the look and the flag; there will be none any more in
            // a directory that is offline, which says so itself.
            if !self.journal.has_room(len) && !self.is_offline() {
                return Err(AppendError::Backpressure);
            }
        }
        Ok(())
    }

    /// Whether `len` bytes may be appended now, to a log whose next chunk has `chunk_bytes`. Called
    /// with no log locked.
    pub(crate) fn admit(&self, len: usize, chunk_bytes: usize) -> Result<(), AppendError> {
        match self.condition.load(Ordering::Acquire) {
            ONLINE => {}
            FULL => {
                self.refused.store(true, Ordering::Release);
                return Err(AppendError::NoSpace);
            }
            _ => return Err(AppendError::Offline(self.offline_reason())),
        }
        let max = self.append_bytes_max();
        if len > max {
            return Err(AppendError::BatchesTooLarge { size: len, max });
        }
        if !self.tail.make_room(len, chunk_bytes) {
            self.refused.store(true, Ordering::Release);
            self.background_bell.ring();
            // Room may have been made between the look and the flag.
            if !self.tail.make_room(len, chunk_bytes) {
                return Err(AppendError::Backpressure);
            }
        }
        Ok(())
    }

    /// What fits into the memory and the journal at once.
    fn append_bytes_max(&self) -> usize {
        let max = self.tail.dirty_bytes_max().min(self.config.journal_bytes_max / 2);
        usize::try_from(max).unwrap_or(usize::MAX)
    }

    pub(crate) fn note_dirty(&self, log: &Arc<Log>, state: &mut LogState) {
        state.changed = true;
        if !state.listed_dirty {
            state.listed_dirty = true;
            self.dirty.lock().push(Arc::clone(log));
        }
    }

    /// Something of the log has changed that is no entry of the journal.
    pub(crate) fn mark_dirty(&self, log: &Arc<Log>) {
        let mut state = log.state.lock();
        if !state.deleted {
            state.listed_dirty = false;
            self.note_dirty(log, &mut state);
        }
    }

    /// The log has filled a chunk.
    pub(crate) fn chunk_filled(&self, log: &Arc<Log>) {
        let mut filled = self.filled.lock();
        if filled.last().is_none_or(|last| !Arc::ptr_eq(last, log)) {
            filled.push(Arc::clone(log));
        }
        drop(filled);
        self.background_bell.ring();
    }

    pub(crate) fn jitter_ms(&self, jitter_ms_max: i64) -> i64 {
        match u64::try_from(jitter_ms_max) {
            Ok(max) if max > 0 => i64::try_from(self.env.rng.range(0..max)).unwrap_or(0),
            _ => 0,
        }
    }

    /// Makes what a log with this configuration needs before its first append.
    pub(crate) fn prepare_for(&self, config: &LogConfig) -> Result<(), StorageError> {
        if config.durability != Durability::Replicated {
            return Ok(());
        }
        let (started, number, has_room) = self.journal.with_buffered(|writer| {
            let room = writer.ring.room(writer.empty_frame_bytes().next_multiple_of(4096));
            (writer.is_started(), writer.ring.next_file_number(), room.is_some())
        });
        if started {
            return Ok(());
        }
        if !has_room {
            let len = self.config.journal_file_bytes;
            let disk = self.env.disk.as_ref();
            let file = make_file(disk, &self.path, RingKind::Buffered, number, len)?;
            self.journal.with_buffered(|writer| writer.add_file(file));
        }
        self.journal.start_buffered()
    }

    /// Journal bytes that no checkpoint round covers yet.
    pub(crate) fn journal_bytes_uncovered(&self) -> u64 {
        let written = self.journal_bytes();
        written.saturating_sub(self.journal_bytes_covered.load(Ordering::Relaxed))
    }

    pub(crate) fn journal_bytes(&self) -> u64 {
        self.journal.figures.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> DirState {
        match self.condition.load(Ordering::Acquire) {
            ONLINE => DirState::Online,
            FULL => DirState::Full,
            _ => DirState::Offline(self.offline_reason()),
        }
    }

    pub(crate) fn check_online(&self) -> Result<(), StorageError> {
        match self.condition.load(Ordering::Acquire) {
            OFFLINE => Err(StorageError::Offline {
                path: self.path.clone(),
                reason: self.offline_reason(),
            }),
            _ => Ok(()),
        }
    }

    pub(crate) fn is_offline(&self) -> bool {
        self.condition.load(Ordering::Acquire) == OFFLINE
    }

    pub(crate) fn is_full(&self) -> bool {
        self.condition.load(Ordering::Acquire) == FULL
    }

    fn offline_reason(&self) -> Arc<StorageError> {
        self.offline.lock().clone().expect("the reason is set before the condition")
    }

    /// Takes the directory out of service. Everybody who waits is told.
    pub(crate) fn fail(&self, reason: &StorageError) {
        if !self.take_offline(reason) {
            return;
        }
        tracing::error!(
            directory = %self.path.display(),
            error = reason as &dyn std::error::Error,
            "log directory is offline"
        );
        self.observer.dir_offline(reason);
        self.journal.wake_waiters();
        self.background_bell.ring();
    }

    /// Refuses everything from now on; says whether it did not already.
    pub(super) fn take_offline(&self, reason: &StorageError) -> bool {
        let mut offline = self.offline.lock();
        if offline.is_some() {
            return false;
        }
        *offline = Some(Arc::new(reason.clone()));
        self.condition.store(OFFLINE, Ordering::Release);
        true
    }

    /// The file system has no room, or has again.
    pub(crate) fn set_full(&self, full: bool) {
        let (from, to) = if full { (ONLINE, FULL) } else { (FULL, ONLINE) };
        let changed =
            self.condition.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok();
        if !changed {
            return;
        }
        if full {
            tracing::error!(directory = %self.path.display(), "no space left; appends are refused");
        } else {
            tracing::info!(directory = %self.path.display(), "there is space again");
            self.tell_room();
        }
    }

    /// Tells those who were refused that they can try again.
    pub(crate) fn tell_room(&self) {
        if self.refused.swap(false, Ordering::AcqRel) {
            self.observer.room();
        }
    }

    /// Waits until everything up to `lsn` is durable. Not for workers, which wait for nobody.
    pub(crate) fn wait_durable(&self, lsn: u64) -> Result<(), StorageError> {
        let bell = Doorbell::new();
        self.env.workers.wait_until(&bell, || {
            self.journal.add_waiter(&bell);
            self.journal.durable_lsn() >= lsn || self.is_offline()
        });
        if self.journal.durable_lsn() >= lsn { Ok(()) } else { self.check_online() }
    }

    /// Moves durable ends after a commit and tells the observer.
    pub(crate) fn committed(&self, advances: Vec<(Arc<Log>, Offset)>) {
        let advances: Vec<Advance> =
            advances.into_iter().map(|(log, durable_end)| Advance { log, durable_end }).collect();
        if !advances.is_empty() {
            self.observer.advanced(&advances);
        }
        if self.refused_by_journal.swap(false, Ordering::AcqRel) {
            self.observer.room();
        }
        self.journal.wake_waiters();
    }

    /// What a checkpoint frame says when it covers everything up to `floor_lsn`.
    pub(crate) fn facts(&self, floor_lsn: u64, clean: bool) -> FrameFacts {
        FrameFacts {
            floor_lsn,
            next_lsn: self.journal.last_lsn() + 1,
            next_log_id: self.logs.read().next_id,
            rings: self.journal.needed_from(floor_lsn),
            clean,
        }
    }

    /// Syncs what a flush of the log wrote, outside of any round, and what flushes before it wrote.
    pub(crate) fn sync_flushed(&self, log: &Log, flushed: Flushed) -> Result<(), StorageError> {
        let sync = || {
            log.sync_segments()?;
            for (file, path) in flushed.files {
                file.sync_data().doing("sync", &path)?;
            }
            for directory in flushed.directories {
                self.env.disk.sync_dir(&directory).doing("sync", &directory)?;
            }
            Ok(())
        };
        sync().inspect_err(|error| self.fail(error))
    }

    /// Appends records to the checkpoint outside of any round.
    pub(crate) fn append_checkpoint(&self, records: &[Record]) -> Result<(), StorageError> {
        let facts = self.facts(self.floor_lsn.load(Ordering::Acquire), false);
        self.checkpoint.lock().append(&facts, records)?;
        Ok(())
    }

    /// Removes a file that a durable checkpoint does not name any more. The caller holds the
    /// `flush` lock of its log.
    pub(crate) fn remove_now(&self, path: &str) -> Result<(), StorageError> {
        let path = self.path.join(path);
        remove_tree(self.env.disk.as_ref(), &path)?;
        let parent = path.parent().expect("it is in the log directory").to_owned();
        self.removed_in.lock().insert(parent);
        Ok(())
    }

    /// Removes what was doomed, unless it is the file of a segment that has come since: a log that
    /// was cut may grow into the same offsets again.
    pub(crate) fn remove_doomed(&self, path: &str) -> Result<(), StorageError> {
        let Some((directory, file)) = path.split_once('/') else {
            // The directory of a deleted log, whose name no other ever has.
            return self.remove_now(path);
        };
        let partition = directory.rsplit_once('-').and_then(|(topic, partition)| {
            Some(TopicPartition::new(topic, partition.parse().ok()?))
        });
        let logs = self.logs.read();
        let Some(log) = partition.and_then(|partition| logs.by_name.get(&partition).cloned())
        else {
            // With the list locked, so that no log of this name is made meanwhile.
            return self.remove_now(path);
        };
        drop(logs);
        // Whoever makes a file of the log has this lock.
        let _flush = log.flush.lock();
        let base = file.split('.').next().and_then(|base| base.parse().ok()).map(Offset);
        let is_live = {
            let state = log.state.lock();
            // All files of one that was deleted go with their directory.
            state.deleted || state.segments.iter().any(|segment| Some(segment.base) == base)
        };
        if is_live { Ok(()) } else { self.remove_now(path) }
    }

    /// The directory was closed: whoever still holds a log of it is told that it is offline.
    pub(super) fn closed(&self) {
        let name = self.path.display();
        self.take_offline(&StorageError::Config(format!("log directory \"{name}\" was closed")));
        self.logs.write().by_name.clear();
        self.lock.lock().take();
    }

    /// Deletes a log for good.
    pub(super) fn delete(&self, log: &Arc<Log>) -> Result<(), StorageError> {
        let lsn = {
            let mut state = log.state.lock();
            if state.deleted {
                return Err(StorageError::LogUnknown(log.partition().clone()));
            }
            let mut deleting = self.deleting.lock();
            let lsn = log.enter_small(&mut state, EntryKind::Delete, Vec::new());
            deleting.insert(log.id(), lsn);
            drop(deleting);
            state.deleted = true;
            self.give_back_chunks(&mut state);
            lsn
        };
        self.wait_durable(lsn)?;
        // Nobody writes its files any more when this lock is ours.
        let _flush = log.flush.lock();
        self.cold.forget_log(log.id());
        // The log is gone; if its files cannot be moved, nobody else can have its name.
        let doomed =
            self.rename_away(log.partition(), log.id()).inspect_err(|error| self.fail(error))?;
        {
            let mut deleting = self.deleting.lock();
            self.doomed.lock().push(Doomed { deleted_log: Some(log.id()), path: doomed });
            deleting.remove(&log.id());
        }
        // Only now is the name free for another log.
        self.logs.write().by_name.remove(log.partition());
        self.background_bell.ring();
        Ok(())
    }

    /// Lets go of the memory of a log that was deleted.
    pub(super) fn forget(&self, log: &Log) {
        let mut state = log.state.lock();
        state.deleted = true;
        self.give_back_chunks(&mut state);
    }

    pub(crate) fn give_back_chunks(&self, state: &mut LogState) {
        let dirty: usize = state.chunks.iter().map(|chunk| chunk.len() - chunk.written).sum();
        self.tail.sub_dirty(dirty as u64);
        for chunk in state.chunks.drain(..) {
            self.tail.give_back(chunk);
        }
    }

    /// Renames the directory of a deleted log, unless that was done already. Gives the new name.
    pub(super) fn rename_away(
        &self,
        partition: &TopicPartition,
        log_id: u64,
    ) -> Result<String, StorageError> {
        let name = doomed_name(partition, log_id);
        let disk = self.env.disk.as_ref();
        let (from, to) = (self.path.join(partition.to_string()), self.path.join(&name));
        let is_there = |path: &Path| disk.metadata(path).doing("look at", path);
        if is_there(&to)?.is_none() && is_there(&from)?.is_some() {
            disk.rename(&from, &to).doing("rename", &from)?;
        }
        Ok(name)
    }

    pub(crate) fn figures(&self) -> DirFigures {
        let figures = &self.journal.figures;
        let load = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let files = self.journal.with_synced(|writer| writer.ring.file_count())
            + self.journal.with_buffered(|writer| writer.ring.file_count());
        DirFigures {
            commits: load(&figures.commits),
            journal_bytes: load(&figures.bytes),
            commit_ns: load(&figures.commit_ns),
            buffered_syncs: load(&figures.syncs_buffered),
            segment_bytes: load(&self.segment_bytes_written),
            checkpoints: load(&self.checkpoints),
            tail_bytes: self.tail.used_bytes(),
            dirty_bytes: self.tail.dirty_bytes(),
            journal_uncovered_bytes: self.journal_bytes_uncovered(),
            block_cache_bytes: self.cold.cache.used_bytes(),
            journal_files: files as u64,
            scrubbed_bytes: load(&self.scrubbed_bytes),
            scrub_findings: load(&self.scrub_findings),
            indexes_rebuilt: load(&self.indexes_rebuilt),
        }
    }

    /// From now on only what is needed to stop is done.
    pub(super) fn begin_close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// How long a worker sleeps when it has nothing to do.
    pub(crate) fn idle(&self) -> Duration {
        self.config.checkpoint_after_quiet / 2
    }
}

/// The name of a deleted log's directory, in the form that Kafka gives it and removes itself.
fn doomed_name(partition: &TopicPartition, log_id: u64) -> String {
    const NAME_BYTES_MAX: usize = 255;
    let suffix = format!("-{}.{log_id:032x}-delete", partition.partition);
    let topic = &partition.topic[..partition.topic.len().min(NAME_BYTES_MAX - suffix.len())];
    format!("{topic}{suffix}")
}
