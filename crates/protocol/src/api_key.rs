//! API keys: which request a frame holds, and in which versions.
//!
//! The table is generated from the schema; what follows from it is here.

mod table;

pub use table::ApiKey;

use std::fmt;
use std::ops::RangeInclusive;

/// A row of the table.
struct Facts {
    name: &'static str,
    versions: (i16, i16),
    flexible_from: Option<i16>,
    advertised: Option<(i16, i16)>,
    broker: bool,
    controller: bool,
}

impl ApiKey {
    /// The number on the wire.
    pub fn number(self) -> i16 {
        self as i16
    }

    /// Kafka's name, such as `ListOffsets`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// The versions that can be read and written, unstable ones among them.
    pub fn versions(self) -> RangeInclusive<i16> {
        let (first, last) = self.facts().versions;
        first..=last
    }

    /// The versions that a broker offers to clients: those of Kafka 4.3.1. `None` for an API that
    /// is not offered.
    ///
    /// For `Produce` this opens with versions that [`Self::versions`] lacks: librdkafka takes a
    /// broker without version 0 for one without compression (KAFKA-18659).
    pub fn supported(self) -> Option<RangeInclusive<i16>> {
        self.facts().advertised.map(|(first, last)| first..=last)
    }

    /// Whether a request in `version` is to be served: offered, and one that can be read.
    pub fn serves(self, version: i16) -> bool {
        self.versions().contains(&version)
            && self.supported().is_some_and(|offered| offered.contains(&version))
    }

    /// Whether `version` has compact lengths and tagged fields.
    pub fn is_flexible(self, version: i16) -> bool {
        self.facts().flexible_from.is_some_and(|first| version >= first)
    }

    /// The version of the header in front of a request.
    pub fn request_header_version(self, version: i16) -> i16 {
        if self.is_flexible(version) { 2 } else { 1 }
    }

    /// The version of the header in front of a response.
    ///
    /// `ApiVersions` is answered under the oldest header, so that a client can read the answer
    /// before it knows what the broker speaks.
    pub fn response_header_version(self, version: i16) -> i16 {
        i16::from(self != Self::ApiVersions && self.is_flexible(version))
    }

    /// Whether brokers listen for it.
    pub fn on_broker(self) -> bool {
        self.facts().broker
    }

    /// Whether controllers listen for it.
    pub fn on_controller(self) -> bool {
        self.facts().controller
    }

    /// Whether only members of the cluster may send it, as Kafka marks its keys.
    pub fn is_cluster_action(self) -> bool {
        matches!(
            self,
            Self::WriteTxnMarkers
                | Self::Vote
                | Self::BeginQuorumEpoch
                | Self::EndQuorumEpoch
                | Self::DescribeQuorum
                | Self::AlterPartition
                | Self::UpdateFeatures
                | Self::Envelope
                | Self::BrokerRegistration
                | Self::BrokerHeartbeat
                | Self::AllocateProducerIds
                | Self::InitializeShareGroupState
                | Self::ReadShareGroupState
                | Self::WriteShareGroupState
                | Self::DeleteShareGroupState
                | Self::ReadShareGroupStateSummary
        )
    }
}

impl fmt::Display for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_run_from_0_to_94_without_4_to_7() {
        let numbers: Vec<i16> = ApiKey::ALL.iter().map(|key| key.number()).collect();
        let expected: Vec<i16> = (0..=94).filter(|number| !(4..=7).contains(number)).collect();
        assert_eq!(numbers, expected);
        for number in -1..=95 {
            let found = ApiKey::from_i16(number).map(ApiKey::number);
            assert_eq!(found, expected.contains(&number).then_some(number));
        }
    }

    #[test]
    fn offers_what_kafka_4_3_1_offers() {
        for (key, offered) in [
            (ApiKey::Produce, Some(0..=13)),
            (ApiKey::Fetch, Some(4..=18)),
            (ApiKey::ApiVersions, Some(0..=4)),
            (ApiKey::InitProducerId, Some(0..=5)),
            (ApiKey::TxnOffsetCommit, Some(0..=5)),
            (ApiKey::StreamsGroupTopologyDescriptionUpdate, None),
            (ApiKey::UnregisterController, None),
        ] {
            assert_eq!(key.supported(), offered, "{key}");
        }
        assert!(!ApiKey::Produce.serves(2));
        assert!(ApiKey::Produce.serves(3));
        assert!(!ApiKey::InitProducerId.serves(6));
    }

    #[test]
    fn header_versions_follow_flexibility_but_for_api_versions() {
        for (key, version, headers) in [
            (ApiKey::Produce, 8, (1, 0)),
            (ApiKey::Produce, 9, (2, 1)),
            (ApiKey::SaslHandshake, 1, (1, 0)),
            (ApiKey::ApiVersions, 2, (1, 0)),
            (ApiKey::ApiVersions, 3, (2, 0)),
            (ApiKey::ApiVersions, 99, (2, 0)),
        ] {
            let found = (key.request_header_version(version), key.response_header_version(version));
            assert_eq!(found, headers, "{key} {version}");
        }
    }
}
