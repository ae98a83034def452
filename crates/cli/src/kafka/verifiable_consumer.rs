//! `kafka-verifiable-consumer`: reads a topic in a group, and tells what happens as JSON.

use super::connect::{World, client_properties, properties_file, tell_unknown};
use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Tool};
use crate::stopping::{self, Ended, until_stop};
use afluente_client::TopicPartition;
use afluente_client::consumer::{
    Consumer, ConsumerConfig, ConsumerRecord, Offsets, RebalanceListener, Records, Told,
};
use afluente_env::Env;
use afluente_env::clock::Clock;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "verifiable-consumer",
    about: "Read a topic in a group, and tell what happens as JSON.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic. Required."),
    value("group-id", "NAME", "The group. Required."),
    value("group-instance-id", "ID", "A name of this member that outlives it."),
    value("group-protocol", "NAME", "classic or consumer; classic if not given."),
    value("group-remote-assignor", "NAME", "With --group-protocol consumer: who assigns."),
    value("max-messages", "COUNT", "So many; -1, the default, until it is stopped."),
    value("session-timeout", "MS", "session.timeout.ms; not with --group-protocol consumer."),
    flag("verbose", "Tell of each record."),
    flag("enable-autocommit", "Leave commits to the consumer."),
    value("reset-policy", "WHERE", "earliest, latest or none; earliest if not given."),
    value("assignment-strategy", "CLASS", "With --group-protocol classic: who assigns."),
    value("consumer.config", "FILE", "As --command-config."),
];

/// A poll ends after so long, and another one begins.
const POLL_TIMEOUT: Duration = Duration::from_secs(1);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

fn run(world: &World, options: Options, out: Out) -> Result<Out, Failure> {
    let topic = options.require("topic")?.to_owned();
    options.require("bootstrap-server")?;
    let config = ConsumerConfig::from_properties(properties(&options)?)?;
    tell_unknown(config.unknown());
    let max = options.number::<i64>("max-messages")?.and_then(|max| u64::try_from(max).ok());
    let task = Task {
        topic,
        max,
        is_verbose: options.has("verbose"),
        commits: !options.has("enable-autocommit"),
    };
    let env = world.env.clone();
    world.cores.block_on(async move { consume(env, config, task).await })?;
    Ok(out)
}

struct Task {
    topic: String,
    max: Option<u64>,
    is_verbose: bool,
    commits: bool,
}

fn properties(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut properties = Vec::new();
    if let Some(path) = options.get("consumer.config") {
        properties.extend(properties_file("consumer.config", path)?);
    }
    properties.extend(client_properties(options)?);
    let protocol = options.get("group-protocol").unwrap_or("classic").to_ascii_lowercase();
    let mut set = |key: &str, value: &str| properties.push((key.to_owned(), value.to_owned()));
    set("group.protocol", &protocol);
    set("group.id", options.require("group-id")?);
    set("auto.offset.reset", options.get("reset-policy").unwrap_or("earliest"));
    set("enable.auto.commit", if options.has("enable-autocommit") { "true" } else { "false" });
    let mut rows = vec![("group-instance-id", "group.instance.id")];
    if protocol == "consumer" {
        rows.push(("group-remote-assignor", "group.remote.assignor"));
    } else {
        rows.push(("session-timeout", "session.timeout.ms"));
        rows.push(("assignment-strategy", "partition.assignment.strategy"));
    }
    for (option, key) in rows {
        if let Some(given) = options.get(option) {
            set(key, given);
        }
    }
    Ok(properties)
}

struct Listener(Clock);

impl RebalanceListener for Listener {
    fn revoked<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        tell(&self.0, "partitions_revoked", &[("partitions", listed(partitions))]);
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        tell(&self.0, "partitions_assigned", &[("partitions", listed(partitions))]);
        Box::pin(std::future::ready(()))
    }
}

fn listed(partitions: &[TopicPartition]) -> String {
    let partitions = partitions.iter().map(|partition| {
        object(&[("topic", text(&partition.topic)), ("partition", partition.partition.to_string())])
    });
    list(partitions)
}

