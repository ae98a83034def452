//! Server-side assignors: who reads which partition (KIP-848).

mod range;
mod uniform;

use super::Assignment;
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

/// The assignor of a group whose members ask for none.
pub const DEFAULT: &str = "uniform";

/// The assignors that a member may ask for, the default first.
pub const NAMES: [&str; 2] = ["uniform", "range"];

/// What is known of a group when it is assigned.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    /// Members by id.
    pub members: BTreeMap<String, MemberSpec>,
    /// Topics that exist, with their number of partitions.
    pub partition_counts: BTreeMap<Uuid, i32>,
}

/// What is known of a member.
#[derive(Debug, Clone, Default)]
pub struct MemberSpec {
    /// Its name across restarts, if it has one.
    pub instance_id: Option<String>,
    /// Topics that it reads; all of them are in [`Spec::partition_counts`].
    pub topics: BTreeSet<Uuid>,
    /// What it was to read up to now.
    pub current: Assignment,
}

pub(super) struct TopicSpec {
    pub(super) id: Uuid,
    pub(super) partition_count: i32,
}

/// Gives each partition of each topic to exactly one member that reads it.
pub trait Assignor {
    /// An entry for each member, empty if there is nothing left for it.
    fn assign(&self, spec: &Spec) -> BTreeMap<String, Assignment>;
}

/// The assignor of that name; the default if there is none.
#[must_use]
pub fn by_name(name: &str) -> &'static dyn Assignor {
    match name {
        "range" => &range::Range,
        _ => &uniform::Uniform,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn topic(n: u8) -> Uuid {
        Uuid([n; 16])
    }

    fn spec(members: &[(&str, &[u8])], partitions: &[(u8, i32)]) -> Spec {
        Spec {
            members: members
                .iter()
                .map(|(id, topics)| {
                    let topics = topics.iter().map(|n| topic(*n)).collect();
                    ((*id).to_owned(), MemberSpec { topics, ..MemberSpec::default() })
                })
                .collect(),
            partition_counts: partitions.iter().map(|(n, count)| (topic(*n), *count)).collect(),
        }
    }

    fn sizes(assignments: &BTreeMap<String, Assignment>) -> Vec<usize> {
        assignments.values().map(|a| a.values().map(BTreeSet::len).sum()).collect()
    }

    fn check_complete(spec: &Spec, assignments: &BTreeMap<String, Assignment>) {
        let mut seen = BTreeSet::new();
        for (member, assignment) in assignments {
            for (topic, partitions) in assignment {
                assert!(spec.members[member].topics.contains(topic), "{member} does not read it");
                for partition in partitions {
                    assert!(seen.insert((*topic, *partition)), "given twice");
                }
            }
        }
        let read: BTreeSet<Uuid> = spec.members.values().flat_map(|m| m.topics.clone()).collect();
        let all: usize = read
            .iter()
            .map(|t| usize::try_from(spec.partition_counts[t]).expect("a count is not negative"))
            .sum();
        assert_eq!(seen.len(), all, "a partition has no reader");
    }

    #[test]
    fn every_partition_has_one_reader_that_wants_it() {
        for name in NAMES {
            for (members, partitions) in [
                (&[("a", &[1, 2][..]), ("b", &[1, 2]), ("c", &[1, 2])][..], &[(1, 3), (2, 4)][..]),
                (&[("a", &[1]), ("b", &[1, 2]), ("c", &[2])], &[(1, 6), (2, 6)]),
                (&[("a", &[1]), ("b", &[])], &[(1, 2)]),
                (&[("a", &[1, 2, 3])], &[(1, 0), (2, 1), (3, 5)]),
                (&[], &[(1, 1)]),
            ] {
                let spec = spec(members, partitions);
                check_complete(&spec, &by_name(name).assign(&spec));
            }
        }
    }

    #[test]
    fn uniform_is_balanced_and_moves_as_little_as_it_can() {
        let mut spec = spec(&[("a", &[1]), ("b", &[1])], &[(1, 7)]);
        let first = by_name("uniform").assign(&spec);
        assert_eq!(sizes(&first), [4, 3]);
        for (id, assignment) in &first {
            spec.members.get_mut(id).expect("assigned members exist").current = assignment.clone();
        }
        spec.members.insert(
            "c".to_owned(),
            MemberSpec { topics: [topic(1)].into(), ..MemberSpec::default() },
        );
        let second = by_name("uniform").assign(&spec);
        check_complete(&spec, &second);
        assert_eq!(sizes(&second), [3, 2, 2]);
        for id in ["a", "b"] {
            assert!(second[id][&topic(1)].is_subset(&first[id][&topic(1)]), "{id} got a new one");
        }
    }

    #[test]
    fn uniform_balances_across_different_subscriptions() {
        let spec = spec(&[("a", &[1]), ("b", &[1, 2]), ("c", &[1, 2])], &[(1, 6), (2, 3)]);
        let assignments = by_name("uniform").assign(&spec);
        check_complete(&spec, &assignments);
        assert_eq!(sizes(&assignments), [3, 3, 3]);
    }

    #[test]
    fn range_gives_the_same_numbers_of_each_topic_to_the_same_member() {
        let spec = spec(&[("a", &[1, 2]), ("b", &[1, 2])], &[(1, 3), (2, 3)]);
        let assignments = by_name("range").assign(&spec);
        for topic in [topic(1), topic(2)] {
            assert_eq!(assignments["a"][&topic], [0, 1].into());
            assert_eq!(assignments["b"][&topic], [2].into());
        }
    }
}
