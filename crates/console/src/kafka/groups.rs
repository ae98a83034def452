//! Consumer groups: who is in them, and how far they are.

use super::{Kafka, TopicPartition};
use afluente_client::retry::Retry;
use afluente_client::{Error, Target};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use afluente_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use afluente_protocol::messages::offset_delete_request::{
    OffsetDeleteRequest, OffsetDeleteRequestPartition, OffsetDeleteRequestTopic,
};
use afluente_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup,
};
use std::collections::BTreeMap;

/// The newest versions that name topics by name.
const OFFSET_FETCH_BY_NAME: i16 = 9;
const OFFSET_COMMIT_BY_NAME: i16 = 9;
/// The first one that takes several groups.
const OFFSET_FETCH_MANY: i16 = 8;

/// A group in a list.
#[derive(Debug, Clone)]
pub(crate) struct GroupListing {
    pub(crate) name: String,
    pub(crate) state: String,
    /// `classic`, `consumer`, `share`, `streams`.
    pub(crate) kind: String,
    pub(crate) coordinator: i32,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct DescribedGroup {
    pub(crate) state: String,
    pub(crate) assignor: Option<String>,
    pub(crate) members: Vec<GroupMember>,
}

#[derive(Debug, Clone)]
pub(crate) struct GroupMember {
    pub(crate) member_id: String,
    pub(crate) instance_id: Option<String>,
    pub(crate) client_id: String,
    pub(crate) host: String,
    pub(crate) assignment: BTreeMap<String, Vec<i32>>,
}

/// By group, partition and offset.
pub(crate) type Committed = BTreeMap<String, BTreeMap<TopicPartition, i64>>;

impl Kafka {
    /// The groups of all brokers.
    pub(crate) async fn groups(&self) -> Result<Vec<GroupListing>, Error> {
        let mut listings = Vec::new();
        for broker in self.client.metadata().brokers.keys().copied() {
            let request = ListGroupsRequest::default();
            let answer = self.client.send(Target::Broker(broker), request, self.deadline()).await?;
            Error::check(answer.error_code, None, || format!("the groups of broker {broker}"))?;
            listings.extend(answer.groups.into_iter().map(|group| GroupListing {
                name: group.group_id,
                state: if group.group_state.is_empty() {
                    "Unknown".to_owned()
                } else {
                    group.group_state
                },
                kind: if group.group_type.is_empty() {
                    "classic".to_owned()
                } else {
                    group.group_type.to_ascii_lowercase()
                },
                coordinator: broker,
            }));
        }
        Ok(listings)
    }

    /// What groups of one coordinator have committed.
    pub(crate) async fn committed_of_many(
        &self,
        coordinator: i32,
        groups: &[String],
    ) -> Result<Committed, Error> {
        let group = |name: &String| OffsetFetchRequestGroup {
            group_id: name.clone(),
            member_id: None,
            member_epoch: -1,
            topics: None,
        };
        let request = OffsetFetchRequest {
            groups: groups.iter().map(group).collect(),
            ..OffsetFetchRequest::default()
        };
        let target = Target::Broker(coordinator);
        let answer =
            self.client.send_up_to(target, request, OFFSET_FETCH_BY_NAME, self.deadline()).await?;
        let mut committed = Committed::new();
        for group in answer.groups.into_iter().filter(|group| group.error_code == 0) {
            let offsets = committed.entry(group.group_id).or_default();
            for topic in group.topics {
                for partition in topic.partitions {
                    if partition.error_code == 0 && partition.committed_offset >= 0 {
                        let name = (topic.name.clone(), partition.partition_index);
                        offsets.insert(name, partition.committed_offset);
                    }
                }
            }
        }
        Ok(committed)
    }

    /// Waits before a call to a coordinator is tried again: the first group of a cluster has none
    /// until the topic for it is made, and one that moves loads for a while.
    async fn again(&self, group: &str, retry: &mut Retry, error: Error) -> Result<(), Error> {
        self.client.noticed(&Target::group(group), &error);
        retry.after(error).await
    }

    /// What one group has committed.
    pub(crate) async fn committed(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            match self.committed_once(group).await {
                Ok(done) => return Ok(done),
                Err(error) => self.again(group, &mut retry, error).await?,
            }
        }
    }

