//! DescribeConfigs (32), versions 1 to 4. KIP-226 (synonyms), KIP-569 (types and documentation),
//! KIP-714 (client metrics), KIP-848 (groups).
//!
//! Not done: authorization; broker loggers, of which there are none.

use super::topic_configs::{self, source};
use crate::broker::Broker;
use crate::config::key::{self, Key, Update};
use crate::config::resource_keys::{self, ResourceKey};
use crate::config::{Source, keys};
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_configs_request::{
    DescribeConfigsRequest, DescribeConfigsResource,
};
use afluente_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponse, DescribeConfigsResult,
    DescribeConfigsSynonym,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// From this version on, answers say what kind the values are.
const KIND_SINCE: i16 = 3;

/// The kind of a value, by the numbers of the protocol.
mod kind {
    pub(super) const BOOLEAN: i8 = 1;
    pub(super) const STRING: i8 = 2;
    pub(super) const INT: i8 = 3;
    pub(super) const SHORT: i8 = 4;
    pub(super) const LONG: i8 = 5;
    pub(super) const DOUBLE: i8 = 6;
    pub(super) const LIST: i8 = 7;
    pub(super) const CLASS: i8 = 8;
    pub(super) const PASSWORD: i8 = 9;
}

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: DescribeConfigsRequest,
) -> Result<DescribeConfigsResponse, CloseReason> {
    let results = request.resources.iter().map(|resource| {
        let described = describe(broker, resource);
        let mut result = DescribeConfigsResult {
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        };
        match described {
            Ok(configs) => result.configs = configs,
            Err((code, message)) => {
                result.error_code = code.code();
                result.error_message = Some(message);
            }
        }
        if let Some(wanted) = &resource.configuration_keys {
            result.configs.retain(|config| wanted.contains(&config.name));
        }
        for config in &mut result.configs {
            if !request.include_synonyms {
                config.synonyms.clear();
            }
            if !request.include_documentation {
                config.documentation = None;
            }
            if context.version < KIND_SINCE {
                config.config_type = 0;
            }
        }
        result
    });
    Ok(DescribeConfigsResponse { results: results.collect(), ..Default::default() })
}

fn describe(
    broker: &Broker,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)> {
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    let name = &resource.resource_name;
    match resource.resource_type {
        ConfigResource::TOPIC => describe_topic(broker, name),
        ConfigResource::BROKER if name.is_empty() => Ok(all_brokers(broker)),
        ConfigResource::BROKER if name.parse() == Ok(broker.settings.node.id) => {
            Ok(this_broker(broker))
        }
        ConfigResource::BROKER if name.parse::<i32>().is_err() => {
            invalid(format!("Broker id must be an integer, but it is: {name}"))
        }
        ConfigResource::BROKER => invalid(format!(
            "Unexpected broker id, expected {} or empty string, but received {name}",
            broker.settings.node.id
        )),
        ConfigResource::CLIENT_METRICS | ConfigResource::GROUP if name.is_empty() => {
            invalid("Resource name must not be empty".to_owned())
        }
        ConfigResource::CLIENT_METRICS => {
            Ok(listed(broker, resource, resource_keys::CLIENT_METRICS, source::CLIENT_METRICS))
        }
        ConfigResource::GROUP => Ok(listed(broker, resource, resource_keys::GROUP, source::GROUP)),
        // Loggers: there are none that can be set.
        8 => Ok(Vec::new()),
        _ => invalid(ErrorCode::InvalidRequest.wire_message().to_owned()),
    }
}

