//! DescribeDelegationToken (41), versions 1 to 3. KIP-48.
//!
//! Kafka takes such requests from authenticated connections only, of which there are none yet.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_delegation_token_request::DescribeDelegationTokenRequest;
use afluente_protocol::messages::describe_delegation_token_response::DescribeDelegationTokenResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    _request: DescribeDelegationTokenRequest,
) -> Result<DescribeDelegationTokenResponse, CloseReason> {
    Ok(DescribeDelegationTokenResponse {
        error_code: ErrorCode::DelegationTokenRequestNotAllowed.code(),
        ..Default::default()
    })
}
