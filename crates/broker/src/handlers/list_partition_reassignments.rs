//! ListPartitionReassignments (46), version 0. KIP-455.
//!
//! Not done: authorization. A cluster of one has nowhere to move a partition to.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::messages::list_partition_reassignments_request::ListPartitionReassignmentsRequest;
use afluente_protocol::messages::list_partition_reassignments_response::ListPartitionReassignmentsResponse;
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    _request: ListPartitionReassignmentsRequest,
) -> Result<ListPartitionReassignmentsResponse, CloseReason> {
    Ok(ListPartitionReassignmentsResponse::default())
}
