//! `afluente-bench storage-read`: what it costs to read the tail from memory into a socket, and to
//! read cold segments from the first byte to the last.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use afluente_protocol::numbers::Offset;
use afluente_storage::log_config::Durability;
use afluente_storage::{Log, ReadData, ReadOutcome, ReadRequest, UpTo};
use anyhow::{Context as _, Result, ensure};

use super::{Bed, pool};
use crate::arguments::Arguments;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--dir DIR         where (the current directory)
--size-mib N      how much a run reads (4096)";

const SIZE_MIB_DEFAULT: u64 = 4096;
/// What fits into memory whatever its size, read again and again.
const TAIL_BYTES: u64 = 64 << 20;

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20;
    let common = arguments.finish()?;
    let dir = dir.as_path();
    let mut measures = Vec::new();
    for (piece, name) in [(16 << 10, "16 KiB"), (1 << 20, "1 MiB")] {
        measures.push(Measure::new(format!("tail to a socket, {name} reads"), move || {
            tail(dir, size_bytes, piece)
        }));
    }
    measures.push(Measure::new("cold, one log, 1 MiB reads", move || cold(dir, size_bytes)));
    in_rounds(measures, &common)?.report("storage-read", &common)
}

/// The sending thread's time: what the broker spends.
fn tail(dir: &Path, size_bytes: u64, piece: usize) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let bed = Bed::make(dir.path(), 1, Durability::Sync)?;
    bed.fill(&pool(16 << 10)?, TAIL_BYTES)?;
    bed.wait_durable();
    let log = &bed.logs[0];
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let sink = std::thread::spawn(move || {
        let mut buf = vec![0; 1 << 20];
        while receiver.read(&mut buf).is_ok_and(|n| n > 0) {}
    });
    let meter = Meter::start(CpuOf::Thread);
    let (mut sent, mut operations, mut offset) = (0, 0, Offset::ZERO);
    while sent < size_bytes {
        if offset >= log.high_watermark() {
            offset = Offset::ZERO;
        }
        let ReadOutcome::Data(data) = log.read(request(offset, piece))? else {
            anyhow::bail!("the tail is not in memory");
        };
        for bytes in data.records.pieces() {
            sender.write_all(bytes)?;
            sent += bytes.len() as u64;
        }
        offset = data.next_offset;
        operations += 1;
    }
    let run = meter.stop(sent, operations);
    drop(sender);
    sink.join().ok().context("the receiver panicked")?;
    bed.dir.close()?;
    Ok(run)
}

/// All threads' time. The log is closed and opened in between, so nothing of it is in memory.
fn cold(dir: &Path, size_bytes: u64) -> Result<Run> {
    let dir = tempfile::tempdir_in(dir)?;
    let bed = Bed::make(dir.path(), 1, Durability::Sync)?;
    bed.fill(&pool(16 << 10)?, size_bytes)?;
    bed.wait_durable();
    bed.dir.close()?;
    let bed = Bed::reopen(dir.path())?;
    let log = &bed.logs[0];
    let end = log.end_offset();
    let meter = Meter::start(CpuOf::Process);
    let (mut read, mut operations, mut offset) = (0, 0, Offset::ZERO);
    while offset < end {
        let data = wait(log, request(offset, 1 << 20))?;
        ensure!(data.next_offset > offset, "a read at {offset} goes nowhere");
        read += data.records.len() as u64;
        offset = data.next_offset;
        operations += 1;
    }
    let run = meter.stop(read, operations);
    bed.dir.close()?;
    Ok(run)
}

fn request(offset: Offset, max_bytes: usize) -> ReadRequest {
    ReadRequest { offset, max_bytes, at_least_one_batch: true, up_to: UpTo::LogEnd }
}

fn wait(log: &Arc<Log>, request: ReadRequest) -> Result<ReadData> {
    match log.read(request)? {
        ReadOutcome::Data(data) => Ok(data),
        ReadOutcome::Cold(cold) => {
            let (tell, told) = mpsc::sync_channel(1);
            log.read_cold(cold, move |outcome| {
                let _ = tell.send(outcome);
            });
            Ok(told.recv()??)
        }
    }
}
