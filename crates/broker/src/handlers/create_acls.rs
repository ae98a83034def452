//! CreateAcls (30), versions 1 to 3. KIP-140. There is no authorizer, and the answer is Kafka's
//! without one.

use super::describe_acls::NO_AUTHORIZER;
use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_acls_request::CreateAclsRequest;
use afluente_protocol::messages::create_acls_response::{AclCreationResult, CreateAclsResponse};
use std::sync::Arc;

pub(crate) async fn handle(
    _broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: CreateAclsRequest,
) -> Result<CreateAclsResponse, CloseReason> {
    let results = request.creations.iter().map(|_| AclCreationResult {
        error_code: ErrorCode::SecurityDisabled.code(),
        error_message: Some(NO_AUTHORIZER.to_owned()),
    });
    Ok(CreateAclsResponse { results: results.collect(), ..Default::default() })
}
