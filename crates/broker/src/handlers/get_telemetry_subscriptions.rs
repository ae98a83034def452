//! GetTelemetrySubscriptions (71), version 0. KIP-714.
//!
//! There is nothing yet that would take clients' metrics, so nobody is asked for any: as Kafka
//! answers when no plug-in is configured.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use afluente_protocol::messages::get_telemetry_subscriptions_request::GetTelemetrySubscriptionsRequest;
use afluente_protocol::messages::get_telemetry_subscriptions_response::GetTelemetrySubscriptionsResponse;
use afluente_protocol::uuid::Uuid;
use std::sync::Arc;

/// How soon a client may ask again.
const PUSH_INTERVAL_MS: i32 = 5 * 60 * 1000;

/// All codecs, the best first: zstd, lz4, gzip, snappy.
const CODECS: [i8; 4] = [4, 3, 1, 2];

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    _context: &RequestContext<'_>,
    request: GetTelemetrySubscriptionsRequest,
) -> Result<GetTelemetrySubscriptionsResponse, CloseReason> {
    let client_instance_id = if request.client_instance_id.is_zero() {
        Uuid::from_random_bytes(broker.env.rng.uuid())
    } else {
        request.client_instance_id
    };
    Ok(GetTelemetrySubscriptionsResponse {
        client_instance_id,
        accepted_compression_types: CODECS.to_vec(),
        push_interval_ms: PUSH_INTERVAL_MS,
        telemetry_max_bytes: broker.config.int("telemetry.max.bytes"),
        delta_temporality: true,
        ..Default::default()
    })
}
