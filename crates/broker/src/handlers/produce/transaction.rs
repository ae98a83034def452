//! Transactional batches: before the first one of a transaction goes into a partition, the
//! coordinator has to know of it (KIP-890). Else its marker would never come, and readers of
//! committed records would wait for ever.

use crate::broker::Broker;
use crate::partition::Partition;
use afluente_coordinator::transactions::ProducerIdAndEpoch;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::Batch;
use afluente_storage::producer_state::VerificationGuard;
use bytes::Bytes;
use std::sync::Arc;

/// From this version on, the client leaves adding the partition to the broker, and its epoch rises
/// with each transaction.
pub(super) const IMPLICIT_ADD_SINCE: i16 = 12;
/// From this version on, a client knows that it can abort and go on.
const ABORTABLE_SINCE: i16 = 11;

/// Has the coordinator know that the batch's transaction writes to this partition. The batch may be
/// appended with the guard that this gives.
///
/// # Errors
/// What the producer is told.
pub(super) async fn enlist(
    broker: &Arc<Broker>,
    version: i16,
    transactional_id: Option<&str>,
    partition: &Partition,
    records: &Bytes,
    now_ms: i64,
) -> Result<VerificationGuard, ErrorCode> {
    // What cannot be parsed is refused by the log, with better words.
    let Ok(batch) = Batch::parse(records) else { return Ok(VerificationGuard::NONE) };
    let header = batch.header();
    if !header.attributes.is_transactional() {
        return Ok(VerificationGuard::NONE);
    }
    let transactional_id = transactional_id.ok_or(ErrorCode::TransactionalIdAuthorizationFailed)?;
    let adds = version >= IMPLICIT_ADD_SINCE;
    let guard = partition
        .log()
        .begin_verification(
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            adds,
            now_ms,
        )
        .map_err(|error| error.code())?;
    // It is open in this partition, so the coordinator knows.
    let Some(guard) = guard else { return Ok(VerificationGuard::NONE) };

    let of = partition.log().partition();
    let key = (of.topic.to_string(), of.partition);
    let producer = ProducerIdAndEpoch { id: header.producer_id.0, epoch: header.producer_epoch.0 };
    let transactions = &broker.transactions;
    let known = if adds {
        transactions.add_partitions(broker, transactional_id, producer, vec![key], 2).await
    } else {
        transactions.verify_partition(broker, transactional_id, producer, &key).await
    };
    known.map(|()| guard).map_err(|code| understood(version, code))
}

/// What a producer of this version takes well. Clients do not expect the coordinator's errors from
/// a partition: they are told something that makes them try again without asking for metadata.
fn understood(version: i16, code: ErrorCode) -> ErrorCode {
    match code {
        ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => ErrorCode::NotEnoughReplicas,
        ErrorCode::ConcurrentTransactions if version < IMPLICIT_ADD_SINCE => {
            ErrorCode::NotEnoughReplicas
        }
        ErrorCode::TransactionAbortable if version < ABORTABLE_SINCE => ErrorCode::InvalidTxnState,
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        code => code,
    }
}
