//! Looks at the cluster again and again, and writes down what it sees.
//!
//! A round takes the offsets of all partitions; what changes less often (groups, configurations,
//! sizes) has rounds of its own. Rounds begin each [`ROUND`], or later where one takes long: about
//! a tenth of the time goes into looking, as long as that leaves no gap above [`REST_MAX`].

use crate::console::Console;
use crate::kafka::{At, TopicPartition};
use crate::metrics::{self, Metrics};
use crate::state::{
    GroupOffsetState, GroupState, HistoryPoint, PartitionState, SPARK_MS, State, TopicState, total,
};
use afluente_client::metadata::TopicMetadata;
use afluente_client::{ClusterMetadata, Error};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// Between two rounds, if they are short.
const ROUND: Duration = Duration::from_secs(1);
/// Time between rounds as a multiple of what a round took.
const REST: u32 = 9;
/// The longest time between rounds: one slow round of a broker that warms up must not blind us.
const REST_MAX: Duration = Duration::from_secs(5);
/// Rounds between two looks at groups, begins, and sizes.
const GROUPS_EACH: u64 = 2;
const BEGINS_EACH: u64 = 10;
const SIZES_EACH: u64 = 5;
/// Topics whose configuration is asked for in a round.
const CONFIGS_A_ROUND: usize = 500;
/// How long a configuration counts as known.
const CONFIGS_MS: i64 = 60_000;
/// Groups in one request.
const GROUPS_A_REQUEST: usize = 500;
/// How long the members of a group count as known.
const DESCRIBED_MS: i64 = 5_000;

/// Runs until the console stops.
pub(crate) async fn run(console: Arc<Console>) {
    let clock = console.env.clock.clone();
    for round in 0.. {
        let started = clock.now();
        let looked = look(&console, round).await;
        let now_ms = clock.wall_ms();
        console.write(|state| match &looked {
            Ok(()) => {
                if state.unreachable.take().is_some() {
                    tracing::info!("the cluster answers again");
                }
                state.as_of = now_ms;
                note_history(state, now_ms);
            }
            Err(error) => {
                if state.unreachable.is_none() {
                    tracing::warn!(%error, "the cluster does not answer");
                }
                state.unreachable = Some(error.to_string());
            }
        });
        console.alerts.round(&console, now_ms).await;
        console.ticks.send_modify(|tick| *tick = now_ms);
        let took = clock.now() - started;
        clock.sleep(ROUND.saturating_sub(took).max((took * REST).min(REST_MAX))).await;
    }
}

async fn look(console: &Console, round: u64) -> Result<(), Error> {
    let kafka = &console.kafka;
    let now_ms = || console.env.clock.wall_ms();
    let metadata = kafka.refresh_all().await?;
    console.write(|state| note_metadata(state, &metadata));
    let partitions: Vec<TopicPartition> = metadata
        .topics
        .iter()
        .filter(|(_, topic)| topic.error.is_none())
        .flat_map(|(name, topic)| {
            topic.partitions.keys().map(|partition| (name.clone(), *partition))
        })
        .collect();
    let all = |at| partitions.iter().cloned().map(|name| (name, at)).collect::<Vec<_>>();
    if round.is_multiple_of(BEGINS_EACH) {
        let begins = kafka.offsets(&all(At::Earliest)).await?;
        console.write(|state| {
            for (name, begin) in &begins {
                if let Some(partition) = partition_of(state, name) {
                    partition.begin = *begin;
                }
            }
        });
    }
    let ends = kafka.offsets(&all(At::Latest)).await?;
    console.write(|state| note_ends(state, &ends, now_ms()));
    if round.is_multiple_of(GROUPS_EACH) {
        look_at_groups(console).await?;
    }
    if round.is_multiple_of(SIZES_EACH) {
        look_at_sizes(console, &metadata).await;
    }
    look_at_configs(console).await;
    look_at_metrics(console).await;
    Ok(())
}

