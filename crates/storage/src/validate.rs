//! What is checked of batches before they go into a log, and what is changed in them.
//!
//! A batch of a producer is looked at record by record, as Kafka does: the timestamps have to be
//! within limits, and the records have to be what the header says they are. Uncompressed records
//! are checked where they lie, without a copy or an allocation; compressed ones have to be
//! decompressed for that, into memory that is kept for the next batch. A batch from the leader is
//! taken as it is, once its checksum is right.
//!
//! | checked | error code |
//! |---|---|
//! | one batch, of format v2, with base offset 0, counts that agree, a sequence number if it has a producer id, no control records | `INVALID_RECORD` |
//! | at most `max.message.bytes`, also after recompression | `MESSAGE_TOO_LARGE` |
//! | checksum | `CORRUPT_MESSAGE` |
//! | each record can be read; it has a key if the topic is compacted | `INVALID_RECORD` |
//! | each timestamp lies within `message.timestamp.before.max.ms` and `….after.max.ms` | `INVALID_TIMESTAMP` |
//!
//! Changed, if need be: timestamp type and greatest timestamp in the header; the codec, if
//! `compression.type` asks for another one. Base offset and leader epoch are the caller's.

mod error;

pub use error::{InvalidBatch, RecordFault};

use crate::log_config::{CompressionType, LogConfig};
use crate::origin::AppendOrigin;
use crate::producer_state::ProducerBatch;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchBuilder, BatchHeader, BatchOptions, Batches, CodecId,
    Compression, Compressor, Decompressor, GzipLevel, Lz4Level, NO_TIMESTAMP, RecordView,
    RecordsError, TimestampType, ZstdLevel,
};
use bytes::Bytes;
use error::Faults;

/// The most that the records of one batch may be when they are decompressed. Kafka has no such
/// limit; a batch of a megabyte that grows to more than this is an attack or an accident.
pub const UNCOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// Memory for decompressed records that is kept from one batch to the next.
const SCRATCH_BYTES_KEPT_MAX: usize = 4 << 20;

/// A batch that may go into the log.
#[derive(Debug, Clone)]
pub struct ValidBatch {
    /// The header as it is to be written, but for base offset and leader epoch; those are not
    /// covered by the checksum.
    pub header: BatchHeader,
    /// What follows the header.
    pub section: Bytes,
    /// What producer state asks about it.
    pub producer: ProducerBatch,
}

impl ValidBatch {
    /// Bytes that it occupies in the log.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        BATCH_HEADER_BYTES + self.section.len()
    }
}

/// Checks batches; keeps the memory that it needs for it. One a thread.
#[derive(Default)]
pub struct Validator {
    compressor: Compressor,
    decompressor: Decompressor,
    scratch: Vec<u8>,
}

impl Validator {
    /// A validator that holds no memory yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks what a producer or a coordinator has sent for one partition. `now_ms` is the time of
    /// the append.
    ///
    /// # Errors
    /// Why it cannot be appended.
    pub fn validate(
        &mut self,
        bytes: &Bytes,
        origin: AppendOrigin,
        config: &LogConfig,
        now_ms: i64,
    ) -> Result<ValidBatch, InvalidBatch> {
        let batch = single_batch(bytes)?;
        check_header(&batch, origin, config)?;
        let codec = batch.header().attributes.codec()?;
        let scratch = &mut self.scratch;
        let section = if codec == CodecId::None {
            batch.records_section()
        } else {
            scratch.clear();
            let compressed = batch.records_section();
            self.decompressor.decompress(codec, compressed, UNCOMPRESSED_BYTES_MAX, scratch)?;
            scratch
        };
        let seen = check_records(batch.header(), section, config, now_ms)?;
        let is_control = batch.header().attributes.is_control();
        if is_control && !seen.offsets_are_dense {
            return Err(RecordsError::BadControlRecord("it has an offset of its own").into());
        }
        let target = target_compression(config, codec);
        let keeps = is_control || (target.codec() == codec && seen.offsets_are_dense);
        let valid = if keeps {
            keep(bytes, &batch, seen.timestamp_max, config, now_ms)
        } else {
            let log_append_time = append_time(config, now_ms);
            let bytes =
                rewrite(batch.header(), section, target, log_append_time, &mut self.compressor)?;
            check_size(bytes.len(), config)?;
            let batch = Batch::parse(&bytes)?;
            let section = bytes.slice(BATCH_HEADER_BYTES..);
            Ok(ValidBatch {
                header: *batch.header(),
                section,
                producer: ProducerBatch::of(&batch)?,
            })
        };
        if self.scratch.capacity() > SCRATCH_BYTES_KEPT_MAX {
            self.scratch = Vec::new();
        }
        valid
    }
}

