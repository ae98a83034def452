//! What may be set for topics, brokers and groups.

use crate::config::key::{self, Update};
use crate::config::{Config, keys};
use afluente_cluster::controller::{Refusal, TopicConfigRules};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_storage::log_config::{self, Kind, LogConfig};
use std::collections::BTreeMap;

/// The rules for topics: the log knows them.
pub(crate) struct TopicRules<'a>(pub(crate) &'a Config);

impl TopicConfigRules for TopicRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), String> {
        let own = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        LogConfig::resolve(|name| self.0.given_text(name), own)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    fn list_default(&self, key: &str) -> Option<String> {
        let key = log_config::find(key)?;
        matches!(key.kind, Kind::List).then(|| key.default())
    }
}

/// The rules for the values of client metrics subscriptions and of groups: names only.
struct Named(&'static [&'static str]);

impl TopicConfigRules for Named {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), String> {
        match values.keys().find(|name| !self.0.contains(&name.as_str())) {
            Some(name) => Err(format!("Unknown config name: {name}")),
            None => Ok(()),
        }
    }

    fn list_default(&self, key: &str) -> Option<String> {
        matches!(key, "metrics" | "match").then(String::new)
    }
}

/// The rules for the broker's own keys.
struct BrokerRules<'a>(&'a Config);

impl TopicConfigRules for BrokerRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), String> {
        values.iter().try_for_each(|(name, value)| {
            // Kafka takes keys that it does not know: plug-ins have their own.
            let Some(key) = keys::find(name) else { return Ok(()) };
            if key.update == Update::ReadOnly {
                return Err(format!(
                    "Cannot update these configs dynamically: [{name}]: they are read at the start"
                ));
            }
            let invalid =
                |why: String| format!("Invalid value {value} for configuration {name}: {why}");
            key.parse(value).map(|_| ()).map_err(invalid)
        })
    }

    fn list_default(&self, name: &str) -> Option<String> {
        let key = keys::find(name)?;
        matches!(key.kind, key::Kind::List(_)).then(|| self.0.get(name).value.to_string())
    }
}

/// The rules for a kind of resource.
///
/// # Errors
/// `INVALID_REQUEST` for kinds that have no configuration.
pub(super) fn for_resource(
    config: &Config,
    kind: i8,
) -> Result<Box<dyn TopicConfigRules + Send + '_>, Refusal> {
    match kind {
        ConfigResource::TOPIC => Ok(Box::new(TopicRules(config))),
        ConfigResource::BROKER => Ok(Box::new(BrokerRules(config))),
        ConfigResource::CLIENT_METRICS => Ok(Box::new(Named(&["interval.ms", "match", "metrics"]))),
        ConfigResource::GROUP => Ok(Box::new(Named(&[
            "consumer.heartbeat.interval.ms",
            "consumer.session.timeout.ms",
            "share.auto.offset.reset",
            "share.heartbeat.interval.ms",
            "share.isolation.level",
            "share.record.lock.duration.ms",
            "share.session.timeout.ms",
            "streams.heartbeat.interval.ms",
            "streams.num.standby.replicas",
            "streams.session.timeout.ms",
        ]))),
        _ => {
            let message = format!("Unexpected resource type {kind}");
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}
