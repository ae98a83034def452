//! Fetch (1), versions 4 to 18. KIP-227 (sessions), KIP-392 (rack; there is one replica), KIP-516
//! (topic ids), KIP-595 (diverging epochs), KIP-98 (read_committed with aborted transactions).
//!
//! The records of the answer are slices of the log's memory. A fetch that finds less than
//! `min_bytes` waits for arrivals until `max_wait_ms` is over. Not done: followers, authorization,
//! tiered storage.

mod answer;
mod read;

use crate::broker::Broker;
use crate::dispatch::{Outcome, RequestContext};
use crate::fetch_session::{Begun, Wanted};
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::messages::fetch_response::FetchResponse;
use afluente_protocol::reader::Reader;
use read::{Fetched, Limits};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::Notify;

/// The longest that a fetch is held, whatever the client asks for.
const WAIT_MAX: Duration = Duration::from_secs(30 * 60);

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    mut reader: Reader,
) -> Outcome {
    let request: FetchRequest = match context.decode(&mut reader) {
        Ok(request) => request,
        Err(reason) => return Outcome::Close(reason),
    };
    drop(reader);
    let response = fetch(broker, context, request).await;
    match context.encode(&response) {
        Ok(answer) => Outcome::Answer(answer),
        Err(reason) => Outcome::Close(reason),
    }
}

async fn fetch(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: FetchRequest,
) -> FetchResponse {
    let limits = Limits::of(&request, &broker.settings.fetch, broker.memory.answer_bytes_max());
    let begun = match broker.fetch_sessions.begin(request, context, broker) {
        Ok(begun) => begun,
        Err(code) => return FetchResponse { error_code: code.code(), ..Default::default() },
    };
    let fetched = read_or_wait(broker, context, &begun, &limits).await;
    for one in &fetched {
        broker.metrics.fetched_bytes.add(one.bytes() as u64);
    }
    answer::build(broker, begun, fetched)
}

/// Reads until there is enough, or waiting any longer is not wanted.
async fn read_or_wait(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    begun: &Begun,
    limits: &Limits,
) -> Vec<Fetched> {
    let fetched = read::all(&begun.wanted, limits).await;
    if limits.wait.is_zero() || begun.wanted.is_empty() || limits.are_met_by(&fetched) {
        return fetched;
    }
    let arrival = Registered::new(&begun.wanted);
    let deadline = context.received + limits.wait.min(WAIT_MAX);
    let mut timer = pin!(broker.env.clock.sleep_until(deadline));
    let mut stopping = pin!(broker.stopping.wait());
    loop {
        // Registered before this look: what arrives after it notifies.
        arrival.register();
        let fetched = read::all(&begun.wanted, limits).await;
        if limits.are_met_by(&fetched) {
            return fetched;
        }
        let mut notified = pin!(arrival.notify.notified());
        let is_over = poll_fn(|cx| {
            if timer.as_mut().poll(cx).is_ready() || stopping.as_mut().poll(cx).is_ready() {
                return Poll::Ready(true);
            }
            notified.as_mut().poll(cx).map(|()| false)
        });
        if is_over.await {
            return read::all(&begun.wanted, limits).await;
        }
    }
}

/// A fetch on the lists of its partitions; it takes itself off them when it is answered.
struct Registered<'a> {
    notify: Arc<Notify>,
    wanted: &'a [Wanted],
}

impl<'a> Registered<'a> {
    fn new(wanted: &'a [Wanted]) -> Self {
        Self { notify: Arc::new(Notify::new()), wanted }
    }

    fn register(&self) {
        self.forget();
        for partition in self.wanted.iter().filter_map(|wanted| wanted.partition.as_ref().ok()) {
            partition.waiting().notify_of_arrival(&self.notify);
        }
    }

    fn forget(&self) {
        for partition in self.wanted.iter().filter_map(|wanted| wanted.partition.as_ref().ok()) {
            partition.waiting().forget_fetch(&self.notify);
        }
    }
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        self.forget();
    }
}
