//! EndTxn (26), versions 0 to 5. KIP-98; KIP-890 (from 5 on, the epoch rises with each end).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::transactions::ProducerIdAndEpoch;
use afluente_coordinator::transactions::end::EndRequest;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::end_txn_request::EndTxnRequest;
use afluente_protocol::messages::end_txn_response::EndTxnResponse;
use std::sync::Arc;

/// From this version on, the end raises the epoch, and the answer tells it.
const EPOCH_RISES_SINCE: i16 = 5;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: EndTxnRequest,
) -> Result<EndTxnResponse, CloseReason> {
    let rises = context.version >= EPOCH_RISES_SINCE;
    let end = EndRequest {
        producer: ProducerIdAndEpoch { id: request.producer_id, epoch: request.producer_epoch },
        is_commit: request.committed,
        client_version: if rises { 2 } else { 1 },
    };
    let ended = broker.transactions.end(broker, &request.transactional_id, end).await;
    Ok(match ended {
        Ok(next) if rises => EndTxnResponse {
            producer_id: next.id,
            producer_epoch: next.epoch,
            ..Default::default()
        },
        Ok(_) => EndTxnResponse::default(),
        Err(code) => {
            let code = match code {
                // The name that this error had before.
                ErrorCode::ProducerFenced if context.version < 2 => ErrorCode::InvalidProducerEpoch,
                code => code,
            };
            EndTxnResponse { error_code: code.code(), ..Default::default() }
        }
    })
}