fn describe_topic(
    broker: &Broker,
    name: &str,
) -> Result<Vec<DescribeConfigsResourceResult>, (ErrorCode, String)> {
    afluente_cluster::topic_name::validate(name)
        .map_err(|why| (ErrorCode::InvalidTopicException, why))?;
    let image = broker.metadata.image();
    if image.topic(name).is_none() {
        let code = ErrorCode::UnknownTopicOrPartition;
        return Err((code, code.wire_message().to_owned()));
    }
    let own = image.configs(&ConfigResource::topic(name)).cloned().unwrap_or_default();
    drop(image);
    let configs = topic_configs::of(broker, &own).into_iter();
    Ok(configs
        .map(|config| DescribeConfigsResourceResult {
            name: config.name.to_owned(),
            value: Some(config.value),
            config_source: config.synonyms.first().map_or(source::DEFAULT, |(.., source)| *source),
            synonyms: config.synonyms.into_iter().map(synonym).collect(),
            config_type: config.kind,
            documentation: Some(config.doc.to_owned()),
            ..Default::default()
        })
        .collect())
}

fn synonym((name, value, source): (String, String, i8)) -> DescribeConfigsSynonym {
    DescribeConfigsSynonym { name, value: Some(value), source }
}

/// What was set for a broker, or for all of them, while they ran.
fn dynamic(broker: &Broker, name: &str) -> BTreeMap<String, String> {
    let resource = ConfigResource { kind: ConfigResource::BROKER, name: name.to_owned() };
    broker.metadata.image().configs(&resource).cloned().unwrap_or_default()
}

/// The default of all brokers: only what was set, as in Kafka.
fn all_brokers(broker: &Broker) -> Vec<DescribeConfigsResourceResult> {
    let set = dynamic(broker, "");
    set.into_iter().map(|(name, value)| set_one(name, value, source::ALL_BROKERS)).collect()
}

/// A key that was set while running, as it is where nothing else is known of it.
fn set_one(name: String, value: String, source: i8) -> DescribeConfigsResourceResult {
    let key = keys::of_listener_or_broker(&name);
    let is_quota = keys::REPLICATION_QUOTAS.contains(&name.as_str());
    // What is not known may be a secret.
    let is_sensitive = !is_quota && key.is_none_or(Key::is_sensitive);
    let value = (!is_sensitive).then_some(value);
    DescribeConfigsResourceResult {
        config_type: key.map_or(if is_quota { kind::LONG } else { 0 }, kind_of),
        synonyms: vec![DescribeConfigsSynonym { name: name.clone(), value: value.clone(), source }],
        read_only: !is_quota && key.is_none_or(|key| key.update == Update::ReadOnly),
        name,
        value,
        config_source: source,
        is_sensitive,
        ..Default::default()
    }
}

fn this_broker(broker: &Broker) -> Vec<DescribeConfigsResourceResult> {
    let own = dynamic(broker, &broker.settings.node.id.to_string());
    let of_all = dynamic(broker, "");
    let of_this = own.iter().map(|it| (it, source::BROKER));
    let of_others = of_all.iter().filter(|(name, _)| !own.contains_key(*name));
    let others: Vec<_> = of_this
        .chain(of_others.map(|it| (it, source::ALL_BROKERS)))
        .filter(|((name, _), _)| keys::find(name).is_none())
        .map(|((name, value), source)| set_one(name.clone(), value.clone(), source))
        .collect();
    let shown = keys::all().filter(|key| key.importance != key::Importance::Internal);
    shown
        .map(|key| {
            let said = topic_configs::of_broker(broker, family(key), key.name).into_iter();
            let mut synonyms: Vec<(String, Option<String>, i8)> =
                said.map(|(name, value, source)| (name, Some(value), source)).collect();
            let is_told = synonyms.iter().any(|(.., source)| *source != source::DEFAULT);
            let listeners = broker.config.get("listeners");
            if key.name == "advertised.listeners" && !is_told && listeners.source != Source::Default
            {
                // Where nothing else is said, clients are told where the broker listens.
                let value = Some(listeners.value.to_string());
                synonyms.insert(0, (key.name.to_owned(), value, source::FILE));
            }
            if synonyms.is_empty() {
                synonyms.push((key.name.to_owned(), None, source::DEFAULT));
            }
            let is_sensitive = key.is_sensitive();
            let hide = |value: Option<String>| if is_sensitive { None } else { value };
            let (_, value, config_source) = synonyms[0].clone();
            DescribeConfigsResourceResult {
                name: key.name.to_owned(),
                value: hide(value),
                read_only: key.update == Update::ReadOnly,
                config_source,
                is_sensitive,
                synonyms: synonyms
                    .into_iter()
                    .map(|(name, value, source)| DescribeConfigsSynonym {
                        name,
                        value: hide(value),
                        source,
                    })
                    .collect(),
                config_type: kind_of(key),
                documentation: Some(key.doc.to_owned()),
            }
        })
        .chain(others)
        .collect()
}

