//! Blocks of segment files in memory, shared by all readers of cold data.
//!
//! A block comes into the *new* queue. One that is asked for again while it is there has proved
//! that more than one reader wants it, and moves to the *kept* queue when it gets old; the others
//! go. So a reader that goes once through a large log pushes out only what came in lately, and not
//! what others share.
//!
//! **Bounds.** The blocks of both queues have at most `bytes_max` together; half of it is for new
//! ones. Buffers that readers gave back are kept for the next read, at most [`SPARE_MAX`] of them.

use afluente_protocol::numbers::Offset;
use afluente_stdx::aligned_buf::AlignedBuf;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Weak};

/// The unit in which segments are read and kept.
pub(crate) const BLOCK_BYTES: usize = 128 << 10;
/// The most that one read of the disk takes, and the size of a buffer.
pub(crate) const RUN_BYTES: usize = 1 << 20;
const SPARE_MAX: usize = 8;

/// A block of a segment's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockId {
    pub(crate) log_id: u64,
    pub(crate) segment: Offset,
    pub(crate) generation: u32,
    /// Its position divided by [`BLOCK_BYTES`].
    pub(crate) number: u64,
}

pub(crate) struct BlockCache {
    bytes_max: usize,
    queues: Mutex<Queues>,
    spare: Arc<Spare>,
}

#[derive(Default)]
struct Queues {
    blocks: BTreeMap<BlockId, Entry>,
    new: VecDeque<BlockId>,
    kept: VecDeque<BlockId>,
    new_bytes: usize,
    kept_bytes: usize,
}

struct Entry {
    bytes: Bytes,
    /// Asked for since it came in, or since it was last passed over.
    wanted: bool,
    is_kept: bool,
}

impl BlockCache {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self {
            bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX),
            queues: Mutex::default(),
            spare: Arc::default(),
        }
    }

    /// The block, if it is here and has at least `len` bytes: that of a segment that still grows
    /// may have been read when it was shorter.
    pub(crate) fn get(&self, id: BlockId, len: usize) -> Option<Bytes> {
        let mut queues = self.queues.lock();
        let entry = queues.blocks.get_mut(&id).filter(|entry| entry.bytes.len() >= len)?;
        entry.wanted = true;
        Some(entry.bytes.clone())
    }

    /// Whether the block is here; that does not make it wanted.
    pub(crate) fn contains(&self, id: BlockId) -> bool {
        self.queues.lock().blocks.contains_key(&id)
    }

    /// Takes in a block that was read.
    pub(crate) fn insert(&self, id: BlockId, bytes: Bytes) {
        let len = bytes.len();
        let mut queues = self.queues.lock();
        if let Some(entry) = queues.blocks.get_mut(&id) {
            let before = std::mem::replace(&mut entry.bytes, bytes).len();
            let total = if entry.is_kept { &mut queues.kept_bytes } else { &mut queues.new_bytes };
            *total = *total + len - before;
        } else {
            queues.blocks.insert(id, Entry { bytes, wanted: false, is_kept: false });
            queues.new.push_back(id);
            queues.new_bytes += len;
        }
        queues.shrink_to(self.bytes_max);
    }

    /// Forgets the blocks of a log: it was truncated, compacted or deleted.
    pub(crate) fn forget_log(&self, log_id: u64) {
        let mut queues = self.queues.lock();
        let first = BlockId { log_id, segment: Offset(i64::MIN), generation: 0, number: 0 };
        let gone: Vec<BlockId> = queues
            .blocks
            .range(first..)
            .map(|(id, _)| *id)
            .take_while(|id| id.log_id == log_id)
            .collect();
        for id in gone {
            queues.remove(id);
        }
        queues.new.retain(|id| id.log_id != log_id);
        queues.kept.retain(|id| id.log_id != log_id);
    }

    /// A buffer of [`RUN_BYTES`], to be filled and handed to [`BlockCache::share`].
    pub(crate) fn buffer(&self) -> AlignedBuf {
        self.spare.0.lock().pop().unwrap_or_else(|| AlignedBuf::zeroed(RUN_BYTES))
    }

    /// Makes the first `len` bytes of a buffer shareable; it comes back when nobody needs it.
    pub(crate) fn share(&self, buf: AlignedBuf, len: usize) -> Bytes {
        let home = Arc::downgrade(&self.spare);
        Bytes::from_owner(Lent { buf: Some(buf), home }).slice(..len)
    }

    /// Bytes of all blocks.
    pub(crate) fn used_bytes(&self) -> u64 {
        let queues = self.queues.lock();
        (queues.new_bytes + queues.kept_bytes) as u64
    }
}

