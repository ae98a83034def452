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
//! | [`Batch::uncompressed`] | nothing | that the codec can read the records, within a limit |
//! | [`BatchHeader::records`], [`BatchHeader::skim`] | nothing | the bounds of every field of every record |
//!
//! Batches are written by [`BatchBuilder`], or from other batches by [`recompress`] and
//! [`emptied`].

mod batches;
mod builder;
mod codec;
mod control;
mod error;
mod header;
mod legacy;
mod record;

pub use batches::{Batch, Batches};
pub use builder::{BatchBuilder, BatchOptions, BatchProducer, NewRecord, emptied, recompress};
pub use codec::{Compression, Compressor, Decompressor, GzipLevel, Lz4Level, ZstdLevel};
pub use control::{ControlType, EndTxnMarker, MarkerPlace, TxnOutcome};
pub use error::RecordsError;
pub use header::{
    Attributes, BATCH_HEADER_BYTES, BatchHeader, CRC_COVERS_FROM, CodecId, LEGACY_LENGTH_MIN,
    LENGTH_OVERHEAD_BYTES, MAGIC_AT, TimestampType, patch_base_offset, patch_leader_epoch,
};
pub use legacy::{LegacyMessage, LegacyMessages};
pub use record::{
    Header, Headers, OpenBatch, Record, RecordIter, RecordView, SkimIter, SkimmedRecord,
};

use crate::numbers::{LeaderEpoch, ProducerEpoch, ProducerId};

/// The magic byte of the one batch format that exists on the wire since Kafka 4.0.
pub const MAGIC_V2: i8 = 2;

/// The producer id of a batch whose producer is not idempotent.
pub const NO_PRODUCER_ID: ProducerId = ProducerId(-1);
/// The producer epoch of a batch whose producer is not idempotent.
pub const NO_PRODUCER_EPOCH: ProducerEpoch = ProducerEpoch(-1);
/// The base sequence of a batch without sequence numbers.
pub const NO_SEQUENCE: i32 = -1;
/// The leader epoch of a batch that no leader has stamped yet.
pub const NO_LEADER_EPOCH: LeaderEpoch = LeaderEpoch(-1);
/// The timestamp where there is none.
pub const NO_TIMESTAMP: i64 = -1;
