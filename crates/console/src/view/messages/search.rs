//! Searching: lines of events as they come, until enough is found, the end is reached, or the
//! reader closes the connection.

use super::message::Message;
use super::{chosen_partitions, matching, permit};
use crate::console::Console;
use crate::kafka::{At, Kafka};
use crate::scan::{FETCH_BYTES, Match, Scan};
use crate::trouble::problem;
use afluente_env::clock::Moment;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::{Query, Request};
use afluente_httpd::response::{Gone, Response, Sender};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

const LIMIT_DEFAULT: usize = 50;
const LIMIT_MAX: usize = 1_000;
const BYTES_DEFAULT: usize = 4 << 10;
const BYTES_MAX: usize = 1 << 20;

const PROGRESS_EACH: Duration = Duration::from_millis(200);

/// `newest` looks at so many offsets at the end of each partition at first, and at four times as
/// many with each further look back.
const LOOK_BACK: i64 = 64;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
enum Event<'a> {
    Message {
        message: &'a Message,
    },
    Progress(Progress),
    Done {
        next: Option<String>,
        #[serde(flatten)]
        progress: Progress,
    },
    Error {
        error: &'a Problem,
    },
}

#[derive(Debug, Clone, Copy, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Progress {
    scanned: u64,
    scanned_bytes: u64,
    matched: u64,
    elapsed_ms: u64,
    remaining: i64,
}

/// Where a scan begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum From {
    Newest,
    Oldest,
    Offset(i64),
    Time(i64),
}

impl From {
    pub(super) fn read(query: &Query, default: Self, what: &str) -> Result<Self, Problem> {
        let needed = |name: &'static str| {
            let why = format!("from={name} needs {name}=");
            Problem::invalid(what, why).field(name)
        };
        Ok(match query.get("from") {
            None => default,
            Some("newest") => Self::Newest,
            Some("oldest") => Self::Oldest,
            Some("offset") => {
                Self::Offset(query.parsed("offset")?.ok_or_else(|| needed("offset"))?)
            }
            Some("time") => Self::Time(query.parsed("time")?.ok_or_else(|| needed("time"))?),
            Some(other) => {
                let why = format!("from={other} is none of newest, oldest, offset, time");
                return Err(Problem::invalid(what, why).field("from"));
            }
        })
    }
}

struct Search {
    console: Arc<Console>,
    /// Of its own, so that a long search keeps nobody waiting.
    kafka: Kafka,
    what: String,
    matching: Match,
    from: From,
    until: Option<i64>,
    limit: usize,
    bytes_max: usize,
    progress: Progress,
    started: Moment,
    told: Moment,
}

pub(crate) fn search(
    console: Arc<Console>,
    topic: &str,
    request: &Request,
) -> Result<Response, Problem> {
    let what = format!("could not search topic \"{topic}\"");
    let query = request.query();
    let permit = permit(&console, &what)?;
    let now = console.env.clock.now();
    let search = Search {
        matching: matching(&query, &what)?,
        from: From::read(&query, From::Newest, &what)?,
        until: query.parsed("until")?,
        limit: query.parsed("limit")?.unwrap_or(LIMIT_DEFAULT).clamp(1, LIMIT_MAX),
        bytes_max: query.parsed("maxBytes")?.unwrap_or(BYTES_DEFAULT).clamp(1, BYTES_MAX),
        progress: Progress::default(),
        started: now,
        told: now,
        what,
        kafka: console.kafka.own(),
        console: Arc::clone(&console),
    };
    let cursor = query.get("cursor").map(|text| read_cursor(text, &search.what)).transpose()?;
    let (response, sender) = Response::stream("application/x-ndjson");
    let (topic, id) = (topic.to_owned(), request.id().to_owned());
    console.env.tasks.spawn(async move {
        let _permit = permit;
        search.run(&topic, &query, cursor, &sender, id).await;
    });
    Ok(response)
}

