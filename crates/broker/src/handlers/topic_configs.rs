//! The configuration of a topic as clients see it: every key, its value, and where that comes from.

use crate::broker::Broker;
use crate::config::keys;
use crate::metadata::INTERNAL_SEGMENT_BYTES;
use afluente_storage::log_config::{Kind, LOG_CONFIG_KEYS, LogConfigKey};
use std::collections::BTreeMap;

/// Where a value comes from, by the numbers of the protocol.
pub(crate) mod source {
    pub(crate) const TOPIC: i8 = 1;
    pub(crate) const BROKER: i8 = 2;
    pub(crate) const ALL_BROKERS: i8 = 3;
    pub(crate) const FILE: i8 = 4;
    pub(crate) const DEFAULT: i8 = 5;
    pub(crate) const CLIENT_METRICS: i8 = 7;
    pub(crate) const GROUP: i8 = 8;

    /// Where a value of the broker's configuration comes from.
    pub(crate) fn of(by: crate::metadata::GivenBy) -> i8 {
        use crate::metadata::GivenBy;
        match by {
            GivenBy::Broker => BROKER,
            GivenBy::AllBrokers => ALL_BROKERS,
            GivenBy::Start => FILE,
        }
    }
}

/// One key of a topic.
pub(crate) struct TopicConfig {
    pub(crate) name: &'static str,
    pub(crate) value: String,
    pub(crate) source: i8,
    /// Everybody who has something to say, the one that counts first: key, value, source.
    pub(crate) synonyms: Vec<(String, String, i8)>,
    pub(crate) kind: i8,
    pub(crate) doc: &'static str,
}

/// Every key of a topic for which `own` is set; the internal one only where it is.
pub(crate) fn of(broker: &Broker, own: &BTreeMap<String, String>) -> Vec<TopicConfig> {
    let name = INTERNAL_SEGMENT_BYTES;
    let internal = own.get(name).map(|value| TopicConfig {
        name,
        value: value.clone(),
        source: source::TOPIC,
        synonyms: vec![(name.to_owned(), value.clone(), source::TOPIC)],
        kind: kind(Kind::Int),
        doc: "The maximum size of a single log file. This should be used for testing only.",
    });
    LOG_CONFIG_KEYS.iter().map(|key| one(broker, key, own)).chain(internal).collect()
}

fn one(broker: &Broker, key: &'static LogConfigKey, own: &BTreeMap<String, String>) -> TopicConfig {
    let mut synonyms: Vec<(String, String, i8)> = Vec::new();
    if let Some(value) = own.get(key.name) {
        synonyms.push((key.name.to_owned(), value.clone(), source::TOPIC));
    }
    for synonym in key.synonyms {
        let given = broker.metadata.broker_text(&broker.config, synonym.name);
        let converted = given.and_then(|(text, by)| Some((synonym.convert(&text).ok()?, by)));
        if let Some((value, by)) = converted {
            synonyms.push((synonym.name.to_owned(), value, source::of(by)));
        }
    }
    let (value, source) = match synonyms.first() {
        Some((_, value, source)) => (value.clone(), *source),
        None => (key.default(), source::DEFAULT),
    };
    // Kafka shows the default of the key that it looks up first, if that one has any: the default of
    // `retention.ms` is that of `log.retention.hours`, and is not shown.
    if let Some(first) = key.synonyms.first()
        && keys::find(first.name).is_none_or(|of_broker| of_broker.default.is_some())
    {
        synonyms.push((first.name.to_owned(), key.default(), source::DEFAULT));
    }
    TopicConfig { name: key.name, value, source, synonyms, kind: kind(key.kind), doc: key.doc() }
}

/// The kind of a value, by the numbers of the protocol.
fn kind(kind: Kind) -> i8 {
    match kind {
        Kind::Boolean => 1,
        Kind::String => 2,
        Kind::Int => 3,
        Kind::Long => 5,
        Kind::Double => 6,
        Kind::List => 7,
    }
}
