//! `afluente consume`: records of topics, as one wants to see them.

mod shape;

use crate::calendar;
use crate::cluster::ClusterArguments;
use crate::kafka::connect::{World, tell_unknown};
use crate::stopping::{self, Ended, until_stop};
use crate::terminal::{Output, When};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerConfig, ConsumerRecord};
use afluente_client::metadata::TopicsAsked;
use afluente_console::{MessageFilter, MessageParts};
use afluente_env::clock::Clock;
use anyhow::{Context, bail, ensure};
use clap::Args;
use regex_lite::Regex;
use shape::Shape;
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufWriter, IsTerminal, Write};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct ConsumeArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// The topics; with --regex, expressions that match their whole names.
    #[arg(required = true, value_name = "TOPIC")]
    topics: Vec<String>,
    /// Topics are regular expressions.
    #[arg(long)]
    regex: bool,
    /// Only these partitions; may be repeated.
    #[arg(short, long, value_name = "N", conflicts_with = "group")]
    partition: Vec<i32>,
    /// Read as a member of this group, and commit what was shown; begin where it stopped.
    #[arg(short, long, value_name = "NAME", conflicts_with_all = ["tail", "offset", "since", "until"])]
    group: Option<String>,
    /// Where to begin: beginning, end, or an offset; a negative one counts from the end.
    #[arg(short, long, value_name = "OFFSET", allow_hyphen_values = true)]
    offset: Option<String>,
    /// Begin at a time: 2026-01-31T10:00, 10m (ago), 2h, ms since 1970.
    #[arg(long, value_name = "TIME", conflicts_with = "offset")]
    since: Option<String>,
    /// Stop at a time, in the same forms.
    #[arg(long, value_name = "TIME")]
    until: Option<String>,
    /// Show the last so many records, and stop; with --follow go on.
    #[arg(short = 't', long, value_name = "COUNT", conflicts_with_all = ["offset", "since"])]
    tail: Option<usize>,
    /// Stop at the end of what is there; the default where standard output is no terminal.
    #[arg(short, long, conflicts_with = "follow")]
    exit: bool,
    /// Go on when the end is reached; the default on a terminal.
    #[arg(short = 'F', long)]
    follow: bool,
    /// Stop after so many records that were shown.
    #[arg(short = 'n', long, value_name = "COUNT")]
    max: Option<u64>,
    /// Only records of which this is true.
    #[arg(long, value_name = "EXPRESSION")]
    filter: Option<String>,
    /// How records are shown; pretty on a terminal, plain otherwise.
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<Output>,
    /// Show records by a pattern, as kcat does.
    #[arg(short, long, value_name = "PATTERN", conflicts_with = "output")]
    format: Option<String>,
    /// Also records of transactions that are open or were aborted.
    #[arg(long)]
    uncommitted: bool,
    /// Colours: auto, always or never.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: When,
}

const AFTER_HELP: &str = "\
Patterns (--format): %t topic, %p partition, %o offset, %T time in ms, %D time in UTC, %k key,
%s value, %K and %S their sizes in bytes (-1: null), %h headers, %% a percent sign; \\n, \\t, \\r,
\\\\ and \\xNN. Without a \\n at its end each record still gets a line of its own if the pattern has
no line break at all.

