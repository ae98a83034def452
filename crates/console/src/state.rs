//! What the console knows of the cluster: the newest look, and a little of the past.
//!
//! The sampler writes it, everybody else reads it; no answer to a reader waits for the cluster
//! where this will do.

use crate::kafka::{LogDirectory, TopicPartition};
use crate::metrics::Metrics;
use crate::series::{EndTimes, Growth, Ring, trend};
use std::collections::BTreeMap;

/// Points of a sparkline: one each [`SPARK_MS`].
const SPARK_POINTS: usize = 30;
pub(crate) const SPARK_MS: i64 = 10_000;

/// Points of the overview's history: one a second.
pub(crate) const HISTORY_POINTS: usize = 900;

/// Points of a group's history: one each [`SPARK_MS`], for an hour and a half.
const GROUP_POINTS: usize = 540;

/// A group counts as falling behind from so many messages on.
pub(crate) const LAG_MIN: i64 = 1_000;

#[derive(Debug, Default)]
pub(crate) struct State {
    /// When the sampler last got an answer, Unix milliseconds.
    pub(crate) as_of: i64,
    /// Why the last look failed.
    pub(crate) unreachable: Option<String>,
    pub(crate) cluster_id: String,
    pub(crate) controller_id: Option<i32>,
    pub(crate) brokers: BTreeMap<i32, BrokerState>,
    pub(crate) topics: BTreeMap<String, TopicState>,
    pub(crate) groups: BTreeMap<String, GroupState>,
    pub(crate) history: History,
    pub(crate) metrics: Option<Metrics>,
    pub(crate) disk: DiskState,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct BrokerState {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) rack: Option<String>,
    pub(crate) log_dirs: Vec<LogDirectory>,
}

#[derive(Debug, Clone)]
pub(crate) struct TopicState {
    pub(crate) id: Option<String>,
    pub(crate) internal: bool,
    pub(crate) partitions: BTreeMap<i32, PartitionState>,
    pub(crate) cleanup_policy: Option<String>,
    pub(crate) retention_ms: Option<i64>,
    pub(crate) spark: Ring<f32>,
    pub(crate) sparked_ms: i64,
    /// When its configuration was last asked for; 0: never.
    pub(crate) configs_ms: i64,
    pub(crate) size_growth: Growth,
    /// When a message last came, as far as we saw.
    pub(crate) grew_ms: Option<i64>,
}

/// The sum of rates; that of none is 0 and not, as the standard library has it, -0.
pub(crate) fn total(rates: impl Iterator<Item = f64>) -> f64 {
    rates.fold(0.0, |sum, rate| sum + rate)
}

#[derive(Debug, Clone)]
pub(crate) struct PartitionState {
    pub(crate) leader: Option<i32>,
    pub(crate) leader_epoch: i32,
    pub(crate) replicas: Vec<i32>,
    pub(crate) isr: Vec<i32>,
    pub(crate) begin: i64,
    pub(crate) end: Option<i64>,
    pub(crate) size_bytes: Option<i64>,
    pub(crate) growth: Growth,
    /// Kept while a group reads the partition.
    pub(crate) end_times: Option<EndTimes>,
}

#[derive(Debug, Clone)]
pub(crate) struct GroupState {
    pub(crate) state: String,
    pub(crate) kind: String,
    pub(crate) coordinator: i32,
    pub(crate) members: usize,
    pub(crate) described_ms: i64,
    pub(crate) offsets: BTreeMap<TopicPartition, GroupOffsetState>,
    /// Time (Unix ms), lag in messages, lag in seconds.
    pub(crate) history: Ring<(i64, i64, Option<f64>)>,
    pub(crate) sparked_ms: i64,
    /// Total lag at the last few looks.
    pub(crate) recent: Ring<(i64, i64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct GroupOffsetState {
    pub(crate) committed: i64,
    pub(crate) growth: Growth,
    pub(crate) recent: Ring<(i64, i64)>,
    pub(crate) spark: Ring<f64>,
}

/// How far a group is behind.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Lag {
    pub(crate) messages: i64,
    pub(crate) seconds: Option<f64>,
    pub(crate) trend: &'static str,
    pub(crate) zero_in_seconds: Option<f64>,
}

/// Columns of one length.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) points: Ring<HistoryPoint>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct HistoryPoint {
    pub(crate) t: i64,
    pub(crate) in_messages: Option<f64>,
    pub(crate) in_bytes: Option<f64>,
    pub(crate) out_messages: Option<f64>,
    pub(crate) out_bytes: Option<f64>,
    pub(crate) produce_p50_ms: Option<f64>,
    pub(crate) produce_p99_ms: Option<f64>,
    pub(crate) fetch_p50_ms: Option<f64>,
    pub(crate) fetch_p99_ms: Option<f64>,
}