/// Why a search ends before its end.
enum Stop {
    Gone,
    Problem(Problem),
}

impl std::convert::From<Gone> for Stop {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl Search {
    async fn run(
        mut self,
        topic: &str,
        query: &Query,
        cursor: Option<BTreeMap<i32, i64>>,
        sender: &Sender,
        id: String,
    ) {
        let outcome = tokio::select! {
            outcome = self.find(topic, query, cursor, sender) => outcome,
            () = sender.closed() => return,
        };
        let sent = match outcome {
            Ok(next) => {
                self.progress.elapsed_ms = self.elapsed_ms();
                sender.line(&Event::Done { next, progress: self.progress }).await
            }
            Err(Stop::Gone) => return,
            Err(Stop::Problem(problem)) => {
                let problem = Problem { request_id: id.into(), ..problem };
                tracing::debug!(request = %problem.request_id, %problem, "search failed");
                sender.line(&Event::Error { error: &problem }).await
            }
        };
        // A reader that is gone has cancelled.
        let _ = sent;
    }

    async fn find(
        &mut self,
        topic: &str,
        query: &Query,
        cursor: Option<BTreeMap<i32, i64>>,
        sender: &Sender,
    ) -> Result<Option<String>, Stop> {
        let partitions = chosen_partitions(&self.console, topic, query, &self.what)
            .await
            .map_err(Stop::Problem)?;
        let ranges = self.console.kafka.ranges(topic, &partitions).await;
        let ranges = ranges.map_err(|error| self.trouble(&error))?;
        if self.from == From::Newest {
            return self.backward(topic, &ranges, cursor, sender).await;
        }
        let starts = match cursor {
            Some(cursor) => cursor,
            None => starts(&self.console, topic, self.from, &ranges)
                .await
                .map_err(|error| self.trouble(&error))?,
        };
        let positions = ranges.iter().map(|(partition, (begin, end))| {
            (*partition, starts.get(partition).copied().unwrap_or(*begin).clamp(*begin, *end))
        });
        let mut scan = Scan {
            topic: topic.to_owned(),
            positions: positions.collect(),
            ends: ranges.iter().map(|(partition, (_, end))| (*partition, *end)).collect(),
        };
        self.forward(&mut scan, sender).await
    }

    fn trouble(&self, error: &afluente_client::Error) -> Stop {
        Stop::Problem(problem(self.what.as_str(), error))
    }

    fn elapsed_ms(&self) -> u64 {
        let elapsed = self.console.env.clock.now() - self.started;
        u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)
    }

    async fn tell(&mut self, remaining: i64, sender: &Sender) -> Result<(), Stop> {
        let now = self.console.env.clock.now();
        if now - self.told >= PROGRESS_EACH {
            self.told = now;
            self.progress.remaining = remaining;
            self.progress.elapsed_ms = self.elapsed_ms();
            sender.line(&Event::Progress(self.progress)).await?;
        }
        Ok(())
    }

