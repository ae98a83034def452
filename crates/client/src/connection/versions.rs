//! Which versions of which API a broker speaks, and its features.

use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::api_versions_response::ApiVersionsResponse;
use std::collections::BTreeMap;

/// What a broker answered to `ApiVersions`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerVersions {
    apis: BTreeMap<i16, (i16, i16)>,
    /// Features that the broker supports, with the lowest and highest level.
    pub supported_features: BTreeMap<String, (i16, i16)>,
    /// Features in force in the cluster, with their level.
    pub finalized_features: BTreeMap<String, i16>,
    /// The epoch of the features in force; -1 if it is not known.
    pub finalized_features_epoch: i64,
}

impl BrokerVersions {
    pub(super) fn new(response: &ApiVersionsResponse) -> Self {
        Self {
            apis: response
                .api_keys
                .iter()
                .map(|api| (api.api_key, (api.min_version, api.max_version)))
                .collect(),
            supported_features: response
                .supported_features
                .iter()
                .map(|feature| (feature.name.clone(), (feature.min_version, feature.max_version)))
                .collect(),
            finalized_features: response
                .finalized_features
                .iter()
                .map(|feature| (feature.name.clone(), feature.max_version_level))
                .collect(),
            finalized_features_epoch: response.finalized_features_epoch,
        }
    }

    /// The versions of `key` that the broker offers.
    #[must_use]
    pub fn offered(&self, key: ApiKey) -> Option<(i16, i16)> {
        self.apis.get(&key.number()).copied()
    }

    /// Every API that the broker offers, by its number, those that are not known here among them.
    pub fn apis(&self) -> impl Iterator<Item = (i16, (i16, i16))> {
        self.apis.iter().map(|(&key, &versions)| (key, versions))
    }

    /// The newest version of `key` that both sides speak and that is not above `max`.
    #[must_use]
    pub fn common(&self, key: ApiKey, max: i16) -> Option<i16> {
        let (first, last) = self.offered(key)?;
        let ours = key.versions();
        // Versions newer than Kafka 4.3 offers have fields that nothing here fills in.
        let stable = key.supported().unwrap_or_else(|| ours.clone());
        let newest = last.min(max).min(*ours.end()).min(*stable.end());
        (newest >= first && newest >= *ours.start()).then_some(newest)
    }

    /// The level of a feature that is in force; 0 if it is not.
    #[must_use]
    pub fn feature(&self, name: &str) -> i16 {
        self.finalized_features.get(name).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_protocol::messages::api_versions_response::ApiVersion;

    #[test]
    fn the_newest_version_of_both_sides_is_chosen() {
        let offer = |key: ApiKey, min_version, max_version| ApiVersion {
            api_key: key.number(),
            min_version,
            max_version,
        };
        let versions = BrokerVersions::new(&ApiVersionsResponse {
            api_keys: vec![
                offer(ApiKey::Produce, 0, 99),
                offer(ApiKey::Fetch, 0, 11),
                offer(ApiKey::TxnOffsetCommit, 0, 6),
                offer(ApiKey::Metadata, 50, 60),
                offer(ApiKey::DeleteRecords, 0, 2),
            ],
            ..Default::default()
        });
        assert_eq!(versions.common(ApiKey::Produce, i16::MAX), Some(13));
        assert_eq!(versions.common(ApiKey::Produce, 9), Some(9));
        assert_eq!(versions.common(ApiKey::Produce, 2), None);
        assert_eq!(versions.common(ApiKey::Fetch, i16::MAX), Some(11));
        assert_eq!(versions.common(ApiKey::TxnOffsetCommit, i16::MAX), Some(5));
        assert_eq!(versions.common(ApiKey::Metadata, i16::MAX), None);
        assert_eq!(versions.common(ApiKey::ListGroups, i16::MAX), None);
        assert_eq!(versions.common(ApiKey::DeleteRecords, i16::MAX), Some(2));
    }
}
