//! `kafka-consumer-groups --reset-offsets`.

use super::{groups, partitions};
use crate::calendar;
use crate::kafka::Failure;
use crate::kafka::options::Options;
use crate::kafka::out::{Out, complain};
use afluente_client::admin::groups::CommittedOffset;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::{Admin, TopicPartition};
use anyhow::{Context, anyhow, bail};
use std::collections::BTreeMap;

const SCENARIOS: &[&str] = &[
    "to-offset",
    "shift-by",
    "to-datetime",
    "by-duration",
    "to-earliest",
    "to-latest",
    "to-current",
    "from-file",
];

type Offsets = BTreeMap<TopicPartition, i64>;

pub(super) async fn run(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    options.refuse("execute", if options.has("execute") { &["dry-run"] } else { &[] })?;
    let scenario = options.one_of(SCENARIOS)?;
    if !options.has("execute") && !options.has("dry-run") && !options.has("export") {
        complain(
            "WARN: No action will be performed as the --execute option is missing. In a future \
             major release of Kafka, the default behavior of this command will be to prompt the \
             user before executing.",
        );
    }
    let mut planned: Vec<(String, Offsets)> = Vec::new();
    for group in groups(admin, options).await? {
        let described = admin.describe_groups([group.as_str()]).await?.remove(&group);
        let state = match described {
            Some(Ok(described)) => described.state,
            // A group that is not there is made by its first offsets.
            _ => "Dead".to_owned(),
        };
        if !matches!(state.as_str(), "Empty" | "Dead") {
            out.line(format!(
                "\nError: Assignments can only be reset if the group '{group}' is inactive, but \
                 the current state is {state}."
            ))?;
            continue;
        }
        let offsets = plan(admin, options, scenario, &group, &mut out).await?;
        if options.has("execute") {
            commit(admin, &group, &offsets).await?;
        }
        planned.push((group, offsets));
    }
    show(&planned, options.has("export"), &mut out)?;
    Ok(out)
}

async fn plan(
    admin: &Admin,
    options: &Options,
    scenario: &str,
    group: &str,
    out: &mut Out,
) -> Result<Offsets, Failure> {
    if scenario == "from-file" {
        let wanted = from_file(options.require("from-file")?, group)?;
        return clamp(admin, wanted).await;
    }
    let partitions = partitions(admin, options, group).await?;
    let number = |name| -> Result<i64, Failure> {
        options.number(name)?.ok_or_else(|| Failure::Usage(format!("--{name} needs a number")))
    };
    match scenario {
        "to-earliest" => list(admin, partitions, OffsetSpec::Earliest).await,
        "to-latest" => list(admin, partitions, OffsetSpec::Latest).await,
        "to-offset" => {
            let offset = number("to-offset")?;
            clamp(admin, partitions.into_iter().map(|one| (one, offset)).collect()).await
        }
        "to-datetime" => {
            let at = datetime(options.require("to-datetime")?)?;
            at_or_end(admin, partitions, at, out).await
        }
        "by-duration" => {
            let ago = duration_ms(options.require("by-duration")?)?;
            let now = admin.client().env().clock.wall_ms();
            at_or_end(admin, partitions, now - ago, out).await
        }
        _ => {
            let committed = admin.committed_offsets(group).await?;
            let shift = if scenario == "shift-by" { number("shift-by")? } else { 0 };
            let (known, without): (Vec<_>, Vec<_>) =
                partitions.into_iter().partition(|one| committed.contains_key(one));
            if shift != 0 && !without.is_empty() {
                let names: Vec<String> = without.iter().map(ToString::to_string).collect();
                return Err(anyhow!(
                    "Cannot shift offset for partition {} since there is no current committed offset",
                    names.join(", ")
                )
                .into());
            }
            let wanted = known.into_iter().map(|one| {
                let offset = committed[&one].offset + shift;
                (one, offset)
            });
            let mut planned =
                if shift == 0 { wanted.collect() } else { clamp(admin, wanted.collect()).await? };
            planned.extend(list(admin, without, OffsetSpec::Latest).await?);
            Ok(planned)
        }
    }
}

