//! Work that blocks: journals, segment writing, cold reads, compaction.
//!
//! A [`Worker`] is a loop turned inside out: it is asked for one step at a time. In the real world
//! each has a thread of its own; in a simulation all steps run on one thread, in an order that a
//! seed chooses. So that both are the same program, a worker never waits inside a step: it parks
//! by returning, and its [`Doorbell`] gets it going again.

mod doorbell;
mod real;
#[cfg(feature = "sim")]
mod sim;

pub use doorbell::Doorbell;
#[cfg(feature = "sim")]
pub use sim::SimWorkers;

use std::fmt;
use std::time::Duration;

/// Something that works in steps.
pub trait Worker: Send {
    /// Does a bounded piece of work: what is there to be had now, not more. It may block on the
    /// disk, and on nothing else.
    fn step(&mut self) -> Step;
}

/// What a worker wants after a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is more to do.
    Again,
    /// Nothing to do until the doorbell rings. A ring since the step began counts.
    Park,
    /// Nothing to do until the doorbell rings or this time has passed.
    ParkFor(Duration),
    /// The worker is finished and is dropped.
    Done,
}

/// Where workers are started. Cheap to clone.
#[derive(Clone)]
pub struct Workers(Kind);

#[derive(Clone)]
enum Kind {
    Real,
    #[cfg(feature = "sim")]
    Sim(SimWorkers),
}

/// A worker that was started. Dropping the handle leaves the worker running.
pub struct WorkerHandle(Handle);

enum Handle {
    Real(real::RealHandle),
    #[cfg(feature = "sim")]
    Sim(sim::SimHandle),
}

impl Workers {
    /// A thread each.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// Steps that a simulation takes.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(workers: &SimWorkers) -> Self {
        Self(Kind::Sim(workers.clone()))
    }

    /// Starts a worker, whose thread bears `name` (the system shows its first 15 bytes). Its first
    /// step comes without a ring.
    ///
    /// A worker that panics takes the process with it: what it held half-done must not be built
    /// upon, and nobody would ever be answered by it again.
    ///
    /// # Panics
    /// If the system refuses another thread, or another worker listens to this doorbell.
    pub fn start(
        &self,
        name: &str,
        doorbell: &Doorbell,
        worker: impl Worker + 'static,
    ) -> WorkerHandle {
        let worker: Box<dyn Worker> = Box::new(worker);
        match &self.0 {
            Kind::Real => WorkerHandle(Handle::Real(real::start(name, doorbell, worker))),
            #[cfg(feature = "sim")]
            Kind::Sim(sim) => WorkerHandle(Handle::Sim(sim.start(name, doorbell, worker))),
        }
    }

    /// Blocks the calling thread until `condition` holds, looking again at each ring. In a
    /// simulation, workers take steps meanwhile.
    ///
    /// # Panics
    /// If a worker or another waiter listens to this doorbell; in a simulation, if the condition
    /// can never hold because no worker can run.
    pub fn wait_until(&self, doorbell: &Doorbell, condition: impl FnMut() -> bool) {
        match &self.0 {
            Kind::Real => real::wait_until(doorbell, condition),
            #[cfg(feature = "sim")]
            Kind::Sim(sim) => sim.wait_until(condition),
        }
    }
}

impl WorkerHandle {
    /// Lets the worker take no further step, waits for the present one, and drops it.
    pub fn stop(self) {
        match self.0 {
            Handle::Real(handle) => handle.stop(),
            #[cfg(feature = "sim")]
            Handle::Sim(handle) => handle.stop(),
        }
    }

    /// Waits until the worker is [`Step::Done`] and dropped.
    pub fn join(self) {
        match self.0 {
            Handle::Real(handle) => handle.join(),
            #[cfg(feature = "sim")]
            Handle::Sim(handle) => handle.join(),
        }
    }
}

impl fmt::Debug for Workers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Real => f.write_str("Workers(real)"),
            #[cfg(feature = "sim")]
            Kind::Sim(sim) => write!(f, "Workers({sim:?})"),
        }
    }
}
