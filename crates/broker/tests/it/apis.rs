//! What is true of every API.
#![allow(clippy::disallowed_methods, reason = "damages files on purpose")]

use crate::support::{TestBroker, run};
use afluente_broker::dispatch::is_served;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::messages as m;
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::messages::api_versions_response::ApiVersionsResponse;
use afluente_protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use afluente_protocol::reader::Reader;
use std::path::{Path, PathBuf};
use tokio::io::AsyncWriteExt;

/// Sends `request` in each version that is advertised; the answer must be readable in it.
async fn sweep<R: Request>(broker: &TestBroker, request: &R) {
    assert!(is_served(R::KEY), "{}", R::KEY);
    let advertised = R::KEY.supported().unwrap();
    for version in R::VERSIONS.filter(|version| advertised.contains(version)) {
        if request_frame(request, version, 0, None).is_err() {
            continue;
        }
        let mut client = broker.connect().await;
        let _: R::Response = client.call(request, version).await;
    }
}

#[test]
fn every_api_answers_an_empty_request_in_every_version() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(2).await;
        client.produce(0, crate::support::batch(3, 10)).await;
        sweep(
            &broker,
            &m::metadata_request::MetadataRequest { topics: None, ..Default::default() },
        )
        .await;
        sweep(
            &broker,
            &m::metadata_request::MetadataRequest {
                topics: Some(Vec::new()),
                ..Default::default()
            },
        )
        .await;
        sweep(&broker, &m::create_topics_request::CreateTopicsRequest::default()).await;
        sweep(&broker, &m::delete_topics_request::DeleteTopicsRequest::default()).await;
        sweep(&broker, &m::init_producer_id_request::InitProducerIdRequest::default()).await;
        sweep(&broker, &crate::support::fetch_request(&[(0, 0), (1, 0), (7, 0)], 0)).await;
        sweep(&broker, &crate::support::produce_request(1, crate::support::batch(1, 1), 1)).await;
        sweep(&broker, &crate::support::produce_request(5, crate::support::batch(1, 1), 1)).await;
        let asked = |timestamp| m::list_offsets_request::ListOffsetsPartition {
            timestamp,
            current_leader_epoch: -1,
            ..Default::default()
        };
        let topic = m::list_offsets_request::ListOffsetsTopic {
            name: "t".into(),
            partitions: vec![asked(-1)],
        };
        sweep(
            &broker,
            &m::list_offsets_request::ListOffsetsRequest {
                replica_id: -1,
                topics: vec![topic],
                ..Default::default()
            },
        )
        .await;
        let topic = m::offset_for_leader_epoch_request::OffsetForLeaderTopic {
            topic: "t".into(),
            partitions: vec![m::offset_for_leader_epoch_request::OffsetForLeaderPartition {
                current_leader_epoch: -1,
                ..Default::default()
            }],
        };
        sweep(
            &broker,
            &m::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest {
                replica_id: -1,
                topics: vec![topic],
            },
        )
        .await;
        broker.server.stop().await.unwrap();
    });
}

#[test]
fn administrators_are_answered_in_every_version() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        sweep(&broker, &m::elect_leaders_request::ElectLeadersRequest::default()).await;
        sweep(
            &broker,
            &m::alter_partition_reassignments_request::AlterPartitionReassignmentsRequest::default(
            ),
        )
        .await;
        sweep(
            &broker,
            &m::list_partition_reassignments_request::ListPartitionReassignmentsRequest::default(),
        )
        .await;
        sweep(&broker, &m::alter_replica_log_dirs_request::AlterReplicaLogDirsRequest::default())
            .await;
        sweep(&broker, &m::update_features_request::UpdateFeaturesRequest::default()).await;
        sweep(&broker, &m::describe_client_quotas_request::DescribeClientQuotasRequest::default())
            .await;
        sweep(&broker, &m::alter_client_quotas_request::AlterClientQuotasRequest::default()).await;
        sweep(&broker, &m::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest::default()).await;
        sweep(
            &broker,
            &m::alter_user_scram_credentials_request::AlterUserScramCredentialsRequest::default(),
        )
        .await;
        sweep(&broker, &m::describe_acls_request::DescribeAclsRequest::default()).await;
        sweep(&broker, &m::create_acls_request::CreateAclsRequest::default()).await;
        sweep(&broker, &m::delete_acls_request::DeleteAclsRequest::default()).await;
        sweep(
            &broker,
            &m::create_delegation_token_request::CreateDelegationTokenRequest::default(),
        )
        .await;
        sweep(&broker, &m::renew_delegation_token_request::RenewDelegationTokenRequest::default())
            .await;
        sweep(
            &broker,
            &m::expire_delegation_token_request::ExpireDelegationTokenRequest::default(),
        )
        .await;
        sweep(
            &broker,
            &m::describe_delegation_token_request::DescribeDelegationTokenRequest::default(),
        )
        .await;
        sweep(&broker, &m::unregister_broker_request::UnregisterBrokerRequest::default()).await;
        sweep(&broker, &m::add_raft_voter_request::AddRaftVoterRequest::default()).await;
        sweep(&broker, &m::remove_raft_voter_request::RemoveRaftVoterRequest::default()).await;
        broker.server.stop().await.unwrap();
    });
}

