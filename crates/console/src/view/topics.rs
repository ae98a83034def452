//! Topics: the list, one topic, and what changes them.

use crate::console::Console;
use crate::sampler::look_at_topic;
use crate::state::{State, TopicState};
use crate::trouble::problem;
use crate::view::overview::GroupLag;
use crate::view::page::{Items, Wish};
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicRow {
    name: String,
    internal: bool,
    partitions: usize,
    replication_factor: usize,
    messages: i64,
    size_bytes: Option<i64>,
    in_messages: f64,
    in_bytes: Option<f64>,
    sparkline: Vec<f32>,
    cleanup_policy: String,
    retention_ms: Option<i64>,
    groups: usize,
    under_replicated: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicDetail {
    #[serde(flatten)]
    row: TopicRow,
    topic_id: Option<String>,
    partition_list: Vec<Partition>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Partition {
    partition: i32,
    leader: Option<i32>,
    leader_epoch: Option<i32>,
    replicas: Vec<i32>,
    isr: Vec<i32>,
    begin_offset: i64,
    end_offset: i64,
    size_bytes: Option<i64>,
    in_messages: f64,
}

fn row(name: &str, topic: &TopicState, groups: usize) -> TopicRow {
    TopicRow {
        name: name.to_owned(),
        internal: topic.internal,
        partitions: topic.partitions.len(),
        replication_factor: topic.replication_factor(),
        messages: topic.messages(),
        size_bytes: topic.size_bytes(),
        in_messages: topic.in_messages(),
        in_bytes: topic.in_bytes(),
        sparkline: topic.spark.iter().copied().collect(),
        cleanup_policy: topic.cleanup_policy.clone().unwrap_or_default(),
        retention_ms: topic.retention_ms,
        groups,
        under_replicated: topic.under_replicated(),
    }
}

type Named<'a> = (&'a String, &'a TopicState);
type Compare<'a> = dyn Fn(&Named<'_>, &Named<'_>) -> Ordering + 'a;

pub(crate) fn list(console: &Console, request: &Request) -> Result<Response, Problem> {
    let wish = Wish::read(request, "name")?;
    let internal = request.query().get("internal") == Some("true");
    console.read(|state| {
        let groups = state.group_counts();
        let count = |name: &str| groups.get(name).copied().unwrap_or(0);
        let by = |key: fn(&TopicState) -> f64| {
            move |one: &Named<'_>, other: &Named<'_>| key(one.1).total_cmp(&key(other.1))
        };
        let compare: Box<Compare<'_>> = match wish.sort.as_str() {
            "name" => Box::new(|one, other| one.0.cmp(other.0)),
            "partitions" => Box::new(by(|topic| topic.partitions.len() as f64)),
            "replicationFactor" => Box::new(by(|topic| topic.replication_factor() as f64)),
            "messages" => Box::new(by(|topic| topic.messages() as f64)),
            "sizeBytes" => Box::new(by(|topic| topic.size_bytes().unwrap_or(-1) as f64)),
            "inMessages" => Box::new(by(TopicState::in_messages)),
            "groups" => Box::new(|one, other| count(one.0).cmp(&count(other.0))),
            _ => {
                let known =
                    "name, partitions, replicationFactor, messages, sizeBytes, inMessages, groups";
                return Err(wish.unknown_sort(known));
            }
        };
        let chosen: Vec<Named<'_>> = state
            .topics
            .iter()
            .filter(|(name, topic)| (internal || !topic.internal) && wish.matches(name))
            .collect();
        let make = |(name, topic): Named<'_>| row(name, topic, count(name));
        Ok(Response::json(&wish.cut(chosen, state.as_of, compare, |(name, _)| name, make)))
    })
}

fn unknown(topic: &str) -> Problem {
    let code = "UNKNOWN_TOPIC_OR_PARTITION";
    let what = format!("could not find topic \"{topic}\"");
    Problem::new(StatusCode::NOT_FOUND, code, what, "there is no topic of this name")
        .remedy("look at the list of topics: it may have been deleted, or be spelled otherwise")
}

fn detail_of(state: &State, name: &str) -> Result<TopicDetail, Problem> {
    let topic = state.topics.get(name).ok_or_else(|| unknown(name))?;
    let partition = |(number, partition): (&i32, &crate::state::PartitionState)| Partition {
        partition: *number,
        leader: partition.leader,
        leader_epoch: Some(partition.leader_epoch).filter(|epoch| *epoch >= 0),
        replicas: partition.replicas.clone(),
        isr: partition.isr.clone(),
        begin_offset: partition.begin,
        end_offset: partition.end.unwrap_or(partition.begin),
        size_bytes: partition.size_bytes,
        in_messages: partition.growth.per_second().unwrap_or(0.0),
    };
    Ok(TopicDetail {
        row: row(name, topic, state.groups_of(name).len()),
        topic_id: topic.id.clone(),
        partition_list: topic.partitions.iter().map(partition).collect(),
    })
}

pub(crate) async fn detail(console: &Console, topic: &str) -> Result<Response, Problem> {
    let known = console.read(|state| state.topics.contains_key(topic));
    if !known {
        // It may be younger than the last look.
        let what = || format!("could not find topic \"{topic}\"");
        look_at_topic(console, topic).await.map_err(|error| problem(what(), &error))?;
    }
    console.read(|state| Ok(Response::json(&detail_of(state, topic)?)))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct NewTopic {
    name: String,
    partitions: Option<i32>,
    replication_factor: Option<i16>,
    #[serde(default)]
    configs: BTreeMap<String, String>,
}

/// Leaves a number to the cluster.
const CLUSTER_DEFAULT: i16 = -1;

pub(crate) async fn create(console: &Console, mut request: Request) -> Result<Response, Problem> {
    let validate_only = request.query().get("validateOnly") == Some("true");
    let wanted: NewTopic = request.json().await?;
    let what = format!("could not create topic \"{}\"", wanted.name);
    let partitions = wanted.partitions.unwrap_or(i32::from(CLUSTER_DEFAULT));
    let replication_factor = wanted.replication_factor.unwrap_or(CLUSTER_DEFAULT);
    console
        .kafka
        .create_topic(&wanted.name, partitions, replication_factor, &wanted.configs, validate_only)
        .await
        .map_err(|error| with_field(problem(what.as_str(), &error), &wanted.configs))?;
    if validate_only {
        let topic = TopicState::new();
        let row = TopicRow {
            partitions: usize::try_from(partitions).unwrap_or(0),
            replication_factor: usize::try_from(replication_factor).unwrap_or(0),
            ..row(&wanted.name, &topic, 0)
        };
        return Ok(Response::json(&row));
    }
    answer_with_row(console, &wanted.name).await
}

/// The field of the form that the broker complains about.
fn with_field(problem: Problem, configs: &BTreeMap<String, String>) -> Problem {
    let field = match problem.code {
        "INVALID_TOPIC_EXCEPTION" | "TOPIC_ALREADY_EXISTS" => Some("name".to_owned()),
        "INVALID_PARTITIONS" => Some("partitions".to_owned()),
        "INVALID_REPLICATION_FACTOR" => Some("replicationFactor".to_owned()),
        "INVALID_CONFIG" => configs
            .keys()
            .find(|key| problem.why.contains(key.as_str()))
            .map(|key| format!("configs.{key}")),
        _ => None,
    };
    match field {
        Some(field) => problem.field(field),
        None => problem,
    }
}

/// A topic that was just made may not be in the metadata of every broker yet.
async fn answer_with_row(console: &Console, name: &str) -> Result<Response, Problem> {
    let deadline = console.kafka.deadline();
    let mut retry = console.kafka.client.retry(deadline);
    loop {
        match look_at_topic(console, name).await {
            Ok(()) => break,
            Err(error) => {
                let what = format!("topic \"{name}\" was created, but could not be looked at");
                retry.after(error).await.map_err(|error| problem(what, &error))?;
            }
        }
    }
    console.read(|state| Ok(Response::json(&detail_of(state, name)?.row)))
}

pub(crate) async fn delete(
    console: &Console,
    request: &Request,
    topic: &str,
) -> Result<Response, Problem> {
    let what = format!("could not delete topic \"{topic}\"");
    confirmed(request, topic, &what)?;
    console.kafka.delete_topic(topic).await.map_err(|error| problem(what.as_str(), &error))?;
    console.write(|state| state.topics.remove(topic));
    Ok(Response::no_content())
}

/// Deleting wants the name once more.
pub(crate) fn confirmed(request: &Request, name: &str, what: &str) -> Result<(), Problem> {
    if request.query().get("confirm") == Some(name) {
        return Ok(());
    }
    let why = "the name was not given once more, so that nothing is deleted by mistake";
    Err(Problem::new(StatusCode::CONFLICT, "CONFIRMATION_MISSING", what, why)
        .remedy("add ?confirm= with the name"))
}

/// Between two looks whether a change has reached the brokers.
const SEEN_PAUSE: Duration = Duration::from_millis(50);

#[derive(Deserialize)]
struct NewCount {
    count: i32,
}

pub(crate) async fn add_partitions(
    console: &Console,
    topic: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let wanted: NewCount = request.json().await?;
    let what = format!("could not add partitions to topic \"{topic}\"");
    let trouble = |error| problem(what.as_str(), &error);
    console.kafka.create_partitions(topic, wanted.count).await.map_err(trouble)?;
    let clock = &console.env.clock;
    let deadline = console.kafka.deadline();
    let count = |state: &State| state.topics.get(topic).map_or(0, |topic| topic.partitions.len());
    let enough = usize::try_from(wanted.count).unwrap_or(0);
    loop {
        look_at_topic(console, topic).await.map_err(trouble)?;
        if console.read(count) >= enough || deadline.has_passed(clock) {
            break;
        }
        // The brokers of a cluster hear of the new partitions a moment after the controller.
        clock.sleep(SEEN_PAUSE).await;
    }
    console.read(|state| Ok(Response::json(&detail_of(state, topic)?)))
}

#[derive(Deserialize)]
struct Purge {
    partitions: Option<Vec<Before>>,
}

#[derive(Deserialize)]
struct Before {
    partition: i32,
    before: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Begin {
    partition: i32,
    begin_offset: i64,
}

pub(crate) async fn purge(
    console: &Console,
    topic: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let wanted: Purge = request.json().await?;
    let what = format!("could not purge topic \"{topic}\"");
    let trouble = |error| problem(what.as_str(), &error);
    let known = console.kafka.partitions_of(topic).await.map_err(trouble)?;
    let before: BTreeMap<i32, i64> = match wanted.partitions {
        Some(partitions) => partitions.into_iter().map(|one| (one.partition, one.before)).collect(),
        // -1 is the high watermark.
        None => known.into_iter().map(|partition| (partition, -1)).collect(),
    };
    let begins = console.kafka.delete_records(topic, &before).await.map_err(trouble)?;
    console.write(|state| {
        let Some(topic) = state.topics.get_mut(topic) else { return };
        for (partition, begin) in &begins {
            if let Some(partition) = topic.partitions.get_mut(partition) {
                partition.begin = *begin;
            }
        }
    });
    let begin = |(partition, begin_offset)| Begin { partition, begin_offset };
    Ok(Response::json(&Items { items: begins.into_iter().map(begin).collect() }))
}

#[derive(Deserialize)]
struct Clone {
    name: String,
}

pub(crate) async fn clone(
    console: &Console,
    topic: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let wanted: Clone = request.json().await?;
    let what = format!("could not clone topic \"{topic}\" as \"{}\"", wanted.name);
    let trouble = |error| problem(what.as_str(), &error);
    let metadata = console.kafka.refresh_topic(topic).await.map_err(trouble)?;
    let partitions = &metadata.topic(topic).ok_or_else(|| unknown(topic))?.partitions;
    let replicas = partitions.values().map(|partition| partition.replicas.len()).max();
    let resource = crate::kafka::Resource::Topic(topic.to_owned());
    let configs = console.kafka.configs(&resource).await.map_err(trouble)?;
    let own =
        configs.into_iter().filter(|config| config.source == crate::kafka::ConfigSource::Topic);
    let configs = own.filter_map(|config| Some((config.name, config.value?))).collect();
    let count = i32::try_from(partitions.len()).unwrap_or(i32::MAX);
    let replication_factor = replicas.and_then(|count| i16::try_from(count).ok());
    console
        .kafka
        .create_topic(
            &wanted.name,
            count,
            replication_factor.unwrap_or(CLUSTER_DEFAULT),
            &configs,
            false,
        )
        .await
        .map_err(trouble)?;
    answer_with_row(console, &wanted.name).await
}

#[derive(Serialize)]
struct TopicGroup {
    #[serde(flatten)]
    lag: GroupLag,
    state: String,
    members: usize,
}

pub(crate) fn groups(console: &Console, topic: &str) -> Result<Response, Problem> {
    console.read(|state| {
        let of_group = |name: &str| {
            let group = state.groups.get(name)?;
            Some(TopicGroup {
                lag: GroupLag::of(name, &state.lag_of_group(group, Some(topic))),
                state: group.state.clone(),
                members: group.members,
            })
        };
        let items: Vec<TopicGroup> =
            state.groups_of(topic).into_iter().filter_map(of_group).collect();
        Ok(Response::json(&Items { items }))
    })
}
