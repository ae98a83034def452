//! A segment's offset index, `.index`: where in the segment to begin looking for an offset.
//!
//! ```text
//! 0                                   4                   8         numbers big-endian
//! | last offset of a batch, minus the | position of that  | next entry …
//! | segment's base offset: i32        | batch: i32        |
//! ```
//!
//! Sparse: an entry for the first batch after each `index.interval.bytes`. Both numbers rise
//! strictly. Kept in memory as the bytes of the file.

use crate::index_error::{IndexError, check_length, partition_point};
use afluente_protocol::numbers::Offset;

/// The size of an entry.
pub const OFFSET_INDEX_ENTRY_BYTES: usize = 8;

/// The offset index of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetIndex {
    base: Offset,
    bytes: Vec<u8>,
}

/// An entry of an offset index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetPosition {
    /// The last offset of the batch.
    pub offset: Offset,
    /// Where the batch begins in the segment, in bytes.
    pub position: u32,
}

impl OffsetIndex {
    /// An empty index of the segment that begins at `base`.
    #[must_use]
    pub fn new(base: Offset) -> Self {
        Self { base, bytes: Vec::new() }
    }

    /// The index in `bytes`, of a segment that has `segment_bytes` and ends before `end`.
    ///
    /// # Errors
    /// The bytes are not an index of such a segment.
    pub fn decode(
        base: Offset,
        bytes: Vec<u8>,
        segment_bytes: u64,
        end: Offset,
    ) -> Result<Self, IndexError> {
        check_length(&bytes, OFFSET_INDEX_ENTRY_BYTES)?;
        let index = Self { base, bytes };
        let mut last: Option<OffsetPosition> = None;
        for at in 0..index.len() {
            let entry = index.entry(at);
            let refuse = |what| Err(IndexError::entry(at, OFFSET_INDEX_ENTRY_BYTES, what));
            if entry.offset < base || entry.offset >= end {
                return refuse("points to an offset outside of its segment");
            }
            if u64::from(entry.position) >= segment_bytes {
                return refuse("points behind the end of its segment");
            }
            if let Some(last) = last
                && (entry.offset <= last.offset || entry.position <= last.position)
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

    /// The segment's base offset.
    #[must_use]
    pub fn base(&self) -> Offset {
        self.base
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len() / OFFSET_INDEX_ENTRY_BYTES
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds the batch at `position` whose last offset is `offset`.
    ///
    /// # Panics
    /// If they do not rise above the last entry, or are too far from the segment's beginning for
    /// four bytes: the caller has rolled the segment before.
    pub fn append(&mut self, offset: Offset, position: u32) {
        let last = self.len().checked_sub(1).map(|at| self.entry(at));
        assert!(
            last.is_none_or(|last| last.offset < offset && last.position < position),
            "index entry {offset} at {position} does not rise above {last:?}"
        );
        let relative = relative(self.base, offset).expect("a segment spans less than 2^31 offsets");
        self.bytes.extend_from_slice(&relative.to_be_bytes());
        self.bytes.extend_from_slice(&position.to_be_bytes());
    }

    /// Where to begin looking for `target`: the last batch that is known to end at or before it, or
    /// the segment's beginning.
    #[must_use]
    pub fn lookup(&self, target: Offset) -> OffsetPosition {
        let above = partition_point(self.len(), |at| self.entry(at).offset <= target);
        match above.checked_sub(1) {
            Some(at) => self.entry(at),
            None => OffsetPosition { offset: self.base, position: 0 },
        }
    }

    /// The first entry at or behind `position`: a read that ends there is a whole number of
    /// batches.
    #[must_use]
    pub fn first_at_or_after(&self, position: u32) -> Option<OffsetPosition> {
        let at = partition_point(self.len(), |at| self.entry(at).position < position);
        (at < self.len()).then(|| self.entry(at))
    }

    /// The last entry.
    #[must_use]
    pub fn last(&self) -> Option<OffsetPosition> {
        self.len().checked_sub(1).map(|at| self.entry(at))
    }

    /// Removes the entries of batches that end at or behind `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = partition_point(self.len(), |at| self.entry(at).offset < offset);
        self.bytes.truncate(kept * OFFSET_INDEX_ENTRY_BYTES);
    }

    /// All entries, in order.
    pub fn entries(&self) -> impl Iterator<Item = OffsetPosition> {
        (0..self.len()).map(|at| self.entry(at))
    }

    fn entry(&self, at: usize) -> OffsetPosition {
        let entry = &self.bytes[at * OFFSET_INDEX_ENTRY_BYTES..][..OFFSET_INDEX_ENTRY_BYTES];
        let (offset, position) = entry.split_at(4);
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().expect("four bytes"));
        // A base near the greatest offset and a damaged entry: saturate, and `decode` refuses it.
        let offset = Offset(self.base.0.saturating_add(i64::from(number(offset))));
        OffsetPosition { offset, position: number(position) }
    }
}

/// `offset` counted from `base`, if a signed 32-bit number can hold it.
pub(crate) fn relative(base: Offset, offset: Offset) -> Option<u32> {
    let relative = i32::try_from(offset.0.checked_sub(base.0)?).ok()?;
    u32::try_from(relative).ok()
}
