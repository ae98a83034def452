//! The client: which broker a request belongs to, connecting again, trying again.

use crate::config::{ClientConfig, ServerAddress};
use crate::connection::{Connection, ConnectionOptions};
use crate::coordinators::{CoordinatorKind, Coordinators};
use crate::deadline::{Deadline, until};
use crate::error::Error;
use crate::metadata::{BrokerNode, ClusterMetadata, TopicsAsked};
use crate::nodes::{Lane, Making, NodeKey, Nodes};
use crate::retry::Retry;
use crate::security::Security;
use afluente_env::Env;
use afluente_env::clock::Moment;
use afluente_env::watch;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Request;
use parking_lot::Mutex;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Which broker a request is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Any broker; one that is connected already, if there is one.
    Any,
    /// The broker that passes on to the controller, or is it.
    Controller,
    /// The broker of this id.
    Broker(i32),
    /// The coordinator of a group or a transactional id.
    Coordinator {
        /// The name of the group, or the transactional id.
        key: String,
        /// Which of them.
        kind: CoordinatorKind,
    },
    /// The leader of a partition.
    Leader {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
    },
}

impl Target {
    /// The coordinator of a group.
    pub fn group(group_id: impl Into<String>) -> Self {
        Self::Coordinator { key: group_id.into(), kind: CoordinatorKind::Group }
    }

    /// The coordinator of a transactional id.
    pub fn transaction(transactional_id: impl Into<String>) -> Self {
        Self::Coordinator { key: transactional_id.into(), kind: CoordinatorKind::Transaction }
    }

    /// The leader of a partition.
    pub fn leader(topic: impl Into<String>, partition: i32) -> Self {
        Self::Leader { topic: topic.into(), partition }
    }
}

/// A client of one cluster. Cheap to clone; clones share everything. Connections are closed when
/// the last clone is gone and what was asked is answered.
///
/// Nothing is connected before the first call.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    env: Env,
    config: ClientConfig,
    making: Making,
    nodes: Nodes,
    coordinators: Coordinators,
    metadata: watch::Sender<Arc<ClusterMetadata>>,
    /// Held by who asks for metadata; others wait for the outcome.
    /// What they last got an answer to.
    refreshing: tokio::sync::Mutex<TopicsAsked>,
    age: Mutex<MetadataAge>,
}

#[derive(Debug, Clone, Copy)]
struct MetadataAge {
    /// When metadata last came; at first, when the client was made.
    renewed_at: Moment,
    /// Whether attempts since then failed.
    is_failing: bool,
    /// A broker asked for a new start (`REBOOTSTRAP_REQUIRED`).
    is_rebootstrap_asked: bool,
}

/// Whether to start again from the bootstrap servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rebootstrap {
    /// `metadata.recovery.strategy` is `none`.
    Never,
    /// When no broker that is known can be reached (KIP-899).
    AsLastResort,
    /// A broker said so, or no metadata came for too long (KIP-1102).
    Now,
}

impl Client {
    /// A client that is not connected yet.
    ///
    /// # Errors
    /// [`Error::Config`], which names the key, when what `security.protocol` asks for is not there:
    /// a certificate, a password, a file of the form that it is said to have.
    pub fn new(env: Env, config: ClientConfig) -> Result<Self, Error> {
        let security = Security::read(&env, &config)?;
        let making = Making {
            options: ConnectionOptions {
                client_id: config.client_id.as_str().into(),
                in_flight_max: config.in_flight_max,
                idle_max: config.connections_max_idle,
                setup_timeout: config.connection_setup_timeout.initial,
                security,
            },
            setup_timeout: config.connection_setup_timeout,
            reconnect: config.reconnect_backoff,
        };
        let age = MetadataAge {
            renewed_at: env.clock.now(),
            is_failing: false,
            is_rebootstrap_asked: false,
        };
        Ok(Self(Arc::new(Shared {
            env,
            config,
            making,
            nodes: Nodes::default(),
            coordinators: Coordinators::default(),
            metadata: watch::Sender::new(Arc::default()),
            refreshing: tokio::sync::Mutex::new(TopicsAsked::None),
            age: Mutex::new(age),
        })))
    }

    /// The world that it runs in.
    #[must_use]
    pub fn env(&self) -> &Env {
        &self.0.env
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &ClientConfig {
        &self.0.config
    }

    /// The deadline of a call that begins now and is given no other: `default.api.timeout.ms`.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        Deadline::after(&self.0.env.clock, self.0.config.default_api_timeout)
    }

    /// The deadline of a call that begins now and may take `duration`.
    #[must_use]
    pub fn deadline_in(&self, duration: Duration) -> Deadline {
        Deadline::after(&self.0.env.clock, duration)
    }

