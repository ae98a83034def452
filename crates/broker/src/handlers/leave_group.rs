//! LeaveGroup (13), versions 0 to 5. KIP-345 (several members, by instance id), KIP-800 (reason).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::TopicsView;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::leave_group_request::{LeaveGroupRequest, MemberIdentity};
use afluente_protocol::messages::leave_group_response::{LeaveGroupResponse, MemberResponse};
use std::sync::Arc;

/// From this version on, a request names several members, each with an answer of its own.
const BATCHED_SINCE: i16 = 3;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: LeaveGroupRequest,
) -> Result<LeaveGroupResponse, CloseReason> {
    let is_batched = context.version >= BATCHED_SINCE;
    let members = if is_batched {
        request.members
    } else {
        vec![MemberIdentity { member_id: request.member_id, ..Default::default() }]
    };
    Ok(match leave(broker, context, &request.group_id, members).await {
        Err(code) => LeaveGroupResponse { error_code: code.code(), ..Default::default() },
        Ok(members) if is_batched => LeaveGroupResponse { members, ..Default::default() },
        Ok(members) => LeaveGroupResponse {
            error_code: members.first().map_or(0, |member| member.error_code),
            ..Default::default()
        },
    })
}

async fn leave(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    group_id: &str,
    members: Vec<MemberIdentity>,
) -> Result<Vec<MemberResponse>, ErrorCode> {
    if group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let groups = &broker.groups;
    let shard = groups.shard(broker, group_id).await?;
    let origin = groups.origin(broker, context);
    groups
        .run(broker, &shard, |groups, effects| {
            groups.leave(&origin, group_id, members, &TopicsView(&broker.topics), effects)
        })
        .await?
}
