//! The producer: records in, acknowledgements out.
//!
//! A [`Producer`] puts records into batches, a batch a partition at a time, and a task of its own
//! sends them to the leaders. By default it is idempotent: a record that is sent again is written
//! once, and records of a partition keep the order in which they were given. With a
//! `transactional.id` what it writes, and the offsets of what it has read, become visible together
//! or not at all.
//!
//! | module | what it knows |
//! |---|---|
//! | [`config`] | Kafka's configuration keys of a producer |
//! | [`partitioner`] | which partition a record goes to |
//! | `accumulator`, `batch` | batches, memory, the lock of a partition; what callers' threads run |
//! | `delivery` | one outcome for each batch, one future for each record |
//! | `sender` | the task: requests, answers, retries, time limits |
//! | `sequences`, `transaction` | idempotence and transactions, as decisions |
//! | `coordinator` | requests to coordinators |
//!
//! # Producing
//! ```no_run
//! use afluente_client::producer::{Producer, ProducerConfig, Record};
//! # async fn example() -> Result<(), afluente_client::Error> {
//! let config = ProducerConfig::from_properties([("bootstrap.servers", "localhost:9092")])?;
//! let producer = Producer::new(afluente_env::Env::real(), config)?;
//!
//! // `send` waits for room in a batch, and what it gives for the acknowledgement.
//! let delivery = producer.send(Record::to("orders").key(b"customer-7").value(b"2 coffees")).await?;
//! let metadata = delivery.await?;
//! println!("written to {}-{} at {:?}", metadata.topic, metadata.partition, metadata.offset);
//!
//! // For speed, send on and look at the deliveries later, or let a callback do it.
//! producer
//!     .send_then(Record::to("orders").value(b"1 tea"), |result| {
//!         if let Err(error) = result {
//!             eprintln!("not written: {error}");
//!         }
//!     })
//!     .await?;
//! producer.flush().await;
//! producer.close(std::time::Duration::from_secs(10)).await
//! # }
//! ```
//!
//! # Transactions
//! ```no_run
//! use afluente_client::producer::{
//!     ErrorHandling, GroupMetadata, OffsetToCommit, Producer, ProducerConfig, Record,
//! };
//! # async fn example() -> Result<(), afluente_client::Error> {
//! let config = ProducerConfig::from_properties([
//!     ("bootstrap.servers", "localhost:9092"),
//!     ("transactional.id", "billing-3"),
//! ])?;
//! let producer = Producer::new(afluente_env::Env::real(), config)?;
//! // Ends what a former producer of this name left open, and fences it.
//! producer.init_transactions().await?;
//!
//! producer.begin_transaction()?;
//! let written = async {
//!     // The commit fails if this does.
//!     let _ = producer.send(Record::to("bills").key(b"customer-7").value(b"5.20")).await?;
//!     let offset = OffsetToCommit { offset: 43, ..OffsetToCommit::default() };
//!     let offsets = [(("orders".to_owned(), 0), offset)].into();
//!     producer.send_offsets_to_transaction(&offsets, &GroupMetadata::of_group("billing")).await?;
//!     producer.commit_transaction().await
//! };
//! match written.await {
//!     Ok(()) => Ok(()),
//!     Err(error) if error.handling() == ErrorHandling::Abortable => {
//!         producer.abort_transaction().await
//!     }
//!     // Fenced, or not allowed: this producer is of no use any more.
//!     Err(error) => Err(error),
//! }
//! # }
//! ```
//!
//! # Order
//! Records of one partition are written in the order in which their `send` returned. This holds
//! through retries, with idempotence or with `max.in.flight.requests.per.connection=1`.
//!
//! # Cancellation
//! A `send` that is dropped before it returns has sent nothing; a [`Delivery`] that is dropped
//! changes nothing. A call of a transaction that is dropped can be made again.

pub mod config;
pub mod keys;
pub mod partitioner;

mod accumulator;
mod batch;
mod coordinator;
mod delivery;
mod error;
mod metrics;
mod record;
mod sender;
mod sequences;
mod transaction;

