//! Who reads which partition: the assignors of the classic group protocol.
//!
//! The coordinator of a classic group picks an assignor that all members name, and lets one member,
//! the leader, run it over the [`Subscription`]s of all. [`Assignor`] is open: a program that wants
//! to place work by rules of its own implements it, with data of its own in the subscriptions and
//! the assignments.
//!
//! | name | protocol | what it does |
//! |---|---|---|
//! | `range` ([`Range`]) | eager | of each topic, a range for each member; members get the same numbers of all topics |
//! | `roundrobin` ([`RoundRobin`]) | eager | all partitions dealt out in turn |
//! | `sticky` ([`Sticky`]) | eager | balanced, and each keeps as much as possible of what it had |
//! | `cooperative-sticky` ([`CooperativeSticky`]) | cooperative | as sticky, and nobody stops reading what stays (KIP-429) |

mod format;
mod range;
mod round_robin;
mod sticky;
mod sticky_data;

pub use format::{Assignment, Subscription};
pub use range::Range;
pub use round_robin::RoundRobin;
pub use sticky::{CooperativeSticky, Sticky};

use crate::metadata::ClusterMetadata;
use crate::producer::GroupMetadata;
use crate::topic_partition::TopicPartition;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What members do when a rebalance begins (KIP-429).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RebalanceProtocol {
    /// They give up everything.
    Eager,
    /// They go on, and give up what goes to somebody else once they are told.
    Cooperative,
}

/// Places partitions on the members of a classic group.
///
/// The leader of the group calls [`Assignor::assign`]; every member calls the others.
pub trait Assignor: Send + Sync {
    /// The name by which the members of a group agree on an assignor.
    fn name(&self) -> &str;

    /// Whether what it gives fits members that go on while they rebalance. An assignor that
    /// supports the cooperative protocol never gives a partition to a member while another one
    /// still owns it.
    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Eager
    }

    /// What this member says to the leader besides its subscription to `topics`.
    fn user_data(&self, topics: &BTreeSet<String>) -> Option<Bytes> {
        let _ = topics;
        None
    }

    /// The topics that `assign` needs to know besides those that members are subscribed to.
    fn more_topics(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }

    /// An assignment for each member of `members`, by member id.
    ///
    /// # Errors
    /// Why there is none; the member then fails with it, and leaves.
    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String>;

    /// Told to each member with what it got, before its listener is.
    fn on_assignment(&self, assignment: &Assignment, group: &GroupMetadata) {
        let _ = (assignment, group);
    }
}

/// The assignor that Kafka calls `name`, by its name or by the name of its Java class.
#[must_use]
pub fn by_name(name: &str) -> Option<Arc<dyn Assignor>> {
    let name = name.strip_prefix("org.apache.kafka.clients.consumer.").unwrap_or(name);
    Some(match name {
        "range" | "RangeAssignor" => Arc::new(Range),
        "roundrobin" | "RoundRobinAssignor" => Arc::new(RoundRobin),
        "sticky" | "StickyAssignor" => Arc::new(Sticky::default()),
        "cooperative-sticky" | "CooperativeStickyAssignor" => {
            Arc::new(CooperativeSticky::default())
        }
        _ => return None,
    })
}

/// The ids of `members` in the order in which Kafka's assignors serve them: those with an instance
/// id first, by that, so that a restart changes nothing; then the others by their member id.
fn in_order<'a>(members: impl IntoIterator<Item = (&'a String, &'a Subscription)>) -> Vec<&'a str> {
    let mut order: Vec<(bool, &str, &str)> = members
        .into_iter()
        .map(|(id, subscription)| match &subscription.instance_id {
            Some(instance) => (false, instance.as_str(), id.as_str()),
            None => (true, id.as_str(), id.as_str()),
        })
        .collect();
    order.sort_unstable();
    order.into_iter().map(|(_, _, id)| id).collect()
}

/// The members that are subscribed to each topic, in the order of [`in_order`].
fn members_by_topic(members: &BTreeMap<String, Subscription>) -> BTreeMap<&str, Vec<&str>> {
    let mut by_topic: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for id in in_order(members) {
        let topics: BTreeSet<&str> = members[id].topics.iter().map(String::as_str).collect();
        for topic in topics {
            by_topic.entry(topic).or_default().push(id);
        }
    }
    by_topic
}

/// The partitions of `topic`, in order; none if it is not known.
fn partitions_of(cluster: &ClusterMetadata, topic: &str) -> Vec<i32> {
    cluster.topic(topic).map_or_else(Vec::new, |topic| topic.partitions.keys().copied().collect())
}

/// An assignment of nothing for every member.
fn nothing_for(members: &BTreeMap<String, Subscription>) -> BTreeMap<String, Assignment> {
    members.keys().map(|id| (id.clone(), Assignment::default())).collect()
}

/// Gives `partition` of `topic` to `member`.
fn give(
    assignments: &mut BTreeMap<String, Assignment>,
    member: &str,
    topic: &Arc<str>,
    partition: i32,
) {
    let assignment = assignments.get_mut(member).expect("every member has an assignment");
    assignment.partitions.push(TopicPartition::new(Arc::clone(topic), partition));
}

#[cfg(test)]
mod tests;
