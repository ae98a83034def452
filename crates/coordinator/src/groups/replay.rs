//! Bringing a shard back from the records of its partition.

use super::classic::{ClassicGroup, Member, RestoredMember, State};
use super::consumer::ConsumerGroup;
use super::offsets::CommittedOffset;
use super::record::{self, GroupRecord, OffsetsKey, OffsetsValue};
use super::{Group, GroupShard};
use crate::effects::Effects;
use afluente_protocol::messages::consumer_offsets::group_metadata_value::GroupMetadataValue;
use afluente_protocol::messages::join_group_request::JoinGroupRequestProtocol;

impl GroupShard {
    /// Applies one record of the log, in the order of the log. `producer_id` is that of the batch
    /// if the batch belongs to a transaction; the end of that transaction is told by
    /// [`GroupShard::complete_transaction`].
    pub fn replay(&mut self, record: &GroupRecord, producer_id: Option<i64>, now_ms: i64) {
        match (&record.key, &record.value) {
            (OffsetsKey::OffsetCommit(key), value) => {
                let offset = match value {
                    Some(OffsetsValue::OffsetCommit(value)) => Some(CommittedOffset::from(value)),
                    _ => None,
                };
                let partition = (key.topic.clone(), key.partition);
                self.replay_offset(&key.group, producer_id, partition, offset);
            }
            (OffsetsKey::GroupMetadata(key), Some(OffsetsValue::GroupMetadata(value))) => {
                let group = restored_classic_group(&key.group, value);
                self.groups.insert(key.group.clone(), Group::Classic(group));
            }
            (OffsetsKey::GroupMetadata(key), _) => {
                if let Some(Group::Classic(_)) = self.groups.get(&key.group) {
                    self.forget(&key.group, now_ms);
                }
            }
            (OffsetsKey::ConsumerGroupMetadata(key), None) => {
                if let Some(Group::Consumer(_)) = self.groups.get(&key.group_id) {
                    self.forget(&key.group_id, now_ms);
                }
            }
            _ => {
                let Some(group_id) = record::consumer_group_id(record) else { return };
                if record.value.is_some()
                    && !matches!(self.groups.get(group_id), Some(Group::Consumer(_)))
                {
                    let group = Group::Consumer(ConsumerGroup::new(group_id));
                    self.groups.insert(group_id.to_owned(), group);
                }
                if let Some(Group::Consumer(group)) = self.groups.get_mut(group_id) {
                    group.apply(record);
                }
            }
        }
    }

    /// A group's tombstone: what may be left of it are offsets, of a group without members.
    fn forget(&mut self, group_id: &str, now_ms: i64) {
        self.groups.remove(group_id);
        if self.offsets.has_any(group_id) {
            let group = ClassicGroup::new(group_id, now_ms);
            self.groups.insert(group_id.to_owned(), Group::Classic(group));
        }
    }

    /// After the last replayed record: sessions of the members found start now, and classic groups
    /// larger than a limit that was lowered meanwhile are called to rejoin.
    pub fn loaded(
        &mut self,
        now_ms: i64,
        topics: &dyn crate::topics::Topics,
        effects: &mut Effects,
    ) {
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            if let Some((group, mut step)) = self.classic(&group_id, now_ms, effects) {
                let member_ids: Vec<String> = group.members.keys().cloned().collect();
                for member_id in &member_ids {
                    group.renew_session(&mut step, member_id);
                }
                let max = usize::try_from(step.settings.classic_max_size).unwrap_or(usize::MAX);
                if member_ids.len() > max {
                    group.prepare_rebalance(&mut step);
                }
            } else if let Some((group, mut step)) =
                self.consumer(&group_id, now_ms, topics, effects)
            {
                let member_ids: Vec<String> = group.members.keys().cloned().collect();
                for member_id in &member_ids {
                    group.resume_member(&mut step, member_id);
                }
            }
        }
    }
}

fn restored_classic_group(group_id: &str, value: &GroupMetadataValue) -> ClassicGroup {
    let mut group = ClassicGroup::new(group_id, value.current_state_timestamp);
    group.state = if value.members.is_empty() { State::Empty } else { State::Stable };
    group.state_since_ms = Some(value.current_state_timestamp).filter(|since_ms| *since_ms >= 0);
    group.generation = value.generation;
    group.protocol_type = Some(value.protocol_type.clone()).filter(|kind| !kind.is_empty());
    group.protocol_name.clone_from(&value.protocol);
    group.leader.clone_from(&value.leader);
    for member in &value.members {
        let restored = RestoredMember {
            instance_id: member.group_instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            // Written before there was such a timeout (KIP-62).
            rebalance_timeout_ms: match member.rebalance_timeout {
                -1 => member.session_timeout,
                timeout_ms => timeout_ms,
            },
            session_timeout_ms: member.session_timeout,
            protocols: vec![JoinGroupRequestProtocol {
                name: value.protocol.clone().unwrap_or_default(),
                metadata: member.subscription.clone(),
            }],
            assignment: member.assignment.clone(),
        };
        group.restore_member(member.member_id.clone(), Member::from(restored));
    }
    group.subscribed_topics = record::subscribed_topics(&group);
    group
}