/// Checks what the leader has sent: whole batches with rising offsets from `next` on, as they came
/// from its log. Nothing in them changes.
///
/// # Errors
/// Why they cannot be appended.
pub fn validate_replicated(
    bytes: &Bytes,
    mut next: Offset,
) -> Result<Vec<ValidBatch>, InvalidBatch> {
    let mut valid = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch?;
        batch.verify_crc()?;
        batch.header().check_shape()?;
        let found = batch.header().base_offset;
        if found < next {
            return Err(InvalidBatch::OffsetsFall { found, next });
        }
        next = batch.header().next_offset();
        valid.push(ValidBatch {
            header: *batch.header(),
            section: bytes.slice_ref(batch.records_section()),
            producer: ProducerBatch::of(&batch)?,
        });
    }
    Ok(valid)
}

/// The one batch of a produce request's partition.
fn single_batch(bytes: &[u8]) -> Result<Batch<'_>, InvalidBatch> {
    if bytes.is_empty() {
        return Err(InvalidBatch::Empty);
    }
    let batch = Batch::parse(bytes)?;
    let rest = bytes.len() - batch.bytes().len();
    if rest > 0 { Err(InvalidBatch::NotAlone { bytes: rest }) } else { Ok(batch) }
}

/// All that can be said without looking at the records, in the order in which Kafka looks.
fn check_header(
    batch: &Batch<'_>,
    origin: AppendOrigin,
    config: &LogConfig,
) -> Result<(), InvalidBatch> {
    let header = batch.header();
    let is_client = origin == AppendOrigin::Client;
    if is_client && header.base_offset != Offset::ZERO {
        return Err(InvalidBatch::BaseOffset { found: header.base_offset });
    }
    check_size(header.size_bytes(), config)?;
    batch.verify_crc()?;
    header.check_shape()?;
    let (last_offset_delta, record_count) = (header.last_offset_delta, header.record_count);
    if record_count == 0 || i64::from(last_offset_delta) + 1 != i64::from(record_count) {
        return Err(InvalidBatch::Counts { last_offset_delta, record_count });
    }
    if is_client && header.attributes.is_control() {
        return Err(InvalidBatch::Control);
    }
    if is_client && header.has_producer_id() && header.base_sequence < 0 {
        let (producer_id, base_sequence) = (header.producer_id, header.base_sequence);
        return Err(InvalidBatch::Sequence { producer_id, base_sequence });
    }
    Ok(())
}

fn check_size(bytes: usize, config: &LogConfig) -> Result<(), InvalidBatch> {
    let bytes_max = usize::try_from(config.max_message_bytes).unwrap_or(0);
    if bytes > bytes_max { Err(InvalidBatch::TooLarge { bytes, bytes_max }) } else { Ok(()) }
}

/// What a look at all records has shown.
struct Seen {
    timestamp_max: i64,
    /// Whether the offsets are the base offset and those right behind it.
    offsets_are_dense: bool,
}

/// Looks at each record.
fn check_records(
    header: &BatchHeader,
    section: &[u8],
    config: &LogConfig,
    now_ms: i64,
) -> Result<Seen, InvalidBatch> {
    let limits = Limits::new(header, config, now_ms);
    let mut seen = Seen { timestamp_max: NO_TIMESTAMP, offsets_are_dense: true };
    let mut faults = Faults::default();
    for (index, record) in (0_i32..).zip(header.records(section)) {
        let record = record?;
        if let Some(fault) = limits.fault(&record) {
            faults.add(index, fault.explain(&record, &limits));
        }
        seen.timestamp_max = seen.timestamp_max.max(record.timestamp);
        seen.offsets_are_dense &= record.offset_delta == index;
    }
    faults.into_result()?;
    Ok(seen)
}

