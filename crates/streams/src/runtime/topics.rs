//! The topics of an application: those it needs, those it makes, and whether they fit together.

use super::config::StreamsConfig;
use super::error::RuntimeError;
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::{NodeKind, OffsetReset, Topology};
use afluente_client::Admin;
use afluente_client::admin::topics::NewTopic;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a topology is in the cluster.
#[derive(Debug)]
pub(super) struct Topics {
    /// Topics that the group reads.
    pub(super) sources: Vec<String>,
    /// How many partitions each topic has.
    pub(super) counts: BTreeMap<String, i32>,
    /// Topics that every instance reads whole.
    pub(super) global: Vec<Arc<str>>,
    /// Repartition topics: what was read of them may be deleted.
    pub(super) repartition: BTreeSet<String>,
    /// Where to begin without a committed offset, where the topology says so.
    pub(super) resets: BTreeMap<String, OffsetReset>,
    /// Sub-topologies with tasks, by number.
    pub(super) subtopologies: BTreeMap<u32, Subtopology>,
}

#[derive(Debug)]
pub(super) struct Subtopology {
    /// Its nodes, by their places in the topology.
    pub(super) nodes: Vec<usize>,
    /// What it reads, without global topics.
    pub(super) sources: BTreeSet<String>,
    /// Changelogs by store.
    pub(super) changelogs: BTreeMap<String, Arc<str>>,
    /// How many tasks it has.
    pub(super) task_count: i32,
}

/// Added to the history of versioned stores, as in Kafka Streams.
const VERSIONED_COMPACTION_LAG_MS: i64 = 24 * 60 * 60 * 1000;

/// Size of a repartition topic's segments: what was read is deleted segment by segment.
const REPARTITION_SEGMENT_BYTES: &str = "52428800";

impl Topics {
    /// Looks up what is there, makes what is not, and checks that what is joined has as many partitions.
    pub(super) async fn settle(
        topology: &Topology,
        config: &StreamsConfig,
        admin: &Admin,
    ) -> Result<Self, RuntimeError> {
        let mut plan =
            Plan { topology, application: &config.application_id, counts: BTreeMap::new() };
        let mut found = Self::of_sources(&plan);
        let given: Vec<String> = found
            .sources
            .iter()
            .cloned()
            .chain(found.global.iter().map(|topic| topic.as_ref().to_owned()))
            .filter(|topic| !found.repartition.contains(topic))
            .collect();
        plan.counts = partition_counts(admin, given.iter().cloned()).await?;
        let missing: Vec<&str> = given
            .iter()
            .filter(|topic| !plan.counts.contains_key(*topic))
            .map(String::as_str)
            .collect();
        if !missing.is_empty() {
            return Err(RuntimeError::MissingTopics { topics: missing.join(", ") });
        }
        plan.size_repartition_topics();
        plan.check_copartitioning()?;
        let mut new: Vec<NewTopic> = found
            .repartition
            .iter()
            .map(|name| new_topic(name, plan.count(name), config, &repartition_configs()))
            .collect();
        for subtopology in found.subtopologies.values_mut() {
            subtopology.task_count =
                subtopology.sources.iter().map(|topic| plan.count(topic)).max().unwrap_or(0);
            for (store, changelog) in &subtopology.changelogs {
                if topology.source_changelogs.contains_key(store) {
                    continue;
                }
                let spec = &topology.stores[store].spec;
                plan.counts.insert(changelog.as_ref().to_owned(), subtopology.task_count);
                let configs = changelog_configs(spec, config);
                new.push(new_topic(changelog, subtopology.task_count, config, &configs));
            }
        }
        create(admin, new).await?;
        found.counts = plan.counts;
        Ok(found)
    }

