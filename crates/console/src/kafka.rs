//! What the console asks of a cluster, in its own words, on the requests of Kafka's protocol.
//!
//! All of it goes through the client, so a cluster of Apache Kafka serves as well as ours. Requests
//! that may name topics by name or id are sent in the newest version that takes names.

mod changes;
mod configs;
mod describe;
mod groups;
mod records;

pub(crate) use configs::{Config, ConfigSource, Resource};
pub(crate) use describe::{LogDirectory, QuorumReplica};
pub(crate) use groups::{DescribedGroup, GroupMember};
pub(crate) use records::{BatchFacts, Fetched, NewRecordOwned};

use afluente_client::metadata::TopicsAsked;
use afluente_client::{Client, ClusterMetadata, Deadline, Error, Target};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a call on behalf of a reader may take.
const CALL_MAX: Duration = Duration::from_secs(15);

/// A partition by its names.
pub(crate) type TopicPartition = (String, i32);

/// A moment in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum At {
    Latest,
    Earliest,
    /// The first message that is not older, Unix milliseconds.
    TimeMs(i64),
}

/// A connection to a cluster. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Kafka {
    pub(crate) client: Client,
}

impl Kafka {
    /// With connections of its own, for who reads much or waits: on one connection answers come in
    /// the order of the requests.
    pub(crate) fn own(&self) -> Self {
        let client = Client::new(self.client.env().clone(), self.client.config().clone());
        // It was made of the same configuration before.
        Self { client: client.unwrap_or_else(|_| self.client.clone()) }
    }

    pub(crate) fn deadline(&self) -> Deadline {
        self.client.deadline_in(CALL_MAX)
    }

    /// Everything that the cluster says of its brokers and topics, asked anew.
    pub(crate) async fn refresh_all(&self) -> Result<Arc<ClusterMetadata>, Error> {
        self.client.refresh(&TopicsAsked::All, self.deadline()).await
    }

    /// Of one topic, which must be there.
    pub(crate) async fn refresh_topic(&self, topic: &str) -> Result<Arc<ClusterMetadata>, Error> {
        let metadata = self.client.refresh(&TopicsAsked::named([topic]), self.deadline()).await?;
        if metadata.topic(topic).is_some() {
            return Ok(metadata);
        }
        let code = metadata.topics.get(topic).and_then(|topic| topic.error);
        Err(Error::Broker {
            about: format!("topic {topic:?}"),
            code: code.unwrap_or(ErrorCode::UnknownTopicOrPartition),
            message: None,
        })
    }

    /// The partitions of a topic.
    pub(crate) async fn partitions_of(&self, topic: &str) -> Result<Vec<i32>, Error> {
        let metadata = self.refresh_topic(topic).await?;
        let topic = metadata.topic(topic).expect("a topic that is not there is an error above");
        Ok(topic.partitions.keys().copied().collect())
    }

    /// Offsets at a moment each; a time that is later than every message gives -1. Partitions whose
    /// leader does not answer are left out.
    pub(crate) async fn offsets(
        &self,
        wanted: &[(TopicPartition, At)],
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let metadata = self.client.metadata();
        let mut by_leader: BTreeMap<i32, BTreeMap<&str, Vec<ListOffsetsPartition>>> =
            BTreeMap::new();
        for ((topic, partition), at) in wanted {
            let Some((leader, epoch)) = metadata.leader(topic, *partition) else { continue };
            let topics = by_leader.entry(leader.id).or_default();
            topics.entry(topic).or_default().push(ListOffsetsPartition {
                partition_index: *partition,
                current_leader_epoch: epoch,
                timestamp: match at {
                    At::Latest => -1,
                    At::Earliest => -2,
                    At::TimeMs(ms) => (*ms).max(0),
                },
            });
        }
        let mut offsets = BTreeMap::new();
        let mut failed = None;
        for (leader, topics) in by_leader {
            let topics = topics
                .into_iter()
                .map(|(name, partitions)| ListOffsetsTopic { name: name.to_owned(), partitions });
            let request = ListOffsetsRequest {
                replica_id: -1,
                isolation_level: 0,
                topics: topics.collect(),
                timeout_ms: 5_000,
            };
            let answer = self.client.send(Target::Broker(leader), request, self.deadline()).await;
            let answer = match answer {
                Ok(answer) => answer,
                Err(error) => {
                    failed = Some(error);
                    continue;
                }
            };
            for topic in answer.topics {
                for partition in topic.partitions {
                    if partition.error_code == 0 {
                        let name = (topic.name.clone(), partition.partition_index);
                        offsets.insert(name, partition.offset);
                    }
                }
            }
        }
        match failed {
            Some(error) if offsets.is_empty() => Err(error),
            _ => Ok(offsets),
        }
    }

    /// The begin and end of each of these partitions. One without a leader is left out, for it has
    /// nothing to give; one whose leader is only just becoming it is asked again, or what is read
    /// by these ranges would lack it without a word.
    pub(crate) async fn ranges(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, (i64, i64)>, Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            let ranges = self.ranges_once(topic, partitions).await?;
            let metadata = self.client.metadata();
            let is_missing =
                |one: &&i32| !ranges.contains_key(one) && metadata.leader(topic, **one).is_some();
            let Some(missing) = partitions.iter().find(is_missing) else { return Ok(ranges) };
            let error = Error::NoLeader { topic: topic.to_owned(), partition: *missing };
            retry.after(error).await?;
            self.refresh_topic(topic).await?;
        }
    }

    async fn ranges_once(
        &self,
        topic: &str,
        partitions: &[i32],
    ) -> Result<BTreeMap<i32, (i64, i64)>, Error> {
        let at = |at| -> Vec<(TopicPartition, At)> {
            partitions.iter().map(|partition| ((topic.to_owned(), *partition), at)).collect()
        };
        let mut begins = self.offsets(&at(At::Earliest)).await?;
        let ends = self.offsets(&at(At::Latest)).await?;
        let range = |(name, end): (TopicPartition, i64)| {
            let begin = begins.remove(&name)?;
            Some((name.1, (begin, end.max(begin))))
        };
        Ok(ends.into_iter().filter_map(range).collect())
    }
}
