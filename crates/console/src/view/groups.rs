//! Consumer groups: the list, one group, forgetting and deleting.

pub(crate) mod reset;

use crate::console::Console;
use crate::kafka::DescribedGroup;
use crate::state::{GroupState, State};
use crate::trouble::problem;
use crate::view::overview::GroupLag;
use crate::view::page::Wish;
use crate::view::topics::confirmed;
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::Serialize;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupRow {
    #[serde(flatten)]
    lag: GroupLag,
    state: String,
    #[serde(rename = "type")]
    kind: String,
    members: usize,
    topics: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupDetail {
    #[serde(flatten)]
    row: GroupRow,
    coordinator: Option<i32>,
    assignor: Option<String>,
    member_list: Vec<Member>,
    offsets: Vec<GroupOffset>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Member {
    member_id: String,
    instance_id: Option<String>,
    client_id: String,
    host: String,
    assignments: Vec<Assignment>,
}

#[derive(Debug, Serialize)]
struct Assignment {
    topic: String,
    partitions: Vec<i32>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupOffset {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    begin_offset: i64,
    end_offset: i64,
    lag: Option<i64>,
    lag_seconds: Option<f64>,
    member_id: Option<String>,
    consume_rate: Option<f64>,
    trend: &'static str,
    zero_in_seconds: Option<f64>,
    sparkline: Vec<f64>,
}

struct Sortable<'a> {
    name: &'a String,
    group: &'a GroupState,
    lag: GroupLag,
    topics: usize,
}

fn topics_of(group: &GroupState) -> usize {
    group.offsets.keys().map(|(topic, _)| topic).collect::<BTreeSet<_>>().len()
}

fn sortable<'a>(state: &State, name: &'a String, group: &'a GroupState) -> Sortable<'a> {
    let lag = GroupLag::of(name, &state.lag_of_group(group, None));
    Sortable { name, group, lag, topics: topics_of(group) }
}

fn row(sortable: Sortable<'_>) -> GroupRow {
    GroupRow {
        lag: sortable.lag,
        state: state_name(&sortable.group.state),
        kind: sortable.group.kind.clone(),
        members: sortable.group.members,
        topics: sortable.topics,
    }
}

/// The states that the interface names; a newer cluster may have others.
fn state_name(state: &str) -> String {
    const KNOWN: &[&str] = &[
        "Stable",
        "Empty",
        "PreparingRebalance",
        "CompletingRebalance",
        "Assigning",
        "Reconciling",
        "Dead",
        "NotReady",
    ];
    let known = KNOWN.iter().find(|known| known.eq_ignore_ascii_case(state));
    known.map_or_else(|| "Unknown".to_owned(), |known| (*known).to_owned())
}

pub(crate) fn list(console: &Console, request: &Request) -> Result<Response, Problem> {
    let wish = Wish::read(request, "-lag")?;
    let wanted_state = request.query().get("state").map(str::to_owned);
    type Compare = fn(&Sortable<'_>, &Sortable<'_>) -> Ordering;
    let compare: Compare = match wish.sort.as_str() {
        "group" => |one, other| one.name.cmp(other.name),
        "state" => |one, other| one.group.state.cmp(&other.group.state),
        "members" => |one, other| one.group.members.cmp(&other.group.members),
        "topics" => |one, other| one.topics.cmp(&other.topics),
        "lag" => |one, other| one.lag.lag.cmp(&other.lag.lag),
        "lagSeconds" => |one, other| {
            let seconds = |one: &Sortable<'_>| one.lag.lag_seconds.unwrap_or(-1.0);
            seconds(one).total_cmp(&seconds(other))
        },
        _ => return Err(wish.unknown_sort("group, state, members, topics, lag, lagSeconds")),
    };
    console.read(|state| {
        let chosen: Vec<Sortable<'_>> = state
            .groups
            .iter()
            .filter(|(name, group)| {
                let is_wanted =
                    wanted_state.as_ref().is_none_or(|wanted| state_name(&group.state) == *wanted);
                is_wanted && wish.matches(name)
            })
            .map(|(name, group)| sortable(state, name, group))
            .collect();
        Ok(Response::json(&wish.cut(chosen, state.as_of, compare, |group| group.name, row)))
    })
}

pub(crate) async fn detail(console: &Console, name: &str) -> Result<Response, Problem> {
    Ok(Response::json(&detail_of(console, name).await?))
}

/// As the last look saw it, with the members as they are at this moment.
pub(crate) async fn detail_of(console: &Console, name: &str) -> Result<GroupDetail, Problem> {
    let found = console
        .read(|state| state.groups.get(name).map(|group| (group.coordinator, group.kind.clone())));
    let Some((coordinator, kind)) = found else { return Err(unknown(name)) };
    let names = [name.to_owned()];
    let what = || format!("could not describe group \"{name}\"");
    let described = console.kafka.describe_groups(coordinator, &kind, &names).await;
    let described = match described {
        Ok(mut described) => described.remove(name).unwrap_or_default(),
        // A group of a kind that this cluster describes in another way: its offsets are known.
        Err(afluente_client::Error::UnsupportedVersion { .. }) => DescribedGroup::default(),
        Err(error) => return Err(problem(what(), &error)),
    };
    console.read(|state| {
        let group = state.groups.get(name).ok_or_else(|| unknown(name))?;
        Ok(assemble(state, name, group, described))
    })
}

fn assemble(
    state: &State,
    name: &str,
    group: &GroupState,
    described: DescribedGroup,
) -> GroupDetail {
    let mut readers: BTreeMap<(String, i32), String> = BTreeMap::new();
    for member in &described.members {
        for (topic, partitions) in &member.assignment {
            for partition in partitions {
                readers.insert((topic.clone(), *partition), member.member_id.clone());
            }
        }
    }
    let all: BTreeSet<_> = group.offsets.keys().chain(readers.keys()).cloned().collect();
    let offsets = all.into_iter().map(|partition| {
        let (begin_offset, end_offset) = state.range(&partition.0, partition.1).unwrap_or((0, 0));
        let offset = group.offsets.get(&partition);
        let lag = offset.and_then(|offset| state.lag_of_offset(&partition, offset));
        GroupOffset {
            committed: offset.map(|offset| offset.committed),
            begin_offset,
            end_offset,
            lag: lag.as_ref().map(|lag| lag.messages),
            lag_seconds: lag.as_ref().and_then(|lag| lag.seconds),
            member_id: readers.get(&partition).cloned(),
            consume_rate: offset.and_then(|offset| offset.growth.per_second()),
            trend: lag.as_ref().map_or("steady", |lag| lag.trend),
            zero_in_seconds: lag.as_ref().and_then(|lag| lag.zero_in_seconds),
            sparkline: offset
                .map(|offset| offset.spark.iter().copied().collect())
                .unwrap_or_default(),
            topic: partition.0,
            partition: partition.1,
        }
    });
    let offsets: Vec<GroupOffset> = offsets.collect();
    let topics: BTreeSet<&String> = offsets.iter().map(|offset| &offset.topic).collect();
    let row = GroupRow {
        lag: GroupLag::of(name, &state.lag_of_group(group, None)),
        state: state_name(if described.state.is_empty() { &group.state } else { &described.state }),
        kind: group.kind.clone(),
        members: described.members.len(),
        topics: topics.len(),
    };
    let member = |member: crate::kafka::GroupMember| Member {
        member_id: member.member_id,
        instance_id: member.instance_id,
        client_id: member.client_id,
        host: member.host,
        assignments: member
            .assignment
            .into_iter()
            .map(|(topic, partitions)| Assignment { topic, partitions })
            .collect(),
    };
    GroupDetail {
        row,
        coordinator: Some(group.coordinator).filter(|id| *id >= 0),
        assignor: described.assignor,
        member_list: described.members.into_iter().map(member).collect(),
        offsets,
    }
}

pub(crate) fn unknown(name: &str) -> Problem {
    let what = format!("could not find group \"{name}\"");
    Problem::new(
        StatusCode::NOT_FOUND,
        "GROUP_ID_NOT_FOUND",
        what,
        "there is no group of this name",
    )
    .remedy("look at the list of groups: a group without members goes once its offsets expire")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LagHistory {
    t: Vec<i64>,
    lag: Vec<Option<i64>>,
    lag_seconds: Vec<Option<f64>>,
}

pub(crate) fn history(
    console: &Console,
    request: &Request,
    name: &str,
) -> Result<Response, Problem> {
    let window_ms: i64 = request.query().parsed("windowMs")?.unwrap_or(900_000);
    console.read(|state| {
        let group = state.groups.get(name).ok_or_else(|| unknown(name))?;
        let from_ms = state.as_of - window_ms;
        let points = || group.history.iter().filter(|(t, _, _)| *t >= from_ms);
        Ok(Response::json(&LagHistory {
            t: points().map(|(t, _, _)| *t).collect(),
            lag: points().map(|(_, lag, _)| Some(*lag)).collect(),
            lag_seconds: points().map(|(_, _, seconds)| *seconds).collect(),
        }))
    })
}

pub(crate) async fn forget(
    console: &Console,
    request: &Request,
    name: &str,
) -> Result<Response, Problem> {
    let query = request.query();
    let what = format!("could not forget offsets of group \"{name}\"");
    let Some(topic) = query.get("topic") else {
        return Err(Problem::invalid(what, "it is not said of which topic").field("topic"));
    };
    let trouble = |error| problem(what.as_str(), &error);
    let committed = console.kafka.committed(name).await.map_err(trouble)?;
    let of_topic = committed.keys().filter(|(of, _)| of == topic);
    let partitions: Vec<i32> = of_topic.map(|(_, partition)| *partition).collect();
    console.kafka.delete_offsets(name, topic, &partitions).await.map_err(trouble)?;
    Ok(Response::no_content())
}

pub(crate) async fn delete(
    console: &Console,
    request: &Request,
    name: &str,
) -> Result<Response, Problem> {
    let what = format!("could not delete group \"{name}\"");
    confirmed(request, name, &what)?;
    console.kafka.delete_group(name).await.map_err(|error| problem(what.as_str(), &error))?;
    console.write(|state| state.groups.remove(name));
    Ok(Response::no_content())
}
