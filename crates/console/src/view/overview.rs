//! The first screen: is all well, how much flows, who falls behind.

use crate::console::Console;
use crate::state::{HISTORY_POINTS, HistoryPoint, LAG_MIN, Lag, State};
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::Serialize;

/// Rows in the lists of this screen.
const TOP: usize = 8;

/// A disk that is full within this time is a problem.
const FULL_SOON_SECONDS: f64 = 24.0 * 3_600.0;
const FULL_PERCENT: f64 = 95.0;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    as_of: i64,
    problems: Vec<Problem_>,
    rates: Rates,
    totals: Totals,
    disk: Option<Disk>,
    top_topics: Vec<TopTopic>,
    lagging_groups: Vec<GroupLag>,
    firing_alerts: usize,
}

#[derive(Debug, Serialize)]
struct Problem_ {
    code: &'static str,
    severity: &'static str,
    subject: Option<String>,
    value: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rates {
    in_messages: f64,
    in_bytes: Option<f64>,
    out_messages: Option<f64>,
    out_bytes: Option<f64>,
    produce_p50_ms: Option<f64>,
    produce_p99_ms: Option<f64>,
    fetch_p50_ms: Option<f64>,
    fetch_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Totals {
    brokers: usize,
    topics: usize,
    partitions: usize,
    groups: usize,
    size_bytes: Option<i64>,
    under_replicated: usize,
    offline: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Disk {
    used_bytes: i64,
    total_bytes: i64,
    full_in_seconds: Option<f64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct TopTopic {
    name: String,
    in_messages: f64,
    in_bytes: Option<f64>,
    size_bytes: Option<i64>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct GroupLag {
    pub(crate) group: String,
    pub(crate) lag: i64,
    pub(crate) lag_seconds: Option<f64>,
    pub(crate) trend: &'static str,
    pub(crate) zero_in_seconds: Option<f64>,
}

impl GroupLag {
    pub(crate) fn of(group: &str, lag: &Lag) -> Self {
        Self {
            group: group.to_owned(),
            lag: lag.messages,
            lag_seconds: lag.seconds,
            trend: lag.trend,
            zero_in_seconds: lag.zero_in_seconds,
        }
    }
}

pub(crate) fn overview(console: &Console) -> Overview {
    let firing = console.alerts.firing();
    console.read(|state| {
        let mut lagging: Vec<GroupLag> = state
            .groups
            .iter()
            .map(|(name, group)| GroupLag::of(name, &state.lag_of_group(group, None)))
            .filter(|lag| lag.lag > 0)
            .collect();
        lagging.sort_by_key(|lag| std::cmp::Reverse(lag.lag));
        let mut problems = problems(state, &lagging);
        problems.extend(firing.iter().map(|(name, severity)| Problem_ {
            code: "ALERT_FIRING",
            severity: if *severity == "critical" { "critical" } else { "warning" },
            subject: Some(name.clone()),
            value: None,
        }));
        problems.sort_by_key(|problem| problem.severity != "critical");
        lagging.truncate(TOP);
        let point = state.history.points.last().copied().unwrap_or_default();
        Overview {
            as_of: state.as_of,
            problems,
            rates: Rates {
                in_messages: point.in_messages.unwrap_or(0.0),
                in_bytes: point.in_bytes,
                out_messages: point.out_messages,
                out_bytes: point.out_bytes,
                produce_p50_ms: point.produce_p50_ms,
                produce_p99_ms: point.produce_p99_ms,
                fetch_p50_ms: point.fetch_p50_ms,
                fetch_p99_ms: point.fetch_p99_ms,
            },
            totals: totals(state),
            disk: disk(state),
            top_topics: top_topics(state),
            lagging_groups: lagging,
            firing_alerts: firing.len(),
        }
    })
}

fn problems(state: &State, lagging: &[GroupLag]) -> Vec<Problem_> {
    let mut problems = Vec::new();
    let mut add = |code, severity, subject: Option<&str>, value| {
        problems.push(Problem_ { code, severity, subject: subject.map(str::to_owned), value });
    };
    if state.unreachable.is_some() {
        add("CLUSTER_UNREACHABLE", "critical", None, None);
    }
    let totals = totals(state);
    if totals.offline > 0 {
        add("OFFLINE_PARTITIONS", "critical", None, Some(totals.offline as f64));
    }
    if totals.under_replicated > 0 {
        add("UNDER_REPLICATED", "warning", None, Some(totals.under_replicated as f64));
    }
    for (id, broker) in &state.brokers {
        for _ in broker.log_dirs.iter().filter(|directory| directory.error.is_some()) {
            add("LOG_DIR_OFFLINE", "critical", Some(&id.to_string()), None);
        }
    }
    if let Some(disk) = disk(state) {
        let percent = disk.used_bytes as f64 / disk.total_bytes.max(1) as f64 * 100.0;
        let soon = disk.full_in_seconds.filter(|seconds| *seconds < FULL_SOON_SECONDS);
        if soon.is_some() || percent >= FULL_PERCENT {
            let severity = if percent >= FULL_PERCENT { "critical" } else { "warning" };
            add("DISK_FULL_SOON", severity, None, soon);
        }
    }
    for lag in lagging.iter().filter(|lag| lag.lag >= LAG_MIN && lag.trend == "rising").take(TOP) {
        add("GROUP_FALLING_BEHIND", "warning", Some(&lag.group), lag.lag_seconds);
    }
    problems
}

fn totals(state: &State) -> Totals {
    let topics = || state.topics.values();
    Totals {
        brokers: state.brokers.len(),
        topics: topics().filter(|topic| !topic.internal).count(),
        partitions: topics().map(|topic| topic.partitions.len()).sum(),
        groups: state.groups.len(),
        size_bytes: topics().map(crate::state::TopicState::size_bytes).sum(),
        under_replicated: topics().map(crate::state::TopicState::under_replicated).sum(),
        offline: topics().map(crate::state::TopicState::offline).sum(),
    }
}

fn disk(state: &State) -> Option<Disk> {
    let (_, used_bytes) = *state.disk.used.last()?;
    let total_bytes = state.disk.total_bytes?;
    Some(Disk { used_bytes, total_bytes, full_in_seconds: state.disk.full_in_seconds() })
}

fn top_topics(state: &State) -> Vec<TopTopic> {
    let mut top: Vec<TopTopic> = state
        .topics
        .iter()
        .filter(|(_, topic)| !topic.internal)
        .map(|(name, topic)| TopTopic {
            name: name.clone(),
            in_messages: topic.in_messages(),
            in_bytes: topic.in_bytes(),
            size_bytes: topic.size_bytes(),
        })
        .collect();
    top.sort_by(|one, other| other.in_messages.total_cmp(&one.in_messages));
    top.truncate(TOP);
    top
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OverviewHistory {
    t: Vec<i64>,
    in_messages: Vec<Option<f64>>,
    in_bytes: Vec<Option<f64>>,
    out_messages: Vec<Option<f64>>,
    out_bytes: Vec<Option<f64>>,
    produce_p99_ms: Vec<Option<f64>>,
    fetch_p99_ms: Vec<Option<f64>>,
}

pub(crate) fn history(console: &Console, request: &Request) -> Result<Response, Problem> {
    let window_ms: i64 = request.query().parsed("windowMs")?.unwrap_or(900_000);
    let points: Vec<HistoryPoint> = console.read(|state| {
        let from_ms = state.as_of - window_ms;
        state
            .history
            .points
            .iter()
            .filter(|point| point.t >= from_ms)
            .copied()
            .take(HISTORY_POINTS)
            .collect()
    });
    let column = |of: fn(&HistoryPoint) -> Option<f64>| points.iter().map(of).collect();
    Ok(Response::json(&OverviewHistory {
        t: points.iter().map(|point| point.t).collect(),
        in_messages: column(|point| point.in_messages),
        in_bytes: column(|point| point.in_bytes),
        out_messages: column(|point| point.out_messages),
        out_bytes: column(|point| point.out_bytes),
        produce_p99_ms: column(|point| point.produce_p99_ms),
        fetch_p99_ms: column(|point| point.fetch_p99_ms),
    }))
}
