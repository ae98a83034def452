//! Who gets which task: our assignor in the classic group protocol.
//!
//! Every member says in its user data which process it is in, where that process can be reached, and which tasks it holds
//! copies of. The leader gives each thread its share of the tasks: first those it has, then those it has a copy of. Then it
//! places standby tasks in other processes. Partitions of a sub-topology with the same number go together, since they are a
//! task. A task that moves is given up by its owner before its new one gets it (KIP-429), so the others never stop.
//!
//! Not here: warm-up replicas, so a task moves as soon as that makes the shares even; rack tags.

use crate::engine::TaskId;
use afluente_client::consumer::GroupMetadata;
use afluente_client::consumer::assignor::{Assignment, Assignor, RebalanceProtocol, Subscription};
use afluente_client::{ClusterMetadata, TopicPartition};
use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The name by which members agree on it. Java's is another one: members of both in one group are refused by the broker.
const NAME: &str = "afluente-streams";

/// Version of the user data.
const VERSION: u32 = 1;

/// What a member says besides its subscription, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Said {
    version: u32,
    /// The process: standby tasks go to another one.
    process: String,
    /// `application.server`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// Tasks of which there is a copy, and how many records of their changelogs are in it.
    #[serde(default)]
    copies: BTreeMap<String, i64>,
}

/// What the leader says besides the partitions, as JSON.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    version: u32,
    #[serde(default)]
    standby: Vec<String>,
    #[serde(default)]
    hosts: BTreeMap<String, HostTasks>,
}

/// The tasks of all threads behind one `application.server`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct HostTasks {
    pub(super) active: BTreeSet<String>,
    pub(super) standby: BTreeSet<String>,
}

/// What the group last told this thread.
#[derive(Debug, Default)]
pub(super) struct Placement {
    pub(super) standby: BTreeSet<TaskId>,
    pub(super) hosts: BTreeMap<String, HostTasks>,
}

/// One sub-topology, as far as placing its tasks goes.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) number: u32,
    pub(super) topics: BTreeSet<String>,
    pub(super) has_state: bool,
}

/// See the module.
pub(super) struct TaskAssignor {
    pub(super) parts: Vec<Part>,
    pub(super) standby_count: usize,
    pub(super) process: String,
    pub(super) server: Option<String>,
    /// Filled by the thread.
    pub(super) copies: Arc<Mutex<BTreeMap<TaskId, i64>>>,
    /// Read by the thread.
    pub(super) placement: Arc<Mutex<Placement>>,
}

impl Assignor for TaskAssignor {
    fn name(&self) -> &str {
        NAME
    }

    fn protocol(&self) -> RebalanceProtocol {
        RebalanceProtocol::Cooperative
    }

    fn user_data(&self, _topics: &BTreeSet<String>) -> Option<Bytes> {
        let copies = self.copies.lock();
        let said = Said {
            version: VERSION,
            process: self.process.clone(),
            server: self.server.clone(),
            copies: copies.iter().map(|(task, records)| (task.to_string(), *records)).collect(),
        };
        serde_json::to_vec(&said).ok().map(Bytes::from)
    }

    fn assign(
        &self,
        cluster: &ClusterMetadata,
        members: &BTreeMap<String, Subscription>,
    ) -> Result<BTreeMap<String, Assignment>, String> {
        let mut partitions: BTreeMap<TaskId, Vec<TopicPartition>> = BTreeMap::new();
        for part in &self.parts {
            for topic in &part.topics {
                let Some(found) = cluster.topic(topic) else {
                    return Err(format!("topic \"{topic}\" is not there"));
                };
                for partition in found.partitions.keys() {
                    let task = TaskId { subtopology: part.number, partition: *partition };
                    let place = TopicPartition::new(topic.as_str(), *partition);
                    partitions.entry(task).or_default().push(place);
                }
            }
        }
        let with_state: BTreeSet<u32> =
            self.parts.iter().filter(|part| part.has_state).map(|part| part.number).collect();
        let members: Vec<Member> = members
            .iter()
            .map(|(id, subscription)| Member::read(id, subscription, &partitions))
            .collect();
        let tasks: Vec<TaskId> = partitions.keys().copied().collect();
        let placed = place(&tasks, &with_state, self.standby_count, &members);
        let mut hosts: BTreeMap<String, HostTasks> = BTreeMap::new();
        for (member, share) in members.iter().zip(&placed) {
            if let Some(server) = &member.said.server {
                let host = hosts.entry(server.clone()).or_default();
                host.active.extend(share.active.iter().map(TaskId::to_string));
                host.standby.extend(share.standby.iter().map(TaskId::to_string));
            }
        }
        let mut assignments = BTreeMap::new();
        for (number, (member, share)) in members.iter().zip(&placed).enumerate() {
            let told = Told {
                version: VERSION,
                standby: share.standby.iter().map(TaskId::to_string).collect(),
                hosts: hosts.clone(),
            };
            // Whoever says to have a task may be working on it: it is told to stop first.
            let is_free = |task: &&TaskId| {
                let mut others = members.iter().enumerate().filter(|(other, _)| *other != number);
                !others.any(|(_, other)| other.has.contains_key(task))
            };
            let partitions = share.active.iter().filter(is_free).flat_map(|task| &partitions[task]);
            let assignment = Assignment {
                partitions: partitions.cloned().collect(),
                user_data: serde_json::to_vec(&told).ok().map(Bytes::from),
            };
            assignments.insert(member.id.to_owned(), assignment);
        }
        Ok(assignments)
    }

