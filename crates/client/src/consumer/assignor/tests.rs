//! What holds of every assignor, and of each one.

use super::*;
use crate::metadata::{BrokerNode, PartitionMetadata, TopicMetadata};
use afluente_env::rng::Rng;

/// A cluster with these topics and numbers of partitions, and a broker in each of `racks`; partition
/// n is on the brokers n, n + 1, … of them.
fn cluster(topics: &[(&str, i32)], racks: &[&str], replicas: i32) -> ClusterMetadata {
    let mut cluster = ClusterMetadata::default();
    for (id, rack) in (0..).zip(racks) {
        let address = "localhost:9092".parse().unwrap();
        let rack = (!rack.is_empty()).then(|| (*rack).to_owned());
        cluster.brokers.insert(id, BrokerNode { id, address, rack });
    }
    let brokers = i32::try_from(racks.len()).unwrap().max(1);
    for &(name, count) in topics {
        let partitions = (0..count).map(|partition| {
            let replicas = (0..replicas).map(|replica| (partition + replica) % brokers).collect();
            (partition, PartitionMetadata { partition, replicas, ..Default::default() })
        });
        let partitions = partitions.collect();
        let topic = TopicMetadata { name: name.into(), partitions, ..Default::default() };
        cluster.topics.insert(name.into(), topic);
    }
    cluster
}

fn wants(topics: &[&str]) -> Subscription {
    Subscription { topics: topics.iter().map(|&t| t.into()).collect(), ..Default::default() }
}

/// The assignments as `member: a-0 a-1; …`.
fn show(assignments: &BTreeMap<String, Assignment>) -> String {
    let lines = assignments.iter().map(|(id, assignment)| {
        let partitions: Vec<String> =
            assignment.partitions.iter().map(ToString::to_string).collect();
        format!("{id}: {}", partitions.join(" "))
    });
    lines.collect::<Vec<_>>().join("; ")
}

fn assign(
    assignor: &dyn Assignor,
    cluster: &ClusterMetadata,
    members: &[(&str, Subscription)],
) -> String {
    let members = members.iter().map(|(id, s)| ((*id).to_owned(), s.clone())).collect();
    show(&assignor.assign(cluster, &members).unwrap())
}

#[test]
fn range_gives_each_member_a_range_of_each_topic() {
    let cluster = cluster(&[("a", 3), ("b", 4)], &[], 1);
    let both = wants(&["a", "b"]);
    assert_eq!(
        assign(&Range, &cluster, &[("m1", both.clone()), ("m2", both.clone())]),
        "m1: a-0 a-1 b-0 b-1; m2: a-2 b-2 b-3"
    );
    assert_eq!(
        assign(&Range, &cluster, &[("m1", both), ("m2", wants(&["b", "gone"]))]),
        "m1: a-0 a-1 a-2 b-0 b-1; m2: b-2 b-3"
    );
}

#[test]
fn range_follows_racks_where_they_matter() {
    let racked = |rack: &str| Subscription { rack_id: Some(rack.into()), ..wants(&["a", "b"]) };
    let members = [("m1", racked("y")), ("m2", racked("x"))];
    let one = cluster(&[("a", 4), ("b", 4)], &["x", "y"], 1);
    assert_eq!(assign(&Range, &one, &members), "m1: a-1 a-3 b-1 b-3; m2: a-0 a-2 b-0 b-2");
    let everywhere = cluster(&[("a", 4), ("b", 4)], &["x", "y"], 2);
    assert_eq!(assign(&Range, &everywhere, &members), "m1: a-0 a-1 b-0 b-1; m2: a-2 a-3 b-2 b-3");
}

