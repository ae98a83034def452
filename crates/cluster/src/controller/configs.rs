//! AlterConfigs and IncrementalAlterConfigs (KIP-339).

use super::{Refusal, TopicConfigRules};
use crate::image::{ConfigResource, MetadataImage};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::config_record::ConfigRecord;
use std::collections::BTreeMap;

/// What is to be done with one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigOperation {
    /// Give it this value.
    Set,
    /// Take away what was set.
    Delete,
    /// Add to a list.
    Append,
    /// Take out of a list.
    Subtract,
}

impl ConfigOperation {
    /// The operation of that number on the wire.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        match code {
            0 => Some(Self::Set),
            1 => Some(Self::Delete),
            2 => Some(Self::Append),
            3 => Some(Self::Subtract),
            _ => None,
        }
    }
}

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigChange {
    /// The key.
    pub name: String,
    /// What to do.
    pub operation: ConfigOperation,
    /// With what.
    pub value: Option<String>,
}

/// Changes what is set for a resource, all keys or none. With `replace_all`, keys that are not
/// among the changes lose what was set (the older AlterConfigs).
///
/// # Errors
/// `INVALID_REQUEST` or `INVALID_CONFIG`, with the key and the reason.
pub fn alter_configs(
    image: &MetadataImage,
    resource: &ConfigResource,
    changes: &[ConfigChange],
    replace_all: bool,
    rules: &dyn TopicConfigRules,
) -> Result<Vec<MetadataRecord>, Refusal> {
    let before = image.configs(resource).cloned().unwrap_or_default();
    let mut after = if replace_all { BTreeMap::new() } else { before.clone() };
    let mut seen: Vec<&str> = Vec::new();
    for change in changes {
        if seen.contains(&change.name.as_str()) {
            let message = "Error due to duplicate config keys";
            return Err((ErrorCode::InvalidRequest, message.to_owned()));
        }
        seen.push(&change.name);
        apply(&mut after, change, rules)?;
    }
    rules.validate(&after)?;

    let removed = before.keys().filter(|name| !after.contains_key(*name)).map(|name| (name, None));
    let set = after.iter().filter(|(name, value)| before.get(*name) != Some(value));
    let set = set.map(|(name, value)| (name, Some(value.clone())));
    Ok(removed
        .chain(set)
        .map(|(name, value)| {
            MetadataRecord::Config(ConfigRecord {
                resource_type: resource.kind,
                resource_name: resource.name.clone(),
                name: name.clone(),
                value,
            })
        })
        .collect())
}

fn list_default(change: &ConfigChange, rules: &dyn TopicConfigRules) -> Result<String, Refusal> {
    rules.list_default(&change.name).ok_or_else(|| {
        let message = format!(
            "Can't {} to key {} because its type is not LIST.",
            if change.operation == ConfigOperation::Append { "APPEND" } else { "SUBTRACT" },
            change.name
        );
        (ErrorCode::InvalidConfig, message)
    })
}

fn apply(
    values: &mut BTreeMap<String, String>,
    change: &ConfigChange,
    rules: &dyn TopicConfigRules,
) -> Result<(), Refusal> {
    let name = &change.name;
    if change.operation == ConfigOperation::Delete {
        values.remove(name);
        return Ok(());
    }
    let Some(value) = &change.value else {
        let message = format!("Null value not supported for : {name}");
        return Err((ErrorCode::InvalidRequest, message));
    };
    if change.operation == ConfigOperation::Set {
        values.insert(name.clone(), value.clone());
        return Ok(());
    }
    let default = list_default(change, rules)?;
    let present = values.get(name).cloned().unwrap_or(default);
    let mut items: Vec<&str> = present.split(',').filter(|item| !item.is_empty()).collect();
    for item in value.split(',') {
        let held = items.iter().position(|present| *present == item);
        match (change.operation, held) {
            (ConfigOperation::Append, None) => items.push(item),
            (ConfigOperation::Subtract, Some(place)) => {
                items.remove(place);
            }
            _ => {}
        }
    }
    values.insert(name.clone(), items.join(","));
    Ok(())
}
