//! Brokers, log directories, quorum, features.

use crate::console::Console;
use crate::kafka::{LogDirectory, QuorumReplica};
use crate::metrics::Metrics;
use crate::state::{BrokerState, State};
use afluente_httpd::problem::Problem;
use afluente_httpd::response::Response;
use serde::Serialize;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Cluster {
    cluster_id: String,
    controller_id: Option<i32>,
    brokers: Vec<Broker>,
    features: Vec<Feature>,
    quorum: Option<Quorum>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Feature {
    name: String,
    finalized: Option<i16>,
    supported_min: i16,
    supported_max: i16,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Quorum {
    leader_id: i32,
    leader_epoch: i32,
    high_watermark: i64,
    voters: Vec<Replica>,
    observers: Vec<Replica>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    id: i32,
    end_offset: i64,
    lag_ms: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Broker {
    id: i32,
    host: String,
    port: u16,
    rack: Option<String>,
    roles: Vec<&'static str>,
    is_controller: bool,
    partitions: usize,
    leaders: usize,
    size_bytes: Option<i64>,
    log_dirs: Vec<LogDir>,
    process: Option<Process>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    cpu_cores: f64,
    resident_bytes: f64,
    threads: f64,
    connections: f64,
    uptime_seconds: Option<f64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogDir {
    path: String,
    online: bool,
    error: Option<String>,
    total_bytes: Option<i64>,
    usable_bytes: Option<i64>,
    size_bytes: i64,
    partitions: usize,
    durability: Option<Durability>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Durability {
    mode: String,
    commits_per_second: f64,
    commit_ms: Option<f64>,
    dirty_bytes: f64,
    journal_uncovered_bytes: f64,
}

pub(crate) async fn cluster(console: &Console) -> Result<Response, Problem> {
    // A cluster that does not tell these is still a cluster.
    let quorum = console.kafka.quorum().await.ok();
    let features = console.kafka.features().await.unwrap_or_default();
    let mode = durability_mode(console).await;
    let now_ms = console.env.clock.wall_ms();
    let voters: Vec<i32> =
        quorum.iter().flat_map(|quorum| quorum.voters.iter().map(|voter| voter.id)).collect();
    let replica = |leader: i32| {
        move |replica: &QuorumReplica| Replica {
            id: replica.id,
            end_offset: replica.end_offset,
            lag_ms: if replica.id == leader {
                Some(0)
            } else {
                replica.caught_up_ms.map(|ms| (now_ms - ms).max(0))
            },
        }
    };
    console.read(|state| {
        Ok(Response::json(&Cluster {
            cluster_id: state.cluster_id.clone(),
            controller_id: state.controller_id,
            brokers: state
                .brokers
                .iter()
                .map(|(id, broker)| of_broker(state, *id, broker, &voters, mode.as_deref()))
                .collect(),
            features: features
                .into_iter()
                .map(|(name, (finalized, supported_min, supported_max))| Feature {
                    name,
                    finalized,
                    supported_min,
                    supported_max,
                })
                .collect(),
            quorum: quorum.map(|quorum| Quorum {
                leader_id: quorum.leader_id,
                leader_epoch: quorum.leader_epoch,
                high_watermark: quorum.high_watermark,
                voters: quorum.voters.iter().map(replica(quorum.leader_id)).collect(),
                observers: quorum.observers.iter().map(replica(quorum.leader_id)).collect(),
            }),
        }))
    })
}

/// `log.durability` of a broker of ours.
async fn durability_mode(console: &Console) -> Option<String> {
    if console.read(|state| state.metrics.is_none()) {
        return None;
    }
    let id = console.read(|state| state.brokers.keys().next().copied())?;
    let configs = console.kafka.configs(&crate::kafka::Resource::Broker(id)).await.ok()?;
    configs.into_iter().find(|config| config.name == "log.durability")?.value
}

pub(crate) async fn broker(console: &Console, id: &str) -> Result<Response, Problem> {
    let mode = durability_mode(console).await;
    let quorum = console.kafka.quorum().await.ok();
    let voters: Vec<i32> =
        quorum.iter().flat_map(|quorum| quorum.voters.iter().map(|voter| voter.id)).collect();
    console.read(|state| {
        let found = id.parse::<i32>().ok().and_then(|id| Some((id, state.brokers.get(&id)?)));
        let Some((id, broker)) = found else {
            let why = format!("the cluster has no broker {id}");
            return Err(Problem::not_found("could not find the broker", why));
        };
        Ok(Response::json(&of_broker(state, id, broker, &voters, mode.as_deref())))
    })
}

fn of_broker(
    state: &State,
    id: i32,
    broker: &BrokerState,
    voters: &[i32],
    mode: Option<&str>,
) -> Broker {
    let partitions = || state.topics.values().flat_map(|topic| topic.partitions.values());
    // The page of metrics is that of the one broker that it was configured for.
    let metrics = state.metrics.as_ref().filter(|_| state.brokers.len() == 1);
    let log_dirs: Vec<LogDir> =
        broker.log_dirs.iter().map(|directory| log_dir(directory, metrics, mode)).collect();
    Broker {
        id,
        host: broker.host.clone(),
        port: broker.port,
        rack: broker.rack.clone(),
        roles: if voters.contains(&id) { vec!["broker", "controller"] } else { vec!["broker"] },
        is_controller: state.controller_id == Some(id),
        partitions: partitions().filter(|partition| partition.replicas.contains(&id)).count(),
        leaders: partitions().filter(|partition| partition.leader == Some(id)).count(),
        size_bytes: (!log_dirs.is_empty()).then(|| log_dirs.iter().map(|dir| dir.size_bytes).sum()),
        log_dirs,
        process: metrics.map(|metrics| Process {
            cpu_cores: metrics.cpu_cores().unwrap_or(0.0),
            resident_bytes: metrics.number("process_resident_memory_bytes").unwrap_or(0.0),
            threads: metrics.number("process_threads").unwrap_or(0.0),
            connections: metrics.number("afluente_connections").unwrap_or(0.0),
            uptime_seconds: None,
        }),
    }
}

fn log_dir(directory: &LogDirectory, metrics: Option<&Metrics>, mode: Option<&str>) -> LogDir {
    let sizes = || directory.sizes.values().flat_map(|partitions| partitions.values());
    LogDir {
        path: directory.path.clone(),
        online: directory.error.is_none(),
        error: directory.error.clone(),
        total_bytes: directory.total_bytes,
        usable_bytes: directory.usable_bytes,
        size_bytes: sizes().sum(),
        partitions: sizes().count(),
        durability: metrics.zip(mode).map(|(metrics, mode)| Durability {
            mode: mode.to_owned(),
            commits_per_second: metrics.commits_per_second().unwrap_or(0.0),
            commit_ms: metrics.commit_ms(),
            dirty_bytes: metrics.number("afluente_log_dirty_bytes").unwrap_or(0.0),
            journal_uncovered_bytes: metrics
                .number("afluente_log_journal_uncovered_bytes")
                .unwrap_or(0.0),
        }),
    }
}
