//! The records of a checkpoint frame, as bytes.

use crate::TopicPartition;
use crate::leader_epochs::EpochStart;
use crate::producer_state::{ProducerEntry, RetainedBatch};
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::uuid::Uuid;
use std::sync::Arc;

const KIND_LOG: u8 = 1;
const KIND_DELETED: u8 = 2;
const KIND_DOOMED: u8 = 3;
const KIND_CLEAN_STOP: u8 = 4;
/// A log whose segments have a checksum of their transaction index.
const KIND_LOG_WITH_CRCS: u8 = 5;
const KIND_JOURNAL_FILES: u8 = 6;

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    Log(Box<LogRecord>),
    Deleted {
        log_id: u64,
    },
    /// A path relative to the directory that is about to be removed.
    Doomed(String),
    /// A file of Kafka's that the clean stop wrote, and the CRC of its content.
    CleanStopFile {
        name: String,
        crc: u32,
    },
    /// The journal has at least one frame, and each of its files at least so many bytes.
    JournalFiles {
        bytes: u64,
    },
}

/// All that is known of a log as of its entry `applied_lsn`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogRecord {
    pub(crate) log_id: u64,
    pub(crate) version: u64,
    pub(crate) applied_lsn: u64,
    pub(crate) topic_id: Uuid,
    pub(crate) partition: TopicPartition,
    pub(crate) start: Offset,
    pub(crate) end: Offset,
    pub(crate) high_watermark: Offset,
    /// Up to here compaction has made it clean.
    pub(crate) cleaned_to: Option<Offset>,
    pub(crate) epochs: Vec<EpochStart>,
    /// The active one is the last; there is always one.
    pub(crate) segments: Vec<SegmentRecord>,
    /// First offset and marker of transactions that ended above the high watermark.
    pub(crate) unreplicated: Vec<(Offset, Offset)>,
    pub(crate) producers: Vec<ProducerEntry>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRecord {
    pub(crate) base: Offset,
    pub(crate) size: u64,
    /// The largest timestamp in it, and the offset of the record that has it; -1 if it is empty.
    pub(crate) timestamp_max: i64,
    pub(crate) timestamp_max_offset: Offset,
    /// The timestamp of its first batch; -1 if it is empty.
    pub(crate) first_timestamp: i64,
    pub(crate) made_at_ms: i64,
    /// Bytes of its transaction index that count.
    pub(crate) txn_index_bytes: u32,
    /// Bytes of its offset and time index that count.
    pub(crate) offset_index_bytes: u32,
    pub(crate) time_index_bytes: u32,
    /// Which rewriting of it this is; 0 is as it was appended.
    pub(crate) generation: u32,
    /// Checksum of the bytes of its transaction index that count; unknown in records of kind 1.
    pub(crate) txn_index_crc: Option<u32>,
}

impl Record {
    /// Appends the record's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let at = out.len();
        out.extend_from_slice(&[0; 4]);
        match self {
            Self::Log(log) => {
                let has_crcs = log.segments.iter().all(|segment| segment.txn_index_crc.is_some());
                out.push(if has_crcs { KIND_LOG_WITH_CRCS } else { KIND_LOG });
                log.encode(out, has_crcs);
            }
            Self::Deleted { log_id } => {
                out.push(KIND_DELETED);
                out.extend_from_slice(&log_id.to_le_bytes());
            }
            Self::Doomed(path) => {
                out.push(KIND_DOOMED);
                out.extend_from_slice(path.as_bytes());
            }
            Self::CleanStopFile { name, crc } => {
                out.push(KIND_CLEAN_STOP);
                out.extend_from_slice(&crc.to_le_bytes());
                out.extend_from_slice(name.as_bytes());
            }
            Self::JournalFiles { bytes } => {
                out.push(KIND_JOURNAL_FILES);
                out.extend_from_slice(&bytes.to_le_bytes());
            }
        }
        let len = u32::try_from(out.len() - at - 5).expect("a record is far below 4 GiB");
        out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    }

    /// Takes the first record off `bytes`. The frame's CRC was right, so `Err` says that it was
    /// written by another version or by a bug.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Result<Self, String> {
        let mut head = Fields(bytes);
        let len = head.u32()? as usize;
        let kind = head.u8()?;
        let mut body = Fields(head.take(len)?);
        *bytes = head.0;
        let record = match kind {
            KIND_LOG => Self::Log(Box::new(LogRecord::decode(&mut body, false)?)),
            KIND_LOG_WITH_CRCS => Self::Log(Box::new(LogRecord::decode(&mut body, true)?)),
            KIND_DELETED => Self::Deleted { log_id: body.u64()? },
            KIND_DOOMED => Self::Doomed(body.rest_as_text()?),
            KIND_CLEAN_STOP => Self::CleanStopFile { crc: body.u32()?, name: body.rest_as_text()? },
            KIND_JOURNAL_FILES => Self::JournalFiles { bytes: body.u64()? },
            unknown => return Err(format!("a record of the unknown kind {unknown}")),
        };
        if body.0.is_empty() {
            Ok(record)
        } else {
            Err(format!("a record with {} bytes too many", body.0.len()))
        }
    }
}