impl Default for History {
    fn default() -> Self {
        Self { points: Ring::of(HISTORY_POINTS) }
    }
}

/// Of all log directories together.
#[derive(Debug)]
pub(crate) struct DiskState {
    /// Time (Unix ms) and bytes used on the file systems, for ten minutes.
    pub(crate) used: Ring<(i64, i64)>,
    pub(crate) total_bytes: Option<i64>,
}

impl Default for DiskState {
    fn default() -> Self {
        Self { used: Ring::of(120), total_bytes: None }
    }
}

/// What was written in less time says little about the next day.
const FORECAST_SECONDS_MIN: f64 = 300.0;

impl DiskState {
    pub(crate) fn full_in_seconds(&self) -> Option<f64> {
        let ((from_ms, from), (to_ms, to)) = (self.used.first()?, self.used.last()?);
        let elapsed = (to_ms - from_ms) as f64 / 1_000.0;
        let grown = (to - from) as f64;
        if elapsed < FORECAST_SECONDS_MIN || grown <= 0.0 {
            return None;
        }
        Some((self.total_bytes? - to) as f64 / (grown / elapsed))
    }
}

impl TopicState {
    pub(crate) fn new() -> Self {
        Self {
            id: None,
            internal: false,
            partitions: BTreeMap::new(),
            cleanup_policy: None,
            retention_ms: None,
            spark: Ring::of(SPARK_POINTS),
            sparked_ms: 0,
            configs_ms: 0,
            size_growth: Growth::new(),
            grew_ms: None,
        }
    }

    pub(crate) fn messages(&self) -> i64 {
        self.partitions
            .values()
            .map(|partition| partition.end.map_or(0, |end| end - partition.begin))
            .sum()
    }

    pub(crate) fn size_bytes(&self) -> Option<i64> {
        self.partitions.values().map(|partition| partition.size_bytes).sum()
    }

    pub(crate) fn in_messages(&self) -> f64 {
        total(self.partitions.values().filter_map(|partition| partition.growth.per_second()))
    }

    /// Bytes a second, by the sizes of the logs.
    pub(crate) fn in_bytes(&self) -> Option<f64> {
        self.size_growth.per_second()
    }

    pub(crate) fn replication_factor(&self) -> usize {
        self.partitions.values().map(|partition| partition.replicas.len()).max().unwrap_or(0)
    }

    pub(crate) fn under_replicated(&self) -> usize {
        self.partitions
            .values()
            .filter(|partition| partition.isr.len() < partition.replicas.len())
            .count()
    }

    pub(crate) fn offline(&self) -> usize {
        self.partitions.values().filter(|partition| partition.leader.is_none()).count()
    }
}

impl PartitionState {
    pub(crate) fn new() -> Self {
        Self {
            leader: None,
            leader_epoch: -1,
            replicas: Vec::new(),
            isr: Vec::new(),
            begin: 0,
            end: None,
            size_bytes: None,
            growth: Growth::new(),
            end_times: None,
        }
    }
}

impl GroupState {
    pub(crate) fn new() -> Self {
        Self {
            state: String::new(),
            kind: String::new(),
            coordinator: -1,
            members: 0,
            described_ms: 0,
            offsets: BTreeMap::new(),
            history: Ring::of(GROUP_POINTS),
            sparked_ms: 0,
            recent: Ring::of(RECENT_POINTS),
        }
    }
}

