//! The cluster as a broker last described it: brokers, topics, leaders.
//!
//! A snapshot is never changed, only replaced. A new answer replaces what it speaks of and leaves
//! the topics that were not asked for; a leader epoch never goes back, so that an answer of a
//! broker that lags behind does not undo what a newer one said (KIP-320).

use crate::config::ServerAddress;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use afluente_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponsePartition, MetadataResponseTopic,
};
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    /// Counts the answers that went into it; 0 means that nothing is known.
    pub generation: u64,
    /// The id of the cluster, if the brokers have one.
    pub cluster_id: Option<String>,
    /// The broker to send to what is for the controller; `None` if there is none.
    pub controller_id: Option<i32>,
    /// By id.
    pub brokers: BTreeMap<i32, BrokerNode>,
    /// By name: those that were asked for, those that do not exist among them.
    pub topics: BTreeMap<String, TopicMetadata>,
    /// Names by id.
    pub topic_names: BTreeMap<Uuid, String>,
    /// Whether [`ClusterMetadata::topics`] holds every topic of the cluster.
    pub is_complete: bool,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerNode {
    /// Its id.
    pub id: i32,
    /// Where clients connect to it.
    pub address: ServerAddress,
    /// Its rack, if it has one.
    pub rack: Option<String>,
}

/// A topic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TopicMetadata {
    /// Its name.
    pub name: String,
    /// Its id; zero from brokers older than 2.8.
    pub id: Uuid,
    /// What is wrong with it, such as `UNKNOWN_TOPIC_OR_PARTITION`.
    pub error: Option<ErrorCode>,
    /// Whether it is Kafka's own.
    pub is_internal: bool,
    /// By number; empty if something is wrong with it.
    pub partitions: BTreeMap<i32, PartitionMetadata>,
    /// What this client may do with it, as bits (KIP-430); `None` if it was not asked.
    pub authorized_operations: Option<i32>,
}

/// A partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// Its number.
    pub partition: i32,
    /// What is wrong with it, such as `LEADER_NOT_AVAILABLE`.
    pub error: Option<ErrorCode>,
    /// The broker that leads it; `None` if there is none.
    pub leader: Option<i32>,
    /// The epoch of the leader; -1 if it is not known.
    pub leader_epoch: i32,
    /// Brokers with a replica, the preferred leader first.
    pub replicas: Vec<i32>,
    /// Those of them that are in sync.
    pub isr: Vec<i32>,
    /// Those of them that are not there.
    pub offline_replicas: Vec<i32>,
}

/// Which topics to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TopicsAsked {
    /// Brokers only.
    None,
    /// Every topic.
    All,
    /// These, by name.
    Named(BTreeSet<String>),
    /// These, by id; from version 10 on.
    Ids(BTreeSet<Uuid>),
}

impl TopicsAsked {
    /// By name.
    pub fn named<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Named(names.into_iter().map(Into::into).collect())
    }

    /// Whether an answer to this question answers `other` as well.
    pub(crate) fn includes(&self, other: &Self) -> bool {
        match (self, other) {
            (_, Self::None) | (Self::All, _) => true,
            (Self::Named(these), Self::Named(others)) => these.is_superset(others),
            (Self::Ids(these), Self::Ids(others)) => these.is_superset(others),
            _ => false,
        }
    }
}