impl Queues {
    fn shrink_to(&mut self, bytes_max: usize) {
        while self.new_bytes + self.kept_bytes > bytes_max {
            if self.new_bytes > bytes_max / 2 || self.kept.is_empty() {
                let Some(id) = self.new.pop_front() else { return };
                let Some(entry) = self.blocks.get_mut(&id) else { continue };
                if std::mem::take(&mut entry.wanted) {
                    entry.is_kept = true;
                    let len = entry.bytes.len();
                    self.new_bytes -= len;
                    self.kept_bytes += len;
                    self.kept.push_back(id);
                } else {
                    self.remove(id);
                }
            } else if let Some(id) = self.kept.pop_front() {
                // One that was wanted meanwhile gets another round.
                let entry = self.blocks.get_mut(&id);
                if entry.is_some_and(|entry| std::mem::take(&mut entry.wanted)) {
                    self.kept.push_back(id);
                } else {
                    self.remove(id);
                }
            }
        }
    }

    fn remove(&mut self, id: BlockId) {
        if let Some(entry) = self.blocks.remove(&id) {
            let total = if entry.is_kept { &mut self.kept_bytes } else { &mut self.new_bytes };
            *total -= entry.bytes.len();
        }
    }
}

/// Buffers that wait for use. Their memory was touched before, so reading into them is free of
/// page faults.
#[derive(Default)]
struct Spare(Mutex<Vec<AlignedBuf>>);

struct Lent {
    buf: Option<AlignedBuf>,
    home: Weak<Spare>,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buf.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(buf), Some(home)) = (self.buf.take(), self.home.upgrade()) {
            let mut spare = home.0.lock();
            if spare.len() < SPARE_MAX {
                spare.push(buf);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn id(number: u64) -> BlockId {
        BlockId { log_id: 1, segment: Offset(0), generation: 0, number }
    }

    fn block() -> Bytes {
        Bytes::from_static(&[7; 100])
    }

    #[test]
    fn a_long_scan_does_not_push_out_what_was_wanted_twice() {
        let cache = BlockCache::new(1000);
        for number in 0..3 {
            cache.insert(id(number), block());
            assert!(cache.get(id(number), 100).is_some());
        }
        for number in 100..200 {
            cache.insert(id(number), block());
            assert!(cache.used_bytes() <= 1000);
        }
        assert!((0..3).all(|number| cache.contains(id(number))));
        assert!(!cache.contains(id(100)));
    }

    #[test]
    fn what_is_kept_goes_when_nobody_asks_any_more() {
        let cache = BlockCache::new(1000);
        for number in 0..200 {
            cache.insert(id(number), block());
            assert!(cache.get(id(number), 100).is_some());
        }
        assert!(!cache.contains(id(0)));
        assert!(cache.used_bytes() <= 1000);
    }

    #[test]
    fn a_block_that_has_grown_is_read_again() {
        let cache = BlockCache::new(1000);
        cache.insert(id(1), block());
        assert!(cache.get(id(1), 101).is_none());
        cache.insert(id(1), Bytes::from_static(&[7; 120]));
        assert_eq!(cache.get(id(1), 101).unwrap().len(), 120);
        assert_eq!(cache.used_bytes(), 120);
        cache.forget_log(1);
        assert_eq!(cache.used_bytes(), 0);
    }

    #[test]
    fn a_buffer_comes_back_when_the_last_slice_goes() {
        let cache = BlockCache::new(1000);
        let shared = cache.share(cache.buffer(), 10);
        let slice = shared.slice(2..4);
        drop(shared);
        assert_eq!(cache.spare.0.lock().len(), 0);
        drop(slice);
        assert_eq!(cache.spare.0.lock().len(), 1);
        assert_eq!(cache.buffer().len(), RUN_BYTES);
    }
}
