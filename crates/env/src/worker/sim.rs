//! Workers of a simulated machine: one thread, one step at a time, in an order that a seed chooses.

use super::doorbell::Listening;
use super::{Doorbell, Step, Worker};
use crate::clock::{Moment, SimClock};
use crate::rng::Rng;
use crate::sim::Trace;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// The workers of one simulated machine. Clones are the same workers.
///
/// Nothing runs by itself: a test calls [`SimWorkers::step_one`], or lets
/// [`SimWorkers::drive`] do so on an async task. Whoever waits for a worker (a join, a
/// [`Workers::wait_until`](super::Workers::wait_until)) takes steps meanwhile.
#[derive(Clone)]
pub struct SimWorkers(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    clock: SimClock,
    rng: Rng,
    trace: Trace,
    /// Rung when a worker is started, for who drives.
    started: Doorbell,
}

#[derive(Default)]
struct State {
    workers: BTreeMap<WorkerId, Entry>,
    started_count: WorkerId,
}

type WorkerId = u64;

struct Entry {
    name: String,
    doorbell: Doorbell,
    /// Not here while it takes a step.
    worker: Option<Box<dyn Worker>>,
    wants: Wants,
    stopping: bool,
    _listening: Listening,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wants {
    Step,
    Ring,
    RingOrTime(Moment),
}

pub(super) struct SimHandle {
    workers: SimWorkers,
    id: WorkerId,
}

impl SimWorkers {
    /// No workers yet.
    #[must_use]
    pub fn new(clock: SimClock, rng: Rng, trace: Trace) -> Self {
        let (state, started) = (Mutex::default(), Doorbell::new());
        Self(Arc::new(Shared { state, clock, rng, trace, started }))
    }

    /// Lets one worker that can run, chosen by the seed, take one step. False if none can.
    pub fn step_one(&self) -> bool {
        let now = self.0.clock.now();
        let runnable: Vec<WorkerId> = {
            let state = self.0.state.lock();
            let can_run = |entry: &&Entry| entry.can_run(now);
            state.workers.iter().filter(|(_, e)| can_run(e)).map(|(&id, _)| id).collect()
        };
        if runnable.is_empty() {
            return false;
        }
        self.step(runnable[self.0.rng.index(runnable.len())]);
        true
    }

    /// Lets the worker called `name` take one step; false if there is none that can run.
    pub fn step_named(&self, name: &str) -> bool {
        let now = self.0.clock.now();
        let found = {
            let state = self.0.state.lock();
            let is_meant = |entry: &Entry| entry.name == name && entry.can_run(now);
            state.workers.iter().find(|(_, entry)| is_meant(entry)).map(|(&id, _)| id)
        };
        found.map(|id| self.step(id)).is_some()
    }

    /// Steps until no worker can run without a ring or more time.
    pub fn run_until_idle(&self) {
        while self.step_one() {}
    }

    /// When the first parked worker will run without a ring.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Moment> {
        let state = self.0.state.lock();
        let deadline = |entry: &Entry| match entry.wants {
            Wants::RingOrTime(deadline) if entry.worker.is_some() => Some(deadline),
            _ => None,
        };
        state.workers.values().filter_map(deadline).min()
    }

