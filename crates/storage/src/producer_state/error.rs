//! Why a producer's batch was refused.

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};

/// Why a producer's batch was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProducerError {
    /// A newer instance of the producer has written here, or is about to.
    #[error(
        "epoch {epoch} of producer {producer_id} is older than its last known epoch {current}, or was ended by it"
    )]
    Fenced {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The newest epoch that is known.
        current: ProducerEpoch,
    },
    /// Records are missing before this batch, or it is older than all that is remembered.
    #[error(
        "sequence number {found} of producer {producer_id} (epoch {epoch}) is out of order: expected {expected}"
    )]
    OutOfOrder {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// The epoch of the batch.
        epoch: ProducerEpoch,
        /// The sequence number that would have been right.
        expected: i32,
        /// The first sequence number of the batch.
        found: i32,
    },
    /// A batch outside of any transaction while the producer has one open.
    #[error(
        "producer {producer_id} has a transaction open since offset {txn_start}: its batch must be transactional"
    )]
    NotTransactional {
        /// Whose batch it is.
        producer_id: ProducerId,
        /// Where the transaction begins.
        txn_start: Offset,
    },
    /// A transaction begins here of which the coordinator does not know.
    #[error(
        "the batch of producer {producer_id} is not part of a transaction that its coordinator has verified"
    )]
    NotVerified {
        /// Whose batch it is.
        producer_id: ProducerId,
    },
    /// A marker from a coordinator that has been replaced.
    #[error(
        "the marker for producer {producer_id} comes from coordinator epoch {epoch}, but {current} has written here"
    )]
    CoordinatorFenced {
        /// Whose transaction it would end.
        producer_id: ProducerId,
        /// The epoch of the coordinator that wrote the marker.
        epoch: i32,
        /// The newest coordinator epoch that is known.
        current: i32,
    },
}

impl ProducerError {
    /// What a client is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Fenced { .. } => ErrorCode::InvalidProducerEpoch,
            Self::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
            Self::NotTransactional { .. } | Self::NotVerified { .. } => ErrorCode::InvalidTxnState,
            Self::CoordinatorFenced { .. } => ErrorCode::TransactionCoordinatorFenced,
        }
    }
}