async fn list(
    admin: &Admin,
    partitions: Vec<TopicPartition>,
    spec: OffsetSpec,
) -> Result<Offsets, Failure> {
    let asked = partitions.into_iter().map(|one| (one, spec));
    let found = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await?;
    let mut offsets = Offsets::new();
    for (partition, result) in found {
        offsets.insert(partition, result?.offset);
    }
    Ok(offsets)
}

/// The offsets of a time; the end where there is no record from then on.
async fn at_or_end(
    admin: &Admin,
    partitions: Vec<TopicPartition>,
    at: i64,
    out: &mut Out,
) -> Result<Offsets, Failure> {
    let mut offsets = list(admin, partitions.clone(), OffsetSpec::At(at)).await?;
    let behind: Vec<TopicPartition> =
        partitions.into_iter().filter(|one| offsets.get(one).is_none_or(|&at| at < 0)).collect();
    for TopicPartition { topic, partition } in &behind {
        out.line(format!(
            "\nWarn: Partition {partition} from topic {topic} is empty. Falling back to latest known \
             offset."
        ))?;
    }
    offsets.extend(list(admin, behind, OffsetSpec::Latest).await?);
    Ok(offsets)
}

/// Offsets that are there: those outside go to the nearest end, with a warning.
async fn clamp(admin: &Admin, wanted: Offsets) -> Result<Offsets, Failure> {
    let partitions: Vec<TopicPartition> = wanted.keys().cloned().collect();
    let first = list(admin, partitions.clone(), OffsetSpec::Earliest).await?;
    let end = list(admin, partitions, OffsetSpec::Latest).await?;
    let clamped = wanted.into_iter().map(|(partition, offset)| {
        let (first, end) = (first[&partition], end[&partition]);
        if offset > end {
            complain(&format!(
                "WARN New offset ({offset}) is higher than latest offset for topic partition \
                 {partition}. Value will be set to {end}"
            ));
        } else if offset < first {
            complain(&format!(
                "WARN New offset ({offset}) is lower than earliest offset for topic partition \
                 {partition}. Value will be set to {first}"
            ));
        }
        (partition, offset.clamp(first, end.max(first)))
    });
    Ok(clamped.collect())
}

async fn commit(admin: &Admin, group: &str, offsets: &Offsets) -> Result<(), Failure> {
    let offsets = offsets
        .iter()
        .map(|(partition, &offset)| {
            let committed = CommittedOffset { offset, leader_epoch: -1, metadata: String::new() };
            (partition.clone(), committed)
        })
        .collect();
    for (_, result) in admin.alter_offsets(group, &offsets).await? {
        result?;
    }
    Ok(())
}

fn show(planned: &[(String, Offsets)], is_export: bool, out: &mut Out) -> std::io::Result<()> {
    if is_export {
        for (group, offsets) in planned {
            for (key, offset) in offsets {
                // With several groups the file has to say which.
                let group = if planned.len() > 1 { format!("{group},") } else { String::new() };
                out.line(format!("{group}{},{},{offset}", key.topic, key.partition))?;
            }
        }
        return out.line("");
    }
    let rows = planned.iter().flat_map(|(group, offsets)| {
        offsets.iter().map(move |(key, offset)| (group.as_str(), key, offset))
    });
    let group_width = planned.iter().map(|(group, _)| group.len()).max().unwrap_or(0).max(15);
    let topic_width = rows.clone().map(|(_, key, _)| key.topic.len()).max().unwrap_or(0).max(15);
    let line = |group: &str, topic: &str, partition: &str, offset: &str| {
        format!("{group:<group_width$} {topic:<topic_width$} {partition:<10} {offset}")
    };
    out.line(format!("\n{}", line("GROUP", "TOPIC", "PARTITION", "NEW-OFFSET")))?;
    for (group, key, offset) in rows {
        out.line(line(group, &key.topic, &key.partition.to_string(), &offset.to_string()))?;
    }
    Ok(())
}