#[test]
fn quotas_features_and_credentials_are_kept_over_a_restart() {
    use m::alter_client_quotas_request as quotas;
    use m::alter_user_scram_credentials_request as scram;
    use m::update_features_request as features;
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        let quota = quotas::AlterClientQuotasRequest {
            entries: vec![quotas::EntryData {
                entity: vec![quotas::EntityData {
                    entity_type: "user".into(),
                    entity_name: Some("a".into()),
                }],
                ops: vec![quotas::OpData {
                    key: "producer_byte_rate".into(),
                    value: 1e6,
                    remove: false,
                }],
            }],
            validate_only: false,
        };
        assert_eq!(client.call(&quota, 1).await.entries[0].error_code, 0);
        let user = |name: &str, iterations| scram::ScramCredentialUpsertion {
            name: name.into(),
            mechanism: 1,
            iterations,
            salt: "salt".into(),
            salted_password: "password".into(),
        };
        let users = scram::AlterUserScramCredentialsRequest {
            upsertions: vec![user("a", 4096), user("b", 1)],
            ..Default::default()
        };
        let codes: Vec<i16> =
            client.call(&users, 0).await.results.iter().map(|result| result.error_code).collect();
        assert_eq!(codes, [0, ErrorCode::UnacceptableCredential.code()]);
        let down = |kind| features::UpdateFeaturesRequest {
            feature_updates: vec![features::FeatureUpdateKey {
                feature: "group.version".into(),
                max_version_level: 0,
                upgrade_type: kind,
                ..Default::default()
            }],
            ..Default::default()
        };
        let told = client.call(&down(1), 2).await;
        assert_eq!(told.error_code, ErrorCode::InvalidUpdateVersion.code());
        assert_eq!(client.call(&down(2), 2).await.error_code, 0);

        drop(client);
        let broker = broker.restarted(|_| {}).await.unwrap();
        let mut client = broker.connect().await;
        let all = m::describe_client_quotas_request::DescribeClientQuotasRequest::default();
        let entries = client.call(&all, 1).await.entries.unwrap();
        assert_eq!((entries.len(), entries[0].values[0].value), (1, 1e6));
        let all =
            m::describe_user_scram_credentials_request::DescribeUserScramCredentialsRequest::default();
        let results = client.call(&all, 0).await.results;
        let told = (results[0].user.as_str(), results[0].credential_infos[0].iterations);
        assert_eq!((results.len(), told), (1, ("a", 4096)));
        let versions = ApiVersionsRequest {
            client_software_name: "test".into(),
            client_software_version: "1".into(),
            ..Default::default()
        };
        let features = client.call(&versions, 4).await.finalized_features;
        assert!(features.iter().all(|feature| feature.name != "group.version"));
    });
}

#[test]
fn snapshots_take_the_place_of_the_metadata_log() {
    run(async {
        let settings = [("metadata.log.max.record.bytes.between.snapshots", "1000")];
        let mut broker = TestBroker::start(&settings).await;
        let mut client = broker.connect().await;
        for number in 0..40 {
            let topic = m::create_topics_request::CreatableTopic {
                name: format!("t{number}"),
                num_partitions: 1,
                replication_factor: 1,
                ..Default::default()
            };
            let request = m::create_topics_request::CreateTopicsRequest {
                topics: vec![topic],
                ..Default::default()
            };
            assert_eq!(client.call(&request, 7).await.topics[0].error_code, 0);
        }
        drop(client);
        let snapshots = snapshots(broker.path());
        assert_eq!(snapshots.len(), 2, "{snapshots:?}");
        for _ in 0..2 {
            broker = broker.restarted(|_| {}).await.unwrap();
            let mut client = broker.connect().await;
            let all = MetadataRequest { topics: None, ..Default::default() };
            assert_eq!(client.call(&all, 12).await.topics.len(), 40);
        }
        let newest = snapshots.last().unwrap().clone();
        let refused = broker.restarted(|_| cut_short(&newest)).await.err().unwrap().to_string();
        assert!(refused.contains(&newest.display().to_string()), "{refused}");
    });
}

