//! AddOffsetsToTxn (25), versions 0 to 4. KIP-98.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups;
use afluente_coordinator::transactions::ProducerIdAndEpoch;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::add_offsets_to_txn_request::AddOffsetsToTxnRequest;
use afluente_protocol::messages::add_offsets_to_txn_response::AddOffsetsToTxnResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: AddOffsetsToTxnRequest,
) -> Result<AddOffsetsToTxnResponse, CloseReason> {
    let code = match add(broker, &request).await {
        Ok(()) => ErrorCode::None,
        // The name that this error had before.
        Err(ErrorCode::ProducerFenced) if context.version < 2 => ErrorCode::InvalidProducerEpoch,
        Err(code) => code,
    };
    Ok(AddOffsetsToTxnResponse { error_code: code.code(), ..Default::default() })
}

async fn add(broker: &Arc<Broker>, request: &AddOffsetsToTxnRequest) -> Result<(), ErrorCode> {
    let partition = groups::partition_of(broker, &request.group_id).await?;
    let producer = ProducerIdAndEpoch { id: request.producer_id, epoch: request.producer_epoch };
    let id = &request.transactional_id;
    broker.transactions.add_partitions(broker, id, producer, vec![partition], 1).await
}
