//! Replicas: where they lie, which of them leads, moving them.

use super::{Admin, Results};
use crate::client::Target;
use crate::error::Error;
use crate::topic_partition::TopicPartition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Request;
use afluente_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequest, ReassignablePartition, ReassignableTopic,
};
use afluente_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequest,
};
use afluente_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use afluente_protocol::messages::elect_leaders_request::{ElectLeadersRequest, TopicPartitions};
use afluente_protocol::messages::list_partition_reassignments_request::{
    ListPartitionReassignmentsRequest, ListPartitionReassignmentsTopics,
};
use std::collections::BTreeMap;

/// A directory of a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogDir {
    /// What is wrong with it, if anything.
    pub error: Option<ErrorCode>,
    /// Bytes of the file system that it lies on (KIP-827).
    pub total_bytes: Option<i64>,
    /// Bytes of that which are free.
    pub usable_bytes: Option<i64>,
    /// Whether no new replica is put there (KIP-1066).
    pub is_cordoned: bool,
    /// What is in it.
    pub replicas: BTreeMap<TopicPartition, LogDirReplica>,
}

/// A replica in a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogDirReplica {
    /// Bytes of its segments.
    pub size: i64,
    /// How many offsets it is behind.
    pub offset_lag: i64,
    /// Whether it is being moved there, and will take the place of the present one.
    pub is_future: bool,
}

/// A partition that is being moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reassignment {
    /// Everybody who has a replica at the moment.
    pub replicas: Vec<i32>,
    /// Those of them that are new.
    pub adding: Vec<i32>,
    /// Those of them that will go.
    pub removing: Vec<i32>,
}

/// Who may be elected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica of the list, if it is in sync.
    Preferred,
    /// Any replica if there is none in sync: acknowledged records may be lost.
    Unclean,
}

