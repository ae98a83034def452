//! Transactions, on the partitions of `__transaction_state`, and their markers everywhere else.
//!
//! The decisions are made by the pure [`TransactionShard`]; this is what surrounds one: it loads
//! the shard from its partition, appends what a step gives out, and, when a decision is durable,
//! writes the markers into the partitions of the transaction until every one has it.

pub(crate) mod markers;
mod producer_ids;

use crate::broker::Broker;
use crate::shards::{self, Shards};
use crate::state_log::{LoadError, Told, partition_for};
use crate::waiting::{AckOutcome, AckWait};
use afluente_coordinator::transactions::end::EndRequest;
use afluente_coordinator::transactions::record::{TransactionRecord, VALUE_VERSION};
use afluente_coordinator::transactions::{
    Markers, PartitionKey, ProducerIdAndEpoch, TransactionEffects, TransactionSettings,
    TransactionShard,
};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::{DecodeError, EncodeError};
use afluente_protocol::messages::transaction_state::{Key, Value};
use bytes::{Buf, Bytes};
use producer_ids::IdsAtHand;
use std::sync::Arc;

/// The topic that transactions are kept in.
pub const TOPIC: &str = "__transaction_state";

/// Every transaction of this broker.
pub struct Transactions {
    settings: TransactionSettings,
    shards: Shards<TransactionShard>,
    ids: IdsAtHand,
}

/// One partition of the topic, with the transactions in it.
pub(crate) type Shard = shards::Shard<TransactionShard>;

impl Transactions {
    /// No transactions yet: shards are loaded when they are asked for.
    #[must_use]
    pub fn new(settings: TransactionSettings) -> Self {
        Self { settings, shards: Shards::default(), ids: IdsAtHand::default() }
    }

