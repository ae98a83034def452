//! How long single records take, and what they cost.

use anyhow::{Context as _, Result};

use super::flow::{PARTITIONS, Promise};
use super::node::Node;
use super::{Bar, Case, Reading, Setup, Side};

const TOPIC: &str = "latency";
const REQUESTS: u64 = 3_000;
const SECONDS: u64 = 3;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for promise in [Promise::Process, Promise::Machine] {
        let name = format!("one request of 1 KiB at a time, {}", promise.name());
        cases.push(on_a_topic(name, promise, 1, move |setup, node| {
            let done = setup.peer.requests(node, TOPIC, 1024, REQUESTS)?;
            let cpu_us_max = match promise {
                Promise::Process => 20.0,
                Promise::Machine => 100.0,
            };
            let cpu_us = done.broker_cpu.as_secs_f64() * 1e6 / REQUESTS as f64;
            Ok(vec![
                Reading::new("CPU µs", Bar::AtMost(cpu_us_max), cpu_us),
                Reading::new("p50 µs", Bar::Share(1.0), done.quantile_us(0.5)),
                Reading::new("p99 µs", Bar::None, done.quantile_us(0.99)),
                Reading::new("a second", Bar::None, REQUESTS as f64 / done.wall.as_secs_f64()),
            ])
        }));
    }
    for (rate, share) in [(1_000, 1.0), (10_000, 0.5)] {
        for promise in [Promise::Process, Promise::Machine] {
            let name = format!("end to end, {rate} a second, {}", promise.name());
            cases.push(on_a_topic(name, promise, PARTITIONS, move |setup, node| {
                let done = setup.peer.end_to_end(node, TOPIC, PARTITIONS, rate, SECONDS)?;
                let percent = 100.0 * done.broker_cpu.as_secs_f64() / done.wall.as_secs_f64();
                Ok(vec![
                    Reading::new("p50 µs", Bar::Share(share), done.quantile_us(0.5)),
                    Reading::new("p99 µs", Bar::Share(share), done.quantile_us(0.99)),
                    Reading::new("p99.9 µs", Bar::Share(share), done.quantile_us(0.999)),
                    Reading::new("% of a core", Bar::None, percent),
                ])
            }));
        }
    }
    cases
}

fn on_a_topic(
    name: String,
    promise: Promise,
    partitions: i32,
    mut run: impl FnMut(&Setup, &Node) -> Result<Vec<Reading>> + 'static,
) -> Case {
    let run = move |setup: &Setup, side: Side, node: Option<&mut Node>| {
        let node = node.context("a broker runs")?;
        let mut wire = node.wire()?;
        wire.create_topic(TOPIC, partitions, promise.topic_configs(side))?;
        let readings = run(setup, node)?;
        wire.delete_topic(TOPIC)?;
        Ok(readings)
    };
    Case { name, is_shared: true, run: Box::new(run) }
}
