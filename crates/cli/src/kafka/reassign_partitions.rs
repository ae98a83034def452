//! `kafka-reassign-partitions`: puts replicas on other brokers.
//!
//! Not there: moves between directories of a broker (`log_dirs` other than `any`).

mod plan;

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::admin::configs::{AlterOp, ConfigResource};
use afluente_client::metadata::ClusterMetadata;
use afluente_client::{Admin, TopicPartition};
use anyhow::{anyhow, bail};
use plan::{Assignment, Directories};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const TOOL: Tool = Tool {
    name: "reassign-partitions",
    about: "Put the replicas of partitions on other brokers.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("generate", "Propose where to put the partitions of topics."),
    flag("execute", "Begin to move partitions as --reassignment-json-file says."),
    flag("verify", "Show whether that is done; if so, throttles are taken away."),
    flag("cancel", "Stop moving what the file names."),
    flag("list", "List what is being moved."),
    value(
        "reassignment-json-file",
        "FILE",
        "{\"version\": 1, \"partitions\": [{\"topic\": \"t\", \"partition\": 0, \"replicas\": [1, 2]}]}",
    ),
    value(
        "topics-to-move-json-file",
        "FILE",
        "With --generate: {\"version\": 1, \"topics\": [{\"topic\": \"t\"}]}",
    ),
    value("broker-list", "ID,…", "With --generate: the brokers."),
    flag("disable-rack-aware", "With --generate: whatever racks the brokers are in."),
    flag("additional", "With --execute: though others are being moved."),
    flag(
        "disallow-replication-factor-change",
        "With --execute: not if the number of replicas changes.",
    ),
    value("throttle", "BYTES/S", "With --execute: how fast, between brokers."),
    value(
        "replica-alter-log-dirs-throttle",
        "BYTES/S",
        "With --execute: how fast, between directories.",
    ),
    flag("preserve-throttles", "With --verify, --cancel: leave throttles as they are."),
    value("timeout", "MS", "Has no effect: it is for moves between directories."),
    value("bootstrap-controller", "HOST:PORT", "Not there: --bootstrap-server reaches them."),
];

const ACTIONS: &[&str] = &["generate", "execute", "verify", "cancel", "list"];

/// Configurations that hold throttles.
const OF_TOPICS: [&str; 2] =
    ["leader.replication.throttled.replicas", "follower.replication.throttled.replicas"];
const OF_BROKERS: [&str; 3] = [
    "leader.replication.throttled.rate",
    "follower.replication.throttled.rate",
    "replica.alter.log.dirs.io.max.bytes.per.second",
];

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        let given: Vec<&&str> = ACTIONS.iter().filter(|action| options.has(action)).collect();
        let [action] = given[..] else {
            let told = "Command must include exactly one action: --generate, --execute, --verify, \
                        --cancel, --list";
            return Err(Failure::Usage(told.to_owned()));
        };
        let file = match *action {
            "generate" => {
                options.require("broker-list")?;
                options.require("topics-to-move-json-file")?
            }
            "list" => "",
            _ => options.require("reassignment-json-file")?,
        };
        let outcome = match *action {
            "generate" => generate(&admin, &options, file, &mut out).await,
            "execute" => execute(&admin, &options, file, &mut out).await,
            "verify" => verify(&admin, &options, file, &mut out).await,
            "cancel" => cancel(&admin, &options, file, &mut out).await,
            _ => list(&admin, &mut out).await,
        };
        match outcome {
            Ok(()) => Ok(out),
            Err(Failure::Failed(error)) => {
                let words = super::brokers_words(&error);
                Err(Failure::Told(out, format!("Error: {words}")))
            }
            Err(other) => Err(other),
        }
    })
}

