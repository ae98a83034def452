//! CreateTopics (19), versions 2 to 7. KIP-464 (defaults), KIP-525 (configs in the answer),
//! KIP-516 (topic ids).
//!
//! Not done: authorization, policies, throttling.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::handlers::repeated::repeated;
use crate::handlers::topic_configs;
use crate::metadata;
use afluente_cluster::controller::{NewTopic, Refusal};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use afluente_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: CreateTopicsRequest,
) -> Result<CreateTopicsResponse, CloseReason> {
    let twice: BTreeSet<String> = named_twice(&request.topics);
    let (refused_topics, wanted): (Vec<CreatableTopic>, Vec<CreatableTopic>) =
        request.topics.into_iter().partition(|topic| twice.contains(&topic.name));
    let mut told = BTreeSet::new();
    let mut topics: Vec<CreatableTopicResult> = refused_topics
        .iter()
        .filter(|topic| told.insert(topic.name.as_str()))
        .map(|topic| refused(topic, (ErrorCode::InvalidRequest, "Duplicate topic name.".into())))
        .collect();
    let (metadata, wanted): (Vec<CreatableTopic>, Vec<CreatableTopic>) =
        wanted.into_iter().partition(|topic| topic.name == metadata::TOPIC);
    topics.extend(metadata.iter().map(|topic| {
        let message = format!("Creation of internal topic {} is prohibited.", metadata::TOPIC);
        refused(topic, (ErrorCode::InvalidRequest, message))
    }));
    let created = broker.metadata.create_topics(broker, &wanted, request.validate_only).await;
    topics.extend(wanted.iter().zip(created).map(|(topic, result)| match result {
        Ok(new) => accepted(broker, topic, &new),
        Err(refusal) => refused(topic, refusal),
    }));
    Ok(CreateTopicsResponse { topics, ..Default::default() })
}

fn accepted(broker: &Broker, topic: &CreatableTopic, new: &NewTopic) -> CreatableTopicResult {
    let configs =
        topic_configs::of(broker, &new.configs).into_iter().map(|config| CreatableTopicConfigs {
            name: config.name.to_owned(),
            value: Some(config.value),
            read_only: false,
            config_source: config.source,
            is_sensitive: false,
        });
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id: new.id,
        num_partitions: new.partition_count,
        replication_factor: new.replication_factor,
        error_message: None,
        configs: Some(configs.collect()),
        ..Default::default()
    }
}

fn named_twice(topics: &[CreatableTopic]) -> BTreeSet<String> {
    repeated(topics.iter().map(|topic| topic.name.as_str()), str::to_owned)
}

fn refused(topic: &CreatableTopic, (code, message): Refusal) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name.clone(),
        error_code: code.code(),
        error_message: Some(message),
        num_partitions: -1,
        replication_factor: -1,
        configs: Some(Vec::new()),
        ..Default::default()
    }
}
