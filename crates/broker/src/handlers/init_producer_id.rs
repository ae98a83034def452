//! InitProducerId (22), versions 0 to 5. KIP-98, KIP-360 (an epoch that goes up), KIP-588 (timeouts
//! can be recovered from), KIP-890.
//!
//! Not done: authorization; two-phase commit (KIP-939), which is not advertised.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::transactions::{NO_PRODUCER_ID, ProducerIdAndEpoch};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use std::sync::Arc;

/// From this version on, a client knows PRODUCER_FENCED.
const FENCED_SINCE: i16 = 4;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: InitProducerIdRequest,
) -> Result<InitProducerIdResponse, CloseReason> {
    let given = match request.transactional_id.as_deref() {
        None => {
            let id = broker.metadata.new_producer_id(broker).await;
            id.map(|id| ProducerIdAndEpoch { id, epoch: 0 })
        }
        Some(transactional_id) => init(broker, transactional_id, &request).await,
    };
    Ok(match given {
        Ok(producer) => InitProducerIdResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(code) => {
            let code = match code {
                ErrorCode::ProducerFenced if context.version < FENCED_SINCE => {
                    ErrorCode::InvalidProducerEpoch
                }
                code => code,
            };
            InitProducerIdResponse {
                error_code: code.code(),
                producer_id: NO_PRODUCER_ID,
                producer_epoch: -1,
                ..Default::default()
            }
        }
    })
}

async fn init(
    broker: &Arc<Broker>,
    transactional_id: &str,
    request: &InitProducerIdRequest,
) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let (id, epoch) = (request.producer_id, request.producer_epoch);
    // Both or neither.
    if transactional_id.is_empty() || (id < 0) != (epoch < 0) {
        return Err(ErrorCode::InvalidRequest);
    }
    let expected = (id >= 0).then_some(ProducerIdAndEpoch { id, epoch });
    let timeout_ms = request.transaction_timeout_ms;
    broker.transactions.init_producer_id(broker, transactional_id, timeout_ms, expected).await
}
