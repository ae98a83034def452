//! DeleteRecords (21), versions 0 to 2. KIP-107.
//!
//! Not done: authorization.

use crate::blocking::blocking;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::topics::is_internal;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest,
};
use afluente_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponse, DeleteRecordsTopicResult,
};
use afluente_protocol::numbers::Offset;
use std::sync::Arc;

/// Means everything that a consumer may see.
const TO_HIGH_WATERMARK: i64 = -1;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DeleteRecordsRequest,
) -> Result<DeleteRecordsResponse, CloseReason> {
    // It waits until the new start of each log is durable.
    let to = Arc::clone(broker);
    Ok(blocking(&broker.env, "delete-records", move || answer(&to, request)).await)
}

fn answer(broker: &Broker, request: DeleteRecordsRequest) -> DeleteRecordsResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().map(|asked| {
            let (low_watermark, code) = match delete(broker, &topic.name, asked) {
                Ok(start) => (start.0, ErrorCode::None),
                Err(code) => (-1, code),
            };
            DeleteRecordsPartitionResult {
                partition_index: asked.partition_index,
                low_watermark,
                error_code: code.code(),
            }
        });
        DeleteRecordsTopicResult { partitions: partitions.collect(), name: topic.name }
    });
    DeleteRecordsResponse { topics: topics.collect(), ..Default::default() }
}

fn delete(
    broker: &Broker,
    topic: &str,
    asked: &DeleteRecordsPartition,
) -> Result<Offset, ErrorCode> {
    let partition = broker
        .topics
        .partition(topic, asked.partition_index)
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if is_internal(topic) {
        return Err(ErrorCode::InvalidTopicException);
    }
    let log = partition.log();
    if !log.config().cleanup_policy.delete && log.config().cleanup_policy.compact {
        return Err(ErrorCode::PolicyViolation);
    }
    let offset = match asked.offset {
        TO_HIGH_WATERMARK => log.high_watermark(),
        offset => Offset(offset),
    };
    if offset < Offset(0) || offset > log.high_watermark() {
        return Err(ErrorCode::OffsetOutOfRange);
    }
    log.delete_records_before(offset).map_err(|error| error.code())
}
