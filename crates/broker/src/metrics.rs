//! What is counted, and how it is shown to Prometheus. Names are stable: `docs/metrics.md`.
//!
//! Counting is one atomic addition; nothing is allocated or locked on the way of a request.

mod exposition;
mod histogram;
pub(crate) mod process;
pub(crate) mod storage;

pub use exposition::Exposition;
pub use histogram::Histogram;

use crate::connection::End;
use afluente_protocol::api_key::ApiKey;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// Everything the broker counts.
#[derive(Debug)]
pub struct Metrics {
    /// Bytes of requests.
    pub bytes_in: Counter,
    /// Bytes of answers.
    pub bytes_out: Counter,
    /// Bytes of record batches taken.
    pub produced_bytes: Counter,
    /// Record batches taken.
    pub produced_batches: Counter,
    /// Partitions of produce requests that were refused.
    pub produce_errors: Counter,
    /// Bytes of record batches sent.
    pub fetched_bytes: Counter,
    /// Connections accepted.
    pub connections_accepted: Counter,
    /// Connections refused because of a limit.
    pub connections_refused: Counter,
    /// Connections closed because of what the client sent or did not do.
    pub connections_dropped: Counter,
    /// Connections open.
    pub connections: Gauge,
    apis: Box<[ApiMetrics]>,
}

/// Of one API.
#[derive(Debug, Default)]
struct ApiMetrics {
    seconds: Histogram,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The sum so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds, or takes away.
    pub fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number now.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let last = ApiKey::ALL.iter().map(|key| index(*key)).max().unwrap_or(0);
        Self {
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            produced_bytes: Counter::default(),
            produced_batches: Counter::default(),
            produce_errors: Counter::default(),
            fetched_bytes: Counter::default(),
            connections_accepted: Counter::default(),
            connections_refused: Counter::default(),
            connections_dropped: Counter::default(),
            connections: Gauge::default(),
            apis: (0..=last).map(|_| ApiMetrics::default()).collect(),
        }
    }
}

impl Metrics {
    /// Notes a request that was answered, from its last byte to its answer being ready.
    pub fn request(&self, key: ApiKey, took: Duration, bytes: usize) {
        self.apis[index(key)].seconds.observe(took);
        self.bytes_in.add(bytes as u64);
    }

    /// Notes a connection that ended.
    pub fn connection_closed(&self, end: &End) {
        if matches!(end, End::Refused(_) | End::Hoarding) {
            self.connections_dropped.add(1);
        }
    }

    /// Writes everything that is here.
    pub fn expose(&self, out: &mut Exposition) {
        out.counter("afluente_request_bytes_total", "Bytes of requests.", self.bytes_in.get());
        out.counter("afluente_response_bytes_total", "Bytes of answers.", self.bytes_out.get());
        out.counter(
            "afluente_produced_bytes_total",
            "Bytes of record batches taken.",
            self.produced_bytes.get(),
        );
        out.counter(
            "afluente_produced_batches_total",
            "Record batches taken.",
            self.produced_batches.get(),
        );
        out.counter(
            "afluente_produce_errors_total",
            "Partitions of produce requests that were refused.",
            self.produce_errors.get(),
        );
        out.counter(
            "afluente_fetched_bytes_total",
            "Bytes of record batches sent.",
            self.fetched_bytes.get(),
        );
        out.counter(
            "afluente_connections_accepted_total",
            "Connections accepted.",
            self.connections_accepted.get(),
        );
        out.counter(
            "afluente_connections_refused_total",
            "Connections refused because of a limit.",
            self.connections_refused.get(),
        );
        out.counter(
            "afluente_connections_dropped_total",
            "Connections closed because of what the client sent.",
            self.connections_dropped.get(),
        );
        out.gauge("afluente_connections", "Connections open.", self.connections.get());
        out.family(
            "afluente_request_seconds",
            "Time from the last byte of a request to its answer being ready, by API.",
            "histogram",
        );
        for key in ApiKey::ALL {
            self.apis[index(*key)].seconds.expose(
                out,
                "afluente_request_seconds",
                &format!("api=\"{}\"", key.name()),
            );
        }
    }
}

fn index(key: ApiKey) -> usize {
    usize::from(key.number().unsigned_abs())
}
