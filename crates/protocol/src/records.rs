//! Record batches: the unit in which records travel, rest on disk and are checksummed (KIP-98).
//!
//! A batch is opaque from the socket to the disk: only its [`BatchHeader`] is parsed, in place, and
//! whoever stores the batch patches a handful of header bytes and nothing else. Looking inside is a
//! separate, explicit step. The layout is drawn in `docs/formats/record-batch.md`.
//!
//! Reading is layered, and each layer checks only what it needs:
//!
//! | layer | trusts | checks |
//! |---|---|---|
//! | [`Batches`] | nothing | length, magic: where does each batch begin and end |
//! | [`Batch::verify_crc`] | the bounds | that the bytes are those that were written |
//! | [`BatchHeader::check_shape`] | the CRC | codec, counts and offsets that make sense together |

mod batches;
mod error;
mod header;

pub use batches::{Batch, Batches};
pub use error::RecordsError;
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, CodecId, TimestampType, patch_base_offset,
    patch_leader_epoch,
};

/// The magic byte of the one batch format that exists on the wire since Kafka 4.0.
pub const MAGIC_V2: i8 = 2;

/// What `producer_id` holds in a batch of a producer that is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// What `producer_epoch` holds in a batch of a producer that is not idempotent.
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// What `base_sequence` holds in a batch without sequence numbers.
pub const NO_SEQUENCE: i32 = -1;
/// What `partition_leader_epoch` holds before a leader has stamped the batch.
pub const NO_LEADER_EPOCH: i32 = -1;
/// What a timestamp field holds where there is none.
pub const NO_TIMESTAMP: i64 = -1;