/// What a record has to keep to.
struct Limits {
    needs_key: bool,
    /// The range of timestamps; `None` where the append gives them.
    timestamps: Option<(i64, i64)>,
    /// The producer says that the timestamps are those of the append, which it cannot know.
    claims_append_time: bool,
}

/// What is wrong with a record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    NoKey,
    Timestamp,
    ClaimsAppendTime,
}

impl Limits {
    fn new(header: &BatchHeader, config: &LogConfig, now_ms: i64) -> Self {
        let is_create_time = config.message_timestamp_type == TimestampType::CreateTime;
        let first = now_ms.saturating_sub(config.message_timestamp_before_max_ms);
        let last = now_ms.saturating_add(config.message_timestamp_after_max_ms);
        Self {
            needs_key: config.cleanup_policy.compact,
            timestamps: is_create_time.then_some((first.max(0), last)),
            claims_append_time: header.attributes.timestamp_type() == TimestampType::LogAppendTime,
        }
    }

    #[inline]
    fn fault(&self, record: &RecordView<'_>) -> Option<Fault> {
        if self.needs_key && record.key.is_none() {
            return Some(Fault::NoKey);
        }
        match self.timestamps {
            Some((first, last)) if record.timestamp != NO_TIMESTAMP => {
                let is_within = first <= record.timestamp && record.timestamp <= last;
                (!is_within).then_some(Fault::Timestamp)
            }
            _ => self.claims_append_time.then_some(Fault::ClaimsAppendTime),
        }
    }
}

impl Fault {
    fn explain(self, record: &RecordView<'_>, limits: &Limits) -> (error::FaultKind, String) {
        use error::FaultKind::{Record, Timestamp};
        match self {
            Self::NoKey => (Record, "a compacted topic takes no record without a key".to_owned()),
            Self::Timestamp => {
                let (first, last) = limits.timestamps.unwrap_or_default();
                let found = record.timestamp;
                (Timestamp, format!("timestamp {found} is outside of the range [{first}, {last}]"))
            }
            Self::ClaimsAppendTime => {
                let what = "a producer must not set the timestamp type to LogAppendTime";
                (Timestamp, what.to_owned())
            }
        }
    }
}

fn append_time(config: &LogConfig, now_ms: i64) -> Option<i64> {
    (config.message_timestamp_type == TimestampType::LogAppendTime).then_some(now_ms)
}

/// The batch as it came, with the timestamps that the log wants in its header.
fn keep(
    bytes: &Bytes,
    batch: &Batch<'_>,
    timestamp_max: i64,
    config: &LogConfig,
    now_ms: i64,
) -> Result<ValidBatch, InvalidBatch> {
    let mut header = *batch.header();
    let timestamp_max = append_time(config, now_ms).unwrap_or(timestamp_max);
    header.set_max_timestamp(config.message_timestamp_type, timestamp_max, batch.records_section());
    let mut producer = ProducerBatch::of(batch)?;
    producer.max_timestamp_ms = timestamp_max;
    Ok(ValidBatch { header, section: bytes.slice_ref(batch.records_section()), producer })
}

/// The same records in another codec, with the offsets that the log gives them.
fn rewrite(
    header: &BatchHeader,
    section: &[u8],
    compression: Compression,
    log_append_time: Option<i64>,
    compressor: &mut Compressor,
) -> Result<Bytes, RecordsError> {
    let options =
        BatchOptions { log_append_time, ..BatchOptions::in_place_of(header, compression) };
    let mut builder = BatchBuilder::with_capacity(options, section.len());
    for record in header.records(section) {
        let offset = builder.next_offset();
        builder.append_view(&RecordView { offset, ..record? })?;
    }
    builder.finish(compressor)
}

fn target_compression(config: &LogConfig, source: CodecId) -> Compression {
    let CompressionType::Always(codec) = config.compression_type else { return source.into() };
    // The levels were checked when the configuration was read.
    match codec {
        CodecId::None => Compression::None,
        CodecId::Snappy => Compression::Snappy,
        CodecId::Gzip => {
            Compression::Gzip(GzipLevel::new(config.compression_gzip_level).unwrap_or_default())
        }
        CodecId::Lz4 => {
            Compression::Lz4(Lz4Level::new(config.compression_lz4_level).unwrap_or_default())
        }
        CodecId::Zstd => {
            Compression::Zstd(ZstdLevel::new(config.compression_zstd_level).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests;
