//! Zstandard (RFC 8878).

use std::io::Cursor;

use zstd::zstd_safe::{self, CCtx, CParameter, DCtx, InBuffer, OutBuffer, ResetDirective};

use super::{Fault, Sink};

/// The compression context, for the level that was used last.
#[derive(Default)]
pub(super) struct Compressor {
    context: Option<(i32, CCtx<'static>)>,
}

impl Compressor {
    pub(super) fn compress(&mut self, level: i32, input: &[u8], out: &mut Vec<u8>) {
        let context = match &mut self.context {
            Some((of, context)) if *of == level => context,
            other => &mut other.insert((level, new_context(level))).1,
        };
        out.reserve(zstd_safe::compress_bound(input.len()));
        let mut place = Cursor::new(&mut *out);
        place.set_position(place.get_ref().len() as u64);
        context
            .compress2(&mut place, input)
            .map_err(zstd_safe::get_error_name)
            .expect("zstd fails for want of space or memory only, and the space suffices");
    }
}

fn new_context(level: i32) -> CCtx<'static> {
    let mut context = CCtx::create();
    context
        .set_parameter(CParameter::CompressionLevel(level))
        .map_err(zstd_safe::get_error_name)
        .expect("the level lies in the range that zstd has");
    context
}

/// The decompression context.
#[derive(Default)]
pub(super) struct Decompressor {
    context: Option<DCtx<'static>>,
}

impl Decompressor {
    pub(super) fn decompress(&mut self, input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
        let context = self.context.get_or_insert_with(DCtx::create);
        context.reset(ResetDirective::SessionOnly).map_err(undecodable)?;
        if let Some(bytes) = believable_size(input, sink) {
            // Given the space for the whole frame, zstd decompresses right into it, without a
            // window of its own.
            sink.out.reserve_exact(bytes);
        }
        let mut input = InBuffer::around(input);
        loop {
            let (taken, produced) = (input.pos(), sink.out.len());
            if sink.out.capacity() == produced {
                sink.grow(input.src.len() - taken)?;
            }
            let mut space = OutBuffer::around_pos(sink.out, produced);
            // Zero says that a frame has ended and that all of it was handed over.
            let rest = context.decompress_stream(&mut space, &mut input).map_err(undecodable)?;
            if rest == 0 && input.pos() == input.src.len() {
                return sink.finish();
            }
            if input.pos() == taken && sink.out.len() == produced {
                return Err(Fault::truncated());
            }
        }
    }
}

/// How far the size that a frame claims is believed: this many times the size of the frame.
const CLAIM_FACTOR_MAX: usize = 32;

/// The size that the first frame of `input` claims, if the bytes that are there can justify it.
fn believable_size(input: &[u8], sink: &Sink<'_>) -> Option<usize> {
    let claimed = zstd_safe::get_frame_content_size(input).ok().flatten()?;
    let believed = input.len().saturating_mul(CLAIM_FACTOR_MAX).min(sink.room());
    usize::try_from(claimed).ok().filter(|claimed| *claimed <= believed)
}

fn undecodable(code: usize) -> Fault {
    Fault::undecodable(zstd_safe::get_error_name(code))
}
