//! AddRaftVoter (80), versions 0 and 1. KIP-853.
//!
//! Not done: authorization; other voters.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::add_raft_voter_request::AddRaftVoterRequest;
use afluente_protocol::messages::add_raft_voter_response::AddRaftVoterResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: AddRaftVoterRequest,
) -> Result<AddRaftVoterResponse, CloseReason> {
    let other_cluster =
        request.cluster_id.as_deref().is_some_and(|id| id != broker.metadata.cluster_id());
    let (code, message) = if other_cluster {
        let code = ErrorCode::InconsistentClusterId;
        (code, code.message().to_owned())
    } else if request.voter_id == broker.settings.node.id {
        let message =
            format!("The voter id for {} is already part of the set of voters", request.voter_id);
        (ErrorCode::DuplicateVoter, message)
    } else {
        let message = "This node is a cluster of one and takes no other voters.".to_owned();
        (ErrorCode::InvalidRequest, message)
    };
    Ok(AddRaftVoterResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..Default::default()
    })
}