    /// The attempts of a call, with the waits of `retry.backoff.ms` between them.
    #[must_use]
    pub fn retry(&self, deadline: Deadline) -> Retry {
        let Shared { env, config, .. } = &*self.0;
        Retry::new(env.clock.clone(), env.rng.clone(), config.retry_backoff, deadline)
    }

    /// How long one request may take: `request.timeout.ms`, or what is left until `deadline`.
    #[must_use]
    pub fn attempt_timeout(&self, deadline: Deadline) -> Duration {
        deadline.remaining(&self.0.env.clock).min(self.0.config.request_timeout)
    }

    /// Sends a request to `target`, in the newest version that both sides speak, and gives the
    /// answer. Connects and looks up as needed, and tries again until `deadline` when a connection
    /// could not be made, broke, or was too slow: a request that is not safe to be carried out
    /// twice goes through [`Client::send_once`].
    ///
    /// Error codes in the answer are the caller's to look at; [`Client::noticed`] tells the client
    /// what follows from them.
    ///
    /// # Errors
    /// [`Error::DeadlinePassed`] with the last reason, or at once what trying again cannot help.
    pub async fn send<R: Request>(
        &self,
        target: Target,
        request: R,
        deadline: Deadline,
    ) -> Result<R::Response, Error> {
        self.send_up_to(target, request, i16::MAX, deadline).await
    }

