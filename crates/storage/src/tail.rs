//! The newest bytes of each log, in memory: chunks, and the budget they live in.
//!
//! An append is copied into the last *chunk* of its log and stays there. From there the journal
//! takes it, the segment writer writes it without another copy, and readers at the tail get slices
//! of it. A chunk that is written to its segment is *clean* and stays until the budget wants its
//! memory: the oldest clean one of the directory goes first.
//!
//! Memory that nobody reads is not taken: clean chunks are kept in [`CLEAN_BYTES_START`], and in
//! more, up to the budget, once readers miss what has just gone ([`Tail::missed`]). Fresh pages cost
//! more than all that an append does otherwise, and a directory that only takes in needs few.
//!
//! The memory of a chunk corresponds to a piece of its segment file that begins at a multiple of
//! 4,096, so that a direct write can take it as it is:
//!
//! ```text
//! segment file   … | 8192                     | 12288 …
//! chunk n        …batch  batch|
//! chunk n+1            |head  |batch batch batch|
//!                      8192    = what chunk n has of this block, or a gap to be read from the file
//! ```
//!
//! Chunks lie in a [`PagePool`], whose memory is touched once and used for chunk after chunk.
//!
//! **Bounds.** [`Tail`] counts the memory of all chunks: at most `tail_bytes`, plus one chunk for
//! each thread that appends at that moment. Of that, at most three quarters may be *dirty* (not yet
//! in segments); beyond, appends are refused with backpressure. Slices that readers still hold keep
//! the memory of an evicted chunk from being used again; that is bounded by what the connections
//! have in flight, and comes on top.

use crate::log::Log;
use afluente_env::memory::prefer_huge_pages;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::BatchHeader;
use afluente_stdx::append_buf::{ALIGNMENT, AppendBuf, AppendBufReader};
use afluente_stdx::page_pool::PagePool;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// The smallest chunk: what a slow partition costs while its last records are in memory.
pub(crate) const CHUNK_BYTES_MIN: usize = 4 << 10;
/// The usual largest chunk, and so the usual write to a segment; a batch that is larger gets one of
/// its own size.
const CHUNK_BYTES_MAX: usize = 4 << 20;
/// A tail that is smaller than this is not worth the 2 MiB that a huge page takes at a time.
const HUGE_PAGES_FROM_BYTES: u64 = 64 << 20;
/// Clean chunks that are kept before anybody has missed one.
const CLEAN_BYTES_START: u64 = 16 << 20;
/// By how much more is kept after each miss.
const CLEAN_BYTES_STEP: u64 = 8 << 20;
/// Bytes between two entries of a chunk's index, like `index.interval.bytes`.
const INDEX_INTERVAL_BYTES: usize = 4 << 10;

/// A run of batches in memory.
pub(crate) struct Chunk {
    pub(crate) id: u64,
    buf: AppendBuf,
    /// Which segment it is a piece of, by base offset.
    pub(crate) segment: Offset,
    /// Where in the segment file its first byte belongs.
    pub(crate) position: u64,
    /// Bytes at its beginning that belong to what came before.
    pub(crate) head: usize,
    /// Whether the head is here, or has to be read from the file before the block is written.
    pub(crate) head_known: bool,
    /// The base offset of its first batch, and the offset after its last.
    pub(crate) base: Offset,
    pub(crate) end: Offset,
    /// Up to here its bytes are in the segment file.
    pub(crate) written: usize,
    /// Some of its batches: base offset and where it begins.
    index: Vec<(Offset, u32)>,
}

impl Chunk {
    /// An empty chunk for what comes at `position` of a segment. `head` is what the file has
    /// before that in the same block, if it is known.
    pub(crate) fn new(
        id: u64,
        mut buf: AppendBuf,
        segment: Offset,
        position: u64,
        head: Option<&[u8]>,
        base: Offset,
    ) -> Self {
        const BLANK: [u8; ALIGNMENT] = [0; ALIGNMENT];
        let head_len = head_len(position);
        buf.append(&[head.unwrap_or(&BLANK[..head_len])]);
        assert_eq!(buf.len(), head_len, "the head fills the block up to the position");
        Self {
            id,
            buf,
            segment,
            position: position - head_len as u64,
            head: head_len,
            head_known: head.is_some() || head_len == 0,
            base,
            end: base,
            written: head_len,
            index: Vec::new(),
        }
    }