Expressions (--filter): value.total > 100 && value.store in [\"S01\", \"S02\"]; key, value, headers.NAME,
partition, offset, timestamp, size; value.lines[0].sku, value.lines[*].sku; == != < <= > >= in contains
startsWith endsWith matches exists(); && || !.

Examples:
  afluente consume orders --tail 10
  afluente consume orders --since 1h --filter 'value.total > 100' --output json | jq .value.total
  afluente consume orders -f '%p %o %k\\n' -e

Exit codes: 0 done or stopped, 1 failed, 2 not understood.";

/// How long a poll waits before it is looked at whether to stop.
const POLL_TIMEOUT: Duration = Duration::from_millis(200);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(30);

/// When to stop, and what to pass over.
struct Limits {
    /// Exclusive, of each partition; partitions without one are read for ever.
    ends: BTreeMap<TopicPartition, i64>,
    until_ms: Option<i64>,
    max: u64,
    filter: Option<MessageFilter>,
    /// Only the last so many of what is before the ends; then it goes on if there are none.
    tail: Option<usize>,
    follows: bool,
}

pub(crate) fn run(arguments: ConsumeArguments) -> anyhow::Result<()> {
    let shape = Shape::new(arguments.output, arguments.format.as_deref(), arguments.color)?;
    let filter = match &arguments.filter {
        Some(text) => Some(MessageFilter::parse(text).map_err(|error| {
            let place = " ".repeat(error.position);
            anyhow::anyhow!("--filter: {}\n  {text}\n  {place}^", error.message)
        })?),
        None => None,
    };
    let world = World::start()?;
    let level = if arguments.uncommitted { "read_uncommitted" } else { "read_committed" };
    let mut properties = arguments.cluster.properties(&[
        ("client.id", "afluente-consume"),
        ("isolation.level", level),
        ("auto.offset.reset", "earliest"),
    ])?;
    if let Some(group) = &arguments.group {
        properties.push(("group.id".to_owned(), group.clone()));
    }
    let config = ConsumerConfig::from_properties(properties)?;
    tell_unknown(config.unknown());
    let env = world.env.clone();
    world.cores.block_on(async move {
        let consumer = Consumer::new(env.clone(), config)?;
        let clock = env.clock.clone();
        let ended = until_stop(show(&consumer, &arguments, &shape, filter, &clock)).await?;
        let closed = stopping::close(&consumer, &ended, CLOSE_TIMEOUT).await;
        if let Ended::Done(outcome) = ended {
            outcome?;
        }
        Ok(closed?)
    })
}

async fn show(
    consumer: &Consumer,
    arguments: &ConsumeArguments,
    shape: &Shape,
    filter: Option<MessageFilter>,
    clock: &Clock,
) -> anyhow::Result<()> {
    let now_ms = clock.wall_ms();
    let time = |text: &Option<String>, flag: &str| {
        let parsed = text.as_deref().map(|text| calendar::parse(text, now_ms));
        parsed.transpose().with_context(|| format!("in --{flag}"))
    };
    let (since_ms, until_ms) = (time(&arguments.since, "since")?, time(&arguments.until, "until")?);
    let is_terminal = std::io::stdout().is_terminal();
    let ends_of_itself = arguments.exit || arguments.tail.is_some() || until_ms.is_some();
    // A group goes on where it was, as a service does.
    let follows = arguments.follow || !ends_of_itself && (is_terminal || arguments.group.is_some());
    let mut limits = Limits {
        ends: BTreeMap::new(),
        until_ms,
        max: arguments.max.unwrap_or(u64::MAX),
        filter,
        tail: arguments.tail,
        follows,
    };
    if arguments.group.is_some() {
        subscribe(consumer, arguments)?;
        if !follows {
            let partitions = partitions(consumer, arguments).await?;
            limits.ends = consumer.end_offsets(partitions).await?;
        }
    } else {
        let partitions = partitions(consumer, arguments).await?;
        limits.ends = begin(consumer, arguments, partitions, since_ms).await?;
    }
    let mut writer = Writer {
        out: BufWriter::new(std::io::stdout()),
        shape,
        shown: 0,
        line: Vec::new(),
        kept: VecDeque::new(),
    };
    let outcome = read(consumer, &limits, &mut writer, arguments.group.is_some()).await;
    let finished = writer.finish();
    outcome?;
    finished
}

fn patterns(arguments: &ConsumeArguments) -> anyhow::Result<Vec<Regex>> {
    let patterns = arguments.topics.iter().map(|text| {
        Regex::new(&format!("^(?:{text})$"))
            .with_context(|| format!("{text:?} is no regular expression"))
    });
    patterns.collect()
}

fn subscribe(consumer: &Consumer, arguments: &ConsumeArguments) -> anyhow::Result<()> {
    if arguments.regex {
        patterns(arguments)?;
        consumer.subscribe_pattern(&format!("^(?:{})$", arguments.topics.join("|")), None)?;
    } else {
        consumer.subscribe(arguments.topics.iter().cloned())?;
    }
    Ok(())
}

/// The partitions that the command line means.
async fn partitions(
    consumer: &Consumer,
    arguments: &ConsumeArguments,
) -> anyhow::Result<Vec<TopicPartition>> {
    let client = consumer.client();
    let mut found = Vec::new();
    let take = |name: &str, numbers: &mut dyn Iterator<Item = i32>| {
        let numbers: Vec<i32> = numbers.collect();
        let wanted = &arguments.partition;
        if let Some(absent) = wanted.iter().find(|number| !numbers.contains(number)) {
            bail!("topic {name} has no partition {absent}; it has {}", numbers.len());
        }
        let numbers = numbers.into_iter();
        let numbers = numbers.filter(|number| wanted.is_empty() || wanted.contains(number));
        Ok(numbers.map(|number| TopicPartition::new(name, number)).collect::<Vec<_>>())
    };
    if arguments.regex {
        let patterns = patterns(arguments)?;
        let metadata = client.fresh_metadata(&TopicsAsked::All, client.deadline()).await?;
        for topic in metadata.topics.values().filter(|topic| !topic.is_internal) {
            if patterns.iter().any(|pattern| pattern.is_match(&topic.name)) {
                found.extend(take(&topic.name, &mut topic.partitions.keys().copied())?);
            }
        }
        ensure!(!found.is_empty(), "no topic matches {}", arguments.topics.join(", "));
        return Ok(found);
    }
    for name in &arguments.topics {
        let topic = consumer.partitions_for(name).await?;
        let topic = topic.with_context(|| {
            format!("there is no topic {name}; `afluente topics --list` shows which there are")
        })?;
        found.extend(take(name, &mut topic.partitions.keys().copied())?);
    }
    Ok(found)
}

/// Goes to where to begin in each partition; gives where each ends at the moment.
async fn begin(
    consumer: &Consumer,
    arguments: &ConsumeArguments,
    partitions: Vec<TopicPartition>,
    since_ms: Option<i64>,
) -> anyhow::Result<BTreeMap<TopicPartition, i64>> {
    consumer.assign(partitions.iter().cloned())?;
    let starts = consumer.beginning_offsets(partitions.iter().cloned()).await?;
    let ends = consumer.end_offsets(partitions.iter().cloned()).await?;
    let by_time = match since_ms {
        Some(ms) => {
            let asked = partitions.iter().map(|partition| (partition.clone(), ms)).collect();
            consumer.offsets_for_times(asked).await?
        }
        None => BTreeMap::new(),
    };
    for partition in &partitions {
        let start = starts.get(partition).copied().unwrap_or(0);
        let end = ends.get(partition).copied().unwrap_or(start);
        let from = match (&arguments.tail, arguments.offset.as_deref(), since_ms) {
            // No partition can have more of the last ones than all have together.
            (Some(count), ..) => end - i64::try_from(*count).unwrap_or(i64::MAX),
            (_, Some("beginning" | "earliest"), _) | (None, None, None) => start,
            (_, Some("end" | "latest"), _) => end,
            (_, Some(text), _) => match text.parse::<i64>() {
                Ok(offset @ 0..) => offset,
                Ok(behind) => end + behind,
                Err(_) => bail!("--offset {text:?} is none: beginning, end, 42, or -10"),
            },
            (_, None, Some(_)) => by_time.get(partition).and_then(|at| at.offset).unwrap_or(end),
        };
        consumer.seek(partition, from.clamp(start, end.max(start)))?;
    }
    Ok(ends)
}

/// Reads until there is a reason to stop.
async fn read(
    consumer: &Consumer,
    limits: &Limits,
    writer: &mut Writer<'_>,
    is_group: bool,
) -> anyhow::Result<()> {
    let mut is_in_tail = limits.tail.is_some();
    while writer.shown < limits.max {
        if (is_in_tail || !limits.follows) && is_at_end(consumer, &limits.ends, is_group) {
            if !is_in_tail {
                return Ok(());
            }
            writer.show_kept()?;
            is_in_tail = false;
            if !limits.follows {
                return Ok(());
            }
        }
        let records = consumer.poll(POLL_TIMEOUT).await?;
        // What was fetched and not shown is for whoever comes next in the group.
        let mut left: BTreeMap<TopicPartition, i64> = BTreeMap::new();
        for record in records.iter() {
            let partition = TopicPartition::new(record.topic, record.partition);
            let end = limits.ends.get(&partition).filter(|_| !limits.follows);
            let is_beyond = end.is_some_and(|end| record.offset.0 >= *end);
            if writer.shown >= limits.max || is_beyond {
                left.entry(partition).or_insert(record.offset.0);
                continue;
            }
            let is_late = limits.until_ms.is_some_and(|until| record.timestamp >= until);
            if is_late || !limits.admits(&record) {
                continue;
            }
            if is_in_tail {
                writer.keep(&record, limits.tail.unwrap_or(0));
            } else {
                writer.show(&record)?;
            }
        }
        for (partition, offset) in left {
            consumer.seek(&partition, offset)?;
        }
        if !records.is_empty() {
            writer.flush()?;
        }
    }
    Ok(())
}

/// Whether everything that was there is read.
fn is_at_end(consumer: &Consumer, ends: &BTreeMap<TopicPartition, i64>, is_group: bool) -> bool {
    let assigned = consumer.assignment();
    if is_group && assigned.is_empty() {
        return false;
    }
    ends.iter().filter(|(partition, _)| assigned.contains(partition)).all(|(partition, end)| {
        consumer.current_position(partition).is_some_and(|position| position.offset.0 >= *end)
    })
}

impl Limits {
    fn admits(&self, record: &ConsumerRecord<'_>) -> bool {
        let Some(filter) = &self.filter else { return true };
        let headers: Vec<(&[u8], Option<&[u8]>)> =
            record.headers.map(|header| (header.key, header.value)).collect();
        filter.admits(&MessageParts {
            partition: record.partition,
            offset: record.offset.0,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: &headers,
        })
    }
}

/// Where records go.
struct Writer<'a> {
    out: BufWriter<std::io::Stdout>,
    shape: &'a Shape,
    shown: u64,
    line: Vec<u8>,
    /// The last ones so far, by time, of what may be the last ones of all.
    kept: VecDeque<(i64, Vec<u8>)>,
}

impl Writer<'_> {
    fn show(&mut self, record: &ConsumerRecord<'_>) -> anyhow::Result<()> {
        self.line.clear();
        self.shape.write(record, &mut self.line);
        if self.shown == 0 {
            self.out.write_all(self.shape.header().as_bytes())?;
        }
        self.shown += 1;
        self.out.write_all(&self.line)?;
        Ok(())
    }

    /// Keeps a record if it may be among the last `count`.
    fn keep(&mut self, record: &ConsumerRecord<'_>, count: usize) {
        let at = self.kept.partition_point(|(time, _)| *time <= record.timestamp);
        let mut line = Vec::new();
        self.shape.write(record, &mut line);
        self.kept.insert(at, (record.timestamp, line));
        if self.kept.len() > count {
            self.kept.pop_front();
        }
    }

    fn show_kept(&mut self) -> anyhow::Result<()> {
        for (_, line) in std::mem::take(&mut self.kept) {
            if self.shown == 0 {
                self.out.write_all(self.shape.header().as_bytes())?;
            }
            self.shown += 1;
            self.out.write_all(&line)?;
        }
        self.flush()
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        Ok(self.out.flush()?)
    }

    fn finish(&mut self) -> anyhow::Result<()> {
        self.show_kept()
    }
}
