//! One client's connection: requests in, answers out, in the order of the requests.
//!
//! A connection handles one request at a time, with one exception. A produce that only waits for
//! the disk lets the next requests start, so that what a producer has in flight shares one group
//! commit; their answers wait for their turn. The exception is bounded by [`IN_FLIGHT_MAX`], and by
//! the memory that requests may take.
//!
//! A client that does not read its answers is not read from either: nothing new starts while more
//! than [`UNSENT_BYTES_MAX`] wait for the socket.

mod input;
mod output;

pub use input::{Frame, InputError};

use crate::broker::Broker;
use crate::dispatch::{self, CloseReason, Outcome};
use crate::waiting::{AckOutcome, AckWait};
use afluente_env::clock::{Clock, Moment};
use afluente_protocol::rope::Records;
use input::{Holding, Input};
use output::Output;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

/// Requests of one connection that may have begun and not been answered.
pub const IN_FLIGHT_MAX: usize = 64;

/// Bytes of answers that may wait for the socket before nothing new is started.
pub const UNSENT_BYTES_MAX: usize = 64 << 10;

/// How long a stopping broker waits for a client to take its last answers.
const LAST_ANSWERS_MAX: Duration = Duration::from_secs(5);

/// What is known of a client that is connected.
#[derive(Debug)]
pub struct Client {
    /// Unique in this process.
    pub connection_id: u64,
    /// Where the client is.
    pub peer: SocketAddr,
    /// The address of ours that it reached.
    pub local: SocketAddr,
    /// The listener it came through, by position in the settings.
    pub listener: usize,
    /// What it said about itself in ApiVersions: name and version of its library.
    pub software: Mutex<Option<(String, String)>>,
}

/// An answer that is not due yet: everything is appended, and the disk is being waited for.
pub struct Pending {
    /// What is waited for.
    pub wait: Arc<AckWait>,
    /// Makes the answer.
    pub finish: Box<dyn FnOnce(AckOutcome) -> Result<Records, CloseReason> + Send>,
}

/// Serves a connection until either side ends it.
pub async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    broker: Arc<Broker>,
    client: Client,
    stream: S,
) {
    let network = &broker.settings.network;
    let mut connection = Connection {
        input: Input::new(Arc::clone(&broker.memory), network.request_bytes_max),
        output: Output::new(Arc::clone(&broker.memory)),
        in_flight: VecDeque::new(),
        alarms: Alarms::new(&broker),
        broker: &broker,
        client: &client,
        stream,
    };
    tracing::debug!(connection = client.connection_id, peer = %client.peer, "connected");
    let reason = connection.run().await;
    broker.metrics.connection_closed(&reason);
    match &reason {
        End::Input(InputError::Closed) | End::Stopping => {
            tracing::debug!(connection = client.connection_id, peer = %client.peer, %reason, "closed");
        }
        End::Input(InputError::Io(_) | InputError::Truncated) | End::Output(_) | End::Idle => {
            tracing::debug!(connection = client.connection_id, peer = %client.peer, %reason, "closed");
        }
        End::Input(InputError::Size { .. }) | End::Refused(_) | End::Hoarding => {
            tracing::warn!(connection = client.connection_id, peer = %client.peer, %reason, "closed");
        }
    }
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// No further request can be read.
    #[error("{0}")]
    Input(InputError),
    /// No answer can be written.
    #[error("an answer could not be written: {0}")]
    Output(io::Error),
    /// A request that is answered with nothing but this.
    #[error("{0}")]
    Refused(CloseReason),
    /// Nothing moved for `connections.max.idle.ms`.
    #[error("idle for connections.max.idle.ms")]
    Idle,
    /// It held memory that others waited for, and sent too slowly.
    #[error("sent a large request too slowly while others waited for memory")]
    Hoarding,
    /// The broker stops.
    #[error("the broker stops")]
    Stopping,
}

