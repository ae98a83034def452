//! The cluster's metadata: which topics there are, and changes to that.
//!
//! A single node is its own controller. Handlers ask here for changes, and look things up in
//! [`Topics`](crate::topics::Topics), which follows.

use crate::broker::Broker;
use crate::partition::Partition;
use crate::topics::{Topic, is_internal};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::LeaderEpoch;
use afluente_protocol::uuid::Uuid;
use afluente_storage::TopicPartition;
use afluente_storage::log_config::LogConfig;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The metadata of a cluster of one.
pub struct Metadata {
    cluster_id: String,
    features: Features,
    /// One change at a time.
    changing: tokio::sync::Mutex<()>,
    next_producer_id: AtomicI64,
}

/// Feature levels (KIP-584).
pub struct Features {
    /// What this broker can do.
    pub supported: Vec<SupportedFeature>,
    /// What the cluster has agreed on.
    pub finalized: Vec<(String, i16)>,
    /// The metadata offset of that agreement.
    pub epoch: i64,
}

/// The levels of a feature that this broker can do.
pub struct SupportedFeature {
    /// Kafka's name of it.
    pub name: &'static str,
    /// The lowest level.
    pub min: i16,
    /// The highest level.
    pub max: i16,
}

/// The features of Apache Kafka 4.3.1 that are served here.
const SUPPORTED: [(&str, i16, i16); 5] = [
    ("metadata.version", 7, 30),
    ("kraft.version", 0, 1),
    ("transaction.version", 0, 2),
    ("group.version", 0, 1),
    ("eligible.leader.replicas.version", 0, 1),
];

/// A topic to be made.
pub struct NewTopic<'a> {
    /// Its name.
    pub name: &'a str,
    /// How many partitions.
    pub partition_count: i32,
    /// Its own configuration.
    pub configs: BTreeMap<String, String>,
}

/// Why a change was refused.
#[derive(Debug)]
pub struct Refusal {
    /// Kafka's code.
    pub code: ErrorCode,
    /// A sentence for people.
    pub message: String,
}

