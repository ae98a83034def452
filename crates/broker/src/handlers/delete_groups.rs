//! DeleteGroups (42), versions 0 to 2. KIP-229.
//!
//! Not done: authorization.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::delete_groups_request::DeleteGroupsRequest;
use afluente_protocol::messages::delete_groups_response::{
    DeletableGroupResult, DeleteGroupsResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DeleteGroupsRequest,
) -> Result<DeleteGroupsResponse, CloseReason> {
    let mut results = Vec::with_capacity(request.groups_names.len());
    let mut seen = BTreeSet::new();
    // One that is named twice is answered once.
    for group_id in request.groups_names.into_iter().filter(|id| seen.insert(id.clone())) {
        let code = delete(broker, &group_id).await.err().unwrap_or(ErrorCode::None);
        results.push(DeletableGroupResult {
            group_id,
            error_code: code.code(),
            ..Default::default()
        });
    }
    Ok(DeleteGroupsResponse { results, ..Default::default() })
}

async fn delete(broker: &Arc<Broker>, group_id: &str) -> Result<(), ErrorCode> {
    let shard = broker.groups.shard(broker, group_id).await?;
    let step =
        broker.groups.run(broker, &shard, |groups, effects| groups.delete_group(group_id, effects));
    step.await?
}