    /// As [`Client::send`], in a version not above `version_max`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn send_up_to<R: Request>(
        &self,
        target: Target,
        request: R,
        version_max: i16,
        deadline: Deadline,
    ) -> Result<R::Response, Error> {
        let mut retry = self.retry(deadline);
        loop {
            // Boxed: futures that hold one another this deep are too much for the compiler of whoever
            // uses the client.
            match Box::pin(self.attempt(&target, &request, version_max, deadline)).await {
                Ok(response) => return Ok(response),
                Err(error) => retry.after(error).await?,
            }
        }
    }

    /// Sends a request once. What is known about `target` is forgotten if it fails, so that a next
    /// attempt looks it up.
    ///
    /// # Errors
    /// Whatever goes wrong.
    pub async fn send_once<R: Request>(
        &self,
        target: &Target,
        request: &R,
        deadline: Deadline,
    ) -> Result<R::Response, Error> {
        self.attempt(target, request, i16::MAX, deadline).await
    }

    async fn attempt<R: Request>(
        &self,
        target: &Target,
        request: &R,
        version_max: i16,
        deadline: Deadline,
    ) -> Result<R::Response, Error> {
        let outcome = async {
            let connection = Box::pin(self.connection_for(target, R::KEY, deadline)).await?;
            let version = connection.version_up_to(R::KEY, version_max)?;
            let timeout = self.attempt_timeout(deadline);
            connection.submit(request, version, timeout).await?.await
        };
        let outcome = outcome.await;
        if let Err(error) = &outcome {
            self.noticed(target, error);
        }
        outcome
    }

    /// Takes note of an error that came from `target`: a coordinator that is another one is
    /// forgotten, and metadata that is out of date is asked for before it is used again.
    pub fn noticed(&self, target: &Target, error: &Error) {
        match target {
            Target::Coordinator { key, kind } if error.is_stale_coordinator() => {
                self.forget_coordinator(*kind, key);
            }
            Target::Leader { topic, partition } if error.is_stale_metadata() => {
                self.forget_leader(topic, *partition);
            }
            Target::Controller if error.is_stale_metadata() => {
                self.change(|metadata| ClusterMetadata { controller_id: None, ..metadata.clone() });
            }
            _ => {}
        }
    }

    /// A connection to `target` for requests that are sent in an order of their own
    /// ([`Connection::submit`]); made if there is none.
    ///
    /// # Errors
    /// When it is not known who that is, or the connection cannot be made.
    pub async fn connection(
        &self,
        target: &Target,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        self.connection_for(target, ApiKey::ApiVersions, deadline).await
    }

    /// As [`Client::connection`], for requests of `key`: those that wait at the broker on purpose
    /// (`Fetch`) do not share a connection with others.
    ///
    /// # Errors
    /// As [`Client::connection`].
    pub async fn connection_for(
        &self,
        target: &Target,
        key: ApiKey,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let lane = match (target, key) {
            (Target::Coordinator { .. }, _) => Lane::Coordinator,
            (_, ApiKey::Fetch | ApiKey::ShareFetch) => Lane::Fetch,
            _ => Lane::General,
        };
        let node = match target {
            Target::Any => self.any_node(deadline).await?,
            Target::Broker(id) => NodeKey::Broker(*id),
            Target::Controller => NodeKey::Broker(self.controller(deadline).await?),
            Target::Leader { topic, partition } => {
                NodeKey::Broker(self.leader(topic, *partition, deadline).await?)
            }
            Target::Coordinator { key, kind } => {
                // Boxed: looking up a coordinator asks for a connection in its turn.
                let node = Box::pin(self.coordinator(*kind, key, deadline)).await?;
                let key = (NodeKey::Broker(node.id), lane);
                return self.connect_to(key, &node.address, deadline).await;
            }
        };
        self.connect(node, lane, deadline).await
    }

    async fn any_node(&self, deadline: Deadline) -> Result<NodeKey, Error> {
        let metadata = self.fresh_metadata(&TopicsAsked::None, deadline).await?;
        let ids: Vec<i32> = metadata.brokers.keys().copied().collect();
        let connected: Vec<i32> = ids
            .iter()
            .copied()
            .filter(|&id| self.0.nodes.is_connected(NodeKey::Broker(id)))
            .collect();
        let choice = if connected.is_empty() { ids } else { connected };
        if choice.is_empty() {
            return Err(Error::NoBroker { tried: Vec::new() });
        }
        Ok(NodeKey::Broker(choice[self.0.env.rng.index(choice.len())]))
    }

    async fn controller(&self, deadline: Deadline) -> Result<i32, Error> {
        if let Some(id) = self.metadata().controller_id {
            return Ok(id);
        }
        let metadata = self.refresh(&TopicsAsked::None, deadline).await?;
        metadata.controller_id.ok_or_else(|| Error::Broker {
            about: "the controller".to_owned(),
            code: ErrorCode::NotController,
            message: None,
        })
    }

    async fn leader(&self, topic: &str, partition: i32, deadline: Deadline) -> Result<i32, Error> {
        let metadata = self.fresh_metadata(&TopicsAsked::named([topic]), deadline).await?;
        if let Some((node, _)) = metadata.leader(topic, partition) {
            return Ok(node.id);
        }
        let metadata = self.refresh(&TopicsAsked::named([topic]), deadline).await?;
        if let Some((node, _)) = metadata.leader(topic, partition) {
            return Ok(node.id);
        }
        let refused = metadata.topics.get(topic).and_then(|topic| topic.error);
        let code = match (refused, metadata.partition(topic, partition)) {
            (Some(code), _) => code,
            (None, None) => ErrorCode::UnknownTopicOrPartition,
            (None, Some(_)) => {
                return Err(Error::NoLeader { topic: topic.to_owned(), partition });
            }
        };
        Err(Error::Broker { about: format!("{topic}-{partition}"), code, message: None })
    }

    pub(crate) async fn connect(
        &self,
        node: NodeKey,
        lane: Lane,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let address = match self.address_of(node) {
            Some(address) => address,
            None => {
                // Boxed: asking for metadata asks for connections in its turn.
                Box::pin(self.refresh(&TopicsAsked::None, deadline)).await?;
                self.address_of(node).ok_or(match node {
                    NodeKey::Broker(id) => Error::UnknownBroker { id },
                    NodeKey::Bootstrap(_) => Error::Closed,
                })?
            }
        };
        self.connect_to((node, lane), &address, deadline).await
    }

    async fn connect_to(
        &self,
        slot: (NodeKey, Lane),
        address: &ServerAddress,
        deadline: Deadline,
    ) -> Result<Connection, Error> {
        let Shared { env, making, nodes, .. } = &*self.0;
        nodes.connect(env, making, slot, address, deadline).await
    }

    fn address_of(&self, node: NodeKey) -> Option<ServerAddress> {
        match node {
            NodeKey::Bootstrap(index) => self.0.config.bootstrap_servers.get(index).cloned(),
            NodeKey::Broker(id) => {
                self.0.metadata.borrow().brokers.get(&id).map(|broker| broker.address.clone())
            }
        }
    }

    /// The cluster as last told, without asking; empty at first.
    #[must_use]
    pub fn metadata(&self) -> Arc<ClusterMetadata> {
        self.0.metadata.borrow().clone()
    }

    /// Sees every change of the metadata.
    #[must_use]
    pub fn watch_metadata(&self) -> watch::Receiver<Arc<ClusterMetadata>> {
        self.0.metadata.subscribe()
    }

    /// Metadata that speaks of `asked` and is not older than `metadata.max.age.ms`: what is known,
    /// or what is asked for now.
    ///
    /// A topic that does not exist is no error here; see [`ClusterMetadata::topics`].
    ///
    /// # Errors
    /// When no broker gives an answer until `deadline`.
    pub async fn fresh_metadata(
        &self,
        asked: &TopicsAsked,
        deadline: Deadline,
    ) -> Result<Arc<ClusterMetadata>, Error> {
        let known = self.metadata();
        if known.covers(asked) && self.metadata_age() < self.0.config.metadata_max_age {
            return Ok(known);
        }
        self.refresh(asked, deadline).await
    }

    /// After how long metadata is renewed though nothing asks for it: `metadata.max.age.ms`, but not
    /// more often than `retry.backoff.ms` says, or 0 would be a request at every moment.
    pub(crate) fn renewal_interval(&self) -> Duration {
        self.0.config.metadata_max_age.max(self.0.config.retry_backoff.initial)
    }

    /// How long ago metadata last came, or the client was made.
    #[must_use]
    pub fn metadata_age(&self) -> Duration {
        let renewed_at = self.0.age.lock().renewed_at;
        self.0.env.clock.now().saturating_since(renewed_at)
    }

    /// Asks for metadata of the brokers and of `asked`, until one broker answers. Calls at the same
    /// time share an answer that speaks of both.
    ///
    /// # Errors
    /// When no broker gives an answer until `deadline`.
    pub async fn refresh(
        &self,
        asked: &TopicsAsked,
        deadline: Deadline,
    ) -> Result<Arc<ClusterMetadata>, Error> {
        let generation = self.0.metadata.borrow().generation;
        // Only the turn is waited for with a limit: the attempts know the deadline themselves, and
        // say what went wrong until then.
        let turn = until(&self.0.env.clock, deadline, self.0.refreshing.lock());
        let Some(mut answered) = turn.await else {
            return Err(Error::DeadlinePassed { attempts: 0, last: None });
        };
        let known = self.metadata();
        // What is known of other topics may be as old as before.
        if known.generation > generation && answered.includes(asked) && known.covers(asked) {
            return Ok(known);
        }
        let refreshed = self.refresh_now(asked, deadline).await?;
        *answered = asked.clone();
        Ok(refreshed)
    }

    async fn refresh_now(
        &self,
        asked: &TopicsAsked,
        deadline: Deadline,
    ) -> Result<Arc<ClusterMetadata>, Error> {
        let mut retry = self.retry(deadline);
        loop {
            match self.ask_for_metadata(asked, deadline).await {
                Ok(response) => {
                    self.change(|known| known.updated(response, asked));
                    *self.0.age.lock() = MetadataAge {
                        renewed_at: self.0.env.clock.now(),
                        is_failing: false,
                        is_rebootstrap_asked: false,
                    };
                    let known = self.metadata();
                    self.0.nodes.keep_brokers(|id| known.brokers.contains_key(&id));
                    return Ok(known);
                }
                Err(error) => {
                    let asks_for_new_start =
                        error.error_code() == Some(ErrorCode::RebootstrapRequired);
                    let before = {
                        let mut age = self.0.age.lock();
                        let before = *age;
                        age.is_failing = true;
                        age.is_rebootstrap_asked |= asks_for_new_start;
                        before
                    };
                    // Once; servers that all ask for it would be asked without end.
                    if asks_for_new_start
                        && self.0.config.rebootstrap
                        && !before.is_rebootstrap_asked
                    {
                        continue;
                    }
                    retry.after(error).await?;
                }
            }
        }
    }

    /// Whether the bootstrap servers are to be asked again, in place of the brokers that are known
    /// or behind them.
    pub(crate) fn rebootstrap(&self) -> Rebootstrap {
        let age = *self.0.age.lock();
        let is_overdue = age.is_failing && self.metadata_age() >= self.0.config.rebootstrap_trigger;
        if !self.0.config.rebootstrap {
            Rebootstrap::Never
        } else if age.is_rebootstrap_asked || is_overdue {
            Rebootstrap::Now
        } else {
            Rebootstrap::AsLastResort
        }
    }

    /// Takes note of the leader that a produce or fetch answer names (KIP-951), unless it is older
    /// than what is known.
    pub fn learn_leader(
        &self,
        topic: &str,
        partition: i32,
        leader: i32,
        leader_epoch: i32,
        nodes: &[BrokerNode],
    ) {
        self.0.metadata.send_if_modified(|known| {
            match known.with_leader(topic, partition, leader, leader_epoch, nodes) {
                Some(next) => {
                    *known = Arc::new(next);
                    true
                }
                None => false,
            }
        });
    }

    /// Forgets who leads a partition, so that the next request for it asks.
    pub fn forget_leader(&self, topic: &str, partition: i32) {
        self.0.metadata.send_if_modified(|known| {
            if known.partition(topic, partition).is_none_or(|found| found.leader.is_none()) {
                return false;
            }
            let next = Arc::make_mut(known);
            let found =
                next.topics.get_mut(topic).and_then(|found| found.partitions.get_mut(&partition));
            found.expect("it was there a moment ago").leader = None;
            true
        });
    }

    fn change(&self, change: impl FnOnce(&ClusterMetadata) -> ClusterMetadata) {
        self.0.metadata.send_modify(|known| *known = Arc::new(change(known)));
    }

    pub(crate) fn nodes(&self) -> &Nodes {
        &self.0.nodes
    }

    pub(crate) fn coordinators(&self) -> &Coordinators {
        &self.0.coordinators
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("config", &self.0.config).finish_non_exhaustive()
    }
}
