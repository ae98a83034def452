//! `afluente produce`: records from files and pipes.

mod csv;
mod source;

use crate::cluster::ClusterArguments;
use crate::kafka::connect::{World, close_at_stop, tell_unknown};
use crate::kafka::producer_perf_test::Throttle;
use crate::terminal::{Progress, bytes, grouped};
use afluente_client::producer::{Header, Producer, ProducerConfig, Record};
use afluente_env::Env;
use anyhow::{Context, anyhow, bail};
use clap::{Args, ValueEnum};
use source::{Input, Made, Maker};
use std::io::{BufReader, IsTerminal, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ProduceArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The topic.
    #[arg(value_name = "TOPIC")]
    topic: String,
    /// Files, one after the other; standard input if there are none, or for -.
    #[arg(value_name = "FILE")]
    files: Vec<String>,
    /// What is in them.
    #[arg(long, value_enum, default_value = "lines", value_name = "FORM")]
    input: Form,
    /// The key: with json a path such as customer.id, with csv a column, else the text itself.
    #[arg(short, long, value_name = "KEY")]
    key: Option<String>,
    /// With json: the path of the value; the whole object if not given.
    #[arg(long, value_name = "PATH")]
    value: Option<String>,
    /// With json or csv: where the time of the record is, in any form that consume --since knows.
    #[arg(long, value_name = "PATH")]
    timestamp: Option<String>,
    /// With lines: what stands between key and value.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// A header of each record; may be repeated.
    #[arg(short = 'H', long, value_name = "KEY=VALUE")]
    header: Vec<String>,
    /// The partition; that of the key if not given.
    #[arg(short, long, value_name = "N")]
    partition: Option<i32>,
    /// Records without a value: tombstones of their keys, for empty lines, fields and null.
    #[arg(long)]
    null: bool,
    /// At most so many records a second.
    #[arg(long, value_name = "RATE")]
    rate: Option<f64>,
    /// Stop after so many records.
    #[arg(short = 'n', long, value_name = "COUNT")]
    max: Option<u64>,
    /// none, gzip, snappy, lz4 or zstd.
    #[arg(short = 'z', long, value_name = "CODEC")]
    compression: Option<String>,
    /// Who must have a record before it counts: 0, 1 or all.
    #[arg(long, value_name = "ACKS")]
    acks: Option<String>,
    /// No figures at the end, and no progress.
    #[arg(short, long)]
    quiet: bool,
}

/// What is in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A record a line.
    Lines,
    /// A JSON value a line.
    Json,
    /// Comma-separated values under a line of names; each row becomes a JSON object.
    Csv,
    /// What `afluente consume --output json` writes.
    Records,
    /// A file is one record.
    Whole,
}

const AFTER_HELP: &str = "\
Examples:
  afluente produce orders orders.json --input json --key customer.id
  afluente produce prices prices.csv --input csv --key product --rate 100
  seq 1 1000 | afluente produce numbers
  afluente consume orders -e --output json | afluente produce orders-copy --input records

Exit codes: 0 every record is acknowledged, 1 failed, 2 not understood.";

/// How long what is not acknowledged may take when the input ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(120);

