//! ElectLeaders (43), versions 0 to 2. KIP-183, KIP-460 (unclean).
//!
//! Not done: authorization. The only replica of every partition leads it already, and is the one that
//! is preferred.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller;
use afluente_protocol::messages::elect_leaders_request::ElectLeadersRequest;
use afluente_protocol::messages::elect_leaders_response::{
    ElectLeadersResponse, PartitionResult, ReplicaElectionResult,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: ElectLeadersRequest,
) -> Result<ElectLeadersResponse, CloseReason> {
    // For all partitions, Kafka names those only of which something is to be told.
    let topics = request.topic_partitions.unwrap_or_default();
    let image = broker.metadata.image();
    let results = topics.into_iter().map(|topic| {
        let results = topic.partitions.iter().map(|partition| {
            let (code, message) = controller::elect_leader(&image, &topic.topic, *partition);
            PartitionResult {
                partition_id: *partition,
                error_code: code.code(),
                error_message: Some(message),
            }
        });
        ReplicaElectionResult { partition_result: results.collect(), topic: topic.topic }
    });
    Ok(ElectLeadersResponse { replica_election_results: results.collect(), ..Default::default() })
}