pub use config::{Acks, ProducerConfig};
pub use coordinator::{GroupMetadata, OffsetToCommit, OffsetsToCommit};
pub use delivery::{Delivery, DeliveryResult};
pub use error::{ErrorHandling, ProducerError};
pub use metrics::ProducerMetrics;
pub use record::{Header, Record, RecordMetadata};

use crate::client::Client;
use crate::deadline::{Deadline, until};
use crate::error::Error;
use crate::metadata::{PartitionMetadata, TopicsAsked};
use accumulator::{Accumulator, Added, Limits, Partition, Reserved, Topic, bytes_upper_bound};
use afluente_env::Env;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::NewRecord;
use coordinator::Coordinator;
use delivery::Settled;
use partitioner::Partitioner;
use sender::{Sender, Shared};
use std::collections::BTreeMap;
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use transaction::{End, Transaction};

/// Sends records. Cheap to clone; clones share everything.
///
/// When the last clone is dropped, what was given is still sent, as long as the runtime lives;
/// [`Producer::close`] waits for it.
#[derive(Clone)]
pub struct Producer(Arc<Handle>);

struct Handle {
    shared: Arc<Shared>,
    /// [`Producer::close`] was called: no record is taken.
    is_shut: AtomicBool,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.is_closing.store(true, Ordering::SeqCst);
        self.shared.accumulator.inbox.wake();
    }
}

type OnDelivery = Box<dyn FnOnce(DeliveryResult) + Send>;

/// What came of an attempt to take a record.
enum Taken {
    Done { delivery: Delivery, batch_ended: bool },
    NeedsMemory(u32),
    NeedsMetadata,
}

impl Producer {
    /// A producer that is not connected yet. Its sender runs as a task of `env`.
    ///
    /// # Errors
    /// As [`Client::new`].
    ///
    /// # Panics
    /// If `env` spawns on the present tokio runtime, and there is none.
    pub fn new(env: Env, config: ProducerConfig) -> Result<Self, Error> {
        let client = Client::new(env.clone(), config.client.clone())?;
        let limits = Limits {
            batch_bytes: config.batch_bytes,
            memory_bytes: config.memory_bytes,
            options: batch::options(config.compression, config.transactional_id.is_some()),
        };
        let shared = Arc::new(Shared {
            client,
            accumulator: Accumulator::new(limits, env.clock.clone()),
            transaction: parking_lot::Mutex::new(Transaction::new(config.transactional_id.clone())),
            config,
            counters: metrics::Counters::default(),
            is_closing: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            is_fatal: AtomicBool::new(false),
            nothing_added: tokio::sync::Notify::new(),
        });
        env.tasks.spawn(Sender::new(Arc::clone(&shared)).run());
        Ok(Self(Arc::new(Handle { shared, is_shut: AtomicBool::new(false) })))
    }

