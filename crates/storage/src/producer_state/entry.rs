//! One producer of a partition and its last batches.

use super::ProducerSummary;
use super::batch::{EndTxn, NO_SEQUENCE, ProducerBatch, retreat_sequence};
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};

/// How many batches of a producer are remembered. An idempotent producer has at most five requests
/// in flight, so an older batch cannot come again.
pub const BATCHES_RETAINED_MAX: usize = 5;

/// What is known of one producer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch; [`ProducerEpoch::NONE`] before its first batch.
    pub epoch: ProducerEpoch,
    /// The epoch of the coordinator that wrote its last marker; -1 before the first.
    pub coordinator_epoch: i32,
    /// The timestamp of its last batch or marker, in milliseconds.
    pub last_timestamp_ms: i64,
    /// Where its open transaction begins.
    pub txn_start: Option<Offset>,
    /// The last batches of its epoch, oldest first, in the first `batch_count` places.
    batches: [RetainedBatch; BATCHES_RETAINED_MAX],
    batch_count: u8,
}

/// A batch that is in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetainedBatch {
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// Its last offset minus its first.
    pub offset_delta: i32,
    /// The offset of its last record.
    pub last_offset: Offset,
    /// Its timestamp, in milliseconds.
    pub timestamp_ms: i64,
}

impl RetainedBatch {
    const NONE: Self = Self {
        last_sequence: NO_SEQUENCE,
        offset_delta: 0,
        last_offset: Offset(-1),
        timestamp_ms: -1,
    };

    /// The offset of its first record.
    #[must_use]
    pub fn first_offset(&self) -> Offset {
        Offset(self.last_offset.0 - i64::from(self.offset_delta))
    }

    /// The sequence number of its first record.
    #[must_use]
    pub fn first_sequence(&self) -> i32 {
        retreat_sequence(self.last_sequence, self.offset_delta)
    }
}

impl ProducerEntry {
    /// A producer that has written nothing.
    #[must_use]
    pub fn unknown(producer_id: ProducerId) -> Self {
        Self {
            producer_id,
            epoch: ProducerEpoch::NONE,
            coordinator_epoch: -1,
            last_timestamp_ms: -1,
            txn_start: None,
            batches: [RetainedBatch::NONE; BATCHES_RETAINED_MAX],
            batch_count: 0,
        }
    }

    /// The same producer with these batches, oldest first; of more than
    /// [`BATCHES_RETAINED_MAX`] the last ones stay.
    #[must_use]
    pub fn with_batches(mut self, batches: impl IntoIterator<Item = RetainedBatch>) -> Self {
        batches.into_iter().for_each(|batch| self.retain(batch));
        self
    }

    /// Its last batches, oldest first.
    #[must_use]
    pub fn batches(&self) -> &[RetainedBatch] {
        &self.batches[..usize::from(self.batch_count)]
    }

    /// The sequence number of its last record; -1 if none is known.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.batches().last().map_or(NO_SEQUENCE, |batch| batch.last_sequence)
    }

    /// The retained batch with the very epoch and sequence numbers of `batch`.
    pub(super) fn find(&self, batch: &ProducerBatch) -> Option<RetainedBatch> {
        if batch.epoch != self.epoch {
            return None;
        }
        let (first, last) = (batch.base_sequence, batch.last_sequence());
        let is_same =
            |old: &&RetainedBatch| old.first_sequence() == first && old.last_sequence == last;
        self.batches().iter().find(is_same).copied()
    }

    /// Takes in a data batch whose first offset is `first`.
    pub(super) fn add(&mut self, batch: &ProducerBatch, first: Offset) {
        self.enter_epoch(batch.epoch);
        self.retain(RetainedBatch {
            last_sequence: batch.last_sequence(),
            offset_delta: batch.last_offset_delta,
            last_offset: Offset(first.0 + i64::from(batch.last_offset_delta)),
            timestamp_ms: batch.max_timestamp_ms,
        });
        self.last_timestamp_ms = batch.max_timestamp_ms;
    }

    /// Takes in a marker; returns where the transaction began that it ends.
    pub(super) fn end_txn(&mut self, epoch: ProducerEpoch, marker: &EndTxn) -> Option<Offset> {
        self.enter_epoch(epoch);
        self.coordinator_epoch = marker.coordinator_epoch;
        self.last_timestamp_ms = marker.timestamp_ms;
        self.txn_start.take()
    }

    pub(super) fn is_expired(&self, now_ms: i64, expiration_ms: i64) -> bool {
        self.txn_start.is_none() && now_ms.saturating_sub(self.last_timestamp_ms) >= expiration_ms
    }

    pub(super) fn summary(&self) -> ProducerSummary {
        ProducerSummary {
            producer_id: self.producer_id,
            epoch: self.epoch,
            last_sequence: self.last_sequence(),
            last_timestamp_ms: self.last_timestamp_ms,
            coordinator_epoch: self.coordinator_epoch,
            txn_start: self.txn_start,
        }
    }

    /// Sequence numbers start over with each epoch, so older batches cannot come again.
    fn enter_epoch(&mut self, epoch: ProducerEpoch) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batch_count = 0;
        }
    }

    fn retain(&mut self, batch: RetainedBatch) {
        if usize::from(self.batch_count) == BATCHES_RETAINED_MAX {
            self.batches.rotate_left(1);
            self.batch_count -= 1;
        }
        self.batches[usize::from(self.batch_count)] = batch;
        self.batch_count += 1;
    }
}