    /// What one fetch gives, of partition after partition, cut at `room` matches a partition.
    async fn round(&mut self, scan: &mut Scan, room: usize) -> Result<Vec<Message>, Stop> {
        let fetched = scan.fetch(&self.kafka, FETCH_BYTES).await;
        let fetched = fetched.map_err(|error| self.trouble(&error))?;
        let mut found = Vec::new();
        for fetched in &fetched {
            let partition = fetched.partition;
            let (matching, until, bytes_max) = (&self.matching, self.until, self.bytes_max);
            let progress = &mut self.progress;
            let (mut is_late, mut count) = (false, 0);
            let see = |record: &afluente_protocol::records::RecordView<'_>, facts| {
                if until.is_some_and(|until| record.timestamp > until) {
                    is_late = true;
                    return false;
                }
                progress.scanned += 1;
                progress.scanned_bytes += (record.key.map_or(0, <[u8]>::len)
                    + record.value.map_or(0, <[u8]>::len))
                    as u64;
                if matching.holds(partition, record) {
                    found.push(Message::cut(partition, record, facts, bytes_max));
                    count += 1;
                }
                count < room
            };
            scan.each(fetched, see)
                .map_err(|error| problem(self.what.as_str(), &error))
                .map_err(Stop::Problem)?;
            if is_late {
                scan.ends.insert(partition, scan.positions[&partition]);
            }
        }
        Ok(found)
    }

    /// Nothing came: the leader is moving, or what was there is being deleted. Waits, and passes over
    /// what is gone.
    async fn look_again(&self, scan: &mut Scan) -> Result<(), Stop> {
        self.console.env.clock.sleep(crate::scan::FETCH_WAIT).await;
        let partitions: Vec<i32> = scan.positions.keys().copied().collect();
        let ranges = self.console.kafka.ranges(&scan.topic, &partitions).await;
        for (partition, (begin, _)) in ranges.map_err(|error| self.trouble(&error))? {
            let position = scan.positions.entry(partition).or_insert(begin);
            *position = (*position).max(begin);
        }
        Ok(())
    }

    async fn forward(&mut self, scan: &mut Scan, sender: &Sender) -> Result<Option<String>, Stop> {
        let mut left = self.limit;
        while scan.remaining() > 0 {
            let before: BTreeMap<i32, i64> = scan.positions.clone();
            let mut found = self.round(scan, left).await?;
            found.sort_by_key(|message| (message.timestamp, message.partition, message.offset));
            if found.len() > left {
                // Partitions whose messages were not sent go back to before them.
                for message in found.drain(left..) {
                    let position =
                        scan.positions.entry(message.partition).or_insert(message.offset);
                    *position = (*position).min(message.offset);
                }
            }
            self.progress.matched += found.len() as u64;
            left -= found.len();
            for message in &found {
                sender.line(&Event::Message { message }).await?;
            }
            if left == 0 {
                let has_more = scan.remaining() > 0;
                self.progress.remaining = scan.remaining();
                return Ok(has_more.then(|| write_cursor(&scan.positions)));
            }
            self.tell(scan.remaining(), sender).await?;
            if before == scan.positions {
                self.look_again(scan).await?;
            }
        }
        self.progress.remaining = 0;
        Ok(None)
    }

    /// Looks at windows that go back from the end, each larger than the one before, until the
    /// newest `limit` matches are among what was found.
    async fn backward(
        &mut self,
        topic: &str,
        ranges: &BTreeMap<i32, (i64, i64)>,
        cursor: Option<BTreeMap<i32, i64>>,
        sender: &Sender,
    ) -> Result<Option<String>, Stop> {
        let begins: BTreeMap<i32, i64> =
            ranges.iter().map(|(one, range)| (*one, range.0)).collect();
        let mut ends: BTreeMap<i32, i64> = match cursor {
            Some(cursor) => ranges
                .iter()
                .map(|(one, range)| {
                    (*one, cursor.get(one).copied().unwrap_or(range.1).clamp(range.0, range.1))
                })
                .collect(),
            None => ranges.iter().map(|(one, range)| (*one, range.1)).collect(),
        };
        let mut found: Vec<Message> = Vec::new();
        let mut dropped = BTreeMap::new();
        let mut window = LOOK_BACK.max(2 * (self.limit / ranges.len().max(1)) as i64);
        let starts = loop {
            let starts: BTreeMap<i32, i64> =
                ends.iter().map(|(one, end)| (*one, (end - window).max(begins[one]))).collect();
            let mut scan = Scan { topic: topic.to_owned(), positions: starts.clone(), ends };
            while scan.remaining() > 0 {
                let before = scan.positions.clone();
                found.append(&mut self.round(&mut scan, usize::MAX).await?);
                // A window may hold more matches than are wanted: the oldest of them go.
                if found.len() > 4 * self.limit {
                    self.keep_newest(&mut found, &mut dropped);
                }
                let behind: i64 = starts.iter().map(|(one, start)| start - begins[one]).sum();
                self.tell(scan.remaining() + behind, sender).await?;
                if before == scan.positions {
                    self.look_again(&mut scan).await?;
                }
            }
            let is_all = starts.iter().all(|(one, start)| *start <= begins[one]);
            if found.len() >= self.limit || is_all {
                break starts;
            }
            ends = starts;
            window = window.saturating_mul(4);
        };
        self.keep_newest(&mut found, &mut dropped);
        self.progress.matched = found.len() as u64;
        for message in &found {
            sender.line(&Event::Message { message }).await?;
        }
        // Going on, a partition ends behind the newest match that was not sent; where all were
        // sent, before the window.
        let next =
            starts.iter().map(|(one, start)| (*one, dropped.get(one).copied().unwrap_or(*start)));
        let next: BTreeMap<i32, i64> = next.collect();
        self.progress.remaining = next.iter().map(|(one, end)| (end - begins[one]).max(0)).sum();
        Ok((self.progress.remaining > 0).then(|| write_cursor(&next)))
    }

    /// Keeps `limit` messages; `dropped` gets where each partition's others end.
    fn keep_newest(&self, found: &mut Vec<Message>, dropped: &mut BTreeMap<i32, i64>) {
        found.sort_by_key(|message| {
            std::cmp::Reverse((message.timestamp, message.offset, message.partition))
        });
        for message in found.drain(self.limit.min(found.len())..) {
            let end = dropped.entry(message.partition).or_insert(message.offset + 1);
            *end = (*end).max(message.offset + 1);
        }
    }
}

