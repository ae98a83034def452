//! Starting, idling, dying and coming back; many partitions, many connections.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use afluente_protocol::frame::request_frame;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use anyhow::{Context as _, Result};

use super::node::Node;
use super::{Bar, Case, Reading, Setup, Side};

/// A fresh broker is left alone for so long before it counts as idle, and is then watched.
const SETTLING: Duration = Duration::from_secs(3);
const WATCHED: Duration = Duration::from_secs(10);
const RECORD_BYTES: u64 = 10_240;

pub(super) fn cases(log_bytes: u64, connections: u64, partitions: i32) -> Vec<Case> {
    let own =
        |name: String, run: fn(&Setup, Side, u64) -> Result<Vec<Reading>>, amount: u64| Case {
            name,
            is_shared: false,
            run: Box::new(move |setup, side, _| run(setup, side, amount)),
        };
    vec![
        own("start".to_owned(), start, 0),
        own("idle".to_owned(), idle, 0),
        own(format!("kill -9 with {} MiB", log_bytes >> 20), recovery, log_bytes),
        own(format!("{connections} idle connections"), idle_connections, connections),
        Case {
            name: format!("{partitions} partitions"),
            is_shared: true,
            run: Box::new(move |_, _, node| make_partitions(node.context("it runs")?, partitions)),
        },
    ]
}

fn start(setup: &Setup, side: Side, _: u64) -> Result<Vec<Reading>> {
    let (node, took) = setup.start(side, "start")?;
    let cpu_ms = millis(node.cpu()?);
    Ok(vec![
        Reading::new("to Metadata, ms", Bar::AtMost(50.0), millis(took)),
        Reading::new("CPU ms", Bar::None, cpu_ms),
    ])
}

fn idle(setup: &Setup, side: Side, _: u64) -> Result<Vec<Reading>> {
    let (node, _) = setup.start(side, "idle")?;
    std::thread::sleep(SETTLING);
    let (resident, _) = node.resident_mib()?;
    let before = node.cpu()?;
    std::thread::sleep(WATCHED);
    let cpu = node.cpu()?.saturating_sub(before);
    let percent = 100.0 * cpu.as_secs_f64() / WATCHED.as_secs_f64();
    Ok(vec![
        Reading::new("resident, MiB", Bar::AtMost(25.0), resident),
        Reading::new("% of a core", Bar::AtMost(0.1), percent),
    ])
}

/// From the start of the new process to the first record that it acknowledges.
fn recovery(setup: &Setup, side: Side, log_bytes: u64) -> Result<Vec<Reading>> {
    const TOPIC: &str = "recovery";
    let (mut node, _) = setup.start(side, "recovery")?;
    node.wire()?.create_topic(TOPIC, 6, &[])?;
    setup.peer.produce(&node, TOPIC, RECORD_BYTES, log_bytes / RECORD_BYTES)?;
    node.kill()?;
    let start = Instant::now();
    node.spawn()?;
    let is_written =
        |node: &Node| -> Result<bool> { Ok(node.wire()?.produce(TOPIC, &[0])?.is_empty()) };
    while !is_written(&node).unwrap_or(false) {
        node.wait_a_little(start)?;
    }
    Ok(vec![Reading::new(
        "to the first record, s",
        Bar::AtMost(0.7),
        start.elapsed().as_secs_f64(),
    )])
}

fn idle_connections(setup: &Setup, side: Side, count: u64) -> Result<Vec<Reading>> {
    let (node, _) = setup.start(side, "connections")?;
    let request = request_frame(&ApiVersionsRequest::default(), 0, 1, Some("bench"))?.into_bytes();
    let (before, _) = node.resident_mib()?;
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, node.port()))?;
        stream.write_all(&request)?;
        let mut size = [0; 4];
        stream.read_exact(&mut size)?;
        let mut answer = vec![0; usize::try_from(i32::from_be_bytes(size))?];
        stream.read_exact(&mut answer)?;
        open.push(stream);
    }
    let (after, _) = node.resident_mib()?;
    Ok(vec![
        Reading::new("resident with them, MiB", Bar::AtMost(150.0), after),
        Reading::new("more than without, MiB", Bar::None, after - before),
    ])
}

/// From the request that makes them until each has taken a record.
fn make_partitions(node: &Node, count: i32) -> Result<Vec<Reading>> {
    const TOPIC: &str = "many-partitions";
    let mut wire = node.wire()?;
    let before = node.cpu()?;
    let start = Instant::now();
    wire.create_topic(TOPIC, count, &[])?;
    let mut left: Vec<i32> = (0..count).collect();
    while !left.is_empty() {
        left = wire.produce(TOPIC, &left)?;
        if !left.is_empty() {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    let took = start.elapsed();
    let cpu = node.cpu()?.saturating_sub(before);
    wire.delete_topic(TOPIC)?;
    std::thread::sleep(SETTLING);
    Ok(vec![
        Reading::new("made and each written once, s", Bar::AtMost(1.0), took.as_secs_f64()),
        Reading::new("CPU s", Bar::None, cpu.as_secs_f64()),
    ])
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
