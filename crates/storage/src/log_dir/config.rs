//! The sizes and times of a log directory.

use crate::error::StorageError;
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// How a log directory is run. The defaults of [`LogDirConfig::for_memory`] suit nearly everybody.
#[derive(Debug, Clone)]
pub struct LogDirConfig {
    /// Memory for the newest records of all logs, dirty and clean together.
    pub tail_bytes: u64,
    /// Memory for blocks of segments that catch-up readers share.
    pub block_cache_bytes: u64,
    /// The size of one journal file.
    pub journal_file_bytes: u64,
    /// All files of one ring of the journal together; it grows up to this as it is needed.
    pub journal_bytes_max: u64,
    /// Journal bytes that may wait for a checkpoint: what recovery has to read, about.
    pub checkpoint_bytes: u64,
    /// A checkpoint is made after so long without an append, so that a start after a crash finds
    /// nothing to do.
    pub checkpoint_after_quiet: Duration,
    /// And at the latest after so long.
    pub checkpoint_interval: Duration,
    /// How often logs are looked through for segments that are to go
    /// (`log.retention.check.interval.ms`).
    pub retention_interval: Duration,
    /// When and how logs are compacted; [`LogDir::set_cleaner`](super::LogDir::set_cleaner) changes
    /// it.
    pub cleaner: CleanerConfig,
    /// How often every closed segment is read, to find damage while it can be mended.
    pub scrub_interval: Duration,
    /// No faster than this.
    pub scrub_bytes_per_second: u64,
    /// With `durability=replicated`, records are durable after so long.
    pub buffered_sync_interval: Duration,
    /// And after so many bytes.
    pub buffered_sync_bytes: u64,
}

/// Compaction, of the directory as a whole; each field names its broker key.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerConfig {
    /// Whether logs are compacted at all (`log.cleaner.enable`).
    pub is_enabled: bool,
    /// Between two looks at all logs (`log.cleaner.backoff.ms`).
    pub backoff: Duration,
    /// Reading and writing together, on average: after each pass over a log the next one waits for
    /// it (`log.cleaner.io.max.bytes.per.second`).
    pub bytes_per_second_max: f64,
    /// Memory for the keys of one pass (`log.cleaner.dedupe.buffer.size`).
    pub keys_bytes_max: usize,
}

impl Default for CleanerConfig {
    /// Kafka's, but for less memory.
    fn default() -> Self {
        Self {
            is_enabled: true,
            backoff: Duration::from_secs(15),
            bytes_per_second_max: f64::MAX,
            keys_bytes_max: 32 << 20,
        }
    }
}

impl LogDirConfig {
    /// The defaults where the process may count on `memory_bytes`.
    ///
    /// An eighth of the memory is the cache, but at least 128 MiB (or a quarter, if that is less)
    /// and at most 1 GiB: the tail only has to hold what consumers that keep up have not read yet,
    /// and some seconds of that are far less than 1 GiB on any disk. Three quarters of it are for
    /// the tail, the rest for catch-up readers. See `docs/storage.md` for the measurements.
    #[must_use]
    pub fn for_memory(memory_bytes: u64) -> Self {
        let cache_bytes =
            (memory_bytes / 8).clamp(128 * MIB, 1024 * MIB).min(memory_bytes / 4).max(16 * MIB);
        Self::for_cache(cache_bytes)
    }

    /// The defaults where memory for records is `cache_bytes`, of the newest and of those read from
    /// the disk together; at least 16 MiB.
    #[must_use]
    pub fn for_cache(cache_bytes: u64) -> Self {
        let cache_bytes = cache_bytes.max(16 * MIB);
        let tail_bytes = cache_bytes / 4 * 3;
        // What waits for a checkpoint lies in the tail, and must leave room for what comes in
        // while the checkpoint is made.
        let checkpoint_bytes = (tail_bytes / 4).min(128 * MIB);
        Self {
            tail_bytes,
            block_cache_bytes: cache_bytes - tail_bytes,
            journal_file_bytes: 16 * MIB,
            journal_bytes_max: (checkpoint_bytes * 4).max(64 * MIB),
            checkpoint_bytes,
            checkpoint_after_quiet: Duration::from_secs(3),
            checkpoint_interval: Duration::from_secs(30),
            retention_interval: Duration::from_secs(300),
            cleaner: CleanerConfig::default(),
            scrub_interval: Duration::from_secs(7 * 24 * 3600),
            scrub_bytes_per_second: 16 * MIB,
            buffered_sync_interval: Duration::from_millis(50),
            buffered_sync_bytes: 8 * MIB,
        }
    }

    /// Whether the sizes can work together.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        let refuse = |what: &str| Err(StorageError::Config(what.to_owned()));
        if self.journal_file_bytes < MIB || !self.journal_file_bytes.is_multiple_of(4096) {
            return refuse("a journal file has at least 1 MiB and is a multiple of 4,096 bytes");
        }
        if self.journal_bytes_max < 2 * self.journal_file_bytes {
            return refuse("the journal needs room for at least two of its files");
        }
        if self.tail_bytes < 4 * MIB {
            return refuse("the memory for the newest records must be at least 4 MiB");
        }
        Ok(())
    }
}

impl Default for LogDirConfig {
    /// For 4 GiB of memory.
    fn default() -> Self {
        Self::for_memory(4 << 30)
    }
}