#[test]
fn round_robin_deals_out_and_passes_over() {
    let cluster = cluster(&[("a", 3), ("b", 2)], &[], 1);
    let both = wants(&["a", "b"]);
    assert_eq!(
        assign(&RoundRobin, &cluster, &[("m1", both.clone()), ("m2", both.clone())]),
        "m1: a-0 a-2 b-1; m2: a-1 b-0"
    );
    assert_eq!(
        assign(&RoundRobin, &cluster, &[("m1", both), ("m2", wants(&["b"]))]),
        "m1: a-0 a-1 a-2 b-1; m2: b-0"
    );
}

#[test]
fn members_with_an_instance_id_come_first_in_its_order() {
    let cluster = cluster(&[("a", 3)], &[], 1);
    let fixed = |id: &str| Subscription { instance_id: Some(id.into()), ..wants(&["a"]) };
    let members = [("m1", wants(&["a"])), ("m2", fixed("z")), ("m3", fixed("b"))];
    assert_eq!(assign(&Range, &cluster, &members), "m1: a-2; m2: a-1; m3: a-0");
}

#[test]
fn sticky_user_data_is_read_as_written_and_nonsense_is_nothing() {
    let owned: Vec<TopicPartition> = vec![("a", 3).into(), ("a", 1).into(), ("b", 0).into()];
    let bytes = sticky_data::encode_owned(&owned, Some(5));
    assert_eq!(sticky_data::decode_owned(&bytes), (owned.clone(), Some(5)));
    // As written before there were generations.
    assert_eq!(sticky_data::decode_owned(&bytes.slice(..bytes.len() - 4)), (owned, None));
    let nonsense =
        Bytes::from_static(&[0x7f, 0xff, 0xff, 0xff, 0, 1, b'a', 0x7f, 0xff, 0xff, 0xff]);
    assert_eq!(sticky_data::decode_owned(&nonsense), (Vec::new(), None));
}

/// A group that rebalances with an assignor, as the members of a real one would.
struct Group {
    assignor: Arc<dyn Assignor>,
    cluster: ClusterMetadata,
    members: BTreeMap<String, Subscription>,
    generation: i32,
}

impl Group {
    fn new(assignor: &str, cluster: ClusterMetadata) -> Self {
        let assignor = by_name(assignor).unwrap();
        Self { assignor, cluster, members: BTreeMap::new(), generation: 0 }
    }

    /// One generation; the partitions of each member after it, and how many somebody gave up.
    fn rebalance(&mut self) -> usize {
        let is_cooperative = self.assignor.protocol() == RebalanceProtocol::Cooperative;
        let mut asked = self.members.clone();
        if !is_cooperative {
            for subscription in asked.values_mut() {
                let generation = subscription.generation_id;
                let owned = std::mem::take(&mut subscription.owned_partitions);
                subscription.user_data = Some(sticky_data::encode_owned(&owned, generation));
            }
        }
        let given = self.assignor.assign(&self.cluster, &asked).unwrap();
        self.generation += 1;
        let mut lost = 0;
        let mut taken: BTreeSet<TopicPartition> = BTreeSet::new();
        for (id, assignment) in given {
            let member = self.members.get_mut(&id).unwrap();
            for partition in &assignment.partitions {
                assert!(member.topics.contains(&partition.topic.to_string()), "{id}: {partition}");
                assert!(taken.insert(partition.clone()), "{partition} is given twice");
                let others = asked.iter().filter(|(other, _)| **other != id);
                for (_, other) in others {
                    assert!(!other.owned_partitions.contains(partition), "still owned");
                }
            }
            lost += member
                .owned_partitions
                .iter()
                .filter(|had| !assignment.partitions.contains(had))
                .count();
            member.owned_partitions = assignment.partitions;
            member.generation_id = Some(self.generation);
        }
        lost
    }

    /// Rebalances until nobody gives anything up; how many partitions were given up.
    fn settle(&mut self) -> usize {
        let mut lost = 0;
        for round in 0.. {
            match self.rebalance() {
                0 => break,
                more => lost += more,
            }
            assert!(round < 3, "a cooperative group needs two rounds");
        }
        lost
    }

