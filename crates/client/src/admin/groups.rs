//! Groups of consumers: list, describe, delete, and the offsets that they committed.

use super::{Admin, Results};
use crate::client::Target;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use crate::topic_partition::TopicPartition;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::message::Message;
use afluente_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use afluente_protocol::messages::consumer_group_describe_response as consumer_groups;
use afluente_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::describe_groups_response as classic_groups;
use afluente_protocol::messages::embedded::consumer_protocol_assignment::ConsumerProtocolAssignment;
use afluente_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
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
use afluente_protocol::messages::offset_fetch_response::OffsetFetchResponse;
use bytes::{Buf as _, Bytes};
use std::collections::BTreeMap;

/// A group as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupListing {
    /// Its name.
    pub group_id: String,
    /// `Classic`, `Consumer`, `Share`, `Streams`; empty from brokers older than 3.7.
    pub kind: String,
    /// `consumer`, `connect`, or empty.
    pub protocol_type: String,
    /// `Stable`, `Empty`, …; empty from brokers older than 2.6.
    pub state: String,
}

/// A group with its members.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GroupDescription {
    /// Its name.
    pub group_id: String,
    /// `Classic` or `Consumer`.
    pub kind: String,
    /// `Stable`, `Empty`, …
    pub state: String,
    /// `consumer`, `connect`, or empty.
    pub protocol_type: String,
    /// The assignor.
    pub assignor: String,
    /// The epoch of the group; `None` for a classic group.
    pub group_epoch: Option<i32>,
    /// The epoch of the assignment that members go towards; `None` for a classic group.
    pub assignment_epoch: Option<i32>,
    /// The broker that coordinates it.
    pub coordinator: Option<i32>,
    /// Those who are in it.
    pub members: Vec<MemberDescription>,
}

/// A member of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemberDescription {
    /// Its id.
    pub member_id: String,
    /// `group.instance.id`, if it has one.
    pub instance_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Where it is, such as `/127.0.0.1`.
    pub host: String,
    /// What it has.
    pub assignment: Vec<TopicPartition>,
    /// What it is to have; `None` for a member of a classic group.
    pub target_assignment: Option<Vec<TopicPartition>>,
    /// Its epoch; `None` for a member of a classic group.
    pub member_epoch: Option<i32>,
    /// Whether it speaks the consumer protocol (KIP-848); `None` if it is not known.
    pub is_upgraded: Option<bool>,
}

/// A committed offset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to be read.
    pub offset: i64,
    /// The epoch of the record before it; -1 if it is not known.
    pub leader_epoch: i32,
    /// The text that was stored with it.
    pub metadata: String,
}

/// The first version of `OffsetFetch` with several groups.
const OFFSET_FETCH_GROUPS: i16 = 8;
/// The last version of `OffsetFetch` and `OffsetCommit` with names of topics.
const OFFSETS_BY_NAME: i16 = 9;

impl Admin {
    /// Every group, from every broker. With `states` or `kinds`, those in one of them.
    ///
    /// # Errors
    /// When a broker does not answer.
    pub async fn list_groups(
        &self,
        states: &[String],
        kinds: &[String],
    ) -> Result<Vec<GroupListing>, Error> {
        let deadline = self.deadline();
        let metadata = self.client().refresh(&TopicsAsked::None, deadline).await?;
        let mut groups = BTreeMap::new();
        for &id in metadata.brokers.keys() {
            let request =
                ListGroupsRequest { states_filter: states.to_vec(), types_filter: kinds.to_vec() };
            let check = |response: &<ListGroupsRequest as afluente_protocol::message::Request>::Response| {
                Error::check(response.error_code, None, || "listing groups".to_owned())
            };
            let response = self.call(Target::Broker(id), request, deadline, check).await?;
            for group in response.groups {
                groups.insert(
                    group.group_id.clone(),
                    GroupListing {
                        group_id: group.group_id,
                        kind: capitalized(&group.group_type),
                        protocol_type: group.protocol_type,
                        state: group.group_state,
                    },
                );
            }
        }
        Ok(groups.into_values().collect())
    }

    /// Groups of consumers with their members, of either protocol. A group that does not exist is
    /// an error from newer brokers, and in state `Dead` from older ones.
    ///
    /// # Errors
    /// Never as a whole; each group has a result of its own.
    pub async fn describe_groups<S: Into<String>>(
        &self,
        groups: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, GroupDescription>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for group in groups {
            let group = group.into();
            let described = self.describe_group(&group, deadline).await;
            results.insert(group, described);
        }
        Ok(results)
    }

