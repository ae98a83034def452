//! Durations in buckets whose bounds double, from 16 µs to 8 s.

use super::Exposition;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds are 2^4 to 2^23 µs, and one bucket for what is longer.
const BOUNDS: usize = 20;
const FIRST_BOUND_LOG2: u32 = 4;

/// Counts durations.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// Writes it, unless it never counted anything.
    pub(super) fn expose(&self, out: &mut Exposition, name: &str, label: &str) {
        let counts: Vec<u64> = self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).collect();
        let total: u64 = counts.iter().sum();
        if total == 0 {
            return;
        }
        let mut below = 0;
        for (index, count) in counts.iter().enumerate() {
            below += count;
            let bound = if index == BOUNDS { "+Inf".to_owned() } else { seconds(bound_us(index)) };
            out.sample(
                &format!("{name}_bucket"),
                &format!("{label},le=\"{bound}\""),
                &below.to_string(),
            );
        }
        let sum = seconds(self.sum_us.load(Ordering::Relaxed));
        out.sample(&format!("{name}_sum"), label, &sum);
        out.sample(&format!("{name}_count"), label, &total.to_string());
    }
}

fn bound_us(index: usize) -> u64 {
    1 << (FIRST_BOUND_LOG2 as usize + index)
}

/// The first bucket whose bound is not below `us`.
fn bucket(us: u64) -> usize {
    let log2_up = u64::BITS - us.saturating_sub(1).leading_zeros();
    (log2_up.saturating_sub(FIRST_BOUND_LOG2) as usize).min(BOUNDS)
}

/// Microseconds as a decimal number of seconds, exactly.
pub(super) fn seconds(us: u64) -> String {
    let text = format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let trimmed = text.trim_end_matches('0');
    trimmed.strip_suffix('.').unwrap_or(trimmed).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_at_most_its_bound() {
        for (us, expected) in [
            (0, 0),
            (16, 0),
            (17, 1),
            (32, 1),
            (33, 2),
            (1 << 23, 19),
            ((1 << 23) + 1, 20),
            (u64::MAX, 20),
        ] {
            assert_eq!(bucket(us), expected, "{us} µs");
        }
        assert_eq!(seconds(bound_us(0)), "0.000016");
        assert_eq!(seconds(2_000_000), "2");
    }
}
