//! ConsumerGroupHeartbeat (68), versions 0 and 1. KIP-848, KIP-1082 (member ids from the client).
//!
//! Answered with UNSUPPORTED_VERSION where the protocol is switched off, see
//! `groups::serves_consumer_protocol`. Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::{TopicsView, serves_consumer_protocol};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use afluente_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: ConsumerGroupHeartbeatRequest,
) -> Result<ConsumerGroupHeartbeatResponse, CloseReason> {
    let refused = |code: ErrorCode, message: Option<String>| ConsumerGroupHeartbeatResponse {
        error_code: code.code(),
        error_message: message,
        ..Default::default()
    };
    if !serves_consumer_protocol(broker) {
        return Ok(refused(ErrorCode::UnsupportedVersion, None));
    }
    let shard = match broker.groups.shard(broker, &request.group_id).await {
        Ok(shard) => shard,
        Err(code) => return Ok(refused(code, None)),
    };
    let origin = broker.groups.origin(broker, context);
    let view = TopicsView(&broker.topics);
    let step = broker.groups.run(broker, &shard, |groups, effects| {
        groups.consumer_heartbeat(&origin, &request, &view, effects)
    });
    Ok(match step.await {
        Ok(Ok(response)) => response,
        Ok(Err((code, message))) => refused(code, Some(message)),
        Err(code) => refused(code, None),
    })
}
