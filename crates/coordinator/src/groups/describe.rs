//! What administrators see of groups.

use super::classic::{CONSUMER_PROTOCOL_TYPE, ClassicGroup, State};
use super::consumer::Refusal;
use super::{Group, GroupShard};
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_describe_response::DescribedGroup as DescribedConsumerGroup;
use afluente_protocol::messages::describe_groups_response::{DescribedGroup, DescribedGroupMember};
use afluente_protocol::messages::list_groups_response::ListedGroup;

/// From this version of DescribeGroups on, a missing group is an error and not a dead group.
const GROUP_NOT_FOUND_SINCE: i16 = 6;

/// The state that Kafka shows for a group that does not exist.
const DEAD: &str = "Dead";

impl GroupShard {
    /// Describes one group of the classic protocol.
    #[must_use]
    pub fn describe(&self, group_id: &str, api_version: i16) -> DescribedGroup {
        let Some(Group::Classic(group)) = self.groups.get(group_id) else {
            let mut answer = DescribedGroup {
                group_id: group_id.to_owned(),
                group_state: DEAD.to_owned(),
                ..DescribedGroup::default()
            };
            if api_version >= GROUP_NOT_FOUND_SINCE {
                answer.error_code = ErrorCode::GroupIdNotFound.code();
                answer.error_message = Some(match self.groups.get(group_id) {
                    Some(_) => format!("Group {group_id} is not a classic group."),
                    None => format!("Group {group_id} not found."),
                });
            }
            return answer;
        };
        // Between generations what members said about themselves is in flux, and is not shown.
        let protocol = match group.state {
            State::Stable => group.protocol_name.clone(),
            _ => None,
        };
        DescribedGroup {
            group_id: group_id.to_owned(),
            group_state: group.state.name().to_owned(),
            protocol_type: group.protocol_type.clone().unwrap_or_default(),
            members: describe_members(group, protocol.as_deref()),
            protocol_data: protocol.unwrap_or_default(),
            ..DescribedGroup::default()
        }
    }

    /// Describes one group of the consumer protocol.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, with the words for the answer.
    pub fn describe_consumer_group(
        &self,
        group_id: &str,
        topics: &dyn Topics,
    ) -> Result<DescribedConsumerGroup, Refusal> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => Ok(group.describe(topics)),
            Some(Group::Classic(_)) => {
                let message = format!("Group {group_id} is not a consumer group.");
                Err((ErrorCode::GroupIdNotFound, message))
            }
            None => Err((ErrorCode::GroupIdNotFound, format!("Group {group_id} not found."))),
        }
    }

    /// Lists the groups whose state and type are among those asked for, ignoring case; an empty
    /// filter asks for all.
    #[must_use]
    pub fn list(&self, states: &[String], types: &[String]) -> Vec<ListedGroup> {
        let passes = |filter: &[String], value: &str| {
            filter.is_empty() || filter.iter().any(|f| f.eq_ignore_ascii_case(value))
        };
        self.groups
            .iter()
            .map(|(group_id, group)| {
                let (group_type, state, protocol_type) = match group {
                    Group::Classic(group) => {
                        ("classic", group.state.name(), group.protocol_type.clone())
                    }
                    Group::Consumer(group) => {
                        ("consumer", group.state_name(), Some(CONSUMER_PROTOCOL_TYPE.to_owned()))
                    }
                };
                ListedGroup {
                    group_id: group_id.clone(),
                    protocol_type: protocol_type.unwrap_or_default(),
                    group_state: state.to_owned(),
                    // As Kafka spells it: the tools show it as it comes.
                    group_type: group_type.to_owned(),
                }
            })
            .filter(|g| passes(states, &g.group_state) && passes(types, &g.group_type))
            .collect()
    }
}

fn describe_members(group: &ClassicGroup, protocol: Option<&str>) -> Vec<DescribedGroupMember> {
    group
        .members
        .iter()
        .map(|(member_id, member)| DescribedGroupMember {
            member_id: member_id.clone(),
            group_instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            member_metadata: protocol.map(|p| member.metadata(p)).unwrap_or_default(),
            member_assignment: member.assignment.clone(),
        })
        .collect()
}
