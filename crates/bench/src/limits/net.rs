//! Loopback: a stream from one thread to another, and one message at a time there and back.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use crate::measure::{CpuOf, Measure, Meter, Run};

const STREAM_BYTES: u64 = 1 << 30;
const PIECE_BYTES: usize = 256 * 1024;
const ROUND_TRIPS: u64 = 20_000;
const MESSAGE_BYTES: usize = 64;

pub(super) fn measures() -> Vec<Measure<'static>> {
    vec![
        Measure::new("loopback, 256 KiB, cost of sending", || Ok(stream()?.0)),
        Measure::new("loopback, 256 KiB, cost of receiving", || Ok(stream()?.1)),
        Measure::new("loopback, round trip of 64 bytes", round_trips),
    ]
}

/// Both ends of one stream: what sending took, and what receiving took.
fn stream() -> Result<(Run, Run)> {
    let (mut from, mut to) = connection()?;
    let receiver = thread::spawn(move || -> Result<Run> {
        let mut buffer = vec![0; PIECE_BYTES];
        let meter = Meter::start(CpuOf::Thread);
        let (mut bytes, mut reads) = (0, 0);
        loop {
            let count = to.read(&mut buffer)?;
            if count == 0 {
                return Ok(meter.stop(bytes, reads));
            }
            bytes += count as u64;
            reads += 1;
        }
    });
    let piece = vec![0x5a; PIECE_BYTES];
    let pieces = STREAM_BYTES / PIECE_BYTES as u64;
    let meter = Meter::start(CpuOf::Thread);
    for _ in 0..pieces {
        from.write_all(&piece)?;
    }
    let sent = meter.stop(STREAM_BYTES, pieces);
    drop(from);
    let received = receiver.join().expect("the receiver does not panic")?;
    ensure!(received.bytes == STREAM_BYTES, "the loopback lost bytes");
    Ok((sent, received))
}

/// The processor time of both ends counts.
fn round_trips() -> Result<Run> {
    let (mut here, mut there) = connection()?;
    let echo = thread::spawn(move || -> std::io::Result<()> {
        let mut message = [0; MESSAGE_BYTES];
        for _ in 0..ROUND_TRIPS {
            there.read_exact(&mut message)?;
            there.write_all(&message)?;
        }
        Ok(())
    });
    let mut message = [0x5a; MESSAGE_BYTES];
    let mut latencies = Vec::new();
    let meter = Meter::start(CpuOf::Process);
    for _ in 0..ROUND_TRIPS {
        let start = Instant::now();
        here.write_all(&message)?;
        here.read_exact(&mut message)?;
        latencies.push(start.elapsed());
    }
    let run = meter.stop(0, ROUND_TRIPS);
    echo.join().expect("the echo does not panic")?;
    Ok(Run { latencies, ..run })
}

fn connection() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("could not listen")?;
    let one = TcpStream::connect(listener.local_addr()?).context("could not connect")?;
    let (other, _) = listener.accept().context("could not accept")?;
    one.set_nodelay(true)?;
    other.set_nodelay(true)?;
    Ok((one, other))
}
