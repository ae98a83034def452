//! DescribeClientQuotas (48), versions 0 and 1. KIP-546, KIP-612 (addresses).
//!
//! Not done: authorization. Quotas are kept and shown; nobody is slowed down by them.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller;
use afluente_protocol::messages::describe_client_quotas_request::DescribeClientQuotasRequest;
use afluente_protocol::messages::describe_client_quotas_response::{
    DescribeClientQuotasResponse, EntityData, EntryData, ValueData,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: DescribeClientQuotasRequest,
) -> Result<DescribeClientQuotasResponse, CloseReason> {
    let image = broker.metadata.image();
    let found = controller::describe_client_quotas(&image, &request.components, request.strict);
    Ok(match found {
        Err((code, message)) => DescribeClientQuotasResponse {
            error_code: code.code(),
            error_message: Some(message),
            entries: None,
            ..Default::default()
        },
        Ok(found) => {
            let entries = found.into_iter().map(|(entity, values)| EntryData {
                entity: entity
                    .into_iter()
                    .map(|(entity_type, entity_name)| EntityData { entity_type, entity_name })
                    .collect(),
                values: values.into_iter().map(|(key, value)| ValueData { key, value }).collect(),
            });
            DescribeClientQuotasResponse { entries: Some(entries.collect()), ..Default::default() }
        }
    })
}
