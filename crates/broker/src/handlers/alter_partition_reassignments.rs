//! AlterPartitionReassignments (45), versions 0 and 1. KIP-455.
//!
//! Not done: authorization. In a cluster of one the only assignment that is possible is the one that
//! holds already.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller::{self, Decision};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest;
use afluente_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponse, ReassignablePartitionResponse, ReassignableTopicResponse,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: AlterPartitionReassignmentsRequest,
) -> Result<AlterPartitionReassignmentsResponse, CloseReason> {
    let decided = broker.metadata.change(broker, false, |image| {
        let mut records = Vec::new();
        let topics = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|partition| {
                let result = controller::reassign_partition(
                    image,
                    &topic.name,
                    partition.partition_index,
                    partition.replicas.as_deref(),
                    request.allow_replication_factor_change,
                );
                let (code, message) = result.map(|record| records.extend(record)).err().unzip();
                ReassignablePartitionResponse {
                    partition_index: partition.partition_index,
                    error_code: code.unwrap_or(ErrorCode::None).code(),
                    error_message: message,
                }
            });
            let partitions = partitions.collect();
            ReassignableTopicResponse { name: topic.name.clone(), partitions }
        });
        let answer: Vec<_> = topics.collect();
        Decision { records, answer }
    });
    let mut response = AlterPartitionReassignmentsResponse {
        allow_replication_factor_change: request.allow_replication_factor_change,
        ..Default::default()
    };
    match decided.await {
        Ok(responses) => response.responses = responses,
        Err((code, message)) => {
            response.error_code = code.code();
            response.error_message = Some(message);
        }
    }
    Ok(response)
}
