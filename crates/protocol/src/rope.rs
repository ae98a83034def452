//! The bytes of record batches on their way through a request or a response.
//!
//! A fetch response is put together from slices of the log's memory; a rope carries them to the
//! socket without copying them into one buffer. What the bytes mean is the business of the record
//! batch code, not of this file.

use bytes::{Bytes, BytesMut};
use std::fmt;

/// Zero or more pieces of bytes, read as if they were one.
///
/// Two ropes are equal if their bytes are, however these are cut into pieces.
#[derive(Clone, Default)]
pub struct Records {
    pieces: Vec<Bytes>,
    len: usize,
}

impl Records {
    /// A rope without bytes.
    pub const fn new() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }

    /// Adds a piece at the end, by reference.
    pub fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push(piece);
        }
    }

    /// How many bytes all pieces have together.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces, in order, none of them empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// The pieces themselves, for a vectored write.
    pub fn into_pieces(self) -> Vec<Bytes> {
        self.pieces
    }

    /// All bytes in one piece; a copy only where there are several pieces.
    pub fn into_bytes(mut self) -> Bytes {
        if self.pieces.len() > 1 {
            let mut whole = BytesMut::with_capacity(self.len);
            for piece in &self.pieces {
                whole.extend_from_slice(piece);
            }
            return whole.freeze();
        }
        self.pieces.pop().unwrap_or_default()
    }

    fn bytes(&self) -> impl Iterator<Item = u8> {
        self.pieces.iter().flat_map(|piece| piece.iter().copied())
    }
}

impl From<Bytes> for Records {
    fn from(bytes: Bytes) -> Self {
        Self::from_iter([bytes])
    }
}

impl FromIterator<Bytes> for Records {
    fn from_iter<I: IntoIterator<Item = Bytes>>(pieces: I) -> Self {
        let mut records = Self::new();
        for piece in pieces {
            records.push(piece);
        }
        records
    }
}

impl fmt::Debug for Records {
    /// Sizes only: a request with a megabyte of batches must fit a log line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Records({} bytes in {} pieces)", self.len, self.pieces.len())
    }
}

impl PartialEq for Records {
    fn eq(&self, other: &Self) -> bool {
        self.len == other.len && self.bytes().eq(other.bytes())
    }
}

impl Eq for Records {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cut_into_pieces_does_not_show() {
        let whole = Records::from(Bytes::from_static(b"abcdef"));
        let cut: Records = [&b"ab"[..], b"", b"cdef"].into_iter().map(Bytes::from_static).collect();
        assert_eq!(cut.pieces().len(), 2);
        assert_eq!(cut.len(), 6);
        assert_eq!(cut, whole);
        assert_eq!(cut.into_bytes(), whole.into_bytes());
        assert!(Records::from(Bytes::new()).is_empty());
        assert_ne!(Records::from(Bytes::from_static(b"abcdeg")), Records::new());
    }

    #[test]
    fn one_piece_comes_back_without_a_copy() {
        let bytes = Bytes::from_static(b"batch");
        assert_eq!(Records::from(bytes.clone()).into_bytes().as_ptr(), bytes.as_ptr());
    }
}
