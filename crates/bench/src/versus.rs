//! `afluente-bench versus`: ours beside Apache Kafka, on one machine in one run.
//!
//! Both brokers get the same requests from the same client, in turns; each figure is the median of
//! the rounds, taken for each side by itself. Beside it stands what we ask of ourselves ([`Bar`]).
//! Processor time is the broker's own, in user and kernel mode, until half a second after the load.
//!
//! The client of throughput and latency is librdkafka (`crates/bench/peers/`, compiled by `cc`).
//! What has to be measured from the very first moment of a broker speaks the protocol by itself
//! ([`wire`]). Apache Kafka runs with the flags and settings of its distribution ([`node`]).

mod flow;
mod latency;
mod life;
mod node;
mod peer;
mod wire;

use std::path::PathBuf;

use afluente_harness::java::{Jars, Java};
use anyhow::{Context as _, Result, bail};

use crate::arguments::{Arguments, Common};
use crate::figures::{Machine, median};
use crate::measure::show_progress;
use node::{Node, Program};
use peer::Peer;

pub(crate) const OPTIONS: &str = "\
--binary FILE     the program `afluente` (beside this one)
--dir DIR         where the data goes (the current directory)
--size-mib N      how much a run produces and consumes; of 100-byte records a third (512)
--log-mib N       how much lies there at a kill -9 (2048)
--connections N   idle connections (10000)
--partitions N    of the topic that is made and written at once (1000)";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Ours,
    Kafka,
}

/// What a figure of ours is to be.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bar {
    /// At most this.
    AtMost(f64),
    /// At most this share of Kafka's.
    Share(f64),
    /// Not below Kafka's.
    NotBelow,
    /// Told, and not judged.
    None,
}

/// One thing that a run found.
struct Reading {
    what: &'static str,
    bar: Bar,
    value: f64,
}

impl Reading {
    fn new(what: &'static str, bar: Bar, value: f64) -> Self {
        Self { what, bar, value }
    }
}

/// Something to measure on both sides.
struct Case {
    name: String,
    /// Whether it uses brokers that run through all rounds, or starts its own.
    is_shared: bool,
    run: Box<Run>,
}

/// One run of one side; the broker is there for shared cases.
type Run = dyn FnMut(&Setup, Side, Option<&mut Node>) -> Result<Vec<Reading>>;

/// What all cases need.
struct Setup {
    afluente: Program,
    kafka: Program,
    peer: Peer,
    dir: PathBuf,
}

/// Rounds of one figure.
struct Row {
    what: String,
    bar: Bar,
    ours: Vec<f64>,
    kafka: Vec<f64>,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let beside = std::env::current_exe()?.with_file_name("afluente");
    let binary: PathBuf = arguments.take("--binary")?.unwrap_or(beside);
    let dir: PathBuf = arguments.take("--dir")?.unwrap_or_else(|| PathBuf::from("."));
    let size_bytes = arguments.take("--size-mib")?.unwrap_or(512_u64) << 20;
    let log_bytes = arguments.take("--log-mib")?.unwrap_or(2048_u64) << 20;
    let connections = arguments.take("--connections")?.unwrap_or(10_000);
    let partitions = arguments.take("--partitions")?.unwrap_or(1_000);
    let common = arguments.finish()?;
    if !binary.is_file() {
        bail!("there is no {}; cargo build --release -p afluente-cli makes it", binary.display());
    }
    let mut cases = flow::cases(size_bytes);
    cases.extend(latency::cases());
    cases.extend(life::cases(log_bytes, connections, partitions));
    let only = common.only.as_deref().unwrap_or_default();
    let names: Vec<String> = cases.iter().map(|case| case.name.clone()).collect();
    cases.retain(|case| case.name.contains(only));
    if cases.is_empty() {
        bail!("nothing has \"{only}\" in its name; there are:\n{}", names.join("\n"));
    }
    let work = tempfile::Builder::new().prefix("versus-").tempdir_in(dir)?;
    let java = Java::find(Jars::Kafka).context("Apache Kafka cannot be run")?;
    let setup = Setup {
        afluente: Program::Afluente(binary.canonicalize()?),
        kafka: Program::Kafka(java.libs().to_owned()),
        peer: Peer::compile(work.path())?,
        dir: work.path().canonicalize()?,
    };
    let (shared, own): (Vec<Case>, Vec<Case>) = cases.into_iter().partition(|case| case.is_shared);
    let mut rows = in_rounds(&setup, own, &common, Vec::new())?;
    if !shared.is_empty() {
        let nodes =
            vec![setup.start(Side::Ours, "shared")?.0, setup.start(Side::Kafka, "shared")?.0];
        rows.extend(in_rounds(&setup, shared, &common, nodes)?);
    }
    println!("{}", Machine::this().describe());
    println!("librdkafka {}, {} rounds\n", setup.peer.version(), common.runs);
    println!("{}", table(&rows));
    Ok(())
}

impl Setup {
    /// Starts a broker on an empty directory; gives how long it took to answer Metadata, too.
    fn start(&self, side: Side, name: &str) -> Result<(Node, std::time::Duration)> {
        let (program, of) = match side {
            Side::Ours => (&self.afluente, "ours"),
            Side::Kafka => (&self.kafka, "kafka"),
        };
        let data = self.dir.join(format!("{name}-{of}"));
        let mut node = Node::new(program.clone(), data)?;
        let took = node.start()?;
        Ok((node, took))
    }
}

