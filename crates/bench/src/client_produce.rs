//! `afluente-bench client-produce`: what it costs a client to produce, beside librdkafka.
//!
//! Both send the same records to the same broker with the same limits of batches, and both look at
//! the acknowledgement of each record. Processor time is that of the client's process alone. The
//! peer is `crates/bench/peers/produce.c`, compiled by `cc` with the installed librdkafka; without
//! it, its rows are left out, which is said.

use std::collections::VecDeque;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use afluente_client::producer::{Delivery, Producer, ProducerConfig, Record};
use afluente_env::Env;
use anyhow::{Result, ensure};
use tokio::runtime::Runtime;

use crate::arguments::Arguments;
use crate::client_peer;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--bootstrap ADDR  the broker, which runs already (localhost:9092)
--size-mib N      how much a run sends (256)
--record-bytes N  only records of this size (100, 1024 and 10240)
--compression C   none, gzip, snappy, lz4 or zstd (none)
--batch-bytes N   batch.size of both (1000000)
--only WHO        ours or librdkafka";

const SIZE_MIB_DEFAULT: u64 = 256;
const TOPIC: &str = "afluente-bench-produce";
/// Payloads are slices of a text of this size and one record.
const TEXT_BYTES: usize = 1 << 20;

struct Options {
    bootstrap: String,
    size_bytes: u64,
    compression: String,
    batch_bytes: usize,
}

/// On how many threads our client runs.
#[derive(Clone, Copy)]
enum Threads {
    /// The producer's task shares the thread of who sends.
    One,
    Two,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let options = Options {
        bootstrap: arguments.take("--bootstrap")?.unwrap_or_else(|| "localhost:9092".to_owned()),
        size_bytes: arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20,
        compression: arguments.take("--compression")?.unwrap_or_else(|| "none".to_owned()),
        batch_bytes: arguments.take("--batch-bytes")?.unwrap_or(1_000_000),
    };
    let sizes = match arguments.take("--record-bytes")? {
        Some(size) => vec![size],
        None => vec![100, 1024, 10_240],
    };
    let only: Option<String> = arguments.take("--only")?;
    let common = arguments.finish()?;
    let is_wanted = |who: &str| only.as_deref().is_none_or(|only| only == who);

    let folder = tempfile::tempdir()?;
    let peer = if is_wanted("librdkafka") {
        client_peer::compiled("produce", folder.path())?
    } else {
        None
    };
    in_runtime(Threads::One, client_peer::make_topic(&options.bootstrap, TOPIC))?;
    let mut measures = Vec::new();
    for record_bytes in sizes {
        for idempotent in [false, true] {
            let kind = if idempotent { "idempotent" } else { "acks=all" };
            let name = |who: &str| format!("{record_bytes} B, {kind}, {who}");
            let options = &options;
            if is_wanted("ours") {
                for (threads, who) in [(Threads::One, "ours"), (Threads::Two, "ours, 2 threads")] {
                    measures.push(Measure::new(name(who), move || {
                        in_runtime(threads, ours(options, record_bytes, idempotent))
                    }));
                }
            }
            if let Some(peer) = &peer {
                measures.push(Measure::new(name("librdkafka"), move || {
                    librdkafka(peer, options, record_bytes, idempotent)
                }));
            }
        }
    }
    let figures = in_rounds(measures, &common);
    in_runtime(Threads::One, client_peer::remove_topic(&options.bootstrap, TOPIC))?;
    figures?.report("client-produce", &common)
}

fn in_runtime<T>(threads: Threads, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut builder = match threads {
        Threads::One => tokio::runtime::Builder::new_current_thread(),
        Threads::Two => tokio::runtime::Builder::new_multi_thread(),
    };
    let runtime: Runtime = builder.worker_threads(2).enable_all().build()?;
    runtime.block_on(work)
}

/// The settings that both sides know by the same name.
fn settings(options: &Options, idempotent: bool) -> Vec<(String, String)> {
    [
        ("acks", "all"),
        ("linger.ms", "5"),
        ("batch.size", &options.batch_bytes.to_string()),
        ("max.in.flight.requests.per.connection", "5"),
        ("enable.idempotence", if idempotent { "true" } else { "false" }),
        ("compression.type", &options.compression),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

async fn ours(options: &Options, record_bytes: usize, idempotent: bool) -> Result<Run> {
    let mut settings = settings(options, idempotent);
    settings.push(("bootstrap.servers".into(), options.bootstrap.clone()));
    let producer = Producer::new(Env::real(), ProducerConfig::from_properties(settings)?)?;
    let text = client_peer::text(TEXT_BYTES, record_bytes);
    producer.send(Record::to(TOPIC).value(&text[..1])).await?.await?;
    let count = options.size_bytes / record_bytes as u64;
    let mut deliveries: VecDeque<Delivery> = VecDeque::new();
    let mut place = 0;
    let meter = Meter::start(CpuOf::Process);
    for _ in 0..count {
        let value = &text[place..place + record_bytes];
        place = (place + record_bytes) % TEXT_BYTES;
        deliveries.push_back(producer.send(Record::to(TOPIC).value(value)).await?);
        while let Some(result) = deliveries.front().and_then(Delivery::try_result) {
            result?;
            deliveries.pop_front();
        }
    }
    for delivery in deliveries {
        delivery.await?;
    }
    let run = meter.stop(count * record_bytes as u64, count);
    let figures = producer.metrics();
    ensure!(figures.records_failed == 0, "{} records failed", figures.records_failed);
    producer.close(Duration::from_secs(10)).await?;
    Ok(run)
}

fn librdkafka(
    peer: &Path,
    options: &Options,
    record_bytes: usize,
    idempotent: bool,
) -> Result<Run> {
    let count = options.size_bytes / record_bytes as u64;
    let mut command = Command::new(peer);
    command.args([&options.bootstrap, TOPIC]).arg(record_bytes.to_string()).arg(count.to_string());
    // Bytes are to end a batch, as with us, and not a number of messages.
    command.arg("batch.num.messages=1000000");
    for (key, value) in settings(options, idempotent) {
        command.arg(format!("{key}={value}"));
    }
    client_peer::run(command, count * record_bytes as u64, count)
}
