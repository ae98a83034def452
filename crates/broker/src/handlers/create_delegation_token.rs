//! CreateDelegationToken (38), versions 1 to 3. KIP-48.
//!
//! Kafka takes such requests from authenticated connections only, of which there are none yet.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_delegation_token_request::CreateDelegationTokenRequest;
use afluente_protocol::messages::create_delegation_token_response::CreateDelegationTokenResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    _request: CreateDelegationTokenRequest,
) -> Result<CreateDelegationTokenResponse, CloseReason> {
    Ok(CreateDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        principal_type: "User".to_owned(),
        principal_name: "ANONYMOUS".to_owned(),
        issue_timestamp_ms: -1,
        expiry_timestamp_ms: -1,
        max_timestamp_ms: -1,
        ..Default::default()
    })
}
