//! Configurations of topics and brokers, with what they mean.

use crate::console::Console;
use crate::kafka::{Config, ConfigSource, Resource};
use crate::trouble::problem;
use crate::view::page::Items;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::Request;
use afluente_httpd::response::Response;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConfigEntry {
    name: String,
    value: Option<String>,
    default_value: Option<String>,
    source: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
    documentation: Option<String>,
    read_only: bool,
    sensitive: bool,
    overridden: bool,
    allowed: Option<&'static [&'static str]>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ConfigChange {
    #[serde(default)]
    set: BTreeMap<String, String>,
    #[serde(default)]
    reset: Vec<String>,
}

fn entry(config: Config, own: ConfigSource) -> ConfigEntry {
    let default_value = match config.source {
        ConfigSource::Default => config.value.clone(),
        _ => {
            // What counts once its own setting is taken away.
            let below = config.synonyms.iter().find(|(source, _)| *source != own);
            below.and_then(|(_, value)| value.clone())
        }
    };
    ConfigEntry {
        allowed: allowed(&config.name, config.kind),
        value: config.value,
        default_value,
        source: config.source.name(),
        kind: config.kind,
        documentation: config.documentation,
        read_only: config.read_only,
        sensitive: config.sensitive,
        overridden: config.source == own,
        name: config.name,
    }
}

/// The protocol does not tell what a key can be; these are Kafka's documented values.
fn allowed(name: &str, kind: &str) -> Option<&'static [&'static str]> {
    match (name, kind) {
        (_, "boolean") => Some(&["true", "false"]),
        ("cleanup.policy" | "log.cleanup.policy", _) => {
            Some(&["delete", "compact", "compact,delete"])
        }
        ("compression.type", _) => {
            Some(&["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"])
        }
        ("message.timestamp.type" | "log.message.timestamp.type", _) => {
            Some(&["CreateTime", "LogAppendTime"])
        }
        ("durability" | "log.durability", _) => Some(&["sync", "replicated"]),
        _ => None,
    }
}

/// Of what counts for all brokers a cluster tells only what was set at run time: the rest is what
/// each broker starts with, and any of them can say it.
fn of_all_brokers(console: &Console, resource: &Resource) -> Resource {
    let some = || console.read(|state| state.brokers.keys().next().copied());
    match resource {
        Resource::BrokerDefault => some().map_or(Resource::BrokerDefault, Resource::Broker),
        resource => resource.clone(),
    }
}

/// A broker's key as it would be without what was set for this one broker.
fn without_own_of_broker(mut config: Config) -> Config {
    config.synonyms.retain(|(source, _)| *source != ConfigSource::Broker);
    if let Some((source, value)) = config.synonyms.first().cloned() {
        (config.source, config.value) = (source, value);
    } else if config.source == ConfigSource::Broker {
        (config.source, config.value) = (ConfigSource::Unknown, None);
    }
    config
}

async fn entries(console: &Console, resource: &Resource, what: &str) -> Result<Response, Problem> {
    let asked = of_all_brokers(console, resource);
    let configs = console.kafka.configs(&asked).await.map_err(|error| problem(what, &error))?;
    let own = match resource {
        Resource::Topic(_) => ConfigSource::Topic,
        Resource::Broker(_) => ConfigSource::Broker,
        Resource::BrokerDefault => ConfigSource::BrokerDefault,
    };
    let configs = configs.into_iter().map(|config| match resource {
        Resource::BrokerDefault => without_own_of_broker(config),
        _ => config,
    });
    let mut items: Vec<ConfigEntry> = configs.map(|config| entry(config, own)).collect();
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Response::json(&Items { items }))
}

async fn change(
    console: &Console,
    resource: &Resource,
    what: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let validate_only = request.query().get("validateOnly") == Some("true");
    let change: ConfigChange = request.json().await?;
    let altered =
        console.kafka.alter_configs(resource, &change.set, &change.reset, validate_only).await;
    altered.map_err(|error| {
        let problem = problem(what, &error);
        let named =
            change.set.keys().chain(&change.reset).find(|key| problem.why.contains(key.as_str()));
        match named {
            Some(key) => problem.field(format!("configs.{key}")),
            None => problem,
        }
    })?;
    if let Resource::Topic(topic) = resource {
        console.write(|state| {
            if let Some(topic) = state.topics.get_mut(topic) {
                topic.configs_ms = 0;
            }
        });
    }
    entries(console, resource, what).await
}

pub(crate) async fn of_topic(console: &Console, topic: &str) -> Result<Response, Problem> {
    let what = format!("could not read the configuration of topic \"{topic}\"");
    entries(console, &Resource::Topic(topic.to_owned()), &what).await
}

pub(crate) async fn change_topic(
    console: &Console,
    topic: &str,
    request: Request,
) -> Result<Response, Problem> {
    let what = format!("could not change the configuration of topic \"{topic}\"");
    change(console, &Resource::Topic(topic.to_owned()), &what, request).await
}

fn broker_resource(console: &Console, id: &str) -> Result<Resource, Problem> {
    if id == "default" {
        return Ok(Resource::BrokerDefault);
    }
    let what = "could not find the broker";
    let Ok(number) = id.parse::<i32>() else {
        let why = format!("{id:?} is no number of a broker, nor \"default\"");
        return Err(Problem::invalid(what, why));
    };
    // Whoever asks a broker that is not there would be kept waiting for it to come.
    if console.read(|state| state.brokers.is_empty() || state.brokers.contains_key(&number)) {
        return Ok(Resource::Broker(number));
    }
    Err(Problem::not_found(what, format!("the cluster has no broker {number}")))
}

