//! Groups and their offsets, on the partitions of `__consumer_offsets`.
//!
//! The decisions are made by the pure [`GroupShard`]; this is what surrounds one: it loads the
//! shard from its partition, runs one step at a time, appends what the step gives out, and lets
//! answers go when that is durable.
//!
//! A step that cannot be appended has left the shard's memory ahead of its log. The shard is then
//! dropped, whoever waits is told to look for the coordinator again, and the next request loads it
//! anew.

mod clock;
mod view;

pub(crate) use view::TopicsView;

use crate::broker::Broker;
use crate::dispatch::RequestContext;
use crate::shards::{self, Shards};
use crate::state_log::{LoadError, Told, partition_for};
use crate::topics::Topic;
use crate::waiting::{AckOutcome, AckWait};
use afluente_coordinator::effects::{Effects, Reply, Ticket};
use afluente_coordinator::groups::record::{GroupRecord, OffsetsKey, OffsetsValue};
use afluente_coordinator::groups::{GroupSettings, GroupShard, RequestOrigin};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_offsets::offset_commit_key::OffsetCommitKey;
use afluente_protocol::messages::consumer_offsets::offset_commit_value::OffsetCommitValue;
use afluente_protocol::records::BatchProducer;
use afluente_protocol::uuid::Uuid;
use bytes::{Buf, Bytes};
use clock::SteadyClock;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// The topic that groups are kept in.
pub const TOPIC: &str = "__consumer_offsets";

/// The longest that nobody looks at the deadlines, if none is known.
const IDLE_MAX: Duration = Duration::from_secs(3_600);

/// Every group of this broker.
pub struct Groups {
    settings: RwLock<GroupSettings>,
    shards: Shards<Running>,
    clock: SteadyClock,
    /// Rung when a deadline came to be that is earlier than the ones before.
    sooner: Notify,
}

/// One partition of the topic, with the groups in it.
pub(crate) type Shard = shards::Shard<Running>;

/// The groups of a shard, and the requests to them that wait for their answers.
pub(crate) struct Running {
    groups: GroupShard,
    open: BTreeMap<Ticket, oneshot::Sender<Reply>>,
    last_ticket: u64,
}

impl Groups {
    /// No groups yet: shards are loaded when they are asked for.
    #[must_use]
    pub fn new(settings: GroupSettings, env: &afluente_env::Env) -> Self {
        Self {
            settings: RwLock::new(settings),
            shards: Shards::default(),
            clock: SteadyClock::start(&env.clock),
            sooner: Notify::new(),
        }
    }

    /// Changes the settings of all shards.
    pub fn set_settings(&self, change: impl FnOnce(&mut GroupSettings)) {
        let settings = {
            let mut settings = self.settings.write();
            change(&mut settings);
            settings.clone()
        };
        for shard in self.shards.loaded() {
            if let Some(mut running) = shard.lock() {
                running.groups.set_settings(settings.clone());
            }
        }
    }