/// Where each partition begins, for `from`.
pub(super) async fn starts(
    console: &Console,
    topic: &str,
    from: From,
    ranges: &BTreeMap<i32, (i64, i64)>,
) -> Result<BTreeMap<i32, i64>, afluente_client::Error> {
    Ok(match from {
        From::Newest => ranges.iter().map(|(one, range)| (*one, range.1)).collect(),
        From::Oldest => ranges.iter().map(|(one, range)| (*one, range.0)).collect(),
        From::Offset(offset) => ranges.keys().map(|one| (*one, offset)).collect(),
        From::Time(ms) => {
            let asked: Vec<_> =
                ranges.keys().map(|one| ((topic.to_owned(), *one), At::TimeMs(ms))).collect();
            let found = console.kafka.offsets(&asked).await?;
            ranges
                .iter()
                .map(|(one, range)| {
                    let offset = found.get(&(topic.to_owned(), *one)).copied().unwrap_or(-1);
                    (*one, if offset < 0 { range.1 } else { offset })
                })
                .collect()
        }
    })
}

fn write_cursor(positions: &BTreeMap<i32, i64>) -> String {
    let text: Vec<String> =
        positions.iter().map(|(one, offset)| format!("{one}:{offset}")).collect();
    URL_SAFE_NO_PAD.encode(text.join(","))
}

fn read_cursor(text: &str, what: &str) -> Result<BTreeMap<i32, i64>, Problem> {
    let read = || -> Option<BTreeMap<i32, i64>> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        text.split(',')
            .map(|pair| {
                let (one, offset) = pair.split_once(':')?;
                Some((one.parse().ok()?, offset.parse().ok()?))
            })
            .collect()
    };
    read().ok_or_else(|| {
        Problem::invalid(what, "the cursor is none that a search gave").field("cursor")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let positions = BTreeMap::from([(0, 17), (3, 9_000_000_000)]);
        assert_eq!(read_cursor(&write_cursor(&positions), "x").unwrap(), positions);
        for wrong in ["", "!", "MDo", "YQ"] {
            assert_eq!(read_cursor(wrong, "x").unwrap_err().field.as_deref(), Some("cursor"));
        }
    }
}
