//! Throughput and its cost: records are produced, and then consumed from the beginning.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::node::Node;
use super::peer::Load;
use super::{Bar, Case, Reading, Setup, Side};

pub(super) const PARTITIONS: i32 = 6;
/// What is done behind an answer counts too, for so long.
const AFTERWARDS: Duration = Duration::from_millis(500);
/// Until files of a deleted topic are gone: the delay that both are set to, and a little.
const DELETION: Duration = Duration::from_millis(1_500);
const GIB: f64 = (1_u64 << 30) as f64;
const MIB: f64 = (1_u64 << 20) as f64;

/// What an acknowledgement means, alike on both sides.
#[derive(Clone, Copy)]
pub(super) enum Promise {
    /// It outlives the process: Apache Kafka's default.
    Process,
    /// It outlives the machine: our default.
    Machine,
}

impl Promise {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Process => "replicated",
            Self::Machine => "sync",
        }
    }

    pub(super) fn topic_configs(self, side: Side) -> &'static [(&'static str, &'static str)] {
        match (self, side) {
            (Self::Process, Side::Kafka) => &[],
            (Self::Process, Side::Ours) => &[("durability", "replicated")],
            (Self::Machine, Side::Kafka) => &[("flush.messages", "1")],
            (Self::Machine, Side::Ours) => &[("durability", "sync")],
        }
    }
}

pub(super) fn cases(size_bytes: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    for (record_bytes, size_bytes, share) in
        [(100, size_bytes / 3, 0.5), (1024, size_bytes, 1.0 / 3.0), (10_240, size_bytes, 1.0 / 3.0)]
    {
        for promise in [Promise::Process, Promise::Machine] {
            cases.push(Case {
                name: format!("flow of {record_bytes} B, {}", promise.name()),
                is_shared: true,
                run: Box::new(move |setup, side, node| {
                    let node = node.context("a broker runs")?;
                    flow(setup, side, node, promise, record_bytes, size_bytes, share)
                }),
            });
        }
    }
    cases
}

fn flow(
    setup: &Setup,
    side: Side,
    node: &Node,
    promise: Promise,
    record_bytes: u64,
    size_bytes: u64,
    share: f64,
) -> Result<Vec<Reading>> {
    const TOPIC: &str = "flow";
    warm_memory(setup, size_bytes / 2 * 3)?;
    let count = size_bytes / record_bytes;
    let bytes = (count * record_bytes) as f64;
    let mut wire = node.wire()?;
    wire.create_topic(TOPIC, PARTITIONS, promise.topic_configs(side))?;
    let (produced, produce_cpu) =
        with_cpu(node, || setup.peer.produce(node, TOPIC, record_bytes, count))?;
    let (consumed, consume_cpu) =
        with_cpu(node, || setup.peer.consume(node, TOPIC, PARTITIONS, count))?;
    wire.delete_topic(TOPIC)?;
    std::thread::sleep(DELETION);
    let per_gib = |cpu: Duration| cpu.as_secs_f64() / (bytes / GIB);
    let rate = |load: &Load| bytes / MIB / load.wall.as_secs_f64();
    Ok(vec![
        Reading::new("produce, CPU s/GiB", Bar::Share(share), per_gib(produce_cpu)),
        Reading::new("produce, MiB/s", Bar::NotBelow, rate(&produced)),
        Reading::new("produce, client's CPU s/GiB", Bar::None, per_gib(produced.client_cpu)),
        Reading::new("consume, CPU s/GiB", Bar::Share(0.5), per_gib(consume_cpu)),
        Reading::new("consume, MiB/s", Bar::NotBelow, rate(&consumed)),
        Reading::new("consume, client's CPU s/GiB", Bar::None, per_gib(consumed.client_cpu)),
        Reading::new("resident at most so far, MiB", Bar::None, node.resident_mib()?.1),
    ])
}

/// What a load costs the broker.
fn with_cpu(node: &Node, load: impl FnOnce() -> Result<Load>) -> Result<(Load, Duration)> {
    let before = node.cpu()?;
    let load = load()?;
    std::thread::sleep(AFTERWARDS);
    Ok((load, node.cpu()?.saturating_sub(before)))
}

/// Makes free memory of this machine quick to take, so much of it.
///
/// On a virtual machine, memory that has been free for some seconds is given back to the host, and
/// has to be asked for again, at ten times the cost of what the kernel does otherwise. That would
/// fall on the broker that uses the page cache. So the page cache takes it first, for a file that
/// has nothing on the disk, and frees it again.
fn warm_memory(setup: &Setup, bytes: u64) -> Result<()> {
    const PIECE: usize = 4 << 20;
    let path = setup.dir.join("nothing");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&path)?;
    file.set_len(bytes)?;
    let mut piece = vec![0; PIECE];
    let mut at = 0;
    while at < bytes {
        at += file.read_at(&mut piece, at)? as u64;
    }
    std::fs::remove_file(&path)?;
    Ok(())
}
