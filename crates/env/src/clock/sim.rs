//! Simulated time: advanced by hand, or by the network simulation.

use super::Moment;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

/// When simulations begin: 2026-01-01 00:00 UTC.
pub const SIM_EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// The clock of one simulated machine. Clones are the same clock.
#[derive(Clone)]
pub struct SimClock(Arc<Mutex<State>>);

struct State {
    source: Source,
    /// Time by hand; with the network simulation, how far this machine is known to be, which runs
    /// ahead of the simulation while the disk keeps a worker waiting.
    now: Duration,
    wall_skew_ns: i128,
    /// Async tasks that wait for time by hand, by deadline and order of arrival.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    sleeper_count: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Hand,
    Turmoil,
}

impl SimClock {
    /// A clock that stands still until [`SimClock::advance`].
    #[must_use]
    pub fn by_hand() -> Self {
        Self::new(Source::Hand)
    }

    /// The clock of a host of a turmoil simulation.
    #[must_use]
    pub fn of_turmoil() -> Self {
        Self::new(Source::Turmoil)
    }

    fn new(source: Source) -> Self {
        Self(Arc::new(Mutex::new(State {
            source,
            now: Duration::ZERO,
            wall_skew_ns: 0,
            sleepers: BTreeMap::new(),
            sleeper_count: 0,
        })))
    }

    /// Lets time pass, and wakes who waited for it. With turmoil, only this machine's time goes
    /// ahead, until the simulation has caught up.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = self.0.lock();
            state.now = state.now() + by;
            let not_due = state.now + Duration::from_nanos(1);
            let later = state.sleepers.split_off(&(not_due, 0));
            std::mem::replace(&mut state.sleepers, later)
        };
        for waker in due.into_values() {
            waker.wake();
        }
    }

    /// Time that an operation takes.
    pub(crate) fn spend(&self, time: Duration) {
        if !time.is_zero() {
            self.advance(time);
        }
    }

    /// Lets time pass up to `moment`, if it has not come yet.
    pub fn advance_to(&self, moment: Moment) {
        self.advance(moment.saturating_since(self.now()));
    }

    /// Puts the wall clock ahead of the true simulated time by so much, or behind it.
    pub fn set_wall_skew_ms(&self, skew_ms: i64) {
        self.0.lock().wall_skew_ns = i128::from(skew_ms) * 1_000_000;
    }

    /// When the next async sleeper is due.
    #[must_use]
    pub fn next_sleeper(&self) -> Option<Moment> {
        let state = self.0.lock();
        state.sleepers.keys().next().map(|&(since_start, _)| Moment { since_start })
    }

    pub(crate) fn now(&self) -> Moment {
        Moment { since_start: self.0.lock().now() }
    }

    pub(crate) fn wall_ns(&self) -> i128 {
        let mut state = self.0.lock();
        (SIM_EPOCH + state.now()).as_nanos().cast_signed() + state.wall_skew_ns
    }

    /// How far this machine's time is ahead of the network simulation.
    pub(crate) fn lead(&self) -> Duration {
        let mut state = self.0.lock();
        let simulation = state.simulation();
        state.now().saturating_sub(simulation)
    }

    pub(super) async fn sleep(&self, duration: Duration) {
        if self.0.lock().source == Source::Turmoil {
            return tokio::time::sleep(duration).await;
        }
        let deadline = self.0.lock().now + duration;
        let mut place = None;
        poll_fn(|context| {
            let mut state = self.0.lock();
            if let Some(place) = place.take() {
                state.sleepers.remove(&place);
            }
            if state.now >= deadline {
                return Poll::Ready(());
            }
            state.sleeper_count += 1;
            let here = (deadline, state.sleeper_count);
            state.sleepers.insert(here, context.waker().clone());
            place = Some(here);
            Poll::Pending
        })
        .await;
    }
}

impl State {
    fn now(&mut self) -> Duration {
        self.now = self.now.max(self.simulation());
        self.now
    }

    /// The time of the network simulation; it is unknown between its steps.
    fn simulation(&self) -> Duration {
        match self.source {
            Source::Hand => self.now,
            Source::Turmoil => turmoil::sim_elapsed().unwrap_or(self.now),
        }
    }
}

impl fmt::Debug for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.0.lock();
        write!(f, "SimClock({:?}, {:?})", state.source, state.now)
    }
}
