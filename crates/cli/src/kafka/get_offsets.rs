//! `kafka-get-offsets`: offsets of partitions.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::topics::include_pattern;
use super::{Failure, Run, Running, Tool};
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::metadata::ClusterMetadata;
use afluente_client::{Admin, TopicPartition};
use std::ops::RangeInclusive;

pub(super) const TOOL: Tool = Tool {
    name: "get-offsets",
    about: "Show the offsets of partitions: the first, the last, by time.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("topic", "REGEX", "The topics; all that there are if not given."),
    value("partitions", "N,N,N-M", "Of these only."),
    value(
        "topic-partitions",
        "REGEX:N-M,…",
        "Topics with partitions: `a:0`, `a:2-4` (without the last), `a:3-`, `a`.",
    ),
    value(
        "time",
        "MS or NAME",
        "-1 or latest, -2 or earliest, -3 or max-timestamp, -4 or earliest-local, -5 or \
         latest-tiered, -6 or earliest-pending-upload; or ms since 1970. The default is latest.",
    ),
    flag("exclude-internal-topics", "Without Kafka's own topics."),
];

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let spec = spec(options.get("time").unwrap_or("latest"))?;
        if options.has("topic-partitions") {
            options.refuse("topic-partitions", &["topic", "partitions"])?;
        }
        let wanted = wanted(&options)?;
        let metadata = admin.list_topics().await?;
        let mut partitions = matching(&metadata, &wanted, options.has("exclude-internal-topics"));
        if partitions.is_empty() {
            return Err(anyhow::anyhow!(
                "Could not match any topic-partitions with the specified filters"
            )
            .into());
        }
        partitions.sort();
        let asked = partitions.into_iter().map(|partition| (partition, spec));
        let mut skipped = Vec::new();
        let offsets = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await?;
        for (partition, result) in offsets {
            match result {
                Ok(found) if found.offset >= 0 => {
                    let TopicPartition { topic, partition } = partition;
                    out.line(format!("{topic}:{partition}:{}", found.offset))?;
                }
                // Kafka's tool has no line for a time behind the last record.
                Ok(_) => {}
                Err(error) => {
                    skipped.push(format!("Skip getting offsets for {partition}: {error}"))
                }
            }
        }
        skipped.iter().for_each(|line| super::out::complain(line));
        Ok(out)
    })
}

fn spec(text: &str) -> Result<OffsetSpec, Failure> {
    Ok(match text {
        "latest" | "-1" => OffsetSpec::Latest,
        "earliest" | "-2" => OffsetSpec::Earliest,
        "max-timestamp" | "-3" => OffsetSpec::MaxTimestamp,
        "earliest-local" | "-4" => OffsetSpec::EarliestLocal,
        "latest-tiered" | "-5" => OffsetSpec::LatestTiered,
        "earliest-pending-upload" | "-6" => OffsetSpec::EarliestPendingUpload,
        other => OffsetSpec::At(other.parse().map_err(|_| {
            Failure::Usage(format!("--time {other} is neither a number nor latest, earliest, …"))
        })?),
    })
}

/// A pattern of topics and their partitions; `None` is all of them.
type Wanted = (regex_lite::Regex, Option<Vec<RangeInclusive<i32>>>);

fn wanted(options: &Options) -> Result<Vec<Wanted>, Failure> {
    let topic = options.get("topic").unwrap_or(".*");
    let Some(list) = options.get("topic-partitions") else {
        let ranges = match options.get("partitions") {
            None => None,
            Some(list) => Some(list.split(',').map(range).collect::<Result<_, _>>()?),
        };
        return Ok(vec![(include_pattern(topic)?, ranges)]);
    };
    let wanted = list.split(',').map(|item| {
        let (topic, partitions) = item.split_once(':').unwrap_or((item, ""));
        let topic = if topic.is_empty() { ".*" } else { topic };
        let ranges = if partitions.is_empty() { None } else { Some(vec![range(partitions)?]) };
        Ok((include_pattern(topic)?, ranges))
    });
    wanted.collect()
}

/// `3`, `3-5` (without the 5), `3-`, `-5`.
fn range(text: &str) -> Result<RangeInclusive<i32>, Failure> {
    let invalid = || Failure::Usage(format!("{text:?} is neither a partition nor a range"));
    let number = |text: &str| text.trim().parse::<i32>().map_err(|_| invalid());
    match text.trim().split_once('-') {
        None => {
            let one = number(text)?;
            Ok(one..=one)
        }
        Some(("", "")) => Err(invalid()),
        Some((first, "")) => Ok(number(first)?..=i32::MAX),
        Some(("", end)) => Ok(0..=number(end)? - 1),
        Some((first, end)) => Ok(number(first)?..=number(end)? - 1),
    }
}

fn matching(
    metadata: &ClusterMetadata,
    wanted: &[Wanted],
    without_internal: bool,
) -> Vec<TopicPartition> {
    let mut found = Vec::new();
    for topic in metadata.topics.values().filter(|topic| !(without_internal && topic.is_internal)) {
        for &partition in topic.partitions.keys() {
            let is_wanted = wanted.iter().any(|(pattern, ranges)| {
                pattern.is_match(&topic.name)
                    && ranges
                        .as_ref()
                        .is_none_or(|all| all.iter().any(|range| range.contains(&partition)))
            });
            if is_wanted {
                found.push(TopicPartition::new(topic.name.as_str(), partition));
            }
        }
    }
    found
}
