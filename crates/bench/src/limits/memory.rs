//! Memory: the two things that are done to every byte of a log, in cache.

use std::hint::black_box;

use afluente_stdx::crc32c::crc32c;
use anyhow::Result;

use crate::measure::{CpuOf, Measure, Meter, Run};

const BLOCK_BYTES: usize = 1 << 20;
const BLOCKS: u64 = 4096;

pub(super) fn measures() -> Vec<Measure<'static>> {
    vec![
        Measure::new("crc32c, 1 MiB in cache", || {
            let block = vec![0x5a_u8; BLOCK_BYTES];
            over_blocks(|| {
                black_box(crc32c(black_box(&block)));
            })
        }),
        Measure::new("memcpy, 1 MiB in cache", || {
            let from = vec![0x5a_u8; BLOCK_BYTES];
            let mut to = vec![0; BLOCK_BYTES];
            over_blocks(|| black_box(&mut to).copy_from_slice(black_box(&from)))
        }),
    ]
}

fn over_blocks(mut on_block: impl FnMut()) -> Result<Run> {
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..BLOCKS {
        on_block();
    }
    Ok(meter.stop(BLOCKS * BLOCK_BYTES as u64, BLOCKS))
}