fn partition_of<'a>(state: &'a mut State, name: &TopicPartition) -> Option<&'a mut PartitionState> {
    state.topics.get_mut(&name.0)?.partitions.get_mut(&name.1)
}

fn note_metadata(state: &mut State, metadata: &ClusterMetadata) {
    state.cluster_id = metadata.cluster_id.clone().unwrap_or_default();
    state.controller_id = metadata.controller_id;
    state.brokers.retain(|id, _| metadata.brokers.contains_key(id));
    for (id, node) in &metadata.brokers {
        let broker = state.brokers.entry(*id).or_default();
        broker.host.clone_from(&node.address.host);
        (broker.port, broker.rack) = (node.address.port, node.rack.clone());
    }
    state.topics.retain(|name, _| metadata.topic(name).is_some());
    for (name, topic) in &metadata.topics {
        if topic.error.is_none() {
            note_topic(state, name, topic);
        }
    }
}

fn note_topic(state: &mut State, name: &str, topic: &TopicMetadata) {
    let id = (!topic.id.is_zero()).then(|| topic.id.to_string());
    let known = state.topics.entry(name.to_owned()).or_insert_with(TopicState::new);
    if known.id.is_some() && known.id != id {
        // Deleted and made again between two looks.
        *known = TopicState::new();
    }
    (known.id, known.internal) = (id, topic.is_internal || name.starts_with("__"));
    for (number, partition) in &topic.partitions {
        let known = known.partitions.entry(*number).or_insert_with(PartitionState::new);
        (known.leader, known.leader_epoch) = (partition.leader, partition.leader_epoch);
        known.replicas.clone_from(&partition.replicas);
        known.isr.clone_from(&partition.isr);
    }
}

fn note_ends(state: &mut State, ends: &BTreeMap<TopicPartition, i64>, now_ms: i64) {
    let mut read: BTreeSet<&TopicPartition> = BTreeSet::new();
    for group in state.groups.values() {
        read.extend(group.offsets.keys());
    }
    for (name, end) in ends {
        let Some(topic) = state.topics.get_mut(&name.0) else { continue };
        let Some(partition) = topic.partitions.get_mut(&name.1) else { continue };
        if partition.end.is_some_and(|before| before != *end) {
            topic.grew_ms = Some(now_ms);
        }
        partition.growth.look(now_ms, *end);
        partition.end = Some(*end);
        partition.begin = partition.begin.min(*end);
        if read.contains(name) {
            partition.end_times.get_or_insert_default().look(now_ms, *end);
        } else {
            partition.end_times = None;
        }
    }
    for topic in state.topics.values_mut() {
        if now_ms - topic.sparked_ms >= SPARK_MS {
            topic.sparked_ms = now_ms;
            let rate = topic.in_messages();
            topic.spark.push(rate as f32);
        }
    }
}

