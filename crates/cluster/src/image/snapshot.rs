//! The image as records again.

use super::{METADATA_VERSION, MetadataImage};
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::client_quota_record::{ClientQuotaRecord, EntityData};
use afluente_protocol::messages::metadata::config_record::ConfigRecord;
use afluente_protocol::messages::metadata::feature_level_record::FeatureLevelRecord;
use afluente_protocol::messages::metadata::topic_record::TopicRecord;

impl MetadataImage {
    /// Records that build this image when they are applied to an empty one, in this order. The
    /// level of `metadata.version` comes first, as readers need it to read on.
    #[must_use]
    pub fn records(&self) -> Vec<MetadataRecord> {
        let mut records = Vec::new();
        let (version, others): (Vec<_>, Vec<_>) =
            self.features.iter().partition(|(name, _)| *name == METADATA_VERSION);
        for (name, level) in version.into_iter().chain(others) {
            records.push(MetadataRecord::FeatureLevel(FeatureLevelRecord {
                name: name.clone(),
                feature_level: *level,
            }));
        }
        let controllers = self.controllers.values().cloned();
        records.extend(controllers.map(MetadataRecord::RegisterController));
        records.extend(self.brokers.values().cloned().map(MetadataRecord::RegisterBroker));
        for topic in self.topics() {
            records.push(MetadataRecord::Topic(TopicRecord {
                name: topic.name.to_string(),
                topic_id: topic.id,
            }));
            let partitions = topic.partitions.values().cloned();
            records.extend(partitions.map(MetadataRecord::Partition));
        }
        for (resource, values) in &self.configs {
            for (name, value) in values {
                records.push(MetadataRecord::Config(ConfigRecord {
                    resource_type: resource.kind,
                    resource_name: resource.name.clone(),
                    name: name.clone(),
                    value: Some(value.clone()),
                }));
            }
        }
        for ((entity, key), value) in &self.quotas {
            let entity = entity.iter().map(|(entity_type, entity_name)| EntityData {
                entity_type: entity_type.clone(),
                entity_name: entity_name.clone(),
            });
            records.push(MetadataRecord::ClientQuota(ClientQuotaRecord {
                entity: entity.collect(),
                key: key.clone(),
                value: value.0,
                remove: false,
            }));
        }
        records.extend(self.producer_ids.iter().cloned().map(MetadataRecord::ProducerIds));
        records.extend(self.acls.values().cloned().map(MetadataRecord::AccessControlEntry));
        let credentials = self.scram_credentials.values().cloned();
        records.extend(credentials.map(MetadataRecord::UserScramCredential));
        let tokens = self.delegation_tokens.values().cloned();
        records.extend(tokens.map(MetadataRecord::DelegationToken));
        records
    }
}
