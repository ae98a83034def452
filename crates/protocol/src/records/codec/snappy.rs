//! Snappy in the framing of snappy-java, which is what Kafka means by snappy.
//!
//! ```text
//!  ├──────────────────┬───────────┬───────────────┤ ├──────────┬─────────────┤ …
//!  │82 'SNAPPY' 00    │version 1  │compatible 1   │ │length i32│snappy block │
//!  │8 bytes           │i32        │i32            │ │          │             │
//! ```
//!
//! The integers are big-endian. Blocks hold up to 32 KiB before compression. Where the first eight
//! bytes are not the magic, the whole input is one bare block: some clients have written that.

use snap::raw;

use super::{Fault, Sink};

const MAGIC: [u8; 8] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0];
/// The magic, the version and the version that a reader must know.
const HEADER: [u8; 16] = [0x82, b'S', b'N', b'A', b'P', b'P', b'Y', 0, 0, 0, 0, 1, 0, 0, 0, 1];
const VERSION: i32 = 1;
const BLOCK_BYTES: usize = 32 * 1024;

pub(super) struct Compressor {
    encoder: raw::Encoder,
}

impl Default for Compressor {
    fn default() -> Self {
        Self { encoder: raw::Encoder::new() }
    }
}

impl Compressor {
    pub(super) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>) {
        out.reserve(HEADER.len() + input.len() / 2);
        out.extend_from_slice(&HEADER);
        for block in input.chunks(BLOCK_BYTES) {
            let length_at = out.len();
            let block_at = length_at + 4;
            out.resize(block_at + raw::max_compress_len(block.len()), 0);
            let length = self
                .encoder
                .compress(block, &mut out[block_at..])
                .expect("the space is what snappy asks for at worst");
            out.truncate(block_at + length);
            let length = i32::try_from(length).expect("a block of 32 KiB stays far below 2 GiB");
            out[length_at..block_at].copy_from_slice(&length.to_be_bytes());
        }
    }
}

#[derive(Default)]
pub(super) struct Decompressor {
    decoder: raw::Decoder,
}

impl Decompressor {
    pub(super) fn decompress(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        let Some(mut input) = after_header(input)? else {
            return self.decompress_block(input, sink);
        };
        while !input.is_empty() {
            // Streams may follow each other, each with its header.
            if let Some(rest) = after_header(input)? {
                input = rest;
                continue;
            }
            let (length, rest) = input.split_first_chunk().ok_or_else(Fault::truncated)?;
            let length = i32::from_be_bytes(*length);
            let length = usize::try_from(length)
                .map_err(|_| Fault::undecodable(format!("a block claims {length} bytes")))?;
            let (block, rest) = rest.split_at_checked(length).ok_or_else(Fault::truncated)?;
            self.decompress_block(block, sink)?;
            input = rest;
        }
        Ok(())
    }

    fn decompress_block(&mut self, block: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        let claimed = raw::decompress_len(block).map_err(undecodable)?;
        if claimed > block.len().saturating_mul(EXPANSION_MAX) {
            let bytes = block.len();
            let reason = format!("a block of {bytes} bytes claims to decompress to {claimed}");
            return Err(Fault::undecodable(reason));
        }
        if claimed > sink.room() {
            return Err(Fault::TooLarge);
        }
        sink.extend_by_block(claimed, |_, space| {
            self.decoder.decompress(block, space).map_err(undecodable)
        })
    }
}

/// A copy of three bytes gives at most 64.
const EXPANSION_MAX: usize = 64 / 3 + 1;

/// What comes after the stream header, if `input` begins with one.
fn after_header(input: &[u8]) -> Result<Option<&[u8]>, Fault> {
    if !input.starts_with(&MAGIC) {
        return Ok(None);
    }
    let (header, rest) = input.split_first_chunk::<16>().ok_or_else(Fault::truncated)?;
    let compatible = i32::from_be_bytes([header[12], header[13], header[14], header[15]]);
    if compatible > VERSION {
        let reason = format!("the stream asks for a reader of version {compatible}");
        return Err(Fault::undecodable(reason));
    }
    Ok(Some(rest))
}

fn undecodable(error: snap::Error) -> Fault {
    Fault::undecodable(error.to_string())
}
