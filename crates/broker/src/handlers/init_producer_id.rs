//! InitProducerId (22), versions 0 to 5. KIP-98, KIP-360 (an epoch that goes up).
//!
//! Not done: transactional ids, which get COORDINATOR_NOT_AVAILABLE.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, CloseReason> {
    let refused = |code: ErrorCode| InitProducerIdResponse {
        error_code: code.code(),
        producer_id: -1,
        producer_epoch: -1,
        ..Default::default()
    };
    Ok(match request.transactional_id.as_deref() {
        Some("") => refused(ErrorCode::InvalidRequest),
        Some(_) => refused(ErrorCode::CoordinatorNotAvailable),
        None => InitProducerIdResponse {
            producer_id: broker.metadata.new_producer_id().await,
            producer_epoch: 0,
            ..Default::default()
        },
    })
}
