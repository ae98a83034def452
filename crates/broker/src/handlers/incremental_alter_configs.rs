//! IncrementalAlterConfigs (44), versions 0 and 1. KIP-339.
//!
//! Not done: authorization; most broker keys are kept and shown, and take effect with the next
//! start.

use super::alter_resource::{self, Manner};
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller::{ConfigChange, ConfigOperation, Refusal};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequest,
};
use afluente_protocol::messages::incremental_alter_configs_response::{
    AlterConfigsResourceResponse, IncrementalAlterConfigsResponse,
};
use std::sync::Arc;

/// The operation that needs no value.
const DELETE: i8 = 1;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: IncrementalAlterConfigsRequest,
) -> Result<IncrementalAlterConfigsResponse, CloseReason> {
    let manner = Manner { replace_all: false, validate_only: request.validate_only };
    let named = request.resources.iter().map(|one| (one.resource_type, &*one.resource_name));
    let repeated = alter_resource::repeated(named);
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let (kind, name) = (resource.resource_type, resource.resource_name.clone());
        let result = if repeated.contains(&(kind, name.clone())) {
            Err(alter_resource::refuse_repeated())
        } else {
            alter(broker, resource, manner).await
        };
        let (code, message) = result.err().unzip();
        responses.push(AlterConfigsResourceResponse {
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message,
            resource_type: kind,
            resource_name: name,
        });
    }
    Ok(IncrementalAlterConfigsResponse { responses, ..Default::default() })
}

async fn alter(
    broker: &Broker,
    resource: AlterConfigsResource,
    manner: Manner,
) -> Result<(), Refusal> {
    let nulls: Vec<&str> = resource
        .configs
        .iter()
        .filter(|config| config.value.is_none() && config.config_operation != DELETE)
        .map(|config| config.name.as_str())
        .collect();
    if !nulls.is_empty() {
        let message = format!("Null value not supported for : {}", nulls.join(","));
        return Err((ErrorCode::InvalidRequest, message));
    }
    let changes: Result<Vec<ConfigChange>, Refusal> = resource
        .configs
        .into_iter()
        .map(|config| {
            let operation =
                ConfigOperation::from_code(config.config_operation).ok_or_else(|| {
                    let message = format!(
                        "Unknown operations were provided for config keys: {}",
                        config.name
                    );
                    (ErrorCode::InvalidRequest, message)
                })?;
            Ok(ConfigChange { name: config.name, operation, value: config.value })
        })
        .collect();
    let of = ConfigResource { kind: resource.resource_type, name: resource.resource_name };
    alter_resource::alter(broker, &of, &changes?, manner).await
}
