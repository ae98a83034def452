//! `kafka-topics`: create, delete, list, describe, and add partitions.
//!
//! `--partition-size-limit-per-response` has no effect, as answers are asked for in pieces anyway.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::admin::configs::{ConfigResource, ConfigSource, DescribeConfigsOptions};
use afluente_client::admin::topics::{EligibleReplicas, NewPartitions, NewTopic};
use afluente_client::metadata::{ClusterMetadata, PartitionMetadata, TopicMetadata};
use afluente_client::{Admin, Error, TopicPartition};
use afluente_protocol::error_code::ErrorCode;
use regex_lite::Regex;
use std::collections::BTreeMap;

pub(super) const TOOL: Tool = Tool {
    name: "topics",
    about: "Create, delete, list and describe topics, and add partitions to them.",
    specs: SPECS,
    run: Run::Admin(run),
};

const ACTIONS: &[&str] = &["create", "delete", "list", "describe", "alter"];

const SPECS: &[Spec] = &[
    flag("create", "Create a topic."),
    flag("delete", "Delete topics."),
    flag("list", "List the topics."),
    flag("describe", "Show topics with their partitions."),
    flag("alter", "Add partitions to topics."),
    value("topic", "NAME", "The topic; for other actions than --create a regular expression."),
    value("topic-id", "ID", "With --describe: the topic of this id."),
    value("partitions", "COUNT", "How many partitions; the broker's num.partitions if not given."),
    value(
        "replication-factor",
        "COUNT",
        "How many replicas of each; the broker's default.replication.factor if not given.",
    ),
    value(
        "replica-assignment",
        "ID:ID,ID:ID",
        "The brokers of each partition: replicas between colons, partitions between commas.",
    ),
    value("config", "KEY=VALUE", "With --create: a configuration of the topic; may be repeated."),
    flag("if-not-exists", "With --create: no error if the topic is there already."),
    flag("if-exists", "With --delete, --describe, --alter: no error if there is no such topic."),
    flag("exclude-internal", "With --list, --describe: without Kafka's own topics."),
    flag("topics-with-overrides", "With --describe: topics with a configuration of their own."),
    flag("under-replicated-partitions", "With --describe: where replicas are not in sync."),
    flag("unavailable-partitions", "With --describe: where there is no leader."),
    flag("under-min-isr-partitions", "With --describe: fewer in sync than min.insync.replicas."),
    flag("at-min-isr-partitions", "With --describe: as many in sync as min.insync.replicas."),
    value(
        "partition-size-limit-per-response",
        "COUNT",
        "Has no effect: answers come in pieces of a fixed size.",
    ),
];

fn run(admin: Admin, options: Options, out: Out) -> Running {
    Box::pin(async move {
        let mut tool = Topics { admin, options, out };
        match tool.act().await {
            Ok(()) => Ok(tool.out),
            Err(Failure::Failed(error)) => {
                let told = told(&error);
                Err(Failure::Told(
                    tool.out,
                    format!("Error while executing topic command : {told}"),
                ))
            }
            Err(other) => Err(other),
        }
    })
}

/// The broker's own words, where there are any: scripts look for them.
fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref::<Error>() {
        Some(Error::Broker { message: Some(message), .. }) => message.clone(),
        _ => format!("{error:#}"),
    }
}

struct Topics {
    admin: Admin,
    options: Options,
    out: Out,
}

/// Which partitions to show.
#[derive(Clone, Copy)]
enum Shown {
    UnderReplicated,
    Unavailable,
    UnderMinIsr,
    AtMinIsr,
}

impl Topics {
    async fn act(&mut self) -> Result<(), Failure> {
        let action = self.options.one_of(ACTIONS)?;
        if action != "describe" {
            self.options.refuse(
                action,
                &[
                    "topics-with-overrides",
                    "under-replicated-partitions",
                    "unavailable-partitions",
                    "under-min-isr-partitions",
                    "at-min-isr-partitions",
                    "topic-id",
                ],
            )?;
        }
        if action != "create" {
            self.options.refuse(action, &["config", "replication-factor", "if-not-exists"])?;
        }
        match action {
            "create" => self.create().await,
            "delete" => self.delete().await,
            "list" => self.list().await,
            "alter" => self.alter().await,
            _ => self.describe().await,
        }
    }

