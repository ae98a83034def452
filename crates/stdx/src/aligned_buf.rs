//! A growable byte buffer whose memory is aligned for direct IO.
//!
//! Used to put together what one direct write takes, and to receive what a direct read gives. It
//! is kept and reused: clearing it frees nothing.
#![allow(unsafe_code, reason = "the allocator is asked for an alignment that Vec<u8> cannot have")]

use crate::append_buf::ALIGNMENT;
use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::fmt;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// Bytes that begin at a multiple of [`ALIGNMENT`], in an allocation of a multiple of it.
pub struct AlignedBuf {
    /// Dangling (but aligned) while `capacity` is 0.
    start: NonNull<u8>,
    len: usize,
    /// Every byte up to here is initialised.
    capacity: usize,
}

// SAFETY: it owns its memory alone, like a Vec<u8>.
unsafe impl Send for AlignedBuf {}
// SAFETY: as above; a shared reference only reads.
unsafe impl Sync for AlignedBuf {}

impl AlignedBuf {
    /// An empty buffer that owns no memory.
    #[must_use]
    pub const fn new() -> Self {
        let aligned = std::ptr::without_provenance_mut(ALIGNMENT);
        // SAFETY: ALIGNMENT is not zero.
        Self { start: unsafe { NonNull::new_unchecked(aligned) }, len: 0, capacity: 0 }
    }

    /// An empty buffer with room for `capacity` bytes, rounded up to [`ALIGNMENT`].
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        let mut buf = Self::new();
        buf.reserve(capacity);
        buf
    }

    /// `len` zeros.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        let mut buf = Self::with_capacity(len);
        buf.len = len;
        buf
    }

    /// Bytes that the allocation holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Forgets the bytes, keeps the memory.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Keeps the first `len` bytes; no effect on a shorter buffer.
    pub fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Makes room for `additional` more bytes, at least doubling when it must grow.
    pub fn reserve(&mut self, additional: usize) {
        let wanted = self.len.checked_add(additional).expect("a buffer fits the address space");
        if wanted > self.capacity {
            self.grow(wanted.max(self.capacity * 2).next_multiple_of(ALIGNMENT));
        }
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        let at = self.len;
        self.len += bytes.len();
        self[at..].copy_from_slice(bytes);
    }

    /// Cuts the buffer to `len`, or extends it with zeros.
    pub fn resize(&mut self, len: usize) {
        if len > self.len {
            self.reserve(len - self.len);
            let at = self.len;
            self.len = len;
            self[at..].fill(0);
        }
        self.len = len;
    }

    /// Extends with zeros to a multiple of [`ALIGNMENT`], as a direct write wants it.
    pub fn pad_to_alignment(&mut self) {
        self.resize(self.len.next_multiple_of(ALIGNMENT));
    }

    fn grow(&mut self, capacity: usize) {
        let layout = Self::layout(capacity);
        // SAFETY: the layout's size is not zero, as `capacity` exceeds the present one.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })
            .unwrap_or_else(|| handle_alloc_error(layout));
        // SAFETY: both regions hold `len` bytes, and the new one is nobody else's.
        unsafe { std::ptr::copy_nonoverlapping(self.start.as_ptr(), start.as_ptr(), self.len) };
        let len = self.len;
        // The old allocation goes with the old value.
        *self = Self { start, len, capacity };
    }

    fn layout(capacity: usize) -> Layout {
        Layout::from_size_align(capacity, ALIGNMENT).expect("capacity fits the address space")
    }
}

impl Drop for AlignedBuf {
    fn drop(&mut self) {
        if self.capacity > 0 {
            // SAFETY: allocated in `grow` with this layout, freed once.
            unsafe { dealloc(self.start.as_ptr(), Self::layout(self.capacity)) }
        }
    }
}

impl Deref for AlignedBuf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the first `len` bytes are initialised and ours.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl DerefMut for AlignedBuf {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and `self` is borrowed mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Default for AlignedBuf {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for AlignedBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AlignedBuf({} of {} bytes)", self.len, self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_aligned_and_keeps_its_bytes_while_it_grows() {
        let mut buf = AlignedBuf::new();
        assert!(buf.is_empty());
        let mut expected = Vec::new();
        for i in 0..3 * ALIGNMENT {
            let byte = u8::try_from(i % 251).expect("below 251");
            buf.extend_from_slice(&[byte; 3]);
            expected.extend_from_slice(&[byte; 3]);
            assert_eq!(buf.as_ptr().addr() % ALIGNMENT, 0);
            assert_eq!(buf.capacity() % ALIGNMENT, 0);
        }
        assert_eq!(&buf[..], &expected[..]);
    }

    #[test]
    fn padding_is_zero_even_where_older_bytes_lay() {
        let mut buf = AlignedBuf::with_capacity(1);
        buf.extend_from_slice(&[7; 100]);
        buf.clear();
        buf.extend_from_slice(b"ab");
        buf.pad_to_alignment();
        assert_eq!(buf.len(), ALIGNMENT);
        assert!(buf[2..].iter().all(|&byte| byte == 0));
        buf.pad_to_alignment();
        assert_eq!(buf.len(), ALIGNMENT);
        buf.truncate(1);
        assert_eq!(&buf[..], b"a");
    }

    #[test]
    fn zeroed_is_zero() {
        assert_eq!(&AlignedBuf::zeroed(5)[..], &[0; 5]);
        assert!(AlignedBuf::zeroed(0).is_empty());
    }
}
