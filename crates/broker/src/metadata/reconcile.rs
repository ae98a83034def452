//! Making logs and partitions follow the image.

use super::log::{self, MetadataError};
use super::rules;
use crate::blocking::blocking;
use crate::broker::Broker;
use crate::config::Config;
use crate::dynamic;
use crate::partition::Partition;
use crate::topics::{Topic, Topics};
use afluente_cluster::image::{self, Change, ConfigResource, MetadataImage};
use afluente_protocol::numbers::LeaderEpoch;
use afluente_protocol::uuid::Uuid;
use afluente_storage::log_config::LogConfig;
use afluente_storage::{Log, LogDir, TopicPartition};
use std::collections::BTreeSet;
use std::sync::Arc;

/// At the start: every partition of the image gets its log.
pub(super) fn start(
    image: &MetadataImage,
    log_dir: &LogDir,
    config: &Config,
    topics: &Topics,
) -> Result<(), MetadataError> {
    for topic in image.topics() {
        put(topic, log_config(image, config, &topic.name), log_dir, topics)?;
    }
    for log in log_dir.logs() {
        let of = log.partition();
        let is_known = image.topic_by_id(log.topic_id()).is_some();
        if !is_known && &*of.topic != log::TOPIC {
            tracing::warn!(
                topic = %of.topic, partition = of.partition, id = %log.topic_id(),
                "a log of a topic that was deleted is left in the directory: it is not served"
            );
        }
    }
    Ok(())
}

/// What is to follow a change; made from the image at once, so that nobody waits for it while logs
/// are made.
pub(super) struct Plan {
    deleted: Vec<(Uuid, Arc<str>)>,
    topics: Vec<(image::Topic, LogConfig)>,
    has_broker_changed: bool,
}

/// After a change: what it touched is to follow.
pub(super) fn plan(image: &MetadataImage, changes: &[Change], config: &Config) -> Plan {
    let mut touched: BTreeSet<Uuid> = BTreeSet::new();
    let mut deleted = Vec::new();
    let mut has_broker_changed = false;
    for change in changes {
        match change {
            Change::TopicCreated(id) | Change::PartitionChanged(id, _) => {
                touched.insert(*id);
            }
            Change::ConfigChanged(ConfigResource { kind: ConfigResource::TOPIC, name }) => {
                touched.extend(image.topic(name).map(|topic| topic.id));
            }
            Change::TopicDeleted(id, name) => deleted.push((*id, Arc::clone(name))),
            // What is set for the broker while it runs is the default of every topic.
            Change::ConfigChanged(ConfigResource { kind: ConfigResource::BROKER, .. }) => {
                touched.extend(image.topics().map(|topic| topic.id));
                has_broker_changed = true;
            }
            Change::ConfigChanged(ConfigResource { kind: ConfigResource::GROUP, .. }) => {
                has_broker_changed = true;
            }
            Change::ConfigChanged(_) | Change::BrokerChanged(_) | Change::Other => {}
        }
    }
    let topics = touched.into_iter().filter_map(|id| image.topic_by_id(id));
    let topics = topics.map(|topic| (topic.clone(), log_config(image, config, &topic.name)));
    Plan { deleted, topics: topics.collect(), has_broker_changed }
}

impl Plan {
    /// Makes logs and partitions follow.
    pub(super) async fn carry_out(self, broker: &Broker) -> Result<(), MetadataError> {
        for (id, name) in self.deleted {
            remove(broker, &id).await?;
            tracing::info!(topic = %name, %id, "topic deleted");
        }
        for (topic, config) in self.topics {
            put(&topic, config, &broker.log_dir, &broker.topics)?;
        }
        if self.has_broker_changed {
            dynamic::follow(broker);
        }
        Ok(())
    }
}

/// Puts a topic where handlers look, with the partitions that it has by now; those that were there
/// stay the same, with all who wait for them.
fn put(
    topic: &image::Topic,
    log_config: LogConfig,
    log_dir: &LogDir,
    topics: &Topics,
) -> Result<(), MetadataError> {
    let log_config = Arc::new(log_config);
    let present = topics.by_id(&topic.id);
    let mut partitions = Vec::with_capacity(topic.partitions.len());
    for (number, record) in &topic.partitions {
        let known = present.as_ref().and_then(|topic| topic.partition(*number));
        if let Some(known) = known {
            known.log().set_config(Arc::clone(&log_config))?;
            partitions.push(Arc::clone(known));
            continue;
        }
        let log = open_log(log_dir, topic, *number, &log_config)?;
        let epoch = LeaderEpoch(record.leader_epoch);
        log.begin_leader_epoch(epoch);
        let partition = Partition::new(*number, log, epoch);
        partition.advanced(partition.log().durable_end());
        partitions.push(partition);
    }
    let name = Arc::clone(&topic.name);
    topics.put(Topic { name, id: topic.id, partitions: partitions.into() });
    Ok(())
}

fn open_log(
    log_dir: &LogDir,
    topic: &image::Topic,
    number: i32,
    config: &Arc<LogConfig>,
) -> Result<Arc<Log>, MetadataError> {
    let partition = TopicPartition::new(Arc::clone(&topic.name), number);
    if let Some(log) = log_dir.log(&partition) {
        if log.topic_id() == topic.id {
            log.set_config(Arc::clone(config))?;
            return Ok(log);
        }
        // Of an older topic of the same name, whose deletion a crash has interrupted.
        log_dir.delete_log(&partition)?;
    }
    Ok(log_dir.create_log(&partition, topic.id, Arc::clone(config))?)
}

async fn remove(broker: &Broker, id: &Uuid) -> Result<(), MetadataError> {
    let Some(topic) = broker.topics.remove(id) else { return Ok(()) };
    let log_dir = broker.log_dir.clone();
    // It waits until the deletion of each log is durable.
    let delete = move || {
        let logs = topic.partitions.iter().map(|partition| partition.log());
        logs.into_iter().try_for_each(|log| log_dir.delete_log(log.partition()))
    };
    Ok(blocking(&broker.env, "delete-topic", delete).await?)
}

/// What holds for a topic: its own settings over those of the broker.
///
/// They were checked when they were set, but a newer broker may have allowed more: a value that is
/// not understood is passed over by itself, so that the others still hold. A retention that fell
/// back to its default would delete records.
fn log_config(image: &MetadataImage, config: &Config, topic: &str) -> LogConfig {
    let of_broker = |name: &str| super::broker_text(image, config, name).map(|(text, _)| text);
    let mut resolved = LogConfig::resolve(of_broker, []).unwrap_or_else(|error| {
        tracing::error!(%error, "the broker's configuration of logs contradicts itself");
        LogConfig::default()
    });
    let own = image.configs(&ConfigResource::topic(topic));
    let mut internal_segment_bytes = None;
    for (name, value) in own.into_iter().flatten() {
        if name == rules::INTERNAL_SEGMENT_BYTES {
            if let Ok(bytes) = rules::internal_segment_bytes(value) {
                internal_segment_bytes = Some(bytes);
            }
            continue;
        }
        if let Err(error) = resolved.set(name, value) {
            tracing::warn!(topic, %error, "a setting of the topic has no effect");
        }
    }
    if let Err(error) = resolved.check() {
        tracing::warn!(topic, %error, "settings of the topic contradict each other");
    }
    if let Some(bytes) = internal_segment_bytes {
        resolved.segment_bytes = bytes;
    }
    resolved
}
