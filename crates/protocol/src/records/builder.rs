//! Writing batches: from records one by one, or from a batch that is there.

use afluente_stdx::varint;
use bytes::Bytes;

use super::{
    Attributes, BATCH_HEADER_BYTES, Batch, BatchHeader, CodecId, Compression, Compressor,
    Decompressor, Header, NO_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID, NO_SEQUENCE,
    NO_TIMESTAMP, RecordView, RecordsError, TimestampType,
};
use crate::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Everything about a batch that is not its records. The default is what a plain producer sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchOptions {
    /// Offset of the first record.
    pub base_offset: Offset,
    /// Epoch of the leader.
    pub partition_leader_epoch: LeaderEpoch,
    /// How the records section is compressed.
    pub compression: Compression,
    /// The time of the append, for `LogAppendTime`; none for `CreateTime`.
    pub log_append_time: Option<i64>,
    /// The idempotent producer, its epoch and the sequence number of the first record.
    pub producer: BatchProducer,
    /// Whether the batch belongs to a transaction.
    pub is_transactional: bool,
    /// Whether the records are control records.
    pub is_control: bool,
    /// When tombstones and markers of this batch may go (KIP-534); takes the place of the base
    /// timestamp.
    pub delete_horizon_ms: Option<i64>,
}

/// Who wrote a batch, for idempotence and transactions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchProducer {
    /// The id, or -1.
    pub id: ProducerId,
    /// The epoch, or -1.
    pub epoch: ProducerEpoch,
    /// The sequence number of the first record, or -1.
    pub base_sequence: i32,
}

impl BatchProducer {
    /// A producer that is not idempotent.
    pub const NONE: Self =
        Self { id: NO_PRODUCER_ID, epoch: NO_PRODUCER_EPOCH, base_sequence: NO_SEQUENCE };
}

impl Default for BatchOptions {
    fn default() -> Self {
        Self {
            base_offset: Offset(0),
            partition_leader_epoch: NO_LEADER_EPOCH,
            compression: Compression::None,
            log_append_time: None,
            producer: BatchProducer::NONE,
            is_transactional: false,
            is_control: false,
            delete_horizon_ms: None,
        }
    }
}

impl BatchOptions {
    /// The options of a batch that takes the place of `original`, as after compaction.
    #[must_use]
    pub fn in_place_of(original: &BatchHeader, compression: Compression) -> Self {
        let attributes = original.attributes;
        Self {
            base_offset: original.base_offset,
            partition_leader_epoch: original.partition_leader_epoch,
            compression,
            log_append_time: match attributes.timestamp_type() {
                TimestampType::CreateTime => None,
                TimestampType::LogAppendTime => Some(original.max_timestamp),
            },
            producer: BatchProducer {
                id: original.producer_id,
                epoch: original.producer_epoch,
                base_sequence: original.base_sequence,
            },
            is_transactional: attributes.is_transactional(),
            is_control: attributes.is_control(),
            delete_horizon_ms: original.delete_horizon_ms(),
        }
    }

    fn attributes(&self) -> Attributes {
        let kind = match self.log_append_time {
            None => TimestampType::CreateTime,
            Some(_) => TimestampType::LogAppendTime,
        };
        Attributes::default()
            .with_codec(self.compression.codec())
            .with_timestamp_type(kind)
            .with_transactional(self.is_transactional)
            .with_control(self.is_control)
            .with_delete_horizon(self.delete_horizon_ms.is_some())
    }
}

/// A record to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NewRecord<'a> {
    /// Ms since 1970, or -1 for none.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, written in this order.
    pub headers: &'a [Header<'a>],
}

/// Builds one batch.
///
/// Records are written as they will lie in the batch; compression happens once, at the end.
#[derive(Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Space for the header, then the records, uncompressed.
    buffer: Vec<u8>,
    record_count: i32,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset: Option<Offset>,
}

impl BatchBuilder {
    /// A batch without records.
    #[must_use]
    pub fn new(options: BatchOptions) -> Self {
        Self::with_capacity(options, 0)
    }

    /// As [`BatchBuilder::new`], with memory for records of that many bytes.
    #[must_use]
    pub fn with_capacity(options: BatchOptions, records_bytes: usize) -> Self {
        let mut buffer = Vec::with_capacity(BATCH_HEADER_BYTES + records_bytes);
        buffer.resize(BATCH_HEADER_BYTES, 0);
        Self {
            options,
            buffer,
            record_count: 0,
            base_timestamp: options.delete_horizon_ms,
            max_timestamp: NO_TIMESTAMP,
            last_offset: None,
        }
    }

    /// Appends a record at the offset after the last one.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`].
    pub fn append(&mut self, record: &NewRecord<'_>) -> Result<(), RecordsError> {
        self.append_at(self.next_offset(), record)
    }

