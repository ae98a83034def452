//! What the programs of a simulation share: the scenario, the oracle, and how far the life is.

use crate::oracle::{Oracle, RecordId};
use crate::scenario::Scenario;
use afluente_client::producer::RecordMetadata;
use afluente_client::{Admin, Client, ClientConfig, Error};
use afluente_env::Env;
use afluente_env::sim::Trace;
use parking_lot::{Mutex, MutexGuard};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

/// The broker's machine.
pub(crate) const BROKER: &str = "broker";
/// Where clients find the cluster.
const BOOTSTRAP: &str = "broker:9092";

/// How far a life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Topics are made.
    Setup,
    /// Everybody works, and things go wrong.
    Turmoil,
    /// Nothing goes wrong any more; who writes comes to an end.
    Calm,
    /// Who reads may end too.
    Done,
}

/// Shared by everybody.
pub(crate) struct Shared {
    pub(crate) scenario: Scenario,
    oracle: Mutex<Oracle>,
    trace: Trace,
    phase: AtomicU8,
    /// Writers that have come to their end in the calm.
    pub(crate) writers_done: AtomicUsize,
    /// Asks the broker to stop as SIGTERM does.
    pub(crate) stop_broker: Notify,
    /// How often the broker has stopped on request.
    pub(crate) broker_stops: AtomicUsize,
}

const PHASES: [Phase; 4] = [Phase::Setup, Phase::Turmoil, Phase::Calm, Phase::Done];

impl Shared {
    pub(crate) fn new(scenario: Scenario, trace: &Trace) -> Arc<Self> {
        Arc::new(Self {
            scenario,
            oracle: Mutex::new(Oracle::default()),
            trace: trace.clone(),
            phase: AtomicU8::new(0),
            writers_done: AtomicUsize::new(0),
            stop_broker: Notify::new(),
            broker_stops: AtomicUsize::new(0),
        })
    }

    pub(crate) fn oracle(&self) -> MutexGuard<'_, Oracle> {
        self.oracle.lock()
    }

    pub(crate) fn phase(&self) -> Phase {
        PHASES[usize::from(self.phase.load(Ordering::SeqCst))]
    }

    pub(crate) fn enter(&self, phase: Phase) {
        self.note(format_args!("phase: {phase:?}"));
        self.phase.store(phase as u8, Ordering::SeqCst);
    }

    /// Tells the trace, for who reads it.
    pub(crate) fn note(&self, event: fmt::Arguments<'_>) {
        self.trace.note(event);
    }

    /// What is done when a producer tells what became of a record.
    pub(crate) fn delivery(
        self: &Arc<Self>,
        id: RecordId,
    ) -> impl FnOnce(Result<RecordMetadata, Error>) + Send + 'static {
        let shared = Arc::clone(self);
        move |result| match result {
            Ok(at) => {
                shared.note(format_args!("{id} is in {}@{:?}", at.partition, at.offset));
                shared.oracle().acknowledged(id, at.partition, at.offset);
            }
            Err(error) => shared.note(format_args!("{id}: {error}")),
        }
    }

    /// Waits, as programs do between two things, but not beyond the end of the turmoil.
    pub(crate) async fn pause(&self, env: &Env, time: Duration) {
        if self.phase() < Phase::Calm {
            env.clock.sleep(time).await;
        }
    }

    /// Waits until the topics are made.
    pub(crate) async fn until_set_up(&self, env: &Env) {
        while self.phase() == Phase::Setup {
            env.clock.sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Kafka's keys for a client here: times short enough that a life sees them pass.
pub(crate) fn properties<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let base = [
        ("bootstrap.servers", BOOTSTRAP),
        ("request.timeout.ms", "2000"),
        ("default.api.timeout.ms", "6000"),
        ("metadata.max.age.ms", "3000"),
        ("reconnect.backoff.max.ms", "500"),
        ("retry.backoff.max.ms", "500"),
        ("socket.connection.setup.timeout.ms", "1000"),
        ("socket.connection.setup.timeout.max.ms", "2000"),
    ];
    base.into_iter().chain(more.iter().copied()).collect()
}

/// An administrator's client.
pub(crate) fn admin(env: &Env) -> anyhow::Result<Admin> {
    let config = ClientConfig::from_properties(properties(&[]))?;
    Ok(Admin::new(Client::new(env.clone(), config)?))
}
