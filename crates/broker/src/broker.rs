//! What all connections share.

use crate::admission::Admission;
use crate::config::{Config, Settings};
use crate::connection::Client;
use crate::dispatch::RequestContext;
use crate::dynamic::Dynamic;
use crate::fetch_session::FetchSessions;
use crate::groups::Groups;
use crate::memory::RequestMemory;
use crate::metadata::Metadata;
use crate::metrics::{Exposition, Metrics, process, storage};
use crate::stopping::Stopping;
use crate::topics::Topics;
use crate::transactions::Transactions;
use afluente_env::Env;
use afluente_storage::LogDir;
use std::sync::Arc;
use tokio::sync::Notify;

/// The parts of a running broker.
pub struct Broker {
    /// The world.
    pub env: Env,
    /// The configuration as it was given.
    pub config: Config,
    /// The configuration as it is used.
    pub settings: Settings,
    /// The log directory.
    pub log_dir: LogDir,
    /// Topics and partitions.
    pub topics: Arc<Topics>,
    /// The cluster's metadata, and changes to it.
    pub metadata: Metadata,
    /// Groups and their offsets.
    pub groups: Groups,
    /// Transactions.
    pub transactions: Transactions,
    /// Who may connect.
    pub admission: Arc<Admission>,
    /// What has been set since the start.
    pub dynamic: Dynamic,
    /// Incremental fetch sessions.
    pub fetch_sessions: FetchSessions,
    /// Memory for requests.
    pub memory: Arc<RequestMemory>,
    /// Rung when the log directory has room again for appends that it refused for being behind.
    pub room: Arc<Notify>,
    /// What is counted.
    pub metrics: Metrics,
    /// The word that the broker stops.
    pub stopping: Stopping,
}

impl Broker {
    /// Where a client is told to connect: what its listener advertises, else what it reached.
    #[must_use]
    pub fn advertised(&self, client: &Client) -> (String, u16) {
        match &self.settings.network.listeners[client.listener].advertised {
            // Port 0 let the system choose: only the socket knows which it is.
            Some(end) if end.port == 0 => (end.host.clone(), client.local.port()),
            Some(end) => (end.host.clone(), end.port),
            None => (client.local.ip().to_canonical().to_string(), client.local.port()),
        }
    }

    /// Counts a request whose answer is ready, and leaves its trail.
    pub(crate) fn request_done(&self, context: &RequestContext<'_>, bytes: usize) {
        let took = self.env.clock.now().saturating_since(context.received);
        self.metrics.request(context.key, took, bytes);
        tracing::debug!(
            target: "afluente_broker::access",
            connection = context.client.connection_id,
            peer = %context.client.peer,
            client_id = context.client_id.as_deref().unwrap_or(""),
            api = context.key.name(),
            version = context.version,
            correlation = context.correlation_id,
            bytes,
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            "request"
        );
    }

    /// The page of `/metrics`.
    #[must_use]
    pub fn metrics_page(&self) -> String {
        let mut page = Exposition::default();
        self.metrics.expose(&mut page);
        let (topics, partitions) = self.topics.counts();
        let gauge = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        page.gauge("afluente_topics", "Topics.", gauge(topics));
        page.gauge("afluente_partitions", "Partitions.", gauge(partitions));
        page.gauge(
            "afluente_fetch_sessions",
            "Incremental fetch sessions.",
            gauge(self.fetch_sessions.count()),
        );
        page.gauge(
            "afluente_request_memory_bytes",
            "Memory that large requests hold.",
            gauge(self.memory.used_bytes()),
        );
        page.gauge(
            "afluente_request_memory_waiting",
            "Requests that wait for memory.",
            gauge(self.memory.waiting()),
        );
        page.gauge(
            "afluente_unsent_bytes",
            "Bytes of answers that wait for their clients.",
            gauge(self.memory.unsent_bytes()),
        );
        storage::expose(&self.log_dir, &mut page);
        process::expose(self.env.disk.as_ref(), &mut page);
        page.finish()
    }
}
