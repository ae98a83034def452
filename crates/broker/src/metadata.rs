//! The cluster's metadata: which topics there are, and changes to that.
//!
//! A single node is its own controller. A change is decided by `cluster` as Kafka's metadata
//! records; they go into the metadata log, and when they are durable into the image, and from there
//! into [`Topics`], where handlers look things up. A restart reads the log.

mod identity;
mod log;
mod quorum;
mod reconcile;
mod registration;
mod replay;
mod rules;
mod snapshot;
pub(crate) mod takeover;

pub use log::MetadataError;
pub(crate) use log::TOPIC;
pub(crate) use rules::INTERNAL_SEGMENT_BYTES;
use rules::TopicRules;

use crate::broker::Broker;
use crate::config::{Config, Settings};
use crate::topics::{Topic, Topics};
use afluente_cluster::controller::{
    self, ConfigChange, Decision, NewTopic, Refusal, TopicDefaults,
};
use afluente_cluster::image::{ConfigResource, METADATA_VERSION, MetadataImage};
use afluente_env::Env;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_partitions_request::CreatePartitionsTopic;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreatableTopicConfig};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::producer_ids_record::ProducerIdsRecord;
use afluente_protocol::uuid::Uuid;
use afluente_storage::LogDir;
use identity::Identity;
use log::{MetadataLog, Owner};
use parking_lot::{RwLock, RwLockReadGuard};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// The metadata of a cluster of one.
pub struct Metadata {
    identity: Identity,
    node_id: i32,
    broker_epoch: i64,
    image: RwLock<MetadataImage>,
    log: MetadataLog,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    /// Producer ids that belong to this broker and were not given out.
    producer_ids: parking_lot::Mutex<Range<i64>>,
}

/// The levels of a feature that this broker can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SupportedFeature {
    /// Kafka's name of it.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level, which a new cluster starts with.
    pub max: i16,
}

/// The features of Apache Kafka 4.3.1 that are served here (KIP-584).
pub const SUPPORTED_FEATURES: [SupportedFeature; 5] = [
    SupportedFeature { name: METADATA_VERSION, min: 7, max: 30 },
    SupportedFeature { name: "kraft.version", min: 0, max: 1 },
    SupportedFeature { name: "transaction.version", min: 0, max: 2 },
    SupportedFeature { name: "group.version", min: 0, max: 1 },
    SupportedFeature { name: "eligible.leader.replicas.version", min: 0, max: 1 },
];

/// Kafka gives producer ids to brokers in blocks of so many.
const PRODUCER_IDS_BLOCK: i64 = 1000;

impl Metadata {
    /// Reads the metadata of a log directory, or makes that of a new cluster, and registers this
    /// broker in it. `topics` has every topic with its partitions afterwards.
    ///
    /// # Errors
    /// The directory is of another node, or its metadata cannot be read or written.
    pub async fn open(
        env: &Env,
        path: &Path,
        log_dir: &LogDir,
        config: &Config,
        settings: &Settings,
        topics: &Topics,
    ) -> Result<Self, MetadataError> {
        let node_id = settings.node.id;
        let identity = Identity::open(env, path, node_id)?;
        let owner = Owner { node_id, identity: &identity, config };
        let (log, mut image) = MetadataLog::open(env, path, log_dir, topics, owner).await?;
        let (broker_epoch, records) =
            registration::records(env, settings, &identity, &image, log.end_offset());
        log.append(env, &mut image, records).await?;
        reconcile::start(&image, log_dir, config, topics)?;
        Ok(Self {
            identity,
            node_id,
            broker_epoch,
            image: RwLock::new(image),
            log,
            changing: tokio::sync::Mutex::default(),
            producer_ids: parking_lot::Mutex::new(0..0),
        })
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.identity.cluster_id
    }

    /// The id of the log directory.
    #[must_use]
    pub fn directory_id(&self) -> Uuid {
        self.identity.directory_id
    }

