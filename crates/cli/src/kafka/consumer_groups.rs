//! `kafka-consumer-groups`: groups, their members and offsets; giving them other offsets.
//!
//! Rows come in the order of topics and partitions, where Kafka's tool has none. What the cluster refuses is
//! told on standard output, and the exit code is 0, as with Kafka's tool; what did not come so far ends with
//! 1, where Kafka's ends with 0.

mod reset;
mod show;

use super::options::{Options, Spec, flag, maybe, value};
use super::out::{Out, complain};
use super::{Failure, Run, Running, Tool, java_error, javas_message};
use afluente_client::admin::groups::{GroupDescription, GroupListing};
use afluente_client::{Admin, Error, TopicPartition};
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeMap;

pub(super) const TOOL: Tool = Tool {
    name: "consumer-groups",
    about: "List and describe consumer groups, delete them, and give them other offsets.",
    specs: SPECS,
    run: Run::Admin(run),
};

const ACTIONS: &[&str] =
    &["list", "describe", "delete", "reset-offsets", "delete-offsets", "validate-regex"];

/// As Kafka names them.
const STATES: &[&str] = &[
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "Empty",
    "Assigning",
    "Reconciling",
];

const SPECS: &[Spec] = &[
    flag("list", "List groups."),
    flag("describe", "Show the offsets of groups (or --members, --state)."),
    flag("delete", "Delete groups without members."),
    flag("reset-offsets", "Give a group without members other offsets; see --to-… below."),
    flag("delete-offsets", "Take the offsets of topics away."),
    value("validate-regex", "REGEX", "Say whether it is a regular expression for subscriptions."),
    value("group", "NAME", "The group; may be repeated."),
    flag("all-groups", "Every group."),
    value("topic", "NAME[:N,N]", "The topic, or some partitions of it; may be repeated."),
    flag("all-topics", "Every topic that the group has offsets of."),
    flag("offsets", "With --describe: offsets and lag. This is the default."),
    flag("members", "With --describe: the members."),
    flag("verbose", "With --describe: more columns."),
    value("timeout", "MS", "How long one call may take; 30000 if not given."),
    flag("execute", "With --reset-offsets: do it."),
    flag("dry-run", "With --reset-offsets: show what would be done. This is the default."),
    flag("export", "With --reset-offsets: show it as CSV."),
    value("from-file", "FILE", "With --reset-offsets: to the offsets of such a CSV."),
    flag("to-earliest", "With --reset-offsets: to the first offset."),
    flag("to-latest", "With --reset-offsets: behind the last record."),
    flag("to-current", "With --reset-offsets: to where it is."),
    value("to-offset", "OFFSET", "With --reset-offsets: to this offset."),
    value("shift-by", "COUNT", "With --reset-offsets: so much forward, or back if below 0."),
    value(
        "to-datetime",
        "YYYY-MM-DDThh:mm:ss.sss[±hh:mm]",
        "With --reset-offsets: to the first record from then on.",
    ),
    value("by-duration", "P1DT2H3M4S", "With --reset-offsets: to the time so long ago."),
    maybe(
        "state",
        "STATE,…",
        "With --list: the states, or groups in these; with --describe: what they do.",
    ),
    maybe("type", "TYPE,…", "With --list: the types, or groups of these."),
];

fn run(admin: Admin, mut options: Options, out: Out) -> Running {
    Box::pin(async move {
        let action = options.one_of(ACTIONS)?;
        let timeout_ms = options.number("timeout")?.unwrap_or(30_000);
        let admin = admin.with_timeout(std::time::Duration::from_millis(timeout_ms));
        options.words.clear();
        let outcome = match action {
            "validate-regex" => validate(&options, out),
            "list" => list(&admin, &options, out).await,
            "describe" => describe(&admin, &options, out).await,
            "delete" => delete(&admin, &options, out).await,
            "delete-offsets" => delete_offsets(&admin, &options, out).await,
            _ => reset::run(&admin, &options, out).await,
        };
        match outcome {
            Err(Failure::Failed(error)) if refusal(&error).is_some() => {
                let mut out = Out::stdout();
                let told = match action {
                    "describe" => refusal(&error).map(java_error),
                    _ => refusal(&error).map(words),
                };
                out.line(format!(
                    "\nError: Executing consumer group command failed due to {}",
                    told.unwrap_or_default()
                ))?;
                Ok(out)
            }
            Err(Failure::Failed(error)) => {
                Err(Failure::Failed(error.context("Executing consumer group command failed")))
            }
            other => other,
        }
    })
}

