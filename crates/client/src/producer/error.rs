//! What can go wrong with producing alone, and what a program can do about it (KIP-1050).

use crate::error::Error;
use afluente_protocol::error_code::ErrorCode;
use std::time::Duration;

/// Why a record was not sent, or a call of a producer failed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ProducerError {
    /// A record is larger than a limit of the configuration.
    #[error("the record has {bytes} bytes with everything around it, and {key} allows {max}")]
    RecordTooLarge {
        /// Its size in a batch.
        bytes: usize,
        /// What is allowed.
        max: usize,
        /// The key of the configuration.
        key: &'static str,
    },
    /// No memory came free within `max.block.ms`: records come in faster than they go out.
    #[error("no {wanted} bytes of buffer.memory came free within {} ms", .after.as_millis())]
    BufferExhausted {
        /// What was asked for.
        wanted: usize,
        /// How long it was waited for.
        after: Duration,
    },
    /// A record was not acknowledged within `delivery.timeout.ms`. It may have been written.
    #[error(
        "a record for {topic}-{partition} was not acknowledged within {} ms{}",
        .after.as_millis(), because(.last)
    )]
    DeliveryTimedOut {
        /// The topic.
        topic: String,
        /// The partition.
        partition: i32,
        /// How long it was tried.
        after: Duration,
        /// What went wrong last, if anything did.
        last: Option<Box<Error>>,
    },
    /// The record names a partition that the topic does not have.
    #[error("topic {topic} has {count} partitions, and none of number {partition}")]
    NoSuchPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: i32,
        /// What there is.
        count: usize,
    },
    /// The record cannot be put into a batch.
    #[error("the record is not valid: {problem}")]
    InvalidRecord {
        /// Why.
        problem: String,
    },
    /// Another record of the same batch was refused.
    #[error("another record of the batch is not valid, so none of it was written")]
    BatchMateInvalid,
    /// The call does not fit the state that the producer is in.
    #[error("{called} cannot be called: {state}")]
    IllegalState {
        /// The call.
        called: &'static str,
        /// How things are.
        state: &'static str,
    },
    /// The record was dropped, since its transaction was aborted before it was sent.
    #[error("the transaction was aborted before the record was sent")]
    TransactionAborted,
    /// The transaction cannot be committed any more: abort it to go on.
    #[error("the transaction has to be aborted: {cause}")]
    Abortable {
        /// Why.
        cause: Box<Error>,
    },
    /// A newer producer with the same `transactional.id` has taken over. Close this one.
    #[error("a newer producer has taken over {transactional_id}")]
    Fenced {
        /// The transactional id.
        transactional_id: String,
    },
    /// The producer cannot go on. Close it, and make a new one once the cause is removed.
    #[error("the producer cannot go on: {cause}")]
    Fatal {
        /// Why.
        cause: Box<Error>,
    },
}

/// What a program can do about an error; the names are those of KIP-1050.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorHandling {
    /// Call again: it may succeed.
    Retriable,
    /// As above, once newer metadata has come in, which happens by itself.
    RefreshRetriable,
    /// Abort the transaction and do it again.
    Abortable,
    /// Close this producer and go on with a new one.
    ApplicationRecoverable,
    /// Change the configuration, or the rights of this client.
    InvalidConfiguration,
    /// It concerns this one record or call; nothing in general helps.
    Other,
}

impl ProducerError {
    /// Kafka's code for it, if there is one.
    #[must_use]
    pub fn error_code(&self) -> Option<ErrorCode> {
        match self {
            Self::RecordTooLarge { .. } => Some(ErrorCode::MessageTooLarge),
            Self::BufferExhausted { .. } => Some(ErrorCode::RequestTimedOut),
            Self::DeliveryTimedOut { last, .. } => last
                .as_ref()
                .and_then(|last| last.error_code())
                .or(Some(ErrorCode::RequestTimedOut)),
            Self::InvalidRecord { .. } | Self::BatchMateInvalid => Some(ErrorCode::InvalidRecord),
            Self::Fenced { .. } => Some(ErrorCode::ProducerFenced),
            Self::Abortable { cause } | Self::Fatal { cause } => cause.error_code(),
            Self::NoSuchPartition { .. } => Some(ErrorCode::UnknownTopicOrPartition),
            Self::IllegalState { .. } | Self::TransactionAborted => None,
        }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        matches!(self, Self::BufferExhausted { .. } | Self::DeliveryTimedOut { .. })
    }

    /// What can be done about it.
    #[must_use]
    pub fn handling(&self) -> ErrorHandling {
        match self {
            Self::BufferExhausted { .. } | Self::DeliveryTimedOut { .. } => {
                ErrorHandling::Retriable
            }
            Self::Abortable { .. } => ErrorHandling::Abortable,
            Self::Fenced { .. } => ErrorHandling::ApplicationRecoverable,
            Self::Fatal { cause } => match cause.error_code() {
                Some(code) if is_configuration(code) => ErrorHandling::InvalidConfiguration,
                _ => ErrorHandling::ApplicationRecoverable,
            },
            Self::RecordTooLarge { .. } => ErrorHandling::InvalidConfiguration,
            Self::NoSuchPartition { .. }
            | Self::InvalidRecord { .. }
            | Self::BatchMateInvalid
            | Self::IllegalState { .. }
            | Self::TransactionAborted => ErrorHandling::Other,
        }
    }
}

impl Error {
    /// What a program that produces can do about it (KIP-1050).
    #[must_use]
    pub fn handling(&self) -> ErrorHandling {
        if let Self::Producer(error) = self {
            return error.handling();
        }
        match self.error_code() {
            Some(ErrorCode::TransactionAbortable) => ErrorHandling::Abortable,
            Some(code) if is_configuration(code) => ErrorHandling::InvalidConfiguration,
            Some(
                ErrorCode::ProducerFenced
                | ErrorCode::InvalidProducerEpoch
                | ErrorCode::InvalidProducerIdMapping
                | ErrorCode::FencedInstanceId
                | ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId,
            ) => ErrorHandling::ApplicationRecoverable,
            _ if matches!(self, Self::Config(_)) => ErrorHandling::InvalidConfiguration,
            _ if self.is_retriable() && self.is_stale_metadata() => ErrorHandling::RefreshRetriable,
            _ if self.is_retriable() => ErrorHandling::Retriable,
            _ => ErrorHandling::Other,
        }
    }
}

/// Whether the configuration of the client, its rights, or the version of a broker is the cause.
fn is_configuration(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::TransactionalIdAuthorizationFailed
            | ErrorCode::SaslAuthenticationFailed
            | ErrorCode::UnsupportedSaslMechanism
            | ErrorCode::UnsupportedVersion
            | ErrorCode::InvalidTransactionTimeout
            | ErrorCode::InvalidTopicException
            | ErrorCode::InvalidRequiredAcks
    )
}

fn because(last: &Option<Box<Error>>) -> String {
    last.as_ref().map_or_else(String::new, |last| format!("; the last attempt: {last}"))
}