    pub(crate) fn remaining(&self) -> usize {
        self.buf.remaining()
    }

    pub(crate) fn capacity(&self) -> usize {
        self.buf.capacity()
    }

    pub(crate) fn len(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.written == self.buf.len()
    }

    pub(crate) fn reader(&self) -> AppendBufReader {
        self.buf.reader()
    }

    /// Appends one batch, given in parts.
    pub(crate) fn append(&mut self, header: &BatchHeader, parts: &[&[u8]]) {
        let at = self.buf.len();
        let base = header.base_offset;
        if self.index.last().is_none_or(|(_, last)| at - *last as usize >= INDEX_INTERVAL_BYTES) {
            let at = u32::try_from(at).expect("a chunk is far below 4 GiB");
            self.index.push((base, at));
        }
        self.buf.append(parts);
        self.end = header.next_offset();
    }

    /// Where the batch begins that holds `offset`, or the next one if none does.
    pub(crate) fn find(&self, offset: Offset) -> usize {
        let after = self.index.partition_point(|(base, _)| *base <= offset);
        let mut at = after.checked_sub(1).map_or(self.head, |entry| self.index[entry].1 as usize);
        let bytes = self.buf.reader();
        let bytes = bytes.get(0..self.len());
        while at < bytes.len() {
            let header = header_at(bytes, at);
            if header.last_offset() >= offset {
                break;
            }
            at += header.size_bytes();
        }
        at
    }

    /// How far from `start`, where a batch begins, whole batches reach without passing `bytes_max`
    /// or `end`. With `at_least_one`, the first batch counts whatever its size.
    pub(crate) fn extent(
        &self,
        start: usize,
        bytes_max: usize,
        end: Offset,
        at_least_one: bool,
    ) -> (Range<usize>, Offset) {
        let len = self.len();
        if self.end <= end && len - start <= bytes_max {
            return (start..len, self.end);
        }
        let bytes = self.buf.reader();
        let bytes = bytes.get(0..len);
        let (mut at, mut next_offset) = (start, Offset(-1));
        while at < len {
            let header = header_at(bytes, at);
            let after = at + header.size_bytes();
            let too_much = after - start > bytes_max && !(at_least_one && at == start);
            if header.next_offset() > end || too_much {
                break;
            }
            (at, next_offset) = (after, header.next_offset());
        }
        (start..at, next_offset)
    }

    /// The bytes of its last, unfinished block: the head of the chunk that follows.
    pub(crate) fn last_block(&self) -> Option<AppendBufReader> {
        // A block that begins in this chunk's own unknown head is not known either.
        let start = self.len() - self.len() % ALIGNMENT;
        (self.head_known || start >= ALIGNMENT).then(|| self.buf.reader())
    }
}

/// Bytes of the block that `position` lies in, before it.
pub(crate) fn head_len(position: u64) -> usize {
    usize::try_from(position % ALIGNMENT as u64).expect("below the alignment")
}

fn header_at(bytes: &[u8], at: usize) -> BatchHeader {
    BatchHeader::parse(&bytes[at..]).expect("only whole batches are put into chunks")
}

/// The memory of all chunks of a directory.
pub(crate) struct Tail {
    bytes_max: u64,
    /// The usual largest chunk.
    pub(crate) chunk_bytes_max: usize,
    dirty_bytes_max: u64,
    /// Memory of all chunks.
    used: AtomicU64,
    /// Bytes appended and not yet written to segments.
    dirty: AtomicU64,
    /// How much of the memory clean chunks may have.
    clean_bytes_wanted: AtomicU64,
    /// Chunks that were clean when they were put here, oldest first.
    clean: Mutex<VecDeque<(Weak<Log>, u64)>>,
    pool: Arc<PagePool>,
    next_chunk_id: AtomicU64,
}

