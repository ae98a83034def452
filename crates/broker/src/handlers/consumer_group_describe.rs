//! ConsumerGroupDescribe (69), versions 0 and 1: groups of the consumer protocol. KIP-848.
//!
//! Answered with UNSUPPORTED_VERSION where the protocol is switched off. Not done: authorization.

use super::operations;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::groups::{TopicsView, serves_consumer_protocol};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_describe_request::ConsumerGroupDescribeRequest;
use afluente_protocol::messages::consumer_group_describe_response::{
    ConsumerGroupDescribeResponse, DescribedGroup,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: ConsumerGroupDescribeRequest,
) -> Result<ConsumerGroupDescribeResponse, CloseReason> {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        let mut group = match describe(broker, &group_id).await {
            Ok(group) => group,
            Err((code, message)) => DescribedGroup {
                group_id,
                error_code: code.code(),
                error_message: message,
                ..Default::default()
            },
        };
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = operations::GROUP;
        }
        groups.push(group);
    }
    Ok(ConsumerGroupDescribeResponse { groups, ..Default::default() })
}

async fn describe(
    broker: &Arc<Broker>,
    group_id: &str,
) -> Result<DescribedGroup, (ErrorCode, Option<String>)> {
    if !serves_consumer_protocol(broker) {
        return Err((ErrorCode::UnsupportedVersion, None));
    }
    if group_id.is_empty() {
        return Err((ErrorCode::InvalidGroupId, None));
    }
    let shard = broker.groups.shard(broker, group_id).await.map_err(|code| (code, None))?;
    let view = TopicsView(&broker.topics);
    let step = broker
        .groups
        .run(broker, &shard, |groups, _| groups.describe_consumer_group(group_id, &view));
    match step.await {
        Ok(described) => described.map_err(|(code, message)| (code, Some(message))),
        Err(code) => Err((code, None)),
    }
}
