//! The task that owns the socket of a connection.
//!
//! It takes requests from the queue while few enough are in flight, writes, reads, and gives each
//! answer to the request that waits longest. It ends when the socket ends, when an answer is late
//! or wrong, when nothing happened for too long, or when every handle is gone and every request is
//! answered; whatever waits then gets the reason.

use super::greeting::describe_prefix;
use super::login::LOGIN_CORRELATION_ID;
use super::output::Output;
use super::renewal::Renewal;
use crate::config::ServerAddress;
use crate::deadline::Deadline;
use crate::error::Error;
use afluente_env::clock::{Clock, Moment};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::frame::{SIZE_LEN, take_frame};
use afluente_protocol::rope::Records;
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

/// A request on its way from a handle to the task.
pub(super) struct Outgoing {
    pub(super) frame: Records,
    pub(super) correlation_id: i32,
    pub(super) api: ApiKey,
    pub(super) timeout: Duration,
    pub(super) deadline: Deadline,
    /// Who waits for the answer; `None` if none will come.
    pub(super) reply: Option<oneshot::Sender<Result<Bytes, Error>>>,
}

pub(super) struct TaskOptions {
    pub(super) address: ServerAddress,
    pub(super) in_flight_max: usize,
    pub(super) idle_max: Option<Duration>,
    /// Who logs in again before the session ends.
    pub(super) renewal: Option<Renewal>,
}

pub(super) struct Task<S> {
    stream: S,
    queue: mpsc::Receiver<Outgoing>,
    /// No handle is left that could send more.
    queue_ended: bool,
    clock: Clock,
    options: TaskOptions,
    ended: Arc<Mutex<Option<Error>>>,
    output: Output,
    /// Received and not yet given away.
    input: BytesMut,
    pending: VecDeque<Pending>,
    timer: Option<Timer>,
    active_at: Moment,
}

/// A request that was taken to be sent and is not answered.
struct Pending {
    correlation_id: i32,
    api: ApiKey,
    timeout: Duration,
    deadline: Deadline,
    reply: Reply,
}

/// Who gets an answer.
enum Reply {
    Caller(oneshot::Sender<Result<Bytes, Error>>),
    Renewal,
}

struct Timer {
    at: Moment,
    sleep: Pin<Box<dyn Future<Output = ()> + Send>>,
}

/// Why the task ends.
enum End {
    /// Nobody needs it any more.
    Done,
    /// The socket failed, or the other side closed it (`None`).
    Socket(Option<io::Error>),
    /// With an error that is the same for all that wait.
    Failed(Error),
}

