//! Consuming: records in order from partitions, alone or in a group.
//!
//! ```no_run
//! use afluente_client::consumer::{Consumer, ConsumerConfig};
//! use afluente_env::Env;
//! use std::time::Duration;
//!
//! # async fn consume() -> Result<(), Box<dyn std::error::Error>> {
//! let config = ConsumerConfig::from_properties([
//!     ("bootstrap.servers", "localhost:9092"),
//!     ("group.id", "readers"),
//!     ("auto.offset.reset", "earliest"),
//! ])?;
//! let consumer = Consumer::new(Env::real(), config)?;
//! consumer.subscribe(["orders"])?;
//! loop {
//!     let records = consumer.poll(Duration::from_secs(1)).await?;
//!     for record in records.iter() {
//!         println!("{}-{} @{}: {:?}", record.topic, record.partition, record.offset, record.value);
//!     }
//!     consumer.commit_sync().await?;
//!     # break;
//! }
//! consumer.close(Duration::from_secs(10)).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//! Tasks in the background fetch ahead, one for each broker, keep the member in its group, and find
//! positions; [`Consumer::poll`] takes from what has come. What concerns the program (its listener,
//! committing by itself) happens within its polls, and at no other time.
//!
//! | module | what it knows |
//! |---|---|
//! | [`assignor`] | who reads what in a classic group |
//! | `group` | joining, heartbeats, leaving, in both protocols |
//! | `state` | the partitions: positions, queues, what is paused |
//! | `fetcher`, `session` | asking brokers for records, within the bounds of the queues |
//! | `fetched`, `records` | batches, and the records in them |
//! | `positions`, `offsets`, `commit` | offsets: committed, by time, by rule, by epoch |
//!
//! # Memory
//! What waits to be polled is bounded: a partition with `max.partition.fetch.bytes` in its queue is
//! not fetched, nor is any with `fetch.max.bytes` in all queues that are not paused together; on top
//! may come one answer of each broker. Records that the program keeps count for themselves: each keeps its whole batch.

pub mod assignor;
mod calls;
mod commit;
mod config;
mod error;
mod fetched;
mod fetcher;
mod group;
mod keys;
mod listener;
mod offsets;
mod poll;
mod positions;
mod race;
mod records;
mod reset;
mod session;
mod shared;
mod state;

pub use crate::producer::GroupMetadata;
pub use commit::{OffsetAndMetadata, Offsets};
pub use config::{ConsumerConfig, GroupProtocol, IsolationLevel};
pub use error::ConsumerError;
pub use keys::CONSUMER as CONSUMER_KEYS;
pub use listener::{NoListener, RebalanceListener, Told};
pub use offsets::{EARLIEST, LATEST, OffsetAndTimestamp};
pub use records::{ConsumerRecord, PartitionIter, PartitionRecords, Records};
pub use reset::{OffsetReset, parse_duration};
pub use state::Position;

use crate::client::Client;
use crate::topic_partition::TopicPartition;
use afluente_env::Env;
use afluente_protocol::records::Decompressor;
use group::{Pattern, Subscribed};
use parking_lot::Mutex;
use poll::AutoCommit;
use shared::Shared;
use state::Mode;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Reads records. See the [module](self).
///
/// Calls other than [`Consumer::poll`] may be made from other tasks while a poll is going on.
/// Dropping a consumer stops its tasks without committing and without leaving the group; the group
/// then finds out when the session ends. [`Consumer::close`] does both.
pub struct Consumer {
    shared: Arc<Shared>,
    listener: Mutex<Arc<dyn RebalanceListener>>,
    decompressor: Mutex<Decompressor>,
    auto_commit: Mutex<AutoCommit>,
    is_polling: AtomicBool,
    is_woken: AtomicBool,
    /// The task of the group, once there is one.
    membership: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

impl Consumer {
    /// A consumer with connections of its own. Nothing is connected before it is needed.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    ///
    /// # Panics
    /// If the tasks of `env` need a runtime, and there is none.
    pub fn new(env: Env, config: ConsumerConfig) -> Result<Self, ConsumerError> {
        let client = Client::new(env, config.client.clone())?;
        Ok(Self::with_client(client, config))
    }

    /// A consumer that shares the connections of `client`, whose settings count in place of those in
    /// `config.client`.
    ///
    /// # Panics
    /// As [`Consumer::new`].
    #[must_use]
    pub fn with_client(client: Client, config: ConsumerConfig) -> Self {
        let shared = Arc::new(Shared::new(client, config));
        let tasks = &shared.client.env().tasks;
        tasks.spawn(fetcher::supervise(Arc::clone(&shared)));
        tasks.spawn(positions::run(Arc::clone(&shared)));
        Self {
            auto_commit: Mutex::new(AutoCommit::new(&shared)),
            shared,
            listener: Mutex::new(Arc::new(NoListener)),
            decompressor: Mutex::new(Decompressor::new()),
            is_polling: AtomicBool::new(false),
            is_woken: AtomicBool::new(false),
            membership: Mutex::new(None),
        }
    }

