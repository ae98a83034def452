//! CreatePartitions (37), versions 0 to 3. KIP-195.
//!
//! Not done: authorization, throttling.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::handlers::repeated::repeated;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use afluente_protocol::messages::create_partitions_response::{
    CreatePartitionsResponse, CreatePartitionsTopicResult,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: CreatePartitionsRequest,
) -> Result<CreatePartitionsResponse, CloseReason> {
    let names = request.topics.iter().map(|topic| topic.name.as_str());
    let again = repeated(names, str::to_owned);
    let wanted: Vec<CreatePartitionsTopic> =
        request.topics.iter().filter(|topic| !again.contains(&topic.name)).cloned().collect();
    let results = broker.metadata.create_partitions(broker, &wanted, request.validate_only).await;
    let mut results: Vec<CreatePartitionsTopicResult> = wanted
        .into_iter()
        .zip(results)
        .map(|(topic, result)| {
            let (code, message) = result.err().unzip();
            CreatePartitionsTopicResult {
                name: topic.name,
                error_code: code.unwrap_or(ErrorCode::None).code(),
                // Apache Kafka says nothing more of a topic that is not there.
                error_message: message.filter(|_| code != Some(ErrorCode::UnknownTopicOrPartition)),
            }
        })
        .collect();
    results.extend(again.into_iter().map(|name| CreatePartitionsTopicResult {
        name,
        error_code: ErrorCode::InvalidRequest.code(),
        error_message: Some("Duplicate topic name.".to_owned()),
    }));
    Ok(CreatePartitionsResponse { results, ..Default::default() })
}
