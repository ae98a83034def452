//! SyncGroup (14), versions 0 to 5. KIP-345 (static members), KIP-559 (protocol type and name).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::TopicsView;
use afluente_coordinator::effects::Reply;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::sync_group_request::SyncGroupRequest;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use std::sync::Arc;

/// From this version on, a request must say for which protocol it is.
const PROTOCOL_REQUIRED_SINCE: i16 = 5;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: SyncGroupRequest,
) -> Result<SyncGroupResponse, CloseReason> {
    let refused =
        |code: ErrorCode| SyncGroupResponse { error_code: code.code(), ..Default::default() };
    let names_protocol = request.protocol_type.is_some() && request.protocol_name.is_some();
    if context.version >= PROTOCOL_REQUIRED_SINCE && !names_protocol {
        return Ok(refused(ErrorCode::InconsistentGroupProtocol));
    }
    if request.group_id.is_empty() {
        return Ok(refused(ErrorCode::InvalidGroupId));
    }
    let groups = &broker.groups;
    let shard = match groups.shard(broker, &request.group_id).await {
        Ok(shard) => shard,
        Err(code) => return Ok(refused(code)),
    };
    let origin = groups.origin(broker, context);
    let reply = groups
        .run_open(broker, &shard, |groups, ticket, effects| {
            groups.sync(&origin, request, ticket, &TopicsView(&broker.topics), effects);
        })
        .await;
    Ok(match reply {
        Ok(Reply::Sync(response)) => response,
        Ok(Reply::Join(_)) => refused(ErrorCode::UnknownServerError),
        Err(code) => refused(code),
    })
}
