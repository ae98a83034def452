//! `kafka-producer-perf-test`: how fast records are taken and acknowledged.
//!
//! `--print-metrics` prints the figures of our producer, which has others than Kafka's.

mod stats;

use super::connect::{World, properties_file, tell_unknown};
use super::options::{Options, Spec, flag, value};
use super::out::{Out, complain};
use super::{Failure, Run, Tool};
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_env::Env;
use afluente_env::clock::Moment;
use anyhow::{Context, anyhow, ensure};
use stats::Stats;
pub(crate) use stats::Throttle;
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "producer-perf-test",
    about: "Measure how fast records are taken and acknowledged.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic. Required."),
    value("num-records", "COUNT", "How many records. Required."),
    value("throughput", "RATE", "About how many records a second; -1 for as many as go. Required."),
    value("record-size", "BYTES", "Records of so many capital letters, drawn by chance."),
    value("payload-file", "FILE", "A file with payloads, of which each record gets one by chance."),
    value("payload-delimiter", "TEXT", "What separates payloads in the file; \\n if not given."),
    flag("payload-monotonic", "Payloads that count up from 0."),
    value("command-property", "KEY=VALUE …", "Properties of the producer."),
    value("producer-props", "KEY=VALUE …", "As --command-property."),
    value("producer.config", "FILE", "As --command-config."),
    flag("print-metrics", "Print the figures of the producer at the end."),
    value("transactional-id", "ID", "Send in transactions under this name."),
    value("transaction-duration-ms", "MS", "How long a transaction is; 3000 if not given."),
    value("warmup-records", "COUNT", "So many records do not count in a second summary."),
    value("reporting-interval", "MS", "How often to print a line; 5000 if not given."),
];

/// How long records that are left may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(600);

/// What the command line asks for.
struct Test {
    topic: String,
    record_count: u64,
    warmup_count: u64,
    rate: f64,
    interval: Duration,
    /// How long a transaction is, if there are any.
    transaction: Option<Duration>,
    prints_metrics: bool,
}

/// What records hold.
enum Payload {
    Letters(Vec<u8>),
    OneOf(Vec<Vec<u8>>),
    Counting,
}

fn run(world: &World, options: Options, mut out: Out) -> Result<Out, Failure> {
    let config = ProducerConfig::from_properties(properties(&world.env, &options)?)?;
    tell_unknown(config.unknown());
    let required = |name: &str| Failure::Usage(format!("Missing required argument \"[{name}]\""));
    let transaction_ms = options.number::<u64>("transaction-duration-ms")?;
    let test = Test {
        topic: options.require("topic")?.to_owned(),
        record_count: options.number("num-records")?.ok_or_else(|| required("num-records"))?,
        warmup_count: options.number("warmup-records")?.unwrap_or(0),
        rate: options.number("throughput")?.ok_or_else(|| required("throughput"))?,
        interval: Duration::from_millis(options.number("reporting-interval")?.unwrap_or(5000)),
        transaction: config
            .transactional_id
            .is_some()
            .then(|| Duration::from_millis(transaction_ms.unwrap_or(3000))),
        prints_metrics: options.has("print-metrics"),
    };
    if options.has("producer-props") {
        out.line(
            "Option --producer-props has been deprecated and will be removed in a future version. Use \
             --command-property instead.",
        )?;
    }
    let payload = payload(&options, &mut out)?;
    check(&test, transaction_ms)?;
    if test.warmup_count > 0 {
        out.line(format!(
            "Warmup first {} records. Steady state results will print after the complete test summary.",
            test.warmup_count
        ))?;
        out.flush()?;
    }
    let env = world.env.clone();
    let lines = world.cores.block_on(async move {
        let producer = Producer::new(env.clone(), config)?;
        measure(&env, &producer, &test, payload).await
    })?;
    for line in lines {
        out.line(line)?;
    }
    Ok(out)
}

fn check(test: &Test, transaction_ms: Option<u64>) -> anyhow::Result<()> {
    ensure!(test.record_count > 0, "--num-records should be greater than zero");
    ensure!(
        test.warmup_count < test.record_count,
        "The value for --warmup-records must be strictly fewer than the number of records in the test, --num-records."
    );
    ensure!(transaction_ms != Some(0), "--transaction-duration-ms should be greater than zero");
    Ok(())
}

/// The properties of the producer. Words without a dash belong to the list before them.
fn properties(env: &Env, options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut properties = vec![("client.id".to_owned(), "perf-producer-client".to_owned())];
    for name in ["producer.config", "command-config"] {
        if let Some(path) = options.get(name) {
            properties.extend(properties_file(name, path)?);
        }
    }
    let lists = ["producer-props", "command-property"].map(|name| options.all(name)).concat();
    for word in lists.into_iter().chain(options.words.iter().map(String::as_str)) {
        let Some((key, value)) = word.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::Usage(format!("{word} is not KEY=VALUE")));
        };
        properties.push((key.to_owned(), value.to_owned()));
    }
    if let Some(servers) = options.get("bootstrap-server") {
        properties.push(("bootstrap.servers".to_owned(), servers.to_owned()));
    }
    let has_id = properties.iter().any(|(key, _)| key == "transactional.id");
    match options.get("transactional-id") {
        Some(id) => properties.push(("transactional.id".to_owned(), id.to_owned())),
        None if !has_id && options.has("transaction-duration-ms") => {
            let random: String = env.rng.uuid().iter().map(|byte| format!("{byte:02x}")).collect();
            properties.push(("transactional.id".into(), format!("performance-producer-{random}")));
        }
        None => {}
    }
    Ok(properties)
}