struct Connection<'a, S> {
    stream: S,
    input: Input,
    output: Output,
    /// Requests that were begun, in their order; the answers leave in the same.
    in_flight: VecDeque<InFlight>,
    alarms: Alarms,
    broker: &'a Arc<Broker>,
    client: &'a Client,
}

enum InFlight {
    Done(Records),
    Waiting(Pending),
}

/// What may end a connection that does nothing. One timer for the life of the connection looks at
/// rare moments whether it is overdue; a request costs no timer.
struct Alarms {
    clock: Clock,
    idle_max: Option<Duration>,
    last_activity: Moment,
    timer: BoxFuture,
    timer_at: Option<Moment>,
    /// Since when memory is held that counts.
    holding_since: Option<Moment>,
    stopping: BoxFuture,
    /// It was heard, and is not to be asked for again.
    has_heard: bool,
}

type BoxFuture = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<'_, S> {
    async fn run(&mut self) -> End {
        let end = loop {
            let frame = match self.next_frame().await {
                Ok(frame) => frame,
                Err(end) => break end,
            };
            match self.handle(frame).await {
                Ok(Outcome::Answer(answer)) => self.in_flight.push_back(InFlight::Done(answer)),
                Ok(Outcome::Later(pending)) => self.in_flight.push_back(InFlight::Waiting(pending)),
                Ok(Outcome::Nothing) => {}
                Ok(Outcome::Close(reason)) => break End::Refused(reason),
                Err(end) => break end,
            }
        };
        // What was begun is answered: the client may have closed only its sending side.
        if matches!(end, End::Input(InputError::Closed) | End::Refused(_) | End::Stopping) {
            self.send_last_answers().await;
        }
        end
    }

    /// Waits for the next request, and sends answers that become due meanwhile.
    async fn next_frame(&mut self) -> Result<Frame, End> {
        poll_fn(|cx| {
            self.settle(cx)?;
            // Answers to requests that are here already leave together.
            if !self.input.has_frame() || !self.may_start() {
                let _ = self.poll_flush(cx)?;
            }
            if self.may_start() {
                if let Poll::Ready(next) = self.input.poll_frame(&mut self.stream, cx) {
                    self.alarms.note_activity();
                    return Poll::Ready(next.map_err(End::Input));
                }
                if self.alarms.is_stopping(cx) && !self.input.is_within_frame() {
                    return Poll::Ready(Err(End::Stopping));
                }
            }
            self.alarms.poll_overdue(self.input.holding(), cx).map(Err)
        })
        .await
    }

    /// Runs one request, and sends answers to earlier ones meanwhile.
    async fn handle(&mut self, frame: Frame) -> Result<Outcome, End> {
        let mut handler = pin!(dispatch::dispatch(self.broker, self.client, frame));
        poll_fn(|cx| {
            if let Poll::Ready(outcome) = handler.as_mut().poll(cx) {
                return Poll::Ready(Ok(outcome));
            }
            self.settle(cx)?;
            let _ = self.poll_flush(cx)?;
            Poll::Pending
        })
        .await
    }

    async fn send_last_answers(&mut self) {
        let mut given_up = self.alarms.sleep(LAST_ANSWERS_MAX);
        let sent = poll_fn(|cx| {
            if given_up.as_mut().poll(cx).is_ready() {
                return Poll::Ready(false);
            }
            if self.settle(cx).is_err() {
                return Poll::Ready(false);
            }
            match self.poll_flush(cx) {
                Err(_) => Poll::Ready(false),
                Ok(Poll::Ready(())) if self.in_flight.is_empty() => Poll::Ready(true),
                Ok(_) => Poll::Pending,
            }
        });
        if sent.await {
            // The other side sees the end of the stream; that it is gone already is no concern.
            let _ = self.stream.shutdown().await;
        }
    }

    fn may_start(&self) -> bool {
        self.in_flight.len() < IN_FLIGHT_MAX && self.output.len() < UNSENT_BYTES_MAX
    }

    /// Moves answers whose turn has come to the output.
    fn settle(&mut self, cx: &mut Context<'_>) -> Result<(), End> {
        while let Some(first) = self.in_flight.front() {
            let outcome = match first {
                InFlight::Done(_) => AckOutcome::Durable,
                InFlight::Waiting(pending) => match pending.wait.poll(cx) {
                    Poll::Ready(outcome) => outcome,
                    Poll::Pending => return Ok(()),
                },
            };
            let answer = match self.in_flight.pop_front() {
                Some(InFlight::Done(answer)) => answer,
                Some(InFlight::Waiting(pending)) => {
                    (pending.finish)(outcome).map_err(End::Refused)?
                }
                None => return Ok(()),
            };
            for piece in answer.into_pieces() {
                self.output.push(piece);
            }
        }
        Ok(())
    }

    /// Writes what the socket takes. The inner poll says whether everything is out.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, End> {
        if self.output.is_empty() {
            return Ok(Poll::Ready(()));
        }
        let alarms = &mut self.alarms;
        let metrics = &self.broker.metrics;
        let flushed = self.output.poll_flush(&mut self.stream, cx, |count| {
            alarms.note_activity();
            metrics.bytes_out.add(count as u64);
        });
        match flushed {
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(error)) => Err(End::Output(error)),
            Poll::Pending => Ok(Poll::Pending),
        }
    }
}