    async fn committed_once(&self, group: &str) -> Result<BTreeMap<TopicPartition, i64>, Error> {
        let connection = self.client.connection(&Target::group(group), self.deadline()).await?;
        let is_old = connection
            .version_up_to(afluente_protocol::api_key::ApiKey::OffsetFetch, OFFSET_FETCH_BY_NAME)?
            < OFFSET_FETCH_MANY;
        let request = if is_old {
            OffsetFetchRequest {
                group_id: group.to_owned(),
                topics: None,
                ..OffsetFetchRequest::default()
            }
        } else {
            let one = OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                member_id: None,
                member_epoch: -1,
                topics: None,
            };
            OffsetFetchRequest { groups: vec![one], ..OffsetFetchRequest::default() }
        };
        let answer = self
            .client
            .send_up_to(Target::group(group), request, OFFSET_FETCH_BY_NAME, self.deadline())
            .await?;
        let about = || format!("the offsets of group {group:?}");
        Error::check(answer.error_code, None, about)?;
        let mut offsets = BTreeMap::new();
        let mut note = |topic: &str, partition: i32, offset: i64| {
            if offset >= 0 {
                offsets.insert((topic.to_owned(), partition), offset);
            }
        };
        for topic in &answer.topics {
            for partition in &topic.partitions {
                note(&topic.name, partition.partition_index, partition.committed_offset);
            }
        }
        for group in &answer.groups {
            Error::check(group.error_code, None, about)?;
            for topic in &group.topics {
                for partition in &topic.partitions {
                    note(&topic.name, partition.partition_index, partition.committed_offset);
                }
            }
        }
        Ok(offsets)
    }

    /// Groups of one coordinator and of one kind, those that can be described.
    pub(crate) async fn describe_groups(
        &self,
        coordinator: i32,
        kind: &str,
        groups: &[String],
    ) -> Result<BTreeMap<String, DescribedGroup>, Error> {
        if kind == "consumer" {
            return self.describe_consumer_groups(coordinator, groups).await;
        }
        let request =
            DescribeGroupsRequest { groups: groups.to_vec(), include_authorized_operations: false };
        let target = Target::Broker(coordinator);
        let answer = self.client.send(target, request, self.deadline()).await?;
        let described =
            answer.groups.into_iter().filter(|group| group.error_code == 0).map(|group| {
                let members = group.members.iter().map(|member| GroupMember {
                    member_id: member.member_id.clone(),
                    instance_id: member.group_instance_id.clone(),
                    client_id: member.client_id.clone(),
                    host: member.client_host.trim_start_matches('/').to_owned(),
                    assignment: read_assignment(&member.member_assignment).unwrap_or_default(),
                });
                let described = DescribedGroup {
                    members: members.collect(),
                    state: group.group_state,
                    assignor: Some(group.protocol_data).filter(|name| !name.is_empty()),
                };
                (group.group_id, described)
            });
        Ok(described.collect())
    }

    async fn describe_consumer_groups(
        &self,
        coordinator: i32,
        groups: &[String],
    ) -> Result<BTreeMap<String, DescribedGroup>, Error> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: groups.to_vec(),
            include_authorized_operations: false,
        };
        let target = Target::Broker(coordinator);
        let answer = self.client.send(target, request, self.deadline()).await?;
        let described =
            answer.groups.into_iter().filter(|group| group.error_code == 0).map(|group| {
                let members = group.members.into_iter().map(|member| {
                    let mut assignment: BTreeMap<String, Vec<i32>> = BTreeMap::new();
                    for topic in member.assignment.topic_partitions {
                        assignment.entry(topic.topic_name).or_default().extend(topic.partitions);
                    }
                    GroupMember {
                        member_id: member.member_id,
                        instance_id: member.instance_id,
                        client_id: member.client_id,
                        host: member.client_host.trim_start_matches('/').to_owned(),
                        assignment,
                    }
                });
                let described = DescribedGroup {
                    members: members.collect(),
                    state: group.group_state,
                    assignor: Some(group.assignor_name).filter(|name| !name.is_empty()),
                };
                (group.group_id, described)
            });
        Ok(described.collect())
    }

    /// Commits on behalf of a group that has no members.
    pub(crate) async fn commit(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            match self.commit_once(group, offsets).await {
                Ok(done) => return Ok(done),
                Err(error) => self.again(group, &mut retry, error).await?,
            }
        }
    }

    async fn commit_once(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
    ) -> Result<(), Error> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for ((topic, partition), offset) in offsets {
            topics.entry(topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: *partition,
                committed_offset: *offset,
                committed_leader_epoch: -1,
                committed_metadata: Some(String::new()),
            });
        }
        let topic = |(name, partitions): (&str, Vec<OffsetCommitRequestPartition>)| {
            OffsetCommitRequestTopic {
                name: name.to_owned(),
                partitions,
                ..OffsetCommitRequestTopic::default()
            }
        };
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            generation_id_or_member_epoch: -1,
            member_id: String::new(),
            group_instance_id: None,
            retention_time_ms: -1,
            topics: topics.into_iter().map(topic).collect(),
        };
        let answer = self
            .client
            .send_up_to(Target::group(group), request, OFFSET_COMMIT_BY_NAME, self.deadline())
            .await?;
        for topic in answer.topics {
            for partition in topic.partitions {
                let about = || {
                    format!(
                        "the offset of group {group:?} for {}-{}",
                        topic.name, partition.partition_index
                    )
                };
                // A group with members says that we are none of them.
                let code = match ErrorCode::from_i16(partition.error_code) {
                    Some(
                        ErrorCode::UnknownMemberId
                        | ErrorCode::IllegalGeneration
                        | ErrorCode::StaleMemberEpoch,
                    ) => ErrorCode::NonEmptyGroup as i16,
                    _ => partition.error_code,
                };
                Error::check(code, None, about)?;
            }
        }
        Ok(())
    }

    /// Forgets what a group has committed for these partitions.
    pub(crate) async fn delete_offsets(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<(), Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            match self.delete_offsets_once(group, topic, partitions).await {
                Ok(done) => return Ok(done),
                Err(error) => self.again(group, &mut retry, error).await?,
            }
        }
    }

    async fn delete_offsets_once(
        &self,
        group: &str,
        topic: &str,
        partitions: &[i32],
    ) -> Result<(), Error> {
        let partition = |index: &i32| OffsetDeleteRequestPartition { partition_index: *index };
        let request = OffsetDeleteRequest {
            group_id: group.to_owned(),
            topics: vec![OffsetDeleteRequestTopic {
                name: topic.to_owned(),
                partitions: partitions.iter().map(partition).collect(),
            }],
        };
        let answer = self.client.send(Target::group(group), request, self.deadline()).await?;
        let about = || format!("the offsets of group {group:?} for topic {topic:?}");
        Error::check(answer.error_code, None, about)?;
        for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
            Error::check(partition.error_code, None, about)?;
        }
        Ok(())
    }

    pub(crate) async fn delete_group(&self, group: &str) -> Result<(), Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            match self.delete_group_once(group).await {
                Ok(done) => return Ok(done),
                Err(error) => self.again(group, &mut retry, error).await?,
            }
        }
    }

    async fn delete_group_once(&self, group: &str) -> Result<(), Error> {
        let request = DeleteGroupsRequest { groups_names: vec![group.to_owned()] };
        let answer = self.client.send(Target::group(group), request, self.deadline()).await?;
        for result in answer.results {
            Error::check(result.error_code, result.error_message, || format!("group {group:?}"))?;
        }
        Ok(())
    }
}

