//! What of a log is read from its own files when its directory is opened.

use super::Log;
use super::flush::byte_count;
use crate::TopicPartition;
use crate::checkpoint::{LogRecord, SegmentRecord};
use crate::error::{IoContext, StorageError};
use crate::import::{ImportedLog, KafkaPartition};
use crate::log_dir::read_file;
use crate::producer_state::ProducerEntry;
use crate::segment::{Segment, SegmentName};
use crate::txn_index::TxnIndex;
use afluente_protocol::numbers::Offset;
use afluente_stdx::crc32c::crc32c;
use std::sync::Arc;

impl Log {
    /// Reads the transaction indexes of the segments that have one. They are in memory while the
    /// log is open, as every `read_committed` reader needs them. One that is not as the checkpoint
    /// says is built again from the segments; gives what was wrong with each of these.
    pub(crate) fn load_aborted(self: &Arc<Self>) -> Result<Vec<StorageError>, StorageError> {
        let damaged = self.read_txn_indexes()?;
        for (base, error) in &damaged {
            tracing::warn!(
                log = %self.partition(),
                error = error as &dyn std::error::Error,
                "a transaction index is built again"
            );
            let rebuilt = self.rebuild_txn_index(*base)?;
            let mut state = self.state.lock();
            let found = state.segments.iter_mut().find(|segment| segment.base == *base);
            found.expect("it was just read").aborted =
                (!rebuilt.is_empty()).then(|| Box::new(rebuilt));
            // The next checkpoint writes it.
            self.dir.note_dirty(self, &mut state);
        }
        Ok(damaged.into_iter().map(|(_, error)| error).collect())
    }

    /// Takes in the transaction indexes that are sound; gives the others.
    fn read_txn_indexes(&self) -> Result<Vec<(Offset, StorageError)>, StorageError> {
        let mut damaged = Vec::new();
        let mut state = self.state.lock();
        if state.segments.iter().all(|segment| segment.txn_index_bytes == 0) {
            return Ok(damaged);
        }
        let disk = self.dir.env.disk.as_ref();
        let directory = self.directory();
        for index in 0..state.segments.len() {
            let end = state.segments.get(index + 1).map_or(state.end(), |next| next.base);
            let segment = &mut state.segments[index];
            let len = segment.txn_index_bytes as usize;
            if len == 0 {
                continue;
            }
            let path = segment.name().txn_index(&directory);
            let bytes = read_file(disk, &path)?;
            match check_txn_index(bytes.as_deref(), segment, end) {
                Ok((aborted, crc)) => {
                    segment.txn_index_crc = Some(crc);
                    segment.aborted = Some(Box::new(aborted));
                }
                Err((position, expected, found)) => {
                    let remedy = "it is built again from the segments";
                    let error = StorageError::Corrupt { path, position, expected, found, remedy };
                    damaged.push((segment.base, error));
                    (segment.txn_index_bytes, segment.txn_index_crc) = (0, Some(0));
                }
            }
        }
        Ok(damaged)
    }

    /// The aborted transactions whose markers are in the segment at `base`, by its batches.
    fn rebuild_txn_index(self: &Arc<Self>, base: Offset) -> Result<TxnIndex, StorageError> {
        let path = SegmentName { base, generation: 0 }.txn_index(&self.directory());
        // Nothing of it counts any more, and Kafka would go by its length.
        let disk = self.dir.env.disk.as_ref();
        if disk.metadata(&path).doing("look at", &path)?.is_some() {
            disk.remove_file(&path).doing("remove", &path)?;
        }
        let end = {
            let state = self.state.lock();
            let next = state.segments.iter().find(|segment| segment.base > base);
            next.map_or(state.end(), |next| next.base)
        };
        let mut rebuilt = TxnIndex::default();
        self.walk_producers(base, end, |completed| {
            if completed.last_offset >= base {
                rebuilt.note(completed);
            }
        })?;
        Ok(rebuilt)
    }
}

/// Position, what was expected there, what was found.
type Damage = (u64, String, String);

/// The transaction index of a segment that ends before `end`, from the bytes of its file, and their
/// checksum.
fn check_txn_index(
    bytes: Option<&[u8]>,
    segment: &Segment,
    end: Offset,
) -> Result<(TxnIndex, u32), Damage> {
    let len = segment.txn_index_bytes as usize;
    let expected = || format!("{len} bytes of a transaction index");
    let Some(bytes) = bytes else { return Err((0, expected(), "no file".to_owned())) };
    let Some(counted) = bytes.get(..len) else {
        return Err((bytes.len() as u64, expected(), "the end of the file".to_owned()));
    };
    let crc = crc32c(counted);
    if let Some(expected) = segment.txn_index_crc.filter(|expected| *expected != crc) {
        let expected = format!("{len} bytes with the CRC {expected:#010x}");
        return Err((0, expected, format!("bytes with {crc:#010x}")));
    }
    let index = TxnIndex::decode(segment.base, counted, end);
    index.map(|index| (index, crc)).map_err(|error| (0, expected(), error.to_string()))
}

impl LogRecord {
    /// Of a log that Apache Kafka has left.
    pub(crate) fn imported(log_id: u64, partition: &KafkaPartition, log: ImportedLog) -> Self {
        let mut segments: Vec<SegmentRecord> = log
            .segments
            .iter()
            .map(|segment| {
                let txns = segment.txns.encode();
                SegmentRecord {
                    base: segment.base,
                    size: segment.size_bytes,
                    timestamp_max: segment.newest.map_or(-1, |newest| newest.timestamp_ms),
                    timestamp_max_offset: segment.newest.map_or(Offset(-1), |newest| newest.offset),
                    first_timestamp: segment.first_timestamp_ms.unwrap_or(-1),
                    made_at_ms: segment.modified_ms,
                    txn_index_bytes: byte_count(&txns),
                    offset_index_bytes: byte_count(segment.offsets.bytes()),
                    time_index_bytes: byte_count(segment.times.bytes()),
                    generation: 0,
                    txn_index_crc: Some(crc32c(&txns)),
                }
            })
            .collect();
        if segments.is_empty() {
            segments.push(crate::segment::Segment::new(log.end, 0).to_record());
        }
        let high_watermark = partition.high_watermark.unwrap_or(log.end);
        let topic = partition.name.topic.as_str();
        Self {
            log_id,
            version: 1,
            applied_lsn: 0,
            topic_id: log.topic_id.unwrap_or_default(),
            partition: TopicPartition::new(topic, partition.name.partition.0),
            start: log.start,
            end: log.end,
            high_watermark: high_watermark.clamp(log.start, log.end),
            cleaned_to: partition.cleaned_to,
            epochs: log.epochs.entries().to_vec(),
            segments,
            unreplicated: log.producers.unreplicated_txns().collect(),
            producers: log.producers.entries().cloned().collect::<Vec<ProducerEntry>>(),
        }
    }
}