    /// The client that it stands on.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.shared.client
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &ConsumerConfig {
        &self.shared.config
    }

    /// Reads `topics` as a member of the group, in place of what was subscribed to before. Takes
    /// effect in the polls that follow. Without any topic, as [`Consumer::unsubscribe`], but that the
    /// listener hears of it in the next poll.
    ///
    /// # Errors
    /// When there is no group, or partitions were assigned by hand.
    pub fn subscribe<T: Into<String>>(
        &self,
        topics: impl IntoIterator<Item = T>,
    ) -> Result<(), ConsumerError> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.subscribe_to(Subscribed::Topics(topics), None)
    }

    /// As [`Consumer::subscribe`], and tells `listener` of partitions that come and go.
    ///
    /// # Errors
    /// As [`Consumer::subscribe`].
    pub fn subscribe_with<T: Into<String>>(
        &self,
        topics: impl IntoIterator<Item = T>,
        listener: Arc<dyn RebalanceListener>,
    ) -> Result<(), ConsumerError> {
        let topics = topics.into_iter().map(Into::into).collect();
        self.subscribe_to(Subscribed::Topics(topics), Some(listener))
    }

    /// Reads the topics whose whole names match a regular expression, those among them that are made
    /// later. In a group of the consumer protocol the broker does the matching, from Kafka 4.0 on.
    ///
    /// # Errors
    /// As [`Consumer::subscribe`], and when `pattern` is not a regular expression.
    pub fn subscribe_pattern(
        &self,
        pattern: &str,
        listener: Option<Arc<dyn RebalanceListener>>,
    ) -> Result<(), ConsumerError> {
        self.subscribe_to(Subscribed::Pattern(Pattern::new(pattern)?), listener)
    }

    fn subscribe_to(
        &self,
        subscribed: Subscribed,
        listener: Option<Arc<dyn RebalanceListener>>,
    ) -> Result<(), ConsumerError> {
        let shared = &self.shared;
        shared.group_id("subscribing")?;
        {
            let mut state = shared.state.lock();
            if state.mode == Mode::Assigned {
                let what = "partitions are assigned by hand: unsubscribe before subscribing".into();
                return Err(ConsumerError::IllegalState { what });
            }
            state.mode = Mode::Subscribed;
        }
        if let Some(listener) = listener {
            *self.listener.lock() = listener;
        }
        shared.group.subscribe(Some(subscribed));
        let mut membership = self.membership.lock();
        if membership.is_none() {
            let task = group::run(Arc::clone(shared));
            *membership = Some(shared.client.env().tasks.spawn(task));
        }
        shared.ring_work();
        Ok(())
    }

    /// Reads these partitions, in place of those that were assigned before, without being a member
    /// of a group. Those that stay go on where they are.
    ///
    /// # Errors
    /// When the consumer is subscribed.
    pub fn assign<P: Into<TopicPartition>>(
        &self,
        partitions: impl IntoIterator<Item = P>,
    ) -> Result<(), ConsumerError> {
        let partitions: BTreeSet<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        let mut state = self.shared.state.lock();
        if state.mode == Mode::Subscribed {
            let what = "the consumer is subscribed: unsubscribe before assigning by hand".into();
            return Err(ConsumerError::IllegalState { what });
        }
        state.mode = if partitions.is_empty() { Mode::None } else { Mode::Assigned };
        state.assign(&partitions, self.shared.first_need(), false);
        drop(state);
        self.shared.ring_work();
        Ok(())
    }

    /// The partitions that it reads.
    #[must_use]
    pub fn assignment(&self) -> BTreeSet<TopicPartition> {
        self.shared.state.lock().assigned()
    }

    /// Asks the group to rebalance, as when what an assignor says has changed.
    pub fn enforce_rebalance(&self) {
        self.shared.group.ask_to_rejoin();
        self.shared.ring_work();
    }

    /// Who it is in its group; who it was, until it has joined again after it lost its membership.
    #[must_use]
    pub fn group_metadata(&self) -> GroupMetadata {
        self.shared.group.last_metadata()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let Some(membership) = self.membership.lock().take() {
            membership.abort();
        }
        self.shared.close();
    }
}

impl fmt::Debug for Consumer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("config", &self.shared.config)
            .field("assignment", &self.assignment())
            .finish_non_exhaustive()
    }
}
