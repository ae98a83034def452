//! `afluente-bench validate`: what it costs to check what producers send, before it goes into a
//! log: checksum, every record, timestamps, without compression. Beside it the checksum alone, which is part of it.

use std::hint::black_box;

use afluente_protocol::records::{BatchBuilder, BatchOptions, Compressor, NewRecord};
use afluente_stdx::crc32c::crc32c;
use afluente_storage::log_config::LogConfig;
use afluente_storage::origin::AppendOrigin;
use afluente_storage::validate::Validator;
use anyhow::{Result, ensure};
use bytes::Bytes;

use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--record-bytes N  size of a record's value (1024)
--size-mib N      how much a run checks (1024)";

const RECORD_BYTES_DEFAULT: usize = 1024;
const SIZE_MIB_DEFAULT: u64 = 1024;
/// Different batches in turn, so that they come from the cache that the network left them in.
const POOL_BYTES: usize = 8 << 20;
const NOW_MS: i64 = 1_800_000_000_000;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let record_bytes = arguments.take("--record-bytes")?.unwrap_or(RECORD_BYTES_DEFAULT);
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20;
    let common = arguments.finish()?;
    ensure!(record_bytes > 0, "--record-bytes cannot be 0");

    let mut measures = Vec::new();
    for (name, batch_bytes) in [("16 KiB", 16 << 10), ("1 MiB", 1 << 20)] {
        let pool = pool(batch_bytes, record_bytes)?;
        let crcs = pool.clone();
        measures.push(Measure::new(format!("checksum alone, {name} batches"), move || {
            over(&crcs, size_bytes, |batch| {
                black_box(crc32c(black_box(batch)));
                Ok(())
            })
        }));
        measures.push(validation(format!("validate, {name} batches"), pool, size_bytes));
    }
    in_rounds(measures, &common)?.report("validate", &common)
}

fn validation(name: String, pool: Vec<Bytes>, size_bytes: u64) -> Measure<'static> {
    let config = LogConfig { max_message_bytes: i32::MAX, ..LogConfig::default() };
    Measure::new(name, move || {
        let mut validator = Validator::new();
        over(&pool, size_bytes, |batch| {
            black_box(validator.validate(batch, AppendOrigin::Client, &config, NOW_MS)?);
            Ok(())
        })
    })
}

/// Batches one after the other until they are `size_bytes`, as they come.
fn over(
    pool: &[Bytes],
    size_bytes: u64,
    mut on_batch: impl FnMut(&Bytes) -> Result<()>,
) -> Result<Run> {
    let meter = Meter::start(CpuOf::Thread);
    let (mut bytes, mut operations) = (0, 0);
    for batch in pool.iter().cycle() {
        if bytes >= size_bytes {
            break;
        }
        on_batch(batch)?;
        bytes += batch.len() as u64;
        operations += 1;
    }
    Ok(meter.stop(bytes, operations))
}

/// Batches of about `batch_bytes`.
fn pool(batch_bytes: usize, record_bytes: usize) -> Result<Vec<Bytes>> {
    let value: Vec<u8> = (0..record_bytes).map(|at| (at * 31 % 97) as u8).collect();
    let mut compressor = Compressor::new();
    let mut pool = Vec::new();
    for number in 0..POOL_BYTES / batch_bytes {
        let mut builder = BatchBuilder::with_capacity(BatchOptions::default(), batch_bytes);
        while builder.size_bytes_uncompressed() < batch_bytes {
            let timestamp = NOW_MS - number as i64 % 1000 + builder.record_count() as i64 % 7;
            let record = NewRecord { timestamp, key: None, value: Some(&value), headers: &[] };
            builder.append(&record)?;
        }
        pool.push(builder.finish(&mut compressor)?);
    }
    Ok(pool)
}
