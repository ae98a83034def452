//! Which broker gets which replica: read from files, written to files, proposed.

use afluente_client::TopicPartition;
use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

/// The brokers of each partition.
pub(super) type Assignment = BTreeMap<TopicPartition, Vec<i32>>;

/// The path of a replica's directory.
pub(super) type Directories = BTreeMap<(TopicPartition, i32), String>;

#[derive(Deserialize)]
struct AssignmentFile {
    #[serde(default = "one")]
    version: i32,
    #[serde(default)]
    partitions: Vec<AssignmentEntry>,
}

#[derive(Deserialize)]
struct AssignmentEntry {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    #[serde(default)]
    log_dirs: Vec<String>,
}

#[derive(Deserialize)]
struct TopicsFile {
    #[serde(default = "one")]
    version: i32,
    #[serde(default)]
    topics: Vec<TopicEntry>,
}

#[derive(Deserialize)]
struct TopicEntry {
    topic: String,
}

fn one() -> i32 {
    1
}

#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn parsed<F: for<'a> Deserialize<'a>>(path: &str) -> anyhow::Result<F> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the file {path:?}"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("{path} does not have the form that --help shows"))
}

/// What a file asks for; `is_strict` is what Kafka checks before it moves anything.
pub(super) fn assignment(path: &str, is_strict: bool) -> anyhow::Result<Assignment> {
    let file: AssignmentFile = parsed(path)?;
    ensure!(file.version == 1, "Not supported version field value {}", file.version);
    let mut found = Assignment::new();
    for entry in file.partitions {
        let partition = TopicPartition::new(entry.topic, entry.partition);
        ensure!(
            entry.log_dirs.is_empty() || entry.log_dirs.len() == entry.replicas.len(),
            "Size of replicas list {:?} is different from size of log dirs list {:?} for partition \
             {partition}",
            entry.replicas,
            entry.log_dirs
        );
        if let Some(dir) = entry.log_dirs.iter().find(|dir| *dir != "any")
            && is_strict
        {
            bail!("{partition}: moves to a directory such as {dir} are not there; \"any\" is");
        }
        if is_strict {
            ensure!(!entry.replicas.is_empty(), "Partition replica list cannot be empty");
            let mut seen = BTreeSet::new();
            if let Some(twice) = entry.replicas.iter().find(|id| !seen.insert(**id)) {
                bail!(
                    "Partition replica lists may not contain duplicate entries: {partition} \
                     contains multiple entries for {twice}"
                );
            }
        }
        if found.insert(partition.clone(), entry.replicas).is_some() {
            bail!("Partition reassignment contains duplicate topic partitions: {partition}");
        }
    }
    ensure!(!found.is_empty() || !is_strict, "Partition reassignment list cannot be empty");
    Ok(found)
}

/// The topics that a file names.
pub(super) fn topics(path: &str) -> anyhow::Result<Vec<String>> {
    let file: TopicsFile = parsed(path)?;
    ensure!(file.version == 1, "Not supported version field value {}", file.version);
    let mut seen = BTreeSet::new();
    let topics = file.topics.into_iter().map(|entry| {
        ensure!(
            seen.insert(entry.topic.clone()),
            "List of topics to reassign contains duplicate entries: [{}]",
            entry.topic
        );
        Ok(entry.topic)
    });
    topics.collect()
}

/// `1,2,3`.
pub(super) fn brokers(text: &str) -> anyhow::Result<BTreeSet<i32>> {
    let mut found = BTreeSet::new();
    for id in text.split(',') {
        let id = id.trim();
        let id = id.parse().with_context(|| format!("{id:?} is no id of a broker"))?;
        ensure!(found.insert(id), "Broker list contains duplicate entries: [{id}]");
    }
    Ok(found)
}

