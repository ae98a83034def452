//! DescribeGroups (15), versions 0 to 6: groups of the classic protocol. KIP-1043 (not found).
//!
//! Not done: authorization.

use super::operations;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: DescribeGroupsRequest,
) -> Result<DescribeGroupsResponse, CloseReason> {
    let mut groups = Vec::with_capacity(request.groups.len());
    for group_id in request.groups {
        let described = match broker.groups.shard(broker, &group_id).await {
            Ok(shard) => {
                let step = broker
                    .groups
                    .run(broker, &shard, |groups, _| groups.describe(&group_id, context.version));
                step.await
            }
            Err(code) => Err(code),
        };
        let mut group = described.unwrap_or_else(|code| DescribedGroup {
            group_id,
            error_code: code.code(),
            ..Default::default()
        });
        if request.include_authorized_operations && group.error_code == 0 {
            group.authorized_operations = operations::GROUP;
        }
        groups.push(group);
    }
    Ok(DescribeGroupsResponse { groups, ..Default::default() })
}
