//! Messages: looking, searching, writing, carrying in and out.

pub(crate) mod fields;
pub(crate) mod histogram;
pub(crate) mod message;
pub(crate) mod produce;
pub(crate) mod search;
pub(crate) mod transfer;

use crate::console::Console;
use crate::filter::{self, FilterError};
use crate::scan::{FETCH_BYTES, Match, Scan};
use crate::trouble::problem;
use afluente_httpd::StatusCode;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::{Query, Request};
use afluente_httpd::response::Response;
use message::Message;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tokio::sync::OwnedSemaphorePermit;

/// A message that is asked for by itself comes whole, up to this.
const WHOLE_BYTES_MAX: usize = 16 << 20;

/// Fetches of one message before it counts as gone.
const ROUNDS_MAX: u32 = 20;

pub(crate) async fn one(
    console: &Console,
    topic: &str,
    partition: &str,
    offset: &str,
) -> Result<Response, Problem> {
    let what = format!("could not read message {offset} of {topic}-{partition}");
    let (Ok(number), Ok(wanted)) = (partition.parse::<i32>(), offset.parse::<i64>()) else {
        return Err(Problem::invalid(what, "partition and offset have to be numbers"));
    };
    let trouble = |error| problem(what.as_str(), &error);
    console.kafka.refresh_topic(topic).await.map_err(trouble)?;
    let mut scan = Scan {
        topic: topic.to_owned(),
        positions: BTreeMap::from([(number, wanted)]),
        ends: BTreeMap::from([(number, wanted + 1)]),
    };
    for _ in 0..ROUNDS_MAX {
        if scan.remaining() == 0 {
            break;
        }
        let mut found = None;
        for fetched in scan.fetch(&console.kafka, FETCH_BYTES).await.map_err(trouble)? {
            let see = |record: &afluente_protocol::records::RecordView<'_>, facts| {
                if record.offset.0 == wanted {
                    found = Some(Message::whole(number, record, facts, WHOLE_BYTES_MAX));
                }
                found.is_none()
            };
            scan.each(&fetched, see).map_err(trouble)?;
        }
        if let Some(message) = found {
            return Ok(Response::json(&message));
        }
    }
    let why = "there is no message at this offset: it was compacted away, or is not there yet";
    Err(Problem::not_found(what, why))
}

#[derive(Deserialize)]
struct FilterText {
    filter: String,
}

#[derive(Serialize)]
struct FilterCheck {
    ok: bool,
    #[serde(flatten)]
    mistake: Option<Mistake>,
}

#[derive(Serialize)]
struct Mistake {
    message: String,
    position: usize,
}

pub(crate) async fn check_filter(mut request: Request) -> Result<Response, Problem> {
    let text: FilterText = request.json().await?;
    let mistake = filter::parse(&text.filter).err();
    let mistake = mistake.map(|FilterError { message, position }| Mistake { message, position });
    Ok(Response::json(&FilterCheck { ok: mistake.is_none(), mistake }))
}

/// Where each partition begins to be newer than a time.
pub(crate) async fn search_starts(
    console: &Console,
    topic: &str,
    from_ms: i64,
    ranges: &BTreeMap<i32, (i64, i64)>,
) -> Result<BTreeMap<i32, i64>, afluente_client::Error> {
    search::starts(console, topic, search::From::Time(from_ms), ranges).await
}

/// One of the few searches at a time.
pub(super) fn permit(console: &Console, what: &str) -> Result<OwnedSemaphorePermit, Problem> {
    let permit = std::sync::Arc::clone(&console.searches).try_acquire_owned();
    permit.map_err(|_| {
        let why = "as many searches are running as this console allows";
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "TOO_MANY_SEARCHES", what, why)
            .remedy("close another search, or wait until one ends")
            .retriable()
    })
}

/// What a message must be like, by the parameters of a search.
pub(super) fn matching(query: &Query, what: &str) -> Result<Match, Problem> {
    let lower = |name: &str| query.get(name).map(str::to_lowercase);
    let header = query.get("header").map(|text| match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), None),
    });
    let filter = query.get("filter").map(|text| parse_filter(text, what)).transpose()?;
    Ok(Match { text: lower("q"), key: lower("key"), header, filter })
}

pub(crate) fn parse_filter(text: &str, what: &str) -> Result<filter::Expr, Problem> {
    filter::parse(text).map_err(|FilterError { message, position }| {
        let why = format!("the filter is wrong at position {position}: {message}");
        Problem::new(StatusCode::BAD_REQUEST, "INVALID_FILTER", what, why).field("filter")
    })
}

/// The partitions that are asked for, of those that there are.
pub(super) async fn chosen_partitions(
    console: &Console,
    topic: &str,
    query: &Query,
    what: &str,
) -> Result<Vec<i32>, Problem> {
    let all = console.kafka.partitions_of(topic).await.map_err(|error| problem(what, &error))?;
    let Some(text) = query.get("partitions") else { return Ok(all) };
    let mut chosen = Vec::new();
    for number in text.split(',') {
        match number.trim().parse::<i32>() {
            Ok(number) if all.contains(&number) => chosen.push(number),
            _ => {
                let why = format!("topic \"{topic}\" has no partition {number:?}");
                return Err(Problem::invalid(what, why).field("partitions"));
            }
        }
    }
    Ok(chosen)
}
