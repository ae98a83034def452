//! Committed offsets: commit, fetch, delete, expire; and those of open transactions.
//!
//! An offset committed inside a transaction is pending until the transaction's marker arrives in
//! the same partition; it then counts unless a later plain commit has overtaken it (KIP-98).

use super::classic::{ClassicGroup, State};
use super::record::{self, GroupRecord};
use super::{Group, GroupShard, RequestOrigin};
use crate::effects::Effects;
use crate::topics::Topics;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition,
};
use afluente_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition,
};
use std::collections::{BTreeMap, BTreeSet};

/// The version of OffsetCommit from which a missing group is called by that name.
const GROUP_NOT_FOUND_SINCE: i16 = 9;

/// A committed offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedOffset {
    /// The next offset to read.
    pub offset: i64,
    /// Of the last record read before it, or −1.
    pub leader_epoch: i32,
    /// The client's own note.
    pub metadata: String,
    /// When it was committed, in milliseconds since the Unix epoch.
    pub commit_timestamp_ms: i64,
    /// When it expires, if the client (an old one) has chosen that.
    pub expire_timestamp_ms: Option<i64>,
    /// Counts up with each commit that the shard takes in: of two, the later one counts.
    pub(super) order: u64,
}

/// Topic and partition of a committed offset.
pub type OffsetKey = (String, i32);

type GroupOffsets = BTreeMap<OffsetKey, CommittedOffset>;

/// All offsets of a shard.
#[derive(Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<String, GroupOffsets>,
    /// Producer id → group → offsets of its open transaction.
    pending: BTreeMap<i64, BTreeMap<String, GroupOffsets>>,
    last_order: u64,
}

/// One offset of an OffsetFetch answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchedOffset {
    /// It has been committed.
    Committed(CommittedOffset),
    /// It has not.
    None,
    /// A transaction that may change it is open, and the client wants to wait for that.
    Unstable,
}

impl GroupShard {
    /// Checks an OffsetCommit as a whole, and commits each partition.
    ///
    /// Answers for each topic and partition of the request, in its order.
    ///
    /// # Errors
    /// The code that every partition of the answer gets.
    pub fn offset_commit(
        &mut self,
        origin: &RequestOrigin,
        request: &OffsetCommitRequest,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<Vec<Vec<ErrorCode>>, ErrorCode> {
        let generation = request.generation_id_or_member_epoch;
        if !self.groups.contains_key(&request.group_id) && generation >= 0 {
            return Err(if origin.api_version >= GROUP_NOT_FOUND_SINCE {
                ErrorCode::GroupIdNotFound
            } else {
                ErrorCode::IllegalGeneration
            });
        }
        let instance_id = request.group_instance_id.as_deref();
        let partitions = request.topics.iter().flat_map(|topic| {
            let id = topics.topic(&topic.name).map(|shape| shape.id);
            topic.partitions.iter().map(move |partition| (id, partition.partition_index))
        });
        match self.group_or_simple(&request.group_id, origin.now_ms) {
            Group::Consumer(group) => {
                let is_member = group.members.contains_key(&request.member_id)
                    && !group.is_classic_member(&request.member_id);
                if is_member && origin.api_version < GROUP_NOT_FOUND_SINCE {
                    // Before, the field was a generation: the client does not know what it says.
                    return Err(ErrorCode::UnsupportedVersion);
                }
                group.validate_offset_commit(&request.member_id, generation, false, partitions)?;
            }
            Group::Classic(group) => {
                group.validate_offset_commit(&request.member_id, instance_id, generation, false)?;
            }
        }
        if let Some((group, mut step)) = self.classic(&request.group_id, origin.now_ms, effects)
            && matches!(group.state, State::Stable | State::PreparingRebalance)
        {
            // With the classic protocol a commit is a sign of life.
            group.renew_session(&mut step, &request.member_id);
        }

        let expire_timestamp_ms =
            (request.retention_time_ms >= 0).then(|| origin.now_ms + request.retention_time_ms);
        let answers = request.topics.iter().map(|topic| {
            let commit = |partition: &OffsetCommitRequestPartition| {
                let offset = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.clone().unwrap_or_default(),
                    commit_timestamp_ms: origin.now_ms,
                    expire_timestamp_ms,
                    order: 0,
                };
                let key = (topic.name.clone(), partition.partition_index);
                self.commit_one(&request.group_id, None, key, offset, effects)
            };
            topic.partitions.iter().map(commit).collect()
        });
        Ok(answers.collect())
    }

