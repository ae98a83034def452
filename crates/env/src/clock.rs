//! Time: the wall's, a monotonic one, and waiting for it.
//!
//! Every time in the product comes from here, so that a simulation can own it.
#![allow(
    clippy::disallowed_methods,
    reason = "this is the door to the system's clocks and tokio's timers"
)]

#[cfg(feature = "sim")]
mod sim;

#[cfg(feature = "sim")]
pub use sim::{SIM_EPOCH, SimClock};

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Real,
    #[cfg(feature = "sim")]
    Sim(SimClock),
}

/// A point on the monotonic clock of one process.
///
/// It says nothing about the wall and is not to be stored or sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    since_start: Duration,
}

impl Clock {
    /// The clocks of this machine.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// A clock that a simulation owns.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(clock: &SimClock) -> Self {
        Self(Kind::Sim(clock.clone()))
    }

    /// Milliseconds since the Unix epoch, the unit of all Kafka timestamps. Goes back when
    /// somebody sets the wall clock back.
    #[must_use]
    pub fn wall_ms(&self) -> i64 {
        let ms = match &self.0 {
            // Asked for with every record that is sent: no division of 128 bits.
            Kind::Real => match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(after) => i64::try_from(after.as_secs())
                    .ok()
                    .and_then(|s| s.checked_mul(1000)?.checked_add(after.subsec_millis().into())),
                Err(before) => {
                    i64::try_from(before.duration().as_millis()).ok().map(|before_ms| -before_ms)
                }
            },
            #[cfg(feature = "sim")]
            Kind::Sim(clock) => i64::try_from(clock.wall_ns() / 1_000_000).ok(),
        };
        ms.expect("the wall clock is within i64 ms")
    }

    /// Nanoseconds since the Unix epoch.
    #[must_use]
    pub fn wall_ns(&self) -> i128 {
        match &self.0 {
            Kind::Real => ns_since_epoch(SystemTime::now()),
            #[cfg(feature = "sim")]
            Kind::Sim(clock) => clock.wall_ns(),
        }
    }

    /// Now, on a clock that never goes back.
    #[must_use]
    pub fn now(&self) -> Moment {
        match &self.0 {
            Kind::Real => Moment { since_start: process_start().elapsed() },
            #[cfg(feature = "sim")]
            Kind::Sim(clock) => clock.now(),
        }
    }

    /// Waits on an async task; never on a worker, which parks for a while instead
    /// ([`Step::ParkFor`](crate::worker::Step::ParkFor)).
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Kind::Real => tokio::time::sleep(duration).await,
            #[cfg(feature = "sim")]
            Kind::Sim(clock) => clock.sleep(duration).await,
        }
    }

    /// Waits on an async task until `deadline`; at once when it has passed.
    pub async fn sleep_until(&self, deadline: Moment) {
        self.sleep(deadline.saturating_since(self.now())).await;
    }
}

impl Moment {
    /// How much later this is than `earlier`; zero if it is not.
    #[must_use]
    pub fn saturating_since(self, earlier: Self) -> Duration {
        self.since_start.saturating_sub(earlier.since_start)
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self { since_start: self.since_start.saturating_add(duration) }
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub for Moment {
    type Output = Duration;

    /// # Panics
    /// If `earlier` is later: moments are subtracted in the order in which they were taken.
    fn sub(self, earlier: Self) -> Duration {
        self.since_start
            .checked_sub(earlier.since_start)
            .expect("a monotonic clock never goes back")
    }
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", self.since_start)
    }
}

/// Where moments are counted from: the first question for the time.
fn process_start() -> Instant {
    static START: OnceLock<Instant> = OnceLock::new();
    *START.get_or_init(Instant::now)
}

fn ns_since_epoch(at: SystemTime) -> i128 {
    match at.duration_since(UNIX_EPOCH) {
        Ok(after) => after.as_nanos().cast_signed(),
        Err(before) => -before.duration().as_nanos().cast_signed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_counts_from_1970_and_never_goes_back() {
        let clock = Clock::real();
        let year_2020_ms = 1_577_836_800_000;
        assert!(clock.wall_ms() > year_2020_ms);
        let earlier = clock.now();
        let later = clock.now();
        assert!(later >= earlier);
        assert_eq!(later - later, Duration::ZERO);
        assert_eq!((later + Duration::from_secs(1)) - later, Duration::from_secs(1));
        assert_eq!(earlier.saturating_since(later + Duration::from_secs(1)), Duration::ZERO);
    }

    #[test]
    fn times_before_1970_are_negative() {
        assert_eq!(ns_since_epoch(UNIX_EPOCH - Duration::from_nanos(3)), -3);
    }
}