/// Cases in turns, sides in turns, and who comes first changes from round to round. Brokers that run
/// through all rounds are given one more before, which is not counted: a JVM has to warm up.
fn in_rounds(
    setup: &Setup,
    mut cases: Vec<Case>,
    common: &Common,
    mut nodes: Vec<Node>,
) -> Result<Vec<Row>> {
    let mut rows: Vec<Vec<Row>> = cases.iter().map(|_| Vec::new()).collect();
    let first = if nodes.is_empty() { 1 } else { 0 };
    for round in first..=common.runs {
        for (case, rows) in cases.iter_mut().zip(&mut rows) {
            for turn in 0..2 {
                let index = (round + turn) % 2;
                let side = [Side::Ours, Side::Kafka][index];
                show_progress(&format!(
                    "round {round} of {}: {}, {side:?}",
                    common.runs, case.name
                ));
                let readings = (case.run)(setup, side, nodes.get_mut(index))
                    .with_context(|| format!("could not measure {}, {side:?}", case.name))?;
                if round > 0 {
                    note(rows, &case.name, side, readings);
                }
            }
        }
    }
    show_progress("");
    Ok(rows.into_iter().flatten().collect())
}

fn note(rows: &mut Vec<Row>, case: &str, side: Side, readings: Vec<Reading>) {
    for Reading { what, bar, value } in readings {
        let name = format!("{case}: {what}");
        let at = rows.iter().position(|row| row.what == name).unwrap_or_else(|| {
            rows.push(Row { what: name, bar, ours: Vec::new(), kafka: Vec::new() });
            rows.len() - 1
        });
        match side {
            Side::Ours => rows[at].ours.push(value),
            Side::Kafka => rows[at].kafka.push(value),
        }
    }
}

/// A table of Markdown: the medians, the bar, and what became of it.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| what | ours (least–greatest) | Kafka (least–greatest) | ours / Kafka | bar | |\n\
         |---|---|---|---|---|---|",
    );
    for row in rows {
        let ours = median(row.ours.clone());
        let kafka = median(row.kafka.clone());
        let ratio = ours.zip(kafka).map(|(ours, kafka)| ours / kafka);
        let (bar, ratio_to_bar) = row.bar.judge(ours, kafka);
        let verdict = match ratio_to_bar {
            None => String::new(),
            Some(by) if by <= 1.0 => "met".to_owned(),
            Some(by) => format!("missed, ×{by:.2}"),
        };
        text.push_str(&format!(
            "\n| {} | {} | {} | {} | {bar} | {verdict} |",
            row.what,
            spread(&row.ours),
            spread(&row.kafka),
            ratio.map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
        ));
    }
    text
}

impl Bar {
    /// The bar in words, and how far beyond it the figure is: at most 1 is good.
    fn judge(self, ours: Option<f64>, kafka: Option<f64>) -> (String, Option<f64>) {
        match self {
            Self::AtMost(most) => (format!("≤ {}", number(most)), ours.map(|ours| ours / most)),
            Self::Share(share) => (
                format!("≤ {share:.2} × Kafka"),
                ours.zip(kafka).map(|(ours, kafka)| ours / (kafka * share)),
            ),
            Self::NotBelow => {
                ("≥ Kafka".to_owned(), ours.zip(kafka).map(|(ours, kafka)| kafka / ours))
            }
            Self::None => (String::new(), None),
        }
    }
}

fn spread(values: &[f64]) -> String {
    let Some(median) = median(values.to_vec()) else { return "–".to_owned() };
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let greatest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    format!("**{}** ({}–{})", number(median), number(least), number(greatest))
}

/// Three digits or so.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_says_by_how_much_it_is_missed() {
        let judge = |bar: Bar, ours, kafka| bar.judge(Some(ours), Some(kafka)).1;
        assert_eq!(judge(Bar::AtMost(50.0), 100.0, 1.0), Some(2.0));
        assert_eq!(judge(Bar::Share(0.5), 1.0, 2.0), Some(1.0));
        assert_eq!(judge(Bar::NotBelow, 50.0, 100.0), Some(2.0));
        assert_eq!(judge(Bar::None, 50.0, 100.0), None);
        assert_eq!(Bar::Share(0.5).judge(Some(1.0), None).1, None);
    }

    #[test]
    fn a_row_holds_both_sides_and_the_verdict() {
        let mut rows = Vec::new();
        let reading = |value| vec![Reading::new("cost", Bar::Share(0.5), value)];
        for (side, value) in [(Side::Ours, 3.0), (Side::Kafka, 4.0), (Side::Ours, 3.0)] {
            note(&mut rows, "produce", side, reading(value));
        }
        let table = table(&rows);
        let row = table.lines().nth(2).unwrap_or_default();
        assert_eq!(
            row,
            "| produce: cost | **3.00** (3.00–3.00) | **4.00** (4.00–4.00) | 0.75 | ≤ 0.50 × Kafka \
             | missed, ×1.50 |"
        );
    }
}