pub(crate) fn run(arguments: ProduceArguments) -> anyhow::Result<()> {
    let world = World::start()?;
    let mut properties = arguments.cluster.properties(&[
        ("client.id", "afluente-produce"),
        ("linger.ms", "20"),
        ("compression.type", "lz4"),
    ])?;
    let mut set = |key: &str, value: &Option<String>| {
        properties.extend(value.iter().map(|value| (key.to_owned(), value.clone())));
    };
    set("compression.type", &arguments.compression);
    set("acks", &arguments.acks);
    let config = ProducerConfig::from_properties(properties)?;
    tell_unknown(config.unknown());
    let headers = arguments.header.iter().map(|text| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(anyhow!("--header {text:?} is not KEY=VALUE")),
    });
    let headers = headers.collect::<anyhow::Result<Vec<_>>>()?;
    if arguments.rate.is_some_and(|rate| rate <= 0.0 || !rate.is_finite()) {
        bail!("--rate has to be above 0");
    }
    let maker = Maker::new(&arguments)?;
    let env = world.env.clone();
    let producer = Arc::new(Producer::new(env.clone(), config)?);
    close_at_stop(&world, &producer);
    let mut job = Job {
        env: env.clone(),
        producer: Arc::clone(&producer),
        topic: arguments.topic.clone().into(),
        headers: headers.into(),
        partition: arguments.partition,
        rate: arguments.rate,
        max: arguments.max.unwrap_or(u64::MAX),
        counts: Arc::default(),
        sent: 0,
        sent_bytes: 0,
        read_bytes: 0,
        progress: Progress::new(if arguments.quiet { None } else { total_bytes(&arguments.files) }),
        is_quiet: arguments.quiet,
        began: env.clock.now(),
    };
    let outcome = job.feed(&world, &arguments, &maker);
    job.progress.clear();
    let closed = world.cores.block_on({
        let producer = Arc::clone(&producer);
        async move {
            producer.flush().await;
            producer.close(CLOSE_TIMEOUT).await
        }
    });
    job.tell();
    outcome?;
    closed?;
    job.counts.outcome()
}

/// How large files are together; `None` if one of them is none.
#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn total_bytes(files: &[String]) -> Option<u64> {
    if files.is_empty() {
        return None;
    }
    files.iter().try_fold(0, |total, path| {
        let metadata = std::fs::metadata(path).ok()?;
        metadata.is_file().then_some(total + metadata.len())
    })
}

/// What became of records.
#[derive(Default)]
struct Counts {
    acked: AtomicU64,
    failed: AtomicU64,
    first_error: Mutex<Option<String>>,
}

impl Counts {
    fn outcome(&self) -> anyhow::Result<()> {
        match self.failed.load(Ordering::SeqCst) {
            0 => Ok(()),
            count => {
                let first = self.first_error.lock().unwrap_or_else(PoisonError::into_inner).take();
                bail!("{count} records were not written; the first: {}", first.unwrap_or_default())
            }
        }
    }

    fn has_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst) > 0
    }
}

struct Job {
    env: Env,
    producer: Arc<Producer>,
    topic: Arc<str>,
    headers: Arc<[(String, String)]>,
    partition: Option<i32>,
    rate: Option<f64>,
    max: u64,
    counts: Arc<Counts>,
    sent: u64,
    sent_bytes: u64,
    /// Of the input.
    read_bytes: u64,
    progress: Progress,
    is_quiet: bool,
    began: afluente_env::clock::Moment,
}

/// How many records are handed over to the producer at a time, at most.
const RECORDS_AT_ONCE: usize = 1000;

