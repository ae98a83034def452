//! One log directory: its journal, its checkpoint, its memory and all its logs.

mod background;
mod close;
mod config;
mod journal_worker;
mod open;
mod scrub;
mod shared;

pub(crate) use close::{read_file, write_file, write_file_unsynced};
pub use config::{CleanerConfig, LogDirConfig};
pub use open::OpenReport;
use shared::User;
pub use shared::{DirFigures, DirState};
pub(crate) use shared::{Doomed, Shared};

use crate::TopicPartition;
use crate::error::StorageError;
use crate::journal::frame::EntryKind;
use crate::log::Log;
use crate::log::state::LogState;
use crate::log_config::LogConfig;
use afluente_env::Env;
use afluente_env::worker::WorkerHandle;
use afluente_protocol::numbers::Offset;
use afluente_protocol::uuid::Uuid;
use parking_lot::Mutex;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A log directory that is open. Cheap to clone.
#[derive(Clone)]
pub struct LogDir {
    shared: Arc<Shared>,
    workers: Arc<Mutex<Vec<WorkerHandle>>>,
    _user: Arc<User>,
}

/// Told what happens to the logs of a directory, on its worker threads. Must not block, and must
/// not wait for anything that the directory does.
pub trait LogObserver: Send + Sync {
    /// These logs have become durable further than before. Once for each group commit.
    fn advanced(&self, advances: &[Advance]);
    /// The directory is out of service: nothing that was not durable yet will be.
    fn dir_offline(&self, reason: &StorageError);
    /// The scrub has found a batch in a file of this log that is not what was written. Nothing was
    /// changed; what comes before it can be read.
    fn damaged(&self, log: &Arc<Log>, what: &StorageError) {
        let _ = (log, what);
    }
    /// Appends were refused with backpressure or for lack of space, and can be tried again.
    fn room(&self) {}
}

/// A log whose durable end has moved.
#[derive(Debug, Clone)]
pub struct Advance {
    /// Which.
    pub log: Arc<Log>,
    /// Everything below is durable.
    pub durable_end: Offset,
}

impl LogDir {
    /// Opens a directory, and makes it where it does not exist: takes its lock, reads the
    /// checkpoint, replays the journal and starts the workers. Reads no segment.
    ///
    /// Recovered logs have the default configuration, and nothing is deleted or compacted in them,
    /// until [`Log::set_config`] tells theirs.
    ///
    /// # Errors
    /// The directory is in use, damaged, or cannot be read or written.
    pub fn open(
        env: &Env,
        path: &Path,
        config: LogDirConfig,
        observer: Arc<dyn LogObserver>,
    ) -> Result<(Self, OpenReport), StorageError> {
        open::open(env, path, config, observer)
    }

    /// Makes an empty log. Nothing is written to the disk for it before its first record.
    ///
    /// # Errors
    /// It exists already, the name is not legal, or the directory is offline.
    pub fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: Uuid,
        config: Arc<LogConfig>,
    ) -> Result<Arc<Log>, StorageError> {
        if !partition.is_legal() {
            return Err(StorageError::BadTopicName(partition.to_string()));
        }
        self.shared.check_online()?;
        self.shared.prepare_for(&config)?;
        let mut logs = self.shared.logs.write();
        if logs.by_name.contains_key(partition) {
            return Err(StorageError::LogExists(partition.clone()));
        }
        let id = logs.next_id;
        logs.next_id += 1;
        let now_ms = self.shared.env.clock.wall_ms();
        let mut state = LogState::new(config, Offset::ZERO, now_ms);
        state.config_known = true;
        let log = Arc::new(Log::new(
            id,
            partition.clone(),
            topic_id,
            Arc::clone(&self.shared),
            state,
            Offset::ZERO,
            Offset::ZERO,
        ));
        let mut payload = topic_id.0.to_vec();
        payload.extend_from_slice(&partition.partition.to_le_bytes());
        payload.extend_from_slice(partition.topic.as_bytes());
        log.enter_small(&mut log.state.lock(), EntryKind::Create, payload);
        logs.by_name.insert(partition.clone(), Arc::clone(&log));
        Ok(log)
    }

    /// The log of a partition.
    #[must_use]
    pub fn log(&self, partition: &TopicPartition) -> Option<Arc<Log>> {
        self.shared.logs.read().by_name.get(partition).cloned()
    }

    /// All logs, by topic and partition.
    #[must_use]
    pub fn logs(&self) -> Vec<Arc<Log>> {
        self.shared.logs.read().by_name.values().cloned().collect()
    }

    /// Deletes a log: it is gone for good when this returns, its files go in the background.
    /// Waits for one group commit.
    ///
    /// # Errors
    /// There is no such log, or the directory is offline.
    pub fn delete_log(&self, partition: &TopicPartition) -> Result<(), StorageError> {
        let log = self.log(partition);
        let log = log.ok_or_else(|| StorageError::LogUnknown(partition.clone()))?;
        self.shared.delete(&log)
    }

    /// How the directory is.
    #[must_use]
    pub fn state(&self) -> DirState {
        self.shared.state()
    }

    /// Its figures, for metrics.
    #[must_use]
    pub fn figures(&self) -> DirFigures {
        self.shared.figures()
    }

    /// Compacts logs in another way from now on.
    pub fn set_cleaner(&self, config: CleanerConfig) {
        *self.shared.cleaner.write() = config;
    }

    /// Stops cleanly: everything is in the segments, Kafka's own files are complete, and the next
    /// start replays nothing. Other handles of this directory find it closed.
    ///
    /// # Errors
    /// The disk failed; the journal still has everything that was acknowledged.
    pub fn close(self) -> Result<(), StorageError> {
        self.stop_workers();
        self.shared.close()
    }

    fn stop_workers(&self) {
        self.shared.begin_close();
        let workers = std::mem::take(&mut *self.workers.lock());
        for worker in workers {
            worker.stop();
        }
    }
}

impl fmt::Debug for LogDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogDir").field("path", &self.shared.path).finish_non_exhaustive()
    }
}
