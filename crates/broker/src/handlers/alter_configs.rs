//! AlterConfigs (33), versions 0 to 2: the older way, which replaces everything that was set.
//!
//! Not done: authorization.

use super::alter_resource::{self, Manner};
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller::{ConfigChange, ConfigOperation};
use afluente_cluster::image::ConfigResource;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_configs_request::AlterConfigsRequest;
use afluente_protocol::messages::alter_configs_response::{
    AlterConfigsResourceResponse, AlterConfigsResponse,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: AlterConfigsRequest,
) -> Result<AlterConfigsResponse, CloseReason> {
    let manner = Manner { replace_all: true, validate_only: request.validate_only };
    let named = request.resources.iter().map(|one| (one.resource_type, &*one.resource_name));
    let repeated = alter_resource::repeated(named);
    let mut responses = Vec::with_capacity(request.resources.len());
    for resource in request.resources {
        let of = ConfigResource { kind: resource.resource_type, name: resource.resource_name };
        let changes: Vec<ConfigChange> = resource
            .configs
            .into_iter()
            .map(|config| ConfigChange {
                name: config.name,
                operation: ConfigOperation::Set,
                value: config.value,
            })
            .collect();
        let nulls: Vec<&str> =
            changes.iter().filter(|it| it.value.is_none()).map(|it| it.name.as_str()).collect();
        let result = if repeated.contains(&(of.kind, of.name.clone())) {
            Err(alter_resource::refuse_repeated())
        } else if !nulls.is_empty() {
            let message = format!("Null value not supported for : {}", nulls.join(", "));
            Err((ErrorCode::InvalidRequest, message))
        } else {
            alter_resource::alter(broker, &of, &changes, manner).await
        };
        let (code, message) = result.err().unzip();
        responses.push(AlterConfigsResourceResponse {
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message,
            resource_type: of.kind,
            resource_name: of.name,
        });
    }
    Ok(AlterConfigsResponse { responses, ..Default::default() })
}