impl LogRecord {
    fn encode(&self, out: &mut Vec<u8>, has_crcs: bool) {
        for number in [self.log_id, self.version, self.applied_lsn] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&self.topic_id.0);
        out.extend_from_slice(&self.partition.partition.to_le_bytes());
        let topic = self.partition.topic.as_bytes();
        let topic_len = u16::try_from(topic.len()).expect("a topic has at most 249 bytes");
        out.extend_from_slice(&topic_len.to_le_bytes());
        out.extend_from_slice(topic);
        put_i64(out, self.start.0);
        put_i64(out, self.end.0);
        put_i64(out, self.high_watermark.0);
        put_i64(out, self.cleaned_to.map_or(-1, |offset| offset.0));
        put_count(out, self.epochs.len());
        for entry in &self.epochs {
            out.extend_from_slice(&entry.epoch.0.to_le_bytes());
            put_i64(out, entry.start.0);
        }
        put_count(out, self.segments.len());
        for segment in &self.segments {
            segment.encode(out);
            if let Some(crc) = segment.txn_index_crc.filter(|_| has_crcs) {
                out.extend_from_slice(&crc.to_le_bytes());
            }
        }
        put_count(out, self.unreplicated.len());
        for (first, marker) in &self.unreplicated {
            put_i64(out, first.0);
            put_i64(out, marker.0);
        }
        put_count(out, self.producers.len());
        for producer in &self.producers {
            encode_producer(producer, out);
        }
    }

    fn decode(fields: &mut Fields<'_>, has_crcs: bool) -> Result<Self, String> {
        let record = Self {
            log_id: fields.u64()?,
            version: fields.u64()?,
            applied_lsn: fields.u64()?,
            topic_id: Uuid(fields.array()?),
            partition: {
                let partition = fields.i32()?;
                let len = usize::from(u16::from_le_bytes(fields.array()?));
                let topic = std::str::from_utf8(fields.take(len)?)
                    .map_err(|_| "a topic name that is not UTF-8".to_owned())?;
                TopicPartition { topic: Arc::from(topic), partition }
            },
            start: fields.offset()?,
            end: fields.offset()?,
            high_watermark: fields.offset()?,
            cleaned_to: Some(fields.offset()?).filter(|offset| offset.0 >= 0),
            epochs: fields.list(12, |fields| {
                Ok(EpochStart { epoch: LeaderEpoch(fields.i32()?), start: fields.offset()? })
            })?,
            segments: {
                let segments = fields.list(SegmentRecord::BYTES, |fields| {
                    let segment = SegmentRecord::decode(fields)?;
                    let txn_index_crc = if has_crcs { Some(fields.u32()?) } else { None };
                    Ok(SegmentRecord { txn_index_crc, ..segment })
                })?;
                if segments.is_empty() {
                    return Err("a log without a segment".to_owned());
                }
                segments
            },
            unreplicated: fields.list(16, |fields| Ok((fields.offset()?, fields.offset()?)))?,
            producers: fields.list(31, decode_producer)?,
        };
        record.check().map(|()| record)
    }

    /// Whether a log can be like that, as far as whoever uses it relies on it.
    fn check(&self) -> Result<(), String> {
        let Self { start, end, segments, epochs, .. } = self;
        let refuse = |what: &str| Err(format!("log {} {what}", self.log_id));
        if !self.partition.is_legal() {
            return refuse("with a name that cannot be a directory");
        }
        if start.0 < 0 || end < start {
            return refuse(&format!("from offset {start} to {end}"));
        }
        let bases: Vec<i64> = segments.iter().map(|segment| segment.base.0).collect();
        let last = bases.last().copied().unwrap_or(0);
        if bases[0] < 0 || last > end.0 || !bases.is_sorted_by(|a, b| a < b) {
            return refuse(&format!("up to offset {end} with segments at {bases:?}"));
        }
        if segments.iter().any(|segment| segment.size > u64::from(u32::MAX)) {
            return refuse("with a segment of more than 4 GiB");
        }
        if epochs.iter().any(|entry| entry.epoch.0 < 0 || entry.start.0 < 0) {
            return refuse("with a leader epoch below 0");
        }
        Ok(())
    }
}