    /// What the description says by itself.
    fn of_sources(plan: &Plan<'_>) -> Self {
        let (topology, application) = (plan.topology, plan.application);
        let mut found = Self {
            sources: Vec::new(),
            counts: BTreeMap::new(),
            global: Vec::new(),
            repartition: BTreeSet::new(),
            resets: BTreeMap::new(),
            subtopologies: BTreeMap::new(),
        };
        for (number, nodes) in (0..).zip(topology.node_groups()) {
            let is_global = topology.is_global_group(&nodes);
            for at in &nodes {
                let NodeKind::Source { topics, reset, .. } = &topology.nodes[*at].kind else {
                    continue;
                };
                for topic in topics {
                    let name = topology.topic_in_cluster(application, topic);
                    if is_global {
                        found.global.push(name);
                        continue;
                    }
                    let name = name.as_ref().to_owned();
                    if topology.internal_topics.contains_key(topic) {
                        found.repartition.insert(name.clone());
                        found.resets.insert(name.clone(), OffsetReset::Earliest);
                    } else if let Some(reset) = reset {
                        found.resets.insert(name.clone(), *reset);
                    }
                    found.sources.push(name);
                }
            }
            if is_global {
                continue;
            }
            let sources = plan.sources_of(&nodes).collect();
            let changelogs = topology
                .stores
                .iter()
                .filter(|(_, entry)| {
                    !entry.is_global
                        && entry
                            .users
                            .iter()
                            .any(|user| nodes.iter().any(|at| topology.nodes[*at].name == *user))
                })
                .filter_map(|(name, _)| {
                    Some((name.clone(), topology.changelog(application, name)?))
                })
                .collect();
            found
                .subtopologies
                .insert(number, Subtopology { nodes, sources, changelogs, task_count: 0 });
        }
        found.sources.sort_unstable();
        found.sources.dedup();
        found
    }
}

/// Numbers of partitions, on the way to being known.
struct Plan<'a> {
    topology: &'a Topology,
    application: &'a str,
    counts: BTreeMap<String, i32>,
}

impl Plan<'_> {
    fn count(&self, topic: &str) -> i32 {
        self.counts.get(topic).copied().unwrap_or(1)
    }

    fn name(&self, topic: &str) -> String {
        self.topology.topic_in_cluster(self.application, topic).as_ref().to_owned()
    }

    fn sources_of(&self, nodes: &[usize]) -> impl Iterator<Item = String> {
        let topics = nodes.iter().flat_map(|at| match &self.topology.nodes[*at].kind {
            NodeKind::Source { topics, .. } => topics.as_slice(),
            _ => &[],
        });
        topics.map(|topic| self.name(topic)).collect::<Vec<_>>().into_iter()
    }

    /// A repartition topic has as many partitions as it was told, or as the largest topic that flows into it, or that it is
    /// joined with.
    fn size_repartition_topics(&mut self) {
        let groups = self.topology.node_groups();
        // Each round settles at least one more topic, unless they feed each other.
        for _ in 0..=self.topology.internal_topics.len() {
            for (topic, internal) in &self.topology.internal_topics {
                let name = self.name(topic);
                if let Some(partitions) = internal.partitions {
                    self.counts.insert(name, partitions);
                    continue;
                }
                let feeds = |group: &&Vec<usize>| {
                    group.iter().any(|at| {
                        matches!(&self.topology.nodes[*at].kind, NodeKind::Sink { topic: Some(sink), .. } if sink == topic)
                    })
                };
                let largest = groups
                    .iter()
                    .filter(feeds)
                    .flat_map(|group| self.sources_of(group))
                    .filter_map(|source| self.counts.get(&source).copied())
                    .chain(self.counts.get(&name).copied())
                    .max();
                if let Some(largest) = largest {
                    self.counts.insert(name, largest);
                }
            }
            for group in self.topology.copartition_groups.clone() {
                let names = self.copartitioned(&group);
                // Java: the topics that are given decide, else those that were told a number.
                let fixed = names.iter().filter(|(_, is_free)| !**is_free).map(|(name, _)| name);
                let fixed = fixed.filter_map(|name| self.counts.get(name).copied()).max();
                let largest = fixed.or_else(|| {
                    names.keys().filter_map(|name| self.counts.get(name).copied()).max()
                });
                for (name, is_free) in names {
                    if let (true, Some(largest)) = (is_free, largest) {
                        self.counts.insert(name, largest);
                    }
                }
            }
        }
    }

    /// Topics that are joined, and whether each may have any number of partitions.
    fn copartitioned(&self, sources: &BTreeSet<String>) -> BTreeMap<String, bool> {
        let nodes = sources.iter().filter_map(|node| self.topology.node(node));
        let topics = nodes.flat_map(|node| match &node.kind {
            NodeKind::Source { topics, .. } => topics.as_slice(),
            _ => &[],
        });
        topics
            .map(|topic| {
                let internal = self.topology.internal_topics.get(topic);
                (self.name(topic), internal.is_some_and(|internal| internal.partitions.is_none()))
            })
            .collect()
    }

    fn check_copartitioning(&self) -> Result<(), RuntimeError> {
        for group in &self.topology.copartition_groups {
            let names: Vec<String> = self.copartitioned(group).into_keys().collect();
            let differ = names.windows(2).any(|pair| self.count(&pair[0]) != self.count(&pair[1]));
            if differ {
                let width = names.iter().map(String::len).max().unwrap_or(0);
                let lines =
                    names.iter().map(|name| format!("  {name:width$}  {}", self.count(name)));
                let table = lines.collect::<Vec<_>>().join("\n");
                return Err(RuntimeError::NotCopartitioned { table });
            }
        }
        Ok(())
    }
}

