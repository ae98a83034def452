//! What producer state needs to know of a batch, and arithmetic with sequence numbers.

use afluente_protocol::numbers::{ProducerEpoch, ProducerId};
use afluente_protocol::records::{Batch, BatchHeader, EndTxnMarker, RecordsError, TxnOutcome};

/// The producer's side of a batch header, offsets left out: they are assigned later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Who wrote it; `None` for a producer without idempotence.
    pub producer_id: Option<ProducerId>,
    /// The producer's epoch.
    pub epoch: ProducerEpoch,
    /// The sequence number of its first record; -1 from coordinators.
    pub base_sequence: i32,
    /// Its last offset minus its first.
    pub last_offset_delta: i32,
    /// The batch's timestamp, in milliseconds.
    pub max_timestamp_ms: i64,
    /// Data or a marker.
    pub content: BatchContent,
}

/// What a batch holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BatchContent {
    /// Records of the user.
    Data {
        /// Whether they belong to a transaction.
        transactional: bool,
    },
    /// The end of a transaction.
    Marker(EndTxn),
    /// A control batch without its record: compaction has removed all of its transaction.
    EmptyControl,
}

/// The record of a control batch that ends a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxn {
    /// Abort, or commit.
    pub aborted: bool,
    /// The epoch of the transaction coordinator that wrote it.
    pub coordinator_epoch: i32,
    /// When, in milliseconds.
    pub timestamp_ms: i64,
}

impl ProducerBatch {
    /// What a header says; what the batch holds takes a look inside when it is a control batch.
    #[must_use]
    pub fn new(header: &BatchHeader, content: BatchContent) -> Self {
        Self {
            producer_id: header.has_producer_id().then_some(header.producer_id),
            epoch: header.producer_epoch,
            base_sequence: header.base_sequence,
            last_offset_delta: header.last_offset_delta,
            max_timestamp_ms: header.max_timestamp,
            content,
        }
    }

    /// What a whole batch says; of a control batch the record is read.
    ///
    /// # Errors
    /// The record of a control batch is not what Kafka writes.
    pub fn of(batch: &Batch<'_>) -> Result<Self, RecordsError> {
        let attributes = batch.header().attributes;
        let content = if attributes.is_control() {
            control_content(batch)?
        } else {
            BatchContent::Data { transactional: attributes.is_transactional() }
        };
        Ok(Self::new(batch.header(), content))
    }

    /// Whether it takes part in a transaction; every marker does.
    #[must_use]
    pub fn is_transactional(&self) -> bool {
        !matches!(self.content, BatchContent::Data { transactional: false })
    }

    /// The sequence number of its last record; -1 if it has none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return NO_SEQUENCE;
        }
        advance_sequence(self.base_sequence, self.last_offset_delta)
    }
}

/// What a control batch says. Kafka does not compress control batches, and writes one record into
/// each.
fn control_content(batch: &Batch<'_>) -> Result<BatchContent, RecordsError> {
    let Some(record) = batch.header().records(batch.records_section()).next() else {
        return Ok(BatchContent::EmptyControl);
    };
    let record = record?;
    // Other control records, such as those of the metadata quorum, have no producer.
    Ok(EndTxnMarker::parse(&record)?.map_or(BatchContent::EmptyControl, |marker| {
        BatchContent::Marker(EndTxn {
            aborted: marker.outcome == TxnOutcome::Abort,
            coordinator_epoch: marker.coordinator_epoch,
            timestamp_ms: record.timestamp,
        })
    }))
}

/// Stands for a batch without sequence numbers.
pub(super) const NO_SEQUENCE: i32 = -1;

/// The sequence number that must follow `last`: after the greatest comes 0 again.
pub(super) fn next_sequence(last: i32) -> i32 {
    if last == i32::MAX { 0 } else { last + 1 }
}

/// `sequence` plus `count`, past the greatest number round to 0.
fn advance_sequence(sequence: i32, count: i32) -> i32 {
    // Adding in 32 bits overflows into the sign bit exactly when the numbers wrap; clearing it is
    // the wrap.
    sequence.wrapping_add(count) & i32::MAX
}

/// `sequence` minus `count`, below 0 round to the greatest number.
pub(super) fn retreat_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_sub(count) & i32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_wrap_to_zero_after_the_greatest() {
        assert_eq!(next_sequence(NO_SEQUENCE), 0);
        assert_eq!(next_sequence(i32::MAX), 0);
        assert_eq!(advance_sequence(i32::MAX, 1), 0);
        assert_eq!(advance_sequence(i32::MAX - 1, 5), 3);
        assert_eq!(advance_sequence(7, 0), 7);
        assert_eq!(retreat_sequence(0, 1), i32::MAX);
        assert_eq!(retreat_sequence(3, 5), i32::MAX - 1);
        for (sequence, count) in [(0, 0), (i32::MAX, 9), (5, i32::MAX), (12, 3)] {
            assert_eq!(retreat_sequence(advance_sequence(sequence, count), count), sequence);
        }
    }
}