    /// Appends a record at `offset`; offsets that are left out are allowed, as compaction needs it.
    ///
    /// # Errors
    /// [`RecordsError::OffsetOutOfOrder`] if `offset` is not beyond the last one or too far from
    /// the base offset, [`RecordsError::BadTimestamp`] if the timestamp is negative and not -1, and
    /// [`RecordsError::BatchTooLarge`] beyond 2 GiB. The batch is then as it was before.
    pub fn append_at(
        &mut self,
        offset: Offset,
        record: &NewRecord<'_>,
    ) -> Result<(), RecordsError> {
        if record.timestamp < NO_TIMESTAMP {
            return Err(RecordsError::BadTimestamp(record.timestamp));
        }
        self.append_parts(offset, record, record.headers.len(), record.headers.iter().copied())
    }

    /// Appends a record of another batch with its offset, timestamp and headers, and whatever
    /// timestamp it has: what is in a log already must survive compaction.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`].
    pub fn append_view(&mut self, view: &RecordView<'_>) -> Result<(), RecordsError> {
        let record =
            NewRecord { timestamp: view.timestamp, key: view.key, value: view.value, headers: &[] };
        self.append_parts(view.offset, &record, view.headers.len(), view.headers)
    }

    /// The offset that [`BatchBuilder::append`] gives to the next record.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        match self.last_offset {
            Some(last) => last.plus(1),
            None => self.options.base_offset,
        }
    }

    /// The options of the batch.
    #[must_use]
    pub fn options(&self) -> &BatchOptions {
        &self.options
    }

    /// Records so far.
    #[must_use]
    pub fn record_count(&self) -> usize {
        usize::try_from(self.record_count).expect("a count of records is not negative")
    }

    /// Bytes of the batch so far, header included, before compression.
    #[must_use]
    pub fn size_bytes_uncompressed(&self) -> usize {
        self.buffer.len()
    }

    /// Bytes that `record` would add, before compression.
    #[must_use]
    pub fn record_bytes(&self, record: &NewRecord<'_>) -> usize {
        let offset_delta = self.next_offset().0.wrapping_sub(self.options.base_offset.0);
        let timestamp_delta = self.timestamp_delta(record.timestamp);
        let headers = record.headers.iter().copied();
        let body = body_bytes(offset_delta, timestamp_delta, record, record.headers.len(), headers);
        length_bytes(body) + body
    }

    /// Sets who wrote the batch, where that is known only when the batch is sent.
    pub fn set_producer(&mut self, producer: BatchProducer) {
        self.options.producer = producer;
    }

    /// Makes the batch cover the offsets up to `last`, whether or not a record has them: what
    /// compaction leaves must span what was there.
    ///
    /// # Errors
    /// [`RecordsError::OffsetOutOfOrder`] if `last` lies before the last record or too far away.
    pub fn extend_to(&mut self, last: Offset) -> Result<(), RecordsError> {
        self.offset_delta(last)?;
        if self.last_offset.is_some_and(|at| at > last) {
            return Err(self.out_of_order(last));
        }
        self.last_offset = Some(last);
        Ok(())
    }

    /// The finished batch; without records, a batch of the header alone.
    ///
    /// # Errors
    /// [`RecordsError::BatchTooLarge`] if compression has made more than 2 GiB of it.
    pub fn finish(mut self, compressor: &mut Compressor) -> Result<Bytes, RecordsError> {
        if self.options.compression != Compression::None {
            let section = &self.buffer[BATCH_HEADER_BYTES..];
            self.buffer = compressed_section(self.options.compression, section, compressor);
        }
        let last_offset = self.last_offset.unwrap_or(self.options.base_offset);
        let options = &self.options;
        let mut header = BatchHeader {
            base_offset: options.base_offset,
            length: 0,
            partition_leader_epoch: options.partition_leader_epoch,
            crc: 0,
            attributes: options.attributes(),
            last_offset_delta: self.offset_delta(last_offset)?,
            base_timestamp: self.base_timestamp.unwrap_or(NO_TIMESTAMP),
            max_timestamp: options.log_append_time.unwrap_or(self.max_timestamp),
            producer_id: options.producer.id,
            producer_epoch: options.producer.epoch,
            base_sequence: options.producer.base_sequence,
            record_count: self.record_count,
        };
        header.set_section(&self.buffer[BATCH_HEADER_BYTES..])?;
        self.buffer[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
        Ok(self.buffer.into())
    }

    fn append_parts<'h>(
        &mut self,
        offset: Offset,
        record: &NewRecord<'_>,
        header_count: usize,
        headers: impl Iterator<Item = Header<'h>> + Clone,
    ) -> Result<(), RecordsError> {
        let offset_delta = self.offset_delta(offset)?;
        if self.last_offset.is_some_and(|last| offset <= last) {
            return Err(self.out_of_order(offset));
        }
        let timestamp_delta = self.timestamp_delta(record.timestamp);
        let body =
            body_bytes(offset_delta.into(), timestamp_delta, record, header_count, headers.clone());
        let fits = i32::try_from(self.buffer.len().saturating_add(body).saturating_add(8));
        let (Ok(_), Some(record_count)) = (fits, self.record_count.checked_add(1)) else {
            return Err(RecordsError::BatchTooLarge { bytes: self.buffer.len() + body });
        };

        let out = &mut self.buffer;
        out.reserve(body + 5);
        put_length(out, body);
        out.push(0);
        varint::put_i64(out, timestamp_delta);
        varint::put_i32(out, offset_delta);
        put_nullable(out, record.key);
        put_nullable(out, record.value);
        put_length(out, header_count);
        for header in headers {
            put_nullable(out, Some(header.key));
            put_nullable(out, header.value);
        }

        self.base_timestamp.get_or_insert(record.timestamp);
        self.max_timestamp = self.max_timestamp.max(record.timestamp);
        self.last_offset = Some(offset);
        self.record_count = record_count;
        Ok(())
    }

    fn timestamp_delta(&self, timestamp: i64) -> i64 {
        timestamp.wrapping_sub(self.base_timestamp.unwrap_or(timestamp))
    }

    fn offset_delta(&self, offset: Offset) -> Result<i32, RecordsError> {
        offset
            .0
            .checked_sub(self.options.base_offset.0)
            .and_then(|delta| i32::try_from(delta).ok())
            .filter(|delta| *delta >= 0)
            .ok_or_else(|| self.out_of_order(offset))
    }

    fn out_of_order(&self, offset: Offset) -> RecordsError {
        let after = self.last_offset.unwrap_or(self.options.base_offset);
        RecordsError::OffsetOutOfOrder { offset, after }
    }
}

