//! Numbers over time, in memory that does not grow.

use std::collections::VecDeque;

/// The newest `N` points; older ones fall out.
#[derive(Debug, Clone)]
pub(crate) struct Ring<T> {
    points: VecDeque<T>,
    max: usize,
}

impl<T: Clone> Ring<T> {
    pub(crate) fn of(max: usize) -> Self {
        Self { points: VecDeque::new(), max }
    }

    pub(crate) fn push(&mut self, point: T) {
        if self.points.len() == self.max {
            self.points.pop_front();
        }
        self.points.push_back(point);
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + ExactSizeIterator {
        self.points.iter()
    }

    pub(crate) fn first(&self) -> Option<&T> {
        self.points.front()
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.points.back()
    }
}

/// A counter that is looked at now and then, and how fast it grows.
#[derive(Debug, Clone)]
pub(crate) struct Growth {
    /// Time (Unix ms) and count of the last few looks.
    looks: Ring<(i64, i64)>,
}

/// Looks that a rate is averaged over.
const LOOKS_MAX: usize = 6;

impl Growth {
    pub(crate) fn new() -> Self {
        Self { looks: Ring::of(LOOKS_MAX) }
    }

    pub(crate) fn look(&mut self, now_ms: i64, count: i64) {
        // Less than before: deleted and made again, or restarted. The old looks say nothing.
        if self.looks.last().is_some_and(|(_, last)| *last > count) {
            self.looks = Ring::of(LOOKS_MAX);
        }
        self.looks.push((now_ms, count));
    }

    /// A second; `None` before the second look.
    pub(crate) fn per_second(&self) -> Option<f64> {
        let ((from_ms, from), (to_ms, to)) = (self.looks.first()?, self.looks.last()?);
        let elapsed = (to_ms - from_ms) as f64 / 1_000.0;
        (elapsed > 0.0).then(|| (to - from) as f64 / elapsed)
    }
}

/// When a partition ended where: answers how old the message at an offset is. Points are thinned
/// out as they age, so that an hour fits as well as a minute.
#[derive(Debug, Clone, Default)]
pub(crate) struct EndTimes {
    /// Time (Unix ms) and end offset, both rising.
    points: Vec<(i64, i64)>,
}

/// Above this every second point of the older half goes.
const END_TIMES_MAX: usize = 128;

impl EndTimes {
    pub(crate) fn look(&mut self, now_ms: i64, end: i64) {
        match self.points.last().map(|(_, last)| *last) {
            Some(last) if last > end => self.points.clear(),
            // Between two equal ends only the first and the last time matter.
            Some(last) if last == end && self.points.len() >= 2 => {
                let before = self.points[self.points.len() - 2].1;
                if before == end {
                    self.points.pop();
                }
            }
            _ => {}
        }
        self.points.push((now_ms, end));
        if self.points.len() > END_TIMES_MAX {
            let half = END_TIMES_MAX / 2;
            let mut index = 0;
            self.points.retain(|_| {
                index += 1;
                index > half || index % 2 == 1
            });
        }
    }

    /// About when the message at `offset` came; `None` if that was before the first look.
    pub(crate) fn arrived_ms(&self, offset: i64) -> Option<i64> {
        let after = self.points.partition_point(|(_, end)| *end <= offset);
        if after == 0 {
            return None;
        }
        let (from_ms, from) = self.points[after - 1];
        let Some((to_ms, to)) = self.points.get(after).copied() else { return Some(from_ms) };
        let share = (offset - from) as f64 / (to - from) as f64;
        Some(from_ms + ((to_ms - from_ms) as f64 * share) as i64)
    }
}

/// Which way a number goes: by its first and last third.
pub(crate) fn trend(values: &[f64]) -> &'static str {
    let third = values.len() / 3;
    if third == 0 {
        return "steady";
    }
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (before, after) = (mean(&values[..third]), mean(&values[values.len() - third..]));
    let step = (before.abs() * 0.1).max(10.0);
    if after > before + step {
        "rising"
    } else if after < before - step {
        "falling"
    } else {
        "steady"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_looks_and_survives_a_new_beginning() {
        let mut growth = Growth::new();
        assert_eq!(growth.per_second(), None);
        for second in 0..20 {
            growth.look(second * 1_000, second * 50);
        }
        assert_eq!(growth.per_second(), Some(50.0));
        growth.look(21_000, 3);
        assert_eq!(growth.per_second(), None);
        growth.look(22_000, 13);
        assert_eq!(growth.per_second(), Some(10.0));
    }

    #[test]
    fn the_age_of_an_offset_is_known_since_the_first_look_in_bounded_memory() {
        let mut ends = EndTimes::default();
        for second in 0..3_600 {
            ends.look(second * 1_000, 100 + second * 10);
        }
        assert!(ends.points.len() <= END_TIMES_MAX);
        assert_eq!(ends.arrived_ms(99), None);
        for offset in [100, 5_000, 20_005, 36_000] {
            let expected = (offset - 100) * 100;
            let arrived = ends.arrived_ms(offset).unwrap();
            assert!((arrived - expected).abs() <= 1_000, "{offset}: {arrived}, not {expected}");
        }
        // Nothing comes for long: the next message is as young as the look that saw it.
        for second in 3_600..7_200 {
            ends.look(second * 1_000, 36_090);
        }
        ends.look(7_201_000, 36_091);
        assert!(ends.arrived_ms(36_090).unwrap() >= 7_199_000);
    }

    #[test]
    fn a_trend_needs_more_than_noise() {
        assert_eq!(trend(&[100.0, 101.0, 99.0, 100.0]), "steady");
        assert_eq!(trend(&[0.0, 50.0, 100.0]), "rising");
        assert_eq!(trend(&[1_000.0, 800.0, 100.0]), "falling");
        assert_eq!(trend(&[1.0]), "steady");
    }
}
