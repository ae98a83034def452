//! The cluster itself: log directories, quorum, features.

use super::Kafka;
use afluente_client::{Error, Target};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use afluente_protocol::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use std::collections::BTreeMap;

/// Of one broker.
#[derive(Debug, Clone, Default)]
pub(crate) struct LogDirectory {
    pub(crate) path: String,
    pub(crate) error: Option<String>,
    pub(crate) total_bytes: Option<i64>,
    pub(crate) usable_bytes: Option<i64>,
    /// Bytes by topic and partition.
    pub(crate) sizes: BTreeMap<String, BTreeMap<i32, i64>>,
}

#[derive(Debug, Clone)]
pub(crate) struct Quorum {
    pub(crate) leader_id: i32,
    pub(crate) leader_epoch: i32,
    pub(crate) high_watermark: i64,
    pub(crate) voters: Vec<QuorumReplica>,
    pub(crate) observers: Vec<QuorumReplica>,
}

#[derive(Debug, Clone)]
pub(crate) struct QuorumReplica {
    pub(crate) id: i32,
    pub(crate) end_offset: i64,
    /// When it had last read all there was, Unix milliseconds.
    pub(crate) caught_up_ms: Option<i64>,
}

/// By name: what is in force, and what the broker supports.
pub(crate) type Features = BTreeMap<String, (Option<i16>, i16, i16)>;

impl Kafka {
    pub(crate) async fn log_directories(&self, broker: i32) -> Result<Vec<LogDirectory>, Error> {
        let request = DescribeLogDirsRequest { topics: None };
        let answer = self.client.send(Target::Broker(broker), request, self.deadline()).await?;
        Error::check(answer.error_code, None, || format!("log directories of broker {broker}"))?;
        let known = |bytes: i64| Some(bytes).filter(|bytes| *bytes >= 0);
        let directory = |result: afluente_protocol::messages::describe_log_dirs_response::DescribeLogDirsResult| {
            let mut sizes: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
            for topic in result.topics {
                let of_topic = sizes.entry(topic.name).or_default();
                for partition in topic.partitions {
                    *of_topic.entry(partition.partition_index).or_default() += partition.partition_size;
                }
            }
            let code = ErrorCode::from_i16(result.error_code).filter(|code| *code != ErrorCode::None);
            LogDirectory {
                path: result.log_dir,
                error: code.map(|code| format!("{}: {}", code.name(), code.message())),
                total_bytes: known(result.total_bytes),
                usable_bytes: known(result.usable_bytes),
                sizes,
            }
        };
        Ok(answer.results.into_iter().map(directory).collect())
    }

    /// How the controllers stand; clusters without KRaft have none.
    pub(crate) async fn quorum(&self) -> Result<Quorum, Error> {
        let topic = TopicData {
            topic_name: "__cluster_metadata".to_owned(),
            partitions: vec![PartitionData { partition_index: 0 }],
        };
        let request = DescribeQuorumRequest { topics: vec![topic] };
        let answer = self.client.send(Target::Any, request, self.deadline()).await?;
        let about = || "the metadata quorum".to_owned();
        Error::check(answer.error_code, answer.error_message, about)?;
        let partition = answer.topics.into_iter().flat_map(|topic| topic.partitions).next();
        let Some(partition) = partition else {
            return Err(Error::Broker {
                about: about(),
                code: ErrorCode::UnknownServerError,
                message: None,
            });
        };
        Error::check(partition.error_code, partition.error_message, about)?;
        let replica =
            |state: &afluente_protocol::messages::describe_quorum_response::ReplicaState| {
                QuorumReplica {
                    id: state.replica_id,
                    end_offset: state.log_end_offset,
                    caught_up_ms: Some(state.last_caught_up_timestamp).filter(|ms| *ms >= 0),
                }
            };
        Ok(Quorum {
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.iter().map(replica).collect(),
            observers: partition.observers.iter().map(replica).collect(),
        })
    }

    pub(crate) async fn features(&self) -> Result<Features, Error> {
        let request = ApiVersionsRequest {
            client_software_name: "afluente-console".to_owned(),
            client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
            ..ApiVersionsRequest::default()
        };
        let answer = self.client.send(Target::Any, request, self.deadline()).await?;
        Error::check(answer.error_code, None, || "the features of the cluster".to_owned())?;
        let mut features: Features = answer
            .supported_features
            .into_iter()
            .map(|feature| (feature.name, (None, feature.min_version, feature.max_version)))
            .collect();
        for feature in answer.finalized_features {
            let level = feature.max_version_level;
            features.entry(feature.name).or_insert((None, level, level)).0 = Some(level);
        }
        Ok(features)
    }
}
