//! AlterClientQuotas (49), versions 0 and 1. KIP-546, KIP-612 (addresses).
//!
//! Not done: authorization. Quotas are kept and shown; nobody is slowed down by them.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_cluster::controller;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::alter_client_quotas_request::AlterClientQuotasRequest;
use afluente_protocol::messages::alter_client_quotas_response::{
    AlterClientQuotasResponse, EntityData, EntryData,
};
use std::sync::Arc;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: AlterClientQuotasRequest,
) -> Result<AlterClientQuotasResponse, CloseReason> {
    let decided = broker.metadata.change(broker, request.validate_only, |image| {
        controller::alter_client_quotas(image, &request.entries)
    });
    let results = match decided.await {
        Ok(results) => results,
        Err(refusal) => request.entries.iter().map(|_| Err(refusal.clone())).collect(),
    };
    let entries = request.entries.into_iter().zip(results).map(|(entry, result)| {
        let (code, message) = result.err().unzip();
        EntryData {
            error_code: code.unwrap_or(ErrorCode::None).code(),
            error_message: message,
            entity: entry
                .entity
                .into_iter()
                .map(|part| EntityData {
                    entity_type: part.entity_type,
                    entity_name: part.entity_name,
                })
                .collect(),
        }
    });
    Ok(AlterClientQuotasResponse { entries: entries.collect(), ..Default::default() })
}