    fn sizes(&self) -> Vec<usize> {
        self.members.values().map(|member| member.owned_partitions.len()).collect()
    }
}

#[test]
fn sticky_groups_stay_balanced_and_move_no_more_than_they_must() {
    for assignor in ["sticky", "cooperative-sticky"] {
        let mut group = Group::new(assignor, cluster(&[("a", 10), ("b", 7)], &[], 1));
        for id in ["m1", "m2", "m3"] {
            group.members.insert(id.into(), wants(&["a", "b"]));
        }
        assert_eq!(group.settle(), 0);
        assert_eq!(group.sizes(), [6, 6, 5], "{assignor}");
        group.members.insert("m4".into(), wants(&["a", "b"]));
        // 17 = 5 + 4 + 4 + 4: the new one gets four, and only these move.
        assert_eq!(group.settle(), 4, "{assignor}");
        assert_eq!(group.sizes(), [5, 4, 4, 4], "{assignor}");
        group.members.remove("m2");
        assert_eq!(group.settle(), 0, "{assignor}: what is left moves, and nothing else");
        assert_eq!(group.sizes().iter().sum::<usize>(), 17);
    }
}

#[test]
fn of_two_claims_the_later_generation_counts_and_a_tie_for_nobody() {
    let cluster = cluster(&[("a", 2)], &[], 1);
    let claim = |generation| Subscription {
        owned_partitions: vec![("a", 0).into()],
        generation_id: generation,
        ..wants(&["a"])
    };
    let cooperative = CooperativeSticky::default();
    // m2 has it; m1 still says so, and it is withheld until it does not.
    let members = [("m1", claim(Some(1))), ("m2", claim(Some(2)))];
    assert_eq!(assign(&cooperative, &cluster, &members), "m1: a-1; m2: ");
    let members = [("m1", claim(None)), ("m2", wants(&["a"]))];
    assert_eq!(assign(&cooperative, &cluster, &members), "m1: a-0; m2: a-1");
}

#[test]
fn whatever_members_want_all_is_placed_and_no_move_would_balance_it_better() {
    let rng = Rng::seeded(11);
    for assignor in ["range", "roundrobin", "sticky", "cooperative-sticky"] {
        for _ in 0..40 {
            let topics = [("a", 5), ("b", 1), ("c", 12), ("d", 3)];
            let mut group = Group::new(assignor, cluster(&topics, &[], 1));
            for step in 0..12 {
                let id = format!("m{}", rng.index(8));
                if step > 2 && rng.index(3) == 0 {
                    group.members.remove(&id);
                } else {
                    let wanted: Vec<&str> =
                        topics.iter().map(|(t, _)| *t).filter(|_| rng.index(2) == 0).collect();
                    let had = group.members.remove(&id).unwrap_or_default();
                    let mut member = Subscription { topics: wants(&wanted).topics, ..had };
                    let still = member.topics.clone();
                    member.owned_partitions.retain(|p| still.contains(&p.topic.to_string()));
                    group.members.insert(id, member);
                }
                if assignor.contains("sticky") {
                    group.settle();
                    check_balance(&group);
                } else {
                    group.rebalance();
                }
                check_completeness(&group);
            }
        }
    }
}

fn check_completeness(group: &Group) {
    let wanted: BTreeSet<&String> = group.members.values().flat_map(|m| &m.topics).collect();
    let count: usize = wanted.iter().map(|topic| partitions_of(&group.cluster, topic).len()).sum();
    assert_eq!(group.sizes().iter().sum::<usize>(), count);
}

fn check_balance(group: &Group) {
    for from in group.members.values() {
        for partition in &from.owned_partitions {
            for to in group.members.values() {
                let may = to.topics.contains(&partition.topic.to_string());
                let better = to.owned_partitions.len() + 1 < from.owned_partitions.len();
                assert!(!(may && better), "{partition} could move");
            }
        }
    }
}
