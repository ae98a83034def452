//! A segment's time index, `.timeindex`: the offset up to which no record is newer than a
//! timestamp.
//!
//! ```text
//! 0                      8                                    12    numbers big-endian
//! | greatest timestamp   | last offset of the batch that has  | next entry …
//! | so far, ms: i64      | it, minus the base offset: i32     |
//! ```
//!
//! An entry comes with each entry of the offset index if the greatest timestamp has grown, and one
//! more when the segment is closed. Timestamps rise strictly, offsets never fall. Kept in memory as
//! the bytes of the file.

use crate::index_error::{IndexError, check_length, partition_point};
use crate::offset_index::relative;
use afluente_protocol::numbers::Offset;

/// The size of an entry.
pub const TIME_INDEX_ENTRY_BYTES: usize = 12;

/// The time index of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeIndex {
    base: Offset,
    bytes: Vec<u8>,
}

/// An entry of a time index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The greatest timestamp of the segment up to here, in milliseconds.
    pub timestamp_ms: i64,
    /// The last offset of the batch that has it.
    pub offset: Offset,
}

impl TimeIndex {
    /// An empty index of the segment that begins at `base`.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self { base, bytes: Vec::new() }
    }

    /// The index in `bytes`, of a segment that ends before `end`.
    ///
    /// # Errors
    /// The bytes are not an index of such a segment.
    pub fn decode(base: Offset, bytes: Vec<u8>, end: Offset) -> Result<Self, IndexError> {
        check_length(&bytes, TIME_INDEX_ENTRY_BYTES)?;
        let index = Self { base, bytes };
        let mut last: Option<TimestampOffset> = None;
        for at in 0..index.len() {
            let entry = index.entry(at);
            let refuse = |what| Err(IndexError::entry(at, TIME_INDEX_ENTRY_BYTES, what));
            if entry.offset < base || entry.offset >= end {
                return refuse("points to an offset outside of its segment");
            }
            if entry.timestamp_ms < 0 {
                return refuse("has a negative timestamp");
            }
            if let Some(last) = last
                && (entry.timestamp_ms <= last.timestamp_ms || entry.offset < last.offset)
            {
                return refuse("does not rise above the entry before it");
            }
            last = Some(entry);
        }
        Ok(index)
    }

    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / TIME_INDEX_ENTRY_BYTES
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds `entry` if its timestamp is above that of the last one.
    ///
    /// # Panics
    /// If its offset is below that of the last entry, or too far from the segment's beginning for
    /// four bytes: the caller has rolled the segment before.
    pub fn append_if_newer(&mut self, entry: TimestampOffset) {
        let last = self.last();
        if entry.timestamp_ms <= last.map_or(-1, |last| last.timestamp_ms) {
            return;
        }
        assert!(
            last.is_none_or(|last| last.offset <= entry.offset),
            "time index entry {entry:?} falls below {last:?}"
        );
        let relative =
            relative(self.base, entry.offset).expect("a segment spans less than 2^31 offsets");
        self.bytes.extend_from_slice(&entry.timestamp_ms.to_be_bytes());
        self.bytes.extend_from_slice(&relative.to_be_bytes());
    }

    /// The last entry whose timestamp is not above `timestamp_ms`: no record up to its offset is
    /// newer. `None` if even the first one is newer.
    #[must_use]
    pub fn lookup(&self, timestamp_ms: i64) -> Option<TimestampOffset> {
        let above = partition_point(self.len(), |at| self.entry(at).timestamp_ms <= timestamp_ms);
        above.checked_sub(1).map(|at| self.entry(at))
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<TimestampOffset> {
        self.len().checked_sub(1).map(|at| self.entry(at))
    }

    /// Removes the entries of batches that end at or behind `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = partition_point(self.len(), |at| self.entry(at).offset < offset);
        self.bytes.truncate(kept * TIME_INDEX_ENTRY_BYTES);
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = TimestampOffset> {
        (0..self.len()).map(|at| self.entry(at))
    }

    fn entry(&self, at: usize) -> TimestampOffset {
        let entry = &self.bytes[at * TIME_INDEX_ENTRY_BYTES..][..TIME_INDEX_ENTRY_BYTES];
        let (timestamp, offset) = entry.split_at(8);
        let offset = u32::from_be_bytes(offset.try_into().expect("four bytes"));
        TimestampOffset {
            timestamp_ms: i64::from_be_bytes(timestamp.try_into().expect("eight bytes")),
            offset: Offset(self.base.0.saturating_add(i64::from(offset))),
        }
    }
}
