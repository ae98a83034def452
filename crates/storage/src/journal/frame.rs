//! Frames and entries of the journal, as bytes. Drawn in `docs/formats/journal.md`.
//!
//! Knows nothing about files: what is a frame here is decided from a slice of bytes alone.

use afluente_stdx::aligned_buf::AlignedBuf;
use afluente_stdx::crc32c::{Crc32c, crc32c};

pub(crate) const MAGIC: [u8; 8] = *b"AFLTJRN1";
pub(crate) const FRAME_HEADER_BYTES: usize = 72;
pub(crate) const ENTRY_HEADER_BYTES: usize = 24;
const HEADER_CRC_COVERS: usize = 68;
/// What is copied and summed at a time.
const COPY_PIECE_BYTES: usize = 32 << 10;
const FLAG_START: u32 = 1;
const FLAG_MORE: u8 = 1;

/// What every frame header says besides its length and CRCs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) directory_id: [u8; 16],
    pub(crate) run: u64,
    pub(crate) sequence: u64,
    /// Every frame up to this one was durable when this one was written.
    pub(crate) synced: u64,
    /// This checkpoint frame was durable when this frame was written.
    pub(crate) checkpoint: u64,
    /// The first frame of its run.
    pub(crate) start: bool,
}

/// What an entry is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum EntryKind {
    Append = 1,
    Create = 2,
    Delete = 3,
    StartOffset = 4,
    EpochBegun = 5,
}

/// What every entry header says besides its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryHeader {
    pub(crate) kind: EntryKind,
    pub(crate) log_id: u64,
    pub(crate) lsn: u64,
    /// The payload goes on in the next entry of the same LSN.
    pub(crate) more: bool,
}

/// A frame found in a buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame<'a> {
    pub(crate) header: FrameHeader,
    pub(crate) body: &'a [u8],
}

/// Why some bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoFrame {
    #[error("no journal frame begins there")]
    NoMagic,
    #[error(
        "the frame's header is damaged: its CRC says {stored:#010x}, its bytes {computed:#010x}"
    )]
    HeaderCrc { stored: u32, computed: u32 },
    #[error("the frame is of another log directory")]
    OtherDirectory,
    #[error("the frame says it has {needed} bytes, {available} are there")]
    CutShort { needed: usize, available: usize },
    #[error("frame {sequence} is damaged: its CRC says {stored:#010x}, its bytes {computed:#010x}")]
    BodyCrc { sequence: u64, stored: u32, computed: u32 },
}

/// Puts a frame together in a buffer that is kept from frame to frame.
pub(crate) struct FrameBuilder {
    buf: AlignedBuf,
    entry_count: usize,
    /// Of the body so far.
    crc: Crc32c,
}

impl FrameBuilder {
    pub(crate) fn with_capacity(capacity: usize) -> Self {
        let buf = AlignedBuf::with_capacity(capacity);
        let mut builder = Self { buf, entry_count: 0, crc: Crc32c::new() };
        builder.clear();
        builder
    }

    /// Begins anew.
    pub(crate) fn clear(&mut self) {
        self.buf.clear();
        self.buf.resize(FRAME_HEADER_BYTES);
        self.entry_count = 0;
        self.crc = Crc32c::new();
    }