async fn look_at_groups(console: &Console) -> Result<(), Error> {
    let kafka = &console.kafka;
    let listings = kafka.groups().await?;
    let mut by_coordinator: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for listing in &listings {
        by_coordinator.entry(listing.coordinator).or_default().push(listing.name.clone());
    }
    let mut committed = BTreeMap::new();
    for (coordinator, names) in &by_coordinator {
        for some in names.chunks(GROUPS_A_REQUEST) {
            match kafka.committed_of_many(*coordinator, some).await {
                Ok(offsets) => committed.extend(offsets),
                // Before version 8 of the request each group is asked for by itself.
                Err(Error::CannotSay { .. }) => {
                    for name in some {
                        committed.insert(name.clone(), kafka.committed(name).await?);
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }
    let now_ms = console.env.clock.wall_ms();
    let due = console.write(|state| {
        let names: BTreeSet<&String> = listings.iter().map(|listing| &listing.name).collect();
        state.groups.retain(|name, _| names.contains(name));
        for listing in &listings {
            let group = state.groups.entry(listing.name.clone()).or_insert_with(GroupState::new);
            if group.state != listing.state {
                group.described_ms = 0;
            }
            group.state.clone_from(&listing.state);
            group.kind.clone_from(&listing.kind);
            group.coordinator = listing.coordinator;
        }
        for (name, offsets) in committed {
            note_offsets(state, &name, offsets, now_ms);
        }
        due_for_description(state, now_ms)
    });
    for ((coordinator, kind), names) in due {
        for some in names.chunks(GROUPS_A_REQUEST) {
            // A group may be gone, or of a kind that the broker does not describe: it is listed all
            // the same.
            let described =
                kafka.describe_groups(coordinator, &kind, some).await.unwrap_or_default();
            console.write(|state| {
                for name in some {
                    let Some(group) = state.groups.get_mut(name) else { continue };
                    group.described_ms = now_ms;
                    if let Some(described) = described.get(name) {
                        group.members = described.members.len();
                        group.state.clone_from(&described.state);
                    }
                }
            });
        }
    }
    Ok(())
}

fn due_for_description(state: &State, now_ms: i64) -> BTreeMap<(i32, String), Vec<String>> {
    let mut due: BTreeMap<_, Vec<String>> = BTreeMap::new();
    let old = state.groups.iter().filter(|(_, group)| now_ms - group.described_ms >= DESCRIBED_MS);
    for (name, group) in old.take(2 * GROUPS_A_REQUEST) {
        due.entry((group.coordinator, group.kind.clone())).or_default().push(name.clone());
    }
    due
}

fn note_offsets(
    state: &mut State,
    name: &str,
    offsets: BTreeMap<TopicPartition, i64>,
    now_ms: i64,
) {
    let Some(mut group) = state.groups.remove(name) else { return };
    group.offsets.retain(|partition, _| offsets.contains_key(partition));
    let is_spark_due = now_ms - group.sparked_ms >= SPARK_MS;
    for (partition, committed) in offsets {
        let end = state.range(&partition.0, partition.1).map(|(_, end)| end);
        let offset = group.offsets.entry(partition).or_insert_with(GroupOffsetState::new);
        offset.committed = committed;
        offset.growth.look(now_ms, committed);
        if let Some(end) = end {
            let lag = (end - committed).max(0);
            offset.recent.push((now_ms, lag));
            if is_spark_due {
                offset.spark.push(lag as f64);
            }
        }
    }
    let lag = state.lag_of_group(&group, None);
    group.recent.push((now_ms, lag.messages));
    if is_spark_due {
        group.sparked_ms = now_ms;
        group.history.push((now_ms, lag.messages, lag.seconds));
    }
    state.groups.insert(name.to_owned(), group);
}

async fn look_at_sizes(console: &Console, metadata: &ClusterMetadata) {
    let mut sizes: BTreeMap<TopicPartition, i64> = BTreeMap::new();
    let mut of_brokers = BTreeMap::new();
    for broker in metadata.brokers.keys() {
        let Ok(directories) = console.kafka.log_directories(*broker).await else { continue };
        for directory in &directories {
            for (topic, partitions) in &directory.sizes {
                for (partition, bytes) in partitions {
                    // Replicas have the same size or less: the largest counts.
                    let size = sizes.entry((topic.clone(), *partition)).or_default();
                    *size = (*size).max(*bytes);
                }
            }
        }
        of_brokers.insert(*broker, directories);
    }
    let now_ms = console.env.clock.wall_ms();
    console.write(|state| {
        for (name, bytes) in &sizes {
            if let Some(partition) = partition_of(state, name) {
                partition.size_bytes = Some(*bytes);
            }
        }
        for topic in state.topics.values_mut() {
            if let Some(bytes) = topic.size_bytes() {
                topic.size_growth.look(now_ms, bytes);
            }
        }
        let all = of_brokers.values().flatten();
        let total: Option<i64> = all.clone().map(|directory| directory.total_bytes).sum();
        let usable: Option<i64> = all.map(|directory| directory.usable_bytes).sum();
        if let (Some(total @ 1..), Some(usable)) = (total, usable) {
            state.disk.total_bytes = Some(total);
            state.disk.used.push((now_ms, total - usable));
        }
        for (id, directories) in of_brokers {
            if let Some(broker) = state.brokers.get_mut(&id) {
                broker.log_dirs = directories;
            }
        }
    });
}

async fn look_at_configs(console: &Console) {
    let now_ms = console.env.clock.wall_ms();
    let due: Vec<String> = console.read(|state| {
        let old = state.topics.iter().filter(|(_, topic)| now_ms - topic.configs_ms >= CONFIGS_MS);
        old.map(|(name, _)| name.clone()).take(CONFIGS_A_ROUND).collect()
    });
    if due.is_empty() {
        return;
    }
    // Without the right to see configurations everything else is still there.
    let configs = console.kafka.topic_configs(&due, CONFIG_KEYS).await.unwrap_or_default();
    console.write(|state| {
        for name in &due {
            note_configs(state, name, configs.get(name), now_ms);
        }
    });
}

async fn look_at_metrics(console: &Console) {
    let Some((host, port)) = &console.config.metrics else { return };
    let page = metrics::read(&console.env, host, *port).await;
    let now_ms = console.env.clock.wall_ms();
    console.write(|state| match page {
        Ok(page) => state.metrics.get_or_insert_with(Metrics::new).look(now_ms, page),
        Err(_) => state.metrics = None,
    });
}

fn note_history(state: &mut State, now_ms: i64) {
    let in_messages =
        total(state.topics.values().filter(|topic| !topic.internal).map(TopicState::in_messages));
    let rates: Vec<f64> = state
        .groups
        .values()
        .flat_map(|group| group.offsets.values())
        .filter_map(|offset| offset.growth.per_second())
        .collect();
    let metrics = state.metrics.as_ref();
    let latency = |api, share| metrics.and_then(|metrics| metrics.latency_ms(api, share));
    let point = HistoryPoint {
        t: now_ms,
        in_messages: Some(in_messages),
        in_bytes: metrics.and_then(Metrics::in_bytes),
        out_messages: (!rates.is_empty()).then(|| total(rates.iter().copied())),
        out_bytes: metrics.and_then(Metrics::out_bytes),
        produce_p50_ms: latency("Produce", 0.5),
        produce_p99_ms: latency("Produce", 0.99),
        fetch_p50_ms: latency("Fetch", 0.5),
        fetch_p99_ms: latency("Fetch", 0.99),
    };
    state.history.points.push(point);
}

/// Looks at a topic at once, so that who just changed it sees the change.
pub(crate) async fn look_at_topic(console: &Console, name: &str) -> Result<(), Error> {
    let metadata = console.kafka.refresh_topic(name).await?;
    let topic = metadata.topic(name).expect("a topic that is not there is an error above");
    let partitions: Vec<i32> = topic.partitions.keys().copied().collect();
    let ranges = console.kafka.ranges(name, &partitions).await?;
    let configs =
        console.kafka.topic_configs(&[name.to_owned()], CONFIG_KEYS).await.unwrap_or_default();
    let now_ms = console.env.clock.wall_ms();
    console.write(|state| {
        note_topic(state, name, topic);
        for (number, (begin, end)) in ranges {
            if let Some(partition) = partition_of(state, &(name.to_owned(), number)) {
                (partition.begin, partition.end) = (begin, Some(end));
            }
        }
        note_configs(state, name, configs.get(name), now_ms);
    });
    Ok(())
}

/// What is kept of a topic's configuration.
const CONFIG_KEYS: &[&str] = &["cleanup.policy", "retention.ms"];

fn note_configs(
    state: &mut State,
    name: &str,
    configs: Option<&BTreeMap<String, String>>,
    now_ms: i64,
) {
    let Some(topic) = state.topics.get_mut(name) else { return };
    topic.configs_ms = now_ms;
    if let Some(configs) = configs {
        topic.cleanup_policy = configs.get("cleanup.policy").cloned();
        topic.retention_ms = configs.get("retention.ms").and_then(|text| text.parse().ok());
    }
}
