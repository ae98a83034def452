//! Client quotas (KIP-546, KIP-612): what limits whom.

use super::{Decision, Refusal};
use crate::image::{MetadataImage, QuotaEntity};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_client_quotas_request::EntryData;
use afluente_protocol::messages::describe_client_quotas_request::ComponentData;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::client_quota_record::{self, ClientQuotaRecord};
use std::collections::BTreeMap;

const USER: &str = "user";
const CLIENT_ID: &str = "client-id";
const IP: &str = "ip";

/// What a quota's number may be.
#[derive(Clone, Copy)]
enum Number {
    Any,
    Int,
    Long,
}

/// The keys that limit users and clients, and those that limit addresses.
const OF_CLIENTS: [(&str, Number); 4] = [
    ("producer_byte_rate", Number::Long),
    ("consumer_byte_rate", Number::Long),
    ("request_percentage", Number::Any),
    ("controller_mutation_rate", Number::Any),
];
const OF_ADDRESSES: [(&str, Number); 1] = [("connection_creation_rate", Number::Int)];

fn invalid(message: impl Into<String>) -> Refusal {
    (ErrorCode::InvalidRequest, message.into())
}

/// Sets and removes quotas, each entity by itself. Answers stand in the order of `entries`.
#[must_use]
pub fn alter_client_quotas(
    image: &MetadataImage,
    entries: &[EntryData],
) -> Decision<Vec<Result<(), Refusal>>> {
    let mut records = Vec::new();
    let answer = entries.iter().map(|entry| alter(image, entry, &mut records)).collect();
    Decision { records, answer }
}

fn alter(
    image: &MetadataImage,
    entry: &EntryData,
    records: &mut Vec<MetadataRecord>,
) -> Result<(), Refusal> {
    let mut entity: QuotaEntity = Vec::new();
    for part in &entry.entity {
        let kind = part.entity_type.as_str();
        if entity.iter().any(|(known, _)| known == kind) {
            return Err(invalid(format!(
                "Invalid client quota entity, duplicate entity entry {kind}"
            )));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            return Err(invalid(format!("Unhandled client quota entity type: {kind}")));
        }
        if part.entity_name.as_deref() == Some("") {
            return Err(invalid(format!("Empty {kind} not supported")));
        }
        entity.push((part.entity_type.clone(), part.entity_name.clone()));
    }
    entity.sort_unstable();
    let keys = allowed_keys(&entity)?;
    let mut changed = Vec::new();
    for op in &entry.ops {
        let kind = keys.iter().find(|(name, _)| *name == op.key).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| invalid(format!("Invalid configuration key {}", op.key)))?;
        if !op.remove {
            check_value(&op.key, kind, op.value)?;
        }
        let present = image.quotas().get(&(entity.clone(), op.key.clone())).map(|value| value.0);
        if present == (!op.remove).then_some(op.value) {
            continue;
        }
        changed.push(MetadataRecord::ClientQuota(ClientQuotaRecord {
            entity: entity
                .iter()
                .map(|(entity_type, entity_name)| client_quota_record::EntityData {
                    entity_type: entity_type.clone(),
                    entity_name: entity_name.clone(),
                })
                .collect(),
            key: op.key.clone(),
            value: if op.remove { 0.0 } else { op.value },
            remove: op.remove,
        }));
    }
    records.append(&mut changed);
    Ok(())
}

fn allowed_keys(entity: &QuotaEntity) -> Result<&'static [(&'static str, Number)], Refusal> {
    let has = |kind: &str| entity.iter().any(|(known, _)| known == kind);
    match (has(USER) || has(CLIENT_ID), has(IP)) {
        (true, true) => Err(invalid(
            "Invalid quota entity combination, IP entity should not be combined with User or \
             ClientId",
        )),
        (true, false) => Ok(&OF_CLIENTS),
        (false, true) => {
            let address = entity.iter().find_map(|(_, name)| name.as_deref());
            match address {
                Some(text) if text.parse::<std::net::IpAddr>().is_err() => {
                    Err(invalid(format!("{text} is not a valid IP or resolvable host.")))
                }
                _ => Ok(&OF_ADDRESSES),
            }
        }
        (false, false) => Err(invalid("Invalid empty client quota entity")),
    }
}

