//! A partition in which a coordinator keeps its state: written as batches of keys and values, read
//! from its beginning when the coordinator starts.

use crate::partition::{self, Partition};
use crate::waiting::AckWait;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Compressor, Decompressor, EndTxnMarker, NewRecord,
    OpenBatch, RecordsError, TxnOutcome,
};
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{AppendOptions, ReadError};
use bytes::Bytes;
use std::sync::Arc;

/// The largest batch that is taken out of its compression; ours are far smaller.
const BATCH_BYTES_MAX: usize = 256 << 20;

/// The log of a coordinator's shard.
pub(crate) struct StateLog {
    partition: Arc<Partition>,
}

/// One step of what the log tells, in its order.
pub(crate) enum Told {
    /// A record; `producer_id` is that of its transaction, if it is part of one.
    Record { producer_id: Option<i64>, key: Bytes, value: Option<Bytes> },
    /// A transaction has ended.
    TransactionEnd { producer_id: i64, is_commit: bool },
}

/// Why a shard cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoadError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Batch(#[from] RecordsError),
}

impl StateLog {
    pub(crate) fn new(partition: Arc<Partition>) -> Self {
        Self { partition }
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.partition
    }

    /// Appends records as one batch; `wait` is over when they are durable. With a producer they
    /// are part of its transaction.
    ///
    /// # Errors
    /// The log's own code: nothing was appended.
    pub(crate) fn append(
        &self,
        records: &[(Bytes, Option<Bytes>)],
        producer: Option<BatchProducer>,
        now_ms: i64,
        wait: &Arc<AckWait>,
    ) -> Result<(), ErrorCode> {
        let options = BatchOptions {
            producer: producer.unwrap_or(BatchProducer::NONE),
            is_transactional: producer.is_some(),
            ..BatchOptions::default()
        };
        let mut builder = BatchBuilder::new(options);
        for (key, value) in records {
            let value = value.as_deref();
            let record = NewRecord { timestamp: now_ms, key: Some(key), value, headers: &[] };
            builder.append(&record).map_err(|error| error.code())?;
        }
        let batch = builder.finish(&mut Compressor::new()).map_err(|error| error.code())?;
        let epoch = self.partition.leader_epoch();
        let options = AppendOptions::by(AppendOrigin::Coordinator, epoch, now_ms);
        self.partition.append(batch, options, wait).map_err(|error| error.code())?;
        Ok(())
    }

    /// Makes `wait` wait for all that was appended so far: what an answer tells of a state must not
    /// be undone by a crash.
    pub(crate) fn wait_for_all(&self, wait: &Arc<AckWait>) {
        let log = self.partition.log();
        self.partition.waiting().wait_for_durable(log.end_offset(), || log.durable_end(), wait);
    }

    /// Tells everything that is in the log.
    ///
    /// # Errors
    /// It cannot be read, or a batch of it is damaged.
    pub(crate) async fn tell(&self, mut to: impl FnMut(Told)) -> Result<(), LoadError> {
        let mut decompressor = Decompressor::new();
        let log = self.partition.log();
        partition::read_to_end(log, log.start_offset(), |bytes, from| {
            tell_batches(bytes, from, &mut decompressor, &mut to).map_err(LoadError::from)
        })
        .await
    }
}

fn tell_batches(
    bytes: &Bytes,
    from: Offset,
    decompressor: &mut Decompressor,
    to: &mut impl FnMut(Told),
) -> Result<(), RecordsError> {
    let mut at = 0;
    while at < bytes.len() {
        let batch = OpenBatch::open(&bytes.slice(at..), decompressor, BATCH_BYTES_MAX)?;
        let header = *batch.header();
        at += header.size_bytes();
        let producer_id = header.attributes.is_transactional().then_some(header.producer_id.0);
        if header.attributes.is_control() {
            for view in batch.views() {
                if let Some(marker) = EndTxnMarker::parse(&view?)? {
                    let is_commit = marker.outcome == TxnOutcome::Commit;
                    to(Told::TransactionEnd { producer_id: header.producer_id.0, is_commit });
                }
            }
            continue;
        }
        for record in batch.records() {
            let record = record?;
            if let Some(key) = record.key.filter(|_| record.offset >= from) {
                to(Told::Record { producer_id, key, value: record.value });
            }
        }
    }
    Ok(())
}

/// Which of `partition_count` partitions keeps the state of `id`: Java's hash of the string, as
/// every Kafka broker computes it.
pub(crate) fn partition_for(id: &str, partition_count: usize) -> i32 {
    let hash = id
        .encode_utf16()
        .fold(0_i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    let count = i32::try_from(partition_count).unwrap_or(i32::MAX).max(1);
    hash.checked_abs().unwrap_or(0) % count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_fall_into_the_partitions_that_java_puts_them_in() {
        // Integers that `"…".hashCode()` prints.
        assert_eq!(partition_for("", 50), 0);
        assert_eq!(partition_for("a", 50), 97 % 50);
        assert_eq!(partition_for("hello", 50), 99_162_322 % 50);
        // Its hash is the smallest integer, which has no absolute value.
        assert_eq!(partition_for("polygenelubricants", 50), 0);
        assert_eq!(partition_for("ação", 1), 0);
    }
}
