//! DescribeAcls (29), versions 1 to 3. KIP-140.
//!
//! There is no authorizer, and the answer is Kafka's without one. Access control entries that a
//! taken-over metadata log holds stay in it.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::describe_acls_request::DescribeAclsRequest;
use afluente_protocol::messages::describe_acls_response::DescribeAclsResponse;
use std::sync::Arc;

/// What Kafka says to everything about ACLs while it has no authorizer.
pub(super) const NO_AUTHORIZER: &str = "No Authorizer is configured.";

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    _request: DescribeAclsRequest,
) -> Result<DescribeAclsResponse, CloseReason> {
    Ok(DescribeAclsResponse {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
        ..Default::default()
    })
}
