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

use bytes::Bytes;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ops::Range;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Alignment of the buffer's first byte: what direct IO asks for on every disk that we know.
pub const ALIGNMENT: usize = 4096;

struct Region {
    start: NonNull<u8>,
    capacity: usize,
    /// Bytes below are published and never written again.
    len: AtomicUsize,
}

// SAFETY: bytes below `len` are immutable; bytes above are touched only through `AppendBuf`, of
// which there is one, by `&mut`.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGNMENT).expect("capacity fits the address space")
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        // SAFETY: allocated in `AppendBuf::with_capacity` with this layout, freed once.
        unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
    }
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
    /// A zeroed buffer of `capacity` bytes, rounded up to [`ALIGNMENT`].
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let capacity = capacity.max(1).next_multiple_of(ALIGNMENT);
        let layout = Region::layout(capacity);
        // SAFETY: the layout's size is not zero.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })
            .unwrap_or_else(|| handle_alloc_error(layout));
        Self { region: Arc::new(Region { start, capacity, len: AtomicUsize::new(0) }) }
    }

    /// How many bytes still fit.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.region.capacity - self.len()
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
        self.region.capacity
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
            // SAFETY: `at + part.len() <= capacity`; nobody else reads or writes above `len`, and
            // `part` cannot overlap it because no reference to it can exist.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    part.as_ptr(),
                    self.region.start.as_ptr().add(at),
                    part.len(),
                );
            }
            at += part.len();
        }
        // Release: a reader that sees the new length sees the bytes.
        self.region.len.store(at, Ordering::Release);
    }

    /// The same memory as an empty buffer, if no reader and no slice holds on to it any more;
    /// otherwise the memory goes when they do.
    ///
    /// What was in it stays there, above the length, where nobody can see it.
    #[must_use]
    pub fn recycle(mut self) -> Option<Self> {
        // `get_mut` succeeds only if this is the last handle, so nobody relies on the old bytes.
        *Arc::get_mut(&mut self.region)?.len.get_mut() = 0;
        Some(self)
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
        self.region.capacity
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
                self.region.start.as_ptr().add(range.start),
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

    #[test]
    fn a_published_slice_outlives_the_writer_and_later_appends() {
        let mut buf = AppendBuf::with_capacity(10);
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
        let mut buf = AppendBuf::with_capacity(10);
        buf.append(&[b"abc"]);
        let buf = buf.recycle().expect("no reader is left");
        assert!(buf.is_empty());
        let slice = buf.reader().bytes(0..0);
        assert!(buf.recycle().is_none());
        drop(slice);
    }

    #[test]
    #[should_panic(expected = "not published")]
    fn a_reader_cannot_see_what_was_not_published() {
        let mut buf = AppendBuf::with_capacity(10);
        buf.append(&[b"ab"]);
        let _ = buf.reader().get(0..3);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "stdx lies below env, and this needs a thread")]
    fn a_reader_on_another_thread_sees_whole_appends() {
        let mut buf = AppendBuf::with_capacity(1 << 16);
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