/// The assignment of a classic member, as `ConsumerProtocolAssignment` lays it out: version,
/// then topics with their partitions. What is not so is of another protocol, and gives nothing.
fn read_assignment(bytes: &[u8]) -> Option<BTreeMap<String, Vec<i32>>> {
    let mut rest = bytes.get(2..)?;
    let mut take = |count: usize| {
        let (taken, tail) = rest.split_at_checked(count)?;
        rest = tail;
        Some(taken)
    };
    let mut assignment = BTreeMap::new();
    let topics = i32::from_be_bytes(take(4)?.try_into().ok()?);
    for _ in 0..topics {
        let length = i16::from_be_bytes(take(2)?.try_into().ok()?);
        let name = std::str::from_utf8(take(usize::try_from(length).ok()?)?).ok()?.to_owned();
        let count = i32::from_be_bytes(take(4)?.try_into().ok()?);
        let mut partitions = Vec::new();
        for _ in 0..count {
            partitions.push(i32::from_be_bytes(take(4)?.try_into().ok()?));
        }
        assignment.insert(name, partitions);
    }
    Some(assignment)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classic_assignment_is_read_and_a_cut_one_gives_nothing() {
        let bytes = [
            0, 1, 0, 0, 0, 1, 0, 2, b'a', b'b', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0xff, 0xff,
            0xff, 0xff,
        ];
        let expected = BTreeMap::from([("ab".to_owned(), vec![3, 4])]);
        assert_eq!(read_assignment(&bytes), Some(expected));
        for cut in 0..22 {
            assert_eq!(read_assignment(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(read_assignment(&[0, 0, 0x7f, 0xff, 0xff, 0xff]), None);
    }
}
