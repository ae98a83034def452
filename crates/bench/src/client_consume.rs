//! `afluente-bench client-consume`: what it costs a client to consume, beside librdkafka.
//!
//! Both read the same records of the same topic from the same broker, from the beginning, with the
//! same limits of fetches, and look at the first byte of each value. Our side checks the checksum of
//! each batch; librdkafka does so only if told, and is not told here. Processor time is that of the
//! client's process alone. The peer is `crates/bench/peers/consume.c`, compiled by `cc` with the
//! installed librdkafka; without it, its rows are left out, which is said.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::producer::{Producer, ProducerConfig, Record};
use afluente_env::Env;
use anyhow::{Result, ensure};

use crate::arguments::Arguments;
use crate::client_peer;
use crate::measure::{CpuOf, Measure, Meter, Run, in_rounds};

pub(crate) const OPTIONS: &str = "\
--bootstrap ADDR  the broker, which runs already (localhost:9092)
--size-mib N      how much a run reads (256)
--record-bytes N  only records of this size (100 and 1024)
--compression C   of the records: none, gzip, snappy, lz4 or zstd (none)";

const SIZE_MIB_DEFAULT: u64 = 256;
/// Payloads are slices of a text of this size and one record.
const TEXT_BYTES: usize = 1 << 20;
/// The limits of fetches that both sides know by the same names.
const LIMITS: [(&str, &str); 2] =
    [("fetch.max.bytes", "52428800"), ("max.partition.fetch.bytes", "1048576")];
/// As many records may come in one go, on both sides.
const POLL_RECORDS: &str = "1000";

struct Options {
    bootstrap: String,
    size_bytes: u64,
    compression: String,
}

pub(crate) fn run(mut arguments: Arguments) -> Result<()> {
    let options = Options {
        bootstrap: arguments.take("--bootstrap")?.unwrap_or_else(|| "localhost:9092".to_owned()),
        size_bytes: arguments.take("--size-mib")?.unwrap_or(SIZE_MIB_DEFAULT) << 20,
        compression: arguments.take("--compression")?.unwrap_or_else(|| "none".to_owned()),
    };
    let sizes = match arguments.take("--record-bytes")? {
        Some(size) => vec![size],
        None => vec![100, 1024],
    };
    let common = arguments.finish()?;
    let folder = tempfile::tempdir()?;
    let peer = client_peer::compiled("consume", folder.path())?;
    let mut measures = Vec::new();
    for &record_bytes in &sizes {
        in_runtime(fill(&options, record_bytes))?;
        let options = &options;
        measures.push(Measure::new(format!("{record_bytes} B, ours"), move || {
            in_runtime(ours(options, record_bytes))
        }));
        if let Some(peer) = &peer {
            measures.push(Measure::new(format!("{record_bytes} B, librdkafka"), move || {
                librdkafka(peer, options, record_bytes)
            }));
        }
    }
    let figures = in_rounds(measures, &common);
    for &record_bytes in &sizes {
        in_runtime(client_peer::remove_topic(&options.bootstrap, &topic(record_bytes)))?;
    }
    figures?.report("client-consume", &common)
}

fn in_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
}

fn topic(record_bytes: usize) -> String {
    format!("afluente-bench-consume-{record_bytes}")
}

fn count(options: &Options, record_bytes: usize) -> u64 {
    options.size_bytes / record_bytes as u64
}

async fn ours(options: &Options, record_bytes: usize) -> Result<Run> {
    let settings = [("bootstrap.servers", &*options.bootstrap), ("max.poll.records", POLL_RECORDS)];
    let config = ConsumerConfig::from_properties(settings.into_iter().chain(LIMITS))?;
    let consumer = Consumer::new(Env::real(), config)?;
    let name = topic(record_bytes);
    let wanted = count(options, record_bytes);
    let meter = Meter::start(CpuOf::Process);
    consumer.assign((0..client_peer::PARTITIONS).map(|partition| (name.as_str(), partition)))?;
    consumer.seek_to_beginning(&[])?;
    let (mut seen, mut sum) = (0, 0);
    while seen < wanted {
        let records = consumer.poll(Duration::from_secs(10)).await?;
        for record in records.iter() {
            let value = record.value.unwrap_or_default();
            sum += u64::from(value.first().copied().unwrap_or_default());
            seen += 1;
        }
    }
    let run = meter.stop(wanted * record_bytes as u64, wanted);
    ensure!(sum >= wanted * u64::from(b'a'), "the records are not those that were sent");
    consumer.close(Duration::from_secs(10)).await?;
    Ok(run)
}

fn librdkafka(peer: &Path, options: &Options, record_bytes: usize) -> Result<Run> {
    let wanted = count(options, record_bytes);
    let mut command = Command::new(peer);
    command.args([&options.bootstrap, &topic(record_bytes), &client_peer::PARTITIONS.to_string()]);
    command.args([&wanted.to_string(), POLL_RECORDS]);
    for (key, value) in LIMITS {
        command.arg(format!("{key}={value}"));
    }
    client_peer::run(command, wanted * record_bytes as u64, wanted)
}

/// Makes the topic anew, and sends the records that the runs read.
async fn fill(options: &Options, record_bytes: usize) -> Result<()> {
    let name = topic(record_bytes);
    client_peer::remove_topic(&options.bootstrap, &name).await?;
    client_peer::make_topic(&options.bootstrap, &name).await?;
    let settings = [
        ("bootstrap.servers", &*options.bootstrap),
        ("compression.type", &*options.compression),
        ("batch.size", "16384"),
        ("linger.ms", "5"),
    ];
    let producer = Producer::new(Env::real(), ProducerConfig::from_properties(settings)?)?;
    let text = client_peer::text(TEXT_BYTES, record_bytes);
    let mut place = 0;
    // A few more than are read: partitions do not come to their ends at the same time.
    for _ in 0..count(options, record_bytes) + 1000 {
        let value = &text[place..place + record_bytes];
        place = (place + record_bytes) % TEXT_BYTES;
        drop(producer.send(Record::to(&name).value(value)).await?);
    }
    producer.flush().await;
    producer.close(Duration::from_secs(60)).await?;
    Ok(())
}
