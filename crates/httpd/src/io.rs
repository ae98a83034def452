//! Between `env`'s streams and clock, and hyper's idea of them.

use afluente_env::clock::{Clock, Moment};
use afluente_env::net::Stream;
use hyper::rt::{ReadBufCursor, Sleep, Timer};
use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Read at once; hyper's buffer takes it from there.
const READ_BYTES: usize = 8 << 10;

type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A connection as hyper wants it, which breaks when the peer takes nothing for too long.
pub(crate) struct Io {
    pub(crate) stream: Stream,
    clock: Clock,
    write_stall_max: Duration,
    /// Runs while a write waits for the peer.
    stalled: Option<Wait>,
}

impl Io {
    pub(crate) fn new(stream: Stream, clock: Clock, write_stall_max: Duration) -> Self {
        Self { stream, clock, write_stall_max, stalled: None }
    }

    fn bounded<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let (clock, max) = (&self.clock, self.write_stall_max);
        let stalled = self.stalled.get_or_insert_with(|| wait(clock.clone(), max));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client takes nothing")))
    }
}

fn wait(clock: Clock, duration: Duration) -> Wait {
    Box::pin(async move { clock.sleep(duration).await })
}

impl hyper::rt::Read for Io {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut into: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let mut bytes = [0; READ_BYTES];
        let room = into.remaining().min(READ_BYTES);
        let mut buf = ReadBuf::new(&mut bytes[..room]);
        ready!(Pin::new(&mut self.stream).poll_read(context, &mut buf))?;
        into.put_slice(buf.filled());
        Poll::Ready(Ok(()))
    }
}

impl hyper::rt::Write for Io {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.bounded(written, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, pieces);
        self.bounded(written, context)
    }
}

/// The `env` clock as hyper's timer.
///
/// hyper counts in `Instant`s, which it reads through [`Timer::now`]: they are made from moments of
/// the clock, so that a simulation owns them too.
#[derive(Clone)]
pub(crate) struct EnvTimer {
    clock: Clock,
    start: Moment,
    start_as_instant: Instant,
}

impl EnvTimer {
    #[allow(
        clippy::disallowed_methods,
        reason = "hyper's deadlines need an anchor; only distances from it count"
    )]
    pub(crate) fn new(clock: Clock) -> Self {
        let start = clock.now();
        Self { clock, start, start_as_instant: Instant::now() }
    }
}

impl Timer for EnvTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        Box::pin(EnvSleep(wait(self.clock.clone(), duration)))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        self.sleep(deadline.saturating_duration_since(self.now()))
    }

    fn now(&self) -> Instant {
        self.start_as_instant + self.clock.now().saturating_since(self.start)
    }
}

impl fmt::Debug for EnvTimer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EnvTimer")
    }
}

struct EnvSleep(Wait);

impl Future for EnvSleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

impl Sleep for EnvSleep {}
