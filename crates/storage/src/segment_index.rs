//! The offset and time index of one segment, built batch by batch: as the segment grows, and again
//! whenever a file cannot be trusted. Both ways give the same bytes as Apache Kafka.

use crate::offset_index::{OFFSET_INDEX_ENTRY_BYTES, OffsetIndex, relative};
use crate::time_index::{TIME_INDEX_ENTRY_BYTES, TimeIndex, TimestampOffset};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::BatchHeader;

/// Builds the indexes of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentIndex {
    /// The offset index so far.
    pub offsets: OffsetIndex,
    /// The time index so far.
    pub times: TimeIndex,
    /// The greatest timestamp so far, with the last offset of its batch.
    newest: Option<TimestampOffset>,
    /// Bytes of batches since the last entry.
    since_entry_bytes: u64,
    /// Where the next batch begins.
    position: u32,
}

impl SegmentIndex {
    /// Of an empty segment that begins at `base`.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self {
            offsets: OffsetIndex::new(base),
            times: TimeIndex::new(base),
            newest: None,
            since_entry_bytes: 0,
            position: 0,
        }
    }

    /// Goes on with the indexes of a segment that has `position` bytes. Like Kafka, counts the
    /// bytes up to the next entry from here.
    #[must_use]
    pub fn resumed(offsets: OffsetIndex, times: TimeIndex, position: u32) -> Self {
        let newest = times.last();
        Self { offsets, times, newest, since_entry_bytes: 0, position }
    }

    /// Whether the indexes can take a batch that ends at `last_offset`: the distance fits into four
    /// bytes, and the files stay below `index_bytes_max` (`segment.index.bytes`). If not, the
    /// segment is to be rolled.
    #[must_use]
    pub fn has_room(&self, last_offset: Offset, index_bytes_max: usize) -> bool {
        let offsets_max = index_bytes_max / OFFSET_INDEX_ENTRY_BYTES;
        // The last place in the time index is kept for the entry of the close.
        let times_max = (index_bytes_max / TIME_INDEX_ENTRY_BYTES).saturating_sub(1);
        relative(self.offsets.base(), last_offset).is_some()
            && self.offsets.len() < offsets_max
            && self.times.len() < times_max
    }

    /// Takes in the next batch of the segment; `interval_bytes` is `index.interval.bytes`.
    ///
    /// # Panics
    /// If the batch is too far from the segment's beginning: see [`SegmentIndex::has_room`].
    pub fn append(&mut self, header: &BatchHeader, interval_bytes: u64) {
        let last_offset = header.last_offset();
        if header.max_timestamp > self.newest.map_or(-1, |newest| newest.timestamp_ms) {
            let timestamp_ms = header.max_timestamp;
            self.newest = Some(TimestampOffset { timestamp_ms, offset: last_offset });
        }
        if self.since_entry_bytes > interval_bytes {
            self.offsets.append(last_offset, self.position);
            self.note_newest();
            self.since_entry_bytes = 0;
        }
        let size = u32::try_from(header.size_bytes()).expect("a batch is smaller than 2 GiB");
        self.position = self.position.checked_add(size).expect("a segment is smaller than 4 GiB");
        self.since_entry_bytes += u64::from(size);
    }

    /// The segment will not grow any more: notes its greatest timestamp.
    pub fn close(&mut self) {
        self.note_newest();
    }

    /// The greatest timestamp of the segment, with the last offset of its batch.
    #[must_use]
    pub fn newest(&self) -> Option<TimestampOffset> {
        self.newest
    }

    /// Bytes of all batches so far.
    #[must_use]
    pub fn position(&self) -> u32 {
        self.position
    }

    fn note_newest(&mut self) {
        if let Some(newest) = self.newest {
            self.times.append_if_newer(newest);
        }
    }
}

#[cfg(test)]
mod tests;
