//! `kafka-leader-election`: lets partitions have other leaders.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Run, Running, Tool};
use afluente_client::admin::replicas::ElectionType;
use afluente_client::{Admin, TopicPartition};
use afluente_protocol::error_code::ErrorCode;
use anyhow::{Context, anyhow, bail};
use serde::Deserialize;
use std::collections::BTreeSet;

pub(super) const TOOL: Tool = Tool {
    name: "leader-election",
    about: "Elect leaders of partitions: the preferred ones, or any where there is none.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    value("election-type", "KIND", "preferred, or unclean, which may lose records. Required."),
    flag("all-topic-partitions", "Of all partitions."),
    value("topic", "NAME", "Of one partition of this topic."),
    value("partition", "N", "With --topic: the partition."),
    value(
        "path-to-json-file",
        "FILE",
        "Of these: {\"partitions\": [{\"topic\": \"t\", \"partition\": 1}]}.",
    ),
    value("admin.config", "FILE", "As --command-config."),
];

#[derive(Deserialize)]
struct File {
    partitions: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
}

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let (election, partitions) = asked(&options)?;
        let shown = match election {
            ElectionType::Preferred => "PREFERRED",
            ElectionType::Unclean => "UNCLEAN",
        };
        let (mut succeeded, mut unneeded, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        for (partition, result) in admin.elect_leaders(election, partitions).await? {
            match result {
                Ok(()) => succeeded.push(partition.to_string()),
                Err(error) if error.error_code() == Some(ErrorCode::ElectionNotNeeded) => {
                    unneeded.push(partition.to_string());
                }
                Err(error) => failed.push((partition, error)),
            }
        }
        if !succeeded.is_empty() {
            out.line(format!(
                "Successfully completed leader election ({shown}) for partitions {}",
                succeeded.join(", ")
            ))?;
        }
        if !unneeded.is_empty() {
            out.line(format!(
                "Valid replica already elected for partitions {}",
                unneeded.join(", ")
            ))?;
        }
        if failed.is_empty() {
            return Ok(out);
        }
        let count = failed.len();
        for (partition, error) in failed {
            out.line(format!(
                "Error completing leader election ({shown}) for partition: {partition}: {}",
                super::java_error(&error)
            ))?;
        }
        out.flush()?;
        Err(anyhow!("{count} replica(s) could not be elected").into())
    })
}

fn asked(options: &Options) -> anyhow::Result<(ElectionType, Option<Vec<TopicPartition>>)> {
    let election = match options.get("election-type").map(str::to_ascii_lowercase).as_deref() {
        Some("preferred") => ElectionType::Preferred,
        Some("unclean") => ElectionType::Unclean,
        Some(other) => bail!("{other} is no --election-type: preferred and unclean are"),
        None => bail!("Missing required option(s): election-type"),
    };
    let given = ["topic", "all-topic-partitions", "path-to-json-file"];
    let given: Vec<&str> = given.into_iter().filter(|name| options.has(name)).collect();
    let partitions = match given[..] {
        ["all-topic-partitions"] => None,
        ["topic"] => {
            let partition = options.get("partition");
            let partition = partition.context("Missing required option(s): partition")?;
            let partition = partition.parse().with_context(|| {
                format!("Cannot parse argument '{partition}' of option partition")
            })?;
            Some(vec![TopicPartition::new(options.get("topic").unwrap_or_default(), partition)])
        }
        ["path-to-json-file"] => {
            Some(from_file(options.get("path-to-json-file").unwrap_or_default())?)
        }
        _ => bail!(
            "One and only one of the following options is required: topic, \
             all-topic-partitions, path-to-json-file"
        ),
    };
    if options.has("partition") && !options.has("topic") {
        bail!("Option partition is only allowed if topic is used");
    }
    Ok((election, partitions))
}

#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn from_file(path: &str) -> anyhow::Result<Vec<TopicPartition>> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the file {path:?}"))?;
    let file: File = serde_json::from_str(&text)
        .with_context(|| format!("{path} does not have the form that --help shows"))?;
    let mut seen = BTreeSet::new();
    let partitions = file.partitions.into_iter().map(|entry| {
        let partition = TopicPartition::new(entry.topic, entry.partition);
        if !seen.insert(partition.clone()) {
            bail!("Replica election data contains duplicate partitions: {partition}");
        }
        Ok(partition)
    });
    partitions.collect()
}