/// `batch` with its records in another codec; every other field stays. At most `bytes_max` bytes
/// are uncompressed on the way.
///
/// # Errors
/// As [`Batch::uncompressed`], and [`RecordsError::BatchTooLarge`].
pub fn recompress(
    batch: &Batch<'_>,
    compression: Compression,
    bytes_max: usize,
    compressor: &mut Compressor,
    decompressor: &mut Decompressor,
) -> Result<Bytes, RecordsError> {
    let section = batch.uncompressed(decompressor, bytes_max)?;
    let mut out = compressed_section(compression, &section, compressor);
    let mut header = *batch.header();
    header.attributes = header.attributes.with_codec(compression.codec());
    header.set_section(&out[BATCH_HEADER_BYTES..])?;
    out[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
    Ok(out.into())
}

/// A batch without records that takes the place of `original`: it keeps the offsets covered and
/// the last sequence number of its producer known, when compaction has removed every record.
#[must_use]
pub fn emptied(original: &BatchHeader) -> [u8; BATCH_HEADER_BYTES] {
    let mut header = *original;
    header.attributes = original.attributes.with_codec(CodecId::None).with_delete_horizon(false);
    header.base_timestamp = NO_TIMESTAMP;
    header.record_count = 0;
    header.set_section(&[]).expect("an empty section is not too large");
    header.encode()
}

/// Space for a header, and `section` compressed behind it.
fn compressed_section(
    compression: Compression,
    section: &[u8],
    compressor: &mut Compressor,
) -> Vec<u8> {
    let mut out = vec![0; BATCH_HEADER_BYTES];
    compressor.compress(compression, section, &mut out);
    // The codecs ask for space for the worst case; a batch may live long.
    out.shrink_to_fit();
    out
}

fn body_bytes<'h>(
    offset_delta: i64,
    timestamp_delta: i64,
    record: &NewRecord<'_>,
    header_count: usize,
    headers: impl Iterator<Item = Header<'h>>,
) -> usize {
    let headers =
        headers.map(|header| nullable_bytes(Some(header.key)) + nullable_bytes(header.value));
    1 + varint::size_i64(timestamp_delta)
        + varint::size_i64(offset_delta)
        + nullable_bytes(record.key)
        + nullable_bytes(record.value)
        + length_bytes(header_count)
        + headers.sum::<usize>()
}

/// Bytes of a length or count, which is a zigzag integer: of a positive one, twice itself.
fn length_bytes(length: usize) -> usize {
    varint::size_u64(length as u64 * 2)
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    varint::put_u64(out, length as u64 * 2);
}

fn nullable_bytes(part: Option<&[u8]>) -> usize {
    match part {
        Some(part) => length_bytes(part.len()) + part.len(),
        None => 1,
    }
}

fn put_nullable(out: &mut Vec<u8>, part: Option<&[u8]>) {
    match part {
        Some(part) => {
            put_length(out, part.len());
            out.extend_from_slice(part);
        }
        None => varint::put_i32(out, -1),
    }
}