    /// The metadata as it is now. Not to be held across a wait.
    pub fn image(&self) -> RwLockReadGuard<'_, MetadataImage> {
        self.image.read()
    }

    /// The value of a broker key, if somebody gave one, and who.
    pub(crate) fn broker_text(&self, config: &Config, name: &str) -> Option<(String, GivenBy)> {
        broker_text(&self.image.read(), config, name)
    }

    /// Puts what was set while the broker ran over its configuration: for this broker over what was
    /// set for all.
    pub(crate) fn overlay(&self, config: &mut Config) {
        let image = self.image.read();
        for broker in [String::new(), self.node_id.to_string()] {
            let resource = ConfigResource { kind: ConfigResource::BROKER, name: broker };
            for (name, value) in image.configs(&resource).into_iter().flatten() {
                config.overlay(name, value);
            }
        }
    }

    /// The metadata log.
    pub(crate) fn partition(&self) -> &Arc<crate::partition::Partition> {
        self.log.partition()
    }

    /// What the cluster has agreed on, and the metadata offset of that.
    #[must_use]
    pub fn finalized_features(&self) -> (Vec<(String, i16)>, i64) {
        let features = self.image.read().features().clone();
        (features.into_iter().collect(), self.log.end_offset() - 1)
    }

    /// A producer id that nobody has had, and nobody will have again.
    ///
    /// # Errors
    /// The metadata log cannot be written.
    pub async fn new_producer_id(&self, broker: &Broker) -> Result<i64, ErrorCode> {
        if let Some(id) = self.producer_ids.lock().next() {
            return Ok(id);
        }
        let _changing = self.changing.lock().await;
        // Somebody else may have fetched a block while this one waited.
        if let Some(id) = self.producer_ids.lock().next() {
            return Ok(id);
        }
        let first = self.image.read().next_producer_id();
        let next = first + PRODUCER_IDS_BLOCK;
        let record = MetadataRecord::ProducerIds(ProducerIdsRecord {
            broker_id: self.node_id,
            broker_epoch: self.broker_epoch,
            next_producer_id: next,
        });
        self.write(broker, vec![record]).await.map_err(|(code, _)| code)?;
        *self.producer_ids.lock() = first + 1..next;
        Ok(first)
    }

    /// Creates topics, or only finds out whether they could be created.
    ///
    /// Answers stand in the order of `topics`.
    pub async fn create_topics(
        &self,
        broker: &Broker,
        topics: &[CreatableTopic],
        is_validate_only: bool,
    ) -> Vec<Result<NewTopic, Refusal>> {
        let _changing = self.changing.lock().await;
        let decision = {
            let defaults = TopicDefaults {
                partition_count: broker.settings.topics.partition_count,
                replication_factor: broker.settings.topics.replication_factor,
            };
            let rules = TopicRules(&broker.config);
            let fresh_id = || new_topic_id(broker);
            controller::create_topics(&self.image.read(), topics, defaults, &rules, fresh_id)
        };
        self.carry_out(broker, decision, is_validate_only).await
    }

    /// Creates a topic because a client asked for it, as `auto.create.topics.enable` allows, or
    /// because the broker needs it for itself.
    ///
    /// # Errors
    /// Kafka's code for why not.
    pub async fn create_automatically(
        &self,
        broker: &Broker,
        name: &str,
    ) -> Result<Arc<Topic>, ErrorCode> {
        let topic = automatic(&broker.config, name);
        match self.create_topics(broker, &[topic], false).await.pop() {
            Some(Ok(_) | Err((ErrorCode::TopicAlreadyExists, _))) => {
                broker.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)
            }
            Some(Err((code, message))) => {
                tracing::debug!(topic = name, %message, "a topic was not created");
                Err(code)
            }
            None => Err(ErrorCode::UnknownServerError),
        }
    }

    /// Deletes a topic with its data.
    ///
    /// # Errors
    /// Kafka's code and sentence for why not.
    pub async fn delete_topic(&self, broker: &Broker, id: &Uuid) -> Result<(), Refusal> {
        let _changing = self.changing.lock().await;
        let records = {
            let image = self.image.read();
            let topic = image.topic_by_id(*id).ok_or_else(|| {
                (ErrorCode::UnknownTopicId, ErrorCode::UnknownTopicId.wire_message().to_owned())
            })?;
            controller::delete_topics([topic])
        };
        self.write(broker, records).await
    }

    /// Adds partitions to topics, or only finds out whether that could be done.
    pub async fn create_partitions(
        &self,
        broker: &Broker,
        topics: &[CreatePartitionsTopic],
        is_validate_only: bool,
    ) -> Vec<Result<(), Refusal>> {
        let _changing = self.changing.lock().await;
        let decision = controller::create_partitions(&self.image.read(), topics);
        self.carry_out(broker, decision, is_validate_only).await
    }

    /// Changes what is set for a resource, or only finds out whether that could be done.
    ///
    /// # Errors
    /// Kafka's code and sentence for why not.
    pub async fn alter_configs(
        &self,
        broker: &Broker,
        resource: &ConfigResource,
        changes: &[ConfigChange],
        replace_all: bool,
        is_validate_only: bool,
    ) -> Result<(), Refusal> {
        let _changing = self.changing.lock().await;
        let records = {
            let rules = rules::for_resource(&broker.config, resource)?;
            let image = self.image.read();
            controller::alter_configs(&image, resource, changes, replace_all, &*rules)?
        };
        if is_validate_only {
            return Ok(());
        }
        self.write(broker, records).await
    }

    /// Makes a change that is decided by the metadata as it is, or only finds out what would be
    /// answered.
    ///
    /// # Errors
    /// The metadata log cannot be written.
    pub(crate) async fn change<T>(
        &self,
        broker: &Broker,
        is_validate_only: bool,
        decide: impl FnOnce(&MetadataImage) -> Decision<T>,
    ) -> Result<T, Refusal> {
        let _changing = self.changing.lock().await;
        let decision = decide(&self.image.read());
        if !is_validate_only {
            self.write(broker, decision.records).await?;
        }
        Ok(decision.answer)
    }

    async fn carry_out<T>(
        &self,
        broker: &Broker,
        decision: Decision<Vec<Result<T, Refusal>>>,
        is_validate_only: bool,
    ) -> Vec<Result<T, Refusal>> {
        if is_validate_only {
            return decision.answer;
        }
        match self.write(broker, decision.records).await {
            Ok(()) => decision.answer,
            Err(refusal) => {
                decision.answer.into_iter().map(|a| a.and(Err(refusal.clone()))).collect()
            }
        }
    }

    /// Appends records, waits until they are durable, and has everything follow. The caller holds
    /// `changing`.
    async fn write(&self, broker: &Broker, records: Vec<MetadataRecord>) -> Result<(), Refusal> {
        if records.is_empty() {
            return Ok(());
        }
        let unwritten = |error: MetadataError| {
            tracing::error!(%error, "a change of the metadata could not be written");
            (ErrorCode::KafkaStorageError, error.to_string())
        };
        self.log.append_durably(&broker.env, &records).await.map_err(unwritten)?;
        let mut changes = Vec::with_capacity(records.len());
        {
            let mut image = self.image.write();
            for record in records {
                match image.apply(record) {
                    Ok(change) => changes.push(change),
                    Err(misfit) => tracing::error!(%misfit, "a decision of ours does not fit"),
                }
            }
        }
        let plan = reconcile::plan(&self.image.read(), &changes, &broker.config);
        plan.carry_out(broker)
            .await
            .map_err(|error| (ErrorCode::KafkaStorageError, error.to_string()))?;
        if self.log.bytes_since_snapshot() >= broker.settings.metadata.snapshot_after_bytes {
            self.write_snapshot(broker).await;
        }
        Ok(())
    }

    /// Writes down the metadata as it is now, if anything has changed since the last time.
    pub async fn snapshot(&self, broker: &Broker) {
        let _changing = self.changing.lock().await;
        if self.log.bytes_since_snapshot() > 0 {
            self.write_snapshot(broker).await;
        }
    }

    /// The caller holds `changing`: the image is what the whole log makes.
    async fn write_snapshot(&self, broker: &Broker) {
        let records = self.image.read().records();
        match self.log.snapshot(&broker.env, records).await {
            Ok(()) => tracing::info!(offset = self.log.end_offset(), "metadata snapshot written"),
            Err(error) => tracing::error!(%error, "a metadata snapshot could not be written"),
        }
    }
}