pub(crate) async fn of_broker(console: &Console, id: &str) -> Result<Response, Problem> {
    let what = format!("could not read the configuration of broker {id}");
    entries(console, &broker_resource(console, id)?, &what).await
}

pub(crate) async fn change_broker(
    console: &Console,
    id: &str,
    request: Request,
) -> Result<Response, Problem> {
    let what = format!("could not change the configuration of broker {id}");
    change(console, &broker_resource(console, id)?, &what, request).await
}

/// A topic's keys, and how a broker calls the default of those that differ by more than `log.` in
/// front.
const BROKER_NAMES: &[(&str, &str)] = &[
    ("compression.type", "compression.type"),
    ("max.message.bytes", "message.max.bytes"),
    ("min.insync.replicas", "min.insync.replicas"),
    ("segment.ms", "log.roll.ms"),
    ("segment.jitter.ms", "log.roll.jitter.ms"),
    ("delete.retention.ms", "log.cleaner.delete.retention.ms"),
    ("min.compaction.lag.ms", "log.cleaner.min.compaction.lag.ms"),
    ("max.compaction.lag.ms", "log.cleaner.max.compaction.lag.ms"),
    ("min.cleanable.dirty.ratio", "log.cleaner.min.cleanable.ratio"),
    ("unclean.leader.election.enable", "unclean.leader.election.enable"),
    ("file.delete.delay.ms", "log.segment.delete.delay.ms"),
    ("index.interval.bytes", "log.index.interval.bytes"),
    ("segment.index.bytes", "log.index.size.max.bytes"),
    ("flush.messages", "log.flush.interval.messages"),
    ("flush.ms", "log.flush.interval.ms"),
    ("cleanup.policy", "log.cleanup.policy"),
    ("retention.ms", "log.retention.ms"),
    ("retention.bytes", "log.retention.bytes"),
    ("segment.bytes", "log.segment.bytes"),
    ("preallocate", "log.preallocate"),
    ("message.timestamp.type", "log.message.timestamp.type"),
    ("message.timestamp.before.max.ms", "log.message.timestamp.before.max.ms"),
    ("message.timestamp.after.max.ms", "log.message.timestamp.after.max.ms"),
    ("durability", "log.durability"),
];

/// Some topic that is there knows all keys; where there is none, the broker's defaults have to do.
pub(crate) async fn for_new_topics(console: &Console) -> Result<Response, Problem> {
    let what = "could not read what a new topic can be given";
    let some = console.read(|state| {
        let plain = state.topics.iter().find(|(_, topic)| !topic.internal);
        plain.or_else(|| state.topics.iter().next()).map(|(name, _)| name.clone())
    });
    let mut items = Vec::new();
    if let Some(topic) = some {
        let configs = console.kafka.configs(&Resource::Topic(topic)).await;
        for config in configs.map_err(|error| problem(what, &error))? {
            let entry = entry(config, ConfigSource::Topic);
            let value =
                if entry.overridden { entry.default_value.clone() } else { entry.value.clone() };
            let source = if entry.overridden { "default" } else { entry.source };
            items.push(ConfigEntry { value, source, overridden: false, ..entry });
        }
    } else if let Some(id) = console.read(|state| state.brokers.keys().next().copied()) {
        let configs = console.kafka.configs(&Resource::Broker(id)).await;
        for config in configs.map_err(|error| problem(what, &error))? {
            let Some((name, _)) = BROKER_NAMES.iter().find(|(_, broker)| *broker == config.name)
            else {
                continue;
            };
            let value = config.value.clone();
            items.push(ConfigEntry {
                name: (*name).to_owned(),
                default_value: value.clone(),
                value,
                read_only: false,
                overridden: false,
                ..entry(config, ConfigSource::Topic)
            });
        }
    }
    items.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Response::json(&Items { items }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(synonyms: &[(ConfigSource, &str)]) -> Config {
        let synonyms: Vec<_> =
            synonyms.iter().map(|(source, value)| (*source, Some((*value).to_owned()))).collect();
        let (source, value) = synonyms[0].clone();
        Config {
            name: "log.cleaner.threads".to_owned(),
            value,
            source,
            kind: "int",
            documentation: None,
            read_only: false,
            sensitive: false,
            synonyms,
        }
    }

    #[test]
    fn what_counts_for_all_brokers_is_a_brokers_own_without_what_was_set_for_it_alone() {
        use ConfigSource::{Broker, BrokerDefault, Default};
        let all = [(Broker, "3"), (BrokerDefault, "2"), (Default, "1")];
        let cases = [
            (&all[..], ("2", true, "1")),
            (&[all[0], all[2]], ("1", false, "1")),
            (&all[1..], ("2", true, "1")),
            (&all[2..], ("1", false, "1")),
        ];
        for (synonyms, (value, overridden, default_value)) in cases {
            let entry = entry(without_own_of_broker(config(synonyms)), BrokerDefault);
            assert_eq!(
                (entry.value.as_deref(), entry.overridden, entry.default_value.as_deref()),
                (Some(value), overridden, Some(default_value)),
                "{synonyms:?}"
            );
        }
    }
}
