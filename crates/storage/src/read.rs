//! What a read is asked with and answered with.

use crate::error::StorageError;
use crate::txn_index::AbortedTxn;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::Offset;
use afluente_protocol::rope::Records;

/// What is wanted.
#[derive(Debug, Clone, Copy)]
pub struct ReadRequest {
    /// The batch that holds this offset comes first, or the next one if none does.
    pub offset: Offset,
    /// At most so many bytes.
    pub max_bytes: usize,
    /// Give the first batch even if it is larger than that.
    pub at_least_one_batch: bool,
    /// How far the reader may see.
    pub up_to: UpTo,
}

/// How far a reader may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpTo {
    /// All that was appended: a follower.
    LogEnd,
    /// What is committed: a consumer.
    HighWatermark,
    /// What no open transaction holds back: a consumer with `read_committed`. The aborted
    /// transactions are told along.
    LastStable,
}

/// Whether the bytes were in memory.
#[derive(Debug)]
pub enum ReadOutcome {
    /// Here they are.
    Data(ReadData),
    /// They have to be read from the disk: see [`Log::read_cold`](crate::Log::read_cold).
    Cold(ColdRead),
}

/// What was read.
#[derive(Debug, Clone)]
pub struct ReadData {
    /// Whole batches, in pieces that share the memory they lie in.
    pub records: Records,
    /// Where to go on.
    pub next_offset: Offset,
    /// The high watermark at that time.
    pub high_watermark: Offset,
    /// The last stable offset at that time.
    pub last_stable_offset: Offset,
    /// The start of the log at that time.
    pub start_offset: Offset,
    /// With [`UpTo::LastStable`], the aborted transactions that these records are of.
    pub aborted: Vec<AbortedTxn>,
}

/// A read that needs the disk.
#[derive(Debug)]
pub struct ColdRead {
    pub(crate) request: ReadRequest,
}

/// Why nothing was read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ReadError {
    /// The offset is not in the log.
    #[error("offset {offset} is not between {start} and {end}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// The start of the log.
        start: i64,
        /// The end that this reader may see.
        end: i64,
    },
    /// The log was deleted.
    #[error("the log was deleted")]
    Deleted,
    /// The disk failed, or its bytes are damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReadError {
    /// The Kafka error code that a reader is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Deleted => ErrorCode::UnknownTopicOrPartition,
            Self::Storage(StorageError::Corrupt { .. }) => ErrorCode::CorruptMessage,
            Self::Storage(error) => error.code(),
        }
    }

    /// Whether the same read can succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.code().is_retriable()
    }
}