/// Looks that a trend is made of.
const RECENT_POINTS: usize = 15;

impl GroupOffsetState {
    pub(crate) fn new() -> Self {
        Self {
            committed: 0,
            growth: Growth::new(),
            recent: Ring::of(RECENT_POINTS),
            spark: Ring::of(SPARK_POINTS),
        }
    }
}

/// The trend of lags at times, and when it is gone at that pace.
fn forecast(recent: &Ring<(i64, i64)>) -> (&'static str, Option<f64>) {
    let values: Vec<f64> = recent.iter().map(|(_, lag)| *lag as f64).collect();
    let zero = || {
        let ((from_ms, from), (to_ms, to)) = (recent.first()?, recent.last()?);
        let elapsed = (to_ms - from_ms) as f64 / 1_000.0;
        let fallen = (from - to) as f64;
        (*to > 0 && elapsed > 0.0 && fallen > 0.0).then(|| *to as f64 / (fallen / elapsed))
    };
    (trend(&values), zero())
}

impl State {
    /// Where a partition begins and ends.
    pub(crate) fn range(&self, topic: &str, partition: i32) -> Option<(i64, i64)> {
        let state = self.topics.get(topic)?.partitions.get(&partition)?;
        Some((state.begin, state.end?))
    }

    /// Age of the oldest message that is not consumed; 0 where nothing is left.
    pub(crate) fn lag_seconds(&self, topic: &str, partition: i32, committed: i64) -> Option<f64> {
        let state = self.topics.get(topic)?.partitions.get(&partition)?;
        if committed >= state.end? {
            return Some(0.0);
        }
        let arrived = state.end_times.as_ref()?.arrived_ms(committed)?;
        Some((self.as_of - arrived).max(0) as f64 / 1_000.0)
    }

    pub(crate) fn lag_of_offset(
        &self,
        (topic, partition): &TopicPartition,
        offset: &GroupOffsetState,
    ) -> Option<Lag> {
        let (_, end) = self.range(topic, *partition)?;
        let (trend, zero_in_seconds) = forecast(&offset.recent);
        Some(Lag {
            messages: (end - offset.committed).max(0),
            seconds: self.lag_seconds(topic, *partition, offset.committed),
            trend,
            zero_in_seconds,
        })
    }

    /// Of a whole group, or of what it reads of one topic.
    pub(crate) fn lag_of_group(&self, group: &GroupState, topic: Option<&str>) -> Lag {
        let mut lag =
            Lag { messages: 0, seconds: Some(0.0), trend: "steady", zero_in_seconds: None };
        for (name, offset) in &group.offsets {
            if topic.is_some_and(|topic| topic != name.0) {
                continue;
            }
            let Some(of_offset) = self.lag_of_offset(name, offset) else { continue };
            lag.messages += of_offset.messages;
            lag.seconds = match (lag.seconds, of_offset.seconds) {
                (Some(one), Some(other)) => Some(one.max(other)),
                _ => None,
            };
        }
        (lag.trend, lag.zero_in_seconds) = forecast(&group.recent);
        if lag.messages == 0 {
            lag.zero_in_seconds = None;
        }
        lag
    }

    /// Names of the groups that have offsets for a topic.
    pub(crate) fn groups_of(&self, topic: &str) -> Vec<&str> {
        let reads = |group: &GroupState| {
            let from = (topic.to_owned(), i32::MIN);
            group.offsets.range(from..).next().is_some_and(|((name, _), _)| name == topic)
        };
        self.groups
            .iter()
            .filter(|(_, group)| reads(group))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// How many groups read each topic.
    pub(crate) fn group_counts(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for group in self.groups.values() {
            let mut last = "";
            for (topic, _) in group.offsets.keys() {
                if topic != last {
                    *counts.entry(topic.as_str()).or_default() += 1;
                    last = topic;
                }
            }
        }
        counts
    }
}
