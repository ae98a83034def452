//! Gzip (RFC 1952).

use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

use super::{Fault, Sink};

/// The greatest window that deflate has, 32 KiB.
const WINDOW_BITS: u8 = 15;
/// How a member begins; what follows a member and does not begin so is no further member.
const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The deflate state, a quarter of a MiB, for the level that was used last.
#[derive(Default)]
pub(super) struct Compressor {
    state: Option<(i32, Compress)>,
}

impl Compressor {
    pub(super) fn compress(&mut self, level: i32, input: &[u8], out: &mut Vec<u8>) {
        let state = match &mut self.state {
            Some((of, state)) if *of == level => {
                state.reset();
                state
            }
            other => &mut other.insert((level, new_state(level))).1,
        };
        let mut taken = 0;
        loop {
            out.reserve(16 * 1024 + (input.len() - taken) / 4);
            let status = state
                .compress_vec(&input[taken..], out, FlushCompress::Finish)
                .expect("deflate fails on wrong calls only");
            taken = taken_of(state.total_in());
            if status == Status::StreamEnd {
                return;
            }
        }
    }
}

fn new_state(level: i32) -> Compress {
    let level = match u32::try_from(level) {
        Ok(level) => flate2::Compression::new(level),
        Err(_) => flate2::Compression::default(),
    };
    Compress::new_gzip(level, WINDOW_BITS)
}

/// Decompresses one member or several, and ignores what comes after the last, as `java.util.zip` does.
pub(super) fn decompress(mut input: &[u8], sink: &mut Sink<'_>) -> Result<(), Fault> {
    loop {
        let taken = decompress_member(input, sink)?;
        input = &input[taken..];
        if !input.starts_with(&MAGIC) {
            return sink.finish();
        }
    }
}

fn decompress_member(input: &[u8], sink: &mut Sink<'_>) -> Result<usize, Fault> {
    let mut state = Decompress::new_gzip(WINDOW_BITS);
    loop {
        let taken = taken_of(state.total_in());
        sink.grow(input.len() - taken)?;
        let produced = sink.out.len();
        let status = state
            .decompress_vec(&input[taken..], sink.out, FlushDecompress::None)
            .map_err(|error| Fault::undecodable(error.to_string()))?;
        let idle = taken_of(state.total_in()) == taken && sink.out.len() == produced;
        match status {
            Status::StreamEnd => return Ok(taken_of(state.total_in())),
            Status::Ok | Status::BufError if idle => return Err(Fault::truncated()),
            Status::Ok | Status::BufError => {}
        }
    }
}

/// How much of a slice was taken, from the count of the library.
fn taken_of(total_in: u64) -> usize {
    usize::try_from(total_in).expect("no more is taken than the slice holds")
}