impl Job {
    fn feed(
        &mut self,
        world: &World,
        arguments: &ProduceArguments,
        maker: &Maker,
    ) -> anyhow::Result<()> {
        let standard = ["-".to_owned()];
        let files = if arguments.files.is_empty() { &standard[..] } else { &arguments.files };
        for path in files {
            let reader = BufReader::with_capacity(1 << 16, open(path)?);
            let is_slow = path == "-" && std::io::stdin().is_terminal();
            let mut input = Input::new(reader, arguments.input, is_slow);
            let at = |input: &Input| format!("{path}, {}", input.place());
            loop {
                let mut batch = Vec::new();
                let mut is_end = false;
                // A record that is typed must not wait for others.
                let most = if input.is_slow() { 1 } else { RECORDS_AT_ONCE };
                while batch.len() < most {
                    let Some(item) = input.next().with_context(|| at(&input))? else {
                        is_end = true;
                        break;
                    };
                    batch.push(maker.make(item).with_context(|| at(&input))?);
                    let in_hand = self.sent + batch.len() as u64;
                    if in_hand >= self.max || (input.has_nothing_buffered() && self.rate.is_none())
                    {
                        break;
                    }
                }
                self.read_bytes += input.take_count();
                if !batch.is_empty() {
                    self.send(world, batch)?;
                }
                if self.counts.has_failed() || self.sent >= self.max {
                    return Ok(());
                }
                if is_end {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Hands records over to the producer, no faster than the rate.
    fn send(&mut self, world: &World, batch: Vec<Made>) -> anyhow::Result<()> {
        let elapsed = self.env.clock.now().saturating_since(self.began);
        if !self.is_quiet {
            let text = self.figures(elapsed);
            self.progress.tell(self.read_bytes, elapsed, &text);
        }
        self.sent_bytes += batch.iter().map(Made::size).sum::<u64>();
        let (producer, env) = (Arc::clone(&self.producer), self.env.clone());
        let (topic, headers) = (Arc::clone(&self.topic), Arc::clone(&self.headers));
        let partition = self.partition;
        let throttle = Throttle::new(self.rate.unwrap_or(-1.0), Duration::ZERO);
        let (counts, sent, began) = (Arc::clone(&self.counts), self.sent, self.began);
        self.sent += batch.len() as u64;
        world.cores.block_on(async move {
            for (n, made) in (sent..).zip(batch) {
                let elapsed = env.clock.now().saturating_since(began);
                if let Some(wait) = throttle.wait(n, elapsed) {
                    env.clock.sleep(wait).await;
                }
                send_one(&producer, &topic, &headers, partition, &made, &counts).await?;
            }
            Ok(())
        })
    }

    fn figures(&self, elapsed: Duration) -> String {
        let seconds = elapsed.as_secs_f64().max(0.001);
        format!(
            "{} records, {}, {} records/s",
            grouped(self.sent),
            bytes(self.sent_bytes as f64),
            grouped((self.sent as f64 / seconds) as u64)
        )
    }

    /// The figures at the end, on standard error.
    fn tell(&self) {
        if !self.is_quiet {
            let elapsed = self.env.clock.now().saturating_since(self.began);
            let acked = self.counts.acked.load(Ordering::SeqCst);
            crate::kafka::out::complain(&format!(
                "{}; {} acknowledged in {:.1} s",
                self.figures(elapsed),
                grouped(acked),
                elapsed.as_secs_f64()
            ));
        }
    }
}

#[allow(clippy::disallowed_types, reason = "the command line names files of the user")]
fn open(path: &str) -> anyhow::Result<Box<dyn Read>> {
    if path == "-" {
        return Ok(Box::new(std::io::stdin()));
    }
    let file = std::fs::File::open(path).with_context(|| format!("could not open {path}"))?;
    Ok(Box::new(file))
}

async fn send_one(
    producer: &Producer,
    topic: &str,
    headers: &[(String, String)],
    partition: Option<i32>,
    made: &Made,
    counts: &Arc<Counts>,
) -> anyhow::Result<()> {
    let of_all = headers
        .iter()
        .map(|(key, value)| Header { key: key.as_bytes(), value: Some(value.as_bytes()) });
    let of_record = made.headers.iter().map(|(key, value)| Header {
        key: key.as_bytes(),
        value: value.as_deref().map(str::as_bytes),
    });
    let headers: Vec<Header<'_>> = of_record.chain(of_all).collect();
    let record = Record {
        topic,
        partition: partition.or(made.partition),
        key: made.key.as_deref(),
        value: made.value.as_deref(),
        headers: &headers,
        timestamp: made.timestamp,
    };
    let counts = Arc::clone(counts);
    let told = move |result: Result<_, afluente_client::Error>| match result {
        Ok(_) => {
            counts.acked.fetch_add(1, Ordering::SeqCst);
        }
        Err(error) => {
            let mut first = counts.first_error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| error.to_string());
            counts.failed.fetch_add(1, Ordering::SeqCst);
        }
    };
    Ok(producer.send_then(record, told).await?)
}