#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn payload(options: &Options, out: &mut Out) -> Result<Payload, Failure> {
    const KINDS: &[&str] = &["record-size", "payload-file", "payload-monotonic"];
    match options.one_of(KINDS)? {
        "record-size" => match options.number("record-size")? {
            Some(size @ 1..) => Ok(Payload::Letters(vec![0; size])),
            _ => Err(anyhow!("--record-size should be greater than zero.").into()),
        },
        "payload-file" => {
            let path = options.require("payload-file")?;
            out.line(format!("Reading payloads from: {path}"))?;
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("could not read the file {path:?} of --payload-file"))?;
            let delimiter = options.get("payload-delimiter").unwrap_or("\\n").replace("\\n", "\n");
            if text.is_empty() || delimiter.is_empty() {
                return Err(anyhow!("File does not exist or empty file provided.").into());
            }
            let payloads = text.trim_end_matches(&delimiter).split(&delimiter);
            let payloads: Vec<Vec<u8>> =
                payloads.map(|payload| payload.as_bytes().to_vec()).collect();
            out.line(format!("Number of records read: {}", payloads.len()))?;
            out.flush()?;
            Ok(Payload::OneOf(payloads))
        }
        _ => Ok(Payload::Counting),
    }
}

/// What callbacks write into.
struct Tables {
    all: Stats,
    /// After the warm-up.
    steady: Option<Stats>,
}

/// Sends, prints lines meanwhile, and gives the last ones.
async fn measure(
    env: &Env,
    producer: &Producer,
    test: &Test,
    mut payload: Payload,
) -> anyhow::Result<Vec<String>> {
    let origin = env.clock.now();
    let elapsed = || env.clock.now().saturating_since(origin);
    let tables = Arc::new(Mutex::new(Tables {
        all: Stats::new(test.record_count, Duration::ZERO, test.interval, ""),
        steady: None,
    }));
    if test.transaction.is_some() {
        producer.init_transactions().await?;
    }
    let throttle = Throttle::new(test.rate, elapsed());
    let mut began: Option<Moment> = None;
    let mut counted = String::new();
    for n in 0..test.record_count {
        if test.transaction.is_some() && began.is_none() {
            producer.begin_transaction()?;
            began = Some(env.clock.now());
        }
        let is_steady = test.warmup_count > 0 && n >= test.warmup_count;
        if is_steady && n == test.warmup_count {
            let rest = test.record_count - test.warmup_count;
            let steady = Stats::new(rest, elapsed(), test.interval, " steady state");
            tables.lock().unwrap_or_else(PoisonError::into_inner).steady = Some(steady);
        }
        let value: &[u8] = match &mut payload {
            Payload::Letters(letters) => {
                draw_letters(env, letters);
                letters
            }
            Payload::OneOf(payloads) => &payloads[env.rng.index(payloads.len())],
            Payload::Counting => {
                counted.clear();
                counted.push_str(&n.to_string());
                counted.as_bytes()
            }
        };
        let (clock, tables, bytes) = (env.clock.clone(), Arc::clone(&tables), value.len() as u64);
        let sent_at = clock.now();
        let callback = move |result: Result<_, afluente_client::Error>| match result {
            Ok(_) => {
                let now = clock.now();
                let (latency, now) = (now.saturating_since(sent_at), now.saturating_since(origin));
                acknowledged(&tables, latency, bytes, now, is_steady);
            }
            Err(error) => complain(&error.to_string()),
        };
        producer.send_then(Record::to(&test.topic).value(value), callback).await?;
        if let (Some(length), Some(at)) = (test.transaction, began)
            && env.clock.now().saturating_since(at) >= length
        {
            producer.commit_transaction().await?;
            began = None;
        }
        if let Some(wait) = throttle.wait(n + 1, elapsed()) {
            env.clock.sleep(wait).await;
        }
    }
    if began.is_some() {
        producer.commit_transaction().await?;
    }
    producer.close(CLOSE_TIMEOUT).await?;
    let now = elapsed();
    let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    let mut lines = vec![tables.all.summary(now)];
    lines.extend(tables.steady.as_mut().map(|steady| steady.summary(now)));
    if test.prints_metrics {
        lines.push(format!("\n{:#?}", producer.metrics()));
    }
    Ok(lines)
}

/// Counts an acknowledgement, and prints a line where one is due.
fn acknowledged(
    tables: &Mutex<Tables>,
    latency: Duration,
    bytes: u64,
    now: Duration,
    is_steady: bool,
) {
    let mut tables = tables.lock().unwrap_or_else(PoisonError::into_inner);
    let line = tables.all.record(latency, bytes, now);
    let line = match &mut tables.steady {
        // From here on the lines are of the steady state alone.
        Some(steady) if is_steady => steady.record(latency, bytes, now),
        Some(_) => None,
        None => line,
    };
    drop(tables);
    if let Some(line) = line {
        println_now(&line);
    }
}

fn println_now(line: &str) {
    // Nobody is left to tell when standard output is gone.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Kafka draws each letter by itself; here several come of one draw, which costs less than sending.
fn draw_letters(env: &Env, letters: &mut [u8]) {
    for chunk in letters.chunks_mut(8) {
        let mut drawn = env.rng.u64();
        for letter in chunk {
            *letter = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ"[(drawn % 26) as usize];
            drawn /= 26;
        }
    }
}
