//! ListTransactions (66), versions 0 to 2. KIP-664, KIP-994 (duration), KIP-1152 (pattern).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_coordinator::transactions::State;
use afluente_coordinator::transactions::describe::{IdPattern, ListFilter};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_transactions_request::ListTransactionsRequest;
use afluente_protocol::messages::list_transactions_response::{
    ListTransactionsResponse, TransactionState,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: ListTransactionsRequest,
) -> Result<ListTransactionsResponse, CloseReason> {
    let (known, unknown): (Vec<String>, Vec<String>) =
        request.state_filters.into_iter().partition(|name| State::is_name(name));
    let mut response =
        ListTransactionsResponse { unknown_state_filters: unknown, ..Default::default() };
    let pattern = request.transactional_id_pattern.filter(|pattern| !pattern.is_empty());
    let Ok(pattern) = pattern.as_deref().map(IdPattern::new).transpose() else {
        return Ok(ListTransactionsResponse {
            error_code: ErrorCode::InvalidRegularExpression.code(),
            ..Default::default()
        });
    };
    if known.is_empty() && !response.unknown_state_filters.is_empty() {
        return Ok(response);
    }
    let filter = ListFilter {
        states: &known,
        producer_ids: &request.producer_id_filters,
        open_longer_than_ms: Some(request.duration_filter).filter(|limit_ms| *limit_ms >= 0),
        id_pattern: pattern.as_ref(),
    };
    match list(broker, &filter).await {
        Ok(transactions) => response.transaction_states = transactions,
        Err(code) => response.error_code = code.code(),
    }
    Ok(response)
}

async fn list(
    broker: &Arc<Broker>,
    filter: &ListFilter<'_>,
) -> Result<Vec<TransactionState>, ErrorCode> {
    let now_ms = broker.env.clock.wall_ms();
    let mut transactions = Vec::new();
    for shard in broker.transactions.all_shards(broker).await? {
        let shard = shard.lock().ok_or(ErrorCode::CoordinatorLoadInProgress)?;
        transactions.extend(shard.list(filter, now_ms));
    }
    Ok(transactions)
}
