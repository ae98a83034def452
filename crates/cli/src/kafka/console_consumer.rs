//! `kafka-console-consumer`: shows the records of topics.
//!
//! Of formatters there are the default one, that with a log, which shows the same, and the one that shows
//! nothing; those for Kafka's own topics are not there, see `dump-log`. Of deserializers there are those of Kafka for
//! texts, numbers and UUIDs, by their Java names.

mod format;

use super::connect::{World, client_properties, properties_file, tell_unknown};
use super::console_producer::pairs;
use super::options::{Options, Spec, flag, value};
use super::out::{Out, complain};
use super::{Failure, Run, Tool};
use crate::stopping::{self, Ended, until_stop};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerConfig};
use format::Formatter;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "console-consumer",
    about: "Show the records of topics as they come.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic."),
    value("include", "REGEX", "The topics that match, in place of --topic."),
    value("partition", "N", "Only this partition, without a group; begins at the end."),
    value("offset", "OFFSET", "With --partition: where to begin: a number, earliest or latest."),
    flag("from-beginning", "Begin with the first record where the group has no offset."),
    value("max-messages", "COUNT", "Stop after so many."),
    value("timeout-ms", "MS", "Stop when no record comes for so long."),
    value("group", "NAME", "The group; one that is not used by others if not given."),
    value("isolation-level", "LEVEL", "read_uncommitted or read_committed."),
    value(
        "formatter",
        "CLASS",
        "Of org.apache.kafka.tools.consumer: DefaultMessageFormatter, LoggingMessageFormatter (the \
         same here), NoOpMessageFormatter.",
    ),
    value(
        "formatter-property",
        "KEY=VALUE",
        "print.timestamp, print.partition, print.offset, print.epoch, print.headers, print.key, \
         print.value, key.separator, line.separator, headers.separator, null.literal, \
         key.deserializer, value.deserializer, headers.deserializer. May be repeated.",
    ),
    value("property", "KEY=VALUE", "As --formatter-property."),
    value("formatter-config", "FILE", "A file of such properties."),
    value("key-deserializer", "CLASS", "As --formatter-property key.deserializer=CLASS."),
    value("value-deserializer", "CLASS", "As --formatter-property value.deserializer=CLASS."),
    flag("skip-message-on-error", "Go on after a record that cannot be shown."),
    value("command-property", "KEY=VALUE", "A property of the consumer; may be repeated."),
    value("consumer-property", "KEY=VALUE", "As --command-property."),
    value("consumer.config", "FILE", "As --command-config."),
];

/// How long a poll waits before it is looked at whether to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(500);
/// How long leaving the group and committing may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

fn run(world: &World, options: Options, mut out: Out) -> Result<Out, Failure> {
    for (old, new) in [
        ("property", "formatter-property"),
        ("consumer-property", "command-property"),
        ("consumer.config", "command-config"),
    ] {
        if options.has(old) {
            out.line(format!(
                "Option --{old} is deprecated and will be removed in a future version. Use --{new} \
                 instead."
            ))?;
        }
    }
    out.flush()?;
    let source = Source::new(&options)?;
    let formatter = Formatter::new(&options)?;
    let limits = Limits {
        messages: options.number("max-messages")?.unwrap_or(u64::MAX),
        silence: options.number("timeout-ms")?.map(Duration::from_millis),
        skips_errors: options.has("skip-message-on-error"),
    };
    let config = ConsumerConfig::from_properties(properties(world, &options)?)?;
    tell_unknown(config.client.unknown());
    let env = world.env.clone();
    let consumer = Consumer::new(env.clone(), config)?;
    world.cores.block_on(async move {
        let mut shown = 0;
        let mut showing = Box::pin(async {
            source.apply(&consumer)?;
            show(&consumer, &formatter, &limits, &mut shown, out).await
        });
        // A signal ends it as an end of records does.
        let ended = until_stop(showing.as_mut()).await?;
        drop(showing);
        let closed = stopping::close(&consumer, &ended, CLOSE_TIMEOUT).await;
        complain(&format!("Processed a total of {shown} messages"));
        let out = match ended {
            Ended::Done(outcome) => outcome?,
            Ended::Stopped => Out::stdout(),
        };
        closed?;
        Ok(out)
    })
}

/// What is read.
enum Source {
    Topic(String),
    Pattern(String),
    Partition(TopicPartition, Start),
}

enum Start {
    Earliest,
    Latest,
    At(i64),
}

struct Limits {
    messages: u64,
    silence: Option<Duration>,
    skips_errors: bool,
}

