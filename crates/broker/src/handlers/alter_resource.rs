//! What AlterConfigs and IncrementalAlterConfigs share: one resource with its changes.

use crate::broker::Broker;
use afluente_cluster::controller::{ConfigChange, Refusal};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use std::collections::BTreeSet;

/// How the changes are meant.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    /// Keys that are not named lose what was set.
    pub(super) replace_all: bool,
    /// Only find out whether it could be done.
    pub(super) validate_only: bool,
}

/// Changes what is set for one resource.
pub(super) async fn alter(
    broker: &Broker,
    resource: &ConfigResource,
    changes: &[ConfigChange],
    manner: Manner,
) -> Result<(), Refusal> {
    let name = &resource.name;
    let invalid = |message: String| Err((ErrorCode::InvalidRequest, message));
    match resource.kind {
        ConfigResource::TOPIC => {
            afluente_cluster::topic_name::validate(name)
                .map_err(|why| (ErrorCode::InvalidTopicException, why))?;
            if broker.metadata.image().topic(name).is_none() {
                let message = format!("The topic '{name}' does not exist.");
                return Err((ErrorCode::UnknownTopicOrPartition, message));
            }
        }
        ConfigResource::BROKER
            if !name.is_empty() && name.parse() != Ok(broker.settings.node.id) =>
        {
            let message = format!("No broker with id {name} found.");
            return Err((ErrorCode::BrokerIdNotRegistered, message));
        }
        ConfigResource::CLIENT_METRICS | ConfigResource::GROUP if name.is_empty() => {
            return invalid("Default resource name is not allowed.".to_owned());
        }
        _ => {}
    }
    broker
        .metadata
        .alter_configs(broker, resource, changes, manner.replace_all, manner.validate_only)
        .await
}

/// Whether a resource is named before in the same request: each may be named once.
pub(super) fn is_repeated(
    seen: &mut BTreeSet<(i8, String)>,
    kind: i8,
    name: &str,
) -> Result<(), Refusal> {
    if seen.insert((kind, name.to_owned())) {
        return Ok(());
    }
    let message = format!("Each resource must appear at most once: {name}");
    Err((ErrorCode::InvalidRequest, message))
}