    async fn describe_group(
        &self,
        group: &str,
        deadline: Deadline,
    ) -> Result<GroupDescription, Error> {
        let described = match self.describe_consumer_group(group, deadline).await {
            // It is of the other protocol, or the broker knows the other one only.
            Err(Error::UnsupportedVersion { .. }) => {
                self.describe_classic_group(group, deadline).await
            }
            Err(error)
                if matches!(
                    error.error_code(),
                    Some(ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion)
                ) =>
            {
                self.describe_classic_group(group, deadline).await
            }
            other => other,
        };
        let coordinator = self
            .client()
            .coordinator(crate::CoordinatorKind::Group, group, deadline)
            .await
            .ok()
            .map(|node| node.id);
        Ok(GroupDescription { coordinator, ..described? })
    }

    async fn describe_consumer_group(
        &self,
        group: &str,
        deadline: Deadline,
    ) -> Result<GroupDescription, Error> {
        let request = ConsumerGroupDescribeRequest {
            group_ids: vec![group.to_owned()],
            include_authorized_operations: false,
        };
        let check = |response: &consumer_groups::ConsumerGroupDescribeResponse| {
            response.groups.iter().try_for_each(|found| {
                let about = || format!("group {:?}", found.group_id);
                Error::check(found.error_code, found.error_message.clone(), about)
            })
        };
        let response = self.call(Target::group(group), request, deadline, check).await?;
        let found = response.groups.into_iter().next().ok_or_else(|| not_found(group))?;
        let members = found.members.into_iter().map(|member| MemberDescription {
            member_id: member.member_id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
            assignment: partitions(member.assignment),
            target_assignment: Some(partitions(member.target_assignment)),
            member_epoch: Some(member.member_epoch),
            is_upgraded: match member.member_type {
                0 => Some(false),
                1 => Some(true),
                _ => None,
            },
        });
        Ok(GroupDescription {
            group_id: found.group_id,
            kind: "Consumer".to_owned(),
            state: found.group_state,
            protocol_type: "consumer".to_owned(),
            assignor: found.assignor_name,
            group_epoch: Some(found.group_epoch),
            assignment_epoch: Some(found.assignment_epoch),
            coordinator: None,
            members: members.collect(),
        })
    }

    async fn describe_classic_group(
        &self,
        group: &str,
        deadline: Deadline,
    ) -> Result<GroupDescription, Error> {
        let request = DescribeGroupsRequest {
            groups: vec![group.to_owned()],
            include_authorized_operations: false,
        };
        let check = |response: &classic_groups::DescribeGroupsResponse| {
            response.groups.iter().try_for_each(|found| {
                let about = || format!("group {:?}", found.group_id);
                Error::check(found.error_code, found.error_message.clone(), about)
            })
        };
        let response = self.call(Target::group(group), request, deadline, check).await?;
        let found = response.groups.into_iter().next().ok_or_else(|| not_found(group))?;
        let is_consumer = matches!(found.protocol_type.as_str(), "consumer" | "");
        let members = found.members.into_iter().map(|member| MemberDescription {
            member_id: member.member_id,
            instance_id: member.group_instance_id,
            client_id: member.client_id,
            host: member.client_host,
            assignment: if is_consumer {
                classic_assignment(member.member_assignment)
            } else {
                Vec::new()
            },
            ..MemberDescription::default()
        });
        Ok(GroupDescription {
            group_id: found.group_id,
            kind: "Classic".to_owned(),
            state: found.group_state,
            protocol_type: found.protocol_type,
            assignor: found.protocol_data,
            members: members.collect(),
            ..GroupDescription::default()
        })
    }

    /// Deletes groups without members, with their offsets.
    ///
    /// # Errors
    /// Never as a whole; each group has a result of its own.
    pub async fn delete_groups<S: Into<String>>(
        &self,
        groups: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, ()>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for group in groups {
            let group = group.into();
            let request = DeleteGroupsRequest { groups_names: vec![group.clone()] };
            let check = |response: &<DeleteGroupsRequest as afluente_protocol::message::Request>::Response| {
                response.results.iter().try_for_each(|one| {
                    let about = || format!("deleting group {:?}", one.group_id);
                    Error::check(one.error_code, one.error_message.clone(), about)
                })
            };
            let done = self.call(Target::group(&group), request, deadline, check).await;
            results.insert(group, done.map(|_| ()));
        }
        Ok(results)
    }