impl Refusal {
    fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

/// The longest name of a topic: it is also the name of a directory.
const TOPIC_NAME_MAX: usize = 249;

/// Whether a topic may have this name, by Kafka's rules.
#[must_use]
pub fn is_valid_topic_name(name: &str) -> bool {
    !matches!(name, "" | "." | "..")
        && name.len() <= TOPIC_NAME_MAX
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

impl Metadata {
    /// The metadata of a cluster of this id. `now_ms` is the wall clock.
    #[must_use]
    pub fn new(cluster_id: String, now_ms: i64) -> Self {
        let supported =
            SUPPORTED.iter().map(|&(name, min, max)| SupportedFeature { name, min, max }).collect();
        let finalized =
            SUPPORTED.iter().map(|&(name, _, level)| (name.to_owned(), level)).collect();
        Self {
            cluster_id,
            features: Features { supported, finalized, epoch: 0 },
            changing: tokio::sync::Mutex::default(),
            next_producer_id: AtomicI64::new(now_ms << 8),
        }
    }

    /// The cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    /// Feature levels.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// A producer id that nobody has had.
    pub async fn new_producer_id(&self) -> i64 {
        self.next_producer_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes a topic because a client asked for it, as `auto.create.topics.enable` allows.
    ///
    /// # Errors
    /// Kafka's code for why not.
    pub async fn create_automatically(
        &self,
        broker: &Broker,
        name: &str,
    ) -> Result<Arc<Topic>, ErrorCode> {
        let (partition_count, configs) = automatic(broker, name);
        let topic = NewTopic { name, partition_count, configs };
        match self.create_topic(broker, &topic, false).await {
            Err(Refusal { code: ErrorCode::TopicAlreadyExists, .. }) => {
                broker.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition)
            }
            Err(refusal) => Err(refusal.code),
            Ok(_) => broker.topics.by_name(name).ok_or(ErrorCode::UnknownTopicOrPartition),
        }
    }

    /// Makes a topic, or only finds out whether it could be made; gives its id.
    ///
    /// # Errors
    /// Kafka's code and sentence for why not.
    pub async fn create_topic(
        &self,
        broker: &Broker,
        new: &NewTopic<'_>,
        is_validate_only: bool,
    ) -> Result<Uuid, Refusal> {
        if !is_valid_topic_name(new.name) {
            return Err(Refusal::new(
                ErrorCode::InvalidTopicException,
                format!("Topic name is invalid: '{}'", new.name),
            ));
        }
        if new.partition_count <= 0 {
            return Err(Refusal::new(
                ErrorCode::InvalidPartitions,
                "Number of partitions must be larger than 0.",
            ));
        }
        let _changing = self.changing.lock().await;
        if broker.topics.by_name(new.name).is_some() {
            return Err(Refusal::new(
                ErrorCode::TopicAlreadyExists,
                format!("Topic '{}' already exists.", new.name),
            ));
        }
        let config = log_config(broker, &new.configs)
            .map_err(|why| Refusal::new(ErrorCode::InvalidConfig, why))?;
        let id = new_topic_id(broker);
        if is_validate_only {
            return Ok(id);
        }
        let config = Arc::new(config);
        let name: Arc<str> = Arc::from(new.name);
        let mut partitions = Vec::new();
        for index in 0..new.partition_count {
            let partition = TopicPartition::new(Arc::clone(&name), index);
            let log = broker
                .log_dir
                .create_log(&partition, id, Arc::clone(&config))
                .map_err(|error| Refusal::new(error.code(), error.to_string()))?;
            partitions.push(Partition::new(index, log, LeaderEpoch(0)));
        }
        broker.topics.put(Topic { name, id, partitions: partitions.into() });
        tracing::info!(topic = new.name, partitions = new.partition_count, id = %id, "topic created");
        Ok(id)
    }

    /// Deletes a topic with its data.
    ///
    /// # Errors
    /// Kafka's code and sentence for why not.
    pub async fn delete_topic(&self, broker: &Broker, id: &Uuid) -> Result<(), Refusal> {
        let _changing = self.changing.lock().await;
        let Some(topic) = broker.topics.remove(id) else {
            return Err(Refusal::new(
                ErrorCode::UnknownTopicId,
                ErrorCode::UnknownTopicId.message(),
            ));
        };
        for partition in &topic.partitions {
            if let Err(error) = broker.log_dir.delete_log(partition.log().partition()) {
                return Err(Refusal::new(error.code(), error.to_string()));
            }
        }
        tracing::info!(topic = %topic.name, id = %id, "topic deleted");
        Ok(())
    }
}

/// Partitions and configuration of a topic that nobody described.
fn automatic(broker: &Broker, name: &str) -> (i32, BTreeMap<String, String>) {
    let config = &broker.config;
    let pair = |key: &str, value: String| (key.to_owned(), value);
    match name {
        "__consumer_offsets" => (
            config.int("offsets.topic.num.partitions"),
            BTreeMap::from([
                pair("cleanup.policy", "compact".to_owned()),
                pair("compression.type", "producer".to_owned()),
                pair("segment.bytes", config.int("offsets.topic.segment.bytes").to_string()),
            ]),
        ),
        "__transaction_state" => (
            config.int("transaction.state.log.num.partitions"),
            BTreeMap::from([
                pair("cleanup.policy", "compact".to_owned()),
                pair("compression.type", "uncompressed".to_owned()),
                pair(
                    "min.insync.replicas",
                    config.int("transaction.state.log.min.isr").to_string(),
                ),
                pair(
                    "segment.bytes",
                    config.int("transaction.state.log.segment.bytes").to_string(),
                ),
                pair("unclean.leader.election.enable", "false".to_owned()),
            ]),
        ),
        _ => {
            debug_assert!(!is_internal(name) || name == "__share_group_state");
            (broker.settings.topics.partition_count, BTreeMap::new())
        }
    }
}

fn log_config(broker: &Broker, configs: &BTreeMap<String, String>) -> Result<LogConfig, String> {
    let topic = configs.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    LogConfig::resolve(|name| broker.config.given_text(name), topic)
        .map_err(|error| error.to_string())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rules() {
        for good in ["a", "a.b_c-D9", &"x".repeat(249)] {
            assert!(is_valid_topic_name(good), "{good}");
        }
        for bad in ["", ".", "..", "a b", "a/b", "é", &"x".repeat(250)] {
            assert!(!is_valid_topic_name(bad), "{bad}");
        }
    }
}
