//! What may be set for topics, brokers and groups.

use crate::config::key::{self, Update};
use crate::config::resource_keys::{self, ResourceKey};
use crate::config::{Config, keys};
use afluente_cluster::controller::{Refusal, TopicConfigRules};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_storage::log_config::{self, Kind, LogConfig};
use std::collections::BTreeMap;

/// The size of a topic's segments, whatever `segment.bytes` allows: for tests, as in Kafka.
pub(crate) const INTERNAL_SEGMENT_BYTES: &str = "internal.segment.bytes";

/// Reads a value of [`INTERNAL_SEGMENT_BYTES`].
///
/// # Errors
/// What is wrong with it, in Kafka's words.
pub(super) fn internal_segment_bytes(value: &str) -> Result<i32, &'static str> {
    const LEAST: i32 = 14;
    match value.trim().parse() {
        Err(_) => Err("Not a number of type INT"),
        Ok(bytes) if bytes < LEAST => Err("Value must be at least 14"),
        Ok(bytes) => Ok(bytes),
    }
}

/// The rules for topics: the log knows them.
pub(crate) struct TopicRules<'a>(pub(crate) &'a Config);

impl TopicConfigRules for TopicRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        if values.get("remote.storage.enable").is_some_and(|it| it.eq_ignore_ascii_case("true")) {
            let message = "Tiered Storage functionality is disabled in the broker. Topic cannot be \
                           configured with remote log storage.";
            return Err((ErrorCode::InvalidConfig, message.to_owned()));
        }
        if let Some(value) = values.get(INTERNAL_SEGMENT_BYTES) {
            internal_segment_bytes(value).map_err(|why| {
                let message = format!(
                    "Invalid value {value} for configuration {INTERNAL_SEGMENT_BYTES}: {why}"
                );
                (ErrorCode::InvalidConfig, message)
            })?;
        }
        let own = values.iter().filter(|(name, _)| *name != INTERNAL_SEGMENT_BYTES);
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
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
        // All names before any value, as in Kafka.
        let of = |name: &String| self.keys.iter().find(|key| key.name == name);
        if let Some(name) = values.keys().find(|name| of(name).is_none()) {
            return Err((self.unknown.0, format!("{}: {name}", self.unknown.1)));
        }
        values
            .iter()
            .filter_map(|(name, value)| Some((of(name)?, value)))
            .try_for_each(|(key, value)| key.check(value))
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
            let Some(key) = keys::of_listener_or_broker(name) else { return Ok(()) };
            let is_for_listener = key.name != name;
            if key.update == Update::ReadOnly {
                let message = format!("Cannot update these configs dynamically: [{name}]");
                return Err((ErrorCode::InvalidRequest, message));
            }
            let is_security = name.starts_with("ssl.") || name.starts_with("sasl.");
            if is_security {
                let message = format!(
                    "These security configs can be dynamically updated only per-listener using \
                     the listener prefix: [{name}]"
                );
                return Err((ErrorCode::InvalidRequest, message));
            }
            if self.is_for_all && (key.update == Update::PerBroker || is_for_listener) {
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
        })?;
        self.check_cleaner(values)
    }

    fn list_default(&self, name: &str) -> Option<String> {
        let key = keys::find(name)?;
        matches!(key.kind, key::Kind::List(_)).then(|| self.config.get(name).value.to_string())
    }
}

impl BrokerRules<'_> {
    /// Threads of compaction come and go a few at a time, and each needs memory.
    fn check_cleaner(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        const THREADS: &str = "log.cleaner.threads";
        const BUFFER: &str = "log.cleaner.dedupe.buffer.size";
        if !values.contains_key(THREADS) && !values.contains_key(BUFFER) {
            return Ok(());
        }
        let set = |name: &str| values.get(name).and_then(|value| value.trim().parse::<i64>().ok());
        let present = self.config.long(THREADS);
        let threads = set(THREADS).unwrap_or(present);
        let buffer_bytes = set(BUFFER).unwrap_or_else(|| self.config.long(BUFFER));
        let why = if threads < 1 {
            "Log cleaner threads should be at least 1".to_owned()
        } else if threads < present / 2 {
            format!(
                "Log cleaner threads cannot be reduced to less than half the current value {present}"
            )
        } else if threads > present.saturating_mul(2) {
            format!(
                "Log cleaner threads cannot be increased to more than double the current value {present}"
            )
        } else if buffer_bytes / threads <= 1024 * 1024 {
            format!("{BUFFER} must be at least 1MB per cleaner thread.")
        } else {
            return Ok(());
        };
        Err((ErrorCode::InvalidRequest, why))
    }
}

/// The rules for groups: the table, and that values are within what the broker allows.
struct GroupRules<'a> {
    config: &'a Config,
    listed: Listed,
}

impl GroupRules<'_> {
    fn of_broker(&self, name: &str) -> Option<i32> {
        keys::find(name)?;
        self.config.get(name).value.to_string().parse().ok()
    }

    fn is_within_bounds(&self, name: &str, value: i32) -> Result<(), Refusal> {
        let invalid = |words: &str, bound: &str| {
            Err((ErrorCode::InvalidConfig, format!("{name} must be {words} {bound}")))
        };
        let (kind, rest) = name.split_once('.').unwrap_or((name, ""));
        let least = format!("group.{kind}.min.{rest}");
        if self.of_broker(&least).is_some_and(|least| value < least) {
            return invalid("greater than or equal to", &least);
        }
        let most = match name {
            "streams.num.standby.replicas" => "group.streams.max.standby.replicas".to_owned(),
            _ => format!("group.{kind}.max.{rest}"),
        };
        if self.of_broker(&most).is_some_and(|most| value > most) {
            return invalid("less than or equal to", &most);
        }
        Ok(())
    }
}

impl TopicConfigRules for GroupRules<'_> {
    fn validate(&self, values: &BTreeMap<String, String>) -> Result<(), Refusal> {
        self.listed.validate(values)?;
        let number = |name: &str| values.get(name).and_then(|value| value.trim().parse().ok());
        for name in values.keys() {
            if let Some(value) = number(name) {
                self.is_within_bounds(name, value)?;
            }
        }
        for kind in ["consumer", "share", "streams"] {
            let session = format!("{kind}.session.timeout.ms");
            let heartbeat = format!("{kind}.heartbeat.interval.ms");
            if !values.contains_key(&session) && !values.contains_key(&heartbeat) {
                continue;
            }
            let effective =
                |name: &str| number(name).or_else(|| self.of_broker(&format!("group.{name}")));
            if let (Some(session_ms), Some(heartbeat_ms)) =
                (effective(&session), effective(&heartbeat))
                && session_ms <= heartbeat_ms
            {
                let message = format!("{session} must be greater than {heartbeat}");
                return Err((ErrorCode::InvalidConfig, message));
            }
        }
        Ok(())
    }

    fn list_default(&self, key: &str) -> Option<String> {
        self.listed.list_default(key)
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
        ConfigResource::GROUP => {
            let listed = Listed {
                keys: resource_keys::GROUP,
                unknown: (ErrorCode::InvalidConfig, "Unknown group config name"),
            };
            Ok(Box::new(GroupRules { config, listed }))
        }
        _ => {
            let message = format!("Unknown resource type {}", resource.kind);
            Err((ErrorCode::InvalidRequest, message))
        }
    }
}