impl ClusterMetadata {
    /// A topic that exists and has no error.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.get(name).filter(|topic| topic.error.is_none())
    }

    /// A partition that exists.
    #[must_use]
    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topic(topic)?.partitions.get(&partition)
    }

    /// The leader of a partition, with its epoch (-1 if that is not known).
    #[must_use]
    pub fn leader(&self, topic: &str, partition: i32) -> Option<(&BrokerNode, i32)> {
        let found = self.partition(topic, partition)?;
        Some((self.brokers.get(&found.leader?)?, found.leader_epoch))
    }

    /// The id of a topic; `None` if the topic is not known or has none.
    #[must_use]
    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topic(name).map(|topic| topic.id).filter(|id| !id.is_zero())
    }

    /// The name of a topic by its id.
    #[must_use]
    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topic_names.get(&id).map(String::as_str)
    }

    /// Whether `asked` can be answered from here.
    #[must_use]
    pub fn covers(&self, asked: &TopicsAsked) -> bool {
        match asked {
            TopicsAsked::None => self.generation > 0,
            TopicsAsked::All => self.is_complete,
            TopicsAsked::Named(names) => names.iter().all(|name| self.topic(name).is_some()),
            TopicsAsked::Ids(ids) => ids.iter().all(|id| self.topic_names.contains_key(id)),
        }
    }

    /// This snapshot with an answer to a question for `asked` put over it.
    pub(crate) fn updated(&self, response: MetadataResponse, asked: &TopicsAsked) -> Self {
        let is_complete = matches!(asked, TopicsAsked::All);
        // Another cluster answered, as after its addresses were given to a new one: nothing that
        // was known holds.
        let same_cluster = self.cluster_id.is_none() || self.cluster_id == response.cluster_id;
        let mut topics = match (is_complete || !same_cluster, asked) {
            (true, _) => BTreeMap::new(),
            (false, _) => self.topics.clone(),
        };
        for topic in response.topics {
            let name = match topic.name.clone() {
                Some(name) => name,
                // Asked for by an id that does not exist any more.
                None => match self.topic_names.get(&topic.topic_id) {
                    Some(name) => name.clone(),
                    None => continue,
                },
            };
            let known = self.topics.get(&name).filter(|_| same_cluster);
            topics.insert(name.clone(), TopicMetadata::new(name, topic, known));
        }
        let topic_names = topics
            .values()
            .filter(|topic| !topic.id.is_zero() && topic.error.is_none())
            .map(|topic| (topic.id, topic.name.clone()))
            .collect();
        Self {
            generation: self.generation + 1,
            cluster_id: response.cluster_id,
            controller_id: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: response
                .brokers
                .into_iter()
                .filter_map(|broker| {
                    let port = u16::try_from(broker.port).ok()?;
                    let address = ServerAddress { host: broker.host, port };
                    let node = BrokerNode { id: broker.node_id, address, rack: broker.rack };
                    Some((broker.node_id, node))
                })
                .collect(),
            topics,
            topic_names,
            is_complete: is_complete || (self.is_complete && same_cluster),
        }
    }

    /// This snapshot with another leader for a partition, as a produce or fetch answer tells it
    /// (KIP-951); `None` if that is nothing new.
    pub(crate) fn with_leader(
        &self,
        topic: &str,
        partition: i32,
        leader: i32,
        leader_epoch: i32,
        nodes: &[BrokerNode],
    ) -> Option<Self> {
        let known = self.partition(topic, partition)?;
        if leader < 0 || leader_epoch <= known.leader_epoch {
            return None;
        }
        let mut next = self.clone();
        for node in nodes {
            next.brokers.insert(node.id, node.clone());
        }
        if !next.brokers.contains_key(&leader) {
            return None;
        }
        let changed = next.topics.get_mut(topic)?.partitions.get_mut(&partition)?;
        changed.leader = Some(leader);
        changed.leader_epoch = leader_epoch;
        changed.error = None;
        next.generation += 1;
        Some(next)
    }
}

impl TopicMetadata {
    fn new(name: String, topic: MetadataResponseTopic, known: Option<&Self>) -> Self {
        // A topic that was deleted and made again has another id, and its epochs begin anew.
        let known = known.filter(|known| known.id == topic.topic_id);
        let partitions = topic
            .partitions
            .into_iter()
            .map(|partition| {
                let before =
                    known.and_then(|known| known.partitions.get(&partition.partition_index));
                let next = match before {
                    Some(before) if before.leader_epoch > partition.leader_epoch => before.clone(),
                    _ => PartitionMetadata::new(partition),
                };
                (next.partition, next)
            })
            .collect();
        Self {
            name,
            id: topic.topic_id,
            error: error(topic.error_code),
            is_internal: topic.is_internal,
            partitions,
            authorized_operations: (topic.topic_authorized_operations != i32::MIN)
                .then_some(topic.topic_authorized_operations),
        }
    }
}

impl PartitionMetadata {
    fn new(partition: MetadataResponsePartition) -> Self {
        Self {
            partition: partition.partition_index,
            error: error(partition.error_code),
            leader: (partition.leader_id >= 0).then_some(partition.leader_id),
            leader_epoch: partition.leader_epoch,
            replicas: partition.replica_nodes,
            isr: partition.isr_nodes,
            offline_replicas: partition.offline_replicas,
        }
    }
}

fn error(code: i16) -> Option<ErrorCode> {
    let code = ErrorCode::from_i16(code).unwrap_or(ErrorCode::UnknownServerError);
    code.is_error().then_some(code)
}

/// The request that asks for `asked` in `version`.
pub(crate) fn request(
    asked: &TopicsAsked,
    version: i16,
    allow_auto_create: bool,
) -> MetadataRequest {
    let topics = match asked {
        TopicsAsked::All if version >= 1 => None,
        // Version 0 has no null, and takes an empty list for every topic.
        TopicsAsked::All | TopicsAsked::None => Some(Vec::new()),
        TopicsAsked::Named(names) => Some(
            names
                .iter()
                .map(|name| MetadataRequestTopic {
                    name: Some(name.clone()),
                    ..MetadataRequestTopic::default()
                })
                .collect(),
        ),
        TopicsAsked::Ids(ids) => Some(
            ids.iter().map(|&topic_id| MetadataRequestTopic { topic_id, name: None }).collect(),
        ),
    };
    MetadataRequest {
        topics,
        // Older versions cannot say it, and create what the broker lets them.
        allow_auto_topic_creation: allow_auto_create || version < 4,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
