//! What can go wrong with consuming alone, and what a program can do about it.

use crate::config::ConfigError;
use crate::error::Error;
use crate::topic_partition::TopicPartition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::RecordsError;

/// Why a call of a consumer failed. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ConsumerError {
    /// Anything that can go wrong with any request.
    #[error(transparent)]
    Client(#[from] Error),
    /// There is no committed offset, and `auto.offset.reset` is `none`.
    #[error(
        "{partition} has no committed offset, and auto.offset.reset is none; seek, or commit one"
    )]
    NoOffset {
        /// The partition.
        partition: TopicPartition,
    },
    /// The log does not reach to the position, and `auto.offset.reset` is `none`.
    #[error(
        "offset {offset} is outside of the log of {partition}, and auto.offset.reset is none; \
         seek to another one"
    )]
    OffsetOutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: i64,
    },
    /// A new leader does not have what was read, and `auto.offset.reset` is `none` (KIP-320).
    #[error(
        "{partition} was truncated: offset {offset} was read, and the log only agrees up to {}",
        .diverges_at.map_or_else(|| "an unknown offset".to_owned(), |at| at.to_string())
    )]
    LogTruncated {
        /// The partition.
        partition: TopicPartition,
        /// The position.
        offset: i64,
        /// The first offset that is not what was read, if the leader knows it.
        diverges_at: Option<i64>,
    },
    /// Records cannot be read. A program may seek past them.
    #[error("records of {partition} from offset {offset} on cannot be read: {problem}")]
    UnreadableRecords {
        /// The partition.
        partition: TopicPartition,
        /// The position, to which nothing was read.
        offset: i64,
        /// What is wrong with them.
        problem: RecordsError,
    },
    /// Offsets could not be committed: the partitions may belong to another member by now.
    #[error("offsets of group {group} were not committed: {code}; poll to join again")]
    CommitFailed {
        /// The group.
        group: String,
        /// Why.
        code: ErrorCode,
    },
    /// The call needs a group, and the configuration has no `group.id`.
    #[error("there is no group.id, which {what} needs")]
    NoGroup {
        /// What was called.
        what: &'static str,
    },
    /// The partition is not assigned to this consumer.
    #[error("{partition} is not assigned to this consumer")]
    NotAssigned {
        /// The partition.
        partition: TopicPartition,
    },
    /// The call does not fit what was called before.
    #[error("{what}")]
    IllegalState {
        /// What does not fit, and what would.
        what: String,
    },
    /// A pattern is not a regular expression.
    #[error("{pattern:?} is not a regular expression: {problem}")]
    InvalidPattern {
        /// As given.
        pattern: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The assignor of this consumer, the leader of its group, gave no assignment.
    #[error("assignor {assignor} of group {group} failed: {problem}")]
    AssignorFailed {
        /// The group.
        group: String,
        /// The assignor.
        assignor: String,
        /// Why.
        problem: String,
    },
    /// Another call of [`Consumer::poll`](super::Consumer::poll) has not ended.
    #[error("the consumer is being polled elsewhere")]
    ConcurrentPoll,
    /// It was woken up ([`Consumer::wakeup`](super::Consumer::wakeup)).
    #[error("the consumer was woken up")]
    WokenUp,
    /// It was closed.
    #[error("the consumer is closed")]
    Closed,
}

impl ConsumerError {
    /// Kafka's code for it, if there is one.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::Client(error) => error.error_code(),
            Self::CommitFailed { code, .. } => Some(*code),
            Self::OffsetOutOfRange { .. } => Some(ErrorCode::OffsetOutOfRange),
            Self::UnreadableRecords { .. } => Some(ErrorCode::CorruptMessage),
            Self::InvalidPattern { .. } => Some(ErrorCode::InvalidRegularExpression),
            _ => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        match self {
            Self::Client(error) => error.is_retriable(),
            Self::CommitFailed { code, .. } => *code == ErrorCode::RebalanceInProgress,
            Self::WokenUp => true,
            _ => false,
        }
    }
}

impl From<ConfigError> for ConsumerError {
    fn from(error: ConfigError) -> Self {
        Self::Client(error.into())
    }
}