impl Source {
    fn new(options: &Options) -> Result<Self, Failure> {
        if let Some(pattern) = options.get("include") {
            options.refuse("include", &["topic", "partition", "offset"])?;
            return Ok(Self::Pattern(pattern.replace(',', "|")));
        }
        for (one, other) in [("group", "partition"), ("from-beginning", "offset")] {
            if options.has(one) && options.has(other) {
                let told = format!("Options {one} and {other} cannot be specified together.");
                return Err(Failure::Usage(told));
            }
        }
        let topic = options.get("topic").ok_or_else(|| {
            Failure::Usage("Exactly one of --include/--topic is required.".to_owned())
        })?;
        let Some(partition) = options.number("partition")? else {
            if options.has("offset") {
                let told = "The partition is required when offset is specified.";
                return Err(Failure::Usage(told.to_owned()));
            }
            return Ok(Self::Topic(topic.to_owned()));
        };
        let start = match options.get("offset") {
            None if options.has("from-beginning") => Start::Earliest,
            None | Some("latest") => Start::Latest,
            Some("earliest") => Start::Earliest,
            Some(text) => Start::At(text.parse().ok().filter(|at| *at >= 0).ok_or_else(|| {
                Failure::Usage(format!(
                    "The provided offset value '{text}' is incorrect. Valid values are \
                     'earliest', 'latest', or a non-negative number"
                ))
            })?),
        };
        Ok(Self::Partition(TopicPartition::new(topic, partition), start))
    }

    fn apply(&self, consumer: &Consumer) -> Result<(), Failure> {
        match self {
            Self::Topic(topic) => consumer.subscribe([topic.as_str()])?,
            Self::Pattern(pattern) => consumer.subscribe_pattern(pattern, None)?,
            Self::Partition(partition, start) => {
                let partitions = std::slice::from_ref(partition);
                consumer.assign(partitions.iter().cloned())?;
                match start {
                    Start::Earliest => consumer.seek_to_beginning(partitions)?,
                    Start::Latest => consumer.seek_to_end(partitions)?,
                    Start::At(offset) => consumer.seek(partition, *offset)?,
                }
            }
        }
        Ok(())
    }
}

/// Shows records until there is a reason to stop.
async fn show(
    consumer: &Consumer,
    formatter: &Formatter,
    limits: &Limits,
    shown: &mut u64,
    mut out: Out,
) -> Result<Out, Failure> {
    let clock = consumer.client().env().clock.clone();
    let mut last_at = clock.now();
    let mut line = Vec::new();
    while *shown < limits.messages {
        let wait = match limits.silence {
            Some(silence) => {
                let passed = clock.now().saturating_since(last_at);
                if passed >= silence {
                    complain(
                        "Error processing message, terminating consumer process: no record came \
                         within --timeout-ms",
                    );
                    return Ok(out);
                }
                POLL_TIMEOUT.min(silence - passed)
            }
            None => POLL_TIMEOUT,
        };
        let records = consumer.poll(wait).await?;
        // What was polled and will not be shown, by partition: it must not be committed.
        let mut left: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for record in records.iter() {
            if *shown >= limits.messages {
                let partition = TopicPartition::new(record.topic, record.partition);
                left.entry(partition).or_insert(record.offset.0);
                continue;
            }
            *shown += 1;
            line.clear();
            match formatter.write(&record, &mut line) {
                Ok(()) => out.bytes(&line)?,
                Err(problem) if limits.skips_errors => {
                    complain(&format!(
                        "Error processing message, skipping this message: {problem}"
                    ));
                }
                Err(problem) => return Err(anyhow::anyhow!(problem).into()),
            }
        }
        for (partition, offset) in left {
            consumer.seek(&partition, offset)?;
        }
        if !records.is_empty() {
            last_at = clock.now();
            out.flush()?;
        }
    }
    Ok(out)
}

/// What the options say, in Kafka's names; what was given for the consumer itself comes last.
fn properties(world: &World, options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let reset = if options.has("from-beginning") { "earliest" } else { "latest" };
    let mut properties = vec![
        ("client.id".to_owned(), "console-consumer".to_owned()),
        ("auto.offset.reset".to_owned(), reset.to_owned()),
    ];
    if let Some(path) = options.get("consumer.config") {
        properties.extend(properties_file("consumer.config", path)?);
    }
    properties.extend(client_properties(options)?);
    properties.extend(pairs(options, &["consumer-property", "command-property"])?);
    if let Some(level) = options.get("isolation-level") {
        properties.push(("isolation.level".to_owned(), level.to_owned()));
    }
    match options.get("group") {
        Some(group)
            if properties.iter().any(|(key, value)| key == "group.id" && value != group) =>
        {
            let told = "The group ids provided in different places (directly using '--group', via \
                        '--command-property', or via '--command-config') do not match.";
            return Err(Failure::Usage(told.to_owned()));
        }
        Some(group) => properties.push(("group.id".to_owned(), group.to_owned())),
        None if properties.iter().any(|(key, _)| key == "group.id") => {}
        None => {
            // A group that nobody comes back to keeps no offsets.
            let number = world.env.rng.range(0..100_000);
            properties.push(("group.id".to_owned(), format!("console-consumer-{number}")));
            if !properties.iter().any(|(key, _)| key == "enable.auto.commit") {
                properties.push(("enable.auto.commit".to_owned(), "false".to_owned()));
            }
        }
    }
    Ok(properties)
}