/// Where the replicas of partitions are; a partition that is not there is an error.
fn present(
    metadata: &ClusterMetadata,
    partitions: &BTreeSet<TopicPartition>,
) -> anyhow::Result<Assignment> {
    let mut found = Assignment::new();
    let mut missing = Vec::new();
    for partition in partitions {
        if metadata.topic(&partition.topic).is_none() {
            bail!("Topic {} not found.", partition.topic);
        }
        match metadata.partition(&partition.topic, partition.partition) {
            Some(present) => {
                found.insert(partition.clone(), present.replicas.clone());
            }
            None => missing.push(partition.to_string()),
        }
    }
    if !missing.is_empty() {
        bail!("Unable to find partition: {}", missing.join(", "));
    }
    Ok(found)
}

/// In which directory each broker keeps each partition.
async fn directories(admin: &Admin, assignment: &Assignment) -> anyhow::Result<Directories> {
    let brokers: BTreeSet<i32> = assignment.values().flatten().copied().collect();
    let brokers: Vec<i32> = brokers.into_iter().collect();
    let mut found = Directories::new();
    for (broker, dirs) in admin.describe_log_dirs(&brokers).await? {
        for (path, dir) in dirs.unwrap_or_default() {
            for (partition, replica) in dir.replicas {
                if !replica.is_future && assignment.contains_key(&partition) {
                    found.insert((partition, broker), path.clone());
                }
            }
        }
    }
    Ok(found)
}

async fn generate(
    admin: &Admin,
    options: &Options,
    file: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let topics = plan::topics(file)?;
    let brokers = plan::brokers(options.get("broker-list").unwrap_or_default())?;
    let metadata = admin.list_topics().await?;
    let mut partitions = BTreeSet::new();
    for topic in &topics {
        let found = metadata.topic(topic).ok_or_else(|| anyhow!("Topic {topic} not found."))?;
        let found = found.partitions.keys();
        partitions.extend(found.map(|&number| TopicPartition::new(topic.as_str(), number)));
    }
    let now = present(&metadata, &partitions)?;
    let mut racks = BTreeMap::new();
    for broker in admin.describe_cluster(false).await?.brokers {
        if brokers.contains(&broker.id) {
            racks.insert(broker.id, broker.rack.filter(|_| !options.has("disable-rack-aware")));
        }
    }
    let start = admin.client().env().rng.u64();
    let proposed = plan::spread(&now, &racks, start)?;
    out.line(format!(
        "Current partition replica assignment\n{}\n",
        plan::json(&now, &directories(admin, &now).await?)
    ))?;
    out.line(format!(
        "Proposed partition reassignment configuration\n{}",
        plan::json(&proposed, &Directories::new())
    ))?;
    Ok(())
}

async fn execute(
    admin: &Admin,
    options: &Options,
    file: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted = plan::assignment(file, true)?;
    let moving = admin.list_reassignments(None).await?;
    if !moving.is_empty() && !options.has("additional") {
        return Err(anyhow!(
            "Cannot execute because there is an existing partition assignment.  Use --additional \
             to override this and create a new partition assignment in addition to the existing \
             one. The --additional option can also be used to change the throttle by resubmitting \
             the current reassignment."
        )
        .into());
    }
    let known: BTreeSet<i32> =
        admin.describe_cluster(false).await?.brokers.iter().map(|broker| broker.id).collect();
    if let Some(unknown) = wanted.values().flatten().find(|id| !known.contains(id)) {
        return Err(anyhow!("Unknown broker id {unknown}").into());
    }
    let metadata = admin.list_topics().await?;
    let now = present(&metadata, &wanted.keys().cloned().collect())?;
    out.line(format!(
        "Current partition replica assignment\n\n{}\n\nSave this to use as the \
         --reassignment-json-file option during rollback",
        plan::json(&now, &directories(admin, &now).await?)
    ))?;
    set_throttles(admin, options, &wanted, &now, out).await?;
    if options.has("disallow-replication-factor-change") {
        let changed = wanted.iter().find(|(key, to)| now[*key].len() != to.len());
        if let Some((partition, _)) = changed {
            return Err(anyhow!(
                "Error reassigning partition(s):\n{partition}: the number of its replicas would \
                 change"
            )
            .into());
        }
    }
    let moves = wanted.iter().map(|(partition, to)| (partition.clone(), Some(to.clone())));
    let results = admin.alter_reassignments(moves.collect()).await?;
    let failed: Vec<String> = results
        .into_iter()
        .filter_map(|(partition, result)| Some((partition, result.err()?)))
        .map(|(partition, error)| {
            format!("{partition}: {}", super::brokers_words(&anyhow::Error::from(error)))
        })
        .collect();
    if !failed.is_empty() {
        return Err(anyhow!("Error reassigning partition(s):\n{}", failed.join("\n")).into());
    }
    out.line(format!(
        "Successfully started partition reassignment{} for {}",
        plural(wanted.len()),
        names(wanted.keys())
    ))?;
    Ok(())
}

