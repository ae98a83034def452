//! `uniform`: the same number of partitions for everybody, give or take one, and as few moves as
//! that allows.
//!
//! Members may read different topics, so that equal numbers are not always possible; the loads are
//! then as equal as moving single partitions can make them.

use super::{Assignor, Spec};
use crate::groups::consumer::Assignment;
use afluente_protocol::uuid::Uuid;
use std::collections::{BTreeMap, BTreeSet};

pub(super) struct Uniform;

type Partition = (Uuid, i32);

struct Plan<'a> {
    spec: &'a Spec,
    held: BTreeMap<&'a str, BTreeSet<Partition>>,
    /// Members by load, the least loaded first.
    by_load: BTreeSet<(usize, &'a str)>,
}

impl Assignor for Uniform {
    fn assign(&self, spec: &Spec) -> BTreeMap<String, Assignment> {
        let mut plan = Plan::keep_current(spec);
        plan.give_out_the_rest();
        plan.even_out();
        plan.finish()
    }
}

impl<'a> Plan<'a> {
    /// Starts with what members have and still read; of a partition that two claim, the first has
    /// it.
    fn keep_current(spec: &'a Spec) -> Self {
        let mut taken: BTreeSet<Partition> = BTreeSet::new();
        let mut held = BTreeMap::new();
        for (id, member) in &spec.members {
            let exists = |topic: &Uuid, partition: &i32| {
                spec.partition_counts.get(topic).is_some_and(|count| partition < count)
            };
            let mine: BTreeSet<Partition> = member
                .current
                .iter()
                .filter(|(topic, _)| member.topics.contains(*topic))
                .flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)))
                .filter(|(topic, partition)| exists(topic, partition))
                .filter(|partition| taken.insert(*partition))
                .collect();
            held.insert(id.as_str(), mine);
        }
        let by_load = held.iter().map(|(id, mine)| (mine.len(), *id)).collect();
        Self { spec, held, by_load }
    }

    /// Gives each partition without a reader to the least loaded of those who read its topic. The
    /// topics with the fewest readers come first: they have the least choice.
    fn give_out_the_rest(&mut self) {
        let taken: BTreeSet<Partition> = self.held.values().flatten().copied().collect();
        let mut topics: Vec<(usize, Uuid, i32)> = self
            .spec
            .partition_counts
            .iter()
            .map(|(topic, count)| (self.reader_count(topic), *topic, *count))
            .collect();
        topics.sort_unstable();
        for (_, topic, count) in topics {
            for partition in (0..count).filter(|partition| !taken.contains(&(topic, *partition))) {
                let least = self.by_load.iter().find(|(_, id)| self.reads(id, &topic)).copied();
                if let Some((_, id)) = least {
                    self.put(id, (topic, partition));
                }
            }
        }
    }

    /// Moves single partitions from members to others that have at least two fewer, until there is
    /// no such move. Each move lowers the sum of the squares of the loads, so this ends.
    fn even_out(&mut self) {
        while let Some((from, to, partition)) = self.find_move() {
            self.take(from, partition);
            self.put(to, partition);
        }
    }

    fn find_move(&self) -> Option<(&'a str, &'a str, Partition)> {
        for (load, from) in self.by_load.iter().rev() {
            for (_, to) in self.by_load.iter().take_while(|(other, _)| other + 2 <= *load) {
                let movable = self.held.get(from)?.iter().rev().find(|(t, _)| self.reads(to, t));
                if let Some(partition) = movable {
                    return Some((from, to, *partition));
                }
            }
        }
        None
    }

    fn reads(&self, id: &str, topic: &Uuid) -> bool {
        self.spec.members.get(id).is_some_and(|member| member.topics.contains(topic))
    }

    fn reader_count(&self, topic: &Uuid) -> usize {
        self.spec.members.values().filter(|member| member.topics.contains(topic)).count()
    }

    fn put(&mut self, id: &'a str, partition: Partition) {
        self.change(id, |mine| {
            mine.insert(partition);
        });
    }

    fn take(&mut self, id: &'a str, partition: Partition) {
        self.change(id, |mine| {
            mine.remove(&partition);
        });
    }

    fn change(&mut self, id: &'a str, change: impl FnOnce(&mut BTreeSet<Partition>)) {
        let mine = self.held.entry(id).or_default();
        self.by_load.remove(&(mine.len(), id));
        change(mine);
        self.by_load.insert((mine.len(), id));
    }

    fn finish(self) -> BTreeMap<String, Assignment> {
        let by_topic = |mine: BTreeSet<Partition>| {
            let mut assignment = Assignment::new();
            for (topic, partition) in mine {
                assignment.entry(topic).or_default().insert(partition);
            }
            assignment
        };
        self.held.into_iter().map(|(id, mine)| (id.to_owned(), by_topic(mine))).collect()
    }
}