    async fn create(&mut self) -> Result<(), Failure> {
        let name = self.options.require("topic")?.to_owned();
        self.options.refuse("create", &["if-exists"])?;
        if name.contains(['.', '_']) {
            self.out.line(
                "WARNING: Due to limitations in metric names, topics with a period ('.') or \
                 underscore ('_') could collide. To avoid issues it is best to use either, but \
                 not both.",
            )?;
        }
        let partitions: Option<i32> = self.options.number("partitions")?;
        let replication_factor: Option<i16> = self.options.number("replication-factor")?;
        if partitions.is_some_and(|count| count < 1) {
            return Err(anyhow::anyhow!("The partitions must be greater than 0").into());
        }
        let assignments = match self.options.get("replica-assignment") {
            None => BTreeMap::new(),
            Some(text) => {
                self.options.refuse("replica-assignment", &["partitions", "replication-factor"])?;
                (0..).zip(assignment(text)?).collect()
            }
        };
        let mut configs = BTreeMap::new();
        for config in self.options.all("config") {
            let (key, value) = config
                .split_once('=')
                .ok_or_else(|| Failure::Usage(format!("--config {config} is not KEY=VALUE")))?;
            configs.insert(key.trim().to_owned(), value.trim().to_owned());
        }
        let topic =
            NewTopic { name: name.clone(), partitions, replication_factor, assignments, configs };
        let result = self.admin.create_topics([topic]).await?.remove(&name);
        match result {
            Some(Err(error))
                if error.error_code() == Some(ErrorCode::TopicAlreadyExists)
                    && self.options.has("if-not-exists") => {}
            Some(Err(error)) => return Err(error.into()),
            _ => self.out.line(format!("Created topic {name}."))?,
        }
        Ok(())
    }

    async fn delete(&mut self) -> Result<(), Failure> {
        self.options.require("topic")?;
        let metadata = self.admin.list_topics().await?;
        let names = self.matching(&metadata)?;
        for (_, result) in self.admin.delete_topics(names).await? {
            result?;
        }
        Ok(())
    }

    async fn list(&mut self) -> Result<(), Failure> {
        let metadata = self.admin.list_topics().await?;
        for name in self.selected(&metadata)? {
            self.out.line(name)?;
        }
        Ok(())
    }

    async fn alter(&mut self) -> Result<(), Failure> {
        self.options.require("topic")?;
        let count: i32 = self.options.number("partitions")?.ok_or_else(|| {
            Failure::Usage("Missing required argument \"[partitions]\"".to_owned())
        })?;
        let metadata = self.admin.list_topics().await?;
        let names = self.matching(&metadata)?;
        let assigned = self.options.get("replica-assignment").map(assignment).transpose()?;
        let topics = names.into_iter().map(|name| {
            let present = metadata.topics.get(&name).map_or(0, |topic| topic.partitions.len());
            // Kafka's tool asks for all partitions, and sends those that are new.
            let assignments =
                assigned.as_ref().map(|all| all.iter().skip(present).cloned().collect());
            (name, NewPartitions { count, assignments })
        });
        for (_, result) in self.admin.create_partitions(topics).await? {
            result?;
        }
        Ok(())
    }

    async fn describe(&mut self) -> Result<(), Failure> {
        let metadata = self.admin.list_topics().await?;
        let names = match self.options.get("topic-id") {
            Some(text) => {
                let id = text.parse()?;
                match metadata.topic_name(id) {
                    Some(name) => vec![name.to_owned()],
                    None if self.options.has("if-exists") => Vec::new(),
                    None => {
                        let told = format!("TopicId '{text}' does not exist as expected");
                        return Err(anyhow::anyhow!(told).into());
                    }
                }
            }
            None => self.matching(&metadata)?,
        };
        self.options.number::<i32>("partition-size-limit-per-response")?;
        let filters = [
            ("under-replicated-partitions", Shown::UnderReplicated),
            ("unavailable-partitions", Shown::Unavailable),
            ("under-min-isr-partitions", Shown::UnderMinIsr),
            ("at-min-isr-partitions", Shown::AtMinIsr),
        ];
        let given = filters.into_iter().filter(|(name, _)| self.options.has(name));
        let shown: Vec<Shown> = given.map(|(_, shown)| shown).collect();
        let resources = names.iter().map(|name| ConfigResource::topic(name.as_str()));
        let configs =
            self.admin.describe_configs(resources, DescribeConfigsOptions::default()).await?;
        let replicas = self.admin.eligible_replicas(names.iter().map(String::as_str)).await?;
        let moving = self.admin.list_reassignments(None).await.unwrap_or_default();
        for name in names {
            let Some(topic) = metadata.topics.get(&name) else { continue };
            let entries = match configs.get(&ConfigResource::topic(name.as_str())) {
                Some(Ok(entries)) => entries.as_slice(),
                _ => &[],
            };
            let set: Vec<String> = entries
                .iter()
                .filter(|entry| entry.source != ConfigSource::Default)
                .map(|entry| format!("{}={}", entry.name, entry.value.as_deref().unwrap_or("null")))
                .collect();
            let has_own = entries.iter().any(|entry| entry.source == ConfigSource::DynamicTopic);
            let only_overridden = self.options.has("topics-with-overrides");
            if only_overridden && !has_own {
                continue;
            }
            if shown.is_empty() {
                self.out.line(topic_line(topic, &set))?;
            }
            if only_overridden {
                continue;
            }
            let min_isr = entries
                .iter()
                .find(|entry| entry.name == "min.insync.replicas")
                .and_then(|entry| entry.value.as_ref()?.parse().ok())
                .unwrap_or(1);
            for partition in topic.partitions.values() {
                let is_one = |&shown| is_shown(shown, &metadata, partition, min_isr);
                if !shown.is_empty() && !shown.iter().any(is_one) {
                    continue;
                }
                let key = (name.clone(), partition.partition);
                let mut line = partition_line(&name, partition);
                if let Some(moving) =
                    moving.get(&TopicPartition::new(name.as_str(), partition.partition))
                {
                    line.push_str(&format!("\tAdding Replicas: {}", ids(&moving.adding)));
                    line.push_str(&format!("\tRemoving Replicas: {}", ids(&moving.removing)));
                }
                line.push_str(&eligible(replicas.get(&key)));
                self.out.line(line)?;
            }
        }
        Ok(())
    }