    /// How many workers there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.state.lock().workers.len()
    }

    /// Drops all workers where they stand, as a power cut or `kill -9` does.
    pub fn kill(&self) {
        // Outside the lock: their drops may ring, or drop handles.
        let workers = std::mem::take(&mut self.0.state.lock().workers);
        drop(workers);
    }

    /// Takes steps for ever, on an async task of the network simulation: whenever a worker can run,
    /// and no faster than the disk lets it.
    pub async fn drive(self) {
        loop {
            while self.step_one() {
                // Others on this machine have their turn; longer if the step took time.
                match self.0.clock.lead() {
                    lead if lead.is_zero() => tokio::task::yield_now().await,
                    lead => self.sleep(lead).await,
                }
            }
            let wait = self.next_deadline().map(|at| at.saturating_since(self.0.clock.now()));
            let mut time = pin!(async {
                match wait {
                    Some(wait) => self.sleep(wait).await,
                    None => std::future::pending().await,
                }
            });
            poll_fn(|context| match self.poll_ring(context) {
                Poll::Ready(()) => Poll::Ready(()),
                Poll::Pending => time.as_mut().poll(context),
            })
            .await;
        }
    }

    async fn sleep(&self, time: std::time::Duration) {
        crate::clock::Clock::simulated(&self.0.clock).sleep(time).await;
    }

    /// Ready when a worker was started, or somebody rang for a parked one.
    fn poll_ring(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut rang = self.0.started.poll_rung(context).is_ready();
        for entry in self.0.state.lock().workers.values() {
            rang |= !entry.doorbell.sleep(context.waker()) && !entry.doorbell.is_asleep();
        }
        if rang { Poll::Ready(()) } else { Poll::Pending }
    }

    pub(super) fn start(
        &self,
        name: &str,
        doorbell: &Doorbell,
        worker: Box<dyn Worker>,
    ) -> SimHandle {
        let mut state = self.0.state.lock();
        state.started_count += 1;
        let id = state.started_count;
        let entry = Entry {
            name: name.to_owned(),
            doorbell: doorbell.clone(),
            worker: Some(worker),
            wants: Wants::Step,
            stopping: false,
            _listening: doorbell.listen(),
        };
        state.workers.insert(id, entry);
        drop(state);
        self.0.trace.note(format_args!("worker: {name} starts"));
        self.0.started.ring();
        SimHandle { workers: self.clone(), id }
    }

    pub(super) fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        while !condition() {
            self.make_progress("a condition");
        }
    }

    /// One step, or else time up to the next deadline.
    ///
    /// # Panics
    /// If nothing can ever run again: in the real world this thread would hang.
    fn make_progress(&self, waiting_for: &str) {
        if !self.step_one() {
            let Some(deadline) = self.next_deadline() else {
                panic!("deadlock: waiting for {waiting_for}, and no worker can run");
            };
            self.0.clock.advance_to(deadline);
        }
    }

    fn step(&self, id: WorkerId) {
        let mut worker = {
            let mut state = self.0.state.lock();
            let entry = state.workers.get_mut(&id).expect("chosen a moment ago");
            entry.doorbell.take();
            entry.worker.take().expect("it can run")
        };
        // Without the lock: a step may start workers, stop them, or wait for them.
        let step = worker.step();
        let now = self.0.clock.now();
        let mut state = self.0.state.lock();
        // Gone if the machine was killed meanwhile; the worker is dropped below then.
        let Some(entry) = state.workers.get_mut(&id) else { return };
        self.0.trace.note(format_args!("worker: {} at {now:?}: {step:?}", entry.name));
        entry.wants = match step {
            Step::Again => Wants::Step,
            Step::Park => Wants::Ring,
            Step::ParkFor(time) => Wants::RingOrTime(now + time),
            Step::Done => {
                entry.stopping = true;
                Wants::Step
            }
        };
        entry.worker = Some(worker);
        if entry.stopping {
            let entry = state.workers.remove(&id);
            drop(state);
            drop(entry);
        }
    }
}

impl Entry {
    fn can_run(&self, now: Moment) -> bool {
        self.worker.is_some()
            && match self.wants {
                Wants::Step => true,
                Wants::Ring => self.doorbell.is_rung(),
                Wants::RingOrTime(deadline) => deadline <= now || self.doorbell.is_rung(),
            }
    }
}

impl SimHandle {
    pub(super) fn stop(self) {
        let mut state = self.workers.0.state.lock();
        if let Some(entry) = state.workers.get_mut(&self.id) {
            entry.stopping = true;
            // One that is inside a step is dropped when it comes back.
            if entry.worker.is_some() {
                let entry = state.workers.remove(&self.id);
                drop(state);
                drop(entry);
            }
        }
    }