    /// What a group has committed, for all partitions.
    ///
    /// # Errors
    /// When the coordinator does not answer, or knows no such group.
    pub async fn committed_offsets(
        &self,
        group: &str,
    ) -> Result<BTreeMap<TopicPartition, CommittedOffset>, Error> {
        let deadline = self.deadline();
        let target = Target::group(group);
        let mut retry = self.client().retry(deadline);
        let response = loop {
            match self.fetch_offsets(&target, group, deadline).await {
                Ok(response) => break response,
                Err(error) => {
                    self.client().noticed(&target, &error);
                    retry.after(error).await?;
                }
            }
        };
        let mut offsets = BTreeMap::new();
        let of_group =
            response.groups.into_iter().flat_map(|group| group.topics).flat_map(|topic| {
                topic.partitions.into_iter().map(move |partition| {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let offset = partition.committed_offset;
                    (key, offset, partition.committed_leader_epoch, partition.metadata)
                })
            });
        let single = response.topics.into_iter().flat_map(|topic| {
            topic.partitions.into_iter().map(move |partition| {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let offset = partition.committed_offset;
                (key, offset, partition.committed_leader_epoch, partition.metadata)
            })
        });
        for (key, offset, leader_epoch, metadata) in of_group.chain(single) {
            if offset >= 0 {
                let metadata = metadata.unwrap_or_default();
                offsets.insert(key, CommittedOffset { offset, leader_epoch, metadata });
            }
        }
        Ok(offsets)
    }

    async fn fetch_offsets(
        &self,
        target: &Target,
        group: &str,
        deadline: Deadline,
    ) -> Result<OffsetFetchResponse, Error> {
        let connection = self.client().connection(target, deadline).await?;
        let version = connection.version_up_to(ApiKey::OffsetFetch, OFFSETS_BY_NAME)?;
        let mut request = OffsetFetchRequest { require_stable: version >= 7, ..Default::default() };
        if version >= OFFSET_FETCH_GROUPS {
            request.groups.push(OffsetFetchRequestGroup {
                group_id: group.to_owned(),
                topics: None,
                ..Default::default()
            });
            request.topics = Some(Vec::new());
        } else {
            group.clone_into(&mut request.group_id);
            request.topics = None;
        }
        let timeout = self.client().attempt_timeout(deadline);
        let response = connection.submit(&request, version, timeout).await?.await?;
        let about = || format!("the offsets of group {group:?}");
        Error::check(response.error_code, None, about)?;
        for found in &response.groups {
            Error::check(found.error_code, None, about)?;
        }
        let of_groups = response.groups.iter().flat_map(|group| &group.topics);
        for partition in of_groups.flat_map(|topic| &topic.partitions) {
            Error::check(partition.error_code, None, about)?;
        }
        Ok(response)
    }