/// What the cluster itself says against it.
fn refusal(error: &anyhow::Error) -> Option<&Error> {
    error.downcast_ref::<Error>().filter(|error| matches!(error, Error::Broker { .. }))
}

/// The broker's words, or Kafka's for the code.
fn words(error: &Error) -> String {
    match error {
        Error::Broker { message: Some(message), .. } => message.clone(),
        Error::Broker { code, .. } => javas_message(*code).to_owned(),
        other => other.to_string(),
    }
}

fn validate(options: &Options, mut out: Out) -> Result<Out, Failure> {
    let pattern = options.require("validate-regex")?;
    match regex_lite::Regex::new(pattern) {
        Ok(_) => out.line(format!("The regular expression `{pattern}` is valid."))?,
        Err(error) => {
            out.line(format!("The regular expression `{pattern}` is invalid: {error}."))?;
        }
    }
    Ok(out)
}

/// The groups that the options name.
async fn groups(admin: &Admin, options: &Options) -> Result<Vec<String>, Failure> {
    if options.has("all-groups") {
        options.refuse("all-groups", &["group"])?;
        let all = admin.list_groups(&[], &[]).await?;
        return Ok(all.into_iter().filter(is_of_consumers).map(|group| group.group_id).collect());
    }
    let named: Vec<String> = options.all("group").into_iter().map(str::to_owned).collect();
    if named.is_empty() {
        let told = "Option needs one of the following options: --all-groups, --group";
        return Err(Failure::Usage(told.to_owned()));
    }
    Ok(named)
}

fn is_of_consumers(group: &GroupListing) -> bool {
    matches!(group.protocol_type.as_str(), "consumer" | "")
        && !matches!(group.kind.as_str(), "Share" | "Streams")
}

async fn list(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let names = |option| {
        let text = options.get(option).unwrap_or("");
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    let (states, kinds) = (names("state"), names("type"));
    for (told, given, valid) in
        [("state", &states, STATES), ("types", &kinds, &["Classic", "Consumer"][..])]
    {
        if given.iter().any(|name| !valid.iter().any(|one| one.eq_ignore_ascii_case(name))) {
            return Err(Failure::Usage(format!(
                "Invalid {told} list '{}'. Valid {told} are: {}",
                given.join(","),
                valid.join(", ")
            )));
        }
    }
    let mut groups = admin.list_groups(&states, &kinds).await?;
    groups.retain(is_of_consumers);
    let row = |group: &str, kind: &str, state: &str| {
        let mut line = format!("{group:<25}");
        if options.has("type") {
            line.push_str(&format!(" {kind:<20}"));
        }
        if options.has("state") {
            line.push_str(&format!(" {state:<20}"));
        }
        line
    };
    let has_columns = options.has("type") || options.has("state");
    if has_columns {
        out.line(row("GROUP", "TYPE", "STATE"))?;
    }
    for group in groups {
        if has_columns {
            out.line(row(&group.group_id, &group.kind, &group.state))?;
        } else {
            out.line(&group.group_id)?;
        }
    }
    Ok(out)
}

async fn describe(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let is_verbose = options.has("verbose");
    if ["offsets", "members", "state"].iter().filter(|name| options.has(name)).count() > 1 {
        let told = "Option [describe] takes at most one of these options: [members], [offsets], \
                    [state]";
        return Err(Failure::Usage(told.to_owned()));
    }
    options.refuse("describe", &["topic", "all-topics"])?;
    for group in groups(admin, options).await? {
        let described = admin.describe_groups([group.as_str()]).await?.remove(&group);
        let Some(described) = described.transpose()? else { continue };
        if !tell_state(&described) {
            continue;
        }
        if options.has("members") {
            show::members(&described, is_verbose, &mut out)?;
        } else if options.has("state") {
            show::state(admin, &described, is_verbose, &mut out)?;
        } else {
            show::offsets(admin, &described, is_verbose, &mut out).await?;
        }
    }
    Ok(out)
}

/// Says what is remarkable about the state of a group; whether there is more to show.
fn tell_state(group: &GroupDescription) -> bool {
    let name = &group.group_id;
    match group.state.as_str() {
        "Dead" => {
            complain(&format!("\nConsumer group '{name}' does not exist."));
            return false;
        }
        "Empty" => complain(&format!("\nConsumer group '{name}' has no active members.")),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            complain(&format!("\nWarning: Consumer group '{name}' is rebalancing."));
        }
        _ => {}
    }
    true
}