/// How long a large request may take to come in while others wait for memory.
const HOARDING_MAX: Duration = Duration::from_secs(30);

impl Alarms {
    fn new(broker: &Arc<Broker>) -> Self {
        let clock = broker.env.clock.clone();
        let stopping = Arc::clone(broker);
        Self {
            idle_max: broker.settings.network.idle_max,
            last_activity: clock.now(),
            timer: Box::pin(std::future::pending()),
            timer_at: None,
            holding_since: None,
            stopping: Box::pin(async move { stopping.stopping.wait().await }),
            has_heard: false,
            clock,
        }
    }

    fn note_activity(&mut self) {
        self.last_activity = self.clock.now();
    }

    fn is_stopping(&mut self, cx: &mut Context<'_>) -> bool {
        self.has_heard = self.has_heard || self.stopping.as_mut().poll(cx).is_ready();
        self.has_heard
    }

    fn sleep(&self, duration: Duration) -> BoxFuture {
        let clock = self.clock.clone();
        Box::pin(async move { clock.sleep(duration).await })
    }

    /// Ready when the connection is to end. `holding` is what memory it holds meanwhile.
    fn poll_overdue(&mut self, holding: Holding, cx: &mut Context<'_>) -> Poll<End> {
        loop {
            let now = self.clock.now();
            let quiet = now.saturating_since(self.last_activity);
            self.holding_since = match holding {
                Holding::Nothing => None,
                _ => self.holding_since.or(Some(now)),
            };
            let held =
                self.holding_since.map_or(Duration::ZERO, |since| now.saturating_since(since));
            if holding == Holding::Wanted && held >= HOARDING_MAX {
                return Poll::Ready(End::Hoarding);
            }
            if self.idle_max.is_some_and(|max| quiet >= max) {
                return Poll::Ready(End::Idle);
            }
            let due = match (holding, self.idle_max) {
                (Holding::Nothing, None) => return Poll::Pending,
                (Holding::Nothing, Some(max)) => self.last_activity + max,
                (_, None) => now + HOARDING_MAX,
                (_, Some(max)) => (now + HOARDING_MAX).min(self.last_activity + max),
            };
            // A timer that rings too early looks again; only one that rings too late is replaced.
            if self.timer_at.is_none_or(|at| at > due || at <= now) {
                self.timer = self.sleep(due.saturating_since(now));
                self.timer_at = Some(due);
            }
            ready!(self.timer.as_mut().poll(cx));
            self.timer_at = None;
        }
    }
}
