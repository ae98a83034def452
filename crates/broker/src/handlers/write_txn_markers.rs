//! WriteTxnMarkers (27), versions 1 and 2. KIP-98; also sent by administrators to end a transaction
//! that hangs (KIP-664).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::transactions::markers;
use crate::waiting::{AckOutcome, AckWait};
use afluente_coordinator::transactions::Markers;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WriteTxnMarkersRequest,
};
use afluente_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponse,
};
use std::sync::Arc;

/// From this version of transactions on, a marker bears a later epoch than all records of its
/// transaction (KIP-890): one that does not is of a transaction that has ended long ago.
const EPOCH_RISES_SINCE: i8 = 2;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: WriteTxnMarkersRequest,
) -> Result<WriteTxnMarkersResponse, CloseReason> {
    let mut markers = Vec::with_capacity(request.markers.len());
    for marker in &request.markers {
        markers.push(write(broker, marker).await);
    }
    Ok(WriteTxnMarkersResponse { markers })
}

async fn write(broker: &Arc<Broker>, marker: &WritableTxnMarker) -> WritableTxnMarkerResult {
    let wait = AckWait::new();
    let of_producer = Markers {
        transactional_id: String::new(),
        producer_id: marker.producer_id,
        producer_epoch: marker.producer_epoch,
        is_commit: marker.transaction_result,
        partitions: Vec::new(),
    };
    let write_one = |topic: &str, index: i32| {
        let partition = (topic.to_owned(), index);
        let Some(found) = broker.topics.partition(topic, index) else {
            return ErrorCode::UnknownTopicOrPartition;
        };
        let is_late = || {
            let mut producers = found.log().producers().into_iter();
            let producer = producers.find(|it| it.producer_id.0 == marker.producer_id);
            producer.is_some_and(|it| marker.producer_epoch <= it.epoch.0)
        };
        if marker.transaction_version >= EPOCH_RISES_SINCE && is_late() {
            return ErrorCode::InvalidProducerEpoch;
        }
        let epoch = marker.coordinator_epoch;
        match markers::write_one(broker, &of_producer, &partition, epoch, &wait) {
            Ok(()) => ErrorCode::None,
            Err(error) => error.code(),
        }
    };
    let topics = marker.topics.iter().map(|topic| {
        let partitions =
            topic.partition_indexes.iter().map(|index| WritableTxnMarkerPartitionResult {
                partition_index: *index,
                error_code: write_one(&topic.name, *index).code(),
            });
        WritableTxnMarkerTopicResult { name: topic.name.clone(), partitions: partitions.collect() }
    });
    let mut topics: Vec<WritableTxnMarkerTopicResult> = topics.collect();
    if wait.finished().await == AckOutcome::Failed {
        for partition in topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
            partition.error_code = ErrorCode::KafkaStorageError.code();
        }
    }
    WritableTxnMarkerResult { producer_id: marker.producer_id, topics }
}
