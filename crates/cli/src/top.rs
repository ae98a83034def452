//! `afluente top`: what a cluster does at the moment, on a terminal.

use crate::cluster::ClusterArguments;
use crate::kafka::connect::World;
use crate::stopping::{Ended, until_stop};
use crate::terminal::{Color, Output, Painter, When, bytes, grouped, table};
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::{Admin, TopicPartition};
use afluente_env::clock::Moment;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::time::Duration;

#[derive(Args)]
#[command(after_help = AFTER_HELP)]
pub(crate) struct TopArguments {
    #[command(flatten)]
    cluster: ClusterArguments,
    /// Seconds between two looks.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 2.0)]
    interval: f64,
    /// How topics are sorted; groups are sorted by their lag.
    #[arg(short, long, value_enum, default_value = "rate", value_name = "BY")]
    sort: Sort,
    /// So many looks, one under the other, and stop; the first one knows no rates.
    #[arg(short = 'n', long, value_name = "COUNT")]
    looks: Option<u64>,
    /// How looks are written where --looks is given; table or json.
    #[arg(long, value_name = "FORM", value_enum, default_value = "table")]
    output: Output,
    /// Also Kafka's own topics.
    #[arg(long)]
    internal: bool,
    /// Colours: auto, always or never.
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: When,
}

const AFTER_HELP: &str = "\
Ctrl-C ends it. Rates are those between two looks.

Exit codes: 0 done or stopped, 1 failed, 2 not understood.";

/// How topics are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Sort {
    /// Records a second.
    Rate,
    /// Bytes.
    Size,
    /// Records.
    Records,
    /// Names.
    Name,
}

/// What was seen at once.
struct Look {
    at: Moment,
    brokers: usize,
    cluster_id: String,
    topics: BTreeMap<String, Topic>,
    groups: Vec<Group>,
}

#[derive(Default, Clone, Copy)]
struct Topic {
    partitions: usize,
    /// Without a leader or with replicas that are not in sync.
    troubled: usize,
    records: i64,
    ends: i64,
    bytes: i64,
}

struct Group {
    name: String,
    state: String,
    members: usize,
    /// `None` if it has committed nothing.
    lag: Option<i64>,
    committed: i64,
}

pub(crate) fn run(arguments: TopArguments) -> anyhow::Result<()> {
    let is_interval = (0.1..=86_400.0).contains(&arguments.interval);
    anyhow::ensure!(is_interval, "--interval has to be between 0.1 and 86400");
    let is_live = arguments.looks.is_none() && std::io::stdout().is_terminal();
    let looks = arguments.looks.or((!is_live).then_some(1));
    let world = World::start()?;
    let admin = arguments.cluster.admin(&world.env)?;
    let outcome = world.cores.block_on(async move {
        match until_stop(watch(&admin, &arguments, looks)).await? {
            Ended::Done(outcome) => outcome,
            Ended::Stopped => Ok(()),
        }
    });
    if is_live {
        // The cursor again, and the screen as it was before.
        let _ = write!(std::io::stdout().lock(), "\x1b[?25h\x1b[?1049l");
    }
    outcome
}

async fn watch(admin: &Admin, arguments: &TopArguments, looks: Option<u64>) -> anyhow::Result<()> {
    let clock = admin.client().env().clock.clone();
    let interval = Duration::from_secs_f64(arguments.interval);
    let painter = Painter { has_colors: arguments.color.holds() };
    let mut before: Option<Look> = None;
    let mut count = 0;
    loop {
        let look = look(admin, arguments.internal).await?;
        let mut text = String::new();
        match looks {
            None => {
                let (rows, columns) = screen();
                if before.is_none() {
                    text.push_str("\x1b[?1049h\x1b[?25l");
                }
                text.push_str("\x1b[H");
                let lines = lines(&look, before.as_ref(), arguments.sort, Some(rows), painter);
                for line in lines.iter().take(rows) {
                    text.push_str(&cut(line, columns));
                    text.push_str("\x1b[K\r\n");
                }
                text.truncate(text.len().saturating_sub(2));
                text.push_str("\x1b[J");
            }
            Some(_) if arguments.output == Output::Json => {
                text = json_line(&look, before.as_ref());
                text.push('\n');
            }
            Some(_) => {
                for line in lines(&look, before.as_ref(), arguments.sort, None, painter) {
                    text.push_str(&line);
                    text.push('\n');
                }
            }
        }
        let mut out = std::io::stdout();
        out.write_all(text.as_bytes())?;
        out.flush()?;
        count += 1;
        if looks.is_some_and(|looks| count >= looks) {
            return Ok(());
        }
        before = Some(look);
        clock.sleep(interval).await;
    }
}

