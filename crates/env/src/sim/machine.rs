//! A simulated computer: a disk that outlives processes, and the processes' worlds.

use super::Trace;
use crate::Env;
use crate::clock::{Clock, SimClock};
use crate::disk::{BitFlip, SimDisk};
use crate::net::{Net, SimNet};
use crate::rng::Rng;
use crate::tasks::Tasks;
use crate::worker::{SimWorkers, Workers};
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;

/// A simulated computer. Clones are the same one.
///
/// Each [`Machine::boot`] gives a fresh process its world; [`Machine::cut_power`] and
/// [`Machine::kill`] end the present one, after which its files, locks and workers are dead.
///
/// ```
/// # use afluente_env::{disk::{Disk, OpenHow, Access}, sim::Machine};
/// let machine = Machine::by_hand(42);
/// let env = machine.boot();
/// let file = env.disk.open("/log".as_ref(), OpenHow::buffered(Access::CreateNew)).unwrap();
/// machine.workers().run_until_idle();
/// let flipped = machine.cut_power();
/// let env = machine.boot(); // and see what is left
/// ```
#[derive(Clone)]
pub struct Machine(Arc<Shared>);

struct Shared {
    clock: SimClock,
    rng: Rng,
    trace: Trace,
    state: Mutex<State>,
}

struct State {
    disk: SimDisk,
    workers: SimWorkers,
}

impl Machine {
    /// A machine whose time is advanced by hand and whose workers are stepped by hand.
    #[must_use]
    pub fn by_hand(seed: u64) -> Self {
        Self::new(SimClock::by_hand(), Rng::seeded(seed), Trace::new())
    }

    /// A machine with this clock, everything else decided by `rng`, all told to `trace`.
    #[must_use]
    pub fn new(clock: SimClock, rng: Rng, trace: Trace) -> Self {
        // Each part has randomness of its own, so that one more draw in one of them does not
        // change what the others do.
        let disk = SimDisk::new(rng.fork(), clock.clone(), trace.clone());
        let workers = SimWorkers::new(clock.clone(), rng.fork(), trace.clone());
        Self(Arc::new(Shared { clock, rng, trace, state: Mutex::new(State { disk, workers }) }))
    }

    /// The world of a new process.
    #[must_use]
    pub fn boot(&self) -> Env {
        let state = self.0.state.lock();
        Env {
            clock: Clock::simulated(&self.0.clock),
            disk: Arc::new(state.disk.clone()),
            net: Net::simulated(SimNet::new(self.0.rng.fork(), self.0.trace.clone())),
            rng: self.0.rng.fork(),
            tasks: Tasks::simulated(&self.0.trace),
            workers: Workers::simulated(&state.workers),
        }
    }

    /// Cuts the power; gives the bit that flipped, if one did.
    pub fn cut_power(&self) -> Option<BitFlip> {
        self.end_process(SimDisk::cut_power)
    }

    /// Kills the process; the page cache stays.
    pub fn kill(&self) {
        self.end_process(|disk| (disk.kill(), ()));
    }

    /// The disk as the present process has it.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        self.0.state.lock().disk.clone()
    }

    /// The workers of the present process.
    #[must_use]
    pub fn workers(&self) -> SimWorkers {
        self.0.state.lock().workers.clone()
    }

    /// The machine's clock.
    #[must_use]
    pub fn clock(&self) -> &SimClock {
        &self.0.clock
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    fn end_process<T>(&self, end: impl FnOnce(&SimDisk) -> (SimDisk, T)) -> T {
        // The disk first: what the dying do in their drops must not reach it.
        let (dead, outcome) = {
            let mut state = self.0.state.lock();
            let (disk, outcome) = end(&state.disk);
            state.disk = disk;
            let workers =
                SimWorkers::new(self.0.clock.clone(), self.0.rng.fork(), self.0.trace.clone());
            (std::mem::replace(&mut state.workers, workers), outcome)
        };
        dead.kill();
        outcome
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Machine({:?}, {:?})", self.0.clock, self.0.trace)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use crate::disk::{Access, File, OpenHow, write_all_at};
    use crate::worker::{Doorbell, Step, Worker};
    use std::time::Duration;

    /// Appends a byte at each step, and syncs at every third.
    struct Appender {
        file: Arc<dyn File>,
        at: u64,
    }

    impl Worker for Appender {
        fn step(&mut self) -> Step {
            if write_all_at(&*self.file, &[7], self.at).is_err() {
                return Step::Done;
            }
            self.at += 1;
            if self.at.is_multiple_of(3) && self.file.sync_data().is_err() {
                return Step::Done;
            }
            Step::ParkFor(Duration::from_millis(1))
        }
    }

    fn run(seed: u64) -> (u64, u64, Vec<u64>) {
        let machine = Machine::by_hand(seed);
        let mut lengths = Vec::new();
        for _ in 0..5 {
            let env = machine.boot();
            for path in ["/a", "/b"] {
                let how = OpenHow::buffered(Access::CreateOrWrite);
                let file = env.disk.open(path.as_ref(), how).unwrap();
                let at = file.len().unwrap();
                let _ = env.workers.start(path, &Doorbell::new(), Appender { file, at });
                lengths.push(at);
            }
            env.disk.sync_dir("/".as_ref()).unwrap();
            for _ in 0..env.rng.range(1..20) {
                machine.workers().run_until_idle();
                machine.clock().advance(Duration::from_millis(1));
            }
            machine.cut_power();
        }
        (machine.trace().hash(), machine.trace().count(), lengths)
    }

    #[test]
    fn a_seed_repeats_a_life_with_five_power_cuts() {
        assert_eq!(run(1), run(1));
        assert_ne!(run(1).0, run(2).0);
    }

    #[test]
    fn the_dead_cannot_touch_the_disk_of_the_living() {
        let machine = Machine::by_hand(1);
        let old = machine.boot();
        let (workers, doorbell) = (machine.workers(), Doorbell::new());
        let file = old.disk.open("/a".as_ref(), OpenHow::buffered(Access::CreateNew)).unwrap();
        let _ = old.workers.start("appender", &doorbell, Appender { file, at: 0 });
        machine.kill();
        assert!(!workers.step_one());
        assert!(old.disk.read_dir("/".as_ref()).is_err());
        let new = machine.boot();
        assert_eq!(new.disk.metadata("/a".as_ref()).unwrap().unwrap().len, 0);
    }
}