    /// Gives a group without members other offsets.
    ///
    /// # Errors
    /// When the coordinator does not answer; each partition has a result of its own.
    pub async fn alter_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, CommittedOffset>,
    ) -> Result<Results<TopicPartition, ()>, Error> {
        let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
        for (key, offset) in offsets {
            topics.entry(&key.topic).or_default().push(OffsetCommitRequestPartition {
                partition_index: key.partition,
                committed_offset: offset.offset,
                committed_leader_epoch: offset.leader_epoch,
                committed_metadata: Some(offset.metadata.clone()),
            });
        }
        let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
            name: name.to_owned(),
            partitions,
            ..Default::default()
        });
        let request = OffsetCommitRequest {
            group_id: group.to_owned(),
            topics: topics.collect(),
            ..Default::default()
        };
        let deadline = self.deadline();
        let target = Target::group(group);
        let mut retry = self.client().retry(deadline);
        loop {
            let sent = self
                .client()
                .send_up_to(target.clone(), request.clone(), OFFSETS_BY_NAME, deadline)
                .await?;
            let mut results = Results::new();
            for topic in sent.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let about = || format!("the offset of group {group:?} in {key}");
                    let checked = Error::check(partition.error_code, None, about);
                    results.insert(key, checked);
                }
            }
            let moved = results.values().find_map(|result| {
                // A coordinator that is new to a group reads what is known of it first.
                let passes = |error: &&Error| {
                    error.is_stale_coordinator()
                        || error.error_code() == Some(ErrorCode::CoordinatorLoadInProgress)
                };
                result.as_ref().err().filter(passes).cloned()
            });
            let Some(error) = moved else { return Ok(results) };
            self.client().noticed(&target, &error);
            retry.after(error).await?;
        }
    }

    /// Takes away what a group has committed for partitions that none of its members subscribes to.
    ///
    /// # Errors
    /// When the coordinator does not answer; each partition has a result of its own.
    pub async fn delete_offsets(
        &self,
        group: &str,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<Results<TopicPartition, ()>, Error> {
        let mut topics: BTreeMap<String, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
        for one in partitions {
            let partition = OffsetDeleteRequestPartition { partition_index: one.partition };
            topics.entry(one.topic.to_string()).or_default().push(partition);
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| OffsetDeleteRequestTopic { name, partitions });
        let request = OffsetDeleteRequest { group_id: group.to_owned(), topics: topics.collect() };
        let check =
            |response: &<OffsetDeleteRequest as afluente_protocol::message::Request>::Response| {
                Error::check(response.error_code, None, || format!("offsets of group {group:?}"))
            };
        let response = self.call(Target::group(group), request, self.deadline(), check).await?;
        let mut results = Results::new();
        for topic in response.topics {
            for partition in topic.partitions {
                let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                let about = || format!("the offset of group {group:?} in {key}");
                results.insert(key.clone(), Error::check(partition.error_code, None, about));
            }
        }
        Ok(results)
    }

    /// Takes members out of a classic group; those with a `group.instance.id` by that.
    ///
    /// # Errors
    /// When the coordinator does not answer, or refuses as a whole; each member has a result.
    pub async fn remove_members(
        &self,
        group: &str,
        members: &[MemberDescription],
    ) -> Result<Results<String, ()>, Error> {
        let request = LeaveGroupRequest {
            group_id: group.to_owned(),
            members: members
                .iter()
                .map(|member| MemberIdentity {
                    member_id: match member.instance_id {
                        Some(_) => String::new(),
                        None => member.member_id.clone(),
                    },
                    group_instance_id: member.instance_id.clone(),
                    reason: Some("an admin took it out".to_owned()),
                })
                .collect(),
            ..Default::default()
        };
        let check =
            |response: &<LeaveGroupRequest as afluente_protocol::message::Request>::Response| {
                Error::check(response.error_code, None, || format!("members of group {group:?}"))
            };
        let response = self.call(Target::group(group), request, self.deadline(), check).await?;
        let results = response.members.into_iter().zip(members).map(|(done, member)| {
            let about = || format!("member {:?} of group {group:?}", member.member_id);
            (member.member_id.clone(), Error::check(done.error_code, None, about))
        });
        Ok(results.collect())
    }
}

/// `Classic` for `classic`, as Kafka's own client shows what brokers say.
fn capitalized(name: &str) -> String {
    let mut chars = name.chars();
    chars
        .next()
        .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

fn not_found(group: &str) -> Error {
    Error::Broker {
        about: format!("group {group:?}"),
        code: ErrorCode::GroupIdNotFound,
        message: None,
    }
}

fn partitions(assignment: consumer_groups::Assignment) -> Vec<TopicPartition> {
    let all = assignment.topic_partitions.into_iter().flat_map(|topic| {
        let name: std::sync::Arc<str> = topic.topic_name.into();
        topic
            .partitions
            .into_iter()
            .map(move |partition| TopicPartition { topic: std::sync::Arc::clone(&name), partition })
    });
    all.collect()
}

/// What a member of a classic group was given; nothing if it cannot be read, as when the group is
/// not of consumers.
fn classic_assignment(mut bytes: Bytes) -> Vec<TopicPartition> {
    if bytes.len() < size_of::<i16>() {
        return Vec::new();
    }
    // Newer versions have fields behind those that are known, which are passed over.
    let newest = *ConsumerProtocolAssignment::VERSIONS.end();
    let version = bytes.get_i16().clamp(0, newest);
    let assignment = ConsumerProtocolAssignment::from_bytes(bytes, version).unwrap_or_default();
    let all = assignment.assigned_partitions.into_iter().flat_map(|topic| {
        let name: std::sync::Arc<str> = topic.topic.into();
        topic
            .partitions
            .into_iter()
            .map(move |partition| TopicPartition { topic: std::sync::Arc::clone(&name), partition })
    });
    all.collect()
}
