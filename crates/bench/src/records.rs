//! `afluente-bench records`: what a record batch costs to check, read, build and compress.
//!
//! Rates are of uncompressed bytes, in cache. Checking a batch is to be read beside the bare CRC of
//! the same run, which it must not exceed by much.

use std::hint::black_box;
use std::rc::Rc;

use afluente_protocol::records::{
    Batch, BatchBuilder, BatchOptions, Batches, CodecId, Compression, Compressor, Decompressor,
    Header, NewRecord, ZstdLevel,
};
use afluente_stdx::crc32c::crc32c;
use anyhow::{Result, ensure};
use bytes::Bytes;

use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--size-mib N      how much a run goes through (64)";

const SIZE_MIB_DEFAULT: u64 = 64;
const BATCH_BYTES: [usize; 2] = [16 << 10, 1 << 20];

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20;
    let common = arguments.finish()?;
    let mut measures = Vec::new();
    for batch_bytes in BATCH_BYTES {
        measures.extend(checking(batch_bytes, size_bytes * 16)?);
    }
    for (record_bytes, batch_bytes) in [(100, 16 << 10), (1 << 10, 1 << 20)] {
        measures.extend(reading_and_building(record_bytes, batch_bytes, size_bytes * 4)?);
    }
    for batch_bytes in BATCH_BYTES {
        measures.extend(codecs(batch_bytes, size_bytes)?);
    }
    in_rounds(measures, &common)?.report("records", &common)
}

/// Finding and checksumming the batches of a buffer, beside the checksum alone.
fn checking(batch_bytes: usize, size_bytes: u64) -> Result<Vec<Measure<'static>>> {
    let batch = batch_of(1 << 10, batch_bytes)?;
    let crc = {
        let batch = batch.clone();
        move || {
            over(size_bytes, batch.len(), || {
                black_box(crc32c(black_box(&batch)));
            })
        }
    };
    let check = move || {
        over(size_bytes, batch.len(), || {
            for batch in Batches::new(black_box(&batch)) {
                let sound = batch.and_then(|batch| {
                    batch.verify_crc()?;
                    batch.header().check_shape()
                });
                sound.expect("it was built here");
            }
        })
    };
    let size = name_of(batch_bytes);
    Ok(vec![
        Measure::new(format!("crc32c alone, {size}"), crc),
        Measure::new(format!("check a batch, {size}"), check),
    ])
}

fn reading_and_building(
    record_bytes: usize,
    batch_bytes: usize,
    size_bytes: u64,
) -> Result<Vec<Measure<'static>>> {
    let batch = batch_of(record_bytes, batch_bytes)?;
    let bytes = batch.len();
    let read = {
        let batch = batch.clone();
        move || {
            let batch = Batch::parse(&batch)?;
            over(size_bytes, bytes, || {
                for record in batch.header().records(black_box(batch.records_section())) {
                    black_box(record.expect("it was built here"));
                }
            })
        }
    };
    let skim = {
        let batch = batch.clone();
        move || {
            let batch = Batch::parse(&batch)?;
            over(size_bytes, bytes, || {
                for record in batch.header().skim(black_box(batch.records_section())) {
                    black_box(record.expect("it was built here"));
                }
            })
        }
    };
    let build = move || {
        over(size_bytes, bytes, || {
            black_box(batch_of(record_bytes, batch_bytes).expect("it was built before"));
        })
    };
    let what = format!("records of {record_bytes} B, {}", name_of(batch_bytes));
    Ok(vec![
        Measure::new(format!("read {what}"), read),
        Measure::new(format!("skim {what}"), skim),
        Measure::new(format!("build {what}"), build),
    ])
}

fn codecs(batch_bytes: usize, size_bytes: u64) -> Result<Vec<Measure<'static>>> {
    let input: Rc<[u8]> = log_lines(batch_bytes).into();
    let zstd_1 = ZstdLevel::new(1).map(Compression::Zstd);
    let settings = CodecId::ALL.into_iter().skip(1).map(Compression::from).chain(zstd_1);
    let mut measures = Vec::new();
    for setting in settings {
        let mut compressor = Compressor::new();
        let mut compressed = Vec::new();
        compressor.compress(setting, &input, &mut compressed);
        let mut again = Vec::new();
        let codec = setting.codec();
        Decompressor::new().decompress(codec, &compressed, input.len(), &mut again)?;
        ensure!(again == *input, "{codec} gave back something else");

        let level = match setting {
            Compression::Zstd(level) => format!("-{}", level.get()),
            _ => String::new(),
        };
        let ratio = input.len() as f64 / compressed.len() as f64;
        let what = format!("{codec}{level}, {}, {ratio:.1} to 1", name_of(batch_bytes));
        let plain = Rc::clone(&input);
        measures.push(Measure::new(format!("compress {what}"), move || {
            let mut compressor = Compressor::new();
            let mut out = Vec::new();
            over(size_bytes, plain.len(), || {
                out.clear();
                compressor.compress(setting, black_box(&plain), &mut out);
            })
        }));
        let plain_bytes = input.len();
        measures.push(Measure::new(format!("decompress {what}"), move || {
            let mut decompressor = Decompressor::new();
            over(size_bytes, plain_bytes, || {
                // A vector of its own each time, as a reader of batches has it.
                let mut out = Vec::new();
                decompressor
                    .decompress(codec, black_box(&compressed), plain_bytes, &mut out)
                    .expect("it was compressed here");
                black_box(out);
            })
        }));
    }
    Ok(measures)
}

fn over(size_bytes: u64, bytes_each: usize, mut each: impl FnMut()) -> Result<Run> {
    let times = (size_bytes / bytes_each as u64).max(1);
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..times {
        each();
    }
    Ok(meter.stop(times * bytes_each as u64, times))
}

fn name_of(bytes: usize) -> String {
    format!("{} KiB", bytes >> 10)
}

/// An uncompressed batch of about `batch_bytes`, one header a record.
fn batch_of(record_bytes: usize, batch_bytes: usize) -> Result<Bytes> {
    let value = vec![0x5a; record_bytes];
    let header = Header { key: b"trace", value: Some(b"0123456789abcdef") };
    let record = NewRecord {
        timestamp: 1_700_000_000_000,
        key: Some(b"some-key"),
        value: Some(&value),
        headers: &[header],
    };
    let mut builder = BatchBuilder::with_capacity(BatchOptions::default(), batch_bytes);
    while builder.size_bytes_uncompressed() + builder.record_bytes(&record) <= batch_bytes {
        builder.append(&record)?;
    }
    Ok(builder.finish(&mut Compressor::new())?)
}

/// Lines of a log in JSON, as many as fill `bytes`: what producers compress most.
fn log_lines(bytes: usize) -> Vec<u8> {
    let levels = ["INFO", "INFO", "INFO", "WARN", "ERROR"];
    let mut state = 1_u32;
    let mut lines = Vec::with_capacity(bytes + 256);
    while lines.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let (user, level) = (state >> 12, levels[state as usize % levels.len()]);
        let line = format!(
            "{{\"at\":\"2026-01-01T00:00:{:02}.{:03}Z\",\"level\":\"{level}\",\"service\":\"checkout\",\
             \"user\":{user},\"trace\":\"{:08x}{:08x}\",\"message\":\"order {} accepted in {} ms\"}}\n",
            state % 60,
            state % 1000,
            state,
            state.rotate_left(7),
            state >> 20,
            state % 97,
        );
        lines.extend_from_slice(line.as_bytes());
    }
    lines.truncate(bytes);
    lines
}
