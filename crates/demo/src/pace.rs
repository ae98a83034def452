//! How many of something are due: a rate that varies over the time, made into whole numbers.

/// Steps that come late catch up on at most this much, so that a machine that slept does not
/// answer with a flood.
const CATCH_UP_MS_MAX: i64 = 2_000;

/// Counts what is due.
#[derive(Debug, Clone)]
pub(crate) struct Pace {
    last_ms: Option<i64>,
    /// What is due but not whole yet.
    rest: f64,
}

impl Pace {
    pub(crate) fn new() -> Self {
        Self { last_ms: None, rest: 0.0 }
    }

    /// How many are due since the last call, at `per_second`.
    pub(crate) fn due(&mut self, now_ms: i64, per_second: f64) -> u32 {
        let elapsed_ms = self.elapsed_ms(now_ms);
        let due = self.rest + per_second * elapsed_ms as f64 / 1_000.0;
        let whole = due.floor().clamp(0.0, f64::from(u32::MAX));
        self.rest = due - whole;
        whole as u32
    }

    /// The time since the last call, within what is caught up on.
    pub(crate) fn elapsed_ms(&mut self, now_ms: i64) -> i64 {
        let last_ms = self.last_ms.replace(now_ms).unwrap_or(now_ms);
        (now_ms - last_ms).clamp(0, CATCH_UP_MS_MAX)
    }
}

/// How busy a day of trade is at a moment of it, from 0 (midnight) to 1 (midnight again): nearly
/// nothing at night, a wave at noon, a higher one in the evening. Its average is about 1.
pub(crate) fn wave(of_day: f64) -> f64 {
    let hill = |at: f64, width: f64| (-((of_day - at) / width).powi(2)).exp();
    0.15 + 1.9 * hill(0.52, 0.11) + 2.4 * hill(0.77, 0.09) + 0.7 * hill(0.36, 0.06)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_adds_up_whatever_the_steps() {
        for step_ms in [1, 7, 100, 999] {
            let mut pace = Pace::new();
            assert_eq!(pace.due(0, 250.0), 0);
            let due: u32 = (1..=10_000 / step_ms).map(|step| pace.due(step * step_ms, 250.0)).sum();
            let expected = (10_000 / step_ms * step_ms) as f64 / 1_000.0 * 250.0;
            assert!((f64::from(due) - expected).abs() <= 1.0, "{due} by steps of {step_ms} ms");
        }
    }

    #[test]
    fn a_long_sleep_is_not_answered_with_a_flood_and_time_may_go_back() {
        let mut pace = Pace::new();
        pace.due(0, 1_000.0);
        assert_eq!(pace.due(3_600_000, 1_000.0), 2_000);
        assert_eq!(pace.due(0, 1_000.0), 0);
    }

    #[test]
    fn a_day_averages_to_its_rate() {
        let average = (0..1_000).map(|at| wave(f64::from(at) / 1_000.0)).sum::<f64>() / 1_000.0;
        assert!((0.9..1.1).contains(&average), "{average}");
    }
}
