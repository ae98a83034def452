//! `range`: each topic is cut into one stretch of partitions a member, so that partition *n* of
//! every topic lies with the same member, as joins need it.

use super::{Assignor, Spec};
use crate::groups::consumer::Assignment;
use std::collections::BTreeMap;

pub(super) struct Range;

impl Assignor for Range {
    fn assign(&self, spec: &Spec) -> BTreeMap<String, Assignment> {
        let mut result: BTreeMap<String, Assignment> =
            spec.members.keys().map(|id| (id.clone(), Assignment::new())).collect();
        for (topic, partition_count) in &spec.partition_counts {
            let mut readers: Vec<(&str, &String)> = spec
                .members
                .iter()
                .filter(|(_, member)| member.topics.contains(topic))
                .map(|(id, member)| (member.instance_id.as_deref().unwrap_or(id), id))
                .collect();
            // By instance id where there is one: a static member keeps its place.
            readers.sort_unstable();
            let Ok(reader_count) = i32::try_from(readers.len()) else { continue };
            let mut next = 0;
            for (place, (_, id)) in (0..).zip(readers) {
                let rest = i32::from(place < partition_count % reader_count);
                let len = partition_count / reader_count + rest;
                if len > 0 {
                    let stretch = (next..next + len).collect();
                    result.entry(id.clone()).or_default().insert(*topic, stretch);
                }
                next += len;
            }
        }
        result
    }
}
