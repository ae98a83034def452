//! The log of a partition, and many logs on one directory.
//!
//! Knows nothing about sockets, requests, groups or clusters; it reaches the disk through `env`.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that is cut on its way to the wire or the disk is lost data"
    )
)]

mod append;
mod block_cache;
mod checkpoint;
mod cold_read;
pub mod compaction;
mod error;
pub mod import;
pub mod index_error;
mod journal;
pub mod kafka_files;
pub mod leader_epochs;
mod log;
pub mod log_config;
mod log_dir;
pub mod offset_index;
pub mod origin;
pub mod producer_state;
mod read;
mod segment;
pub mod segment_index;
mod tail;
pub mod time_index;
mod topic_partition;
pub mod txn_index;
pub mod validate;

pub use append::{AppendError, AppendOptions, Appended};
pub use error::StorageError;
pub use journal::replay::TornTail;
pub use log::{Log, TimestampFound, TimestampQuery};
pub use log_dir::{
    Advance, CleanerConfig, DirFigures, DirState, LogDir, LogDirConfig, LogObserver, OpenReport,
};
pub use read::{ColdRead, ReadData, ReadError, ReadOutcome, ReadRequest, UpTo};
pub use topic_partition::TopicPartition;

/// The file by which a log directory of ours is told from one of Apache Kafka.
pub const CHECKPOINT_FILE: &str = "afluente.checkpoint";
