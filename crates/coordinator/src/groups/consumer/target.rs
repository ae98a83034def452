//! The target assignment: what each member is to read, computed by a server-side assignor.

use super::assignor::{self, MemberSpec, Spec, TopicSpec};
use super::{ConsumerGroup, Step};
use crate::groups::record;
use crate::topics::Topics;
use std::collections::{BTreeMap, BTreeSet};

impl ConsumerGroup {
    /// Topics that a member reads: those that it names and those that its expression matched.
    pub(super) fn topics_of(&self, member_id: &str) -> BTreeSet<String> {
        let Some(member) = self.members.get(member_id) else { return BTreeSet::new() };
        let mut topics = member.topic_names.clone();
        topics.extend(self.resolved(member).into_iter().flatten().cloned());
        topics
    }

    /// Identifies the subscribed topics with their ids and sizes; another value means that the
    /// assignment has to be computed again.
    pub(super) fn hash_of_topics(&self, topics: &dyn Topics) -> i64 {
        let subscribed: BTreeSet<String> =
            self.members.keys().flat_map(|member_id| self.topics_of(member_id)).collect();
        let mut hash = Fnv1a::default();
        for name in subscribed {
            let Some(shape) = topics.topic(&name) else { continue };
            hash.write(name.as_bytes());
            hash.write(&[0]);
            hash.write(&shape.id.0);
            hash.write(&shape.partition_count.to_be_bytes());
        }
        // Kafka takes 0 for "nothing known".
        if hash.is_untouched() { 0 } else { i64::from_be_bytes(hash.0.to_be_bytes()) }
    }

    /// Whether it is time: changes that come one after another are answered by one assignment
    /// (`group.consumer.assignment.interval.ms`).
    pub(super) fn may_compute_target(&self, step: &Step<'_>) -> bool {
        let interval_ms = step.settings.consumer_assignment_interval_ms(&self.id);
        self.target_computed_at_ms == 0
            || step.now_ms >= self.target_computed_at_ms + i64::from(interval_ms)
    }

    /// Computes the target assignment for the present group epoch.
    pub(super) fn compute_target(&mut self, step: &mut Step<'_>) {
        let subscriptions: BTreeMap<String, BTreeSet<String>> = self
            .members
            .keys()
            .map(|member_id| (member_id.clone(), self.topics_of(member_id)))
            .collect();
        let topics: BTreeMap<String, TopicSpec> = subscriptions
            .values()
            .flatten()
            .filter_map(|name| {
                let shape = step.topics.topic(name)?;
                Some((
                    name.clone(),
                    TopicSpec { id: shape.id, partition_count: shape.partition_count },
                ))
            })
            .collect();
        let members = subscriptions.into_iter().map(|(member_id, names)| {
            let spec = MemberSpec {
                instance_id: self.members.get(&member_id).and_then(|m| m.instance_id.clone()),
                topics: names.iter().filter_map(|name| topics.get(name)).map(|t| t.id).collect(),
                current: self.target.get(&member_id).cloned().unwrap_or_default(),
            };
            (member_id, spec)
        });
        let spec = Spec {
            members: members.collect(),
            partition_counts: topics.values().map(|t| (t.id, t.partition_count)).collect(),
        };
        let assignor = assignor::by_name(&self.preferred_assignor());
        for (member_id, assignment) in assignor.assign(&spec) {
            if self.target.get(&member_id) != Some(&assignment) {
                let changed = record::target_assignment(&self.id, &member_id, Some(&assignment));
                self.emit(step, changed);
            }
        }
        let epoch = record::target_epoch(&self.id, Some((self.group_epoch, step.now_ms)));
        self.emit(step, epoch);
    }

    /// The assignor that most members ask for; among equals the first by name, and the default if
    /// nobody asks.
    pub(super) fn preferred_assignor(&self) -> String {
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for name in self.members.values().filter_map(|m| m.assignor.as_deref()) {
            *votes.entry(name).or_default() += 1;
        }
        let most = votes.values().copied().max();
        votes
            .into_iter()
            .find(|(_, count)| Some(*count) == most)
            .map_or_else(|| assignor::DEFAULT.to_owned(), |(name, _)| name.to_owned())
    }
}

/// FNV-1a, 64 bits: small, and the same on every machine and in every release.
struct Fnv1a(u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(Self::BASIS)
    }
}

impl Fnv1a {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    fn is_untouched(&self) -> bool {
        self.0 == Self::BASIS
    }
}
