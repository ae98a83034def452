//! DescribeTransactions (65), version 0. KIP-664.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use afluente_protocol::messages::describe_transactions_response::{
    DescribeTransactionsResponse, TransactionState,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeTransactionsRequest,
) -> Result<DescribeTransactionsResponse, CloseReason> {
    let mut transaction_states = Vec::with_capacity(request.transactional_ids.len());
    for transactional_id in request.transactional_ids {
        let described = match broker.transactions.shard(broker, &transactional_id).await {
            Ok(shard) => shard
                .lock()
                .map(|transactions| transactions.describe(&transactional_id))
                .ok_or(ErrorCode::CoordinatorLoadInProgress),
            Err(code) => Err(code),
        };
        transaction_states.push(described.unwrap_or_else(|code| TransactionState {
            transactional_id,
            error_code: code.code(),
            ..Default::default()
        }));
    }
    Ok(DescribeTransactionsResponse { transaction_states, ..Default::default() })
}
