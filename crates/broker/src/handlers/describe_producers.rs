//! DescribeProducers (61), version 0: who has written to a partition of late. KIP-664.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_producers_request::DescribeProducersRequest;
use afluente_protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeProducersRequest,
) -> Result<DescribeProducersResponse, CloseReason> {
    let topics = request.topics.into_iter().map(|topic| {
        let misnamed = afluente_cluster::topic_name::validate(&topic.name).err();
        let partitions = topic.partition_indexes.iter().map(|i| match &misnamed {
            Some(why) => PartitionResponse {
                partition_index: *i,
                error_code: ErrorCode::InvalidTopicException.code(),
                error_message: Some(why.clone()),
                ..Default::default()
            },
            None => describe(broker, &topic.name, *i),
        });
        TopicResponse { partitions: partitions.collect(), name: topic.name }
    });
    Ok(DescribeProducersResponse { topics: topics.collect(), ..Default::default() })
}

fn describe(broker: &Broker, topic: &str, index: i32) -> PartitionResponse {
    let Some(partition) = broker.topics.partition(topic, index) else {
        return PartitionResponse {
            partition_index: index,
            error_code: ErrorCode::UnknownTopicOrPartition.code(),
            // Apache Kafka says nothing of a partition that the topic does not have.
            error_message: broker
                .topics
                .by_name(topic)
                .is_none()
                .then(|| ErrorCode::UnknownTopicOrPartition.wire_message().to_owned()),
            ..Default::default()
        };
    };
    let producers = partition.log().producers().into_iter().map(|producer| ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(producer.epoch.0),
        last_sequence: producer.last_sequence,
        last_timestamp: producer.last_timestamp_ms,
        coordinator_epoch: producer.coordinator_epoch,
        current_txn_start_offset: producer.txn_start.map_or(-1, |offset| offset.0),
    });
    PartitionResponse {
        partition_index: index,
        active_producers: producers.collect(),
        ..Default::default()
    }
}