/// The largest answer: that of Kafka's `fetch.max.bytes` and one batch on top, with room.
const ANSWER_BYTES_MAX: usize = 1 << 30;
/// How long a broker may take for one step of logging in again.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(30);
/// Free space in the buffer before a read.
const READ_BYTES: usize = 64 << 10;
/// How far the announced size of an answer is believed before its bytes are there.
const BELIEVED_BYTES_MAX: usize = 4 << 20;
/// Bytes that may wait for the socket before no further request is taken.
const UNSENT_BYTES_MAX: usize = 1 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Task<S> {
    pub(super) fn new(
        stream: S,
        queue: mpsc::Receiver<Outgoing>,
        clock: Clock,
        options: TaskOptions,
        ended: Arc<Mutex<Option<Error>>>,
    ) -> Self {
        let active_at = clock.now();
        Self {
            stream,
            queue,
            queue_ended: false,
            clock,
            options,
            ended,
            output: Output::default(),
            input: BytesMut::new(),
            pending: VecDeque::new(),
            timer: None,
            active_at,
        }
    }

    pub(super) async fn run(mut self) {
        let end = poll_fn(|context| self.poll(context)).await;
        self.finish(&end);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<End> {
        // Answers first: they make room for requests that wait.
        if let Poll::Ready(end) = self.poll_read(context) {
            return Poll::Ready(end);
        }
        if let Err(error) = self.poll_renewal(context) {
            return Poll::Ready(End::Failed(error));
        }
        loop {
            self.take_requests(context);
            let had_room = self.has_room();
            if let Poll::Ready(Err(error)) = self.output.poll_flush(&mut self.stream, context) {
                return Poll::Ready(End::Socket(Some(error)));
            }
            // Without room the queue was not asked to wake this task; once there is, it has to be.
            if had_room || !self.has_room() {
                break;
            }
        }
        if self.queue_ended && self.pending.is_empty() && self.output.len() == 0 {
            return Poll::Ready(End::Done);
        }
        self.poll_timer(context)
    }

    fn has_room(&self) -> bool {
        self.pending.len() < self.options.in_flight_max
            && self.output.len() < UNSENT_BYTES_MAX
            && !self.options.renewal.as_ref().is_some_and(Renewal::is_at_work)
    }

    /// Begins to log in again, if it is time to.
    fn poll_renewal(&mut self, context: &mut Context<'_>) -> Result<(), Error> {
        let Some(renewal) = &mut self.options.renewal else { return Ok(()) };
        match renewal.poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(begun) => {
                let (api, frame) = begun?;
                self.send_login(api, frame);
                Ok(())
            }
        }
    }

    fn send_login(&mut self, api: ApiKey, frame: Records) {
        self.pending.push_back(Pending {
            correlation_id: LOGIN_CORRELATION_ID,
            api,
            timeout: LOGIN_TIMEOUT,
            deadline: Deadline::after(&self.clock, LOGIN_TIMEOUT),
            reply: Reply::Renewal,
        });
        self.output.push(frame);
    }

    fn take_requests(&mut self, context: &mut Context<'_>) {
        while self.has_room() && !self.queue_ended {
            match self.queue.poll_recv(context) {
                Poll::Ready(Some(outgoing)) => self.take(outgoing),
                Poll::Ready(None) => self.queue_ended = true,
                Poll::Pending => return,
            }
        }
    }

    fn take(&mut self, outgoing: Outgoing) {
        let Outgoing { frame, correlation_id, api, timeout, deadline, reply } = outgoing;
        self.active_at = self.clock.now();
        match reply {
            Some(reply) if reply.is_closed() => {
                // Nobody waits, and nothing was sent: as if it had never been asked.
                return;
            }
            Some(reply) => {
                let reply = Reply::Caller(reply);
                self.pending.push_back(Pending { correlation_id, api, timeout, deadline, reply });
            }
            None => {}
        }
        self.output.push(frame);
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            loop {
                match take_frame(&mut self.input, ANSWER_BYTES_MAX) {
                    Ok(Some(frame)) => {
                        if let Err(error) = self.answer(frame) {
                            return Poll::Ready(End::Failed(error));
                        }
                    }
                    Ok(None) => break,
                    Err(_) => {
                        let prefix = *self.input.first_chunk::<SIZE_LEN>().expect("it was read");
                        let problem = describe_prefix(prefix);
                        return Poll::Ready(End::Failed(self.garbled(problem)));
                    }
                }
            }
            self.reserve();
            let read = pin!(self.stream.read_buf(&mut self.input)).poll(context);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0)) => return Poll::Ready(End::Socket(None)),
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(End::Socket(Some(error))),
            }
        }
    }

    /// Makes room for the rest of an answer, or for the beginning of one.
    fn reserve(&mut self) {
        let wanted = match self.input.first_chunk::<SIZE_LEN>() {
            Some(prefix) => {
                let size = usize::try_from(i32::from_be_bytes(*prefix)).unwrap_or(0);
                let missing = (SIZE_LEN + size).saturating_sub(self.input.len());
                missing.min(BELIEVED_BYTES_MAX.max(self.input.len()))
            }
            None => READ_BYTES,
        };
        let free = self.input.capacity() - self.input.len();
        // A buffer that still has some room is used up before another one is made.
        if free < wanted && (wanted != READ_BYTES || free < READ_BYTES / 4) {
            self.input.reserve(wanted);
        }
    }

    /// Gives an answer to who waits longest.
    fn answer(&mut self, frame: Bytes) -> Result<(), Error> {
        self.active_at = self.clock.now();
        let Some(pending) = self.pending.pop_front() else {
            return Err(self.garbled("an answer that nobody asked for".to_owned()));
        };
        if !frame.starts_with(&pending.correlation_id.to_be_bytes()) {
            let error =
                self.garbled(format!("the answer to {} is to another request", pending.api));
            pending.reply.give(Err(error.clone()));
            return Err(error);
        }
        match pending.reply {
            Reply::Caller(_) => pending.reply.give(Ok(frame)),
            Reply::Renewal => {
                let renewal = self.options.renewal.as_mut().expect("it asked");
                if let Some((api, frame)) = renewal.answered(frame)? {
                    self.send_login(api, frame);
                }
            }
        }
        Ok(())
    }

    fn garbled(&self, problem: String) -> Error {
        Error::Garbled { address: self.options.address.clone(), problem }
    }

    /// Ends the task when a request is late, or when nothing has happened for too long.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<End> {
        loop {
            let first_late = self.pending.iter().min_by_key(|pending| pending.deadline);
            let due = match first_late {
                Some(pending) => Some(pending.deadline.moment()),
                None => self.options.idle_max.map(|idle| self.active_at + idle),
            };
            let now = self.clock.now();
            let renewal = self.options.renewal.as_ref().and_then(Renewal::due);
            if let Some(renewal) = renewal
                && due.is_none_or(|due| renewal < due)
            {
                if now >= renewal {
                    // It became time to while this was polled.
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if self.poll_sleep(renewal, now, context).is_pending() {
                    return Poll::Pending;
                }
                continue;
            }
            let Some(due) = due else { return Poll::Pending };
            if now >= due {
                return Poll::Ready(match first_late {
                    Some(pending) => End::Failed(Error::RequestTimedOut {
                        address: self.options.address.clone(),
                        api: pending.api,
                        after: pending.timeout,
                    }),
                    None => End::Done,
                });
            }
            if self.poll_sleep(due, now, context).is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Sleeps until `due`, or shorter: a timer that rings too early is looked at again. Only one that
    /// would ring too late is replaced, so that a request costs no timer.
    fn poll_sleep(&mut self, due: Moment, now: Moment, context: &mut Context<'_>) -> Poll<()> {
        if self.timer.as_ref().is_none_or(|timer| timer.at > due || timer.at <= now) {
            let clock = self.clock.clone();
            let sleep = Box::pin(async move { clock.sleep_until(due).await });
            self.timer = Some(Timer { at: due, sleep });
        }
        let timer = self.timer.as_mut().expect("it was set above");
        let rang = timer.sleep.as_mut().poll(context);
        if rang.is_ready() {
            self.timer = None;
        }
        rang
    }

    fn finish(mut self, end: &End) {
        let address = self.options.address.clone();
        let reason = |api| match end {
            End::Failed(error) => error.clone(),
            End::Done => {
                Error::Disconnected { address: address.clone(), api, problem: String::new() }
            }
            End::Socket(error) => Error::Disconnected {
                address: address.clone(),
                api,
                problem: error.as_ref().map_or_else(String::new, |error| format!(": {error}")),
            },
        };
        if let End::Failed(error) = end {
            *self.ended.lock() = Some(error.clone());
        }
        tracing::debug!(%address, pending = self.pending.len(), "connection ended");
        for pending in self.pending.drain(..) {
            pending.reply.give(Err(reason(pending.api)));
        }
        self.queue.close();
        while let Ok(outgoing) = self.queue.try_recv() {
            if let Some(reply) = outgoing.reply {
                let _ = reply.send(Err(reason(outgoing.api)));
            }
        }
    }
}

impl Reply {
    fn give(self, answer: Result<Bytes, Error>) {
        if let Self::Caller(reply) = self {
            // Whoever asked may have gone.
            let _ = reply.send(answer);
        }
    }
}
