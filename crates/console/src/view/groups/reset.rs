//! Moving the offsets of a group, with a preview of what is read again and what is skipped.

use crate::console::Console;
use crate::kafka::{At, TopicPartition};
use crate::trouble::problem;
use afluente_client::Error;
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use afluente_protocol::error_code::ErrorCode;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Deserialize)]
struct OffsetReset {
    topics: Option<Vec<Chosen>>,
    to: To,
}

#[derive(Debug, Deserialize)]
struct Chosen {
    topic: String,
    partitions: Option<Vec<i32>>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum To {
    Earliest,
    Latest,
    Time { time_ms: i64 },
    Offset { offset: i64 },
    Shift { by: i64 },
    Group { group: String },
    Explicit { offsets: Vec<Explicit> },
}

#[derive(Debug, Deserialize)]
struct Explicit {
    topic: String,
    partition: i32,
    offset: i64,
}

#[derive(Debug, Serialize)]
struct OffsetPreview {
    items: Vec<Move>,
    reread: i64,
    skipped: i64,
    allowed: bool,
}

#[derive(Debug, Serialize)]
struct Move {
    topic: String,
    partition: i32,
    from: Option<i64>,
    to: i64,
    clamped: bool,
}

pub(crate) async fn preview(
    console: &Console,
    group: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let reset: OffsetReset = request.json().await?;
    let what = format!("could not preview the offsets of group \"{group}\"");
    Ok(Response::json(&plan(console, group, reset, &what).await?))
}

pub(crate) async fn reset(
    console: &Console,
    group: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let reset: OffsetReset = request.json().await?;
    let what = format!("could not reset the offsets of group \"{group}\"");
    let plan = plan(console, group, reset, &what).await?;
    if !plan.allowed {
        let why = "the group has members, which would go on from where they are";
        return Err(Problem::new(StatusCode::CONFLICT, "NON_EMPTY_GROUP", what, why)
            .remedy("stop the members of the group, and try again"));
    }
    let offsets: BTreeMap<TopicPartition, i64> =
        plan.items.iter().map(|item| ((item.topic.clone(), item.partition), item.to)).collect();
    console.kafka.commit(group, &offsets).await.map_err(|error| problem(what.as_str(), &error))?;
    Ok(Response::json(&plan))
}

async fn plan(
    console: &Console,
    group: &str,
    reset: OffsetReset,
    what: &str,
) -> Result<OffsetPreview, Problem> {
    let trouble = |error: Error| problem(what, &error);
    let committed = match console.kafka.committed(group).await {
        Ok(committed) => committed,
        // One that is not there yet gets its first offsets.
        Err(Error::Broker { code: ErrorCode::GroupIdNotFound, .. }) => BTreeMap::new(),
        Err(error) => return Err(trouble(error)),
    };
    let chosen = choose(console, &reset, &committed).await.map_err(trouble)?;
    let wanted = wanted(console, &reset.to, &chosen, &committed).await.map_err(trouble)?;
    let at = |at| wanted.keys().cloned().map(|name| (name, at)).collect::<Vec<_>>();
    let begins = console.kafka.offsets(&at(At::Earliest)).await.map_err(trouble)?;
    let ends = console.kafka.offsets(&at(At::Latest)).await.map_err(trouble)?;
    let mut preview = OffsetPreview { items: Vec::new(), reread: 0, skipped: 0, allowed: true };
    for (name, wish) in wanted {
        let (Some(begin), Some(end)) = (begins.get(&name), ends.get(&name)) else { continue };
        let to = wish.unwrap_or(*end).clamp(*begin, (*end).max(*begin));
        let from = committed.get(&name).copied();
        if let Some(from) = from {
            // What was deleted meanwhile can be neither read again nor skipped.
            let from = from.clamp(*begin, (*end).max(*begin));
            preview.reread += (from - to).max(0);
            preview.skipped += (to - from).max(0);
        }
        let clamped = wish.is_some_and(|wish| wish != to);
        preview.items.push(Move { topic: name.0, partition: name.1, from, to, clamped });
    }
    preview.allowed = !has_members(console, group).await;
    Ok(preview)
}

async fn has_members(console: &Console, group: &str) -> bool {
    let found = console
        .read(|state| state.groups.get(group).map(|group| (group.coordinator, group.kind.clone())));
    let Some((coordinator, kind)) = found else { return false };
    let names = [group.to_owned()];
    let described = console.kafka.describe_groups(coordinator, &kind, &names).await;
    // Where it cannot be described the commit itself will tell.
    described.is_ok_and(|described| described.values().any(|group| !group.members.is_empty()))
}

async fn choose(
    console: &Console,
    reset: &OffsetReset,
    committed: &BTreeMap<TopicPartition, i64>,
) -> Result<Vec<TopicPartition>, Error> {
    if let To::Explicit { offsets } = &reset.to {
        return Ok(offsets.iter().map(|one| (one.topic.clone(), one.partition)).collect());
    }
    let Some(topics) = &reset.topics else {
        if let To::Group { group } = &reset.to {
            return Ok(console.kafka.committed(group).await?.into_keys().collect());
        }
        return Ok(committed.keys().cloned().collect());
    };
    let mut chosen = Vec::new();
    for one in topics {
        let all = console.kafka.partitions_of(&one.topic).await?;
        let wanted = one.partitions.as_ref();
        let some = all
            .into_iter()
            .filter(|partition| wanted.is_none_or(|wanted| wanted.contains(partition)));
        chosen.extend(some.map(|partition| (one.topic.clone(), partition)));
    }
    Ok(chosen)
}

/// Where each partition is to go; `None` is its end.
async fn wanted(
    console: &Console,
    to: &To,
    chosen: &[TopicPartition],
    committed: &BTreeMap<TopicPartition, i64>,
) -> Result<BTreeMap<TopicPartition, Option<i64>>, Error> {
    // The leaders of all of them have to be known.
    for topic in chosen.iter().map(|(topic, _)| topic).collect::<std::collections::BTreeSet<_>>() {
        console.kafka.refresh_topic(topic).await?;
    }
    let each = |wish: &dyn Fn(&TopicPartition) -> Option<Option<i64>>| {
        chosen.iter().filter_map(|name| Some((name.clone(), wish(name)?))).collect()
    };
    Ok(match to {
        To::Earliest => {
            let asked: Vec<_> = chosen.iter().cloned().map(|name| (name, At::Earliest)).collect();
            let found = console.kafka.offsets(&asked).await?;
            each(&|name| found.get(name).map(|offset| Some(*offset)))
        }
        To::Latest => each(&|_| Some(None)),
        To::Offset { offset } => each(&|_| Some(Some(*offset))),
        To::Shift { by } => each(&|name| Some(Some(committed.get(name)?.saturating_add(*by)))),
        To::Time { time_ms } => {
            let asked: Vec<_> =
                chosen.iter().cloned().map(|name| (name, At::TimeMs(*time_ms))).collect();
            let found = console.kafka.offsets(&asked).await?;
            each(&|name| found.get(name).map(|offset| Some(*offset).filter(|offset| *offset >= 0)))
        }
        To::Group { group } => {
            let other = console.kafka.committed(group).await?;
            each(&|name| other.get(name).map(|offset| Some(*offset)))
        }
        To::Explicit { offsets } => {
            let one = |one: &Explicit| ((one.topic.clone(), one.partition), Some(one.offset));
            offsets.iter().map(one).collect()
        }
    })
}
