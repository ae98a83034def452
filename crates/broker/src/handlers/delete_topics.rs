//! DeleteTopics (20), versions 1 to 6. KIP-516 (by topic id), KIP-599 (throttling, not done).

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use afluente_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponse,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: DeleteTopicsRequest,
) -> Result<DeleteTopicsResponse, CloseReason> {
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState { name: Some(name), ..Default::default() });
    let mut responses = Vec::new();
    for asked in by_name.chain(request.topics) {
        responses.push(delete(broker, context, asked).await);
    }
    Ok(DeleteTopicsResponse { responses, ..Default::default() })
}

async fn delete(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    asked: DeleteTopicState,
) -> DeletableTopicResult {
    let refused = |code: ErrorCode, message: &str| DeletableTopicResult {
        name: asked.name.clone(),
        topic_id: asked.topic_id,
        error_code: code.code(),
        error_message: Some(message.to_owned()),
    };
    if !broker.settings.topics.delete_enabled {
        // The code is younger than the first versions.
        let code = if context.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        return refused(code, "Topic deletion is disabled.");
    }
    if asked.name.is_some() != asked.topic_id.is_zero() {
        return refused(
            ErrorCode::InvalidRequest,
            "Topic name and topic ID can not both be specified.",
        );
    }
    let name = asked.name.as_deref().unwrap_or("");
    let topic = match broker.topics.resolve(name, &asked.topic_id) {
        Ok(topic) => topic,
        Err(code) => return refused(code, code.wire_message()),
    };
    match broker.metadata.delete_topic(broker, &topic.id).await {
        Ok(()) => {
            let count = i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX);
            broker.groups.partitions_deleted(broker, &topic.name, count).await;
            DeletableTopicResult {
                name: Some(topic.name.to_string()),
                topic_id: topic.id,
                ..Default::default()
            }
        }
        Err((code, message)) => refused(code, &message),
    }
}