impl SegmentRecord {
    const BYTES: usize = 64;

    fn encode(&self, out: &mut Vec<u8>) {
        put_i64(out, self.base.0);
        out.extend_from_slice(&self.size.to_le_bytes());
        put_i64(out, self.timestamp_max);
        put_i64(out, self.timestamp_max_offset.0);
        put_i64(out, self.first_timestamp);
        put_i64(out, self.made_at_ms);
        for number in
            [self.txn_index_bytes, self.offset_index_bytes, self.time_index_bytes, self.generation]
        {
            out.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn decode(fields: &mut Fields<'_>) -> Result<Self, String> {
        Ok(Self {
            base: fields.offset()?,
            size: fields.u64()?,
            timestamp_max: fields.i64()?,
            timestamp_max_offset: fields.offset()?,
            first_timestamp: fields.i64()?,
            made_at_ms: fields.i64()?,
            txn_index_bytes: fields.u32()?,
            offset_index_bytes: fields.u32()?,
            time_index_bytes: fields.u32()?,
            generation: fields.u32()?,
            txn_index_crc: None,
        })
    }
}

fn encode_producer(producer: &ProducerEntry, out: &mut Vec<u8>) {
    put_i64(out, producer.producer_id.0);
    out.extend_from_slice(&producer.epoch.0.to_le_bytes());
    out.extend_from_slice(&producer.coordinator_epoch.to_le_bytes());
    put_i64(out, producer.last_timestamp_ms);
    put_i64(out, producer.txn_start.map_or(-1, |offset| offset.0));
    out.push(u8::try_from(producer.batches().len()).expect("at most five"));
    for batch in producer.batches() {
        out.extend_from_slice(&batch.last_sequence.to_le_bytes());
        out.extend_from_slice(&batch.offset_delta.to_le_bytes());
        put_i64(out, batch.last_offset.0);
        put_i64(out, batch.timestamp_ms);
    }
}

fn decode_producer(fields: &mut Fields<'_>) -> Result<ProducerEntry, String> {
    let mut producer = ProducerEntry::unknown(ProducerId(fields.i64()?));
    producer.epoch = ProducerEpoch(i16::from_le_bytes(fields.array()?));
    producer.coordinator_epoch = fields.i32()?;
    producer.last_timestamp_ms = fields.i64()?;
    producer.txn_start = Some(fields.offset()?).filter(|offset| offset.0 >= 0);
    let count = fields.u8()?;
    let batches = (0..count)
        .map(|_| {
            Ok(RetainedBatch {
                last_sequence: fields.i32()?,
                offset_delta: fields.i32()?,
                last_offset: fields.offset()?,
                timestamp_ms: fields.i64()?,
            })
        })
        .collect::<Result<Vec<_>, String>>()?;
    Ok(producer.with_batches(batches))
}

fn put_i64(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(&number.to_le_bytes());
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("counts are far below 2^32");
    out.extend_from_slice(&count.to_le_bytes());
}

/// What is left of a record.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self
            .0
            .split_at_checked(len)
            .ok_or_else(|| format!("{} bytes where {len} are needed", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        Ok(*self.take(N)?.first_chunk().expect("N bytes were taken"))
    }

    fn u8(&mut self) -> Result<u8, String> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, String> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, String> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn i32(&mut self) -> Result<i32, String> {
        Ok(i32::from_le_bytes(self.array()?))
    }

    fn i64(&mut self) -> Result<i64, String> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    fn offset(&mut self) -> Result<Offset, String> {
        Ok(Offset(self.i64()?))
    }

    fn rest_as_text(&mut self) -> Result<String, String> {
        let rest = std::mem::take(&mut self.0);
        String::from_utf8(rest.to_vec()).map_err(|_| "a path that is not UTF-8".to_owned())
    }

    /// A count and that many items, which have at least `bytes_min` each: a count that the rest
    /// cannot hold allocates nothing.
    fn list<T>(
        &mut self,
        bytes_min: usize,
        mut item: impl FnMut(&mut Self) -> Result<T, String>,
    ) -> Result<Vec<T>, String> {
        let count = self.u32()? as usize;
        if count > self.0.len() / bytes_min {
            return Err(format!("a list of {count} items in {} bytes", self.0.len()));
        }
        (0..count).map(|_| item(self)).collect()
    }
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    pub(in crate::checkpoint) fn log_record(log_id: u64, version: u64) -> LogRecord {
        let batch = RetainedBatch {
            last_sequence: 3,
            offset_delta: 1,
            last_offset: Offset(9),
            timestamp_ms: 77,
        };
        let mut producer = ProducerEntry::unknown(ProducerId(5)).with_batches([batch, batch]);
        producer.txn_start = Some(Offset(8));
        let segment = SegmentRecord {
            base: Offset(0),
            size: 4711,
            timestamp_max: 78,
            timestamp_max_offset: Offset(9),
            first_timestamp: 70,
            made_at_ms: 69,
            txn_index_bytes: 34,
            offset_index_bytes: 8,
            time_index_bytes: 12,
            generation: 1,
            txn_index_crc: Some(0x1234_5678),
        };
        LogRecord {
            log_id,
            version,
            applied_lsn: 12,
            topic_id: Uuid([3; 16]),
            partition: TopicPartition { topic: Arc::from("orders"), partition: 2 },
            start: Offset(1),
            end: Offset(10),
            high_watermark: Offset(10),
            cleaned_to: Some(Offset(3)),
            epochs: vec![EpochStart { epoch: LeaderEpoch(0), start: Offset(0) }],
            segments: vec![segment, SegmentRecord { base: Offset(10), ..segment }],
            unreplicated: vec![(Offset(2), Offset(4))],
            producers: vec![producer],
        }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let mut without_crcs = log_record(2, 1);
        without_crcs.segments.iter_mut().for_each(|segment| segment.txn_index_crc = None);
        let records = [
            Record::Log(Box::new(log_record(1, 2))),
            Record::Log(Box::new(without_crcs)),
            Record::Deleted { log_id: 3 },
            Record::Doomed("orders-2/00000000000000000000.log".to_owned()),
            Record::CleanStopFile { name: ".kafka_cleanshutdown".to_owned(), crc: 5 },
            Record::JournalFiles { bytes: 1 << 20 },
        ];
        let mut bytes = Vec::new();
        records.iter().for_each(|record| record.encode(&mut bytes));
        let mut rest = &bytes[..];
        for record in &records {
            assert_eq!(Record::decode(&mut rest).as_ref(), Ok(record));
        }
        assert!(rest.is_empty());
    }

    #[test]
    fn a_cut_or_a_flip_anywhere_is_an_error_or_another_record_and_never_a_panic() {
        let mut bytes = Vec::new();
        Record::Log(Box::new(log_record(1, 2))).encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert!(Record::decode(&mut &bytes[..cut]).is_err(), "cut at {cut}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let _ = Record::decode(&mut &damaged[..]);
        }
    }
}
