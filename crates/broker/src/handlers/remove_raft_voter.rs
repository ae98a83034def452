//! RemoveRaftVoter (81), version 0. KIP-853.
//!
//! Not done: authorization. The last voter stays.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use afluente_protocol::messages::remove_raft_voter_response::RemoveRaftVoterResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: RemoveRaftVoterRequest,
) -> Result<RemoveRaftVoterResponse, CloseReason> {
    let other_cluster =
        request.cluster_id.as_deref().is_some_and(|id| id != broker.metadata.cluster_id());
    let code =
        if other_cluster { ErrorCode::InconsistentClusterId } else { ErrorCode::VoterNotFound };
    Ok(RemoveRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(code.message().to_owned()),
        ..Default::default()
    })
}
