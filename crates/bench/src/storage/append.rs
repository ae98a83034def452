//! `afluente-bench storage-append`: what a durable append costs, journal, segments and clean stop
//! included, and how long a commit takes.

use std::path::{Path, PathBuf};
use std::time::Instant;

use afluente_storage::log_config::Durability;
use anyhow::Result;

use super::{Bed, pool};
use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--dir DIR         where (the current directory)
--size-mib N      how much a run appends (8192)
--commits N       commits whose time is taken (500)";

const SIZE_MIB_DEFAULT: u64 = 8192;
const COMMITS_DEFAULT: usize = 500;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20;
    let commits = arguments.take("--commits")?.unwrap_or(COMMITS_DEFAULT);
    let common = arguments.finish()?;
    let dir = dir.as_path();

    // What the disk can do, at the same time: more than buffered writing is what is asked.
    let mut measures = crate::limits::disk::sustained(dir, size_bytes);
    for (durability, name) in [(Durability::Sync, "sync"), (Durability::Replicated, "replicated")] {
        for (partitions, batch_bytes, what) in [
            (1, 1 << 20, "1 MiB batches"),
            (1, 16 << 10, "16 KiB batches"),
            (1000, 1 << 20, "1 MiB batches"),
            (1000, 16 << 10, "16 KiB batches"),
        ] {
            measures.push(Measure::new(
                format!("{name}, {partitions} partitions, {what}"),
                move || sustained(dir, durability, partitions, batch_bytes, size_bytes),
            ));
        }
    }
    for partitions in [1, 1024] {
        measures.push(Measure::new(
            format!("commit of one 200-byte append in each of {partitions} partitions"),
            move || commit(dir, partitions, commits),
        ));
    }
    in_rounds(measures, &common)?.report("storage-append", &common)
}

/// From the first append to the clean stop.
fn sustained(
    dir: &Path,
    durability: Durability,
    partitions: usize,
    batch_bytes: usize,
    size_bytes: u64,
) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let pool = pool(batch_bytes)?;
    let bed = Bed::make(dir.path(), partitions, durability)?;
    let meter = Meter::start(CpuOf::Process);
    let operations = bed.fill(&pool, size_bytes)?;
    bed.wait_durable();
    bed.dir.close()?;
    Ok(meter.stop(size_bytes, operations))
}

/// One small append in each partition, again and again, each time until all are durable.
fn commit(dir: &Path, partitions: usize, commits: usize) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let pool = pool(200)?;
    let bed = Bed::make(dir.path(), partitions, Durability::Sync)?;
    bed.wait_durable();
    let mut latencies = Vec::with_capacity(commits);
    let meter = Meter::start(CpuOf::Process);
    for _ in 0..commits {
        let start = Instant::now();
        for log in &bed.logs {
            bed.append(log, &pool[0])?;
        }
        bed.wait_durable();
        latencies.push(start.elapsed());
    }
    let bytes = (commits * partitions * pool[0].len()) as u64;
    let run = meter.stop(bytes, commits as u64);
    bed.dir.close()?;
    Ok(Run { latencies, ..run })
}
