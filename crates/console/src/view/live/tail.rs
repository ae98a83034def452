//! Messages as they come, at a rate that a screen can show.
//!
//! All that comes is read and looked at; what is shown is an even choice of what matches. When the
//! reading falls behind, it skips to the end, and what was skipped counts as seen.

use super::{Ended, Never, Out, ended};
use crate::console::Console;
use crate::scan::{FETCH_BYTES, Match, Scan};
use crate::series::Growth;
use crate::view::messages::message::Message;
use crate::view::messages::parse_filter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two pieces.
const TICK: Duration = Duration::from_millis(100);

const SHOWN_A_SECOND_MAX: u32 = 1_000;
const BYTES_DEFAULT: usize = 4 << 10;
const BYTES_MAX: usize = 64 << 10;

/// So many messages behind the end, the reading skips.
const BEHIND_MAX: i64 = 200_000;

/// How often partitions are looked up.
const PARTITIONS_EACH_MS: i64 = 5_000;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TailRequest {
    topic: String,
    max_per_second: u32,
    max_bytes: Option<usize>,
    partitions: Option<Vec<i32>>,
    q: Option<String>,
    key: Option<String>,
    header: Option<String>,
    filter: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TailTick<'a> {
    t: i64,
    messages: &'a [Message],
    seen: i64,
    matched: i64,
    shown: i64,
    seen_rate: f64,
}

/// An even choice of at most `room` out of a stream of unknown length: each second one goes once
/// it is full, and only every second one comes in from then on.
struct Choice {
    room: usize,
    each: u64,
    count: u64,
    chosen: Vec<Message>,
}

impl Choice {
    fn of(room: usize) -> Self {
        Self { room: room.max(1), each: 1, count: 0, chosen: Vec::new() }
    }

    /// Whether the next one is wanted.
    fn wants(&mut self) -> bool {
        self.count += 1;
        (self.count - 1).is_multiple_of(self.each)
    }

    fn take(&mut self, message: Message) {
        self.chosen.push(message);
        if self.chosen.len() > self.room {
            let mut index = 0;
            self.chosen.retain(|_| {
                index += 1;
                index % 2 == 1
            });
            self.each *= 2;
        }
    }
}

fn non_empty(text: Option<&String>) -> Option<&String> {
    text.filter(|text| !text.is_empty())
}

pub(super) async fn tail(
    console: &Console,
    request: TailRequest,
    out: &Out,
) -> Result<Never, Ended> {
    let what = format!("could not follow topic \"{}\"", request.topic);
    let matching = Match {
        text: non_empty(request.q.as_ref()).map(|text| text.to_lowercase()),
        key: non_empty(request.key.as_ref()).map(|text| text.to_lowercase()),
        header: non_empty(request.header.as_ref()).map(|text| match text.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (text.clone(), None),
        }),
        filter: non_empty(request.filter.as_ref())
            .map(|text| parse_filter(text, &what))
            .transpose()?,
    };
    let room = request.max_per_second.clamp(1, SHOWN_A_SECOND_MAX) as usize;
    let room = room.div_ceil(10);
    let bytes_max = request.max_bytes.unwrap_or(BYTES_DEFAULT).clamp(1, BYTES_MAX);
    let kafka = console.kafka.own();
    let clock = &console.env.clock;
    let mut scan = Scan { topic: request.topic.clone(), ..Scan::default() };
    let (mut seen, mut matched, mut shown) = (0_i64, 0_i64, 0_i64);
    let mut rate = Growth::new();
    let (mut ticked, mut looked_ms) = (clock.now(), 0);
    let mut is_new = true;
    let mut choice = Choice::of(room);
    loop {
        let now_ms = clock.wall_ms();
        if now_ms - looked_ms >= PARTITIONS_EACH_MS {
            looked_ms = now_ms;
            match look(console, &request, &mut scan, is_new, &mut seen).await {
                Ok(()) => is_new = false,
                Err(error) if error.is_retriable() && !is_new => clock.sleep(TICK).await,
                Err(error) => return Err(ended(&what, &error)),
            }
        }
        match scan.fetch(&kafka, FETCH_BYTES).await {
            Ok(all) => {
                for fetched in &all {
                    let partition = fetched.partition;
                    scan.each(fetched, |record, facts| {
                        seen += 1;
                        if matching.holds(partition, record) {
                            matched += 1;
                            if choice.wants() {
                                choice.take(Message::cut(partition, record, facts, bytes_max));
                            }
                        }
                        true
                    })
                    .map_err(|error| ended(&what, &error))?;
                    let position = scan.positions.get(&partition).copied().unwrap_or_default();
                    if fetched.end_offset - position > BEHIND_MAX {
                        seen += fetched.end_offset - position;
                        scan.positions.insert(partition, fetched.end_offset);
                    }
                }
            }
            // The broker is away, or what we wanted was deleted: look again where we are.
            Err(_) => {
                looked_ms = 0;
                clock.sleep(TICK).await;
            }
        }
        if clock.now() - ticked < TICK {
            continue;
        }
        ticked = clock.now();
        let mut messages = std::mem::replace(&mut choice, Choice::of(room)).chosen;
        messages.sort_by_key(|message| (message.timestamp, message.partition, message.offset));
        shown += messages.len() as i64;
        rate.look(clock.wall_ms(), seen);
        let seen_rate = rate.per_second().unwrap_or(0.0);
        out.data(&TailTick {
            t: clock.wall_ms(),
            messages: &messages,
            seen,
            matched,
            shown,
            seen_rate,
        })
        .await?;
    }
}

/// Sees new partitions, and moves positions into what there is.
async fn look(
    console: &Console,
    request: &TailRequest,
    scan: &mut Scan,
    is_new: bool,
    seen: &mut i64,
) -> Result<(), afluente_client::Error> {
    let all = console.kafka.partitions_of(&request.topic).await?;
    let wanted = request.partitions.as_ref();
    let chosen: Vec<i32> =
        all.into_iter().filter(|one| wanted.is_none_or(|wanted| wanted.contains(one))).collect();
    let ranges: BTreeMap<i32, (i64, i64)> = console.kafka.ranges(&request.topic, &chosen).await?;
    for (one, (begin, end)) in ranges {
        match scan.positions.get_mut(&one) {
            Some(position) => {
                let moved = (*position).clamp(begin, end.max(begin));
                *seen += (moved - *position).max(0);
                *position = moved;
            }
            // The partitions of the beginning are followed from their end, later ones from their
            // beginning.
            None => {
                scan.positions.insert(one, if is_new { end } else { begin });
            }
        }
    }
    Ok(())
}
