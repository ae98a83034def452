//! Async tasks: what waits for sockets and time.
//!
//! A server runs them on [`Cores`]: as many single-threaded runtimes as there are cores, so
//! that a connection stays on its thread, and no task is ever moved or stolen. One acceptor hands connections out
//! to the core that has the fewest. A client, a test and a simulation run them on the runtime that
//! they are on.
#![allow(clippy::disallowed_methods, reason = "this is the door to tokio's tasks")]

mod cores;

pub use cores::{Cores, CoresError};

use crate::clock::Clock;
use crate::net::{Listener, Stream};
use cores::Seats;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Where async tasks are spawned. Cheap to clone.
#[derive(Clone)]
pub struct Tasks(Kind);

#[derive(Clone)]
enum Kind {
    /// On the runtime that the caller is on.
    Here,
    Cores(Arc<Seats>),
    #[cfg(feature = "sim")]
    Sim(crate::sim::Trace),
}

/// How long to wait before accepting again when the process has run out of something.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

impl Tasks {
    /// On whatever tokio runtime the caller of [`Tasks::spawn`] is on.
    #[must_use]
    pub fn here() -> Self {
        Self(Kind::Here)
    }

    /// On the one runtime of a simulated machine; a panic of a task is told to `trace`.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(trace: &crate::sim::Trace) -> Self {
        Self(Kind::Sim(trace.clone()))
    }

    /// Starts a task: on the core that the caller runs on, else on the one with the least to do.
    ///
    /// # Panics
    /// If there are no [`Cores`] and the caller is on no tokio runtime.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match &self.0 {
            Kind::Here => tokio::spawn(task),
            Kind::Cores(seats) => seats.spawn(task),
            #[cfg(feature = "sim")]
            Kind::Sim(trace) => {
                let watch = PanicWatch(trace.clone());
                tokio::spawn(async move {
                    let _watch = watch;
                    task.await
                })
            }
        }
    }

    /// Accepts connections for ever, and serves each with a task of its own, on the core that has
    /// the fewest connections. Dropping the future stops accepting; connections go on.
    ///
    /// What goes wrong with accepting is told to `failed`, and does not end it.
    pub async fn serve<F>(
        &self,
        clock: &Clock,
        listener: &Listener,
        serve: impl Fn(Stream, SocketAddr) -> F + Clone + Send + 'static,
        failed: impl Fn(io::Error),
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        loop {
            let accepted = match listener.accept().await {
                Ok((stream, peer)) => self.seat(stream, peer, serve.clone()),
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                let is_exhausted = matches!(
                    error.raw_os_error(),
                    Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
                );
                failed(error);
                if is_exhausted {
                    // The connection still waits, so accepting it again at once would spin.
                    clock.sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
    }

    fn seat<F>(
        &self,
        stream: Stream,
        peer: SocketAddr,
        serve: impl FnOnce(Stream, SocketAddr) -> F + Send + 'static,
    ) -> io::Result<()>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Kind::Cores(seats) = &self.0 else {
            self.spawn(serve(stream, peer));
            return Ok(());
        };
        let stream = stream.detach()?;
        seats.spawn_on_least(async move {
            // It fails only when the process has no memory or descriptors left; the peer sees the
            // connection closed.
            if let Ok(stream) = stream.attach() {
                serve(stream, peer).await;
            }
        });
        Ok(())
    }
}

/// Waits until the process is asked to stop: by SIGTERM, or from the keyboard.
///
/// # Errors
/// When the system lets no handler be installed.
pub async fn stop_signal() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    std::future::poll_fn(|context| {
        if interrupt.poll_recv(context).is_ready() || terminate.poll_recv(context).is_ready() {
            return std::task::Poll::Ready(());
        }
        std::task::Poll::Pending
    })
    .await;
    Ok(())
}

/// tokio keeps a task's panic to itself; a simulation must fail by it.
#[cfg(feature = "sim")]
struct PanicWatch(crate::sim::Trace);

#[cfg(feature = "sim")]
impl Drop for PanicWatch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.note_panic();
        }
    }
}

impl fmt::Debug for Tasks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Here => f.write_str("Tasks(here)"),
            Kind::Cores(seats) => write!(f, "Tasks({} cores)", seats.count()),
            #[cfg(feature = "sim")]
            Kind::Sim(_) => f.write_str("Tasks(simulated)"),
        }
    }
}