    /// The shard of a group.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` while there is no topic for it; what keeps the shard from loading.
    pub(crate) async fn shard(
        &self,
        broker: &Arc<Broker>,
        group_id: &str,
    ) -> Result<Arc<Shard>, ErrorCode> {
        let topic = broker.topics.by_name(TOPIC).ok_or(ErrorCode::NotCoordinator)?;
        let index = partition_for(group_id, topic.partitions.len());
        self.shard_at(broker, &topic, index).await
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
            shards.push(self.shard_at(broker, &topic, partition.index()).await?);
        }
        Ok(shards)
    }

    async fn shard_at(
        &self,
        broker: &Arc<Broker>,
        topic: &Topic,
        index: i32,
    ) -> Result<Arc<Shard>, ErrorCode> {
        let partition = topic.partition(index).ok_or(ErrorCode::NotCoordinator)?;
        let shard = self.shards.get(partition, |shard| self.load(broker, shard)).await;
        shard.map_err(|error| {
            tracing::error!(partition = index, %error, "groups could not be loaded");
            ErrorCode::CoordinatorLoadInProgress
        })
    }

    async fn load(&self, broker: &Broker, shard: Arc<Shard>) -> Result<Running, LoadError> {
        let now_ms = self.clock.now_ms(&broker.env.clock);
        let mut groups = GroupShard::new(self.settings.read().clone());
        let told = shard.log().tell(|told| match told {
            Told::Record { producer_id, key, value } => match parsed(key, value) {
                Ok(record) => groups.replay(&record, producer_id, now_ms),
                // A newer broker may have written kinds of records that this one does not know.
                Err(error) => tracing::warn!(%error, "a record of a group is not understood"),
            },
            Told::TransactionEnd { producer_id, is_commit } => {
                groups.complete_transaction(producer_id, is_commit);
            }
        });
        told.await?;
        let mut effects = Effects::default();
        groups.loaded(now_ms, &TopicsView(&broker.topics), &mut effects);
        self.sooner.notify_one();
        Ok(Running { groups, open: BTreeMap::new(), last_ticket: 0 })
    }

    /// What a step has to know of a request.
    pub(crate) fn origin(&self, broker: &Broker, context: &RequestContext<'_>) -> RequestOrigin {
        RequestOrigin {
            now_ms: self.clock.now_ms(&broker.env.clock),
            api_version: context.version,
            client_id: context.client_id.clone().unwrap_or_default(),
            client_host: format!("/{}", context.client.peer.ip().to_canonical()),
            fresh_uuid: Uuid::from_random_bytes(broker.env.rng.uuid()),
        }
    }

    /// Runs a step and waits until what it gave out is durable.
    ///
    /// # Errors
    /// What the records could not be written for; the shard is loaded anew then.
    pub(crate) async fn run<T>(
        &self,
        broker: &Arc<Broker>,
        shard: &Arc<Shard>,
        step: impl FnOnce(&mut GroupShard, &mut Effects) -> T,
    ) -> Result<T, ErrorCode> {
        self.run_for(broker, shard, None, step).await
    }

    /// The same, as part of a producer's transaction.
    ///
    /// # Errors
    /// As [`Groups::run`].
    pub(crate) async fn run_for<T>(
        &self,
        broker: &Arc<Broker>,
        shard: &Arc<Shard>,
        producer: Option<BatchProducer>,
        step: impl FnOnce(&mut GroupShard, &mut Effects) -> T,
    ) -> Result<T, ErrorCode> {
        let (result, wait) = self
            .step(broker, shard, producer, |running, effects| step(&mut running.groups, effects))?;
        match wait.finished().await {
            AckOutcome::Durable => Ok(result),
            AckOutcome::Failed => Err(ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Runs a step whose answer may come later, and waits for that answer.
    ///
    /// # Errors
    /// `NOT_COORDINATOR` if the shard was dropped in the meantime.
    pub(crate) async fn run_open(
        &self,
        broker: &Arc<Broker>,
        shard: &Arc<Shard>,
        step: impl FnOnce(&mut GroupShard, Ticket, &mut Effects),
    ) -> Result<Reply, ErrorCode> {
        let (sender, receiver) = oneshot::channel();
        self.step(broker, shard, None, |running, effects| {
            running.last_ticket += 1;
            let ticket = Ticket(running.last_ticket);
            running.open.insert(ticket, sender);
            step(&mut running.groups, ticket, effects);
        })?;
        // Who waits for other members must not hold up a broker that stops.
        tokio::select! {
            biased;
            reply = receiver => reply.map_err(|_| ErrorCode::NotCoordinator),
            () = broker.stopping.wait() => Err(ErrorCode::NotCoordinator),
        }
    }

    fn step<T>(
        &self,
        broker: &Arc<Broker>,
        shard: &Arc<Shard>,
        producer: Option<BatchProducer>,
        step: impl FnOnce(&mut Running, &mut Effects) -> T,
    ) -> Result<(T, Arc<AckWait>), ErrorCode> {
        let mut running = shard.lock().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
        let before = running.groups.next_deadline_ms();
        let mut effects = Effects::default();
        let result = step(&mut running, &mut effects);
        let wait = AckWait::new();
        if effects.records.is_empty() {
            shard.log().wait_for_all(&wait);
        } else if let Err(code) = self.append(broker, shard, producer, &effects.records, &wait) {
            running.open.clear();
            drop(running);
            self.shards.forget(shard);
            return Err(coordinator_code(code));
        }
        let answers: Vec<(oneshot::Sender<Reply>, Reply)> = effects
            .replies
            .into_iter()
            .filter_map(|(ticket, reply)| Some((running.open.remove(&ticket)?, reply)))
            .collect();
        let after = running.groups.next_deadline_ms();
        drop(running);
        if after.is_some_and(|after| before.is_none_or(|before| after < before)) {
            self.sooner.notify_one();
        }
        deliver(broker, answers, &wait);
        Ok((result, wait))
    }

    fn append(
        &self,
        broker: &Broker,
        shard: &Shard,
        producer: Option<BatchProducer>,
        records: &[GroupRecord],
        wait: &Arc<AckWait>,
    ) -> Result<(), ErrorCode> {
        let records: Result<Vec<_>, _> = records.iter().map(written).collect();
        let records = records.map_err(|error| {
            tracing::error!(%error, "a record of a group cannot be written");
            ErrorCode::UnknownServerError
        })?;
        shard.log().append(&records, producer, broker.env.clock.wall_ms(), wait)
    }

    /// Takes note of the end of a transaction whose marker was written into a partition of the
    /// topic.
    pub(crate) fn transaction_ended(&self, index: i32, producer_id: i64, is_commit: bool) {
        let shard = self.shards.at(index);
        if let Some(mut running) = shard.as_ref().and_then(|shard| shard.lock()) {
            running.groups.complete_transaction(producer_id, is_commit);
        }
    }

    /// Deletes the offsets of partitions that are gone.
    pub(crate) async fn partitions_deleted(&self, broker: &Arc<Broker>, topic: &str, count: i32) {
        let deleted = (0..count).map(|index| (topic.to_owned(), index)).collect();
        for shard in self.shards.loaded() {
            let step = |groups: &mut GroupShard, effects: &mut Effects| {
                groups.partitions_deleted(&deleted, effects);
            };
            if let Err(error) = self.run(broker, &shard, step).await {
                tracing::warn!(topic, %error, "offsets of a deleted topic could not be deleted");
            }
        }
    }

    /// Deletes what has expired.
    pub async fn expire_offsets(&self, broker: &Arc<Broker>) {
        let now_ms = self.clock.now_ms(&broker.env.clock);
        for shard in self.shards.loaded() {
            let step = |groups: &mut GroupShard, effects: &mut Effects| {
                groups.expire_offsets(now_ms, effects);
            };
            if let Err(error) = self.run(broker, &shard, step).await {
                tracing::warn!(%error, "expired offsets could not be deleted");
            }
        }
    }

    /// Loads the shards that hold something, so that the first request finds them ready.
    pub async fn load_all(&self, broker: &Arc<Broker>) {
        let Some(topic) = broker.topics.by_name(TOPIC) else { return };
        for partition in &topic.partitions {
            let log = partition.log();
            if log.end_offset() > log.start_offset() {
                // A failure is logged, and met again by whoever asks for this shard.
                let _ = self.shard_at(broker, &topic, partition.index()).await;
            }
        }
    }

    /// Ends sessions and phases of rebalances when their time is up. Runs as long as the broker.
    pub async fn keep_time(&self, broker: &Arc<Broker>) {
        loop {
            let now_ms = self.clock.now_ms(&broker.env.clock);
            let deadlines =
                self.shards.loaded().into_iter().filter_map(|s| self.tick(broker, &s, now_ms));
            let next_ms = deadlines.min();
            let pause = next_ms.map_or(IDLE_MAX, |at_ms| {
                Duration::from_millis(u64::try_from(at_ms - now_ms).unwrap_or(0).max(1))
            });
            tokio::select! {
                biased;
                () = self.sooner.notified() => {}
                () = broker.env.clock.sleep(pause) => {}
            }
        }
    }

    /// Does what is due in a shard; when there is something to do next.
    fn tick(&self, broker: &Arc<Broker>, shard: &Arc<Shard>, now_ms: i64) -> Option<i64> {
        let next = |shard: &Shard| shard.lock()?.groups.next_deadline_ms();
        if next(shard)? > now_ms {
            return next(shard);
        }
        let step = |running: &mut Running, effects: &mut Effects| {
            running.groups.tick(now_ms, &TopicsView(&broker.topics), effects);
        };
        if let Err(error) = self.step(broker, shard, None, step) {
            tracing::warn!(%error, "a group's deadline could not be kept");
        }
        next(shard)
    }
}

/// Whether the consumer protocol (KIP-848) is served: `group.coordinator.rebalance.protocols` names
/// it, and feature `group.version` is at level 1 or more.
pub(crate) fn serves_consumer_protocol(broker: &Broker) -> bool {
    let level = broker.metadata.image().features().get("group.version").copied();
    broker.settings.coordinators.consumer_protocol_enabled && level.is_some_and(|level| level >= 1)
}

/// The partition of the topic that a group's offsets are in, as transactions name it.
///
/// # Errors
/// There is no such topic yet, and it could not be made.
pub(crate) async fn partition_of(
    broker: &Arc<Broker>,
    group_id: &str,
) -> Result<(String, i32), ErrorCode> {
    let topic = match broker.topics.by_name(TOPIC) {
        Some(topic) => topic,
        None => broker
            .metadata
            .create_automatically(broker, TOPIC)
            .await
            .map_err(|_| ErrorCode::CoordinatorNotAvailable)?,
    };
    Ok((TOPIC.to_owned(), partition_for(group_id, topic.partitions.len())))
}

/// Lets answers go when `wait` is over, even if nobody else waits for that.
fn deliver(broker: &Broker, answers: Vec<(oneshot::Sender<Reply>, Reply)>, wait: &Arc<AckWait>) {
    // A client that is gone does not listen any more.
    let send = |answers: Vec<(oneshot::Sender<Reply>, Reply)>| {
        for (sender, reply) in answers {
            drop(sender.send(reply));
        }
    };
    if answers.is_empty() {
        return;
    }
    if wait.is_over() {
        return send(answers);
    }
    let wait = Arc::clone(wait);
    broker.env.tasks.spawn(async move {
        if wait.finished().await == AckOutcome::Durable {
            send(answers);
        }
    });
}

/// What a member is told when its group's record could not be written.
fn coordinator_code(code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
        ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge => ErrorCode::UnknownServerError,
        ErrorCode::RequestTimedOut | ErrorCode::UnknownTopicOrPartition => {
            ErrorCode::CoordinatorNotAvailable
        }
        other => other,
    }
}

fn written(
    record: &GroupRecord,
) -> Result<(Bytes, Option<Bytes>), afluente_protocol::message::EncodeError> {
    let key = record.key.to_bytes()?;
    let version = record.value_version();
    let value = record.value.as_ref().map(|value| value.to_bytes(version)).transpose()?;
    Ok((key, value))
}

fn parsed(
    key: Bytes,
    value: Option<Bytes>,
) -> Result<GroupRecord, afluente_protocol::message::DecodeError> {
    // The key begins with its type, by which the value is read too.
    let number = key.clone().try_get_i16().unwrap_or(-1);
    let key = OffsetsKey::from_bytes(key)?;
    let value = value.map(|value| OffsetsValue::from_bytes(number, value)).transpose()?;
    Ok(match (key, value) {
        // Written before Kafka 2.1; such records differ in their number only.
        (OffsetsKey::LegacyOffsetCommit(key), value) => GroupRecord {
            key: OffsetsKey::OffsetCommit(OffsetCommitKey {
                group: key.group,
                topic: key.topic,
                partition: key.partition,
            }),
            value: match value {
                Some(OffsetsValue::LegacyOffsetCommit(value)) => {
                    Some(OffsetsValue::OffsetCommit(OffsetCommitValue {
                        offset: value.offset,
                        metadata: value.metadata,
                        commit_timestamp: value.commit_timestamp,
                        ..OffsetCommitValue::default()
                    }))
                }
                other => other,
            },
        },
        (key, value) => GroupRecord { key, value },
    })
}