    /// Bytes so far, header included, padding not.
    pub(crate) fn len(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn entry_count(&self) -> usize {
        self.entry_count
    }

    /// Appends an entry whose payload is the concatenation of `parts`.
    pub(crate) fn push(&mut self, header: EntryHeader, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let len = u32::try_from(len).expect("a frame is far below 4 GiB");
        let mut raw = [0; ENTRY_HEADER_BYTES];
        raw[0..4].copy_from_slice(&len.to_le_bytes());
        raw[4] = header.kind as u8;
        raw[5] = if header.more { FLAG_MORE } else { 0 };
        raw[8..16].copy_from_slice(&header.log_id.to_le_bytes());
        raw[16..24].copy_from_slice(&header.lsn.to_le_bytes());
        self.buf.reserve(ENTRY_HEADER_BYTES + len as usize);
        self.extend(&raw);
        for part in parts {
            // Summed while the copy is still in the nearest cache.
            for piece in part.chunks(COPY_PIECE_BYTES) {
                self.extend(piece);
            }
        }
        self.entry_count += 1;
    }

    fn extend(&mut self, bytes: &[u8]) {
        let at = self.buf.len();
        self.buf.extend_from_slice(bytes);
        self.crc.update(&self.buf[at..]);
    }

    /// Fills in the header, pads to `alignment`, and gives the bytes to write.
    pub(crate) fn finish(&mut self, header: &FrameHeader, alignment: usize) -> &[u8] {
        let body = &self.buf[FRAME_HEADER_BYTES..];
        let body_len = u32::try_from(body.len()).expect("a frame is far below 4 GiB");
        let body_crc = self.crc.value();
        let raw = &mut self.buf[..FRAME_HEADER_BYTES];
        raw[0..8].copy_from_slice(&MAGIC);
        raw[8..24].copy_from_slice(&header.directory_id);
        raw[24..32].copy_from_slice(&header.run.to_le_bytes());
        raw[32..40].copy_from_slice(&header.sequence.to_le_bytes());
        raw[40..48].copy_from_slice(&header.synced.to_le_bytes());
        raw[48..56].copy_from_slice(&header.checkpoint.to_le_bytes());
        let flags = if header.start { FLAG_START } else { 0 };
        raw[56..60].copy_from_slice(&flags.to_le_bytes());
        raw[60..64].copy_from_slice(&body_len.to_le_bytes());
        raw[64..68].copy_from_slice(&body_crc.to_le_bytes());
        let header_crc = crc32c(&raw[..HEADER_CRC_COVERS]);
        raw[68..72].copy_from_slice(&header_crc.to_le_bytes());
        self.buf.resize(self.buf.len().next_multiple_of(alignment));
        &self.buf
    }
}

impl<'a> Frame<'a> {
    /// The frame at the beginning of `bytes`, if there is one of this directory that is whole.
    pub(crate) fn parse(bytes: &'a [u8], directory_id: &[u8; 16]) -> Result<Self, NoFrame> {
        let (header, body_len, stored) = parse_header(bytes, directory_id)?;
        let needed = FRAME_HEADER_BYTES + body_len;
        let Some(body) = bytes.get(FRAME_HEADER_BYTES..needed) else {
            return Err(NoFrame::CutShort { needed, available: bytes.len() });
        };
        let computed = crc32c(body);
        if stored != computed {
            return Err(NoFrame::BodyCrc { sequence: header.sequence, stored, computed });
        }
        Ok(Self { header, body })
    }

    /// Bytes that the frame occupies without padding.
    pub(crate) fn len(&self) -> usize {
        FRAME_HEADER_BYTES + self.body.len()
    }
}

impl FrameHeader {
    /// The header at the beginning of `bytes`, whatever the body is like.
    pub(crate) fn peek(bytes: &[u8], directory_id: &[u8; 16]) -> Option<Self> {
        parse_header(bytes, directory_id).ok().map(|(header, ..)| header)
    }
}

/// A frame header with the length of the body and its CRC.
fn parse_header(
    bytes: &[u8],
    directory_id: &[u8; 16],
) -> Result<(FrameHeader, usize, u32), NoFrame> {
    let raw: &[u8; FRAME_HEADER_BYTES] = bytes.first_chunk().ok_or(NoFrame::NoMagic)?;
    if raw[0..8] != MAGIC {
        return Err(NoFrame::NoMagic);
    }
    let (stored, computed) = (u32_at(raw, 68), crc32c(&raw[..HEADER_CRC_COVERS]));
    if stored != computed {
        return Err(NoFrame::HeaderCrc { stored, computed });
    }
    let header = FrameHeader {
        directory_id: *raw[8..].first_chunk().expect("inside the header"),
        run: u64_at(raw, 24),
        sequence: u64_at(raw, 32),
        synced: u64_at(raw, 40),
        checkpoint: u64_at(raw, 48),
        start: u32_at(raw, 56) & FLAG_START != 0,
    };
    if header.directory_id != *directory_id {
        return Err(NoFrame::OtherDirectory);
    }
    Ok((header, u32_at(raw, 60) as usize, u32_at(raw, 64)))
}

/// The entries of a frame with their payloads. The CRC has been checked, so an error is a bug of
/// who wrote the frame, or a format from the future.
pub(crate) struct Entries<'a> {
    rest: &'a [u8],
}

