//! ListConfigResources (74), versions 0 and 1. KIP-1000 (client metrics), KIP-1142 (all kinds).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::image;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use afluente_protocol::messages::list_config_resources_response::{
    ConfigResource, ListConfigResourcesResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Loggers of a broker.
const BROKER_LOGGER: i8 = 8;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: ListConfigResourcesRequest,
) -> Result<ListConfigResourcesResponse, CloseReason> {
    use image::ConfigResource as Of;
    let all = [Of::TOPIC, Of::BROKER, BROKER_LOGGER, Of::CLIENT_METRICS, Of::GROUP];
    let wanted: BTreeSet<i8> = match (context.version, request.resource_types.is_empty()) {
        (0, _) => [Of::CLIENT_METRICS].into(),
        (_, true) => all.into(),
        (_, false) => request.resource_types.into_iter().collect(),
    };
    if wanted.iter().any(|kind| !all.contains(kind)) {
        return Ok(ListConfigResourcesResponse {
            error_code: ErrorCode::UnsupportedVersion.code(),
            ..Default::default()
        });
    }
    let mut found: BTreeSet<(i8, String)> = BTreeSet::new();
    let node_id = broker.settings.node.id.to_string();
    for kind in [Of::BROKER, BROKER_LOGGER] {
        found.insert((kind, node_id.clone()));
    }
    let image = broker.metadata.image();
    found.extend(image.topics().map(|topic| (Of::TOPIC, topic.name.to_string())));
    let named = image.configured().filter(|of| matches!(of.kind, Of::CLIENT_METRICS | Of::GROUP));
    found.extend(named.map(|of| (of.kind, of.name.clone())));
    let resources = found.into_iter().filter(|(kind, _)| wanted.contains(kind));
    Ok(ListConfigResourcesResponse {
        config_resources: resources
            .map(|(resource_type, resource_name)| ConfigResource { resource_name, resource_type })
            .collect(),
        ..Default::default()
    })
}