    /// Commits offsets inside a transaction: they count when it commits.
    ///
    /// The caller has checked the producer and appends the records as a transactional batch of it.
    ///
    /// # Errors
    /// The code that every partition of the answer gets.
    pub fn txn_offset_commit(
        &mut self,
        origin: &RequestOrigin,
        request: &TxnOffsetCommitRequest,
        topics: &dyn Topics,
        effects: &mut Effects,
    ) -> Result<Vec<Vec<ErrorCode>>, ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let generation = request.generation_id_or_member_epoch;
        if !self.groups.contains_key(&request.group_id) && generation >= 0 {
            return Err(ErrorCode::IllegalGeneration);
        }
        let instance_id = request.group_instance_id.as_deref();
        let partitions = request.topics.iter().flat_map(|topic| {
            let id = topics.topic(&topic.name).map(|shape| shape.id);
            topic.partitions.iter().map(move |partition| (id, partition.partition_index))
        });
        match self.group_or_simple(&request.group_id, origin.now_ms) {
            Group::Consumer(group) => {
                group.validate_offset_commit(&request.member_id, generation, true, partitions)?;
            }
            Group::Classic(group) => {
                group.validate_offset_commit(&request.member_id, instance_id, generation, true)?;
            }
        }

        let producer_id = Some(request.producer_id);
        let answers = request.topics.iter().map(|topic| {
            let commit = |partition: &TxnOffsetCommitRequestPartition| {
                let offset = CommittedOffset {
                    offset: partition.committed_offset,
                    leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.committed_metadata.clone().unwrap_or_default(),
                    commit_timestamp_ms: origin.now_ms,
                    expire_timestamp_ms: None,
                    order: 0,
                };
                let key = (topic.name.clone(), partition.partition_index);
                self.commit_one(&request.group_id, producer_id, key, offset, effects)
            };
            topic.partitions.iter().map(commit).collect()
        });
        Ok(answers.collect())
    }

    fn commit_one(
        &mut self,
        group_id: &str,
        producer_id: Option<i64>,
        key: OffsetKey,
        offset: CommittedOffset,
        effects: &mut Effects,
    ) -> ErrorCode {
        let max = usize::try_from(self.settings.offset_metadata_max_bytes).unwrap_or(0);
        if offset.metadata.encode_utf16().count() > max {
            return ErrorCode::OffsetMetadataTooLarge;
        }
        effects.records.push(record::offset_commit(group_id, &key, &offset));
        self.offsets.put(group_id, producer_id, key, offset);
        ErrorCode::None
    }

    /// The group, or a new one that exists only because offsets are kept under its name.
    fn group_or_simple(&mut self, group_id: &str, now_ms: i64) -> &Group {
        self.groups
            .entry(group_id.to_owned())
            .or_insert_with(|| Group::Classic(ClassicGroup::new(group_id, now_ms)))
    }

    /// Checks who may fetch offsets of this group: a member that says so must be one (KIP-848).
    ///
    /// # Errors
    /// `UNKNOWN_MEMBER_ID` or `STALE_MEMBER_EPOCH`.
    pub fn validate_offset_fetch(
        &self,
        group_id: &str,
        member_id: Option<&str>,
        member_epoch: i32,
    ) -> Result<(), ErrorCode> {
        match self.groups.get(group_id) {
            Some(Group::Consumer(group)) => group.validate_offset_fetch(member_id, member_epoch),
            Some(Group::Classic(_)) | None => Ok(()),
        }
    }

    /// The committed offset of a partition.
    #[must_use]
    pub fn offset_fetch(
        &self,
        group_id: &str,
        key: &OffsetKey,
        require_stable: bool,
    ) -> FetchedOffset {
        if require_stable && self.offsets.is_pending(group_id, key) {
            return FetchedOffset::Unstable;
        }
        match self.offsets.committed.get(group_id).and_then(|offsets| offsets.get(key)) {
            Some(offset) => FetchedOffset::Committed(offset.clone()),
            None => FetchedOffset::None,
        }
    }

    /// Topics and partitions for which a group has committed offsets, in order.
    #[must_use]
    pub fn offset_keys(&self, group_id: &str) -> Vec<OffsetKey> {
        self.offsets
            .committed
            .get(group_id)
            .map(|o| o.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Whether offsets of a topic may be deleted.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`; `NON_EMPTY_GROUP` if it has members that are not consumers;
    /// `GROUP_SUBSCRIBED_TO_TOPIC` (for the topic) while a member reads it.
    pub fn validate_offset_delete(&self, group_id: &str, topic: &str) -> Result<(), ErrorCode> {
        let group = self.groups.get(group_id).ok_or(ErrorCode::GroupIdNotFound)?;
        if let Group::Classic(group) = group
            && group.state != State::Empty
            && !group.is_consumer_group()
        {
            return Err(ErrorCode::NonEmptyGroup);
        }
        if group.is_subscribed_to(topic) {
            return Err(ErrorCode::GroupSubscribedToTopic);
        }
        Ok(())
    }

    /// Deletes a committed offset, if there is one. Ask [`GroupShard::validate_offset_delete`] first.
    pub fn offset_delete(&mut self, group_id: &str, key: &OffsetKey, effects: &mut Effects) {
        if self.offsets.remove(group_id, key) {
            effects.records.push(record::offset_tombstone(group_id, key));
        }
    }

    /// Deletes the offsets of partitions that no longer exist.
    pub fn partitions_deleted(&mut self, deleted: &BTreeSet<OffsetKey>, effects: &mut Effects) {
        let held: Vec<(String, OffsetKey)> = self
            .offsets
            .all_keys()
            .filter(|(_, key)| deleted.contains(*key))
            .map(|(group_id, key)| (group_id.clone(), key.clone()))
            .collect();
        for (group_id, key) in held {
            self.offset_delete(&group_id, &key, effects);
        }
    }

    /// Deletes offsets that nobody has wanted for `offsets.retention.minutes`, and groups that are
    /// empty of members and offsets (KIP-211).
    pub fn expire_offsets(&mut self, now_ms: i64, effects: &mut Effects) {
        let group_ids: Vec<String> = self.groups.keys().cloned().collect();
        for group_id in group_ids {
            let expired = self.expired_offsets(&group_id, now_ms);
            for key in expired {
                self.offset_delete(&group_id, &key, effects);
            }
            if let Some(group) = self.groups.get(&group_id)
                && group.is_empty()
                && !self.offsets.has_any(&group_id)
            {
                effects.records.extend(group.tombstones());
                self.groups.remove(&group_id);
            }
        }
    }

    fn expired_offsets(&self, group_id: &str, now_ms: i64) -> Vec<OffsetKey> {
        let (Some(group), Some(offsets)) =
            (self.groups.get(group_id), self.offsets.committed.get(group_id))
        else {
            return Vec::new();
        };
        let is_expired = |offset: &CommittedOffset| match (
            ages_since(group, offset),
            offset.expire_timestamp_ms,
        ) {
            (None, _) => false,
            (Some(_), Some(expire_timestamp_ms)) => now_ms >= expire_timestamp_ms,
            (Some(since_ms), None) => now_ms - since_ms >= self.settings.offsets_retention_ms,
        };
        offsets
            .iter()
            .filter(|((topic, _), offset)| !group.is_subscribed_to(topic) && is_expired(offset))
            .map(|(key, _)| key.clone())
            .filter(|key| !self.offsets.is_pending(group_id, key))
            .collect()
    }

    /// A transaction that has committed offsets here has ended: its marker is in the log.
    pub fn complete_transaction(&mut self, producer_id: i64, is_commit: bool) {
        self.offsets.complete_transaction(producer_id, is_commit);
    }

    /// Takes back an offset from the log. `producer_id` says that it belongs to a transaction.
    pub(super) fn replay_offset(
        &mut self,
        group_id: &str,
        producer_id: Option<i64>,
        key: OffsetKey,
        offset: Option<CommittedOffset>,
    ) {
        match offset {
            Some(offset) => {
                if !self.groups.contains_key(group_id) {
                    self.group_or_simple(group_id, offset.commit_timestamp_ms);
                }
                self.offsets.put(group_id, producer_id, key, offset);
            }
            None => {
                self.offsets.remove(group_id, &key);
            }
        }
    }
}

impl Offsets {
    fn put(
        &mut self,
        group_id: &str,
        producer_id: Option<i64>,
        key: OffsetKey,
        offset: CommittedOffset,
    ) {
        self.last_order += 1;
        let offset = CommittedOffset { order: self.last_order, ..offset };
        let groups = match producer_id {
            Some(producer_id) => self.pending.entry(producer_id).or_default(),
            None => &mut self.committed,
        };
        match groups.get_mut(group_id) {
            Some(offsets) => offsets.insert(key, offset),
            None => groups.entry(group_id.to_owned()).or_default().insert(key, offset),
        };
    }

    /// Removes an offset, committed or pending. Whether there was one.
    fn remove(&mut self, group_id: &str, key: &OffsetKey) -> bool {
        let mut was_there = remove_from(&mut self.committed, group_id, key);
        for groups in self.pending.values_mut() {
            was_there |= remove_from(groups, group_id, key);
        }
        was_there
    }

    pub(super) fn remove_group(&mut self, group_id: &str, records: &mut Vec<GroupRecord>) {
        let mut keys: BTreeSet<OffsetKey> = BTreeSet::new();
        for groups in self.pending.values_mut().chain([&mut self.committed]) {
            keys.extend(groups.remove(group_id).unwrap_or_default().into_keys());
        }
        records.extend(keys.iter().map(|key| record::offset_tombstone(group_id, key)));
    }

    fn is_pending(&self, group_id: &str, key: &OffsetKey) -> bool {
        let holds = |groups: &BTreeMap<String, GroupOffsets>| {
            groups.get(group_id).is_some_and(|offsets| offsets.contains_key(key))
        };
        self.pending.values().any(holds)
    }

    pub(super) fn has_any(&self, group_id: &str) -> bool {
        self.committed.contains_key(group_id)
            || self.pending.values().any(|groups| groups.contains_key(group_id))
    }

    fn all_keys(&self) -> impl Iterator<Item = (&String, &OffsetKey)> {
        let groups = self.pending.values().flatten().chain(&self.committed);
        groups.flat_map(|(group_id, offsets)| offsets.keys().map(move |key| (group_id, key)))
    }

    fn complete_transaction(&mut self, producer_id: i64, is_commit: bool) {
        let groups = self.pending.remove(&producer_id).unwrap_or_default();
        if !is_commit {
            return;
        }
        for (group_id, offsets) in groups {
            let committed = self.committed.entry(group_id).or_default();
            for (key, offset) in offsets {
                // The later commit counts, whether it was part of a transaction or not.
                let is_overtaken = committed.get(&key).is_some_and(|c| c.order > offset.order);
                if !is_overtaken {
                    committed.insert(key, offset);
                }
            }
        }
    }
}

/// From when on an offset ages: in a classic group that has lost its members, since it has; else
/// since its commit. `None` while the group is in flux, or its members' topics are not known.
fn ages_since(group: &Group, offset: &CommittedOffset) -> Option<i64> {
    let Group::Classic(group) = group else { return Some(offset.commit_timestamp_ms) };
    match (&group.protocol_type, group.state) {
        (None, _) => Some(offset.commit_timestamp_ms),
        (Some(_), State::Empty) => Some(group.state_since_ms.unwrap_or(offset.commit_timestamp_ms)),
        (Some(_), State::Stable) if group.is_consumer_group() => {
            group.subscribed_topics.as_ref().map(|_| offset.commit_timestamp_ms)
        }
        (Some(_), _) => None,
    }
}

fn remove_from(
    groups: &mut BTreeMap<String, GroupOffsets>,
    group_id: &str,
    key: &OffsetKey,
) -> bool {
    let Some(offsets) = groups.get_mut(group_id) else { return false };
    let was_there = offsets.remove(key).is_some();
    if offsets.is_empty() {
        groups.remove(group_id);
    }
    was_there
}
