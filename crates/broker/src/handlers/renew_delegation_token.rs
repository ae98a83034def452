//! RenewDelegationToken (39), versions 1 and 2. KIP-48.
//!
//! Kafka takes such requests from authenticated connections only, of which there are none yet.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::renew_delegation_token_request::RenewDelegationTokenRequest;
use afluente_protocol::messages::renew_delegation_token_response::RenewDelegationTokenResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    _request: RenewDelegationTokenRequest,
) -> Result<RenewDelegationTokenResponse, CloseReason> {
    Ok(RenewDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        expiry_timestamp_ms: -1,
        ..Default::default()
    })
}
