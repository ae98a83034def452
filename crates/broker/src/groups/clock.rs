//! A clock for deadlines that nobody can set back or forward.

use afluente_env::clock::{Clock, Moment};

/// Milliseconds since the Unix epoch as they were when the broker started, plus what has passed
/// since: sessions must not end because the machine's clock was set.
pub(super) struct SteadyClock {
    start: Moment,
    start_wall_ms: i64,
}

impl SteadyClock {
    pub(super) fn start(clock: &Clock) -> Self {
        Self { start: clock.now(), start_wall_ms: clock.wall_ms() }
    }

    pub(super) fn now_ms(&self, clock: &Clock) -> i64 {
        let passed = clock.now().saturating_since(self.start).as_millis();
        self.start_wall_ms.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX))
    }
}
