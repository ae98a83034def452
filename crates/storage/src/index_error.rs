//! What can be wrong with an index file. The remedy is always the same: build it again from the
//! segment.

/// What is wrong with the bytes of an index. Nothing in them may be used then; the segment that it
/// belongs to says it all again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// The file was cut inside an entry.
    #[error("index has {found} bytes, expected a multiple of {entry_bytes}")]
    Length {
        /// What is there.
        found: usize,
        /// The size of an entry.
        entry_bytes: usize,
    },
    /// An entry contradicts the one before it, or the segment.
    #[error("index entry {entry} at byte {byte} {what}")]
    Entry {
        /// Its number, from 0.
        entry: usize,
        /// Where it begins in the file.
        byte: usize,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl IndexError {
    pub(crate) fn entry(entry: usize, entry_bytes: usize, what: &'static str) -> Self {
        Self::Entry { entry, byte: entry * entry_bytes, what }
    }
}

/// Whether `bytes` are whole entries of `entry_bytes`.
pub(crate) fn check_length(bytes: &[u8], entry_bytes: usize) -> Result<(), IndexError> {
    if bytes.len().is_multiple_of(entry_bytes) {
        Ok(())
    } else {
        Err(IndexError::Length { found: bytes.len(), entry_bytes })
    }
}

/// How many of the first `count` entries fulfil `holds`, which is true for the first ones and false
/// for the rest.
pub(crate) fn partition_point(count: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) { low = middle + 1 } else { high = middle }
    }
    low
}