    /// The topics that `--topic` names, or all; none is an error unless `--if-exists` is given.
    fn matching(&self, metadata: &ClusterMetadata) -> Result<Vec<String>, Failure> {
        let names = self.selected(metadata)?;
        match self.options.get("topic") {
            Some(topic) if names.is_empty() && !self.options.has("if-exists") => {
                Err(anyhow::anyhow!("Topic '{topic}' does not exist as expected").into())
            }
            _ => Ok(names),
        }
    }

    fn selected(&self, metadata: &ClusterMetadata) -> Result<Vec<String>, Failure> {
        let pattern = self.options.get("topic").map(include_pattern).transpose()?;
        let without_internal = self.options.has("exclude-internal");
        let names = metadata
            .topics
            .values()
            .filter(|topic| pattern.as_ref().is_none_or(|pattern| pattern.is_match(&topic.name)))
            .filter(|topic| !(without_internal && topic.is_internal));
        Ok(names.map(|topic| topic.name.clone()).collect())
    }
}

/// Which topics a text means: a regular expression, or several with commas between them.
pub(super) fn include_pattern(text: &str) -> Result<Regex, Failure> {
    let text = text.trim().replace([' ', '"', '\''], "").replace(',', "|");
    Regex::new(&format!("^(?:{text})$"))
        .map_err(|error| Failure::Usage(format!("{text:?} is no regular expression: {error}")))
}

fn assignment(text: &str) -> Result<Vec<Vec<i32>>, Failure> {
    let mut partitions: Vec<Vec<i32>> = Vec::new();
    for (at, partition) in text.split(',').enumerate() {
        let ids = partition.trim().split(':').map(|id| {
            id.trim().parse().map_err(|_| {
                let told = format!("{id:?} in --replica-assignment is no id of a broker");
                Failure::Usage(told)
            })
        });
        let ids = ids.collect::<Result<Vec<i32>, Failure>>()?;
        let mut twice: Vec<i32> = ids
            .iter()
            .copied()
            .filter(|id| ids.iter().filter(|one| *one == id).count() > 1)
            .collect();
        twice.sort_unstable();
        twice.dedup();
        if !twice.is_empty() {
            let told = format!(
                "Partition replica lists may not contain duplicate entries: {}",
                self::ids(&twice)
            );
            return Err(anyhow::anyhow!(told).into());
        }
        if partitions.first().is_some_and(|first| first.len() != ids.len()) {
            let told = format!("Partition {at} has different replication factor: {ids:?}");
            return Err(anyhow::anyhow!(told).into());
        }
        partitions.push(ids);
    }
    Ok(partitions)
}

fn topic_line(topic: &TopicMetadata, configs: &[String]) -> String {
    let mut line = format!("Topic: {}", topic.name);
    if !topic.id.is_zero() {
        line.push_str(&format!("\tTopicId: {}", topic.id));
    }
    let replicas = topic.partitions.values().next().map_or(0, |first| first.replicas.len());
    line.push_str(&format!("\tPartitionCount: {}", topic.partitions.len()));
    line.push_str(&format!("\tReplicationFactor: {replicas}\tConfigs: {}", configs.join(",")));
    line
}

fn partition_line(topic: &str, partition: &PartitionMetadata) -> String {
    let leader = partition.leader.map_or_else(|| "none".to_owned(), |id| id.to_string());
    format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
        partition.partition,
        ids(&partition.replicas),
        ids(&partition.isr),
    )
}

fn eligible(replicas: Option<&EligibleReplicas>) -> String {
    let shown = |list: Option<&Vec<i32>>| list.map_or_else(|| "N/A".to_owned(), |list| ids(list));
    let replicas = replicas.cloned().unwrap_or_default();
    format!(
        "\tElr: {}\tLastKnownElr: {}",
        shown(replicas.eligible.as_ref()),
        shown(replicas.last_known.as_ref())
    )
}

fn is_shown(
    shown: Shown,
    metadata: &ClusterMetadata,
    partition: &PartitionMetadata,
    min_isr: usize,
) -> bool {
    let has_leader = partition.leader.is_some_and(|id| metadata.brokers.contains_key(&id));
    match shown {
        Shown::UnderReplicated => partition.isr.len() < partition.replicas.len(),
        Shown::Unavailable => !has_leader,
        Shown::UnderMinIsr => !has_leader || partition.isr.len() < min_isr,
        Shown::AtMinIsr => has_leader && partition.isr.len() == min_isr,
    }
}

fn ids(ids: &[i32]) -> String {
    ids.iter().map(i32::to_string).collect::<Vec<_>>().join(",")
}