    fn on_assignment(&self, assignment: &Assignment, _group: &GroupMetadata) {
        let told: Told = assignment
            .user_data
            .as_ref()
            .and_then(|data| serde_json::from_slice(data).ok())
            .unwrap_or_default();
        *self.placement.lock() = Placement {
            standby: told.standby.iter().filter_map(|task| read_task(task)).collect(),
            hosts: told.hosts,
        };
    }
}

/// `subtopology_partition`
pub(super) fn read_task(text: &str) -> Option<TaskId> {
    let (subtopology, partition) = text.split_once('_')?;
    Some(TaskId { subtopology: subtopology.parse().ok()?, partition: partition.parse().ok()? })
}

struct Member<'a> {
    id: &'a str,
    said: Said,
    /// Tasks that it works on, and since when.
    has: BTreeMap<TaskId, i32>,
    copies: BTreeMap<TaskId, i64>,
}

impl<'a> Member<'a> {
    fn read(
        id: &'a str,
        subscription: &Subscription,
        tasks: &BTreeMap<TaskId, Vec<TopicPartition>>,
    ) -> Self {
        let data = subscription.user_data.as_ref();
        let mut said: Said =
            data.and_then(|data| serde_json::from_slice(data).ok()).unwrap_or_default();
        if said.process.is_empty() {
            id.clone_into(&mut said.process);
        }
        let owned: BTreeSet<&TopicPartition> = subscription.owned_partitions.iter().collect();
        let since = subscription.generation_id.unwrap_or(-1);
        let has = tasks
            .iter()
            .filter(|(_, partitions)| partitions.iter().any(|partition| owned.contains(partition)))
            .map(|(task, _)| (*task, since))
            .collect();
        let copies = said
            .copies
            .iter()
            .filter_map(|(task, records)| Some((read_task(task)?, *records)))
            .collect();
        Self { id, said, has, copies }
    }
}

/// What a member gets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Share {
    active: BTreeSet<TaskId>,
    standby: BTreeSet<TaskId>,
}

impl Share {
    fn of_subtopology(&self, task: TaskId) -> usize {
        self.active.iter().filter(|other| other.subtopology == task.subtopology).count()
    }
}