/// The keys that stand for each other in other units, the one that counts most first.
fn family(key: &'static Key) -> &'static [&'static str] {
    const FAMILIES: [&[&str]; 4] = [
        &["log.retention.ms", "log.retention.minutes", "log.retention.hours"],
        &["log.roll.ms", "log.roll.hours"],
        &["log.roll.jitter.ms", "log.roll.jitter.hours"],
        &["log.flush.interval.ms", "log.flush.scheduler.interval.ms"],
    ];
    let of_several = FAMILIES.into_iter().find(|family| family.contains(&key.name));
    of_several.unwrap_or(std::slice::from_ref(&key.name))
}

fn kind_of(key: &Key) -> i8 {
    match key.kind {
        key::Kind::Boolean => kind::BOOLEAN,
        key::Kind::Short(_) => kind::SHORT,
        key::Kind::Int(_) => kind::INT,
        key::Kind::Long(_) => kind::LONG,
        key::Kind::Double(_) => kind::DOUBLE,
        key::Kind::Text(_) => kind::STRING,
        key::Kind::List(_) => kind::LIST,
        key::Kind::Class => kind::CLASS,
        key::Kind::Password => kind::PASSWORD,
    }
}

/// Every key of a group or of a client metrics subscription: what was set, else its default.
fn listed(
    broker: &Broker,
    resource: &DescribeConfigsResource,
    keys: &[ResourceKey],
    from: i8,
) -> Vec<DescribeConfigsResourceResult> {
    let resource =
        ConfigResource { kind: resource.resource_type, name: resource.resource_name.clone() };
    let set = broker.metadata.image().configs(&resource).cloned().unwrap_or_default();
    keys.iter().map(|key| listed_one(broker, key, set.get(key.name), from)).collect()
}

fn listed_one(
    broker: &Broker,
    key: &ResourceKey,
    own: Option<&String>,
    from: i8,
) -> DescribeConfigsResourceResult {
    let mut synonyms = Vec::new();
    if let Some(own) = own {
        synonyms.push((key.name.to_owned(), own.clone(), from));
    }
    match key.default {
        // Its default is no synonym of what a subscription says.
        Some(_) if from == source::CLIENT_METRICS => {}
        Some(default) => synonyms.push((key.name.to_owned(), default.to_owned(), source::DEFAULT)),
        None => {
            let of_broker = format!("group.{}", key.name);
            let given = broker.config.get(&of_broker);
            if given.source != Source::Default {
                synonyms.push((of_broker.clone(), given.value.to_string(), source::FILE));
            }
            if let Some(default) = keys::find(&of_broker).and_then(|key| key.default) {
                synonyms.push((of_broker, default.to_owned(), source::DEFAULT));
            }
        }
    }
    let (value, config_source) = match synonyms.first() {
        Some((_, value, source)) => (value.clone(), *source),
        None => (key.default.unwrap_or_default().to_owned(), source::DEFAULT),
    };
    DescribeConfigsResourceResult {
        name: key.name.to_owned(),
        value: Some(value),
        config_source,
        synonyms: synonyms.into_iter().map(synonym).collect(),
        config_type: key.kind_code(),
        ..Default::default()
    }
}
