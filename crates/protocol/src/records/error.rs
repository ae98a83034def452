//! What can be wrong with a record batch, and the Kafka error code that says so to a client.

use super::{BATCH_HEADER_BYTES, CodecId};
use crate::error_code::ErrorCode;
use crate::numbers::Offset;

/// A record batch that cannot be read or must not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordsError {
    /// The buffer ends inside a batch. At the end of a fetch response this is usual and harmless.
    #[error("record batch is cut short: {available} bytes are there, {needed} are needed")]
    Truncated {
        /// Bytes that the batch, or its header, occupies.
        needed: usize,
        /// Bytes that the buffer holds from the beginning of the batch.
        available: usize,
    },
    /// The length field is too small for a batch header.
    #[error("record batch length {length} is below the minimum of {minimum}")]
    LengthBelowMinimum {
        /// The value of the length field.
        length: i32,
        /// The smallest legal value.
        minimum: i32,
    },
    /// Message format v0 or v1, which Kafka 4 reads from disk but does not take from the wire.
    #[error("message format v{0} is not supported here, only v2 is")]
    LegacyFormat(i8),
    /// A magic byte that no Kafka version has written.
    #[error("unknown record batch magic {0}, expected 2")]
    UnknownMagic(i8),
    /// The checksum disagrees with the bytes.
    #[error("record batch is corrupt: its CRC says {stored:#010x}, its bytes say {computed:#010x}")]
    CrcMismatch {
        /// The checksum in the header.
        stored: u32,
        /// The checksum of the bytes.
        computed: u32,
    },
    /// Attribute bits 0–2 name no codec.
    #[error("unknown compression codec {0} in the record batch attributes")]
    UnknownCodec(u8),
    /// A count that cannot be negative is.
    #[error("record batch has a negative {field}: {value}")]
    Negative {
        /// The header field.
        field: &'static str,
        /// What it holds.
        value: i64,
    },
    /// The last offset of the batch does not exist.
    #[error("record batch offsets overflow: base offset {base_offset}, delta {last_offset_delta}")]
    OffsetOverflow {
        /// The base offset of the batch.
        base_offset: Offset,
        /// The last offset delta of the batch.
        last_offset_delta: i32,
    },
    /// The records section is not what the codec writes.
    #[error("could not decompress {codec} records: {reason}")]
    Undecodable {
        /// The codec of the batch.
        codec: CodecId,
        /// What the codec found.
        reason: String,
    },
    /// The records section decompresses to more than the caller allows.
    #[error("{codec} records decompress to more than {bytes_max} bytes")]
    TooLargeUncompressed {
        /// The codec of the batch.
        codec: CodecId,
        /// The limit.
        bytes_max: usize,
    },
    /// A record inside the batch cannot be read.
    #[error("record {index} of the batch is malformed: {reason}")]
    BadRecord {
        /// Which record, from 0.
        index: i32,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// There are more bytes than records.
    #[error("{bytes} bytes are left after the {count} records of the batch")]
    TrailingBytes {
        /// The record count of the header.
        count: i32,
        /// What is left.
        bytes: usize,
    },
    /// A control record has a key or a value that Kafka would not write.
    #[error("control record is malformed: {0}")]
    BadControlRecord(&'static str),
    /// A record was to be written before or too far after others.
    #[error("offset {offset} cannot follow offset {after} in one batch")]
    OffsetOutOfOrder {
        /// The offset of the record.
        offset: Offset,
        /// The last offset, or the base offset, of the batch.
        after: Offset,
    },
    /// A record was to be written with a negative timestamp that is not -1.
    #[error("invalid negative timestamp {0}")]
    BadTimestamp(i64),
    /// A batch to be written is larger than its length field can say.
    #[error("record batch of {bytes} bytes exceeds 2 GiB")]
    BatchTooLarge {
        /// Bytes of the records section.
        bytes: usize,
    },
}

impl RecordsError {
    /// The Kafka error code with which a broker refuses such a batch.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Truncated { .. }
            | Self::LengthBelowMinimum { .. }
            | Self::UnknownMagic(_)
            | Self::CrcMismatch { .. } => ErrorCode::CorruptMessage,
            Self::UnknownCodec(_) => ErrorCode::UnsupportedCompressionType,
            // Kafka 4 says so too, although there is UNSUPPORTED_FOR_MESSAGE_FORMAT.
            Self::LegacyFormat(_)
            | Self::Negative { .. }
            | Self::OffsetOverflow { .. }
            | Self::Undecodable { .. }
            | Self::BadRecord { .. }
            | Self::TrailingBytes { .. }
            | Self::BadControlRecord(_)
            | Self::OffsetOutOfOrder { .. } => ErrorCode::InvalidRecord,
            Self::BadTimestamp(_) => ErrorCode::InvalidTimestamp,
            Self::TooLargeUncompressed { .. } | Self::BatchTooLarge { .. } => {
                ErrorCode::MessageTooLarge
            }
        }
    }

    /// Whether sending the same records again may succeed.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.code().is_retriable()
    }

    /// A buffer that ends inside the fixed header.
    pub(crate) fn header_cut_short(available: usize) -> Self {
        Self::Truncated { needed: BATCH_HEADER_BYTES, available }
    }
}
