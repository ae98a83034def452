//! Topics: create, delete, list, describe, add partitions.

use super::{Admin, Results};
use crate::client::Target;
use crate::error::Error;
use crate::metadata::{ClusterMetadata, TopicMetadata, TopicsAsked};
use afluente_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use afluente_protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use afluente_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use afluente_protocol::messages::describe_topic_partitions_request::{
    Cursor, DescribeTopicPartitionsRequest, TopicRequest,
};
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A topic to be created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// How many partitions; `None` leaves it to the broker (KIP-464).
    pub partitions: Option<i32>,
    /// How many replicas of each; `None` leaves it to the broker.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition, the preferred leader first; if there are any, the two
    /// numbers above have to be `None`.
    pub assignments: BTreeMap<i32, Vec<i32>>,
    /// Configuration.
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with these numbers.
    pub fn new(name: impl Into<String>, partitions: i32, replication_factor: i16) -> Self {
        Self {
            name: name.into(),
            partitions: Some(partitions),
            replication_factor: Some(replication_factor),
            ..Self::default()
        }
    }
}

/// A topic that was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedTopic {
    /// Its id; zero from brokers older than 2.8.
    pub id: Uuid,
    /// How many partitions it has; `None` if the broker does not say.
    pub partitions: Option<i32>,
    /// How many replicas each has; `None` if the broker does not say.
    pub replication_factor: Option<i16>,
}

/// Partitions to be added to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPartitions {
    /// How many there are to be together with those that are there.
    pub count: i32,
    /// The brokers of each new partition; `None` leaves it to the controller.
    pub assignments: Option<Vec<Vec<i32>>>,
}

/// A partition with what only KIP-966 tells.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EligibleReplicas {
    /// Replicas that are not in sync and could lead without loss; `None` if it is not known.
    pub eligible: Option<Vec<i32>>,
    /// The last in-sync replicas that were known before there were none.
    pub last_known: Option<Vec<i32>>,
}

/// Topics that one request of `DescribeTopicPartitions` asks for.
const PARTITIONS_PER_ANSWER: i32 = 2_000;

impl Admin {
    /// Creates topics.
    ///
    /// # Errors
    /// What concerns all; each topic has a result of its own.
    pub async fn create_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<Results<String, CreatedTopic>, Error> {
        self.create_topics_or_check(topics, false).await
    }

    /// Says what [`Admin::create_topics`] would, and creates nothing.
    ///
    /// # Errors
    /// As [`Admin::create_topics`].
    pub async fn check_new_topics(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
    ) -> Result<Results<String, CreatedTopic>, Error> {
        self.create_topics_or_check(topics, true).await
    }

    async fn create_topics_or_check(
        &self,
        topics: impl IntoIterator<Item = NewTopic>,
        validate_only: bool,
    ) -> Result<Results<String, CreatedTopic>, Error> {
        let deadline = self.deadline();
        let request = CreateTopicsRequest {
            topics: topics.into_iter().map(creatable).collect(),
            timeout_ms: self.timeout_ms(deadline),
            validate_only,
        };
        let response = self.call(Target::Controller, request, deadline, |_| Ok(())).await?;
        let results = response.topics.into_iter().map(|topic| {
            let checked = Error::check(topic.error_code, topic.error_message, || {
                format!("creating topic {:?}", topic.name)
            });
            let created = CreatedTopic {
                id: topic.topic_id,
                partitions: (topic.num_partitions >= 0).then_some(topic.num_partitions),
                replication_factor: (topic.replication_factor >= 0)
                    .then_some(topic.replication_factor),
            };
            (topic.name, checked.map(|()| created))
        });
        Ok(results.collect())
    }

    /// Deletes topics, and everything in them.
    ///
    /// # Errors
    /// What concerns all; each topic has a result of its own.
    pub async fn delete_topics<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, ()>, Error> {
        let deadline = self.deadline();
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let states = names
            .iter()
            .map(|name| DeleteTopicState { name: Some(name.clone()), topic_id: Uuid::ZERO });
        // Version 6 has one of the lists, those before it the other.
        let connection = self.client().connection(&Target::Controller, deadline).await?;
        let version = connection.version_of(afluente_protocol::api_key::ApiKey::DeleteTopics)?;
        let timeout_ms = self.timeout_ms(deadline);
        let request = if version >= 6 {
            DeleteTopicsRequest { topics: states.collect(), timeout_ms, ..Default::default() }
        } else {
            DeleteTopicsRequest { topic_names: names, timeout_ms, ..Default::default() }
        };
        let response = self.call(Target::Controller, request, deadline, |_| Ok(())).await?;
        let results = response.responses.into_iter().map(|result| {
            let name = result.name.unwrap_or_default();
            let about = || format!("deleting topic {name:?}");
            let checked = Error::check(result.error_code, result.error_message, about);
            (name, checked)
        });
        Ok(results.collect())
    }

