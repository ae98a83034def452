//! The LZ4 frame format around the block codec of `lz4_flex`.
//!
//! ```text
//!  ├─────────┬────┬────┬─────────┬────────┬────┤ ├────────┬───────┬─────────┤ … ├─────────┬────────┤
//!  │184D2204 │flag│ BD │[content │[dictio-│HC  │ │size u32│ data  │[checksum│   │00000000 │[content│
//!  │u32      │ u8 │ u8 │size u64]│nary u32│ u8 │ │        │       │  u32]   │   │end mark │checksum│
//! ```
//!
//! Little-endian; parts in brackets are there if the flags say so. The framing is done here rather
//! than by the library's stream types because blocks then go straight to where they belong, without
//! the megabytes of buffers that a stream sets up, and because message format v0 asks for frames
//! with a wrong header checksum.

use lz4_flex::block;
use twox_hash::XxHash32;

use super::{Fault, Sink};

const MAGIC: [u8; 4] = 0x184D_2204_u32.to_le_bytes();
/// Magic, version 1 with independent blocks and no checksums, blocks of 64 KiB, header checksum:
/// what Kafka writes.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const END_MARK: [u8; 4] = [0; 4];
const BLOCK_BYTES: usize = 64 * 1024;
/// Set in the size of a block that is stored as it is.
const STORED: u32 = 1 << 31;
/// How far back a block that depends on earlier ones may refer.
const HISTORY_BYTES: usize = 64 * 1024;

#[derive(Default)]
pub(super) struct Compressor {
    table: block::CompressTable,
}

impl Compressor {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(HEADER.len() + input.len() / 2);
        out.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK_BYTES) {
            self.compress_block(block, out);
        }
        out.extend_from_slice(&END_MARK);
    }

    fn compress_block(&mut self, block: &[u8], out: &mut Vec<u8>) {
        let size_at = out.len();
        let data_at = size_at + 4;
        out.resize(data_at + block::get_maximum_output_size(block.len()), 0);
        let length = block::compress_into_with_table(block, &mut out[data_at..], &mut self.table)
            .expect("the space is what LZ4 asks for at worst");
        let mut size = u32::try_from(length).expect("a block of 64 KiB stays far below 2 GiB");
        out.truncate(data_at + length);
        if length >= block.len() {
            out.truncate(data_at);
            out.extend_from_slice(block);
            size = u32::try_from(block.len()).expect("a block is 64 KiB at most") | STORED;
        }
        out[size_at..data_at].copy_from_slice(&size.to_le_bytes());
    }
}

/// What to make of the checksum of the frame header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HeaderChecksum {
    Verified,
    /// As message format v0 needs it: its first writers computed it over the wrong bytes.
    Ignored,
}

/// Decompresses one frame; what follows the frame is ignored, as Kafka does.
pub(super) fn decompress(
    mut input: &[u8],
    header: HeaderChecksum,
    sink: &mut Sink<'_>,
) -> Result<(), Fault> {
    let frame = Frame::take(&mut input, header)?;
    loop {
        let size = take_u32(&mut input)?;
        if size == 0 {
            break;
        }
        let length = (size & !STORED) as usize;
        if length > frame.block_bytes_max {
            return Err(Fault::undecodable(format!("a block claims {length} bytes")));
        }
        let (data, rest) = input.split_at_checked(length).ok_or_else(Fault::truncated)?;
        input = rest;
        if frame.has_block_checksum && take_u32(&mut input)? != XxHash32::oneshot(0, data) {
            return Err(Fault::undecodable("the checksum of a block is wrong"));
        }
        if size & STORED != 0 {
            sink.extend(data)?;
        } else {
            decompress_block(&frame, data, sink)?;
        }
    }
    let content = &sink.out[sink.before..];
    if frame.has_content_checksum && take_u32(&mut input)? != XxHash32::oneshot(0, content) {
        return Err(Fault::undecodable("the checksum of the content is wrong"));
    }
    if frame.content_size.is_some_and(|size| size != content.len() as u64) {
        return Err(Fault::undecodable("the content has another size than the frame says"));
    }
    Ok(())
}

fn decompress_block(frame: &Frame, data: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    // A byte of a block gives at most 255: space beyond that would only be zeroed and thrown away.
    let possible = data.len().saturating_mul(255).saturating_add(64);
    let block_bytes_max = frame.block_bytes_max.min(possible);
    let cut_by_limit = sink.room() < block_bytes_max;
    sink.extend_by_block(block_bytes_max, |done, space| {
        let history = &done[done.len().saturating_sub(HISTORY_BYTES)..];
        let decoded = match frame.has_independent_blocks {
            true => block::decompress_into(data, space),
            false => block::decompress_into_with_dict(data, space, history),
        };
        decoded.map_err(|error| match error {
            block::DecompressError::OutputTooSmall { .. } if cut_by_limit => Fault::TooLarge,
            error => Fault::undecodable(error.to_string()),
        })
    })
}

/// The frame header, as far as it matters.
struct Frame {
    has_independent_blocks: bool,
    has_block_checksum: bool,
    has_content_checksum: bool,
    content_size: Option<u64>,
    block_bytes_max: usize,
}

impl Frame {
    fn take(input: &mut &[u8], checksum: HeaderChecksum) -> Result<Self, Fault> {
        if take(input)? != MAGIC {
            return Err(Fault::undecodable("there is no LZ4 frame magic"));
        }
        let descriptor = *input;
        let [flags, block_size] = take(input)?;
        if flags >> 6 != 1 || flags & 0b10 != 0 || block_size & 0b1000_1111 != 0 {
            return Err(Fault::undecodable("the LZ4 frame header has reserved bits set"));
        }
        if flags & 0b1 != 0 {
            return Err(Fault::undecodable("the LZ4 frame needs a dictionary"));
        }
        let block_bytes_max = match block_size >> 4 {
            code @ 4..=7 => 1 << (2 * code + 8),
            code => return Err(Fault::undecodable(format!("unknown LZ4 block size {code}"))),
        };
        let content_size = match flags & 0b1000 {
            0 => None,
            _ => Some(u64::from_le_bytes(take(input)?)),
        };
        let descriptor = &descriptor[..descriptor.len() - input.len()];
        let [stored] = take(input)?;
        let [_, computed, ..] = XxHash32::oneshot(0, descriptor).to_le_bytes();
        if checksum == HeaderChecksum::Verified && stored != computed {
            return Err(Fault::undecodable("the checksum of the LZ4 frame header is wrong"));
        }
        Ok(Self {
            has_independent_blocks: flags & 0b10_0000 != 0,
            has_block_checksum: flags & 0b1_0000 != 0,
            has_content_checksum: flags & 0b100 != 0,
            content_size,
            block_bytes_max,
        })
    }
}

fn take<const N: usize>(input: &mut &[u8]) -> Result<[u8; N], Fault> {
    let (taken, rest) = input.split_first_chunk().ok_or_else(Fault::truncated)?;
    *input = rest;
    Ok(*taken)
}

fn take_u32(input: &mut &[u8]) -> Result<u32, Fault> {
    take(input).map(u32::from_le_bytes)
}
