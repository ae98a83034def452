//! Metadata (3), versions 0 to 13. KIP-516 (topic ids), KIP-430 (authorized operations).
//!
//! A topic that is created because a client asked for it is there in the answer itself. Not done:
//! authorization, so everybody sees everything and may do everything.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::handlers::operations;
use crate::topics::{Topic, is_internal};
use afluente_cluster::topic_name;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use afluente_protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: MetadataRequest,
) -> Result<MetadataResponse, CloseReason> {
    let node_id = broker.settings.node.id;
    let operations = if request.include_topic_authorized_operations {
        operations::TOPIC
    } else {
        operations::NOT_ASKED
    };
    let topics = match asked_topics(&request, context.version) {
        None => broker.topics.all().iter().map(|topic| describe(broker, topic)).collect(),
        Some(asked) => {
            let may_create = request.allow_auto_topic_creation;
            let mut topics = Vec::with_capacity(asked.len());
            for topic in asked {
                topics.push(one_topic(broker, context, topic, may_create).await);
            }
            topics
        }
    };
    let topics = topics.into_iter().map(|topic: MetadataResponseTopic| MetadataResponseTopic {
        topic_authorized_operations: operations,
        ..topic
    });
    let (host, port) = broker.advertised(context.client);
    let asks_for_cluster = request.include_cluster_authorized_operations;
    Ok(MetadataResponse {
        brokers: vec![MetadataResponseBroker {
            node_id,
            host,
            port: i32::from(port),
            rack: broker.settings.node.rack.clone(),
        }],
        cluster_id: Some(broker.metadata.cluster_id().to_owned()),
        controller_id: node_id,
        topics: topics.collect(),
        cluster_authorized_operations: if asks_for_cluster && (8..=10).contains(&context.version) {
            operations::CLUSTER
        } else {
            operations::NOT_ASKED
        },
        ..Default::default()
    })
}

/// The topics that are asked for; `None` is all of them, which version 0 says with an empty list.
fn asked_topics(request: &MetadataRequest, version: i16) -> Option<&[MetadataRequestTopic]> {
    request.topics.as_deref().filter(|topics| version > 0 || !topics.is_empty())
}

async fn one_topic(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    asked: &MetadataRequestTopic,
    may_create: bool,
) -> MetadataResponseTopic {
    if !asked.topic_id.is_zero() {
        // Versions 10 and 11 have the field, and their clients must leave it empty.
        if context.version < 12 {
            return failed(asked, ErrorCode::InvalidRequest);
        }
        return match broker.topics.by_id(&asked.topic_id) {
            Some(topic) => describe(broker, &topic),
            None => failed(asked, ErrorCode::UnknownTopicId),
        };
    }
    let Some(name) = asked.name.as_deref() else {
        return failed(asked, ErrorCode::InvalidRequest);
    };
    if let Some(topic) = broker.topics.by_name(name) {
        return describe(broker, &topic);
    }
    if topic_name::validate(name).is_err() {
        return failed(asked, ErrorCode::InvalidTopicException);
    }
    if !may_create || !broker.settings.topics.auto_create {
        return failed(asked, ErrorCode::UnknownTopicOrPartition);
    }
    match broker.metadata.create_automatically(broker, name).await {
        // As Kafka answers, which does not wait for the creation: clients ask again, and find it.
        Ok(_) => failed(asked, ErrorCode::UnknownTopicOrPartition),
        Err(code) => failed(asked, code),
    }
}

fn failed(asked: &MetadataRequestTopic, code: ErrorCode) -> MetadataResponseTopic {
    MetadataResponseTopic {
        error_code: code.code(),
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        is_internal: asked.name.as_deref().is_some_and(is_internal),
        ..Default::default()
    }
}

fn describe(broker: &Broker, topic: &Topic) -> MetadataResponseTopic {
    let node_id = broker.settings.node.id;
    let partitions = topic.partitions.iter().map(|partition| MetadataResponsePartition {
        error_code: ErrorCode::None.code(),
        partition_index: partition.index(),
        leader_id: node_id,
        leader_epoch: partition.leader_epoch().0,
        replica_nodes: vec![node_id],
        isr_nodes: vec![node_id],
        offline_replicas: Vec::new(),
    });
    MetadataResponseTopic {
        error_code: ErrorCode::None.code(),
        name: Some(topic.name.to_string()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}
