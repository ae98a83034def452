//! JoinGroup (11), versions 0 to 9. KIP-62, KIP-134 (initial delay), KIP-345 (static members),
//! KIP-394 (member ids), KIP-559 (protocol type), KIP-800 (reason), KIP-814 (skip assignment).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::TopicsView;
use afluente_coordinator::effects::Reply;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::join_group_request::JoinGroupRequest;
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use std::sync::Arc;

/// From this version on, an answer may name no protocol.
const NULLABLE_PROTOCOL_SINCE: i16 = 7;
/// From this version on, static members can say who they are.
const INSTANCE_ID_SINCE: i16 = 5;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    mut request: JoinGroupRequest,
) -> Result<JoinGroupResponse, CloseReason> {
    if context.version == 0 {
        // There was one timeout for both then.
        request.rebalance_timeout_ms = request.session_timeout_ms;
    }
    if context.version < INSTANCE_ID_SINCE {
        request.group_instance_id = None;
    }
    let mut response = join(broker, context, request).await;
    if context.version < NULLABLE_PROTOCOL_SINCE {
        response.protocol_name.get_or_insert_default();
    } else if response.error_code != ErrorCode::None.code() {
        response.protocol_name = None;
    }
    Ok(response)
}

async fn join(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: JoinGroupRequest,
) -> JoinGroupResponse {
    let member_id = request.member_id.clone();
    let refused = |code: ErrorCode| JoinGroupResponse {
        error_code: code.code(),
        member_id,
        ..Default::default()
    };
    if request.group_id.is_empty() {
        return refused(ErrorCode::InvalidGroupId);
    }
    let groups = &broker.groups;
    let shard = match groups.shard(broker, &request.group_id).await {
        Ok(shard) => shard,
        Err(code) => return refused(code),
    };
    let origin = groups.origin(broker, context);
    let reply = groups
        .run_open(broker, &shard, |groups, ticket, effects| {
            groups.join(&origin, request, ticket, &TopicsView(&broker.topics), effects);
        })
        .await;
    match reply {
        Ok(Reply::Join(response)) => response,
        Ok(Reply::Sync(_)) => refused(ErrorCode::UnknownServerError),
        Err(code) => refused(code),
    }
}