async fn look(admin: &Admin, with_internal: bool) -> anyhow::Result<Look> {
    let cluster = admin.describe_cluster(false).await?;
    let metadata = admin.list_topics().await?;
    let mut topics: BTreeMap<String, Topic> = BTreeMap::new();
    let mut partitions = Vec::new();
    for topic in metadata.topics.values().filter(|topic| with_internal || !topic.is_internal) {
        let troubled = topic.partitions.values().filter(|partition| {
            partition.leader.is_none() || partition.isr.len() < partition.replicas.len()
        });
        let seen = Topic {
            partitions: topic.partitions.len(),
            troubled: troubled.count(),
            ..Topic::default()
        };
        topics.insert(topic.name.clone(), seen);
        let numbers = topic.partitions.keys();
        partitions.extend(numbers.map(|&number| TopicPartition::new(topic.name.as_str(), number)));
    }
    let level = IsolationLevel::ReadUncommitted;
    let offsets = |spec| {
        let asked: Vec<_> = partitions.iter().map(|partition| (partition.clone(), spec)).collect();
        admin.list_offsets(asked, level)
    };
    let ends = offsets(OffsetSpec::Latest).await?;
    let at = admin.client().env().clock.now();
    let starts = offsets(OffsetSpec::Earliest).await?;
    let offset = |of: &afluente_client::admin::Results<TopicPartition, _>, partition| {
        let found: Option<&Result<afluente_client::admin::offsets::FoundOffset, _>> =
            of.get(partition);
        found.and_then(|found| found.as_ref().ok()).map_or(0, |found| found.offset)
    };
    for partition in &partitions {
        let end = offset(&ends, partition);
        if let Some(topic) = topics.get_mut(&*partition.topic) {
            topic.ends += end;
            topic.records += end - offset(&starts, partition);
        }
    }
    let brokers: Vec<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
    for (_, dirs) in admin.describe_log_dirs(&brokers).await? {
        for dir in dirs.unwrap_or_default().into_values() {
            for (partition, replica) in dir.replicas {
                if let Some(topic) = topics.get_mut(&*partition.topic) {
                    topic.bytes += replica.size;
                }
            }
        }
    }
    let groups = groups(admin, &ends).await?;
    Ok(Look { at, brokers: brokers.len(), cluster_id: cluster.cluster_id, topics, groups })
}

type Ends =
    afluente_client::admin::Results<TopicPartition, afluente_client::admin::offsets::FoundOffset>;

async fn groups(admin: &Admin, ends: &Ends) -> anyhow::Result<Vec<Group>> {
    let listed = admin.list_groups(&[], &[]).await?;
    let names: Vec<String> = listed.iter().map(|group| group.group_id.clone()).collect();
    let mut described = admin.describe_groups(names).await?;
    let mut groups = Vec::new();
    for group in listed {
        let members = match described.remove(&group.group_id) {
            Some(Ok(described)) => described.members.len(),
            _ => 0,
        };
        // A group may go between two questions.
        let committed = admin.committed_offsets(&group.group_id).await.unwrap_or_default();
        let mut lag = None;
        let mut sum = 0;
        for (partition, offset) in committed {
            sum += offset.offset;
            if let Some(Ok(end)) = ends.get(&partition) {
                *lag.get_or_insert(0) += (end.offset - offset.offset).max(0);
            }
        }
        groups.push(Group {
            name: group.group_id,
            state: group.state,
            members,
            lag,
            committed: sum,
        });
    }
    groups.sort_by(|a, b| b.lag.cmp(&a.lag).then_with(|| a.name.cmp(&b.name)));
    Ok(groups)
}

/// What changed a second since the look before.
fn rate(now: i64, before: Option<i64>, seconds: Option<f64>) -> Option<f64> {
    Some((now - before?).max(0) as f64 / seconds?)
}

fn seconds_since(look: &Look, before: Option<&Look>) -> Option<f64> {
    let before = before?;
    Some(look.at.saturating_since(before.at).as_secs_f64().max(0.001))
}

