//! Why a batch is refused, with a list of the records at fault (KIP-467).

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{Offset, ProducerId};
use afluente_protocol::records::RecordsError;

/// How many records at fault an error lists. A batch can hold more than a hundred thousand; what
/// is not listed is refused with the batch all the same.
const FAULTS_LISTED_MAX: usize = 256;

/// Why a batch is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBatch {
    /// There is no batch.
    #[error("the request has no record batch for this partition")]
    Empty,
    /// There is more than one, or something else behind it.
    #[error("{bytes} bytes follow the record batch, and there must be exactly one for a partition")]
    NotAlone {
        /// How much follows.
        bytes: usize,
    },
    /// A producer counts offsets from 0.
    #[error("the base offset of the record batch is {found}, expected 0")]
    BaseOffset {
        /// What the batch says.
        found: Offset,
    },
    /// Larger than `max.message.bytes`.
    #[error("the record batch has {bytes} bytes, more than max.message.bytes allows, {bytes_max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// What is allowed.
        bytes_max: usize,
    },
    /// The header does not agree with itself.
    #[error(
        "the record batch says that it has {record_count} records and last offset delta {last_offset_delta}"
    )]
    Counts {
        /// What the header says.
        last_offset_delta: i32,
        /// What the header says.
        record_count: i32,
    },
    /// Control records are for brokers.
    #[error("clients must not write control records")]
    Control,
    /// An idempotent producer numbers its records.
    #[error(
        "the record batch of producer {producer_id} has base sequence {base_sequence}, which is no sequence number"
    )]
    Sequence {
        /// Whose batch.
        producer_id: ProducerId,
        /// What the header says.
        base_sequence: i32,
    },
    /// A leader's batch that would go behind what is here already.
    #[error("the record batch from the leader begins at offset {found}, expected at least {next}")]
    OffsetsFall {
        /// Where it begins.
        found: Offset,
        /// The end of what is here.
        next: Offset,
    },
    /// The bytes are no batch, or not what was sent, or records in it cannot be read.
    #[error(transparent)]
    Unreadable(RecordsError),
    /// Records that may not be written.
    #[error("{count} records are refused, the first because {}", faults.first().map_or("", |fault| fault.message.as_str()))]
    Records {
        /// How many.
        count: usize,
        /// Whether a timestamp is among the reasons.
        is_timestamp: bool,
        /// The first of them.
        faults: Vec<RecordFault>,
    },
}

/// A record that may not be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordFault {
    /// Its place in the batch, from 0.
    pub index: i32,
    /// Why.
    pub message: String,
}

impl InvalidBatch {
    /// What a client is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::TooLarge { .. } => ErrorCode::MessageTooLarge,
            Self::Records { is_timestamp: true, .. } => ErrorCode::InvalidTimestamp,
            // To a broker, both of these are a request without a batch that it takes.
            Self::Unreadable(RecordsError::LegacyFormat(_) | RecordsError::Truncated { .. })
            | Self::Empty
            | Self::NotAlone { .. }
            | Self::BaseOffset { .. }
            | Self::Counts { .. }
            | Self::Control
            | Self::Sequence { .. }
            | Self::Records { .. } => ErrorCode::InvalidRecord,
            Self::OffsetsFall { .. } => ErrorCode::UnknownServerError,
            Self::Unreadable(error) => error.code(),
        }
    }

    /// The records at fault; empty if it is the batch.
    #[must_use]
    pub fn record_faults(&self) -> &[RecordFault] {
        match self {
            Self::Records { faults, .. } => faults,
            _ => &[],
        }
    }
}

impl From<RecordsError> for InvalidBatch {
    fn from(error: RecordsError) -> Self {
        Self::Unreadable(error)
    }
}

/// What kind of fault it is: it decides the error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultKind {
    Record,
    Timestamp,
}

/// The records at fault so far.
#[derive(Default)]
pub(super) struct Faults {
    count: usize,
    is_timestamp: bool,
    listed: Vec<RecordFault>,
}

impl Faults {
    #[cold]
    pub(super) fn add(&mut self, index: i32, (kind, message): (FaultKind, String)) {
        self.count += 1;
        self.is_timestamp |= kind == FaultKind::Timestamp;
        if self.listed.len() < FAULTS_LISTED_MAX {
            self.listed.push(RecordFault { index, message });
        }
    }

    pub(super) fn into_result(self) -> Result<(), InvalidBatch> {
        if self.count == 0 {
            return Ok(());
        }
        let Self { count, is_timestamp, listed: faults } = self;
        Err(InvalidBatch::Records { count, is_timestamp, faults })
    }
}