async fn consume(env: Env, config: ConsumerConfig, task: Task) -> anyhow::Result<()> {
    let clock = env.clock.clone();
    tell(&clock, "startup_complete", &[]);
    let consumer = Consumer::new(env, config)?;
    consumer.subscribe_with([task.topic.as_str()], Arc::new(Listener(clock.clone())))?;
    let ended = until_stop(read(&consumer, &task, &clock)).await?;
    if matches!(ended, Ended::Stopped) {
        tell(&clock, "shutdown_requested", &[]);
    }
    let closed = stopping::close(&consumer, &ended, CLOSE_TIMEOUT).await;
    tell(&clock, "shutdown_complete", &[]);
    if let Ended::Done(outcome) = ended {
        outcome?;
    }
    Ok(closed?)
}

async fn read(consumer: &Consumer, task: &Task, clock: &Clock) -> anyhow::Result<()> {
    let mut seen = 0;
    while task.max.is_none_or(|max| seen < max) {
        let records = consumer.poll(POLL_TIMEOUT).await?;
        if records.is_empty() {
            continue;
        }
        let offsets = take(&records, task, &mut seen, clock);
        if !task.commits || offsets.is_empty() {
            continue;
        }
        let result = consumer.commit_offsets(&offsets).await;
        let offsets = offsets.iter().map(|(partition, offset)| {
            object(&[
                ("topic", text(&partition.topic)),
                ("partition", partition.partition.to_string()),
                ("offset", offset.offset.to_string()),
            ])
        });
        let mut fields = vec![("offsets", list(offsets))];
        fields.extend(result.as_ref().err().map(|error| ("error", text(&error.to_string()))));
        fields.push(("success", result.is_ok().to_string()));
        tell(clock, "offsets_committed", &fields);
    }
    Ok(())
}

/// Tells of records, as many as are wanted; gives what to commit.
fn take(records: &Records, task: &Task, seen: &mut u64, clock: &Clock) -> Offsets {
    let mut offsets = Offsets::new();
    let mut summaries = Vec::new();
    for of_partition in records.partitions() {
        let left = task.max.map_or(u64::MAX, |max| max - *seen);
        let mut bounds: Option<(i64, i64)> = None;
        let mut count: u64 = 0;
        for record in of_partition.iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
            count += 1;
            let first = bounds.map_or(record.offset.0, |(first, _)| first);
            bounds = Some((first, record.offset.0));
            if task.is_verbose {
                tell_record(clock, &record);
            }
        }
        let Some((first, last)) = bounds else { continue };
        let partition = of_partition.partition();
        offsets.insert(partition.clone(), (last + 1).into());
        summaries.push(object(&[
            ("topic", text(&partition.topic)),
            ("partition", partition.partition.to_string()),
            ("count", count.to_string()),
            ("minOffset", first.to_string()),
            ("maxOffset", last.to_string()),
        ]));
        *seen += count;
    }
    let fields =
        [("count", records.count().to_string()), ("partitions", list(summaries.into_iter()))];
    tell(clock, "records_consumed", &fields);
    offsets
}

fn tell_record(clock: &Clock, record: &ConsumerRecord<'_>) {
    let shown = |bytes: Option<&[u8]>| match bytes {
        Some(bytes) => text(&String::from_utf8_lossy(bytes)),
        None => Value::Null.to_string(),
    };
    let fields = [
        ("key", shown(record.key)),
        ("value", shown(record.value)),
        ("topic", text(record.topic)),
        ("partition", record.partition.to_string()),
        ("offset", record.offset.0.to_string()),
    ];
    tell(clock, "record_data", &fields);
}

fn text(text: &str) -> String {
    json!(text).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(","))
}

fn object(fields: &[(&str, String)]) -> String {
    let fields = fields.iter().map(|(name, value)| format!("\"{name}\":{value}"));
    format!("{{{}}}", fields.collect::<Vec<_>>().join(","))
}

/// Prints a line of JSON: the time, the name, and the rest in its order.
fn tell(clock: &Clock, name: &str, rest: &[(&str, String)]) {
    let mut fields = vec![("timestamp", clock.wall_ms().to_string()), ("name", text(name))];
    fields.extend(rest.iter().cloned());
    // Nobody is left to tell when standard output is gone.
    let _ = writeln!(std::io::stdout().lock(), "{}", object(&fields));
}