    /// The shard of a transactional id.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` while there is no topic for it; what keeps the shard from loading.
    pub(crate) async fn shard(
        &self,
        broker: &Arc<Broker>,
        transactional_id: &str,
    ) -> Result<Arc<Shard>, ErrorCode> {
        let topic = broker.topics.by_name(TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_for(transactional_id, topic.partitions.len());
        self.shard_at(broker, index).await
    }

    /// Every shard, loaded.
    ///
    /// # Errors
    /// What keeps one of them from loading.
    pub(crate) async fn all_shards(
        &self,
        broker: &Arc<Broker>,
    ) -> Result<Vec<Arc<Shard>>, ErrorCode> {
        let Some(topic) = broker.topics.by_name(TOPIC) else { return Ok(Vec::new()) };
        let mut shards = Vec::new();
        for partition in &topic.partitions {
            shards.push(self.shard_at(broker, partition.index()).await?);
        }
        Ok(shards)
    }

    async fn shard_at(&self, broker: &Arc<Broker>, index: i32) -> Result<Arc<Shard>, ErrorCode> {
        let partition = broker.topics.partition(TOPIC, index).ok_or(ErrorCode::NotCoordinator)?;
        let shard = self.shards.get(&partition, |shard| self.load(broker, shard)).await;
        shard.map_err(|error| {
            tracing::error!(partition = index, %error, "transactions could not be loaded");
            ErrorCode::CoordinatorLoadInProgress
        })
    }

    async fn load(
        &self,
        broker: &Arc<Broker>,
        shard: Arc<Shard>,
    ) -> Result<TransactionShard, LoadError> {
        let mut transactions = TransactionShard::new(self.settings);
        let told = shard.log().tell(|told| {
            let Told::Record { key, value, .. } = told else { return };
            match parsed(key, value) {
                Ok(record) => {
                    if let Err(state) = transactions.replay(&record) {
                        tracing::warn!(state, "a transaction is in a state that is not understood");
                    }
                }
                Err(error) => tracing::warn!(%error, "a transaction's record is not understood"),
            }
        });
        told.await?;
        let mut effects = TransactionEffects::default();
        transactions.loaded(&mut effects);
        for markers in effects.markers {
            tracing::info!(id = markers.transactional_id, "a transaction was ending: it goes on");
            let (broker, shard) = (Arc::clone(broker), Arc::clone(&shard));
            broker.env.tasks.clone().spawn(async move {
                broker.transactions.finish(&broker, &shard, markers).await;
            });
        }
        Ok(transactions)
    }

    /// Gives a transactional producer its id and epoch.
    ///
    /// # Errors
    /// The code to answer with.
    pub(crate) async fn init_producer_id(
        &self,
        broker: &Arc<Broker>,
        transactional_id: &str,
        timeout_ms: i32,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let shard = self.shard(broker, transactional_id).await?;
        let mut ids = self.ids.take(broker).await?;
        let now_ms = broker.env.clock.wall_ms();
        let step = |transactions: &mut TransactionShard, effects: &mut TransactionEffects| {
            transactions.init_producer_id(
                transactional_id,
                timeout_ms,
                expected,
                &mut ids,
                now_ms,
                effects,
            )
        };
        let (result, markers) = self.run(&shard, now_ms, step).await?;
        // A client that is told to wait asks again soon: what it waits for is then done.
        self.finish_all(broker, &shard, markers).await;
        self.ids.give_back(ids);
        result
    }

    /// Adds partitions to a transaction.
    ///
    /// # Errors
    /// The code to answer with.
    pub(crate) async fn add_partitions(
        &self,
        broker: &Arc<Broker>,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partitions: Vec<PartitionKey>,
        client_version: i16,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(broker, transactional_id).await?;
        let now_ms = broker.env.clock.wall_ms();
        let step = |transactions: &mut TransactionShard, effects: &mut TransactionEffects| {
            transactions.add_partitions(
                transactional_id,
                producer,
                partitions,
                client_version,
                now_ms,
                effects,
            )
        };
        self.run(&shard, now_ms, step).await?.0
    }

    /// Whether a partition is part of the producer's open transaction.
    ///
    /// # Errors
    /// The code to answer with; `TRANSACTION_ABORTABLE` if the partition was not added.
    pub(crate) async fn verify_partition(
        &self,
        broker: &Arc<Broker>,
        transactional_id: &str,
        producer: ProducerIdAndEpoch,
        partition: &PartitionKey,
    ) -> Result<(), ErrorCode> {
        let shard = self.shard(broker, transactional_id).await?;
        let mut transactions = shard.lock().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
        transactions.verify_partition(transactional_id, producer, partition)
    }

    /// Ends a transaction. The answer comes when every partition has its marker, so that the
    /// producer's next transaction finds nothing in its way.
    ///
    /// # Errors
    /// The code to answer with.
    pub(crate) async fn end(
        &self,
        broker: &Arc<Broker>,
        transactional_id: &str,
        request: EndRequest,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let shard = self.shard(broker, transactional_id).await?;
        let mut ids = self.ids.take(broker).await?;
        let now_ms = broker.env.clock.wall_ms();
        let step = |transactions: &mut TransactionShard, effects: &mut TransactionEffects| {
            transactions.end(transactional_id, request, &mut ids, now_ms, effects)
        };
        let (result, markers) = self.run(&shard, now_ms, step).await?;
        self.finish_all(broker, &shard, markers).await;
        self.ids.give_back(ids);
        result
    }

    /// Aborts transactions that were open for too long, and forgets ids that nobody uses.
    pub(crate) async fn expire(&self, broker: &Arc<Broker>) {
        let now_ms = broker.env.clock.wall_ms();
        for shard in self.shards.loaded() {
            let step = |transactions: &mut TransactionShard, effects: &mut TransactionEffects| {
                transactions.abort_timed_out(now_ms, effects);
                transactions.expire_ids(now_ms, effects);
            };
            match self.run(&shard, now_ms, step).await {
                Ok(((), markers)) => self.finish_all(broker, &shard, markers).await,
                Err(error) => tracing::warn!(%error, "transactions could not be timed out"),
            }
        }
    }

    /// Loads the shards that hold something: transactions that were ending must go on.
    pub(crate) async fn load_all(&self, broker: &Arc<Broker>) {
        let Some(topic) = broker.topics.by_name(TOPIC) else { return };
        for partition in &topic.partitions {
            let log = partition.log();
            if log.end_offset() > log.start_offset() {
                // A failure is logged, and met again by whoever asks for this shard.
                let _ = self.shard_at(broker, partition.index()).await;
            }
        }
    }

    /// Runs a step and waits until what it gave out is durable; the markers are for the caller to
    /// have written.
    async fn run<T>(
        &self,
        shard: &Arc<Shard>,
        now_ms: i64,
        step: impl FnOnce(&mut TransactionShard, &mut TransactionEffects) -> T,
    ) -> Result<(T, Vec<Markers>), ErrorCode> {
        let wait = AckWait::new();
        let mut effects = TransactionEffects::default();
        let result = {
            let mut transactions = shard.lock().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
            let result = step(&mut transactions, &mut effects);
            let appended = match effects.records.is_empty() {
                true => {
                    shard.log().wait_for_all(&wait);
                    Ok(())
                }
                false => append(shard, &effects.records, now_ms, &wait),
            };
            drop(transactions);
            if let Err(code) = appended {
                self.shards.forget(shard);
                return Err(match code {
                    ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
                    _ => ErrorCode::CoordinatorNotAvailable,
                });
            }
            result
        };
        match wait.finished().await {
            AckOutcome::Durable => Ok((result, effects.markers)),
            AckOutcome::Failed => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    async fn finish_all(&self, broker: &Arc<Broker>, shard: &Arc<Shard>, markers: Vec<Markers>) {
        for markers in markers {
            // On its own: the decision stands, whether the client still listens or not.
            let (broker, shard) = (Arc::clone(broker), Arc::clone(shard));
            let finished = broker.env.tasks.clone().spawn(async move {
                broker.transactions.finish(&broker, &shard, markers).await;
            });
            let _ = finished.await;
        }
    }

    /// Writes the markers of a decided transaction and completes it.
    async fn finish(&self, broker: &Arc<Broker>, shard: &Arc<Shard>, markers: Markers) {
        let coordinator_epoch = shard.log().partition().leader_epoch().0;
        if !markers::write(broker, &markers, coordinator_epoch).await {
            return;
        }
        let now_ms = broker.env.clock.wall_ms();
        let step = |transactions: &mut TransactionShard, effects: &mut TransactionEffects| {
            transactions.markers_written(&markers, now_ms, effects);
        };
        // If this is not written, a restart writes the markers again, which does no harm.
        let wait = AckWait::new();
        let mut effects = TransactionEffects::default();
        if let Some(mut transactions) = shard.lock() {
            step(&mut transactions, &mut effects);
            if let Err(error) = append(shard, &effects.records, now_ms, &wait) {
                tracing::warn!(%error, "the end of a transaction could not be written down");
            }
        }
    }
}

fn append(
    shard: &Shard,
    records: &[TransactionRecord],
    now_ms: i64,
    wait: &Arc<AckWait>,
) -> Result<(), ErrorCode> {
    if records.is_empty() {
        return Ok(());
    }
    let records: Result<Vec<_>, EncodeError> = records.iter().map(written).collect();
    let records = records.map_err(|error| {
        tracing::error!(%error, "a transaction's record cannot be written");
        ErrorCode::UnknownServerError
    })?;
    shard.log().append(&records, None, now_ms, wait)
}

fn written(record: &TransactionRecord) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let key = Key::TransactionLog(record.key.clone()).to_bytes()?;
    let value = record.value.clone().map(Value::TransactionLog);
    Ok((key, value.map(|value| value.to_bytes(VALUE_VERSION)).transpose()?))
}

fn parsed(key: Bytes, value: Option<Bytes>) -> Result<TransactionRecord, DecodeError> {
    let number = key.clone().try_get_i16().unwrap_or(-1);
    let Key::TransactionLog(key) = Key::from_bytes(key)?;
    let value = value.map(|value| Value::from_bytes(number, value)).transpose()?;
    Ok(TransactionRecord { key, value: value.map(|Value::TransactionLog(value)| value) })
}
