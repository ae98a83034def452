//! The cluster itself: brokers, quorum, features.

use super::{Admin, Results};
use crate::client::Target;
use crate::connection::BrokerVersions;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use afluente_protocol::message::Request;
use afluente_protocol::messages::add_raft_voter_request::{AddRaftVoterRequest, Listener};
use afluente_protocol::messages::describe_cluster_request::DescribeClusterRequest;
use afluente_protocol::messages::describe_quorum_request::{
    DescribeQuorumRequest, PartitionData, TopicData,
};
use afluente_protocol::messages::describe_quorum_response::ReplicaState as WireReplica;
use afluente_protocol::messages::remove_raft_voter_request::RemoveRaftVoterRequest;
use afluente_protocol::messages::unregister_broker_request::UnregisterBrokerRequest;
use afluente_protocol::messages::update_features_request::{
    FeatureUpdateKey, UpdateFeaturesRequest,
};
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeMap;

/// The cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDescription {
    /// Its id.
    pub cluster_id: String,
    /// The controller, as far as clients are concerned; `None` if there is none.
    pub controller_id: Option<i32>,
    /// Its brokers.
    pub brokers: Vec<BrokerDescription>,
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerDescription {
    /// Its id.
    pub id: i32,
    /// Where clients connect to it.
    pub host: String,
    /// The port.
    pub port: i32,
    /// Its rack, if it has one.
    pub rack: Option<String>,
    /// Whether it is registered and not there (KIP-1073).
    pub is_fenced: bool,
}

/// The quorum of controllers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumDescription {
    /// Its leader.
    pub leader_id: i32,
    /// The leader's epoch.
    pub leader_epoch: i32,
    /// How far the metadata log is agreed upon.
    pub high_watermark: i64,
    /// Those who vote.
    pub voters: Vec<QuorumReplica>,
    /// Those who follow.
    pub observers: Vec<QuorumReplica>,
    /// Where the voters listen, by id: name of the listener, host, port (KIP-853).
    pub nodes: BTreeMap<i32, Vec<(String, String, u16)>>,
}

/// One who has a copy of the metadata log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuorumReplica {
    /// Its id.
    pub id: i32,
    /// The id of its directory; zero if it is not known.
    pub directory_id: Uuid,
    /// How far its copy reaches.
    pub log_end_offset: i64,
    /// When it last asked, in ms since 1970; -1 if it is not known.
    pub last_fetch_timestamp: i64,
    /// When it last had everything, in ms since 1970; -1 if it is not known.
    pub last_caught_up_timestamp: i64,
}

/// A change of a feature's level (KIP-584).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub feature: String,
    /// Its new level; 0 switches it off.
    pub level: i16,
    /// Whether the level may go down, and at what price.
    pub direction: UpgradeDirection,
}

/// Which way a feature's level may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpgradeDirection {
    /// Up.
    Upgrade,
    /// Down, if nothing is lost.
    SafeDowngrade,
    /// Down, though something may be lost.
    UnsafeDowngrade,
}

