//! What of a log is read from its own files when its directory is opened.

use super::Log;
use crate::TopicPartition;
use crate::checkpoint::{LogRecord, SegmentRecord};
use crate::error::StorageError;
use crate::import::{ImportedLog, KafkaPartition};
use crate::log_dir::read_file;
use crate::producer_state::ProducerEntry;
use crate::txn_index::TxnIndex;
use afluente_protocol::numbers::Offset;

impl Log {
    /// Reads the transaction indexes of the segments that have one. They are in memory while the
    /// log is open, as every `read_committed` reader needs them.
    pub(crate) fn load_aborted(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        if state.segments.iter().all(|segment| segment.txn_index_bytes == 0) {
            return Ok(());
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
            let bytes = read_file(disk, &path)?.unwrap_or_default();
            let decoded = match bytes.get(..len) {
                Some(bytes) => {
                    TxnIndex::decode(segment.base, bytes, end).map_err(|error| error.to_string())
                }
                None => Err(format!("{} bytes", bytes.len())),
            };
            let aborted = decoded.map_err(|found| StorageError::Corrupt {
                path,
                position: 0,
                expected: format!("{len} bytes of a transaction index"),
                found,
                remedy: "nothing was changed: restore the file, or the partition's directory",
            })?;
            segment.aborted = Some(Box::new(aborted));
        }
        Ok(())
    }
}

impl LogRecord {
    /// Of a log that Apache Kafka has left.
    pub(crate) fn imported(log_id: u64, partition: &KafkaPartition, log: ImportedLog) -> Self {
        let count = |bytes: usize| u32::try_from(bytes).expect("an index is far below 4 GiB");
        let mut segments: Vec<SegmentRecord> = log
            .segments
            .iter()
            .map(|segment| SegmentRecord {
                base: segment.base,
                size: segment.size_bytes,
                timestamp_max: segment.newest.map_or(-1, |newest| newest.timestamp_ms),
                timestamp_max_offset: segment.newest.map_or(Offset(-1), |newest| newest.offset),
                first_timestamp: segment.first_timestamp_ms.unwrap_or(-1),
                made_at_ms: segment.modified_ms,
                txn_index_bytes: count(segment.txns.encode().len()),
                offset_index_bytes: count(segment.offsets.bytes().len()),
                time_index_bytes: count(segment.times.bytes().len()),
                generation: 0,
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
