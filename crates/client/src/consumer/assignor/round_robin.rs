//! `roundrobin`: all partitions of all topics, dealt out to the members in turn.

use super::{Assignment, Assignor, Subscription, give, in_order, members_by_topic, nothing_for};
use crate::metadata::ClusterMetadata;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The assignor `roundrobin`.
///
/// Topics by name, partitions by number; a member that is not subscribed to a topic is passed over.
#[derive(Debug, Clone, Copy, Default)]
pub struct RoundRobin;

impl Assignor for RoundRobin {
    fn name(&self) -> &'static str {
        "roundrobin"
    }

    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String> {
        let mut assignments = nothing_for(members);
        let subscribed: BTreeMap<&str, BTreeSet<&str>> = members_by_topic(members)
            .into_iter()
            .map(|(topic, members)| (topic, members.into_iter().collect()))
            .collect();
        let mut turn = in_order(members).into_iter().cycle().peekable();
        for (topic, takers) in &subscribed {
            let topic_name: Arc<str> = (*topic).into();
            for partition in super::partitions_of(cluster, topic) {
                // There is a taker, or the topic would not be here.
                let taker =
                    turn.find(|member| takers.contains(member)).expect("the turn is endless");
                give(&mut assignments, taker, &topic_name, partition);
            }
        }
        Ok(assignments)
    }
}
