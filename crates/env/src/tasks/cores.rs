//! One single-threaded tokio runtime a core.

use super::{Kind, Tasks};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

/// The threads that async tasks run on. Dropping it drops all tasks.
pub struct Cores {
    seats: Arc<Seats>,
    threads: Vec<JoinHandle<()>>,
    /// Dropped to stop the threads.
    running: Option<watch::Sender<()>>,
}

/// What [`Tasks`] knows of the cores.
pub(super) struct Seats(Vec<Seat>);

struct Seat {
    runtime: Handle,
    /// Connections that it has.
    taken: Arc<AtomicUsize>,
}

/// Why the cores could not be started.
#[derive(Debug, thiserror::Error)]
#[error("could not start network thread {index} of {count}")]
pub struct CoresError {
    /// Which one.
    pub index: usize,
    /// How many were wanted.
    pub count: usize,
    /// What the system says.
    pub source: io::Error,
}

impl Cores {
    /// Starts `count` threads; 0 means one for each core that this process may use. The system
    /// places them: on a machine that has other work too (journals, segments, clients), it does
    /// so better than a fixed rule, see [`Cores::start_pinned`].
    ///
    /// # Errors
    /// When the system refuses a thread, or what a runtime needs of it.
    pub fn start(count: usize) -> Result<Self, CoresError> {
        Self::start_on(count, &[])
    }

    /// As [`Cores::start`], with each thread pinned to a core of its own, if there are as many.
    ///
    /// It pays where these threads have their cores for themselves. On two virtual cores beside
    /// other work (`afluente-bench env`), a round trip between two pinned threads took 58 µs of
    /// processor time and 37 µs at the median, against 15 and 15 where the system placed them: each
    /// message wakes another, sleeping core.
    ///
    /// # Errors
    /// When the system refuses a thread, or what a runtime needs of it.
    pub fn start_pinned(count: usize) -> Result<Self, CoresError> {
        Self::start_on(count, &allowed_cpus())
    }

    fn start_on(count: usize, cpus: &[usize]) -> Result<Self, CoresError> {
        let usable = thread::available_parallelism().map_or(1, usize::from);
        let count = if count == 0 { usable } else { count };
        let cpus = if count <= cpus.len() { cpus } else { &[] };
        let (running, stopped) = watch::channel(());
        let mut cores = Self {
            seats: Arc::new(Seats(Vec::new())),
            threads: Vec::new(),
            running: Some(running),
        };
        let mut seats = Vec::new();
        for index in 0..count {
            let (runtime, thread) = start_one(index, cpus.get(index).copied(), stopped.clone())
                .map_err(|source| CoresError { index, count, source })?;
            seats.push(Seat { runtime, taken: Arc::default() });
            cores.threads.push(thread);
        }
        cores.seats = Arc::new(Seats(seats));
        Ok(cores)
    }

    /// For spawning on these threads.
    #[must_use]
    pub fn tasks(&self) -> Tasks {
        Tasks(Kind::Cores(Arc::clone(&self.seats)))
    }

    /// Runs `task` on the first core, and blocks the calling thread until it is done. Others go on
    /// beside it.
    ///
    /// # Panics
    /// If the task panics.
    pub fn block_on<F>(&self, task: F) -> F::Output
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        self.seats.0[0].runtime.spawn(async move {
            // Nobody has gone: the receiver waits below.
            let _ = sender.send(task.await);
        });
        receiver.recv().expect("the task did not panic")
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        drop(self.running.take());
        for thread in self.threads.drain(..) {
            // A task's panic stays in its task, so the thread ended well.
            let _ = thread.join();
        }
    }
}

fn start_one(
    index: usize,
    cpu: Option<usize>,
    mut stopped: watch::Receiver<()>,
) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let thread = thread::Builder::new().name(format!("net-{index}")).spawn(move || {
        if let Some(cpu) = cpu {
            let mut set = CpuSet::new();
            set.set(cpu);
            // Without it the thread runs as well, only less steadily.
            let _ = sched_setaffinity(None, &set);
        }
        // An error says that the sender is gone, which is what it waits for.
        let _ = runtime.block_on(stopped.changed());
    })?;
    Ok((handle, thread))
}

/// The CPUs that this process may run on.
fn allowed_cpus() -> Vec<usize> {
    sched_getaffinity(None)
        .map(|set| (0..CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect())
        .unwrap_or_default()
}

impl Seats {
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    pub(super) fn spawn<F>(&self, task: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        match Handle::try_current() {
            Ok(runtime) => runtime.spawn(task),
            Err(_) => self.least().runtime.spawn(task),
        }
    }

    pub(super) fn spawn_on_least(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let seat = self.least();
        // Taken now, not when the task starts: several may come before it does.
        seat.taken.fetch_add(1, Ordering::Relaxed);
        let taken = Taken(Arc::clone(&seat.taken));
        seat.runtime.spawn(async move {
            let _taken = taken;
            connection.await;
        });
    }

    fn least(&self) -> &Seat {
        let taken = |seat: &&Seat| seat.taken.load(Ordering::Relaxed);
        self.0.iter().min_by_key(taken).expect("there is at least one core")
    }
}

/// Gives the seat back, also when the task is dropped or panics.
struct Taken(Arc<AtomicUsize>);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