fn snapshots(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir.join("__cluster_metadata-0")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> =
        paths.filter(|path| path.extension().is_some_and(|kind| kind == "checkpoint")).collect();
    found.sort();
    found
}

fn cut_short(file: &Path) {
    let bytes = std::fs::read(file).unwrap();
    std::fs::write(file, &bytes[..bytes.len() - 5]).unwrap();
}

#[test]
fn api_versions_advertises_what_is_served_and_nothing_else() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        for version in 0..=4 {
            let request = ApiVersionsRequest {
                client_software_name: "test".into(),
                client_software_version: "1".into(),
                ..Default::default()
            };
            let response = client.call(&request, version).await;
            assert_eq!(response.error_code, 0);
            let told: Vec<ApiKey> = response
                .api_keys
                .iter()
                .map(|api| ApiKey::from_i16(api.api_key).unwrap())
                .collect();
            let served: Vec<ApiKey> =
                ApiKey::ALL.iter().copied().filter(|key| is_served(*key)).collect();
            assert_eq!(told, served);
        }
    });
}

#[test]
fn a_version_of_api_versions_from_the_future_is_answered_in_version_0() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.connect().await;
        // Version 99: the header is flexible, and nobody knows the body.
        client
            .stream
            .write_all(b"\0\0\0\x0f\0\x12\0\x63\0\0\0\x07\0\x01x\0\x05\x01\x02")
            .await
            .unwrap();
        let mut reader = Reader::new(client.frame().await.unwrap());
        assert_eq!(read_response_header(&mut reader, ApiKey::ApiVersions, 0).unwrap(), 7);
        let response = ApiVersionsResponse::decode(&mut reader, 0).unwrap();
        reader.expect_end().unwrap();
        assert_eq!(response.error_code, ErrorCode::UnsupportedVersion.code());
        assert_eq!(response.api_keys.len(), 1);
        assert_eq!((response.api_keys[0].min_version, response.api_keys[0].max_version), (0, 4));
        assert!(client.is_served().await);
    });
}

#[test]
fn metadata_creates_a_topic_only_where_that_is_allowed() {
    run(async {
        let broker = TestBroker::start(&[("num.partitions", "3")]).await;
        let mut client = broker.connect().await;
        let ask = |name: &str, allow: bool| MetadataRequest {
            topics: Some(vec![MetadataRequestTopic {
                name: Some(name.into()),
                ..Default::default()
            }]),
            allow_auto_topic_creation: allow,
            ..Default::default()
        };
        let response = client.call(&ask("new", false), 9).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
        // As in Kafka the first answer does not wait for the topic.
        let response = client.call(&ask("new", true), 9).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
        let response = client.call(&ask("new", true), 9).await;
        assert_eq!((response.topics[0].error_code, response.topics[0].partitions.len()), (0, 3));
        let response = client.call(&ask("not a name", true), 9).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::InvalidTopicException.code());
        let broker = TestBroker::start(&[("auto.create.topics.enable", "false")]).await;
        let mut client = broker.connect().await;
        let response = client.call(&ask("new", true), 9).await;
        assert_eq!(response.topics[0].error_code, ErrorCode::UnknownTopicOrPartition.code());
    });
}

#[test]
fn a_member_that_waits_for_others_is_answered_when_the_broker_stops() {
    run(async {
        let broker = TestBroker::start(&[("group.initial.rebalance.delay.ms", "3600000")]).await;
        let mut client = broker.connect().await;
        let find = m::find_coordinator_request::FindCoordinatorRequest {
            key: "g".into(),
            ..Default::default()
        };
        while client.call(&find, 2).await.error_code != 0 {}
        let protocol = m::join_group_request::JoinGroupRequestProtocol {
            name: "range".into(),
            ..Default::default()
        };
        let join = m::join_group_request::JoinGroupRequest {
            group_id: "g".into(),
            session_timeout_ms: 6_000,
            rebalance_timeout_ms: 3_600_000,
            protocol_type: "consumer".into(),
            protocols: vec![protocol],
            ..Default::default()
        };
        let id = client.send(&join, 3).await;
        let mut other = broker.connect().await;
        let describe = m::describe_groups_request::DescribeGroupsRequest {
            groups: vec!["g".into()],
            ..Default::default()
        };
        while other.call(&describe, 5).await.groups[0].group_state != "PreparingRebalance" {}
        broker.server.stop().await.unwrap();
        let answer = client.receive::<m::join_group_request::JoinGroupRequest>(3, id).await;
        assert_eq!(answer.error_code, ErrorCode::NotCoordinator.code());
        assert!(client.frame().await.is_none(), "and then the connection ends");
    });
}