/// Lines of `topic,partition,offset`, or `group,topic,partition,offset`.
fn from_file(path: &str, group: &str) -> anyhow::Result<Offsets> {
    #[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
    let text = std::fs::read_to_string(path).with_context(|| format!("could not read {path:?}"))?;
    let mut offsets = Offsets::new();
    for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
        let mut cells: Vec<&str> =
            line.split(',').map(|cell| cell.trim().trim_matches('"')).collect();
        if cells.len() == 4 && cells.remove(0) != group {
            continue;
        }
        let parsed = match cells[..] {
            [topic, partition, offset] => partition
                .parse()
                .ok()
                .zip(offset.parse().ok())
                .map(|(partition, offset)| (TopicPartition::new(topic, partition), offset)),
            _ => None,
        };
        let Some((partition, offset)) = parsed else {
            bail!("line {number} of {path} is not topic,partition,offset: {line:?}");
        };
        offsets.insert(partition, offset);
    }
    Ok(offsets)
}

/// `2024-01-31T12:30:00.000`, with `Z`, `+02:00`, or UTC if it says nothing.
fn datetime(text: &str) -> Result<i64, Failure> {
    parse_datetime(text).ok_or_else(|| {
        Failure::Usage(format!(
            "--to-datetime {text} does not have the form YYYY-MM-DDThh:mm:ss.sss"
        ))
    })
}

fn parse_datetime(text: &str) -> Option<i64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let zone = time.find(['Z', '+', '-']).unwrap_or(time.len());
    let (time, zone) = time.split_at(zone);
    let mut time = time.splitn(3, ':');
    let hour: i64 = time.next()?.parse().ok()?;
    let minute: i64 = time.next()?.parse().ok()?;
    let second: f64 = time.next().unwrap_or("0").parse().ok()?;
    let offset_minutes = match zone {
        "" | "Z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let digits = zone[1..].replace(':', "");
            let number: i64 = digits.parse().ok()?;
            let minutes = match digits.len() {
                2 => number * 60,
                4 => number / 100 * 60 + number % 100,
                _ => return None,
            };
            sign * minutes
        }
    };
    let is_valid = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && (0..24).contains(&hour)
        && (0..60).contains(&minute)
        && (0.0..61.0).contains(&second);
    let days = is_valid.then(|| calendar::days(year, month, day))?;
    let minutes = (days * 24 + hour) * 60 + minute - offset_minutes;
    #[allow(clippy::cast_possible_truncation, reason = "below 61,000")]
    let ms = (second * 1000.0).round() as i64;
    Some(minutes * 60_000 + ms)
}

/// `P1DT2H3M4.5S`.
fn duration_ms(text: &str) -> Result<i64, Failure> {
    parse_duration(text).ok_or_else(|| {
        Failure::Usage(format!("--by-duration {text} does not have the form of P1DT2H3M4S"))
    })
}

fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text.strip_prefix('P')?;
    let (mut ms, mut in_time, mut has_part) = (0.0, false, false);
    while !rest.is_empty() {
        if let Some(time) = rest.strip_prefix('T') {
            if in_time {
                return None;
            }
            (rest, in_time) = (time, true);
            continue;
        }
        let unit = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = rest[..unit].parse().ok()?;
        let unit_ms = match (rest.as_bytes()[unit], in_time) {
            (b'D', false) => 86_400_000.0,
            (b'H', true) => 3_600_000.0,
            (b'M', true) => 60_000.0,
            (b'S', true) => 1_000.0,
            _ => return None,
        };
        ms += number * unit_ms;
        has_part = true;
        rest = &rest[unit + 1..];
    }
    #[allow(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
    has_part.then_some(ms as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_durations_are_read_as_kafka_reads_them() {
        for (text, expected) in [
            ("1970-01-01T00:00:00.000", Some(0)),
            ("2023-11-14T22:13:20.500Z", Some(1_700_000_000_500)),
            ("2023-11-15T00:13:20+02:00", Some(1_700_000_000_000)),
            ("2000-02-29T00:00:00", Some(951_782_400_000)),
            ("2023-13-01T00:00:00", None),
            ("2023-11-14", None),
        ] {
            assert_eq!(parse_datetime(text), expected, "{text}");
        }
        for (text, expected) in [
            ("P1D", Some(86_400_000)),
            ("PT1H30M0.5S", Some(5_400_500)),
            ("P", None),
            ("1D", None),
            ("P1H", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