/// The share of each member, in their order.
fn place(
    tasks: &[TaskId],
    with_state: &BTreeSet<u32>,
    standby_count: usize,
    members: &[Member<'_>],
) -> Vec<Share> {
    let mut shares = vec![Share::default(); members.len()];
    if members.is_empty() {
        return shares;
    }
    let floor = tasks.len() / members.len();
    let mut extras = tasks.len() % members.len();
    // Who has a task keeps it, as long as its share is not too large.
    let mut open = Vec::new();
    for task in tasks {
        let owner = (0..members.len())
            .filter_map(|at| Some((*members[at].has.get(task)?, at)))
            .max_by_key(|(since, at)| (*since, std::cmp::Reverse(*at)));
        match owner {
            Some((_, at)) if shares[at].active.len() < floor => {
                shares[at].active.insert(*task);
            }
            Some((_, at)) if shares[at].active.len() == floor && extras > 0 => {
                extras -= 1;
                shares[at].active.insert(*task);
            }
            _ => open.push(*task),
        }
    }
    for task in open {
        let has_room = |at: &usize| {
            let count = shares[*at].active.len();
            count < floor || (count == floor && extras > 0)
        };
        let best = (0..members.len()).filter(has_room).min_by_key(|at| {
            // A copy is worth more than the number of records in it; then the lighter share.
            let process = &members[*at].said.process;
            let copy = members
                .iter()
                .filter(|member| member.said.process == *process)
                .filter_map(|member| member.copies.get(&task))
                .max();
            let own_copy = members[*at].copies.contains_key(&task);
            (
                std::cmp::Reverse(copy.copied()),
                !own_copy,
                shares[*at].active.len(),
                shares[*at].of_subtopology(task),
            )
        });
        let at = best.expect("floors and extras add up to the number of tasks");
        if shares[at].active.len() == floor {
            extras -= 1;
        }
        shares[at].active.insert(task);
    }
    for task in tasks.iter().filter(|task| with_state.contains(&task.subtopology)) {
        let active = (0..members.len())
            .find(|at| shares[*at].active.contains(task))
            .expect("every task is active somewhere");
        let mut used = BTreeSet::from([members[active].said.process.as_str()]);
        for _ in 0..standby_count {
            let free =
                (0..members.len()).filter(|at| !used.contains(members[*at].said.process.as_str()));
            let Some(at) = free.min_by_key(|at| {
                let has_copy = members[*at].copies.contains_key(task);
                let was_active = members[*at].has.contains_key(task);
                (!has_copy, !was_active, shares[*at].standby.len(), shares[*at].active.len())
            }) else {
                break;
            };
            used.insert(members[at].said.process.as_str());
            shares[at].standby.insert(*task);
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_env::rng::Rng;

    fn member<'a>(id: &'a str, process: &str, has: &[TaskId], copies: &[TaskId]) -> Member<'a> {
        Member {
            id,
            said: Said { process: process.to_owned(), ..Said::default() },
            has: has.iter().map(|task| (*task, 1)).collect(),
            copies: copies.iter().map(|task| (*task, 10)).collect(),
        }
    }

    fn tasks(subtopologies: u32, partitions: i32) -> Vec<TaskId> {
        (0..subtopologies)
            .flat_map(|subtopology| {
                (0..partitions).map(move |partition| TaskId { subtopology, partition })
            })
            .collect()
    }

    /// Every task once, shares even, standbys in other processes.
    fn check(tasks: &[TaskId], standby_count: usize, members: &[Member<'_>]) -> Vec<Share> {
        let shares = place(tasks, &[0, 1].into(), standby_count, members);
        let mut seen: Vec<TaskId> = shares.iter().flat_map(|share| share.active.clone()).collect();
        seen.sort_unstable();
        assert_eq!(seen, tasks);
        let counts = shares.iter().map(|share| share.active.len());
        let (min, max) = (counts.clone().min().unwrap(), counts.max().unwrap());
        assert!(max - min <= 1, "{shares:?}");
        let processes: BTreeSet<&str> = members.iter().map(|m| m.said.process.as_str()).collect();
        for task in tasks.iter().filter(|task| task.subtopology < 2) {
            let holders: Vec<&str> = members
                .iter()
                .zip(&shares)
                .filter(|(_, share)| share.active.contains(task) || share.standby.contains(task))
                .map(|(member, _)| member.said.process.as_str())
                .collect();
            let distinct: BTreeSet<&str> = holders.iter().copied().collect();
            assert_eq!(holders.len(), distinct.len(), "{task}: {holders:?}");
            assert_eq!(holders.len(), processes.len().min(standby_count + 1), "{task}");
        }
        shares
    }

    #[test]
    fn any_members_get_even_shares_and_move_little() {
        let rng = Rng::seeded(7);
        for _ in 0..300 {
            let all = tasks(1 + rng.range(0..3) as u32, 1 + rng.range(0..8) as i32);
            let names: Vec<String> = (0..=rng.range(0..5)).map(|n| format!("m{n}")).collect();
            let standby_count = rng.index(3);
            let process = |at: usize| format!("p{}", at / 2);
            let fresh: Vec<Member<'_>> = names
                .iter()
                .enumerate()
                .map(|(at, name)| member(name, &process(at), &[], &[]))
                .collect();
            let first = check(&all, standby_count, &fresh);
            // The same members again: nothing moves.
            let again: Vec<Member<'_>> = names
                .iter()
                .enumerate()
                .map(|(at, name)| {
                    let has: Vec<TaskId> = first[at].active.iter().copied().collect();
                    let copies: Vec<TaskId> = first[at].standby.iter().copied().collect();
                    member(name, &process(at), &has, &copies)
                })
                .collect();
            assert_eq!(check(&all, standby_count, &again), first);
            // One is gone: what the others have stays, as far as shares stay even.
            if again.len() > 1 {
                let left = &again[1..];
                let second = check(&all, standby_count, left);
                for (member, share) in left.iter().zip(&second) {
                    let kept = member.has.keys().filter(|task| share.active.contains(task));
                    assert_eq!(kept.count(), member.has.len());
                }
            }
        }
    }

    #[test]
    fn a_lost_task_goes_to_where_its_copy_is() {
        let all = tasks(1, 4);
        let members =
            [member("a", "a", &all[..1], &all[2..3]), member("b", "b", &all[1..2], &all[3..])];
        let shares = check(&all, 1, &members);
        assert!(shares[0].active.contains(&all[2]) && shares[1].active.contains(&all[3]));
    }
}
