//! Figures: medians of runs, as a table for people and as JSON for programs.
//!
//! The median of each column is taken by itself. Beside the rate stands its spread, (greatest -
//! least) / median: above a fifth or so, somebody else was using the machine, and the figure is to
//! be taken with care.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::arguments::Common;
use crate::measure::Run;

const MIB: f64 = 1024.0 * 1024.0;
const GIB: f64 = 1024.0 * MIB;

/// The rows of one table.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Figures {
    rows: Vec<Row>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Row {
    what: String,
    runs: usize,
    /// Of data moved, a second; absent where none is.
    mib_per_s: Option<f64>,
    cpu_s_per_gib: Option<f64>,
    operations_per_s: Option<f64>,
    cpu_us_per_operation: Option<f64>,
    latency_us_p50: Option<f64>,
    latency_us_p99: Option<f64>,
    latency_us_p999: Option<f64>,
    /// (greatest - least) / median of the wall time of a run.
    spread: f64,
}

/// Where the figures come from: without it they mean nothing.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpus: usize,
    cpu_model: String,
    memory_mib: u64,
    kernel: String,
    /// Running and waiting processes at the start, over the last minute; ours not among them.
    load: String,
    optimised: bool,
}

#[derive(Serialize)]
struct Document<'a> {
    subcommand: &'a str,
    machine: &'a Machine,
    #[serde(flatten)]
    figures: &'a Figures,
}

impl Figures {
    pub(crate) fn add(&mut self, what: String, runs: &[Run]) {
        self.rows.push(Row::of(what, runs));
    }

    /// Prints the table, and writes the JSON where that is asked for.
    pub(crate) fn report(&self, subcommand: &str, common: &Common) -> Result<()> {
        let machine = Machine::this();
        println!("{}", machine.describe());
        println!("{}", self.table());
        if let Some(path) = &common.json {
            self.write_json(subcommand, &machine, path)?;
        }
        Ok(())
    }

    fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = format!(
            "{:width$} {:>9} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8} {:>7}",
            "median of runs",
            "MiB/s",
            "CPU s/GiB",
            "ops/s",
            "CPU µs/op",
            "p50 µs",
            "p99 µs",
            "p99.9 µs",
            "spread"
        );
        for row in &self.rows {
            text.push_str(&format!(
                "\n{:width$} {:>9} {:>10} {:>10} {:>10} {:>8} {:>8} {:>8} {:>6.0}%",
                row.what,
                cell(row.mib_per_s, 0),
                cell(row.cpu_s_per_gib, 3),
                cell(row.operations_per_s, 0),
                cell(row.cpu_us_per_operation, 1),
                cell(row.latency_us_p50, 1),
                cell(row.latency_us_p99, 1),
                cell(row.latency_us_p999, 1),
                row.spread * 100.0
            ));
        }
        text
    }

    fn write_json(&self, subcommand: &str, machine: &Machine, path: &Path) -> Result<()> {
        let document = Document { subcommand, machine, figures: self };
        let mut text = serde_json::to_string_pretty(&document)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
    }
}

impl Row {
    fn of(what: String, runs: &[Run]) -> Self {
        let median_of =
            |value: &dyn Fn(&Run) -> Option<f64>| median(runs.iter().filter_map(value).collect());
        let per = |amount: f64, count: f64| (count > 0.0).then(|| amount / count);
        let walls: Vec<f64> = runs.iter().map(|run| run.wall.as_secs_f64()).collect();
        let greatest = walls.iter().copied().fold(0.0, f64::max);
        let least = walls.iter().copied().fold(f64::INFINITY, f64::min);
        Self {
            what,
            runs: runs.len(),
            mib_per_s: median_of(&|run| {
                (run.bytes > 0).then(|| run.bytes as f64 / MIB / run.wall.as_secs_f64())
            }),
            cpu_s_per_gib: median_of(&|run| per(run.cpu.as_secs_f64(), run.bytes as f64 / GIB)),
            operations_per_s: median_of(&|run| {
                (run.operations > 0).then(|| run.operations as f64 / run.wall.as_secs_f64())
            }),
            cpu_us_per_operation: median_of(&|run| {
                per(run.cpu.as_secs_f64() * 1e6, run.operations as f64)
            }),
            latency_us_p50: median_of(&|run| quantile_us(&run.latencies, 0.50)),
            latency_us_p99: median_of(&|run| quantile_us(&run.latencies, 0.99)),
            latency_us_p999: median_of(&|run| quantile_us(&run.latencies, 0.999)),
            spread: median(walls).map_or(0.0, |median| (greatest - least) / median),
        }
    }
}

impl Machine {
    pub(crate) fn this() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.split_once(':').map(|(_, value)| value))
                .map_or_else(|| "unknown".to_owned(), |value| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            cpus: std::thread::available_parallelism().map_or(0, usize::from),
            cpu_model: field(&read("/proc/cpuinfo"), "model name"),
            memory_mib: memory_kib / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            load: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            optimised: !cfg!(debug_assertions),
        }
    }

    pub(crate) fn describe(&self) -> String {
        let Self { cpus, cpu_model, memory_mib, kernel, load, optimised } = self;
        let build = if *optimised { "" } else { "\nDEBUG BUILD: processor times mean nothing" };
        format!("{cpus} × {cpu_model}, {memory_mib} MiB, Linux {kernel}, load {load}{build}")
    }
}

fn cell(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.decimals$}"))
}

pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// The latency that a share `q` of the operations did not exceed.
fn quantile_us(latencies: &[Duration], q: f64) -> Option<f64> {
    let mut sorted = latencies.to_vec();
    sorted.sort();
    let rank = (sorted.len() as f64 * q).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).map(|latency| latency.as_secs_f64() * 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(wall_ms: u64, cpu_ms: u64, bytes: u64, operations: u64) -> Run {
        let wall = Duration::from_millis(wall_ms);
        Run { wall, cpu: Duration::from_millis(cpu_ms), bytes, operations, ..Run::default() }
    }

    #[test]
    fn a_row_holds_the_median_of_each_column() {
        let gib = 1 << 30;
        let runs = [run(1_000, 300, gib, 4), run(2_000, 100, gib, 4), run(4_000, 200, gib, 4)];
        let row = Row::of("x".to_owned(), &runs);
        assert_eq!(row.mib_per_s, Some(512.0));
        assert_eq!(row.cpu_s_per_gib, Some(0.2));
        assert_eq!(row.operations_per_s, Some(2.0));
        assert_eq!(row.cpu_us_per_operation, Some(50_000.0));
        assert_eq!(row.spread, 1.5);
        assert_eq!(row.latency_us_p50, None);
    }

    #[test]
    fn what_was_not_measured_is_a_dash() {
        let mut figures = Figures::default();
        figures.add("round trip".to_owned(), &[run(1_000, 10, 0, 10)]);
        let table = figures.table();
        let row = table.lines().nth(1).unwrap_or_default();
        assert_eq!(
            row.split_whitespace().collect::<Vec<_>>(),
            ["round", "trip", "-", "-", "10", "1000.0", "-", "-", "-", "0%"]
        );
    }

    #[test]
    fn medians_and_quantiles() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0]), Some(2.0));
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        let latencies: Vec<Duration> = (1..=100).rev().map(Duration::from_micros).collect();
        for (q, expected) in [(0.5, 50.0), (0.99, 99.0), (1.0, 100.0), (0.0, 1.0)] {
            let found = quantile_us(&latencies, q).unwrap_or_default();
            assert!((found - expected).abs() < 1e-6, "{q}: {found}");
        }
        assert_eq!(quantile_us(&[], 0.5), None);
    }
}
