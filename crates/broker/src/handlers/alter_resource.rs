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
        ConfigResource::TOPIC if name.is_empty() => {
            return invalid("Default topic resources are not allowed.".to_owned());
        }
        ConfigResource::TOPIC => {
            afluente_cluster::topic_name::validate(name)
                .map_err(|why| (ErrorCode::InvalidTopicException, why))?;
            if broker.metadata.image().topic(name).is_none() {
                // What is wrong with the changes is told first.
                let Manner { replace_all, .. } = manner;
                broker.metadata.alter_configs(broker, resource, changes, replace_all, true).await?;
                let message = format!("The topic '{name}' does not exist.");
                return Err((ErrorCode::UnknownTopicOrPartition, message));
            }
        }
        ConfigResource::BROKER
            if !name.is_empty() && name.parse() != Ok(broker.settings.node.id) =>
        {
            return invalid(format!(
                "Unexpected broker id, expected {}, but received {name}",
                broker.settings.node.id
            ));
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

/// The resources that a request names more than once: none of them is changed.
pub(super) fn repeated<'a>(named: impl Iterator<Item = (i8, &'a str)>) -> BTreeSet<(i8, String)> {
    super::repeated::repeated(named, |(kind, name)| (kind, name.to_owned()))
}

/// What a repeated resource is answered.
pub(super) fn refuse_repeated() -> Refusal {
    (ErrorCode::InvalidRequest, "Each resource must appear at most once.".to_owned())
}
