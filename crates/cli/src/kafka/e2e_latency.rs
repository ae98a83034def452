//! `kafka-e2e-latency`: how long a record takes from a producer to a consumer.

use super::connect::{World, client_properties, tell_unknown};
use super::options::{Options, Spec, value};
use super::out::Out;
use super::{Failure, Run, Tool};
use afluente_client::admin::topics::NewTopic;
use afluente_client::consumer::{Consumer, ConsumerConfig};
use afluente_client::producer::{Header, Producer, ProducerConfig, Record};
use afluente_client::{Admin, TopicPartition};
use afluente_env::Env;
use anyhow::{Context, bail, ensure};
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "e2e-latency",
    about: "Measure how long records take from a producer to a consumer, one after another.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic; it is made if it is not there. Required."),
    value("num-records", "COUNT", "How many records. Required."),
    value("producer-acks", "ACKS", "acks: 1 or all. Required."),
    value("record-size", "BYTES", "The size of a value. Required."),
    value("record-key-size", "BYTES", "The size of a key; 0, the default, is none."),
    value("num-headers", "COUNT", "How many headers; 0 if not given."),
    value("record-header-key-size", "BYTES", "The size of a header's key; 0 if not given."),
    value("record-header-size", "BYTES", "The size of a header's value; 0 if not given."),
];

/// A record that is not back by then is lost.
const POLL_TIMEOUT: Duration = Duration::from_secs(60);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often progress is told.
const RECORDS_A_LINE: usize = 1000;

struct Task {
    topic: String,
    count: usize,
    acks: String,
    value_len: usize,
    key_len: usize,
    headers: usize,
    header_key_len: usize,
    header_value_len: usize,
}

fn run(world: &World, mut options: Options, mut out: Out) -> Result<Out, Failure> {
    if !options.words.is_empty() {
        let words = std::mem::take(&mut options.words);
        options = from_words(words)?;
        out.line(
            "WARNING: Positional argument usage is deprecated and will be removed in Apache Kafka \
             5.0. Please use named arguments instead: --bootstrap-server, --topic, --num-records, \
             --producer-acks, --record-size, --command-config",
        )?;
    }
    options.require("bootstrap-server")?;
    let needed = |name: &'static str| {
        let number = options.number::<usize>(name)?;
        number.ok_or_else(|| Failure::Usage(format!("Missing required argument \"[{name}]\"")))
    };
    let task = Task {
        topic: options.require("topic")?.to_owned(),
        count: needed("num-records")?,
        acks: options.require("producer-acks")?.to_owned(),
        value_len: needed("record-size")?,
        key_len: options.number("record-key-size")?.unwrap_or(0),
        headers: options.number("num-headers")?.unwrap_or(0),
        header_key_len: options.number("record-header-key-size")?.unwrap_or(0),
        header_value_len: options.number("record-header-size")?.unwrap_or(0),
    };
    if !["1", "all"].contains(&task.acks.as_str()) {
        let told = "Latency testing requires synchronous acknowledgement. Please use 1 or all for \
             --producer-acks";
        return Err(Failure::Usage(told.to_owned()));
    }
    let properties = client_properties(&options)?;
    let admin = world.admin(&options)?;
    let env = world.env.clone();
    Ok(world.cores.block_on(async move { measure(env, admin, properties, task, out).await })?)
}

/// The order that Kafka's tool had before it had names.
fn from_words(words: Vec<String>) -> Result<Options, Failure> {
    if words.len() != 5 && words.len() != 6 {
        return Err(Failure::Usage(format!(
            "Invalid number of arguments. Expected 5 or 6 positional arguments, but got {}. \
             Usage: bootstrap-server topic num-records producer-acks record-size [optional] \
             command-config",
            words.len()
        )));
    }
    let names = [
        "bootstrap-server",
        "topic",
        "num-records",
        "producer-acks",
        "record-size",
        "command-config",
    ];
    let line: Vec<String> =
        names.iter().zip(words).map(|(name, word)| format!("--{name}={word}")).collect();
    Options::parse("kafka-e2e-latency", SPECS, &line)
}

