//! The configuration of a topic as clients see it: every key, its value, and where that comes from.

use crate::broker::Broker;
use crate::config::keys;
use crate::metadata::INTERNAL_SEGMENT_BYTES;
use afluente_cluster::image::ConfigResource;
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
    /// Everybody who has something to say, the one that counts first: key, value, source. Kafka
    /// leaves some out, see [`of_broker`].
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
    let (mut value, mut source) = (key.default(), source::DEFAULT);
    for synonym in key.synonyms {
        let given = broker.metadata.broker_text(&broker.config, synonym.name);
        let converted = given.and_then(|(text, by)| Some((synonym.convert(&text).ok()?, by)));
        if let Some((text, by)) = converted {
            (value, source) = (text, source::of(by));
            break;
        }
    }
    let names: Vec<&str> = key.synonyms.iter().map(|synonym| synonym.name).collect();
    let mut synonyms = match names.first() {
        Some(first) => of_broker(broker, &names, first),
        None => Vec::new(),
    };
    if let Some(own) = own.get(key.name) {
        (value, source) = (own.clone(), source::TOPIC);
        synonyms.insert(0, (key.name.to_owned(), own.clone(), source::TOPIC));
    }
    TopicConfig { name: key.name, value, source, synonyms, kind: kind(key.kind), doc: key.doc() }
}

/// What was said of broker keys that stand for each other, by who said it, the one that counts first:
/// key, value, source. As in Kafka it begins where `name` was said: the default of `log.retention.ms`
/// is that of `log.retention.hours`, and is told only behind a value of the former.
pub(super) fn of_broker(broker: &Broker, names: &[&str], name: &str) -> Vec<(String, String, i8)> {
    let set = |broker_name: String| {
        let resource = ConfigResource { kind: ConfigResource::BROKER, name: broker_name };
        broker.metadata.image().configs(&resource).cloned().unwrap_or_default()
    };
    let own = set(broker.settings.node.id.to_string());
    let of_all = set(String::new());
    let own = names.iter().map(|name| (name, own.get(*name).cloned(), source::BROKER));
    let of_all = names.iter().map(|name| (name, of_all.get(*name).cloned(), source::ALL_BROKERS));
    let given = names.iter().map(|name| (name, broker.config.given_text(name), source::FILE));
    let defaults = names.iter().map(|name| {
        let default = keys::find(name).and_then(|key| key.default);
        (name, default.map(str::to_owned), source::DEFAULT)
    });
    let said = own.chain(of_all).chain(given).chain(defaults);
    said.filter_map(|(name, value, source)| Some(((*name).to_owned(), value?, source)))
        .skip_while(|(said, ..)| said != name)
        .collect()
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