    pub(super) fn join(self) {
        while let Some(name) = self.name() {
            self.workers.make_progress(&format!("worker \"{name}\""));
        }
    }

    fn name(&self) -> Option<String> {
        self.workers.0.state.lock().workers.get(&self.id).map(|entry| entry.name.clone())
    }
}

impl fmt::Debug for SimWorkers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.state.lock();
        let wants = |entry: &Entry| (entry.name.clone(), entry.wants);
        f.debug_map().entries(state.workers.values().map(wants)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Workers;
    use super::*;
    use std::time::Duration;

    /// Does what it is told, step by step, and leaves its name behind at each.
    struct Scripted {
        name: &'static str,
        script: Vec<Step>,
        log: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Worker for Scripted {
        fn step(&mut self) -> Step {
            self.log.lock().push(self.name);
            self.script.pop().unwrap_or(Step::Done)
        }
    }

    #[derive(Default)]
    struct World {
        log: Arc<Mutex<Vec<&'static str>>>,
    }

    impl World {
        fn workers(&self, seed: u64) -> (SimClock, SimWorkers) {
            let clock = SimClock::by_hand();
            (clock.clone(), SimWorkers::new(clock, Rng::seeded(seed), Trace::new()))
        }

        fn scripted(&self, name: &'static str, mut script: Vec<Step>) -> Scripted {
            script.reverse();
            Scripted { name, script, log: Arc::clone(&self.log) }
        }
    }

    #[test]
    fn the_seed_chooses_the_order() {
        let order = |seed| {
            let world = World::default();
            let (_, sim) = world.workers(seed);
            let workers = Workers::simulated(&sim);
            for name in ["a", "b", "c"] {
                let script = vec![Step::Again; 5];
                let _ = workers.start(name, &Doorbell::new(), world.scripted(name, script));
            }
            sim.run_until_idle();
            assert_eq!(sim.count(), 0);
            let log = world.log.lock().clone();
            assert_eq!(log.len(), 18);
            log
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
    }

    #[test]
    fn a_parked_worker_runs_at_a_ring_or_when_its_time_has_come() {
        let world = World::default();
        let (clock, sim) = world.workers(1);
        let workers = Workers::simulated(&sim);
        let bell = Doorbell::new();
        let second = Duration::from_secs(1);
        let script = vec![Step::Park, Step::ParkFor(second), Step::Park];
        let handle = workers.start("w", &bell, world.scripted("w", script));
        assert!(sim.step_one());
        assert!(!sim.step_one());
        bell.ring();
        assert!(sim.step_named("w"));
        assert_eq!(sim.next_deadline(), Some(clock.now() + second));
        assert!(!sim.step_named("w"));
        clock.advance(second);
        assert!(sim.step_one());
        assert!(!sim.step_one());
        assert_eq!(world.log.lock().len(), 3);
        handle.stop();
        assert_eq!(sim.count(), 0);
        bell.ring();
        assert!(!sim.step_one());
    }

    #[test]
    fn who_waits_lets_the_others_work_and_time_pass() {
        let world = World::default();
        let (clock, sim) = world.workers(1);
        let workers = Workers::simulated(&sim);
        let hour = Duration::from_secs(3600);
        let script = vec![Step::Again, Step::ParkFor(hour)];
        let handle = workers.start("w", &Doorbell::new(), world.scripted("w", script));
        let before = clock.now();
        workers.wait_until(&Doorbell::new(), || world.log.lock().len() == 2);
        assert_eq!(clock.now(), before);
        handle.join();
        assert_eq!(clock.now() - before, hour);
    }

    #[test]
    #[should_panic(expected = "deadlock: waiting for worker \"w\"")]
    fn waiting_for_what_cannot_come_is_found() {
        let world = World::default();
        let (_, sim) = world.workers(1);
        let script = vec![Step::Park];
        Workers::simulated(&sim).start("w", &Doorbell::new(), world.scripted("w", script)).join();
    }
}
