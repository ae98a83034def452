//! DescribeQuorum (55), versions 0 to 2. KIP-595, KIP-836 (times), KIP-853 (directories, nodes).
//!
//! Not done: authorization. The only voter is this node.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::metadata;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use afluente_protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use std::sync::Arc;

/// From this version on, answers say in which directory a voter keeps the log, and where it is.
const DIRECTORIES_SINCE: i16 = 2;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: DescribeQuorumRequest,
) -> Result<DescribeQuorumResponse, CloseReason> {
    let mut response = DescribeQuorumResponse::default();
    for topic in request.topics {
        let partitions = topic.partitions.iter().map(|partition| {
            if topic.topic_name == metadata::TOPIC && partition.partition_index == 0 {
                describe(broker, context.version)
            } else {
                PartitionData {
                    partition_index: partition.partition_index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                    ..Default::default()
                }
            }
        });
        let partitions = partitions.collect();
        response.topics.push(TopicData { topic_name: topic.topic_name, partitions });
    }
    if context.version >= DIRECTORIES_SINCE {
        let (host, port) = broker.advertised(context.client);
        response.nodes.push(Node {
            node_id: broker.settings.node.id,
            listeners: vec![Listener { name: "CONTROLLER".to_owned(), host, port }],
        });
    }
    Ok(response)
}

fn describe(broker: &Broker, version: i16) -> PartitionData {
    let partition = broker.metadata.partition();
    let log = partition.log();
    let now_ms = broker.env.clock.wall_ms();
    let mut voter = ReplicaState {
        replica_id: broker.settings.node.id,
        log_end_offset: log.end_offset().0,
        last_fetch_timestamp: now_ms,
        last_caught_up_timestamp: now_ms,
        ..Default::default()
    };
    if version >= DIRECTORIES_SINCE {
        voter.replica_directory_id = broker.metadata.directory_id();
    }
    PartitionData {
        leader_id: broker.settings.node.id,
        leader_epoch: partition.leader_epoch().0,
        high_watermark: log.high_watermark().0,
        current_voters: vec![voter],
        ..Default::default()
    }
}
