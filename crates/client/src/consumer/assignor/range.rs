//! `range`: of each topic, a range of partitions for each member, near it if racks are known.

use super::{Assignment, Assignor, Subscription, give, members_by_topic, nothing_for};
use crate::metadata::ClusterMetadata;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The assignor `range`.
///
/// Each topic is split for itself: with P partitions and M members each gets P/M of them, and the
/// first P mod M members one more, in the order of the numbers. Members of the same subscription
/// thus get the same numbers of topics with as many partitions, which joins of such topics need.
///
/// Where members say their rack and a partition has no replica in every rack (KIP-881), a member
/// first gets partitions with a replica in its own rack, as many as it would get anyway; topics with
/// the same members and as many partitions stay together in this.
#[derive(Debug, Clone, Copy, Default)]
pub struct Range;

impl Assignor for Range {
    fn name(&self) -> &'static str {
        "range"
    }

    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String> {
        let mut assignments = nothing_for(members);
        let mut topics: Vec<Topic<'_>> = members_by_topic(members)
            .into_iter()
            .map(|(topic, takers)| Topic::new(cluster, topic, takers, members))
            .filter(|topic| !topic.unassigned.is_empty())
            .collect();
        if topics.iter().any(|topic| topic.racks_matter) {
            match_racks(&mut topics, &mut assignments);
        }
        for topic in &mut topics {
            topic.give_ranges(&mut assignments, |_, _, _| true);
        }
        for assignment in assignments.values_mut() {
            assignment.partitions.sort_unstable();
        }
        Ok(assignments)
    }
}

/// A topic while it is given out.
struct Topic<'a> {
    name: Arc<str>,
    /// In order, each with its rack and the number of partitions that it has got.
    takers: Vec<Taker<'a>>,
    /// The racks of the replicas of each partition.
    racks: BTreeMap<i32, BTreeSet<&'a str>>,
    unassigned: BTreeSet<i32>,
    per_member: usize,
    /// How many members may still get one more.
    extra: usize,
    racks_matter: bool,
}

#[derive(Clone, Copy)]
struct Taker<'a> {
    id: &'a str,
    rack: Option<&'a str>,
    count: usize,
}

impl<'a> Topic<'a> {
    fn new(
        cluster: &'a ClusterMetadata,
        name: &'a str,
        takers: Vec<&'a str>,
        members: &'a BTreeMap<String, Subscription>,
    ) -> Self {
        let partitions = cluster.topic(name).map(|topic| &topic.partitions);
        let racks: BTreeMap<i32, BTreeSet<&str>> = partitions
            .into_iter()
            .flatten()
            .map(|(&number, partition)| {
                let brokers = partition.replicas.iter().filter_map(|id| cluster.brokers.get(id));
                (number, brokers.filter_map(|broker| broker.rack.as_deref()).collect())
            })
            .collect();
        let takers: Vec<Taker<'_>> = takers
            .into_iter()
            .map(|id| Taker { id, rack: members[id].rack_id.as_deref(), count: 0 })
            .collect();
        let of_members: BTreeSet<&str> = takers.iter().filter_map(|taker| taker.rack).collect();
        let of_all: BTreeSet<&str> = racks.values().flatten().copied().collect();
        Self {
            name: name.into(),
            unassigned: racks.keys().copied().collect(),
            per_member: racks.len() / takers.len(),
            extra: racks.len() % takers.len(),
            racks_matter: !of_members.is_disjoint(&of_all) && racks.values().any(|r| *r != of_all),
            takers,
            racks,
        }
    }

    /// How many more partitions a member may get.
    fn room(&self, taker: usize) -> usize {
        (self.per_member + usize::from(self.extra > 0)).saturating_sub(self.takers[taker].count)
    }

    fn is_near(&self, taker: usize, partition: i32) -> bool {
        let rack = self.takers[taker].rack;
        rack.is_none_or(|rack| self.racks.get(&partition).is_some_and(|r| r.contains(rack)))
    }

    fn give(
        &mut self,
        assignments: &mut BTreeMap<String, Assignment>,
        taker: usize,
        partition: i32,
    ) {
        self.unassigned.remove(&partition);
        let member = &mut self.takers[taker];
        member.count += 1;
        if member.count > self.per_member {
            self.extra -= 1;
        }
        give(assignments, member.id, &self.name, partition);
    }

    /// Gives each member in turn the first partitions that are left and that `may` allows.
    fn give_ranges(
        &mut self,
        assignments: &mut BTreeMap<String, Assignment>,
        may: impl Fn(&Self, usize, i32) -> bool,
    ) {
        for taker in 0..self.takers.len() {
            let allowed = self.unassigned.iter().copied().filter(|&p| may(self, taker, p));
            let taken: Vec<i32> = allowed.take(self.room(taker)).collect();
            for partition in taken {
                self.give(assignments, taker, partition);
            }
        }
    }
}

/// Gives partitions to members in racks with a replica. Topics with the same members and as many
/// partitions are given out together.
fn match_racks(topics: &mut [Topic<'_>], assignments: &mut BTreeMap<String, Assignment>) {
    let mut groups: BTreeMap<(Vec<&str>, usize), Vec<usize>> = BTreeMap::new();
    for (index, topic) in topics.iter().enumerate() {
        let ids = topic.takers.iter().map(|taker| taker.id).collect();
        groups.entry((ids, topic.racks.len())).or_default().push(index);
    }
    for ((takers, partitions), group) in groups {
        if let [single] = group[..] {
            if topics[single].racks_matter {
                topics[single].give_ranges(assignments, Topic::is_near);
            }
            continue;
        }
        for partition in (0_i32..).take(partitions) {
            let near = (0..takers.len()).find(|&taker| {
                group.iter().all(|&topic| {
                    topics[topic].is_near(taker, partition) && topics[topic].room(taker) > 0
                })
            });
            let Some(taker) = near else { continue };
            for &topic in &group {
                topics[topic].give(assignments, taker, partition);
            }
        }
    }
}
