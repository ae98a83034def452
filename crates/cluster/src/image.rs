//! The cluster at one moment, as the metadata records tell it.
//!
//! [`MetadataImage::apply`] is the only way to change it, and [`MetadataImage::records`] writes it
//! down again, in an order in which it can be applied: that is a snapshot.

mod snapshot;
#[cfg(test)]
mod tests;

use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::access_control_entry_record::AccessControlEntryRecord;
use afluente_protocol::messages::metadata::delegation_token_record::DelegationTokenRecord;
use afluente_protocol::messages::metadata::partition_change_record::PartitionChangeRecord;
use afluente_protocol::messages::metadata::partition_record::PartitionRecord;
use afluente_protocol::messages::metadata::producer_ids_record::ProducerIdsRecord;
use afluente_protocol::messages::metadata::register_broker_record::RegisterBrokerRecord;
use afluente_protocol::messages::metadata::register_controller_record::RegisterControllerRecord;
use afluente_protocol::messages::metadata::user_scram_credential_record::UserScramCredentialRecord;
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Configuration resources by the numbers of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConfigResource {
    /// [`ConfigResource::TOPIC`], [`ConfigResource::BROKER`] and so on.
    pub kind: i8,
    /// The topic's or group's name; the broker's id; empty for the default of all brokers.
    pub name: String,
}

impl ConfigResource {
    /// A topic.
    pub const TOPIC: i8 = 2;
    /// A broker, or the default of all brokers.
    pub const BROKER: i8 = 4;
    /// A client metrics subscription (KIP-714).
    pub const CLIENT_METRICS: i8 = 16;
    /// A group (KIP-848).
    pub const GROUP: i8 = 32;

    /// The resource of a topic.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self { kind: Self::TOPIC, name: name.to_owned() }
    }
}

/// A topic with its partitions.
#[derive(Debug, Clone, PartialEq)]
pub struct Topic {
    /// Its id: another one if a topic of this name is created again.
    pub id: Uuid,
    /// Its name.
    pub name: Arc<str>,
    /// By number, from 0, without gaps.
    pub partitions: BTreeMap<i32, PartitionRecord>,
}

/// What a record has changed: for those who follow the image with something of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A topic came to be; its partitions follow.
    TopicCreated(Uuid),
    /// A partition came to be, or has another leader, replicas or epoch.
    PartitionChanged(Uuid, i32),
    /// A topic is gone, with all its partitions and its configuration.
    TopicDeleted(Uuid, Arc<str>),
    /// A configuration value was set or removed.
    ConfigChanged(ConfigResource),
    /// A broker registered, left, or was fenced or unfenced.
    BrokerChanged(i32),
    /// Something that few follow: features, producer ids, quotas, access control.
    Other,
}

/// A record that does not fit the image: the log is damaged, or of another cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit(pub String);

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "metadata record does not fit: {}", self.0)
    }
}

impl std::error::Error for Misfit {}

/// Entity types and names that a client quota is for; no name stands for the default.
pub type QuotaEntity = Vec<(String, Option<String>)>;

/// The cluster at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MetadataImage {
    features: BTreeMap<String, i16>,
    brokers: BTreeMap<i32, RegisterBrokerRecord>,
    controllers: BTreeMap<i32, RegisterControllerRecord>,
    topics: BTreeMap<Uuid, Topic>,
    topic_ids: BTreeMap<Arc<str>, Uuid>,
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    producer_ids: Option<ProducerIdsRecord>,
    acls: BTreeMap<Uuid, AccessControlEntryRecord>,
    scram_credentials: BTreeMap<(String, i8), UserScramCredentialRecord>,
    quotas: BTreeMap<(QuotaEntity, String), QuotaValue>,
    delegation_tokens: BTreeMap<String, DelegationTokenRecord>,
}

/// A quota's limit; compared by its bits, so that images can be compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct QuotaValue(pub f64);

/// The feature that stands for the versions of the metadata records themselves.
pub const METADATA_VERSION: &str = "metadata.version";

impl MetadataImage {
    /// Finalised feature levels; a feature that is not there has level 0.
    #[must_use]
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    /// Registered brokers by id.
    #[must_use]
    pub fn brokers(&self) -> &BTreeMap<i32, RegisterBrokerRecord> {
        &self.brokers
    }

    /// Registered controllers by id.
    #[must_use]
    pub fn controllers(&self) -> &BTreeMap<i32, RegisterControllerRecord> {
        &self.controllers
    }

