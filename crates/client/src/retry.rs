//! Trying again: exponential back-off with jitter (KIP-580), until a deadline.

use crate::deadline::Deadline;
use crate::error::Error;
use afluente_env::clock::Clock;
use afluente_env::rng::Rng;
use std::time::Duration;

/// How long to wait before attempt after attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt.
    pub initial: Duration,
    /// The longest wait, before jitter.
    pub max: Duration,
}

/// How much longer or shorter than computed a wait may be, so that clients do not come in step.
const JITTER: f64 = 0.2;

impl Backoff {
    /// The wait after `failures` attempts that failed, of which there is at least one.
    #[must_use]
    pub fn wait(&self, failures: u32, rng: &Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let wait = self.initial.saturating_mul(1 << doublings).min(self.max);
        let unit = (rng.u64() >> 11) as f64 / (1_u64 << 53) as f64;
        wait.mul_f64(1.0 - JITTER + 2.0 * JITTER * unit)
    }
}

/// The attempts of one call.
///
/// ```no_run
/// # use afluente_client::{Client, Deadline, Error};
/// # async fn attempt() -> Result<u32, Error> { Ok(1) }
/// # async fn call(client: &Client, deadline: Deadline) -> Result<u32, Error> {
/// let mut retry = client.retry(deadline);
/// loop {
///     match attempt().await {
///         Err(error) => retry.after(error).await?,
///         done => return done,
///     }
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct Retry {
    clock: Clock,
    rng: Rng,
    backoff: Backoff,
    deadline: Deadline,
    failures: u32,
}

impl Retry {
    /// No attempt made so far.
    #[must_use]
    pub fn new(clock: Clock, rng: Rng, backoff: Backoff, deadline: Deadline) -> Self {
        Self { clock, rng, backoff, deadline, failures: 0 }
    }

    /// Waits before the next attempt, after one that failed with `error`.
    ///
    /// # Errors
    /// `error` itself if trying again cannot help; [`Error::DeadlinePassed`], which holds it, if
    /// the wait would end too late.
    pub async fn after(&mut self, error: Error) -> Result<(), Error> {
        if !error.is_retriable() {
            return Err(error);
        }
        self.failures += 1;
        let wait = self.backoff.wait(self.failures, &self.rng);
        if wait >= self.deadline.remaining(&self.clock) {
            return Err(Error::DeadlinePassed {
                attempts: self.failures,
                last: Some(Box::new(error)),
            });
        }
        self.clock.sleep(wait).await;
        Ok(())
    }

    /// How many attempts failed.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Until when attempts are made.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_limit_and_jitter_by_a_fifth() {
        let backoff =
            Backoff { initial: Duration::from_millis(100), max: Duration::from_millis(1000) };
        let rng = Rng::seeded(1);
        for (failures, expected_ms) in
            [(1, 100.0), (2, 200.0), (4, 800.0), (5, 1000.0), (99, 1000.0)]
        {
            let mut seen = [f64::MAX, 0.0_f64];
            for _ in 0..1000 {
                let wait_ms = backoff.wait(failures, &rng).as_secs_f64() * 1000.0;
                seen = [seen[0].min(wait_ms), seen[1].max(wait_ms)];
            }
            let [low, high] = [expected_ms * 0.8, expected_ms * 1.2];
            assert!(low <= seen[0] && seen[0] < low * 1.02, "{failures}: {seen:?}");
            assert!(high * 0.98 < seen[1] && seen[1] <= high, "{failures}: {seen:?}");
        }
    }
}
