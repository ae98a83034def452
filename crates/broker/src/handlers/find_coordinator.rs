//! FindCoordinator (10), versions 0 to 6. KIP-699 (several keys), KIP-932 (share groups, not served).
//!
//! A single node coordinates everything. The topic that the state is kept in is made when the first
//! client asks for its coordinator, as in Kafka.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups;
use crate::transactions;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::find_coordinator_request::FindCoordinatorRequest;
use afluente_protocol::messages::find_coordinator_response::{
    Coordinator, FindCoordinatorResponse,
};
use std::sync::Arc;

/// From this version on, a request names several keys.
const BATCHED_SINCE: i16 = 4;

const GROUP: i8 = 0;
const TRANSACTION: i8 = 1;
const SHARE: i8 = 2;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: FindCoordinatorRequest,
) -> Result<FindCoordinatorResponse, CloseReason> {
    let is_batched = context.version >= BATCHED_SINCE;
    let keys = if is_batched { request.coordinator_keys } else { vec![request.key] };
    let mut coordinators = Vec::with_capacity(keys.len());
    for key in keys {
        coordinators.push(find(broker, context, request.key_type, key).await);
    }
    if is_batched {
        return Ok(FindCoordinatorResponse { coordinators, ..Default::default() });
    }
    let Some(only) = coordinators.pop() else { return Ok(FindCoordinatorResponse::default()) };
    Ok(FindCoordinatorResponse {
        error_code: only.error_code,
        error_message: only.error_message,
        node_id: only.node_id,
        host: only.host,
        port: only.port,
        ..Default::default()
    })
}

async fn find(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    key_type: i8,
    key: String,
) -> Coordinator {
    let topic = match key_type {
        GROUP => groups::TOPIC,
        TRANSACTION => transactions::TOPIC,
        SHARE if context.version >= BATCHED_SINCE => {
            let message = Some(String::new());
            return Coordinator {
                error_message: message,
                ..refused(key, ErrorCode::InvalidRequest)
            };
        }
        _ => return refused(key, ErrorCode::InvalidRequest),
    };
    if broker.topics.by_name(topic).is_none()
        && let Err(code) = broker.metadata.create_automatically(broker, topic).await
    {
        tracing::warn!(topic, %code, "the coordinator's topic could not be made");
        return refused(key, ErrorCode::CoordinatorNotAvailable);
    }
    let (host, port) = broker.advertised(context.client);
    Coordinator {
        key,
        node_id: broker.settings.node.id,
        host,
        port: i32::from(port),
        // Two texts for the same thing, as Apache Kafka has them.
        error_message: Some(match context.version >= BATCHED_SINCE {
            true => String::new(),
            false => "NONE".to_owned(),
        }),
        ..Default::default()
    }
}

fn refused(key: String, code: ErrorCode) -> Coordinator {
    Coordinator {
        key,
        node_id: -1,
        port: -1,
        error_code: code.code(),
        error_message: Some(code.wire_message().to_owned()),
        ..Default::default()
    }
}
