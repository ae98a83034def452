//! `kafka-log-dirs`: which replicas lie in which directories, and how large they are.

use super::options::{Options, Spec, flag, value};
use super::out::Out;
use super::{Failure, Run, Running, Tool};
use afluente_client::Admin;
use serde::Serialize;

pub(super) const TOOL: Tool = Tool {
    name: "log-dirs",
    about: "Show which replicas lie in which directories of brokers, and their sizes.",
    specs: SPECS,
    run: Run::Admin(run),
};

const SPECS: &[Spec] = &[
    flag("describe", "Show it, as JSON."),
    value("topic-list", "TOPIC,…", "Of these topics; of all if not given."),
    value("broker-list", "ID,…", "Of these brokers; of all if not given."),
];

/// The form of Kafka's tool, version 1.
#[derive(Serialize)]
struct Answer {
    brokers: Vec<BrokerDirs>,
    version: u8,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BrokerDirs {
    broker: i32,
    log_dirs: Vec<Dir>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dir {
    partitions: Vec<Replica>,
    error: Option<String>,
    log_dir: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    partition: String,
    size: i64,
    offset_lag: i64,
    is_future: bool,
}

fn run(admin: Admin, options: Options, mut out: Out) -> Running {
    Box::pin(async move {
        options.require("describe")?;
        let topics: Vec<&str> = options
            .get("topic-list")
            .unwrap_or("")
            .split(',')
            .filter(|name| !name.is_empty())
            .collect();
        let cluster = admin.describe_cluster(false).await?;
        let known: Vec<i32> = cluster.brokers.iter().map(|broker| broker.id).collect();
        let mut brokers = Vec::new();
        for id in options.get("broker-list").unwrap_or("").split(',').filter(|id| !id.is_empty()) {
            let id: i32 = id.trim().parse().map_err(|_| {
                Failure::Usage(format!("{id:?} in --broker-list is no id of a broker"))
            })?;
            brokers.push(id);
        }
        if brokers.is_empty() {
            brokers.clone_from(&known);
        }
        let missing: Vec<String> =
            brokers.iter().filter(|id| !known.contains(id)).map(i32::to_string).collect();
        if !missing.is_empty() {
            let known: Vec<String> = known.iter().map(i32::to_string).collect();
            let told = format!(
                "ERROR: The given brokers do not exist from --broker-list: {}. Current existent \
                 brokers: {}",
                missing.join(","),
                known.join(",")
            );
            return Err(Failure::Told(out, told));
        }
        out.line("Querying brokers for log directories information")?;
        let described = admin.describe_log_dirs(&brokers).await?;
        let names: Vec<String> = described.keys().map(i32::to_string).collect();
        out.line(format!("Received log directory information from brokers {}", names.join(",")))?;
        let mut answer = Answer { brokers: Vec::new(), version: 1 };
        for (broker, dirs) in described {
            let dirs = dirs?.into_iter().map(|(log_dir, dir)| Dir {
                partitions: dir
                    .replicas
                    .iter()
                    .filter(|(key, _)| topics.is_empty() || topics.contains(&&*key.topic))
                    .map(|(key, replica)| Replica {
                        partition: key.to_string(),
                        size: replica.size,
                        offset_lag: replica.offset_lag,
                        is_future: replica.is_future,
                    })
                    .collect(),
                error: dir.error.map(|error| error.to_string()),
                log_dir,
            });
            answer.brokers.push(BrokerDirs { broker, log_dirs: dirs.collect() });
        }
        out.line(serde_json::to_string(&answer)?)?;
        Ok(out)
    })
}
