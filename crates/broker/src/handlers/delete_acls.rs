//! DeleteAcls (31), versions 1 to 3. KIP-140. There is no authorizer, and the answer is Kafka's
//! without one.

use super::describe_acls::NO_AUTHORIZER;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::delete_acls_request::DeleteAclsRequest;
use afluente_protocol::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsResponse,
};
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DeleteAclsRequest,
) -> Result<DeleteAclsResponse, CloseReason> {
    let results = request.filters.iter().map(|_| DeleteAclsFilterResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..Default::default()
    });
    Ok(DeleteAclsResponse { filter_results: results.collect(), ..Default::default() })
}