fn repartition_configs() -> Vec<(&'static str, String)> {
    vec![
        ("message.timestamp.type", "CreateTime".to_owned()),
        ("cleanup.policy", "delete".to_owned()),
        ("segment.bytes", REPARTITION_SEGMENT_BYTES.to_owned()),
        ("retention.ms", "-1".to_owned()),
    ]
}

fn changelog_configs(spec: &StoreSpec, config: &StreamsConfig) -> Vec<(&'static str, String)> {
    let mut configs = vec![("message.timestamp.type", "CreateTime".to_owned())];
    match spec.kind {
        StoreKind::KeyValue { .. } | StoreKind::Suppressed => {
            configs.push(("cleanup.policy", "compact".to_owned()));
        }
        StoreKind::Versioned { history_ms } => {
            configs.push(("cleanup.policy", "compact".to_owned()));
            // What is not the newest of its key is history until then.
            let lag_ms = history_ms.saturating_add(VERSIONED_COMPACTION_LAG_MS);
            configs.push(("min.compaction.lag.ms", lag_ms.to_string()));
        }
        StoreKind::Window { retention_ms, .. } | StoreKind::Session { retention_ms } => {
            configs.push(("cleanup.policy", "compact,delete".to_owned()));
            // Clocks differ: records stay a while longer than their windows.
            let retention_ms = retention_ms.saturating_add(config.additional_retention_ms);
            configs.push(("retention.ms", retention_ms.to_string()));
        }
    }
    configs
}

fn new_topic(
    name: &str,
    partitions: i32,
    config: &StreamsConfig,
    configs: &[(&str, String)],
) -> NewTopic {
    let own = configs.iter().map(|(key, value)| (*key, value.as_str()));
    NewTopic {
        name: name.to_owned(),
        partitions: Some(partitions),
        replication_factor: config.replication_factor,
        assignments: BTreeMap::new(),
        configs: own
            .chain(config.topic_configs())
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    }
}

/// Of those topics that are there.
async fn partition_counts(
    admin: &Admin,
    topics: impl Iterator<Item = String>,
) -> Result<BTreeMap<String, i32>, RuntimeError> {
    let topics: BTreeSet<String> = topics.collect();
    if topics.is_empty() {
        return Ok(BTreeMap::new());
    }
    let found = admin.describe_topics(topics).await?;
    let counts = found.into_iter().filter_map(|(name, described)| {
        // A partition without a leader is one that is not made yet.
        let partitions = described.ok()?.partitions;
        let is_whole = partitions.values().all(|partition| partition.leader.is_some());
        is_whole.then_some((name, i32::try_from(partitions.len()).ok()?))
    });
    Ok(counts.collect())
}

/// Makes topics that are not there, and checks the size of those that are.
async fn create(admin: &Admin, new: Vec<NewTopic>) -> Result<(), RuntimeError> {
    let client = admin.client();
    let mut retry = client.retry(client.deadline());
    loop {
        let there = partition_counts(admin, new.iter().map(|topic| topic.name.clone())).await?;
        for topic in &new {
            if let (Some(found), Some(wanted)) = (there.get(&topic.name), topic.partitions)
                && *found != wanted
            {
                let topic = topic.name.clone();
                return Err(RuntimeError::InternalTopic { topic, found: *found, wanted });
            }
        }
        let missing: Vec<NewTopic> =
            new.iter().filter(|topic| !there.contains_key(&topic.name)).cloned().collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut refused = None;
        for created in admin.create_topics(missing).await?.into_values() {
            refused = refused.or(created.err());
        }
        // Another instance may have been quicker, and what was created takes a moment to be seen.
        let there = partition_counts(admin, new.iter().map(|topic| topic.name.clone())).await?;
        if let Some(absent) = new.iter().find(|topic| !there.contains_key(&topic.name)) {
            let not_yet =
                || afluente_client::Error::NoLeader { topic: absent.name.clone(), partition: 0 };
            retry.after(refused.unwrap_or_else(not_yet)).await?;
        }
    }
}
