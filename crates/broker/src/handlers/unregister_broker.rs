//! UnregisterBroker (64), version 0. KIP-631.
//!
//! Not done: authorization. This node cannot be unregistered while it runs, where Kafka lets it be.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use afluente_protocol::messages::unregister_broker_response::UnregisterBrokerResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: UnregisterBrokerRequest,
) -> Result<UnregisterBrokerResponse, CloseReason> {
    let id = request.broker_id;
    let (code, message) = if id == broker.settings.node.id {
        let why = format!("Broker {id} is the only one of the cluster, and runs.");
        (ErrorCode::InvalidRequest, why)
    } else {
        (ErrorCode::BrokerIdNotRegistered, format!("Broker ID {id} is not currently registered"))
    };
    Ok(UnregisterBrokerResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..Default::default()
    })
}