fn check_value(key: &str, kind: Number, value: f64) -> Result<(), Refusal> {
    if value.is_nan() || value <= 0.0 {
        return Err(invalid(format!("Quota {key} must be greater than 0")));
    }
    let (max, name) = match kind {
        Number::Any => return Ok(()),
        Number::Int => (f64::from(i32::MAX), "INT"),
        Number::Long => (9_223_372_036_854_775_807.0, "LONG"),
    };
    if value > max {
        return Err(invalid(format!("Proposed value for {key} is too large for a {name}.")));
    }
    if value.fract() != 0.0 {
        return Err(invalid(format!("{key} cannot be a fractional value.")));
    }
    Ok(())
}

/// How a component of a filter matches names.
enum Match {
    Exactly(String),
    Default,
    Anything,
}

/// Entities that a filter finds, with their quotas. A strict filter finds those that have no other
/// parts than the ones it names.
///
/// # Errors
/// `INVALID_REQUEST` or `UNSUPPORTED_VERSION`, with what is wrong with the filter.
pub fn describe_client_quotas(
    image: &MetadataImage,
    components: &[ComponentData],
    is_strict: bool,
) -> Result<BTreeMap<QuotaEntity, BTreeMap<String, f64>>, Refusal> {
    let mut filter: BTreeMap<&str, Match> = BTreeMap::new();
    for component in components {
        let kind = component.entity_type.as_str();
        if kind.is_empty() {
            return Err(invalid("Invalid empty entity type."));
        }
        if filter.contains_key(kind) {
            return Err(invalid(format!(
                "Entity type {kind} cannot appear more than once in the filter."
            )));
        }
        if ![USER, CLIENT_ID, IP].contains(&kind) {
            let message = format!("Unsupported entity type {kind}");
            return Err((ErrorCode::UnsupportedVersion, message));
        }
        let matching = match (component.match_type, component.r#match.clone()) {
            (0, Some(name)) => Match::Exactly(name),
            (0, None) => {
                return Err(invalid(
                    "Request specified MATCH_TYPE_EXACT, but set match string to null.",
                ));
            }
            (1, None) => Match::Default,
            (2, None) => Match::Anything,
            (1 | 2, Some(_)) => {
                let name = if component.match_type == 1 { "DEFAULT" } else { "SPECIFIED" };
                return Err(invalid(format!(
                    "Request specified MATCH_TYPE_{name}, but also specified a match string."
                )));
            }
            (other, _) => return Err(invalid(format!("Unknown match type {other}"))),
        };
        filter.insert(kind, matching);
    }
    if filter.contains_key(IP) && (filter.contains_key(USER) || filter.contains_key(CLIENT_ID)) {
        return Err(invalid(
            "Invalid entity filter component combination. IP filter component should not be used \
             with user or clientId filter component.",
        ));
    }
    let mut found: BTreeMap<QuotaEntity, BTreeMap<String, f64>> = BTreeMap::new();
    for ((entity, key), value) in image.quotas() {
        let matches = filter.iter().all(|(kind, matching)| {
            entity.iter().any(|(known, name)| {
                known == kind
                    && match matching {
                        Match::Exactly(wanted) => name.as_ref() == Some(wanted),
                        Match::Default => name.is_none(),
                        Match::Anything => true,
                    }
            })
        });
        if matches && (!is_strict || entity.len() == filter.len()) {
            found.entry(entity.clone()).or_default().insert(key.clone(), value.0);
        }
    }
    Ok(found)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
mod tests {
    use super::*;
    use afluente_protocol::messages::alter_client_quotas_request::{EntityData, OpData};

    fn entry(entity: &[(&str, Option<&str>)], ops: &[(&str, Option<f64>)]) -> EntryData {
        EntryData {
            entity: entity
                .iter()
                .map(|(kind, name)| EntityData {
                    entity_type: (*kind).to_owned(),
                    entity_name: name.map(str::to_owned),
                })
                .collect(),
            ops: ops
                .iter()
                .map(|(key, value)| OpData {
                    key: (*key).to_owned(),
                    value: value.unwrap_or(0.0),
                    remove: value.is_none(),
                })
                .collect(),
        }
    }

    fn component(kind: &str, match_type: i8, name: Option<&str>) -> ComponentData {
        ComponentData { entity_type: kind.to_owned(), match_type, r#match: name.map(str::to_owned) }
    }

    #[test]
    fn quotas_are_set_found_by_filter_and_removed() {
        let mut image = MetadataImage::default();
        let apply = |image: &mut MetadataImage, entries: &[EntryData]| {
            let decision = alter_client_quotas(image, entries);
            for record in decision.records {
                image.apply(record).unwrap();
            }
            decision.answer
        };
        let answers = apply(
            &mut image,
            &[
                entry(&[("user", Some("a"))], &[("producer_byte_rate", Some(10.0))]),
                entry(
                    &[("user", Some("a")), ("client-id", Some("c"))],
                    &[("consumer_byte_rate", Some(20.0))],
                ),
                entry(&[("client-id", None)], &[("request_percentage", Some(0.5))]),
                entry(&[("ip", Some("10.0.0.1"))], &[("connection_creation_rate", Some(5.0))]),
            ],
        );
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        let found = |image: &MetadataImage, filter: &[ComponentData], strict| {
            describe_client_quotas(image, filter, strict).unwrap().len()
        };
        assert_eq!(found(&image, &[], false), 4);
        assert_eq!(found(&image, &[component("user", 0, Some("a"))], false), 2);
        assert_eq!(found(&image, &[component("user", 0, Some("a"))], true), 1);
        assert_eq!(found(&image, &[component("client-id", 1, None)], true), 1);
        assert_eq!(found(&image, &[component("ip", 2, None)], true), 1);
        let gone = [entry(&[("user", Some("a"))], &[("producer_byte_rate", None)])];
        apply(&mut image, &gone);
        assert_eq!(found(&image, &[component("user", 0, Some("a"))], true), 0);
        assert_eq!(alter_client_quotas(&image, &gone).records, [], "nothing is there any more");
    }

    #[test]
    fn what_is_wrong_is_told_by_entity() {
        let image = MetadataImage::default();
        for (bad, why) in [
            (entry(&[], &[]), "Invalid empty client quota entity"),
            (entry(&[("team", Some("a"))], &[]), "Unhandled client quota entity type: team"),
            (entry(&[("user", Some(""))], &[]), "Empty user not supported"),
            (
                entry(&[("user", None), ("user", None)], &[]),
                "Invalid client quota entity, duplicate entity entry user",
            ),
            (entry(&[("ip", Some("here"))], &[]), "here is not a valid IP or resolvable host."),
            (
                entry(&[("user", None)], &[("connection_creation_rate", Some(1.0))]),
                "Invalid configuration key connection_creation_rate",
            ),
            (
                entry(&[("user", None)], &[("producer_byte_rate", Some(0.0))]),
                "Quota producer_byte_rate must be greater than 0",
            ),
            (
                entry(&[("ip", None)], &[("connection_creation_rate", Some(1e12))]),
                "Proposed value for connection_creation_rate is too large for a INT.",
            ),
        ] {
            let good = entry(&[("user", None)], &[("producer_byte_rate", Some(1.0))]);
            let decision = alter_client_quotas(&image, &[bad, good]);
            assert_eq!(decision.answer[0], Err(invalid(why)));
            assert_eq!((decision.answer[1].is_ok(), decision.records.len()), (true, 1));
        }
    }
}
