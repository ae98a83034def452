//! Figures of a producer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What a producer has done so far, and how much waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records that were acknowledged.
    pub records_sent: u64,
    /// Records that have failed.
    pub records_failed: u64,
    /// Batches that were sent, each counted once.
    pub batches_sent: u64,
    /// Bytes of these before compression, with what is around the records.
    pub bytes_uncompressed: u64,
    /// Bytes of these as sent.
    pub bytes_sent: u64,
    /// Attempts beyond the first one of each batch.
    pub retries: u64,
    /// Batches that were cut since the broker found them too large.
    pub splits: u64,
    /// `Produce` requests that were sent.
    pub requests: u64,
    /// Those that were answered.
    pub answers: u64,
    /// The time between request and answer, of all answers together.
    pub latency_total: Duration,
    /// The longest such time.
    pub latency_max: Duration,
    /// Requests that are on their way.
    pub requests_in_flight: u64,
    /// Batches that wait or are on their way.
    pub batches_incomplete: u64,
    /// Bytes of `buffer.memory` that nothing uses.
    pub memory_available_bytes: u64,
}

impl ProducerMetrics {
    /// The mean time between request and answer.
    #[must_use]
    pub fn latency_mean(&self) -> Duration {
        let mean_ns = self.latency_total.as_nanos().checked_div(self.answers.into()).unwrap_or(0);
        Duration::from_nanos(u64::try_from(mean_ns).unwrap_or(u64::MAX))
    }
}

/// The counters behind [`ProducerMetrics`], which only the sender writes.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) records_sent: AtomicU64,
    pub(crate) records_failed: AtomicU64,
    pub(crate) batches_sent: AtomicU64,
    pub(crate) bytes_uncompressed: AtomicU64,
    pub(crate) bytes_sent: AtomicU64,
    pub(crate) retries: AtomicU64,
    pub(crate) splits: AtomicU64,
    pub(crate) requests: AtomicU64,
    pub(crate) answers: AtomicU64,
    pub(crate) latency_total_ns: AtomicU64,
    pub(crate) latency_max_ns: AtomicU64,
    pub(crate) requests_in_flight: AtomicU64,
}

/// Adds to a counter.
pub(crate) fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}

impl Counters {
    pub(crate) fn answered(&self, latency: Duration) {
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        count(&self.answers, 1);
        count(&self.latency_total_ns, ns);
        self.latency_max_ns.fetch_max(ns, Ordering::Relaxed);
    }

    pub(crate) fn figures(&self) -> ProducerMetrics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProducerMetrics {
            records_sent: read(&self.records_sent),
            records_failed: read(&self.records_failed),
            batches_sent: read(&self.batches_sent),
            bytes_uncompressed: read(&self.bytes_uncompressed),
            bytes_sent: read(&self.bytes_sent),
            retries: read(&self.retries),
            splits: read(&self.splits),
            requests: read(&self.requests),
            answers: read(&self.answers),
            latency_total: Duration::from_nanos(read(&self.latency_total_ns)),
            latency_max: Duration::from_nanos(read(&self.latency_max_ns)),
            requests_in_flight: read(&self.requests_in_flight),
            ..ProducerMetrics::default()
        }
    }
}
