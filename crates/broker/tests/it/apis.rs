//! What is true of every API.

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
