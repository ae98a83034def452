//! What a poll gives: records as views into the batches that were fetched.
//!
//! A batch is opened once: without compression the views point into the very answer of the broker,
//! else into one buffer a batch. A view costs no allocation; whoever wants to keep a record takes
//! [`ConsumerRecord::to_record`], which shares the buffer.

use crate::topic_partition::TopicPartition;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{BatchHeader, Headers, Record, RecordIter, TimestampType};
use bytes::Bytes;
use std::fmt;

/// The records of one poll, by partition.
#[derive(Debug, Clone, Default)]
pub struct Records {
    partitions: Vec<PartitionRecords>,
}

/// The records of one partition, in the order of their offsets.
#[derive(Debug, Clone)]
pub struct PartitionRecords {
    partition: TopicPartition,
    pieces: Vec<Piece>,
    count: usize,
    next_offset: Offset,
}

/// Records of one batch that follow one another. They were checked when the piece was made.
#[derive(Clone)]
pub(super) struct Piece {
    /// With the number of records that are in `section`.
    pub(super) header: BatchHeader,
    pub(super) section: Bytes,
}

/// A record, borrowed from what was fetched.
#[derive(Debug, Clone, Copy)]
pub struct ConsumerRecord<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition.
    pub partition: i32,
    /// Where the record is in its partition.
    pub offset: Offset,
    /// Ms since 1970; -1 if there is none.
    pub timestamp: i64,
    /// Whether the time is that of the producer or of the append.
    pub timestamp_type: TimestampType,
    /// The epoch of the leader that appended it; -1 if it is not known.
    pub leader_epoch: i32,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value.
    pub value: Option<&'a [u8]>,
    /// The headers, in order, duplicates included.
    pub headers: Headers<'a>,
    section: &'a Bytes,
}

impl Records {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.partitions.iter().map(PartitionRecords::count).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// By partition.
    #[must_use]
    pub fn partitions(&self) -> &[PartitionRecords] {
        &self.partitions
    }

    /// All, partition after partition.
    pub fn iter(&self) -> impl Iterator<Item = ConsumerRecord<'_>> {
        self.partitions.iter().flat_map(PartitionRecords::iter)
    }

    pub(super) fn push(&mut self, records: PartitionRecords) {
        self.partitions.push(records);
    }
}

impl<'a> IntoIterator for &'a Records {
    type Item = ConsumerRecord<'a>;
    /// Can be held across an `await` of a task that may move.
    type IntoIter = Box<dyn Iterator<Item = ConsumerRecord<'a>> + Send + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl PartitionRecords {
    pub(super) fn new(
        partition: TopicPartition,
        pieces: Vec<Piece>,
        count: usize,
        next_offset: Offset,
    ) -> Self {
        Self { partition, pieces, count, next_offset }
    }

    /// The partition.
    #[must_use]
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// How many records there are; at least one.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// The position behind them: what to commit once they are done with.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The records.
    #[must_use]
    pub fn iter(&self) -> PartitionIter<'_> {
        PartitionIter { records: self, next_piece: 0, current: None }
    }
}

impl<'a> IntoIterator for &'a PartitionRecords {
    type Item = ConsumerRecord<'a>;
    type IntoIter = PartitionIter<'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// The records of a partition, in order.
#[derive(Debug, Clone)]
pub struct PartitionIter<'a> {
    records: &'a PartitionRecords,
    next_piece: usize,
    current: Option<(&'a Piece, RecordIter<'a>)>,
}

impl<'a> Iterator for PartitionIter<'a> {
    type Item = ConsumerRecord<'a>;

    #[inline]
    fn next(&mut self) -> Option<ConsumerRecord<'a>> {
        loop {
            if let Some((piece, views)) = &mut self.current
                && let Some(view) = views.next()
            {
                let view = view.expect("records are checked when a poll takes them");
                return Some(ConsumerRecord {
                    topic: &self.records.partition.topic,
                    partition: self.records.partition.partition,
                    offset: view.offset,
                    timestamp: view.timestamp,
                    timestamp_type: piece.header.attributes.timestamp_type(),
                    leader_epoch: piece.header.partition_leader_epoch.0,
                    key: view.key,
                    value: view.value,
                    headers: view.headers,
                    section: &piece.section,
                });
            }
            let piece = self.records.pieces.get(self.next_piece)?;
            self.next_piece += 1;
            self.current = Some((piece, piece.header.records(&piece.section)));
        }
    }
}

impl ConsumerRecord<'_> {
    /// The key as a slice that keeps the batch alive.
    #[must_use]
    pub fn key_bytes(&self) -> Option<Bytes> {
        self.key.map(|key| self.section.slice_ref(key))
    }

    /// The value as a slice that keeps the batch alive.
    #[must_use]
    pub fn value_bytes(&self) -> Option<Bytes> {
        self.value.map(|value| self.section.slice_ref(value))
    }

    /// The record as slices that keep the batch alive.
    #[must_use]
    pub fn to_record(&self) -> Record {
        let share = |part: &[u8]| self.section.slice_ref(part);
        Record {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key_bytes(),
            value: self.value_bytes(),
            headers: self.headers.map(|h| (share(h.key), h.value.map(share))).collect(),
        }
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Piece({} records)", self.header.record_count)
    }
}
