//! Runs a topology on a cluster, ours or Apache's: threads that read, let records through their tasks, write, and commit.
//!
//! [`KafkaStreams`] is started in as many processes as one likes. Each has stream threads; the group of the application's name
//! gives each thread tasks, and moves them when threads come and go.
//!
//! | module | what it knows |
//! |---|---|
//! | [`KafkaStreams`], [`RunningStreams`] | starting, watching, pausing, closing |
//! | [`StreamsConfig`] | Kafka's configuration keys of an application |
//! | `topics` | source, repartition and changelog topics; co-partitioning |
//! | `assignor` | which thread gets which task, and who stands by |
//! | `thread` | the loop of a thread; beginning anew |
//! | `tasks`, `task` | the order of records by time, across the inputs of a task |
//! | `restore`, `global` | filling stores from changelogs, and global tables from topics |
//! | [`StoreView`], [`KeyHosts`] | what the stores here hold, and who has the rest |
//! | `output` | the producer: acknowledged, or in a transaction with the offsets |
//!
//! # What is promised
//! With `at_least_once`, offsets are committed after what came of their records is acknowledged. With `exactly_once_v2`,
//! results, changelogs and offsets are one transaction. A thread that fails leaves everything as of its last commit; whoever
//! gets its tasks fills their stores from the changelogs up to there, and goes on.
//!
//! # Not here
//! Stores on disk (they are in memory, and filled from their changelogs at each start), warm-up replicas, rack tags,
//! sources by pattern, queries answered over HTTP, Kafka's streams groups (KIP-1071).

mod assignor;
mod config;
mod error;
mod global;
mod handle;
mod keys;
mod offset_metadata;
mod output;
mod query;
mod restore;
mod task;
mod tasks;
mod thread;
mod topics;

pub use config::{Guarantee, StreamsConfig};
pub use error::RuntimeError;
pub use handle::{KafkaStreams, RunningStreams, State, StateListener, ThreadErrorHandler};
pub use keys::STREAMS as STREAMS_KEYS;
pub use query::{KeyHosts, StoreView};

use std::sync::atomic::{AtomicU64, Ordering};

/// What an instance has done so far.
#[derive(Debug, Default)]
pub struct StreamMetrics {
    processed: AtomicU64,
    written: AtomicU64,
    restored: AtomicU64,
    restored_bytes: AtomicU64,
    commits: AtomicU64,
    tasks: AtomicU64,
}

impl StreamMetrics {
    /// Records that were processed.
    #[must_use]
    pub fn processed(&self) -> u64 {
        self.processed.load(Ordering::Relaxed)
    }

    /// Records that were written, changelogs and repartition topics too.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Records that were read from changelogs and global topics to fill stores.
    #[must_use]
    pub fn restored(&self) -> u64 {
        self.restored.load(Ordering::Relaxed)
    }

    /// Bytes of keys and values of those that came from changelogs.
    #[must_use]
    pub fn restored_bytes(&self) -> u64 {
        self.restored_bytes.load(Ordering::Relaxed)
    }

    /// Commits.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.commits.load(Ordering::Relaxed)
    }

    /// Tasks at work, of the thread that changed last.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        self.tasks.load(Ordering::Relaxed)
    }
}