async fn measure(
    env: Env,
    admin: Admin,
    properties: Vec<(String, String)>,
    task: Task,
    mut out: Out,
) -> anyhow::Result<Out> {
    let with = |more: &[(&str, &str)]| {
        let more = more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        properties.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    let topic = task.topic.as_str();
    if admin.list_topics().await?.topic(topic).is_none() {
        out.line(format!(
            "Topic \"{topic}\" does not exist. Will create topic with 1 partition(s) and \
             replication factor = 1"
        ))?;
        for (_, result) in admin.create_topics([NewTopic::new(topic, 1, 1)]).await? {
            result.with_context(|| format!("Creation of topic {topic} failed"))?;
        }
    }
    let config = ConsumerConfig::from_properties(with(&[
        ("enable.auto.commit", "false"),
        ("auto.offset.reset", "latest"),
        ("fetch.max.wait.ms", "0"),
    ]))?;
    tell_unknown(config.unknown());
    let consumer = Consumer::new(env.clone(), config)?;
    let config = ProducerConfig::from_properties(with(&[
        ("linger.ms", "0"),
        ("max.block.ms", &i64::MAX.to_string()),
        ("acks", &task.acks),
    ]))?;
    let producer = Producer::new(env.clone(), config)?;
    let described = consumer.partitions_for(topic).await?.context("the topic is gone")?;
    let partitions: Vec<TopicPartition> = described
        .partitions
        .keys()
        .map(|&partition| TopicPartition::new(topic, partition))
        .collect();
    consumer.assign(partitions.iter().cloned())?;
    for (partition, end) in consumer.end_offsets(partitions).await? {
        consumer.seek(&partition, end)?;
    }
    let mut latencies = Vec::with_capacity(task.count.min(1 << 20));
    let letters = |len: usize| vec![b'A' + env.rng.index(26) as u8; len];
    for n in 0..task.count {
        let (key, value) = (letters(task.key_len), letters(task.value_len));
        let headers: Vec<(Vec<u8>, Vec<u8>)> = (0..task.headers)
            .map(|_| (letters(task.header_key_len), letters(task.header_value_len)))
            .collect();
        let headers: Vec<Header<'_>> =
            headers.iter().map(|(key, value)| Header { key, value: Some(value) }).collect();
        let record = Record {
            topic,
            key: (task.key_len > 0).then_some(&key),
            value: Some(&value),
            headers: &headers,
            ..Record::default()
        };
        let began = env.clock.now();
        producer.send(record).await?.await?;
        let records = consumer.poll(POLL_TIMEOUT).await?;
        let elapsed = env.clock.now().saturating_since(began);
        ensure!(
            !records.is_empty(),
            "poll() timed out before finding a result (timeout:[{}ms])",
            POLL_TIMEOUT.as_millis()
        );
        let count = records.count();
        if count != 1 {
            bail!("Only one result was expected during this test. We found [{count}]");
        }
        let read = records.iter().next().and_then(|record| record.value);
        ensure!(read == Some(&value), "The message value read did not match the one sent");
        if n % RECORDS_A_LINE == 0 {
            out.line(format!("{n}\t{:?}", elapsed.as_nanos() as f64 / 1000.0 / 1000.0))?;
            out.flush()?;
        }
        latencies.push(elapsed);
    }
    let total: Duration = latencies.iter().sum();
    let average_ms = total.as_secs_f64() * 1000.0 / latencies.len().max(1) as f64;
    out.line(format!("Avg latency: {average_ms:.4} ms"))?;
    latencies.sort_unstable();
    let at = |share: f64| {
        let index = (latencies.len() as f64 * share) as usize;
        latencies.get(index).map_or(0, Duration::as_millis)
    };
    out.line(format!(
        "Percentiles: 50th = {}, 99th = {}, 99.9th = {}",
        at(0.5),
        at(0.99),
        at(0.999)
    ))?;
    producer.close(CLOSE_TIMEOUT).await?;
    consumer.close(CLOSE_TIMEOUT).await?;
    Ok(out)
}