impl<'a> Entries<'a> {
    pub(crate) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }
}

impl<'a> Iterator for Entries<'a> {
    type Item = Result<(EntryHeader, &'a [u8]), String>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let entry = parse_entry(self.rest);
        self.rest = match &entry {
            Ok((_, payload)) => &self.rest[ENTRY_HEADER_BYTES + payload.len()..],
            Err(_) => &[],
        };
        Some(entry)
    }
}

fn parse_entry(bytes: &[u8]) -> Result<(EntryHeader, &[u8]), String> {
    let raw: &[u8; ENTRY_HEADER_BYTES] = bytes
        .first_chunk()
        .ok_or_else(|| format!("a journal entry header of {} bytes", bytes.len()))?;
    let kind = match raw[4] {
        1 => EntryKind::Append,
        2 => EntryKind::Create,
        3 => EntryKind::Delete,
        4 => EntryKind::StartOffset,
        5 => EntryKind::EpochBegun,
        unknown => return Err(format!("a journal entry of the unknown kind {unknown}")),
    };
    let len = u32_at(raw, 0) as usize;
    let payload = bytes[ENTRY_HEADER_BYTES..]
        .get(..len)
        .ok_or_else(|| format!("a journal entry of {len} bytes that its frame does not have"))?;
    let more = raw[5] & FLAG_MORE != 0;
    Ok((EntryHeader { kind, log_id: u64_at(raw, 8), lsn: u64_at(raw, 16), more }, payload))
}

fn u32_at(raw: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*raw[at..].first_chunk().expect("inside the header"))
}

fn u64_at(raw: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*raw[at..].first_chunk().expect("inside the header"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const HEADER: FrameHeader = FrameHeader {
        directory_id: [7; 16],
        run: 1,
        sequence: 2,
        synced: 1,
        checkpoint: 3,
        start: false,
    };

    fn frame() -> Vec<u8> {
        let mut builder = FrameBuilder::with_capacity(4096);
        let entry = EntryHeader { kind: EntryKind::Append, log_id: 5, lsn: 6, more: false };
        builder.push(entry, &[b"ab", b"", b"cde"]);
        builder.push(EntryHeader { kind: EntryKind::Delete, more: true, ..entry }, &[]);
        builder.finish(&HEADER, 64).to_vec()
    }

    #[test]
    fn a_frame_comes_back_as_it_was_built() {
        let bytes = frame();
        assert_eq!(bytes.len(), 128);
        let frame = Frame::parse(&bytes, &[7; 16]).unwrap();
        assert_eq!(frame.header, HEADER);
        assert_eq!(frame.len(), 72 + 24 + 5 + 24);
        let entries: Vec<_> = Entries::new(frame.body).map(Result::unwrap).collect();
        assert_eq!(entries[0].1, b"abcde");
        assert_eq!((entries[1].0.kind, entries[1].0.more), (EntryKind::Delete, true));
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let sound = frame();
        let used = Frame::parse(&sound, &[7; 16]).unwrap().len();
        for bit in 0..used * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::parse(&damaged, &[7; 16]).is_err(), "bit {bit}");
        }
        for cut in 0..used {
            assert!(Frame::parse(&sound[..cut], &[7; 16]).is_err(), "cut at {cut}");
        }
        assert_eq!(Frame::parse(&sound, &[8; 16]).unwrap_err(), NoFrame::OtherDirectory);
    }

    #[test]
    fn a_builder_is_used_again() {
        let mut builder = FrameBuilder::with_capacity(0);
        let entry = EntryHeader { kind: EntryKind::Create, log_id: 5, lsn: 6, more: false };
        builder.push(entry, &[&[1; 5000]]);
        assert_eq!(builder.finish(&HEADER, 4096).len(), 8192);
        builder.clear();
        assert_eq!((builder.len(), builder.entry_count()), (FRAME_HEADER_BYTES, 0));
        let seal = builder.finish(&HEADER, 4096);
        assert_eq!(seal.len(), 4096);
        assert!(Frame::parse(seal, &[7; 16]).unwrap().body.is_empty());
        assert!(seal[FRAME_HEADER_BYTES..].iter().all(|byte| *byte == 0), "padding is zeros");
    }
}
