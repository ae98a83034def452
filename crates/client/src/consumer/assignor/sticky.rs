//! `sticky` and `cooperative-sticky`: balanced first, and then as few moves as possible (KIP-54).

mod place;

use super::sticky_data::{decode_generation, decode_owned, encode_generation, encode_owned};
use super::{Assignment, Assignor, RebalanceProtocol, Subscription, in_order, partitions_of};
use crate::metadata::ClusterMetadata;
use crate::producer::GroupMetadata;
use crate::topic_partition::TopicPartition;
use bytes::Bytes;
use parking_lot::Mutex;
use place::{Member, place};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The assignor `sticky`, of the eager protocol.
///
/// Members give everything up before they join, so each remembers what it had and says so in its
/// user data.
#[derive(Debug, Default)]
pub struct Sticky {
    had: Mutex<Option<(Vec<TopicPartition>, i32)>>,
}

/// The assignor `cooperative-sticky`.
///
/// A partition that moves is given to nobody at first; its owner gives it up and joins again, and
/// then it goes to its new one.
#[derive(Debug, Default)]
pub struct CooperativeSticky {
    generation: Mutex<Option<i32>>,
}

impl Assignor for Sticky {
    fn name(&self) -> &'static str {
        "sticky"
    }

    fn user_data(&self, _topics: &BTreeSet<String>) -> Option<Bytes> {
        let had = self.had.lock();
        let (owned, generation) = had.as_ref()?;
        Some(encode_owned(owned, Some(*generation)))
    }

    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String> {
        let claims = claims(members, |subscription| match &subscription.user_data {
            Some(data) => decode_owned(data),
            None => (Vec::new(), None),
        });
        Ok(assignments(placed(cluster, members, &claims)))
    }

    fn on_assignment(&self, assignment: &Assignment, group: &GroupMetadata) {
        *self.had.lock() = Some((assignment.partitions.clone(), group.generation_id));
    }
}

impl Assignor for CooperativeSticky {
    fn name(&self) -> &'static str {
        "cooperative-sticky"
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn user_data(&self, _topics: &BTreeSet<String>) -> Option<Bytes> {
        Some(encode_generation(*self.generation.lock()))
    }

    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String> {
        let claims = claims(members, |subscription| {
            let said = subscription.user_data.as_ref().and_then(decode_generation);
            (subscription.owned_partitions.clone(), said.or(subscription.generation_id))
        });
        let mut placed = placed(cluster, members, &claims);
        for (id, partitions) in &mut placed {
            // Whoever claims it may be reading it, right or wrong.
            partitions.retain(|partition| {
                claims.get(partition).is_none_or(|claims| claims.iter().all(|(_, by)| by == id))
            });
        }
        Ok(assignments(placed))
    }

    fn on_assignment(&self, _assignment: &Assignment, group: &GroupMetadata) {
        *self.generation.lock() = Some(group.generation_id);
    }
}

/// Who says to have a partition, each with the generation in which it got it.
type Claims<'a> = BTreeMap<TopicPartition, Vec<(Option<i32>, &'a str)>>;

fn claims<'a>(
    members: &'a BTreeMap<String, Subscription>,
    owned: impl Fn(&Subscription) -> (Vec<TopicPartition>, Option<i32>),
) -> Claims<'a> {
    let mut claims = Claims::new();
    for (id, subscription) in members {
        let (partitions, generation) = owned(subscription);
        for partition in partitions {
            claims.entry(partition).or_default().push((generation, id));
        }
    }
    claims
}

/// The partitions of each member, moves and all.
fn placed<'a>(
    cluster: &ClusterMetadata,
    members: &'a BTreeMap<String, Subscription>,
    claims: &Claims<'_>,
) -> BTreeMap<&'a str, Vec<TopicPartition>> {
    let ids = in_order(members);
    let subscribed: Vec<BTreeSet<&str>> =
        ids.iter().map(|id| members[*id].topics.iter().map(String::as_str).collect()).collect();
    let topics: BTreeSet<&str> = subscribed.iter().flatten().copied().collect();
    let mut partitions = Vec::new();
    for topic in topics {
        let name: Arc<str> = topic.into();
        for partition in partitions_of(cluster, topic) {
            partitions.push(TopicPartition::new(Arc::clone(&name), partition));
        }
    }
    let mut placing: Vec<Member<'_>> =
        subscribed.into_iter().map(|topics| Member { topics, has: Vec::new() }).collect();
    for (index, partition) in partitions.iter().enumerate() {
        let Some(owner) = claims.get(partition).and_then(|claims| rightful(claims)) else {
            continue;
        };
        let member = ids.iter().position(|id| *id == owner).expect("claims are of members");
        if placing[member].topics.contains(&*partition.topic) {
            placing[member].has.push(index);
        }
    }
    let topic_of: Vec<&str> = partitions.iter().map(|partition| &*partition.topic).collect();
    place(&topic_of, &mut placing);
    let taken = placing.into_iter().map(|member| {
        let mut has = member.has;
        has.sort_unstable();
        has.into_iter().map(|index| partitions[index].clone()).collect()
    });
    ids.into_iter().zip(taken).collect()
}

/// Who has a partition: the one that got it in the latest generation. Of two that got it in the same
/// one, neither is believed.
fn rightful<'a>(claims: &[(Option<i32>, &'a str)]) -> Option<&'a str> {
    let latest = claims.iter().map(|(generation, _)| *generation).max()?;
    let mut by = claims.iter().filter(|(generation, _)| *generation == latest);
    match (by.next(), by.next()) {
        (Some((_, only)), None) => Some(only),
        _ => None,
    }
}

fn assignments(placed: BTreeMap<&str, Vec<TopicPartition>>) -> BTreeMap<String, Assignment> {
    placed
        .into_iter()
        .map(|(id, partitions)| (id.to_owned(), Assignment { partitions, user_data: None }))
        .collect()
}