    /// The client that it stands on, for other requests to the same cluster.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.0.shared.client
    }

    /// What it was made with.
    #[must_use]
    pub fn config(&self) -> &ProducerConfig {
        &self.0.shared.config
    }

    /// Gives a record to be sent, and gives the future of its acknowledgement.
    ///
    /// Waits at most `max.block.ms` for metadata of the topic and for room in `buffer.memory`.
    ///
    /// # Errors
    /// [`ProducerError::RecordTooLarge`], [`ProducerError::BufferExhausted`], when the topic or the
    /// partition does not exist, when no transaction is open though one has to be, and once the
    /// producer is closed or cannot go on. The record was then not sent.
    pub async fn send(&self, record: Record<'_>) -> Result<Delivery, Error> {
        self.send_or_call(record, None).await
    }

    /// As [`Producer::send`], with `callback` told what became of the record, on the sender's task:
    /// it must not block.
    ///
    /// # Errors
    /// As [`Producer::send`]; the callback is then not called.
    pub async fn send_then(
        &self,
        record: Record<'_>,
        callback: impl FnOnce(DeliveryResult) + Send + 'static,
    ) -> Result<(), Error> {
        self.send_or_call(record, Some(Box::new(callback))).await.map(drop)
    }

    async fn send_or_call(
        &self,
        record: Record<'_>,
        mut callback: Option<OnDelivery>,
    ) -> Result<Delivery, Error> {
        let shared = &*self.0.shared;
        let mut reserved = None;
        let mut deadline = None;
        loop {
            match self.take(&record, &mut reserved, &mut callback)? {
                Taken::Done { delivery, batch_ended } => {
                    if batch_ended {
                        // Where sender and caller share a thread, the sender gets its turn.
                        yield_once().await;
                    }
                    return Ok(delivery);
                }
                Taken::NeedsMemory(bytes) => {
                    let deadline = *deadline.get_or_insert_with(|| self.block_deadline());
                    let clock = &shared.client.env().clock;
                    let got = until(clock, deadline, shared.accumulator.reserve(bytes)).await;
                    let (wanted, after) = (bytes as usize, shared.config.block_max);
                    reserved = Some(got.ok_or(ProducerError::BufferExhausted { wanted, after })?);
                }
                Taken::NeedsMetadata => {
                    let is_first = deadline.is_none();
                    let deadline = *deadline.get_or_insert_with(|| self.block_deadline());
                    match self.wait_for_topic(record.topic, deadline, is_first).await {
                        Ok(topic) => self.wait_for_partition(&topic, &record, deadline).await?,
                        Err(error) => {
                            // What is known says more than that no newer answer came in time.
                            let topic = shared.accumulator.topic(record.topic);
                            let missing =
                                topic.and_then(|topic| missing_partition(&topic, &record));
                            return Err(missing.map_or(error, Error::from));
                        }
                    }
                }
            }
        }
    }

    /// A moment's wait if the topic lacks the partition of the record: it may be about to grow.
    async fn wait_for_partition(
        &self,
        topic: &Topic,
        record: &Record<'_>,
        deadline: Deadline,
    ) -> Result<(), Error> {
        let Some(missing) = missing_partition(topic, record) else { return Ok(()) };
        let client = self.client();
        let wait = client.config().retry_backoff.max;
        if deadline.remaining(&client.env().clock) <= wait {
            return Err(missing.into());
        }
        client.env().clock.sleep(wait).await;
        Ok(())
    }

    fn block_deadline(&self) -> Deadline {
        self.0.shared.client.deadline_in(self.0.shared.config.block_max)
    }

    /// Takes a record if everything for it is there.
    fn take<'a>(
        &'a self,
        record: &Record<'_>,
        reserved: &mut Option<Reserved<'a>>,
        callback: &mut Option<OnDelivery>,
    ) -> Result<Taken, Error> {
        let shared = &*self.0.shared;
        if self.0.is_shut.load(Ordering::Relaxed) {
            return Err(Error::Closed);
        }
        let Some(topic) = shared.accumulator.topic(record.topic) else {
            return Ok(Taken::NeedsMetadata);
        };
        let Some((partition, is_sticky)) = self.partition(&topic, record)? else {
            return Ok(Taken::NeedsMetadata);
        };
        let written = NewRecord {
            timestamp: record.timestamp.unwrap_or_else(|| shared.client.env().clock.wall_ms()),
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        let bytes = bytes_upper_bound(&written);
        let config = &shared.config;
        for (max, key) in
            [(config.request_bytes_max, "max.request.size"), (config.memory_bytes, "buffer.memory")]
        {
            if bytes > max {
                return Err(ProducerError::RecordTooLarge { bytes, max, key }.into());
            }
        }
        self.enlist(&partition)?;
        match shared.accumulator.add(&partition, &written, reserved, callback)? {
            Added::NeedsMemory(bytes) => Ok(Taken::NeedsMemory(bytes)),
            Added::Done { delivery, bytes, batch_ended } => {
                if is_sticky {
                    let batch_bytes = u32::try_from(config.batch_bytes).unwrap_or(u32::MAX);
                    topic.unkeyed.went(partition.index, bytes, batch_ended, batch_bytes, || {
                        self.draw(&topic)
                    });
                }
                if shared.is_closed.load(Ordering::SeqCst) {
                    self.fail_left_over(&partition);
                }
                Ok(Taken::Done { delivery, batch_ended })
            }
        }
    }

    /// The sender has ended while a record came in: nobody else will settle it.
    fn fail_left_over(&self, partition: &Partition) {
        for batch in partition.take_all() {
            let (number, memory_bytes) = (batch.ticket.number, batch.ticket.memory_bytes);
            batch.ticket.settle(Settled::Failed { error: Error::Closed, records: BTreeMap::new() });
            self.0.shared.accumulator.completed(number, memory_bytes);
        }
    }

    /// Makes a partition part of the open transaction, if there has to be one.
    fn enlist(&self, partition: &Partition) -> Result<(), Error> {
        let shared = &*self.0.shared;
        if shared.config.transactional_id.is_none() && !shared.is_fatal.load(Ordering::Relaxed) {
            return Ok(());
        }
        let mut transaction = shared.transaction.lock();
        transaction.may_send()?;
        partition.transaction.store(transaction.number(), Ordering::Relaxed);
        if transaction.is_v2 {
            transaction.has_parts_now();
        }
        Ok(())
    }

    /// The partition of a record, and whether records without keys stick to it; `None` if the topic
    /// has no such partition, as far as is known.
    fn partition(
        &self,
        topic: &Arc<Topic>,
        record: &Record<'_>,
    ) -> Result<Option<(Arc<Partition>, bool)>, Error> {
        let config = &self.0.shared.config;
        let count = topic.partition_count();
        let (index, is_sticky) = match (record.partition, record.key) {
            (Some(partition), _) => {
                let Ok(index) = usize::try_from(partition) else {
                    let topic = record.topic.to_owned();
                    return Err(ProducerError::NoSuchPartition { topic, partition, count }.into());
                };
                (index, false)
            }
            _ if config.partitioner == Partitioner::RoundRobin => {
                let loads = topic.loads();
                (topic.unkeyed.in_turn(count, |at| loads[at].is_available), false)
            }
            (None, Some(key)) if !config.ignores_keys => {
                let count = i32::try_from(count).expect("partition numbers are i32");
                (usize::try_from(partitioner::partition_of_key(key, count)).unwrap_or(0), false)
            }
            _ => (usize::try_from(topic.unkeyed.sticky(|| self.draw(topic))).unwrap_or(0), true),
        };
        Ok(topic.partition(index).map(|partition| (partition, is_sticky)))
    }

    fn draw(&self, topic: &Topic) -> i32 {
        let shared = &*self.0.shared;
        let loads = topic.loads();
        let rng = &shared.client.env().rng;
        let drawn =
            partitioner::draw(loads.iter().copied(), loads.len(), shared.config.is_adaptive, rng);
        i32::try_from(drawn).expect("partition numbers are i32")
    }

    /// Waits until a topic is there. Without `may_be_known`, metadata that is known already does not
    /// do: it lacks what is needed.
    async fn wait_for_topic(
        &self,
        name: &str,
        deadline: Deadline,
        may_be_known: bool,
    ) -> Result<Arc<Topic>, Error> {
        let shared = &*self.0.shared;
        let client = &shared.client;
        let asked = TopicsAsked::named([name]);
        let mut retry = client.retry(deadline);
        let mut may_be_known = may_be_known && shared.accumulator.topic(name).is_none();
        let mut last = None;
        loop {
            let metadata = if may_be_known {
                client.fresh_metadata(&asked, deadline).await
            } else {
                client.refresh(&asked, deadline).await
            };
            let metadata = metadata.map_err(|error| match (error, last.take()) {
                // The time was up before an answer to the last attempt; the one before it says why.
                (Error::DeadlinePassed { attempts, .. }, Some(last)) => Error::DeadlinePassed {
                    attempts: retry.failures() + attempts,
                    last: Some(Box::new(last)),
                },
                (error, _) => error,
            })?;
            may_be_known = false;
            if let Some(topic) = shared.take_topic(&metadata, name) {
                return Ok(topic);
            }
            let refused = metadata.topics.get(name).and_then(|topic| topic.error);
            let code = refused.unwrap_or(ErrorCode::UnknownTopicOrPartition);
            let error = Error::Broker { about: format!("topic {name}"), code, message: None };
            last = Some(error.clone());
            retry.after(error).await?;
        }
    }

    /// Waits until everything that was given before is written or has failed. Nothing lingers
    /// meanwhile.
    pub async fn flush(&self) {
        let accumulator = &self.0.shared.accumulator;
        let Some(told) = accumulator.until_complete() else { return };
        let _hurry = accumulator.hurry();
        // The other side is not dropped before it has told.
        let _ = told.await;
    }

    /// The partitions of a topic.
    ///
    /// # Errors
    /// When the topic does not exist, or no broker answers within `max.block.ms`.
    pub async fn partitions_for(&self, topic: &str) -> Result<Vec<PartitionMetadata>, Error> {
        self.wait_for_topic(topic, self.block_deadline(), true).await?;
        let metadata = self.0.shared.client.metadata();
        let found = metadata.topic(topic);
        Ok(found.map(|found| found.partitions.values().cloned().collect()).unwrap_or_default())
    }

    /// Figures of what was done so far.
    #[must_use]
    pub fn metrics(&self) -> ProducerMetrics {
        let shared = &*self.0.shared;
        ProducerMetrics {
            batches_incomplete: shared.accumulator.incomplete_count() as u64,
            memory_available_bytes: shared.accumulator.memory_available() as u64,
            ..shared.counters.figures()
        }
    }

    /// Takes no further record, waits at most `timeout` for those it has, and fails the rest with
    /// [`Error::Closed`]. An open transaction is left to be aborted by the coordinator.
    ///
    /// # Errors
    /// [`Error::DeadlinePassed`] if records were left.
    pub async fn close(&self, timeout: Duration) -> Result<(), Error> {
        let shared = &*self.0.shared;
        self.0.is_shut.store(true, Ordering::SeqCst);
        let deadline = shared.client.deadline_in(timeout);
        let flushed = until(&shared.client.env().clock, deadline, self.flush()).await;
        shared.is_closed.store(true, Ordering::SeqCst);
        shared.accumulator.inbox.wake();
        flushed.ok_or(Error::DeadlinePassed { attempts: 0, last: None })
    }

    fn coordinator(&self) -> Coordinator {
        let transactional_id = self.0.shared.config.transactional_id.clone().unwrap_or_default();
        Coordinator { client: self.0.shared.client.clone(), transactional_id }
    }

    /// An error of a coordinator: the state changes with it, unless the call may be made again.
    fn noted(&self, error: Error) -> Error {
        if error.may_pass() {
            return error;
        }
        let error = self.0.shared.failed(error);
        self.0.shared.transaction.lock().error().unwrap_or(error)
    }

    /// Asks the transaction coordinator for an identity. A former producer of the same
    /// `transactional.id` is fenced, and a transaction that it left open is aborted.
    ///
    /// Comes once, before everything else. After [`Error::DeadlinePassed`] it may be called again.
    ///
    /// # Errors
    /// When there is no `transactional.id`, it is not allowed, or the coordinator does not answer
    /// within `max.block.ms`.
    pub async fn init_transactions(&self) -> Result<(), Error> {
        let shared = &*self.0.shared;
        shared.transaction.lock().may_init()?;
        let (coordinator, deadline) = (self.coordinator(), self.block_deadline());
        let timeout = shared.config.transaction_timeout;
        let identity =
            coordinator.identity(timeout, None, deadline).await.map_err(|e| self.noted(e))?;
        let is_v2 = coordinator.is_v2(deadline).await.map_err(|error| self.noted(error))?;
        tracing::debug!(
            transactional_id = coordinator.transactional_id,
            producer_id = identity.id.0,
            epoch = identity.epoch.0,
            is_v2,
            "transactions are initialized"
        );
        shared.transaction.lock().initialized(identity, is_v2);
        Ok(())
    }

    /// Opens a transaction: what is sent from here on belongs to it.
    ///
    /// # Errors
    /// [`ProducerError::IllegalState`] if one is open, or [`Producer::init_transactions`] is missing;
    /// once the producer cannot go on, why.
    pub fn begin_transaction(&self) -> Result<(), Error> {
        self.0.shared.transaction.lock().begin()
    }

    /// Commits offsets of a group with the transaction (KIP-447). They become visible with it.
    ///
    /// # Errors
    /// [`ProducerError::Abortable`] and the like: when the group has another generation by now
    /// (`ILLEGAL_GENERATION`), the transaction has to be aborted.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &OffsetsToCommit,
        group: &GroupMetadata,
    ) -> Result<(), Error> {
        let shared = &*self.0.shared;
        let (identity, is_v2) = {
            let mut transaction = shared.transaction.lock();
            transaction.may_send_offsets()?;
            let identity = transaction.identity.expect("a transaction is open, so there is one");
            if !offsets.is_empty() {
                transaction.has_parts_now();
            }
            (identity, transaction.is_v2)
        };
        if offsets.is_empty() {
            return Ok(());
        }
        let (coordinator, deadline) = (self.coordinator(), self.block_deadline());
        let done = coordinator.commit_offsets(identity, is_v2, offsets, group, deadline).await;
        done.map_err(|error| self.noted(error))
    }

    /// Waits for everything that was sent, and commits the transaction.
    ///
    /// After [`Error::DeadlinePassed`] it may be called again; nothing else may.
    ///
    /// # Errors
    /// [`ProducerError::Abortable`] if something was not written: then
    /// [`Producer::abort_transaction`] comes next. [`ProducerError::Fenced`] or
    /// [`ProducerError::Fatal`] if the producer cannot go on.
    pub async fn commit_transaction(&self) -> Result<(), Error> {
        self.end_transaction(End::Commit).await
    }

    /// Drops what was not sent yet, and aborts the transaction.
    ///
    /// After [`Error::DeadlinePassed`] it may be called again; nothing else may.
    ///
    /// # Errors
    /// [`ProducerError::Fenced`] or [`ProducerError::Fatal`] if the producer cannot go on.
    pub async fn abort_transaction(&self) -> Result<(), Error> {
        self.end_transaction(End::Abort).await
    }

    async fn end_transaction(&self, end: End) -> Result<(), Error> {
        let shared = &*self.0.shared;
        shared.transaction.lock().begin_end(end)?;
        let deadline = self.block_deadline();
        let quiet = until(&shared.client.env().clock, deadline, async {
            self.flush().await;
            self.nothing_added().await;
        });
        quiet.await.ok_or(Error::DeadlinePassed { attempts: 0, last: None })?;
        let (identity, is_v2, has_parts, needs_bump) = {
            let transaction = shared.transaction.lock();
            if let Some(error) = transaction.error() {
                return Err(error);
            }
            let (has_parts, needs_bump) = transaction.what_ends();
            let identity = transaction.identity.expect("a transaction is open, so there is one");
            (identity, transaction.is_v2, has_parts, needs_bump)
        };
        let coordinator = self.coordinator();
        let mut next = None;
        if has_parts {
            let ended = coordinator.end(identity, is_v2, end, deadline).await;
            next = ended.map_err(|error| self.noted(error))?;
        }
        if needs_bump {
            let timeout = shared.config.transaction_timeout;
            let identity = coordinator.identity(timeout, Some(identity), deadline).await;
            next = Some(identity.map_err(|error| self.noted(error))?);
        }
        shared.transaction.lock().ended(next);
        Ok(())
    }

    /// Waits while something is being added to the transaction.
    async fn nothing_added(&self) {
        let shared = &*self.0.shared;
        loop {
            let told = shared.nothing_added.notified();
            if !shared.transaction.lock().is_adding {
                return;
            }
            told.await;
        }
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("config", &self.0.shared.config).finish_non_exhaustive()
    }
}

/// That the topic lacks the partition of the record, if it does.
fn missing_partition(topic: &Topic, record: &Record<'_>) -> Option<ProducerError> {
    let count = topic.partition_count();
    let partition = record.partition?;
    let is_missing = usize::try_from(partition).is_ok_and(|partition| partition >= count);
    let topic = record.topic.to_owned();
    is_missing.then_some(ProducerError::NoSuchPartition { topic, partition, count })
}

/// Lets other tasks of this thread run.
async fn yield_once() {
    let mut has_yielded = false;
    poll_fn(|context| {
        if has_yielded {
            return Poll::Ready(());
        }
        has_yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