impl Tail {
    pub(crate) fn new(bytes_max: u64) -> Self {
        // Some dozens of busy logs should find room for a chunk each.
        let largest = usize::try_from(bytes_max / 64).unwrap_or(CHUNK_BYTES_MAX);
        let chunk_bytes_max = (1 << largest.max(1).ilog2()).clamp(CHUNK_BYTES_MIN, CHUNK_BYTES_MAX);
        let pool_bytes = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Self {
            bytes_max,
            chunk_bytes_max,
            dirty_bytes_max: bytes_max / 4 * 3,
            used: AtomicU64::new(0),
            dirty: AtomicU64::new(0),
            clean_bytes_wanted: AtomicU64::new(CLEAN_BYTES_START),
            clean: Mutex::default(),
            pool: if bytes_max >= HUGE_PAGES_FROM_BYTES {
                PagePool::with_advice(pool_bytes, prefer_huge_pages)
            } else {
                PagePool::new(pool_bytes)
            },
            next_chunk_id: AtomicU64::new(1),
        }
    }

    /// Makes room for `bytes` more in a chunk of about `chunk_bytes`, by evicting clean chunks;
    /// false if there is none. To be called with no log locked.
    pub(crate) fn make_room(&self, bytes: usize, chunk_bytes: usize) -> bool {
        let needed = whole_pages(bytes + ALIGNMENT);
        let wanted = whole_pages(chunk_bytes).max(needed) as u64;
        if self.dirty.load(Ordering::Relaxed) + bytes as u64 > self.dirty_bytes_max {
            return false;
        }
        let dirty = self.dirty.load(Ordering::Relaxed);
        let enough = dirty + self.clean_bytes_wanted.load(Ordering::Relaxed);
        loop {
            let used = self.used.load(Ordering::Relaxed) + wanted;
            if used <= enough.min(self.bytes_max) {
                break;
            }
            if !self.evict_one() {
                if used > self.bytes_max {
                    return false;
                }
                break;
            }
        }
        // What is free may lie in pieces.
        while !self.pool.has_room(needed) && self.evict_one() {}
        true
    }

    /// Memory for a chunk of `wanted` bytes, or of fewer, but at least `needed`, if that is what
    /// there is in one piece.
    pub(crate) fn take(&self, needed: usize, wanted: usize) -> AppendBuf {
        let buf = AppendBuf::take(&self.pool, needed, wanted);
        self.used.fetch_add(buf.capacity() as u64, Ordering::Relaxed);
        buf
    }

    /// Gives back a chunk that left its log.
    pub(crate) fn give_back(&self, chunk: Chunk) {
        self.used.fetch_sub(chunk.capacity() as u64, Ordering::Relaxed);
        drop(chunk);
    }

    /// A chunk was written to its segment as far as it goes: it may be evicted from now on.
    pub(crate) fn now_clean(&self, log: Weak<Log>, chunk_id: u64) {
        self.clean.lock().push_back((log, chunk_id));
    }

    /// A reader came for something that the log had in memory until `bytes_behind` bytes ago.
    pub(crate) fn missed(&self, bytes_behind: u64) {
        let wanted = self.clean_bytes_wanted.load(Ordering::Relaxed);
        if bytes_behind < self.bytes_max && wanted < self.bytes_max {
            // Two at a time count as one.
            self.clean_bytes_wanted.store(wanted + CLEAN_BYTES_STEP, Ordering::Relaxed);
        }
    }

    pub(crate) fn next_chunk_id(&self) -> u64 {
        self.next_chunk_id.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn add_dirty(&self, bytes: u64) {
        self.dirty.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn sub_dirty(&self, bytes: u64) {
        self.dirty.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub(crate) fn dirty_bytes(&self) -> u64 {
        self.dirty.load(Ordering::Relaxed)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn dirty_bytes_max(&self) -> u64 {
        self.dirty_bytes_max
    }

    /// Whether so much of the memory is in use that writing is due, dirty bytes or not: many logs
    /// with little in each fill it too.
    pub(crate) fn is_crowded(&self) -> bool {
        self.used_bytes() > self.bytes_max / 8 * 7 && self.clean.lock().is_empty()
    }

    /// Evicts the oldest clean chunk; false if there is none.
    fn evict_one(&self) -> bool {
        loop {
            let Some((log, chunk_id)) = self.clean.lock().pop_front() else { return false };
            // A log that is gone took its chunks along; a chunk may be dirty again, or gone.
            let Some(chunk) = log.upgrade().and_then(|log| log.evict_chunk(chunk_id)) else {
                continue;
            };
            self.give_back(chunk);
            return true;
        }
    }
}

fn whole_pages(bytes: usize) -> usize {
    bytes.next_multiple_of(ALIGNMENT)
}