impl Admin {
    /// The cluster, from one broker. With `with_fenced` also brokers that are registered and not
    /// there, which brokers older than 4.0 cannot tell.
    ///
    /// # Errors
    /// When no broker answers.
    pub async fn describe_cluster(&self, with_fenced: bool) -> Result<ClusterDescription, Error> {
        let request = DescribeClusterRequest {
            endpoint_type: 1,
            include_fenced_brokers: with_fenced,
            ..Default::default()
        };
        let check = |response: &<DescribeClusterRequest as Request>::Response| {
            let about = || "the cluster".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let answered = self.call(Target::Any, request, self.deadline(), check).await;
        let response = match answered {
            Err(Error::UnsupportedVersion { .. }) => return self.cluster_from_metadata().await,
            other => other?,
        };
        let brokers = response.brokers.into_iter().map(|broker| BrokerDescription {
            id: broker.broker_id,
            host: broker.host,
            port: broker.port,
            rack: broker.rack,
            is_fenced: broker.is_fenced,
        });
        Ok(ClusterDescription {
            cluster_id: response.cluster_id,
            controller_id: (response.controller_id >= 0).then_some(response.controller_id),
            brokers: brokers.collect(),
        })
    }

    /// What brokers older than 2.8 tell.
    async fn cluster_from_metadata(&self) -> Result<ClusterDescription, Error> {
        let metadata = self.client().refresh(&TopicsAsked::None, self.deadline()).await?;
        let brokers = metadata.brokers.values().map(|broker| BrokerDescription {
            id: broker.id,
            host: broker.address.host.clone(),
            port: broker.address.port.into(),
            rack: broker.rack.clone(),
            is_fenced: false,
        });
        Ok(ClusterDescription {
            cluster_id: metadata.cluster_id.clone().unwrap_or_default(),
            controller_id: metadata.controller_id,
            brokers: brokers.collect(),
        })
    }

    /// What every broker speaks, and its features, as far as it can be reached.
    ///
    /// # Errors
    /// When no broker answers; each broker has a result of its own.
    pub async fn broker_versions(&self) -> Result<Results<i32, BrokerVersions>, Error> {
        let deadline = self.deadline();
        let metadata = self.client().refresh(&TopicsAsked::None, deadline).await?;
        let mut results = Results::new();
        for &id in metadata.brokers.keys() {
            let connection = self.client().connection(&Target::Broker(id), deadline).await;
            results.insert(id, connection.map(|connection| connection.versions().clone()));
        }
        Ok(results)
    }

    /// The quorum of controllers (KIP-595).
    ///
    /// # Errors
    /// When no broker answers, or it is too old or has no such quorum.
    pub async fn describe_quorum(&self) -> Result<QuorumDescription, Error> {
        let request = DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: "__cluster_metadata".to_owned(),
                partitions: vec![PartitionData { partition_index: 0 }],
            }],
        };
        let check = |response: &<DescribeQuorumRequest as Request>::Response| {
            let about = || "the quorum".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)?;
            let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
            partitions.into_iter().try_for_each(|partition| {
                Error::check(partition.error_code, partition.error_message.clone(), about)
            })
        };
        let response = self.call(Target::Any, request, self.deadline(), check).await?;
        let nodes = response.nodes.into_iter().map(|node| {
            let listeners = node.listeners.into_iter();
            (node.node_id, listeners.map(|one| (one.name, one.host, one.port)).collect())
        });
        let nodes = nodes.collect();
        let topic = response.topics.into_iter().next();
        let partition = topic.and_then(|topic| topic.partitions.into_iter().next());
        let partition = partition.unwrap_or_default();
        Ok(QuorumDescription {
            leader_id: partition.leader_id,
            leader_epoch: partition.leader_epoch,
            high_watermark: partition.high_watermark,
            voters: partition.current_voters.into_iter().map(replica).collect(),
            observers: partition.observers.into_iter().map(replica).collect(),
            nodes,
        })
    }

    /// Changes the levels of features.
    ///
    /// # Errors
    /// What the controller says of all of them, or of the first that it refuses.
    pub async fn update_features(
        &self,
        updates: &[FeatureUpdate],
        validate_only: bool,
    ) -> Result<(), Error> {
        let deadline = self.deadline();
        let request = UpdateFeaturesRequest {
            timeout_ms: self.timeout_ms(deadline),
            feature_updates: updates
                .iter()
                .map(|update| FeatureUpdateKey {
                    feature: update.feature.clone(),
                    max_version_level: update.level,
                    allow_downgrade: false,
                    upgrade_type: match update.direction {
                        UpgradeDirection::Upgrade => 1,
                        UpgradeDirection::SafeDowngrade => 2,
                        UpgradeDirection::UnsafeDowngrade => 3,
                    },
                })
                .collect(),
            validate_only,
        };
        let check = |response: &<UpdateFeaturesRequest as Request>::Response| {
            let about = || "updating features".to_owned();
            Error::check(response.error_code, response.error_message.clone(), about)?;
            response.results.iter().try_for_each(|result| {
                let about = || format!("updating feature {:?}", result.feature);
                Error::check(result.error_code, result.error_message.clone(), about)
            })
        };
        self.call(Target::Controller, request, deadline, check).await.map(|_| ())
    }

    /// Makes a controller that follows one that votes (KIP-853), once it has caught up.
    ///
    /// # Errors
    /// What the quorum says.
    pub async fn add_raft_voter(
        &self,
        voter_id: i32,
        directory_id: Uuid,
        listeners: &[(String, String, u16)],
    ) -> Result<(), Error> {
        let deadline = self.deadline();
        let listeners = listeners.iter().map(|(name, host, port)| Listener {
            name: name.clone(),
            host: host.clone(),
            port: *port,
        });
        let request = AddRaftVoterRequest {
            timeout_ms: self.timeout_ms(deadline),
            voter_id,
            voter_directory_id: directory_id,
            listeners: listeners.collect(),
            ..Default::default()
        };
        let check = |response: &<AddRaftVoterRequest as Request>::Response| {
            let about = || format!("making controller {voter_id} a voter");
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        self.call(Target::Controller, request, deadline, check).await.map(|_| ())
    }

    /// Makes a controller that votes one that does not (KIP-853).
    ///
    /// # Errors
    /// What the quorum says.
    pub async fn remove_raft_voter(&self, voter_id: i32, directory_id: Uuid) -> Result<(), Error> {
        let request = RemoveRaftVoterRequest {
            voter_id,
            voter_directory_id: directory_id,
            ..Default::default()
        };
        let check = |response: &<RemoveRaftVoterRequest as Request>::Response| {
            let about = || format!("taking the vote of controller {voter_id}");
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        self.call(Target::Controller, request, self.deadline(), check).await.map(|_| ())
    }

    /// Takes a broker that is gone for good out of the cluster.
    ///
    /// # Errors
    /// What the controller says.
    pub async fn unregister_broker(&self, broker_id: i32) -> Result<(), Error> {
        let check = |response: &<UnregisterBrokerRequest as Request>::Response| {
            let about = || format!("unregistering broker {broker_id}");
            Error::check(response.error_code, response.error_message.clone(), about)
        };
        let request = UnregisterBrokerRequest { broker_id };
        self.call(Target::Controller, request, self.deadline(), check).await.map(|_| ())
    }
}

fn replica(state: WireReplica) -> QuorumReplica {
    QuorumReplica {
        id: state.replica_id,
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: state.last_fetch_timestamp,
        last_caught_up_timestamp: state.last_caught_up_timestamp,
    }
}