/// The text of a file for an assignment.
pub(super) fn json(assignment: &Assignment, directories: &Directories) -> String {
    let partitions = assignment.iter().map(|(partition, replicas)| {
        let dirs: Vec<&str> = replicas
            .iter()
            .map(|&id| directories.get(&(partition.clone(), id)).map_or("any", String::as_str))
            .collect();
        format!(
            "{{\"topic\":{},\"partition\":{},\"replicas\":{},\"log_dirs\":{}}}",
            serde_json::json!(&*partition.topic),
            partition.partition,
            serde_json::json!(replicas),
            serde_json::json!(dirs)
        )
    });
    format!("{{\"version\":1,\"partitions\":[{}]}}", partitions.collect::<Vec<_>>().join(","))
}

/// Spreads each topic's replicas evenly, with as many of each partition as its first one has, from
/// a broker that `start` picks; where racks are known, brokers of different racks follow each other.
pub(super) fn spread(
    now: &Assignment,
    racks: &BTreeMap<i32, Option<String>>,
    start: u64,
) -> anyhow::Result<Assignment> {
    let without = racks.values().filter(|rack| rack.is_none()).count();
    ensure!(
        without == 0 || without == racks.len(),
        "Not all brokers have rack information. Add --disable-rack-aware in command line to make \
         replica assignment without rack information."
    );
    let mut by_rack: BTreeMap<&Option<String>, Vec<i32>> = BTreeMap::new();
    for (id, rack) in racks {
        by_rack.entry(rack).or_default().push(*id);
    }
    let longest = by_rack.values().map(Vec::len).max().unwrap_or(0);
    let ring: Vec<i32> = (0..longest)
        .flat_map(|at| by_rack.values().filter_map(move |ids| ids.get(at)))
        .copied()
        .collect();
    let mut proposed = Assignment::new();
    let topics: BTreeSet<&str> = now.keys().map(|partition| &*partition.topic).collect();
    for topic in topics {
        let partitions: Vec<&TopicPartition> =
            now.keys().filter(|partition| &*partition.topic == topic).collect();
        let factor = partitions.first().map_or(0, |first| now[*first].len());
        ensure!(
            factor <= ring.len(),
            "Replication factor: {factor} larger than available brokers: {}",
            ring.len()
        );
        let first = (start % ring.len().max(1) as u64) as usize;
        for (at, partition) in partitions.into_iter().enumerate() {
            // Each round through the brokers pairs a leader with other followers.
            let shift = at / ring.len().max(1);
            let replicas = (0..factor).map(|replica| match replica {
                0 => ring[(first + at) % ring.len()],
                _ => {
                    let step = 1 + (shift + replica - 1) % (ring.len() - 1);
                    ring[(first + at + step) % ring.len()]
                }
            });
            proposed.insert(partition.clone(), replicas.collect());
        }
    }
    Ok(proposed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replicas_are_spread_over_brokers_and_racks() {
        let now: Assignment =
            (0..12).map(|number| (TopicPartition::new("t", number), vec![1, 2])).collect();
        let racks: BTreeMap<i32, Option<String>> =
            (1..=4).map(|id| (id, Some(if id < 3 { "a" } else { "b" }.to_owned()))).collect();
        for start in 0..4 {
            let proposed = spread(&now, &racks, start).unwrap();
            let mut leaders = BTreeMap::new();
            for replicas in proposed.values() {
                let different: BTreeSet<&i32> = replicas.iter().collect();
                assert_eq!(different.len(), 2, "{replicas:?}");
                *leaders.entry(replicas[0]).or_insert(0) += 1;
            }
            assert_eq!(leaders, [(1, 3), (2, 3), (3, 3), (4, 3)].into());
        }
        let few: BTreeMap<i32, Option<String>> = [(1, None)].into();
        assert!(spread(&now, &few, 0).unwrap_err().to_string().contains("larger than"));
        let mixed = [(1, None), (2, Some("a".to_owned()))].into();
        assert!(spread(&now, &mixed, 0).is_err());
    }
}
