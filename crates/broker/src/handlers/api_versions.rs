//! ApiVersions (18), versions 0 to 4. KIP-35, KIP-511 (client software), KIP-584 (features).
//!
//! A version that is too new is answered in version 0 with UNSUPPORTED_VERSION and the versions of
//! this one API, so that the client can ask again. Only what has a handler is advertised.
//! Features whose lowest level is 0 are told from version 4 on (KAFKA-17011).

use crate::broker::Broker;
use crate::dispatch::{self, CloseReason, Outcome, RequestContext};
use crate::metadata::SUPPORTED_FEATURES;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::api_versions_response::{
    ApiVersion, ApiVersionsResponse, FinalizedFeatureKey, SupportedFeatureKey,
};
use std::sync::Arc;

/// The longest name or version of a client library that is remembered.
const SOFTWARE_TEXT_MAX: usize = 256;

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: ApiVersionsRequest,
) -> Result<ApiVersionsResponse, CloseReason> {
    if context.version >= 3 {
        let (name, version) = (request.client_software_name, request.client_software_version);
        if !is_software_text(&name) || !is_software_text(&version) {
            return Ok(ApiVersionsResponse {
                error_code: ErrorCode::InvalidRequest.code(),
                ..Default::default()
            });
        }
        *context.client.software.lock() = Some((name, version));
    }
    let supported = SUPPORTED_FEATURES
        .iter()
        .filter(|feature| feature.min > 0 || context.version >= 4)
        .map(|feature| SupportedFeatureKey {
            name: feature.name.to_owned(),
            min_version: feature.min,
            max_version: feature.max,
        });
    let (finalized, epoch) = broker.metadata.finalized_features();
    let finalized = finalized.into_iter().map(|(name, level)| FinalizedFeatureKey {
        name,
        max_version_level: level,
        min_version_level: level,
    });
    Ok(ApiVersionsResponse {
        api_keys: advertised(),
        supported_features: supported.collect(),
        finalized_features_epoch: epoch,
        finalized_features: finalized.collect(),
        ..Default::default()
    })
}

/// The answer to a version of ApiVersions that is not served.
pub(crate) fn refuse_version(context: &RequestContext<'_>) -> Outcome {
    let response = ApiVersionsResponse {
        error_code: ErrorCode::UnsupportedVersion.code(),
        api_keys: vec![row(ApiKey::ApiVersions).expect("it is served")],
        ..Default::default()
    };
    match dispatch::encode(&response, ApiKey::ApiVersions, 0, context.correlation_id) {
        Ok(answer) => Outcome::Answer(answer),
        Err(reason) => Outcome::Close(reason),
    }
}

fn advertised() -> Vec<ApiVersion> {
    ApiKey::ALL
        .iter()
        .filter(|key| key.on_broker() && dispatch::is_served(**key))
        .filter_map(|key| row(*key))
        .collect()
}

fn row(key: ApiKey) -> Option<ApiVersion> {
    let versions = key.supported()?;
    Some(ApiVersion {
        api_key: key.number(),
        min_version: *versions.start(),
        max_version: *versions.end(),
    })
}

/// Kafka's rule: letters, digits, dots and dashes, and a letter or digit at both ends.
fn is_software_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends_well = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    bytes.len() <= SOFTWARE_TEXT_MAX
        && ends_well(bytes.first())
        && ends_well(bytes.last())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_library_is_checked_as_kafka_checks_it() {
        for good in ["apache-kafka-java", "4.3.1", "a", "librdkafka"] {
            assert!(is_software_text(good), "{good}");
        }
        for bad in ["", "-a", "a.", "a b", "a_b", "é"] {
            assert!(!is_software_text(bad), "{bad}");
        }
    }

    #[test]
    fn produce_is_advertised_from_version_0() {
        let produce = advertised().into_iter().find(|api| api.api_key == 0);
        assert_eq!(produce.map(|api| (api.min_version, api.max_version)), Some((0, 13)));
    }
}
