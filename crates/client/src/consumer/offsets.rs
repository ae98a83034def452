//! Asking leaders for offsets: by time, at the beginning, at the end; and where epochs end.

use super::config::IsolationLevel;
use super::shared::Shared;
use crate::client::{Client, Target};
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use crate::topic_partition::TopicPartition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use afluente_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequest, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use std::collections::{BTreeMap, BTreeSet};

/// In place of a timestamp: the end of the log.
pub const LATEST: i64 = -1;
/// In place of a timestamp: the beginning of the log.
pub const EARLIEST: i64 = -2;

/// An offset that a leader gave for a timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetAndTimestamp {
    /// The offset; `None` if no record is as late.
    pub offset: Option<i64>,
    /// The timestamp of the record there; -1 where that was not the question.
    pub timestamp: i64,
    /// The epoch of its leader; -1 if it is not known.
    pub leader_epoch: i32,
}

/// What each partition said.
type Answers<T> = BTreeMap<TopicPartition, Result<T, Error>>;

/// Asks the leader of each partition once for the offset of a timestamp.
pub(super) async fn list_once(
    client: &Client,
    asked: &BTreeMap<TopicPartition, i64>,
    isolation_level: IsolationLevel,
    deadline: Deadline,
) -> Answers<OffsetAndTimestamp> {
    let mut answers = Answers::new();
    for (leader, partitions) in by_leader(client, asked.keys(), deadline, &mut answers).await {
        let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
        for (partition, epoch) in &partitions {
            topics.entry(&partition.topic).or_default().push(ListOffsetsPartition {
                partition_index: partition.partition,
                current_leader_epoch: *epoch,
                timestamp: asked[partition],
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| ListOffsetsTopic { name: name.to_owned(), partitions });
        let request = ListOffsetsRequest {
            replica_id: -1,
            isolation_level: isolation_level.number(),
            topics: topics.collect(),
            timeout_ms: i32::try_from(client.config().request_timeout.as_millis())
                .unwrap_or(i32::MAX),
        };
        match client.send_once(&Target::Broker(leader), &request, deadline).await {
            Ok(response) => {
                for topic in response.topics {
                    for found in topic.partitions {
                        let partition = TopicPartition::new(&*topic.name, found.partition_index);
                        let answer = Error::check(found.error_code, None, || partition.to_string())
                            .map(|()| OffsetAndTimestamp {
                                offset: (found.offset >= 0).then_some(found.offset),
                                timestamp: found.timestamp,
                                leader_epoch: found.leader_epoch,
                            });
                        answers.insert(partition, answer);
                    }
                }
            }
            Err(error) => fail(&mut answers, &partitions, &error),
        }
    }
    finish(client, asked.keys(), answers)
}

/// As [`list_once`], again and again for what failed for a reason that may pass, until `deadline`.
///
/// # Errors
/// The first partition's that cannot be helped.
pub(super) async fn list(
    client: &Client,
    mut asked: BTreeMap<TopicPartition, i64>,
    isolation_level: IsolationLevel,
    deadline: Deadline,
) -> Result<BTreeMap<TopicPartition, OffsetAndTimestamp>, Error> {
    let mut found = BTreeMap::new();
    let mut retry = client.retry(deadline);
    while !asked.is_empty() {
        let mut failed = None;
        for (partition, answer) in list_once(client, &asked, isolation_level, deadline).await {
            match answer {
                Ok(offset) => {
                    asked.remove(&partition);
                    found.insert(partition, offset);
                }
                Err(error) => failed = Some(error),
            }
        }
        if let Some(error) = failed {
            retry.after(error).await?;
        }
    }
    Ok(found)
}

/// Where an epoch ends, as the leader knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EpochEnd {
    /// The largest epoch that is not above the one asked for; -1 if there is none.
    pub(super) epoch: i32,
    pub(super) end_offset: i64,
    /// The epoch of the leader that said so: one that came after it may have another log.
    pub(super) asked_of: i32,
}

/// A partition, the epoch of the leader to ask, and the epoch to ask for.
pub(super) type EpochQuestion = (TopicPartition, i32);

/// Asks the leader of each partition once where an epoch ends (KIP-320).
pub(super) async fn epoch_ends_once(
    shared: &Shared,
    asked: &BTreeMap<TopicPartition, i32>,
    deadline: Deadline,
) -> BTreeMap<TopicPartition, Result<EpochEnd, Error>> {
    let client = &shared.client;
    let mut answers = Answers::new();
    for (leader, partitions) in by_leader(client, asked.keys(), deadline, &mut answers).await {
        let mut topics: BTreeMap<&str, Vec<OffsetForLeaderPartition>> = BTreeMap::new();
        for (partition, epoch) in &partitions {
            topics.entry(&partition.topic).or_default().push(OffsetForLeaderPartition {
                partition: partition.partition,
                current_leader_epoch: *epoch,
                leader_epoch: asked[partition],
            });
        }
        let topics = topics.into_iter().map(|(topic, partitions)| OffsetForLeaderTopic {
            topic: topic.to_owned(),
            partitions,
        });
        let request = OffsetForLeaderEpochRequest { replica_id: -1, topics: topics.collect() };
        match client.send_once(&Target::Broker(leader), &request, deadline).await {
            Ok(response) => {
                for topic in response.topics {
                    for found in topic.partitions {
                        let partition = TopicPartition::new(&*topic.topic, found.partition);
                        let question = partitions.iter().find(|(one, _)| *one == partition);
                        let Some(&(_, asked_of)) = question else { continue };
                        let answer = Error::check(found.error_code, None, || partition.to_string())
                            .map(|()| EpochEnd {
                                epoch: found.leader_epoch,
                                end_offset: found.end_offset,
                                asked_of,
                            });
                        answers.insert(partition, answer);
                    }
                }
            }
            Err(error) => fail(&mut answers, &partitions, &error),
        }
    }
    finish(client, asked.keys(), answers)
}

/// Partitions by their leader, each with its epoch; what has none gets its answer at once.
async fn by_leader<'a, T>(
    client: &Client,
    partitions: impl Iterator<Item = &'a TopicPartition> + Clone,
    deadline: Deadline,
    answers: &mut Answers<T>,
) -> BTreeMap<i32, Vec<EpochQuestion>> {
    let topics: BTreeSet<String> = partitions.clone().map(|p| p.topic.to_string()).collect();
    let asked = TopicsAsked::Named(topics);
    let mut metadata = client.fresh_metadata(&asked, deadline).await;
    let lacks_leader = metadata.as_ref().is_ok_and(|metadata| {
        partitions.clone().any(|p| metadata.leader(&p.topic, p.partition).is_none())
    });
    if lacks_leader {
        metadata = client.refresh(&asked, deadline).await;
    }
    let mut leaders: BTreeMap<i32, Vec<EpochQuestion>> = BTreeMap::new();
    for partition in partitions {
        let metadata = match &metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                answers.insert(partition.clone(), Err(error.clone()));
                continue;
            }
        };
        if let Some((node, epoch)) = metadata.leader(&partition.topic, partition.partition) {
            leaders.entry(node.id).or_default().push((partition.clone(), epoch));
            continue;
        }
        let topic = metadata.topics.get(&*partition.topic);
        let error = match (topic.and_then(|topic| topic.error), topic) {
            (Some(code), _) => Error::Broker { about: partition.to_string(), code, message: None },
            (None, Some(topic)) if topic.partitions.contains_key(&partition.partition) => {
                Error::NoLeader {
                    topic: partition.topic.to_string(),
                    partition: partition.partition,
                }
            }
            (None, _) => Error::Broker {
                about: partition.to_string(),
                code: ErrorCode::UnknownTopicOrPartition,
                message: None,
            },
        };
        answers.insert(partition.clone(), Err(error));
    }
    leaders
}

fn fail<T>(answers: &mut Answers<T>, partitions: &[EpochQuestion], error: &Error) {
    for (partition, _) in partitions {
        answers.insert(partition.clone(), Err(error.clone()));
    }
}

/// Sees to what the answers say of the metadata, and to partitions that a broker left out.
fn finish<'a, T>(
    client: &Client,
    asked: impl Iterator<Item = &'a TopicPartition>,
    mut answers: Answers<T>,
) -> Answers<T> {
    for partition in asked {
        let answer = answers.entry(partition.clone()).or_insert_with(|| {
            Err(Error::Broker {
                about: partition.to_string(),
                code: ErrorCode::UnknownServerError,
                message: Some("the broker left it out of its answer".to_owned()),
            })
        });
        if let Err(error) = answer
            && error.is_stale_metadata()
        {
            client.forget_leader(&partition.topic, partition.partition);
        }
    }
    answers
}
