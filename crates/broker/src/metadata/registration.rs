//! How this node writes itself into the metadata: a new cluster's first records, and at every start
//! the broker and the controller that it is.

use super::SUPPORTED_FEATURES;
use super::identity::Identity;
use super::log::{MetadataError, read_file};
use super::quorum::Quorum;
use super::replay::Replay;
use crate::config::Settings;
use afluente_cluster::image::{METADATA_VERSION, MetadataImage};
use afluente_env::Env;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::messages::metadata::broker_registration_change_record::BrokerRegistrationChangeRecord;
use afluente_protocol::messages::metadata::feature_level_record::FeatureLevelRecord;
use afluente_protocol::messages::metadata::partition_change_record::PartitionChangeRecord;
use afluente_protocol::messages::metadata::register_broker_record::{
    BrokerEndpoint, BrokerFeature, RegisterBrokerRecord,
};
use afluente_protocol::numbers::Offset;
use afluente_protocol::uuid::Uuid;
use bytes::Bytes;
use std::path::Path;

/// The versions of the metadata records that can be read and gone on with: those of Kafka 4.
const METADATA_VERSIONS: std::ops::RangeInclusive<i16> = 25..=30;

/// What `kafka-storage format` leaves for the first start.
const BOOTSTRAP_FILE: &str = "bootstrap.checkpoint";

/// The first records of a cluster: those that Kafka's format tool has put down, or else the levels
/// of features as it would have set them. `kraft.version` is none of them: the quorum keeps it in
/// its control records.
pub(super) fn first_records(
    env: &Env,
    path: &Path,
    node_id: i32,
) -> Result<Vec<MetadataRecord>, MetadataError> {
    if let Some(bytes) = read_file(env, &path.join(BOOTSTRAP_FILE))? {
        let mut bootstrap = Replay::default();
        bootstrap.batches(&Bytes::from(bytes), Offset(0))?;
        refuse_foreign(path, &bootstrap.image, &bootstrap.quorum, node_id)?;
        return Ok(bootstrap.image.records());
    }
    Ok(SUPPORTED_FEATURES
        .iter()
        .filter(|feature| feature.name != "kraft.version")
        .map(|feature| {
            MetadataRecord::FeatureLevel(FeatureLevelRecord {
                name: feature.name.to_owned(),
                feature_level: feature.max,
            })
        })
        .collect())
}

/// Refuses metadata that a single node of this version cannot go on with, before anything of it is
/// changed.
pub(super) fn refuse_foreign(
    path: &Path,
    image: &MetadataImage,
    quorum: &Quorum,
    node_id: i32,
) -> Result<(), MetadataError> {
    let refuse = |why: String| Err(MetadataError::NotOurs { path: path.to_owned(), why });
    let version = image.features().get(METADATA_VERSION).copied().unwrap_or(0);
    if !METADATA_VERSIONS.contains(&version) {
        return refuse(format!(
            "its metadata.version is {version}, and {} to {} can be gone on with: bring the \
             cluster to one of these with Kafka's own kafka-features first",
            METADATA_VERSIONS.start(),
            METADATA_VERSIONS.end()
        ));
    }
    let others: Vec<i32> = image.brokers().keys().copied().filter(|id| *id != node_id).collect();
    if !others.is_empty() {
        return refuse(format!(
            "it is of a cluster with other brokers too ({others:?}), and this is a single node: \
             move their partitions to node {node_id} and unregister them with Kafka's own tools \
             first"
        ));
    }
    let voters = quorum.others(node_id);
    if !voters.is_empty() {
        return refuse(format!(
            "its quorum has other voters too ({voters:?}), and this is a single node: remove them \
             with Kafka's own kafka-metadata-quorum first"
        ));
    }
    let dirs = image.brokers().get(&node_id).map_or(0, |broker| broker.log_dirs.len());
    if dirs > 1 {
        return refuse(format!(
            "node {node_id} kept its data in {dirs} log directories, and this version uses one: \
             move all partitions into {} with Kafka's own kafka-reassign-partitions, and give \
             Kafka that directory alone once, first",
            path.display()
        ));
    }
    Ok(())
}

/// Registers this broker under a new incarnation, and makes it the leader of what it has. The
/// broker's epoch is the offset of its registration, which is the first of the records.
pub(super) fn records(
    env: &Env,
    settings: &Settings,
    identity: &Identity,
    image: &MetadataImage,
    end_offset: i64,
) -> (i64, Vec<MetadataRecord>) {
    let node_id = settings.node.id;
    let mut records = vec![
        MetadataRecord::RegisterBroker(RegisterBrokerRecord {
            broker_id: node_id,
            incarnation_id: Uuid::from_random_bytes(env.rng.uuid()),
            broker_epoch: end_offset,
            end_points: settings.network.listeners.iter().map(end_point).collect(),
            features: SUPPORTED_FEATURES
                .iter()
                .map(|feature| BrokerFeature {
                    name: feature.name.to_owned(),
                    min_supported_version: feature.min,
                    max_supported_version: feature.max,
                })
                .collect(),
            rack: settings.node.rack.clone(),
            fenced: true,
            log_dirs: vec![identity.directory_id],
            ..RegisterBrokerRecord::default()
        }),
        MetadataRecord::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
            broker_id: node_id,
            broker_epoch: end_offset,
            fenced: -1,
            ..BrokerRegistrationChangeRecord::default()
        }),
    ];
    // Kafka leaves partitions without a leader when their broker stops.
    for topic in image.topics() {
        for (number, partition) in &topic.partitions {
            if partition.leader != node_id && partition.replicas.contains(&node_id) {
                records.push(MetadataRecord::PartitionChange(PartitionChangeRecord {
                    partition_id: *number,
                    topic_id: topic.id,
                    leader: node_id,
                    isr: Some(vec![node_id]),
                    // Who is in sync is no longer merely eligible (KIP-966).
                    eligible_leader_replicas: Some(Vec::new()),
                    last_known_elr: Some(Vec::new()),
                    ..PartitionChangeRecord::default()
                }));
            }
        }
    }
    (end_offset, records)
}

fn end_point(listener: &crate::config::listeners::Listener) -> BrokerEndpoint {
    let end = listener.advertised.as_ref().unwrap_or(&listener.bind);
    BrokerEndpoint {
        name: listener.bind.name.clone(),
        host: if end.host.is_empty() { "localhost".to_owned() } else { end.host.clone() },
        port: end.port,
        security_protocol: 0,
    }
}
