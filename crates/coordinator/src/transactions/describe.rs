//! What administrators see of transactions (KIP-664).

use super::TransactionShard;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_transactions_response::{TopicData, TransactionState};
use afluente_protocol::messages::list_transactions_response::TransactionState as ListedTransaction;

/// Which transactions to list; what is empty or `None` does not filter.
#[derive(Debug, Clone, Default)]
pub struct ListFilter<'a> {
    /// Names of states; those that do not exist match nothing.
    pub states: &'a [String],
    /// Producer ids.
    pub producer_ids: &'a [i64],
    /// Open for longer than this, in milliseconds.
    pub open_longer_than_ms: Option<i64>,
    /// The whole transactional id matches.
    pub id_pattern: Option<&'a IdPattern>,
}

/// A regular expression for whole transactional ids (KIP-1152).
#[derive(Debug, Clone)]
pub struct IdPattern(regex_lite::Regex);

impl IdPattern {
    /// Compiles the expression.
    ///
    /// # Errors
    /// It is not one: what the compiler says.
    pub fn new(pattern: &str) -> Result<Self, String> {
        let regex = regex_lite::Regex::new(&format!("^(?:{pattern})$"));
        regex.map(Self).map_err(|error| error.to_string())
    }
}

impl TransactionShard {
    /// Describes one transactional id.
    #[must_use]
    pub fn describe(&self, transactional_id: &str) -> TransactionState {
        let mut answer = TransactionState {
            transactional_id: transactional_id.to_owned(),
            ..TransactionState::default()
        };
        let Some(transaction) = self.transactions.get(transactional_id) else {
            answer.error_code = match transactional_id {
                "" => ErrorCode::InvalidRequest.code(),
                _ => ErrorCode::TransactionalIdNotFound.code(),
            };
            return answer;
        };
        answer.transaction_state = transaction.state.name().to_owned();
        answer.transaction_timeout_ms = transaction.timeout_ms;
        answer.transaction_start_time_ms = transaction.started_ms;
        answer.producer_id = transaction.producer_id;
        answer.producer_epoch = transaction.producer_epoch;
        for (topic, partition) in &transaction.partitions {
            match answer.topics.last_mut() {
                Some(last) if last.topic == *topic => last.partitions.push(*partition),
                _ => answer
                    .topics
                    .push(TopicData { topic: topic.clone(), partitions: vec![*partition] }),
            }
        }
        answer
    }

    /// Lists the transactions that pass the filter.
    #[must_use]
    pub fn list(&self, filter: &ListFilter<'_>, now_ms: i64) -> Vec<ListedTransaction> {
        self.transactions
            .iter()
            .filter(|(id, t)| {
                let open_ms = if t.started_ms < 0 { 0 } else { now_ms - t.started_ms };
                (filter.states.is_empty() || filter.states.iter().any(|s| s == t.state.name()))
                    && (filter.producer_ids.is_empty()
                        || filter.producer_ids.contains(&t.producer_id))
                    && filter.open_longer_than_ms.is_none_or(|limit_ms| open_ms > limit_ms)
                    && filter.id_pattern.is_none_or(|pattern| pattern.0.is_match(id))
            })
            .map(|(transactional_id, transaction)| ListedTransaction {
                transactional_id: transactional_id.clone(),
                producer_id: transaction.producer_id,
                transaction_state: transaction.state.name().to_owned(),
            })
            .collect()
    }
}