fn lines(
    look: &Look,
    before: Option<&Look>,
    sort: Sort,
    rows_max: Option<usize>,
    painter: Painter,
) -> Vec<String> {
    let seconds = seconds_since(look, before);
    let was = |name: &str| before.and_then(|before| before.topics.get(name)).copied();
    let mut rows: Vec<(f64, &String, Vec<String>)> = look
        .topics
        .iter()
        .map(|(name, topic)| {
            let per_second = rate(topic.ends, was(name).map(|was| was.ends), seconds);
            let bytes_per_second = rate(topic.bytes, was(name).map(|was| was.bytes), seconds);
            let cells = vec![
                name.clone(),
                topic.partitions.to_string(),
                if topic.troubled == 0 { String::new() } else { format!("{} !", topic.troubled) },
                grouped(topic.records.max(0).unsigned_abs()),
                bytes(topic.bytes as f64),
                per_second.map_or_else(String::new, |rate| grouped(rate.round() as u64)),
                bytes_per_second.map_or_else(String::new, |rate| format!("{}/s", bytes(rate))),
            ];
            let by = match sort {
                Sort::Rate => per_second.unwrap_or(topic.records as f64),
                Sort::Size => topic.bytes as f64,
                Sort::Records => topic.records as f64,
                Sort::Name => 0.0,
            };
            (by, name, cells)
        })
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let all: f64 = look
        .topics
        .iter()
        .filter_map(|(name, topic)| rate(topic.ends, was(name).map(|was| was.ends), seconds))
        .sum();
    let head = format!(
        "{}  {} broker{}  {} topics  {} groups  {} records/s",
        painter.paint(Color::Cyan, &look.cluster_id),
        look.brokers,
        if look.brokers == 1 { "" } else { "s" },
        look.topics.len(),
        look.groups.len(),
        if seconds.is_some() { grouped(all.round() as u64) } else { "-".to_owned() },
    );
    let groups: Vec<Vec<String>> = look
        .groups
        .iter()
        .map(|group| {
            let mut earlier = before.iter().flat_map(|before| &before.groups);
            let was = earlier.find(|was| was.name == group.name).map(|was| was.committed);
            let per_second = rate(group.committed, was, seconds);
            vec![
                group.name.clone(),
                group.state.clone(),
                group.members.to_string(),
                group.lag.map_or_else(|| "-".to_owned(), |lag| grouped(lag.unsigned_abs())),
                per_second.map_or_else(String::new, |rate| grouped(rate.round() as u64)),
            ]
        })
        .collect();
    let mut topics: Vec<Vec<String>> = rows.into_iter().map(|(_, _, cells)| cells).collect();
    let mut hidden = 0;
    if let Some(rows_max) = rows_max {
        // The head, two headers, two empty lines, and a line about what is not shown.
        let room = rows_max.saturating_sub(6);
        let for_groups = groups.len().min(room / 3);
        let most = room.saturating_sub(for_groups).max(1);
        hidden = topics.len().saturating_sub(most);
        topics.truncate(most);
    }
    let header = ["TOPIC", "PARTITIONS", "TROUBLE", "RECORDS", "SIZE", "RECORDS/S", "BYTES/S"];
    let mut lines = vec![head, String::new()];
    lines.extend(table(&header, &topics, painter));
    if hidden > 0 {
        lines.push(painter.paint(Color::Dim, &format!("and {hidden} more topics")));
    }
    lines.push(String::new());
    let header = ["GROUP", "STATE", "MEMBERS", "LAG", "RECORDS/S"];
    lines.extend(table(&header, &groups, painter));
    lines
}

fn json_line(look: &Look, before: Option<&Look>) -> String {
    let seconds = seconds_since(look, before);
    let topics: Vec<_> = look
        .topics
        .iter()
        .map(|(name, topic)| {
            let was = before.and_then(|before| before.topics.get(name));
            json!({
                "topic": name,
                "partitions": topic.partitions,
                "troubled": topic.troubled,
                "records": topic.records,
                "bytes": topic.bytes,
                "recordsPerSecond": rate(topic.ends, was.map(|was| was.ends), seconds),
                "bytesPerSecond": rate(topic.bytes, was.map(|was| was.bytes), seconds),
            })
        })
        .collect();
    let groups: Vec<_> = look
        .groups
        .iter()
        .map(|group| {
            json!({
                "group": group.name,
                "state": group.state,
                "members": group.members,
                "lag": group.lag,
            })
        })
        .collect();
    let look = json!({
        "clusterId": look.cluster_id,
        "brokers": look.brokers,
        "topics": topics,
        "groups": groups,
    });
    look.to_string()
}

/// Rows and columns of the terminal.
fn screen() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.ok()
        .filter(|size| size.ws_row > 0 && size.ws_col > 0)
        .map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
}

/// A line as far as it fits; signs of colours take no room.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = String::new();
    let mut width = 0;
    let mut is_escape = false;
    for c in line.chars() {
        match c {
            '\x1b' => is_escape = true,
            'm' if is_escape => {
                is_escape = false;
                shown.push(c);
                continue;
            }
            _ => {}
        }
        if !is_escape {
            if width == columns {
                continue;
            }
            width += 1;
        }
        shown.push(c);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_edge_of_the_screen() {
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("\x1b[1mabc\x1b[0m", 2), "\x1b[1mab\x1b[0m");
        assert_eq!(cut("ab", 80), "ab");
    }

    #[test]
    fn rates_need_two_looks() {
        assert_eq!(rate(10, None, None), None);
        assert_eq!(rate(10, Some(4), Some(2.0)), Some(3.0));
        // A topic that was deleted and made anew has fewer records than before.
        assert_eq!(rate(1, Some(4), Some(2.0)), Some(0.0));
    }
}
