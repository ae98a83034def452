//! ListGroups (16), versions 0 to 5. KIP-518 (states), KIP-848 (types).
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::list_groups_request::ListGroupsRequest;
use afluente_protocol::messages::list_groups_response::{ListGroupsResponse, ListedGroup};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: ListGroupsRequest,
) -> Result<ListGroupsResponse, CloseReason> {
    Ok(match list(broker, &request).await {
        Ok(groups) => ListGroupsResponse { groups, ..Default::default() },
        Err(code) => ListGroupsResponse { error_code: code.code(), ..Default::default() },
    })
}

async fn list(
    broker: &Arc<Broker>,
    request: &ListGroupsRequest,
) -> Result<Vec<ListedGroup>, ErrorCode> {
    let mut groups = Vec::new();
    for shard in broker.groups.all_shards(broker).await? {
        let listed = broker.groups.run(broker, &shard, |groups, _| {
            groups.list(&request.states_filter, &request.types_filter)
        });
        groups.extend(listed.await?);
    }
    Ok(groups)
}
