//! What `kafka-producer-perf-test` prints, line by line as Kafka does, and the rate that it holds.

use std::time::Duration;

const MIB: f64 = 1024.0 * 1024.0;
/// No more latencies are kept; of more records, each so-and-so-manieth counts.
const SAMPLES_MAX: u64 = 500_000;

/// Latencies and rates, over all and over the time since the last line.
#[derive(Debug)]
pub(super) struct Stats {
    kind: &'static str,
    start: Duration,
    sampling: u64,
    latencies_ms: Vec<u64>,
    total: Tally,
    window: Tally,
    window_start: Duration,
    interval: Duration,
}

#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    count: u64,
    bytes: u64,
    latency_ms: u64,
    latency_ms_max: u64,
}

impl Tally {
    fn add(&mut self, latency_ms: u64, bytes: u64) {
        self.count += 1;
        self.bytes += bytes;
        self.latency_ms += latency_ms;
        self.latency_ms_max = self.latency_ms_max.max(latency_ms);
    }

    fn records_per_s(&self, over: Duration) -> f64 {
        self.count as f64 / over.as_secs_f64()
    }

    fn mib_per_s(&self, over: Duration) -> f64 {
        self.bytes as f64 / over.as_secs_f64() / MIB
    }

    fn latency_ms_mean(&self) -> f64 {
        self.latency_ms as f64 / self.count as f64
    }
}

impl Stats {
    /// Of `records` records, from `start` on; a line each `interval`.
    pub(in crate::kafka) fn new(
        records: u64,
        start: Duration,
        interval: Duration,
        kind: &'static str,
    ) -> Self {
        let kept = records.clamp(1, SAMPLES_MAX);
        Self {
            kind,
            start,
            sampling: records.div_ceil(kept).max(1),
            latencies_ms: Vec::new(),
            total: Tally::default(),
            window: Tally::default(),
            window_start: start,
            interval,
        }
    }

    /// A record was acknowledged at `now`. Gives the line of the window, if it is over.
    pub(in crate::kafka) fn record(
        &mut self,
        latency: Duration,
        bytes: u64,
        now: Duration,
    ) -> Option<String> {
        let latency_ms = u64::try_from(latency.as_millis()).unwrap_or(u64::MAX);
        if self.total.count.is_multiple_of(self.sampling) {
            self.latencies_ms.push(latency_ms);
        }
        self.total.add(latency_ms, bytes);
        self.window.add(latency_ms, bytes);
        let elapsed = now.saturating_sub(self.window_start);
        if elapsed < self.interval {
            return None;
        }
        let window = std::mem::take(&mut self.window);
        self.window_start = now;
        Some(format!(
            "{} records sent, {:.1} records/sec ({:.2} MB/sec), {:.1} ms avg latency, {:.1} ms max latency.",
            window.count,
            window.records_per_s(elapsed),
            window.mib_per_s(elapsed),
            window.latency_ms_mean(),
            window.latency_ms_max as f64,
        ))
    }

    /// The last line.
    pub(in crate::kafka) fn summary(&mut self, now: Duration) -> String {
        self.latencies_ms.sort_unstable();
        let elapsed = now.saturating_sub(self.start);
        let [p50, p95, p99, p999] = [0.5, 0.95, 0.99, 0.999].map(|share| self.percentile(share));
        format!(
            "{}{} records sent, {:.6} records/sec ({:.2} MB/sec), {:.2} ms avg latency, {:.2} ms max latency, \
             {p50} ms 50th, {p95} ms 95th, {p99} ms 99th, {p999} ms 99.9th.",
            self.total.count,
            self.kind,
            self.total.records_per_s(elapsed),
            self.total.mib_per_s(elapsed),
            self.total.latency_ms_mean(),
            self.total.latency_ms_max as f64,
        )
    }

    fn percentile(&self, share: f64) -> u64 {
        let at = (share * self.latencies_ms.len() as f64) as usize;
        self.latencies_ms.get(at).or(self.latencies_ms.last()).copied().unwrap_or(0)
    }
}

/// Longer than anybody waits, and short enough for every clock.
const WAIT_MAX: Duration = Duration::from_secs(365 * 24 * 3600);

/// Holds a rate: says how long to wait before the next record.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throttle {
    start: Duration,
    /// Records a second; `None` is as many as go.
    rate: Option<f64>,
}

impl Throttle {
    /// Below 0 means no limit.
    pub(crate) fn new(rate: f64, start: Duration) -> Self {
        Self { start, rate: (rate > 0.0).then_some(rate) }
    }

    /// How long to wait at `now` before record number `sent`, counted from 0.
    pub(crate) fn wait(&self, sent: u64, now: Duration) -> Option<Duration> {
        let after = Duration::try_from_secs_f64(sent as f64 / self.rate?).unwrap_or(WAIT_MAX);
        let due = self.start + after.min(WAIT_MAX);
        // Sleeping for less costs more than it makes exact.
        due.checked_sub(now).filter(|wait| *wait >= Duration::from_millis(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_read_as_those_of_kafka() {
        let ms = Duration::from_millis;
        let mut stats = Stats::new(4, ms(0), ms(1000), "");
        assert_eq!(stats.record(ms(10), 1 << 20, ms(100)), None);
        assert_eq!(stats.record(ms(20), 1 << 20, ms(200)), None);
        assert_eq!(
            stats.record(ms(3), 1 << 20, ms(2000)).as_deref(),
            Some(
                "3 records sent, 1.5 records/sec (1.50 MB/sec), 11.0 ms avg latency, 20.0 ms max latency."
            )
        );
        assert_eq!(stats.record(ms(7), 1 << 20, ms(2100)), None);
        assert_eq!(
            stats.summary(ms(4000)),
            "4 records sent, 1.000000 records/sec (1.00 MB/sec), 10.00 ms avg latency, 20.00 ms max latency, \
             10 ms 50th, 20 ms 95th, 20 ms 99th, 20 ms 99.9th."
        );
    }

    #[test]
    fn a_rate_is_held_by_waiting() {
        let ms = Duration::from_millis;
        let throttle = Throttle::new(100.0, ms(50));
        assert_eq!(throttle.wait(0, ms(50)), None);
        assert_eq!(throttle.wait(10, ms(100)), Some(ms(50)));
        assert_eq!(throttle.wait(10, ms(500)), None);
        assert_eq!(Throttle::new(-1.0, ms(0)).wait(1_000_000, ms(0)), None);
    }
}