    /// Adds partitions to topics.
    ///
    /// # Errors
    /// What concerns all; each topic has a result of its own.
    pub async fn create_partitions(
        &self,
        topics: impl IntoIterator<Item = (String, NewPartitions)>,
    ) -> Result<Results<String, ()>, Error> {
        let deadline = self.deadline();
        let topics = topics.into_iter().map(|(name, new)| CreatePartitionsTopic {
            name,
            count: new.count,
            assignments: new.assignments.map(|all| {
                all.into_iter()
                    .map(|broker_ids| CreatePartitionsAssignment { broker_ids })
                    .collect()
            }),
        });
        let request = CreatePartitionsRequest {
            topics: topics.collect(),
            timeout_ms: self.timeout_ms(deadline),
            validate_only: false,
        };
        let response = self.call(Target::Controller, request, deadline, |_| Ok(())).await?;
        let results = response.results.into_iter().map(|result| {
            let about = || format!("adding partitions to topic {:?}", result.name);
            let checked = Error::check(result.error_code, result.error_message, about);
            (result.name, checked)
        });
        Ok(results.collect())
    }

    /// Every topic of the cluster, Kafka's own among them.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn list_topics(&self) -> Result<Arc<ClusterMetadata>, Error> {
        self.client().refresh(&TopicsAsked::All, self.deadline()).await
    }

    /// Topics with their partitions.
    ///
    /// # Errors
    /// When no broker answers; each topic has a result of its own.
    pub async fn describe_topics<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, TopicMetadata>, Error> {
        let names: BTreeSet<String> = names.into_iter().map(Into::into).collect();
        if names.is_empty() {
            return Ok(Results::new());
        }
        let asked = TopicsAsked::Named(names.clone());
        let metadata = self.client().refresh(&asked, self.deadline()).await?;
        let results = names.into_iter().filter_map(|name| {
            let topic = metadata.topics.get(&name)?;
            let code = topic.error.unwrap_or_default().code();
            let about = || format!("topic {name:?}");
            let checked = Error::check(code, None, about).map(|()| topic.clone());
            Some((name, checked))
        });
        Ok(results.collect())
    }

    /// What KIP-966 tells of the partitions of topics: empty from a broker that does not know the
    /// API, and without topics that it has nothing to say of.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn eligible_replicas<S: Into<String>>(
        &self,
        names: impl IntoIterator<Item = S>,
    ) -> Result<BTreeMap<(String, i32), EligibleReplicas>, Error> {
        let deadline = self.deadline();
        let mut request = DescribeTopicPartitionsRequest {
            topics: names.into_iter().map(|name| TopicRequest { name: name.into() }).collect(),
            response_partition_limit: PARTITIONS_PER_ANSWER,
            cursor: None,
        };
        // The broker answers by name, and the cursor refers to that order.
        request.topics.sort_by(|a, b| a.name.cmp(&b.name));
        let mut found = BTreeMap::new();
        loop {
            let sent = self.call(Target::Any, request.clone(), deadline, |_| Ok(())).await;
            let response = match sent {
                Err(Error::UnsupportedVersion { .. }) => return Ok(found),
                other => other?,
            };
            for topic in response.topics {
                let name = topic.name.unwrap_or_default();
                for partition in topic.partitions {
                    let replicas = EligibleReplicas {
                        eligible: partition.eligible_leader_replicas,
                        last_known: partition.last_known_elr,
                    };
                    found.insert((name.clone(), partition.partition_index), replicas);
                }
            }
            let Some(next) = response.next_cursor else { return Ok(found) };
            let cursor =
                Cursor { topic_name: next.topic_name, partition_index: next.partition_index };
            if request.cursor.as_ref() == Some(&cursor) {
                // A broker that stands still would be asked without end.
                return Ok(found);
            }
            request.topics.retain(|topic| topic.name >= cursor.topic_name);
            request.cursor = Some(cursor);
        }
    }
}

fn creatable(topic: NewTopic) -> CreatableTopic {
    let assignments = topic.assignments.into_iter().map(|(partition_index, broker_ids)| {
        CreatableReplicaAssignment { partition_index, broker_ids }
    });
    let configs = topic
        .configs
        .into_iter()
        .map(|(name, value)| CreatableTopicConfig { name, value: Some(value) });
    CreatableTopic {
        name: topic.name,
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}