/// Who gave a value of the broker's configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GivenBy {
    /// An administrator, for this broker, while it ran.
    Broker,
    /// An administrator, for all brokers, while they ran.
    AllBrokers,
    /// The file, the environment or the command line.
    Start,
}

/// The value of a broker key, if somebody gave one: what was set while it ran counts more.
fn broker_text(image: &MetadataImage, config: &Config, name: &str) -> Option<(String, GivenBy)> {
    let set_for = |broker: String| {
        let resource = ConfigResource { kind: ConfigResource::BROKER, name: broker };
        image.configs(&resource)?.get(name).cloned()
    };
    set_for(config.int("node.id").to_string())
        .map(|text| (text, GivenBy::Broker))
        .or_else(|| set_for(String::new()).map(|text| (text, GivenBy::AllBrokers)))
        .or_else(|| config.given_text(name).map(|text| (text, GivenBy::Start)))
}

/// A topic that nobody described; the broker's own have settings of their own.
fn automatic(config: &Config, name: &str) -> CreatableTopic {
    let set = |name: &str, value: String| CreatableTopicConfig {
        name: name.to_owned(),
        value: Some(value),
    };
    let topic = CreatableTopic {
        name: name.to_owned(),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopic::default()
    };
    match name {
        crate::groups::TOPIC => CreatableTopic {
            num_partitions: config.int("offsets.topic.num.partitions"),
            // One node has one replica to give, whatever the default for clusters is.
            replication_factor: 1,
            configs: vec![
                set("cleanup.policy", "compact".to_owned()),
                set("compression.type", "producer".to_owned()),
                set("segment.bytes", config.int("offsets.topic.segment.bytes").to_string()),
            ],
            ..topic
        },
        crate::transactions::TOPIC => CreatableTopic {
            num_partitions: config.int("transaction.state.log.num.partitions"),
            replication_factor: 1,
            configs: vec![
                set("cleanup.policy", "compact".to_owned()),
                set("compression.type", "uncompressed".to_owned()),
                set("min.insync.replicas", "1".to_owned()),
                set("segment.bytes", config.int("transaction.state.log.segment.bytes").to_string()),
                set("unclean.leader.election.enable", "false".to_owned()),
            ],
            ..topic
        },
        _ => topic,
    }
}

fn new_topic_id(broker: &Broker) -> Uuid {
    loop {
        let id = Uuid::from_random_bytes(broker.env.rng.uuid());
        // Kafka keeps some ids for itself, and none that begins with a dash.
        if id != Uuid::ZERO && id != Uuid::ONE && !id.to_string().starts_with('-') {
            return id;
        }
    }
}
