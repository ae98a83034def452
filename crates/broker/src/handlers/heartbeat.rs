//! Heartbeat (12), versions 0 to 4. KIP-345 (static members).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::TopicsView;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::heartbeat_response::HeartbeatResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: HeartbeatRequest,
) -> Result<HeartbeatResponse, CloseReason> {
    let code = beat(broker, context, request).await.err().unwrap_or(ErrorCode::None);
    Ok(HeartbeatResponse { error_code: code.code(), ..Default::default() })
}

async fn beat(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: HeartbeatRequest,
) -> Result<(), ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let groups = &broker.groups;
    let shard = groups.shard(broker, &request.group_id).await?;
    let origin = groups.origin(broker, context);
    groups
        .run(broker, &shard, |groups, effects| {
            groups.heartbeat(&origin, &request, &TopicsView(&broker.topics), effects)
        })
        .await?
}
