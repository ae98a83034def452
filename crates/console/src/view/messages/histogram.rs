//! How many messages there are over time, by the offsets at the borders of the buckets.

use super::chosen_partitions;
use crate::console::Console;
use crate::kafka::At;
use crate::trouble::problem;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::Serialize;

const BUCKETS_DEFAULT: i64 = 120;
const BUCKETS_MAX: i64 = 240;

/// Borders times partitions that are asked for in one request.
const ASKED_MAX: usize = 20_000;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Histogram {
    from_ms: i64,
    to_ms: i64,
    bucket_ms: i64,
    counts: Vec<i64>,
}

pub(crate) async fn histogram(
    console: &Console,
    topic: &str,
    request: &Request,
) -> Result<Response, Problem> {
    let what = format!("could not count the messages of topic \"{topic}\" over time");
    let query = request.query();
    let trouble = |error| problem(what.as_str(), &error);
    let partitions = chosen_partitions(console, topic, &query, &what).await?;
    let ranges = console.kafka.ranges(topic, &partitions).await.map_err(trouble)?;
    let now_ms = console.env.clock.wall_ms();
    let from_ms = match query.parsed("fromMs")? {
        Some(ms) => ms,
        None => {
            first_ms(console, topic, &ranges).await.map_err(trouble)?.unwrap_or(now_ms - 3_600_000)
        }
    };
    let to_ms = query.parsed("toMs")?.unwrap_or(now_ms).max(from_ms + 1);
    let most = BUCKETS_MAX.min((ASKED_MAX / partitions.len().max(1)) as i64).max(1);
    let buckets = query.parsed("buckets")?.unwrap_or(BUCKETS_DEFAULT).clamp(1, most);
    let bucket_ms = ((to_ms - from_ms) as u64).div_ceil(buckets as u64).max(1) as i64;
    let mut before: Option<Vec<i64>> = None;
    let mut counts = Vec::new();
    for border in 0..=buckets {
        let at = At::TimeMs(from_ms + border * bucket_ms);
        let asked: Vec<_> = ranges.keys().map(|one| ((topic.to_owned(), *one), at)).collect();
        let found = console.kafka.offsets(&asked).await.map_err(trouble)?;
        let offsets: Vec<i64> = ranges
            .iter()
            .map(|(one, (begin, end))| match found.get(&(topic.to_owned(), *one)) {
                Some(offset) if *offset >= 0 => (*offset).clamp(*begin, *end),
                _ => *end,
            })
            .collect();
        if let Some(before) = before {
            counts.push(offsets.iter().zip(&before).map(|(to, from)| (to - from).max(0)).sum());
        }
        before = Some(offsets);
    }
    Ok(Response::json(&Histogram { from_ms, to_ms, bucket_ms, counts }))
}

/// When the first message was written, as far as one look at each partition shows.
async fn first_ms(
    console: &Console,
    topic: &str,
    ranges: &std::collections::BTreeMap<i32, (i64, i64)>,
) -> Result<Option<i64>, afluente_client::Error> {
    let filled = ranges.iter().filter(|(_, (begin, end))| end > begin);
    let mut scan = crate::scan::Scan {
        topic: topic.to_owned(),
        positions: filled.map(|(one, (begin, _))| (*one, *begin)).collect(),
        ends: std::collections::BTreeMap::new(),
    };
    if scan.positions.is_empty() {
        return Ok(None);
    }
    let mut first = None;
    for fetched in scan.fetch(&console.kafka, FIRST_BYTES).await? {
        scan.each(&fetched, |record, _| {
            first = Some(first.map_or(record.timestamp, |first: i64| first.min(record.timestamp)));
            false
        })?;
    }
    Ok(first)
}

/// Enough for a batch of each partition.
const FIRST_BYTES: i32 = 1 << 20;