async fn set_throttles(
    admin: &Admin,
    options: &Options,
    wanted: &Assignment,
    now: &Assignment,
    out: &mut Out,
) -> Result<(), Failure> {
    let rate = options.number::<i64>("throttle")?.filter(|rate| *rate >= 0);
    let of_dirs =
        options.number::<i64>("replica-alter-log-dirs-throttle")?.filter(|rate| *rate >= 0);
    if rate.is_none() && of_dirs.is_none() {
        return Ok(());
    }
    out.line(
        "Warning: You must run --verify periodically, until the reassignment completes, to ensure \
         the throttle is removed.",
    )?;
    let Some(rate) = rate else { return Ok(()) };
    let mut changes: BTreeMap<ConfigResource, Vec<(String, AlterOp)>> = BTreeMap::new();
    let topics: BTreeSet<&str> = wanted.keys().map(|partition| &*partition.topic).collect();
    for topic in topics {
        let (mut leaders, mut followers) = (Vec::new(), Vec::new());
        for (partition, to) in wanted.iter().filter(|(partition, _)| &*partition.topic == topic) {
            let from = &now[partition];
            leaders.extend(from.iter().map(|id| format!("{}:{id}", partition.partition)));
            let new = to.iter().filter(|id| !from.contains(id));
            followers.extend(new.map(|id| format!("{}:{id}", partition.partition)));
        }
        let ops = [(OF_TOPICS[0], leaders), (OF_TOPICS[1], followers)];
        let ops = ops.map(|(key, list)| (key.to_owned(), AlterOp::Set(list.join(","))));
        changes.insert(ConfigResource::topic(topic), ops.to_vec());
    }
    let brokers: BTreeSet<i32> = wanted.values().chain(now.values()).flatten().copied().collect();
    for id in brokers {
        let ops =
            OF_BROKERS[..2].iter().map(|key| ((*key).to_owned(), AlterOp::Set(rate.to_string())));
        changes.insert(ConfigResource::broker(Some(id)), ops.collect());
    }
    for (_, result) in admin.alter_configs(changes).await? {
        result?;
    }
    out.line(format!("The inter-broker throttle limit was set to {rate} B/s"))?;
    Ok(())
}

async fn verify(
    admin: &Admin,
    options: &Options,
    file: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted = plan::assignment(file, false)?;
    let moving = admin.list_reassignments(None).await?;
    let metadata = admin.list_topics().await?;
    out.line("Status of partition reassignment:")?;
    for (partition, to) in &wanted {
        if let Some(moving) = moving.get(partition) {
            let goal: Vec<i32> = moving
                .replicas
                .iter()
                .filter(|id| !moving.removing.contains(id))
                .copied()
                .collect();
            let differs = goal.iter().collect::<BTreeSet<_>>() != to.iter().collect();
            out.line(if differs {
                format!(
                    "There is no active reassignment of partition {partition}, but replica set is \
                     {} rather than {}.",
                    ids(&moving.replicas),
                    ids(to)
                )
            } else {
                format!("Reassignment of partition {partition} is still in progress.")
            })?;
            continue;
        }
        let now = metadata.partition(&partition.topic, partition.partition);
        let now = now.map(|found| found.replicas.clone()).unwrap_or_default();
        out.line(if now == *to {
            format!("Reassignment of partition {partition} is completed.")
        } else {
            format!(
                "There is no active reassignment of partition {partition}, but replica set is {} \
                 rather than {}.",
                ids(&now),
                ids(to)
            )
        })?;
    }
    out.line("")?;
    if moving.is_empty() && !options.has("preserve-throttles") {
        clear_throttles(admin, &wanted, out).await?;
    }
    Ok(())
}

