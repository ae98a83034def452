//! What may be set for topics, brokers and groups.

use crate::config::key::{self, Update};
use crate::config::resource_keys::{self, ResourceKey};
use crate::config::{Config, keys};
use afluente_cluster::controller::{Refusal, TopicConfigRules};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_storage::log_config::{self, Kind, LogConfig};
use std::collections::BTreeMap;

/// The rules for topics: the log knows them.
pub(crate) struct TopicRules<'a>(pub(crate) &'a Config);

impl TopicConfigRules for TopicRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        if values.get("remote.storage.enable").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            let message = "Tiered Storage functionality is disabled in the broker. Topic cannot be \
                           configured with remote log storage.";
            return Err((ErrorCode::InvalidConfig, message.to_owned()));
        }
        let own = values.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        LogConfig::resolve(|name| self.0.given_text(name), own)
            .map(|_| ())
            .map_err(|error| (ErrorCode::InvalidConfig, error.to_string()))
    }

    fn list_default(&self, key: &str) -> Option<String> {
        let key = log_config::find(key)?;
        matches!(key.kind, Kind::List).then(|| key.default())
    }
}

/// The rules for client metrics subscriptions and for groups: a table of keys, and what is said of
/// a key that is not in it.
struct Listed {
    keys: &'static [ResourceKey],
    unknown: (ErrorCode, &'static str),
}

impl TopicConfigRules for Listed {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        values.iter().try_for_each(|(name, value)| {
            let Some(key) = self.keys.iter().find(|key| key.name == name) else {
                return Err((self.unknown.0, format!("{}: {name}", self.unknown.1)));
            };
            key.check(value)
        })
    }

    fn list_default(&self, key: &str) -> Option<String> {
        let key = self.keys.iter().find(|row| row.name == key)?;
        matches!(key.kind, resource_keys::Kind::List).then(String::new)
    }
}

/// The rules for the broker's own keys.
struct BrokerRules<'a> {
    config: &'a Config,
    /// What is set holds for all brokers.
    is_for_all: bool,
}

impl TopicConfigRules for BrokerRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        values.iter().try_for_each(|(name, value)| {
            // Kafka takes keys that it does not know: plug-ins have their own.
            let Some(key) = keys::find(name) else { return Ok(()) };
            if key.update == Update::ReadOnly {
                let message = format!("Cannot update these configs dynamically: [{name}]");
                return Err((ErrorCode::InvalidRequest, message));
            }
            if key.update == Update::PerBroker && self.is_for_all {
                let message = format!(
                    "Cannot update these configs at default cluster level, broker id must be \
                     specified: [{name}]"
                );
                return Err((ErrorCode::InvalidRequest, message));
            }
            let invalid = |why: String| {
                let message = format!("Invalid value {value} for configuration {name}: {why}");
                (ErrorCode::InvalidRequest, message)
            };
            key.parse(value).map(|_| ()).map_err(invalid)
        })
    }

    fn list_default(&self, name: &str) -> Option<String> {
        let key = keys::find(name)?;
        matches!(key.kind, key::Kind::List(_)).then(|| self.config.get(name).value.to_string())
    }
}

/// The rules for a kind of resource.
///
/// # Errors
/// `INVALID_REQUEST` for kinds that have no configuration.
pub(super) fn for_resource<'a>(
    config: &'a Config,
    resource: &ConfigResource,
) -> Result<Box<dyn TopicConfigRules + Send + 'a>, Refusal> {
    match resource.kind {
        ConfigResource::TOPIC => Ok(Box::new(TopicRules(config))),
        ConfigResource::BROKER => {
            Ok(Box::new(BrokerRules { config, is_for_all: resource.name.is_empty() }))
        }
        ConfigResource::CLIENT_METRICS => Ok(Box::new(Listed {
            keys: resource_keys::CLIENT_METRICS,
            unknown: (ErrorCode::InvalidRequest, "Unknown client metrics configuration"),
        })),
        ConfigResource::GROUP => Ok(Box::new(Listed {
            keys: resource_keys::GROUP,
            unknown: (ErrorCode::InvalidConfig, "Unknown group config name"),
        })),
        _ => {
            let message = format!("Unknown resource type {}", resource.kind);
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}
