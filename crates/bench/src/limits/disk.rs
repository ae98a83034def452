//! Disk: new files, recycled files, syncs, reads. Through the same door as the product.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use afluente_env::disk::{Access, Disk as _, File, OpenHow, RealDisk, read_full_at, write_all_at};
use afluente_stdx::aligned_buf::AlignedBuf;
use anyhow::{Result, ensure};

use crate::measure::{CpuOf, Measure, Meter, Run};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

/// A file as long as a journal's: it is written round and round.
const RING_BYTES: u64 = 64 * MIB as u64;
const COMMITS: u64 = 256;
const READ_PIECE_BYTES: usize = MIB;

pub(super) fn measures(dir: &Path, size_bytes: u64) -> Vec<Measure<'_>> {
    let mut measures = Vec::new();
    for piece_bytes in [256 * KIB, MIB, 4 * MIB] {
        let size = named(piece_bytes);
        measures.push(Measure::new(format!("new file, buffered, {size}, one sync"), move || {
            write_new(dir, OpenHow::buffered(Access::CreateNew), piece_bytes, size_bytes)
        }));
        measures.push(Measure::new(format!("new file, direct, {size}, one sync"), move || {
            write_new(dir, OpenHow::direct(Access::CreateNew), piece_bytes, size_bytes)
        }));
    }
    for piece_bytes in [64 * KIB, 256 * KIB, MIB] {
        let size = named(piece_bytes);
        measures.push(Measure::new(format!("recycled, direct, {size}, a sync each"), move || {
            rewrite(dir, OpenHow::direct(Access::Write), piece_bytes)
        }));
        measures.push(Measure::new(format!("recycled, direct O_DSYNC, {size}"), move || {
            rewrite(dir, OpenHow::direct(Access::Write).synchronous(), piece_bytes)
        }));
    }
    measures.push(Measure::new("recycled, buffered, 4 KiB, a sync each", move || {
        rewrite(dir, OpenHow::buffered(Access::Write), 4 * KIB)
    }));
    measures.push(Measure::new("sequential read, direct, 1 MiB", move || read(dir, size_bytes)));
    measures
}

/// Writing a new file to its end as fast as it goes: what a log cannot beat, and what it should.
pub(crate) fn sustained(dir: &Path, size_bytes: u64) -> Vec<Measure<'_>> {
    let write = move |how| move || write_new(dir, how, MIB, size_bytes);
    vec![
        Measure::new("limit: new file, direct, 1 MiB", write(OpenHow::direct(Access::CreateNew))),
        Measure::new(
            "limit: new file, buffered, 1 MiB, one sync",
            write(OpenHow::buffered(Access::CreateNew)),
        ),
    ]
}

/// Writes a new file from end to end; the sync at the end is part of it.
fn write_new(dir: &Path, how: OpenHow, piece_bytes: usize, size_bytes: u64) -> Result<Run> {
    let path = dir.join("new");
    let piece = noise(piece_bytes);
    let pieces = size_bytes.div_ceil(piece_bytes as u64);
    let meter = Meter::start(CpuOf::Process);
    let file = open(&path, how)?;
    for index in 0..pieces {
        write_all_at(&*file, &piece, index * piece_bytes as u64)?;
    }
    file.sync_data()?;
    let run = meter.stop(pieces * piece_bytes as u64, pieces);
    RealDisk.remove_file(&path)?;
    Ok(run)
}

/// Overwrites pieces of a file whose blocks have all been written before, each made durable
/// before the next.
fn rewrite(dir: &Path, how: OpenHow, piece_bytes: usize) -> Result<Run> {
    let path = dir.join("ring");
    make_ring(&path)?;
    let piece = noise(piece_bytes);
    let file = open(&path, how)?;
    let mut latencies = Vec::new();
    let meter = Meter::start(CpuOf::Process);
    for index in 0..COMMITS {
        let start = Instant::now();
        write_all_at(&*file, &piece, index * piece_bytes as u64 % RING_BYTES)?;
        if !how.synchronous {
            file.sync_data()?;
        }
        latencies.push(start.elapsed());
    }
    let run = meter.stop(COMMITS * piece_bytes as u64, COMMITS);
    Ok(Run { latencies, ..run })
}

fn make_ring(path: &Path) -> Result<()> {
    if RealDisk.metadata(path)?.is_some_and(|metadata| metadata.len == RING_BYTES) {
        return Ok(());
    }
    let piece = noise(MIB);
    let file = open(path, OpenHow::direct(Access::CreateOrWrite))?;
    for at in (0..RING_BYTES).step_by(MIB) {
        write_all_at(&*file, &piece, at)?;
    }
    file.sync_data()?;
    Ok(())
}

/// Reads a file that is not in the page cache, because it was written past it.
fn read(dir: &Path, size_bytes: u64) -> Result<Run> {
    let path = dir.join("read");
    if RealDisk.metadata(&path)?.is_none() {
        let piece = noise(4 * MIB);
        let file = open(&path, OpenHow::direct(Access::CreateNew))?;
        for at in (0..size_bytes).step_by(piece.len()) {
            write_all_at(&*file, &piece, at)?;
        }
        file.sync_data()?;
    }
    let mut piece = AlignedBuf::zeroed(READ_PIECE_BYTES);
    let meter = Meter::start(CpuOf::Process);
    let file = open(&path, OpenHow::direct(Access::Read))?;
    let pieces = size_bytes / READ_PIECE_BYTES as u64;
    for index in 0..pieces {
        read_full_at(&*file, &mut piece, index * READ_PIECE_BYTES as u64)?;
    }
    Ok(meter.stop(pieces * READ_PIECE_BYTES as u64, pieces))
}

fn open(path: &Path, how: OpenHow) -> Result<Arc<dyn File>> {
    let file = RealDisk.open(path, how)?;
    ensure!(
        file.is_direct() == how.direct,
        "the file system of {} has no direct IO: choose another --dir",
        path.display()
    );
    Ok(file)
}

/// Bytes that no layer below can make smaller: a disk may treat zeros as holes.
fn noise(len: usize) -> AlignedBuf {
    let mut buf = AlignedBuf::zeroed(len);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for word in buf.chunks_exact_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        word.copy_from_slice(&state.to_le_bytes());
    }
    buf
}

fn named(bytes: usize) -> String {
    if bytes.is_multiple_of(MIB) {
        format!("{} MiB", bytes / MIB)
    } else {
        format!("{} KiB", bytes / KIB)
    }
}
