//! PushTelemetry (72), version 0. KIP-714. Nobody is asked for metrics, so none are expected.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::push_telemetry_request::PushTelemetryRequest;
use afluente_protocol::messages::push_telemetry_response::PushTelemetryResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: PushTelemetryRequest,
) -> Result<PushTelemetryResponse, CloseReason> {
    let code = if request.client_instance_id.is_zero() {
        ErrorCode::InvalidRequest
    } else {
        ErrorCode::UnknownSubscriptionId
    };
    Ok(PushTelemetryResponse { error_code: code.code(), ..Default::default() })
}
