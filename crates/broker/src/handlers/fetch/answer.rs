//! The answer to a fetch: everything that was asked, or in an incremental session what is new.

use super::read::Fetched;
use crate::broker::Broker;
use crate::fetch_session::{Begun, Seen, Wanted};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponse, FetchableTopicResponse, PartitionData,
};
use afluente_protocol::rope::Records;
use std::sync::Arc;

pub(super) fn build(broker: &Arc<Broker>, begun: Begun, fetched: Vec<Fetched>) -> FetchResponse {
    let mut responses: Vec<FetchableTopicResponse> = Vec::new();
    let mut seen = Vec::with_capacity(if begun.session.is_some() { fetched.len() } else { 0 });
    for (wanted, fetched) in begun.wanted.iter().zip(fetched) {
        let data = partition_data(wanted, fetched, begun.tells_aborted);
        if begun.session.is_some() {
            let is_told = !begun.is_incremental || is_news(wanted, &data);
            seen.push(Seen {
                high_watermark: data.high_watermark,
                log_start_offset: data.log_start_offset,
                has_records: data.records.as_ref().is_some_and(|records| !records.is_empty()),
                is_failed: data.error_code != ErrorCode::None.code(),
            });
            if !is_told {
                continue;
            }
        }
        match responses.last_mut() {
            Some(last) if last.topic_id == wanted.topic_id && last.topic == *wanted.topic => {
                last.partitions.push(data);
            }
            _ => responses.push(FetchableTopicResponse {
                topic: wanted.topic.to_string(),
                topic_id: wanted.topic_id,
                partitions: vec![data],
            }),
        }
    }
    let session_id = match &begun.session {
        Some(session) => broker.fetch_sessions.end(session, &begun.wanted, &seen),
        None => 0,
    };
    FetchResponse { session_id, responses, ..Default::default() }
}

fn partition_data(wanted: &Wanted, fetched: Fetched, tells_aborted: bool) -> PartitionData {
    let empty = PartitionData {
        partition_index: wanted.partition_index,
        error_code: ErrorCode::None.code(),
        high_watermark: -1,
        last_stable_offset: -1,
        log_start_offset: -1,
        preferred_read_replica: -1,
        aborted_transactions: None,
        records: Some(Records::new()),
        ..Default::default()
    };
    match fetched {
        // Apache Kafka answers an empty list in some places and none in others; so do we.
        Fetched::Failed(code) => PartitionData {
            error_code: code.code(),
            aborted_transactions: wanted.partition.is_err().then(Vec::new),
            ..empty
        },
        Fetched::Diverging(epoch, end) => PartitionData {
            diverging_epoch: EpochEndOffset { epoch: epoch.0, end_offset: end.0 },
            aborted_transactions: Some(Vec::new()),
            ..empty
        },
        Fetched::Read(data) => {
            let aborted = data.aborted.iter().map(|txn| AbortedTransaction {
                producer_id: txn.producer_id.0,
                first_offset: txn.first_offset.0,
            });
            PartitionData {
                high_watermark: data.high_watermark.0,
                last_stable_offset: data.last_stable_offset.0,
                log_start_offset: data.start_offset.0,
                aborted_transactions: tells_aborted.then(|| aborted.collect()),
                records: Some(data.records),
                ..empty
            }
        }
    }
}

/// Whether an incremental session has anything to tell about a partition.
fn is_news(wanted: &Wanted, data: &PartitionData) -> bool {
    data.error_code != ErrorCode::None.code()
        || data.records.as_ref().is_some_and(|records| !records.is_empty())
        || data.high_watermark != wanted.told_high_watermark
        || data.log_start_offset != wanted.told_log_start_offset
        || data.diverging_epoch != EpochEndOffset::default()
}