async fn cancel(
    admin: &Admin,
    options: &Options,
    file: &str,
    out: &mut Out,
) -> Result<(), Failure> {
    let wanted = plan::assignment(file, false)?;
    let moving = admin.list_reassignments(None).await?;
    let active: Vec<&TopicPartition> =
        wanted.keys().filter(|partition| moving.contains_key(partition)).collect();
    if active.is_empty() {
        out.line("None of the specified partition reassignments are active.")?;
    } else {
        let stops = active.iter().map(|partition| ((*partition).clone(), None));
        for (_, result) in admin.alter_reassignments(stops.collect()).await? {
            result?;
        }
        out.line(format!(
            "Successfully cancelled partition reassignment{} for: {}",
            plural(active.len()),
            names(active.iter().copied())
        ))?;
    }
    // Kafka's tool ends this line with the next one.
    out.bytes(b"None of the specified partition moves are active.")?;
    if options.has("preserve-throttles") {
        out.line("")?;
    } else {
        clear_throttles(admin, &wanted, out).await?;
    }
    Ok(())
}

async fn list(admin: &Admin, out: &mut Out) -> Result<(), Failure> {
    let moving = admin.list_reassignments(None).await?;
    if moving.is_empty() {
        out.line("No partition reassignments found.")?;
        return Ok(());
    }
    out.line("Current partition reassignments:")?;
    for (partition, moving) in moving {
        let mut line = format!("{partition}: replicas: {}.", ids(&moving.replicas));
        for (name, list) in [("adding", &moving.adding), ("removing", &moving.removing)] {
            if !list.is_empty() {
                line.push_str(&format!(" {name}: {}.", ids(list)));
            }
        }
        out.line(line)?;
    }
    Ok(())
}

async fn clear_throttles(admin: &Admin, of: &Assignment, out: &mut Out) -> Result<(), Failure> {
    let mut brokers: BTreeSet<i32> =
        admin.describe_cluster(false).await?.brokers.iter().map(|broker| broker.id).collect();
    brokers.extend(of.values().flatten());
    let all: Vec<i32> = brokers.iter().copied().collect();
    out.line(format!(
        "Clearing broker-level throttles on broker{} {}",
        plural(all.len()),
        ids(&all)
    ))?;
    let ops = |keys: &[&str]| {
        keys.iter().map(|key| ((*key).to_owned(), AlterOp::Delete)).collect::<Vec<_>>()
    };
    let of_brokers = brokers.iter().map(|&id| (ConfigResource::broker(Some(id)), ops(&OF_BROKERS)));
    for (_, result) in admin.alter_configs(of_brokers.collect::<Vec<_>>()).await? {
        result?;
    }
    let topics: BTreeSet<&str> = of.keys().map(|partition| &*partition.topic).collect();
    let shown: Vec<&str> = topics.iter().copied().collect();
    out.line(format!(
        "Clearing topic-level throttles on topic{} {}",
        plural(shown.len()),
        shown.join(",")
    ))?;
    let of_topics = topics.iter().map(|&topic| (ConfigResource::topic(topic), ops(&OF_TOPICS)));
    for (_, result) in admin.alter_configs(of_topics.collect::<Vec<_>>()).await? {
        result?;
    }
    Ok(())
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

fn names<'a>(partitions: impl Iterator<Item = &'a TopicPartition>) -> String {
    partitions.map(ToString::to_string).collect::<Vec<_>>().join(",")
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}
