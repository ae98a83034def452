//! The connections of a client, by broker and lane, and when to connect again.

use crate::config::ServerAddress;
use crate::connection::{Connection, ConnectionOptions};
use crate::deadline::{Deadline, until};
use crate::error::Error;
use crate::retry::Backoff;
use afluente_env::Env;
use afluente_env::clock::Moment;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Whose connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NodeKey {
    /// A broker of the metadata.
    Broker(i32),
    /// An address of `bootstrap.servers`, by its index: the id is not known yet.
    Bootstrap(usize),
}

/// A broker answers a connection in order, so what may wait for long has a connection of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lane {
    /// Everything else.
    General,
    /// What is sent to a coordinator: a heartbeat must not wait behind a fetch.
    Coordinator,
    /// `Fetch`, which waits for records on purpose.
    Fetch,
}

/// The connections that exist or existed.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    slots: Mutex<BTreeMap<(NodeKey, Lane), Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    ready: Mutex<Option<Connection>>,
    /// Held by who makes the connection; others wait for the outcome.
    making: tokio::sync::Mutex<Attempts>,
}

#[derive(Debug, Default)]
struct Attempts {
    /// Since the last success.
    failures: u32,
    /// When the last failure was, and what it was.
    last: Option<(Moment, Error)>,
}

/// How connections of one client are made.
#[derive(Debug, Clone)]
pub(crate) struct Making {
    pub(crate) options: ConnectionOptions,
    pub(crate) setup_timeout: Backoff,
    pub(crate) reconnect: Backoff,
}

impl Nodes {
    /// The connection to `node`, made if there is none to `address`.
    ///
    /// One who waits while another one fails gets that failure too. After a failure, the next
    /// attempt waits for `reconnect.backoff.ms`, doubled with each further failure.
    pub(crate) async fn connect(
        &self,
        env: &Env,
        making: &Making,
        (node, lane): (NodeKey, Lane),
        address: &ServerAddress,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let slot = Arc::clone(self.slots.lock().entry((node, lane)).or_default());
        if let Some(connection) = slot.usable(address) {
            return Ok(connection);
        }
        let asked_at = env.clock.now();
        let made = until(&env.clock, deadline, async {
            let mut attempts = slot.making.lock().await;
            if let Some(connection) = slot.usable(address) {
                return Ok(connection);
            }
            if let Some((at, error)) = &attempts.last {
                if *at > asked_at {
                    return Err(error.clone());
                }
                let ready_at = *at + making.reconnect.wait(attempts.failures, &env.rng);
                env.clock.sleep_until(ready_at).await;
            }
            let mut options = making.options.clone();
            options.setup_timeout = making.setup_timeout.wait(attempts.failures + 1, &env.rng);
            match Connection::make(env, address, &options).await {
                Ok(connection) => {
                    *attempts = Attempts::default();
                    *slot.ready.lock() = Some(connection.clone());
                    tracing::debug!(%address, ?node, ?lane, "connected");
                    Ok(connection)
                }
                Err(error) => {
                    // The first of several in a row is worth telling at once: a call may go on
                    // trying for a minute before it gives up.
                    if attempts.failures == 0 && error.is_retriable() {
                        tracing::warn!("{error}; trying again");
                    } else {
                        tracing::debug!(%address, ?node, ?lane, %error, "could not connect");
                    }
                    attempts.failures = attempts.failures.saturating_add(1);
                    attempts.last = Some((env.clock.now(), error.clone()));
                    Err(error)
                }
            }
        });
        made.await.unwrap_or_else(|| {
            // Why the attempt before failed says more than that there was no time for another.
            let last = slot.making.try_lock().ok().and_then(|attempts| attempts.last.clone());
            Err(last.map_or_else(
                || Error::Connect {
                    address: address.clone(),
                    problem: "the time for the call was up before there was a connection"
                        .to_owned(),
                    hint: "check that the address is the broker's, and that no firewall is between",
                },
                |(_, error)| error,
            ))
        })
    }

    /// Whether there is a connection to `node` for everything.
    pub(crate) fn is_connected(&self, node: NodeKey) -> bool {
        let slots = self.slots.lock();
        slots.get(&(node, Lane::General)).is_some_and(|slot| {
            slot.ready.lock().as_ref().is_some_and(|connection| !connection.is_closed())
        })
    }

    /// Lets go of bootstrap connections, but for the one that gave metadata: brokers are reached
    /// by the addresses that they advertise.
    pub(crate) fn forget_bootstrap_except(&self, kept: NodeKey) {
        self.slots
            .lock()
            .retain(|&(node, _), _| node == kept || matches!(node, NodeKey::Broker(_)));
    }

    /// Lets go of brokers that are not in the metadata any more, and of bootstrap connections.
    pub(crate) fn keep_brokers(&self, is_known: impl Fn(i32) -> bool) {
        self.slots.lock().retain(|&(node, _), _| match node {
            NodeKey::Broker(id) => is_known(id),
            NodeKey::Bootstrap(_) => false,
        });
    }
}

impl Slot {
    fn usable(&self, address: &ServerAddress) -> Option<Connection> {
        let mut ready = self.ready.lock();
        let is_usable = ready
            .as_ref()
            .is_some_and(|connection| !connection.is_closed() && connection.address() == address);
        if !is_usable {
            *ready = None;
        }
        ready.clone()
    }
}