    /// All topics, in the order of their names.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topic_ids.values().filter_map(|id| self.topics.get(id))
    }

    /// How many topics there are.
    #[must_use]
    pub fn topic_count(&self) -> usize {
        self.topics.len()
    }

    /// A topic by its name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&Topic> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// A topic by its id.
    #[must_use]
    pub fn topic_by_id(&self, id: Uuid) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// What was set for a resource: names and values.
    #[must_use]
    pub fn configs(&self, resource: &ConfigResource) -> Option<&BTreeMap<String, String>> {
        self.configs.get(resource)
    }

    /// Every resource for which something was set.
    pub fn configured(&self) -> impl Iterator<Item = &ConfigResource> {
        self.configs.keys()
    }

    /// The first producer id that was not given out in a block.
    #[must_use]
    pub fn next_producer_id(&self) -> i64 {
        self.producer_ids.as_ref().map_or(0, |ids| ids.next_producer_id)
    }

    /// Access control entries by id.
    #[must_use]
    pub fn acls(&self) -> &BTreeMap<Uuid, AccessControlEntryRecord> {
        &self.acls
    }

    /// SCRAM credentials by user and mechanism.
    #[must_use]
    pub fn scram_credentials(&self) -> &BTreeMap<(String, i8), UserScramCredentialRecord> {
        &self.scram_credentials
    }

    /// Client quotas by entity and key.
    #[must_use]
    pub fn quotas(&self) -> &BTreeMap<(QuotaEntity, String), QuotaValue> {
        &self.quotas
    }

    /// Takes in one record, in the order of the log.
    ///
    /// Records of a metadata transaction (KIP-868) are to be held back by the caller until it ends.
    ///
    /// # Errors
    /// [`Misfit`] if the record speaks of something that is not there; nothing has changed then.
    pub fn apply(&mut self, record: MetadataRecord) -> Result<Change, Misfit> {
        match record {
            MetadataRecord::Topic(record) => {
                let name: Arc<str> = record.name.into();
                self.topic_ids.insert(Arc::clone(&name), record.topic_id);
                let topic = Topic { id: record.topic_id, name, partitions: BTreeMap::new() };
                self.topics.insert(record.topic_id, topic);
                return Ok(Change::TopicCreated(record.topic_id));
            }
            MetadataRecord::Partition(record) => {
                let (id, number) = (record.topic_id, record.partition_id);
                self.topic_mut(id)?.partitions.insert(number, record);
                return Ok(Change::PartitionChanged(id, number));
            }
            MetadataRecord::PartitionChange(record) => {
                let (id, number) = (record.topic_id, record.partition_id);
                let partition =
                    self.topic_mut(id)?.partitions.get_mut(&number).ok_or_else(|| {
                        Misfit(format!(
                            "a change of partition {number} of topic {id}, which has none"
                        ))
                    })?;
                change_partition(partition, record);
                return Ok(Change::PartitionChanged(id, number));
            }
            MetadataRecord::RemoveTopic(record) => {
                let topic = self.topics.remove(&record.topic_id).ok_or_else(|| {
                    Misfit(format!("the removal of topic {}, which is not there", record.topic_id))
                })?;
                // The name may belong to a younger topic by now.
                if self.topic_ids.get(&topic.name) == Some(&topic.id) {
                    self.topic_ids.remove(&topic.name);
                    self.configs.remove(&ConfigResource::topic(&topic.name));
                }
                return Ok(Change::TopicDeleted(topic.id, topic.name));
            }
            MetadataRecord::Config(record) => {
                let resource =
                    ConfigResource { kind: record.resource_type, name: record.resource_name };
                let values = self.configs.entry(resource.clone()).or_default();
                match record.value {
                    Some(value) => values.insert(record.name, value),
                    None => values.remove(&record.name),
                };
                if values.is_empty() {
                    self.configs.remove(&resource);
                }
                return Ok(Change::ConfigChanged(resource));
            }
            MetadataRecord::RegisterBroker(record) => {
                let id = record.broker_id;
                self.brokers.insert(id, record);
                return Ok(Change::BrokerChanged(id));
            }
            MetadataRecord::UnregisterBroker(record) => {
                self.brokers.remove(&record.broker_id);
                return Ok(Change::BrokerChanged(record.broker_id));
            }
            MetadataRecord::BrokerRegistrationChange(record) => {
                let broker = self.broker_mut(record.broker_id)?;
                match record.fenced {
                    1 => broker.fenced = true,
                    -1 => broker.fenced = false,
                    _ => {}
                }
                if record.in_controlled_shutdown == 1 {
                    broker.in_controlled_shutdown = true;
                }
                if !record.log_dirs.is_empty() {
                    broker.log_dirs = record.log_dirs;
                }
                return Ok(Change::BrokerChanged(record.broker_id));
            }
            MetadataRecord::FenceBroker(record) => {
                self.broker_mut(record.id)?.fenced = true;
                return Ok(Change::BrokerChanged(record.id));
            }
            MetadataRecord::UnfenceBroker(record) => {
                self.broker_mut(record.id)?.fenced = false;
                return Ok(Change::BrokerChanged(record.id));
            }
            MetadataRecord::RegisterController(record) => {
                self.controllers.insert(record.controller_id, record);
            }
            MetadataRecord::FeatureLevel(record) => {
                match record.feature_level {
                    0 => self.features.remove(&record.name),
                    level => self.features.insert(record.name, level),
                };
            }
            MetadataRecord::ProducerIds(record) => self.producer_ids = Some(record),
            MetadataRecord::AccessControlEntry(record) => {
                self.acls.insert(record.id, record);
            }
            MetadataRecord::RemoveAccessControlEntry(record) => {
                self.acls.remove(&record.id);
            }
            MetadataRecord::UserScramCredential(record) => {
                let key = (record.name.clone(), record.mechanism);
                self.scram_credentials.insert(key, record);
            }
            MetadataRecord::RemoveUserScramCredential(record) => {
                self.scram_credentials.remove(&(record.name, record.mechanism));
            }
            MetadataRecord::ClientQuota(record) => {
                let mut entity: QuotaEntity =
                    record.entity.into_iter().map(|e| (e.entity_type, e.entity_name)).collect();
                entity.sort_unstable();
                let key = (entity, record.key);
                if record.remove {
                    self.quotas.remove(&key);
                } else {
                    self.quotas.insert(key, QuotaValue(record.value));
                }
            }
            MetadataRecord::DelegationToken(record) => {
                self.delegation_tokens.insert(record.token_id.clone(), record);
            }
            MetadataRecord::RemoveDelegationToken(record) => {
                self.delegation_tokens.remove(&record.token_id);
            }
            MetadataRecord::ClearElr(record) => self.clear_elr(&record.topic_name),
            MetadataRecord::NoOp(_)
            | MetadataRecord::ZkMigrationState(_)
            | MetadataRecord::BeginTransaction(_)
            | MetadataRecord::EndTransaction(_)
            | MetadataRecord::AbortTransaction(_) => {}
        }
        Ok(Change::Other)
    }

    fn topic_mut(&mut self, id: Uuid) -> Result<&mut Topic, Misfit> {
        self.topics
            .get_mut(&id)
            .ok_or_else(|| Misfit(format!("a partition of topic {id}, which is not there")))
    }

    fn broker_mut(&mut self, id: i32) -> Result<&mut RegisterBrokerRecord, Misfit> {
        self.brokers
            .get_mut(&id)
            .ok_or_else(|| Misfit(format!("a change of broker {id}, which is not registered")))
    }

    /// Forgets the eligible leader replicas of a topic, or of all (KIP-966).
    fn clear_elr(&mut self, topic_name: &str) {
        for topic in self.topics.values_mut() {
            if topic_name.is_empty() || *topic.name == *topic_name {
                for partition in topic.partitions.values_mut() {
                    partition.eligible_leader_replicas = None;
                    partition.last_known_elr = None;
                }
            }
        }
    }
}

/// What a change of the leader leaves as it is.
const NO_LEADER_CHANGE: i32 = -2;

fn change_partition(partition: &mut PartitionRecord, change: PartitionChangeRecord) {
    if change.leader != NO_LEADER_CHANGE {
        partition.leader = change.leader;
        partition.leader_epoch += 1;
    }
    if change.leader_recovery_state >= 0 {
        partition.leader_recovery_state = change.leader_recovery_state;
    }
    if let Some(isr) = change.isr {
        partition.isr = isr;
    }
    if let Some(replicas) = change.replicas {
        partition.replicas = replicas;
    }
    if let Some(removing) = change.removing_replicas {
        partition.removing_replicas = removing;
    }
    if let Some(adding) = change.adding_replicas {
        partition.adding_replicas = adding;
    }
    if let Some(directories) = change.directories {
        partition.directories = directories;
    }
    if let Some(replicas) = change.eligible_leader_replicas {
        partition.eligible_leader_replicas = Some(replicas);
    }
    if let Some(replicas) = change.last_known_elr {
        partition.last_known_elr = Some(replicas);
    }
    partition.partition_epoch += 1;
}
