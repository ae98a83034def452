//! When a call gives up.

use afluente_env::clock::{Clock, Moment};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// The moment until which a call may try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Moment);

impl Deadline {
    /// `duration` from the time that `clock` shows.
    #[must_use]
    pub fn after(clock: &Clock, duration: Duration) -> Self {
        Self(clock.now() + duration)
    }

    /// At `moment`.
    #[must_use]
    pub fn at(moment: Moment) -> Self {
        Self(moment)
    }

    /// The moment itself.
    #[must_use]
    pub fn moment(self) -> Moment {
        self.0
    }

    /// What is left; zero once it has passed.
    #[must_use]
    pub fn remaining(self, clock: &Clock) -> Duration {
        self.0.saturating_since(clock.now())
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn has_passed(self, clock: &Clock) -> bool {
        clock.now() >= self.0
    }

    /// This one, but not later than `duration` from now.
    #[must_use]
    pub fn within(self, clock: &Clock, duration: Duration) -> Self {
        self.min(Self::after(clock, duration))
    }
}

/// The output of `future`, or `None` if it has none before `deadline`.
pub async fn until<F: Future>(clock: &Clock, deadline: Deadline, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut end = pin!(clock.sleep_until(deadline.moment()));
    poll_fn(|context| {
        if let Poll::Ready(output) = future.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        end.as_mut().poll(context).map(|()| None)
    })
    .await
}
