//! UpdateFeatures (57), versions 0 to 2. KIP-584, KIP-778 (downgrades, validation).
//!
//! Not done: authorization. `kraft.version` is the quorum's, and is not changed while it runs.

use crate::broker::Broker;
use crate::dispatch::{CloseReason, RequestContext};
use crate::metadata::SUPPORTED_FEATURES;
use afluente_cluster::controller::{self, Decision, FeatureMove, FeatureUpdate, Refusal};
use afluente_cluster::image::MetadataImage;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::update_features_request::{
    FeatureUpdateKey, UpdateFeaturesRequest,
};
use afluente_protocol::messages::update_features_response::{
    UpdatableFeatureResult, UpdateFeaturesResponse,
};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Up to this version each feature has a result of its own.
const RESULTS_UNTIL: i16 = 1;

/// How every refusal of the controller begins.
const FAILED_FOR_ALL: &str =
    "The update failed for all features since the following feature had an error: ";

pub(crate) async fn handle(
    broker: &Arc<Broker>,
    context: &RequestContext<'_>,
    request: UpdateFeaturesRequest,
) -> Result<UpdateFeaturesResponse, CloseReason> {
    let updates = &request.feature_updates;
    let names: BTreeSet<&str> = updates.iter().map(|update| update.feature.as_str()).collect();
    if names.len() < updates.len() {
        return Ok(refused((
            ErrorCode::InvalidRequest,
            "A feature is named twice in the request.".to_owned(),
        )));
    }
    let node_id = broker.settings.node.id;
    let decided = broker.metadata.change(broker, request.validate_only, |image| {
        let records: Result<Vec<Option<MetadataRecord>>, Refusal> =
            updates.iter().map(|update| decide(image, update, context.version, node_id)).collect();
        // All or none.
        match records {
            Ok(records) => {
                Decision { records: records.into_iter().flatten().collect(), answer: Ok(()) }
            }
            Err(refusal) => Decision { records: Vec::new(), answer: Err(refusal) },
        }
    });
    let mut response = match decided.await {
        Ok(Ok(())) => UpdateFeaturesResponse::default(),
        Ok(Err((code, message))) => {
            return Ok(refused((code, format!("{FAILED_FOR_ALL}{message}"))));
        }
        Err(refusal) => return Ok(refused(refusal)),
    };
    if context.version <= RESULTS_UNTIL {
        let results = names
            .into_iter()
            .map(|name| UpdatableFeatureResult { feature: name.to_owned(), ..Default::default() });
        response.results = results.collect();
    }
    Ok(response)
}

fn decide(
    image: &MetadataImage,
    update: &FeatureUpdateKey,
    version: i16,
    node_id: i32,
) -> Result<Option<MetadataRecord>, Refusal> {
    let by = match (version, update.allow_downgrade, update.upgrade_type) {
        (0, true, _) | (1.., _, 2) => FeatureMove::SafeDowngrade,
        (0, false, _) | (1.., _, 1) => FeatureMove::Upgrade,
        (_, _, 3) => FeatureMove::UnsafeDowngrade,
        _ => {
            let message = format!(
                "Invalid update version {} for feature {}. The controller does not support the \
                 given upgrade type.",
                update.max_version_level, update.feature
            );
            return Err((ErrorCode::InvalidUpdateVersion, message));
        }
    };
    let name = update.feature.as_str();
    let supported = SUPPORTED_FEATURES
        .iter()
        .find(|feature| feature.name == name && name != "kraft.version")
        .map(|feature| feature.min..=feature.max);
    let update = FeatureUpdate { name, level: update.max_version_level, by };
    controller::update_feature(image, update, supported, node_id)
}

fn refused((code, message): Refusal) -> UpdateFeaturesResponse {
    UpdateFeaturesResponse {
        error_code: code.code(),
        error_message: Some(message),
        ..Default::default()
    }
}
