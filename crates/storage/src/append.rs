//! What an append is asked with and answered with.

use crate::error::StorageError;
use crate::origin::AppendOrigin;
use crate::producer_state::{ProducerError, VerificationGuard};
use crate::validate::InvalidBatch;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use std::sync::Arc;

/// How batches are to be appended.
#[derive(Debug, Clone, Copy)]
pub struct AppendOptions {
    /// Who wrote them: decides what is checked, and who assigns offsets.
    pub origin: AppendOrigin,
    /// Stamped on each batch, unless it comes from a leader that has done so.
    pub leader_epoch: LeaderEpoch,
    /// The wall clock, in milliseconds.
    pub now_ms: i64,
    /// What [`Log::begin_verification`](crate::Log::begin_verification) gave for this transaction.
    pub guard: VerificationGuard,
    /// `transaction.partition.verification.enable`.
    pub verification_enabled: bool,
    /// The feature level `transaction.version` that the writer of a marker works by.
    pub transaction_version: i16,
}

impl AppendOptions {
    /// For a client's batches outside of any transaction that must be verified.
    #[must_use]
    pub fn client(leader_epoch: LeaderEpoch, now_ms: i64) -> Self {
        Self::by(AppendOrigin::Client, leader_epoch, now_ms)
    }

    /// For batches of that origin, with nothing to verify.
    #[must_use]
    pub fn by(origin: AppendOrigin, leader_epoch: LeaderEpoch, now_ms: i64) -> Self {
        Self {
            origin,
            leader_epoch,
            now_ms,
            guard: VerificationGuard::NONE,
            verification_enabled: false,
            transaction_version: 0,
        }
    }
}

/// Where batches went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// The offset of the first record.
    pub base_offset: Offset,
    /// The offset after the last record. Acknowledge when the log's durable end has reached it.
    pub end: Offset,
    /// The timestamp they were given, where the topic has `LogAppendTime`.
    pub log_append_time_ms: Option<i64>,
    /// The log's start offset.
    pub start_offset: Offset,
    /// They were in the log already: a producer has sent them again.
    pub duplicate: bool,
}

/// Why batches were not appended. Nothing has changed then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AppendError {
    /// The batches do not fit into one segment.
    #[error("{size} bytes of record batches do not fit into a segment of {max} bytes")]
    BatchesTooLarge {
        /// Their size in bytes.
        size: usize,
        /// `segment.bytes`.
        max: usize,
    },
    /// The batches are damaged, or break a rule of the topic or of the protocol.
    #[error(transparent)]
    Invalid(#[from] InvalidBatch),
    /// The producer's sequence, epoch or transaction is not what it should be.
    #[error(transparent)]
    Producer(#[from] ProducerError),
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// The directory is out of service.
    #[error("the log directory is offline")]
    Offline(#[source] Arc<StorageError>),
    /// The file system is full. Passes by itself when there is room.
    #[error("the disk of the log directory is full")]
    NoSpace,
    /// Appends come in faster than the disk takes them; told again through
    /// [`LogObserver::room`](crate::LogObserver::room).
    #[error("the memory for records that wait for the disk is used up")]
    Backpressure,
}

impl AppendError {
    /// The Kafka error code that a producer is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::BatchesTooLarge { .. } => ErrorCode::RecordListTooLarge,
            Self::Invalid(error) => error.code(),
            Self::Producer(error) => error.code(),
            Self::Deleted => ErrorCode::UnknownTopicOrPartition,
            Self::Offline(_) | Self::NoSpace => ErrorCode::KafkaStorageError,
            Self::Backpressure => ErrorCode::RequestTimedOut,
        }
    }

    /// Whether the same batches can be appended later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.code().is_retriable()
    }
}