impl Admin {
    /// The directories of brokers, by path.
    ///
    /// # Errors
    /// Never as a whole; each broker has a result of its own.
    pub async fn describe_log_dirs(
        &self,
        brokers: &[i32],
    ) -> Result<Results<i32, BTreeMap<String, LogDir>>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for &broker in brokers {
            let check = |response: &<DescribeLogDirsRequest as Request>::Response| {
                let about = || format!("the directories of broker {broker}");
                Error::check(response.error_code, None, about)
            };
            let request = DescribeLogDirsRequest { topics: None };
            let answered = self.call(Target::Broker(broker), request, deadline, check).await;
            let dirs = answered.map(|response| {
                let dirs = response.results.into_iter().map(|dir| {
                    let replicas = dir.topics.iter().flat_map(|topic| {
                        topic.partitions.iter().map(|partition| {
                            let index = partition.partition_index;
                            let replica = LogDirReplica {
                                size: partition.partition_size,
                                offset_lag: partition.offset_lag,
                                is_future: partition.is_future_key,
                            };
                            (TopicPartition::new(topic.name.as_str(), index), replica)
                        })
                    });
                    let bytes = |count: i64| (count >= 0).then_some(count);
                    let described = LogDir {
                        error: ErrorCode::from_i16(dir.error_code).filter(|code| code.is_error()),
                        total_bytes: bytes(dir.total_bytes),
                        usable_bytes: bytes(dir.usable_bytes),
                        is_cordoned: dir.is_cordoned,
                        replicas: replicas.collect(),
                    };
                    (dir.log_dir, described)
                });
                dirs.collect()
            });
            results.insert(broker, dirs);
        }
        Ok(results)
    }

    /// Lets replicas of a broker move to other directories of it, by path. That a move has begun is
    /// all that an answer says; [`Admin::describe_log_dirs`] shows how far it is.
    ///
    /// # Errors
    /// When the broker does not answer; each replica has a result of its own.
    pub async fn alter_replica_log_dirs(
        &self,
        broker: i32,
        moves: impl IntoIterator<Item = (TopicPartition, String)>,
    ) -> Result<Results<TopicPartition, ()>, Error> {
        let mut by_path: BTreeMap<String, BTreeMap<String, Vec<i32>>> = BTreeMap::new();
        for (partition, path) in moves {
            let topics = by_path.entry(path).or_default();
            topics.entry(partition.topic.to_string()).or_default().push(partition.partition);
        }
        let dirs = by_path.into_iter().map(|(path, topics)| AlterReplicaLogDir {
            path,
            topics: topics
                .into_iter()
                .map(|(name, partitions)| AlterReplicaLogDirTopic { name, partitions })
                .collect(),
        });
        let request = AlterReplicaLogDirsRequest { dirs: dirs.collect() };
        let target = Target::Broker(broker);
        let response = self.call(target, request, self.deadline(), |_| Ok(())).await?;
        let results = response.results.into_iter().flat_map(|topic| {
            let name = topic.topic_name;
            topic.partitions.into_iter().map(move |result| {
                let partition = TopicPartition::new(name.as_str(), result.partition_index);
                let about = || format!("moving {partition} to another directory");
                let checked = Error::check(result.error_code, None, about);
                (partition, checked)
            })
        });
        Ok(results.collect())
    }

    /// Elects leaders of partitions, or of all if there are none given. A partition that has the
    /// leader already gets the error `ELECTION_NOT_NEEDED`, unless all were asked for: then it is
    /// left out.
    ///
    /// # Errors
    /// What concerns all; each partition has a result of its own.
    pub async fn elect_leaders(
        &self,
        election: ElectionType,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Result<Results<TopicPartition, ()>, Error> {
        let deadline = self.deadline();
        let by_topic = partitions.map(|partitions| {
            let topics = grouped(partitions).into_iter();
            topics.map(|(topic, partitions)| TopicPartitions { topic, partitions }).collect()
        });
        let request = ElectLeadersRequest {
            election_type: i8::from(election == ElectionType::Unclean),
            topic_partitions: by_topic,
            timeout_ms: self.timeout_ms(deadline),
        };
        let check = |response: &<ElectLeadersRequest as Request>::Response| {
            Error::check(response.error_code, None, || "electing leaders".to_owned())
        };
        let response = self.call(Target::Controller, request, deadline, check).await?;
        let mut results = Results::new();
        for topic in response.replica_election_results {
            for done in topic.partition_result {
                let key = TopicPartition::new(topic.topic.as_str(), done.partition_id);
                let about = || format!("electing a leader of {key}");
                let checked = Error::check(done.error_code, done.error_message, about);
                results.insert(key, checked);
            }
        }
        Ok(results)
    }

    /// Begins to move partitions to other brokers, or with `None` stops doing so (KIP-455).
    ///
    /// # Errors
    /// What concerns all; each partition has a result of its own.
    pub async fn alter_reassignments(
        &self,
        moves: BTreeMap<TopicPartition, Option<Vec<i32>>>,
    ) -> Result<Results<TopicPartition, ()>, Error> {
        let deadline = self.deadline();
        let mut topics: BTreeMap<String, Vec<ReassignablePartition>> = BTreeMap::new();
        for (key, replicas) in moves {
            let partition = ReassignablePartition { partition_index: key.partition, replicas };
            topics.entry(key.topic.to_string()).or_default().push(partition);
        }
        let topics =
            topics.into_iter().map(|(name, partitions)| ReassignableTopic { name, partitions });
        let request = AlterPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(deadline),
            topics: topics.collect(),
            ..Default::default()
        };
        let check = |response: &<AlterPartitionReassignmentsRequest as Request>::Response| {
            let about = || "moving partitions".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let response = self.call(Target::Controller, request, deadline, check).await?;
        let mut results = Results::new();
        for topic in response.responses {
            for done in topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), done.partition_index);
                let about = || format!("moving {key}");
                let checked = Error::check(done.error_code, done.error_message, about);
                results.insert(key, checked);
            }
        }
        Ok(results)
    }

    /// The partitions that are being moved, of those given or of all.
    ///
    /// # Errors
    /// What the controller says.
    pub async fn list_reassignments(
        &self,
        partitions: Option<Vec<TopicPartition>>,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>, Error> {
        let deadline = self.deadline();
        let request = ListPartitionReassignmentsRequest {
            timeout_ms: self.timeout_ms(deadline),
            topics: partitions.map(|partitions| {
                let topics = grouped(partitions).into_iter();
                let topics = topics.map(|(name, partition_indexes)| {
                    ListPartitionReassignmentsTopics { name, partition_indexes }
                });
                topics.collect()
            }),
        };
        let check = |response: &<ListPartitionReassignmentsRequest as Request>::Response| {
            let about = || "listing reassignments".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let response = self.call(Target::Controller, request, deadline, check).await?;
        let ongoing = response.topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            topic.partitions.into_iter().map(move |partition| {
                let key = TopicPartition::new(name.as_str(), partition.partition_index);
                let reassignment = Reassignment {
                    replicas: partition.replicas,
                    adding: partition.adding_replicas,
                    removing: partition.removing_replicas,
                };
                (key, reassignment)
            })
        });
        Ok(ongoing.collect())
    }
}

fn grouped(partitions: Vec<TopicPartition>) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for one in partitions {
        topics.entry(one.topic.to_string()).or_default().push(one.partition);
    }
    topics
}