async fn delete(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let names = groups(admin, options).await?;
    let results = admin.delete_groups(names).await?;
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for (name, result) in results {
        match result {
            Ok(()) => done.push(format!("'{name}'")),
            Err(error) => {
                failed.push(format!(
                    "* Group '{name}' could not be deleted due to: {}",
                    java_error(&error)
                ));
            }
        }
    }
    let done = done.join(", ");
    if failed.is_empty() {
        out.line(format!("Deletion of requested consumer groups ({done}) was successful."))?;
        return Ok(out);
    }
    out.line("\nError: Deletion of some consumer groups failed:")?;
    let mut told = failed.join("\n");
    if !done.is_empty() {
        told.push_str(&format!("\n\nThese consumer groups were deleted successfully: {done}"));
    }
    out.line(told)?;
    Ok(out)
}

async fn delete_offsets(admin: &Admin, options: &Options, mut out: Out) -> Result<Out, Failure> {
    let group = options.require("group")?;
    options.require("topic")?;
    let (partitions, missing) = named_partitions(admin, options).await?;
    let asked = partitions.clone();
    let answer = if partitions.is_empty() {
        Ok(BTreeMap::new())
    } else {
        admin.delete_offsets(group, partitions).await
    };
    let results = match answer {
        Ok(results) => {
            if results.values().any(Result::is_err) {
                out.line(
                    "\nError: Encountered some partition-level error, see the follow-up details.",
                )?;
            } else {
                out.line(format!("Request succeeded for deleting offsets from group {group}."))?;
            }
            results
        }
        Err(error @ Error::Broker { .. }) => {
            out.line(format!("\nError: {}", words(&error)))?;
            asked.into_iter().map(|partition| (partition, Err(error.clone()))).collect()
        }
        Err(error) => return Err(error.into()),
    };
    let row = |topic: &str, partition: &str, status: &str| {
        format!("{topic:<15} {partition:<10} {status:<15}")
    };
    out.line(format!("\n{}", row("TOPIC", "PARTITION", "STATUS")))?;
    for (key, result) in results {
        let status = match result {
            Ok(()) => "Successful".to_owned(),
            Err(error) => format!("Error: {}", java_error(&error)),
        };
        out.line(row(&key.topic, &key.partition.to_string(), &status))?;
    }
    for (topic, error) in missing {
        out.line(row(&topic, "-", &format!("Error: {}", java_error(&error))))?;
    }
    Ok(out)
}

/// The partitions that `--topic` and `--all-topics` mean.
async fn partitions(
    admin: &Admin,
    options: &Options,
    group: &str,
) -> Result<Vec<TopicPartition>, Failure> {
    if options.has("all-topics") {
        return Ok(admin.committed_offsets(group).await?.into_keys().collect());
    }
    let (partitions, missing) = named_partitions(admin, options).await?;
    if let Some((_, error)) = missing.into_iter().next() {
        return Err(error.into());
    }
    if partitions.is_empty() {
        let told = "One of the reset scopes should be defined: --all-topics, --topic.";
        return Err(Failure::Usage(told.to_owned()));
    }
    Ok(partitions)
}

/// The partitions that `--topic` names, and the topics that are not there.
async fn named_partitions(
    admin: &Admin,
    options: &Options,
) -> Result<(Vec<TopicPartition>, Vec<(String, Error)>), Failure> {
    let (mut partitions, mut missing) = (Vec::new(), Vec::new());
    for item in options.all("topic") {
        let (topic, numbers) = match item.split_once(':') {
            Some((topic, numbers)) => (topic, Some(numbers)),
            None => (item, None),
        };
        let found = match admin.describe_topics([topic]).await?.remove(topic).transpose() {
            Ok(found) => found.unwrap_or_default(),
            Err(error) => {
                missing.push((topic.to_owned(), error));
                continue;
            }
        };
        let Some(numbers) = numbers else {
            let all = found.partitions.into_keys();
            partitions.extend(all.map(|partition| TopicPartition::new(topic, partition)));
            continue;
        };
        for number in numbers.split(',') {
            let partition = number.trim().parse().map_err(|_| {
                Failure::Usage(format!("{number:?} in --topic {item} is no partition"))
            })?;
            let partition = TopicPartition::new(topic, partition);
            if found.partitions.contains_key(&partition.partition) {
                partitions.push(partition);
            } else {
                let error = Error::Broker {
                    code: ErrorCode::UnknownTopicOrPartition,
                    message: Some(format!("The partitions \"{partition}\" do not exist")),
                    about: format!("partition {partition}"),
                };
                missing.push((topic.to_owned(), error));
            }
        }
    }
    Ok((partitions, missing))
}
