//! A fixed-capacity, aligned, append-only buffer with one writer and many readers.
//!
//! The writer appends at the end; readers hold slices of what was published before. A published
//! byte never changes, so a slice can be handed to a socket or to a direct write without a copy
//! while the writer goes on behind it.
//!
//! ```text
//! | published, immutable, shared by readers | reserved: the writer's alone |
//! 0                                        len                         capacity
//! ```
#![allow(unsafe_code, reason = "one allocation is written at its end while its start is read")]

use crate::page_pool::{PagePool, PageRun};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alignment of the buffer's first byte: what direct IO asks for on every disk that we know.
pub const ALIGNMENT: usize = 4096;

struct Region {
    /// Goes back to its pool with the last handle, when nobody can see the bytes any more.
    pages: PageRun,
    /// Bytes below are published, which makes them initialised, and are never written again.
    len: AtomicUsize,
}

/// The writer's end. Not `Clone`: there is one writer.
pub struct AppendBuf {
    region: Arc<Region>,
}

/// A reader's view of what was published so far. Cheap to clone.
#[derive(Clone)]
pub struct AppendBufReader {
    region: Arc<Region>,
}

impl AppendBuf {
    /// An empty buffer for `wanted` bytes, or for fewer, but at least `needed`, where the pool has
    /// no run of pages that is long enough.
    ///
    /// What was in the memory before stays there, above the length, where nobody can see it.
    #[must_use]
    pub fn take(pool: &Arc<PagePool>, needed: usize, wanted: usize) -> Self {
        let pages = pool.take(needed, wanted);
        Self { region: Arc::new(Region { pages, len: AtomicUsize::new(0) }) }
    }

    /// How many bytes still fit.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.region.pages.len - self.len()
    }

    /// Bytes published so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len.load(Ordering::Relaxed)
    }

    /// Whether nothing was published yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole size of the allocation, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.region.pages.len
    }

    /// Copies `parts` to the end and publishes them together.
    ///
    /// # Panics
    /// If they do not fit into [`AppendBuf::remaining`]: the caller asks first.
    pub fn append(&mut self, parts: &[&[u8]]) {
        let total: usize = parts.iter().map(|part| part.len()).sum();
        assert!(total <= self.remaining(), "{total} bytes do not fit into {}", self.remaining());
        let mut at = self.len();
        for part in parts {
            // SAFETY: `at + part.len() <= capacity`; nobody else reads or writes above `len`, as the
            // pages are this buffer's alone and `self` is borrowed mutably; and `part` cannot
            // overlap it because no reference to it can exist.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    part.as_ptr(),
                    self.region.pages.start.as_ptr().add(at),
                    part.len(),
                );
            }
            at += part.len();
        }
        // Release: a reader that sees the new length sees the bytes.
        self.region.len.store(at, Ordering::Release);
    }

    /// A reader of this buffer.
    #[must_use]
    pub fn reader(&self) -> AppendBufReader {
        AppendBufReader { region: Arc::clone(&self.region) }
    }
}

impl AppendBufReader {
    /// Bytes published so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.region.len.load(Ordering::Acquire)
    }

    /// Whether nothing was published yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The whole size of the allocation, in bytes.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.region.pages.len
    }

    /// The published bytes in `range`, borrowed.
    ///
    /// # Panics
    /// If the range reaches beyond what was published.
    #[must_use]
    pub fn get(&self, range: Range<usize>) -> &[u8] {
        assert!(range.start <= range.end && range.end <= self.len(), "range is not published");
        // SAFETY: below `len` the bytes are initialised and immutable as long as the region lives.
        unsafe {
            std::slice::from_raw_parts(
                self.region.pages.start.as_ptr().add(range.start),
                range.end - range.start,
            )
        }
    }

    /// The published bytes in `range` as [`Bytes`] that keep the buffer alive: no copy.
    ///
    /// # Panics
    /// If the range reaches beyond what was published.
    #[must_use]
    pub fn bytes(&self, range: Range<usize>) -> Bytes {
        assert!(range.start <= range.end && range.end <= self.len(), "range is not published");
        Bytes::from_owner(Published { reader: self.clone(), range })
    }
}

struct Published {
    reader: AppendBufReader,
    range: Range<usize>,
}

impl AsRef<[u8]> for Published {
    fn as_ref(&self) -> &[u8] {
        self.reader.get(self.range.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page_pool::SLAB_BYTES;

    fn buffer(capacity: usize) -> AppendBuf {
        AppendBuf::take(&PagePool::new(0), capacity, 0)
    }

    #[test]
    fn a_published_slice_outlives_the_writer_and_later_appends() {
        let mut buf = buffer(10);
        assert_eq!(buf.capacity(), ALIGNMENT);
        buf.append(&[b"ab", b"c"]);
        let reader = buf.reader();
        let slice = reader.bytes(1..3);
        buf.append(&[b"def"]);
        assert_eq!(reader.get(0..6), b"abcdef");
        drop(buf);
        drop(reader);
        assert_eq!(&slice[..], b"bc");
    }

    #[test]
    fn memory_is_used_again_only_when_nobody_reads_it() {
        let pool = PagePool::new(SLAB_BYTES);
        let mut buf = AppendBuf::take(&pool, SLAB_BYTES, 0);
        let start = buf.region.pages.start;
        buf.append(&[b"abc"]);
        let slice = buf.reader().bytes(0..3);
        drop(buf);
        assert!(!pool.has_room(1));
        let mut other = AppendBuf::take(&pool, 1, 0);
        other.append(&[b"xyz"]);
        assert_eq!(&slice[..], b"abc");
        drop((other, slice));
        let again = AppendBuf::take(&pool, SLAB_BYTES, 0);
        assert_eq!(again.region.pages.start, start);
        assert!(again.is_empty());
        assert_eq!(again.reader().bytes(0..0), Bytes::new());
    }

    #[test]
    #[should_panic(expected = "not published")]
    fn a_reader_cannot_see_what_was_not_published() {
        let mut buf = buffer(10);
        buf.append(&[b"ab"]);
        let _ = buf.reader().get(0..3);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "stdx lies below env, and this needs a thread")]
    fn a_reader_on_another_thread_sees_whole_appends() {
        let mut buf = buffer(1 << 16);
        let reader = buf.reader();
        let watcher = std::thread::spawn(move || {
            while reader.len() < 1 << 16 {
                let len = reader.len();
                assert_eq!(len % 16, 0);
                assert!(reader.get(0..len).chunks(16).all(|chunk| chunk == [7; 16]));
            }
        });
        while buf.remaining() > 0 {
            buf.append(&[&[7; 16]]);
        }
        watcher.join().expect("the watcher saw no half append");
    }
}
