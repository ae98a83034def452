//! What the admin client makes of answers, and where its requests go.

use crate::fake::{FakeCluster, Reply, run};
use afluente_client::admin::groups::CommittedOffset;
use afluente_client::admin::offsets::{IsolationLevel, OffsetSpec};
use afluente_client::admin::topics::NewTopic;
use afluente_client::{Admin, TopicPartition};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::create_topics_request::CreateTopicsRequest;
use afluente_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponse,
};
use afluente_protocol::messages::describe_groups_request::DescribeGroupsRequest;
use afluente_protocol::messages::describe_groups_response::{
    DescribeGroupsResponse, DescribedGroup,
};
use afluente_protocol::messages::list_offsets_request::ListOffsetsRequest;
use afluente_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use afluente_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use afluente_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};

fn offsets(
    request: &ListOffsetsRequest,
    of: impl Fn(i32) -> (ErrorCode, i64),
) -> ListOffsetsResponse {
    let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
        name: topic.name.clone(),
        partitions: topic
            .partitions
            .iter()
            .map(|partition| {
                let (error, offset) = of(partition.partition_index);
                ListOffsetsPartitionResponse {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                    offset,
                    ..Default::default()
                }
            })
            .collect(),
    });
    ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
}

#[test]
fn each_thing_has_a_result_of_its_own() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.on::<CreateTopicsRequest>(|request, _| {
            let topics = request.topics.into_iter().map(|topic| CreatableTopicResult {
                error_code: if topic.name == "b" { 36 } else { 0 },
                error_message: (topic.name == "b").then(|| "Topic 'b' already exists.".into()),
                num_partitions: topic.num_partitions,
                replication_factor: 1,
                name: topic.name,
                ..Default::default()
            });
            Reply::Answer(CreateTopicsResponse { topics: topics.collect(), ..Default::default() })
        });
        let admin = Admin::new(cluster.client(&[]));
        let topics = ["a", "b"].map(|name| NewTopic::new(name, 3, 1));
        let results = admin.create_topics(topics).await.unwrap();
        assert_eq!(results["a"].as_ref().unwrap().partitions, Some(3));
        let error = results["b"].as_ref().unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::TopicAlreadyExists));
        assert!(error.to_string().contains("Topic 'b' already exists."), "{error}");
        assert_eq!(cluster.seen(ApiKey::CreateTopics)[0].broker, 1, "the controller");
    });
}

#[test]
fn partitions_are_asked_at_their_leaders_and_again_where_these_moved() {
    run(async {
        let cluster = FakeCluster::start(3).await;
        cluster.create_topic("t", 3);
        cluster.once::<ListOffsetsRequest>({
            let cluster = cluster.clone();
            move |request, _| {
                // The first broker that is asked has lost its partition to broker 3.
                let moved = request.topics[0].partitions[0].partition_index;
                cluster.move_leader("t", usize::try_from(moved).unwrap(), 3);
                Reply::Answer(offsets(&request, |_| (ErrorCode::NotLeaderOrFollower, -1)))
            }
        });
        cluster.on::<ListOffsetsRequest>(|request, _| {
            Reply::Answer(offsets(&request, |index| (ErrorCode::None, i64::from(index) * 10)))
        });
        let admin = Admin::new(cluster.client(&[]));
        let asked = (0..4).map(|index| (TopicPartition::new("t", index), OffsetSpec::Latest));
        let admin = admin.with_timeout(std::time::Duration::from_millis(300));
        let results = admin.list_offsets(asked, IsolationLevel::ReadUncommitted).await.unwrap();
        for index in 0..3 {
            let found = results[&TopicPartition::new("t", index)].as_ref().unwrap();
            assert_eq!(found.offset, i64::from(index) * 10);
        }
        let error = results[&TopicPartition::new("t", 3)].as_ref().unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::UnknownTopicOrPartition));
        let brokers: Vec<i32> =
            cluster.seen(ApiKey::ListOffsets).iter().map(|seen| seen.broker).collect();
        assert_eq!(brokers[..4], [1, 2, 3, 3], "{brokers:?}");
    });
}

#[test]
fn a_group_of_the_classic_protocol_is_found_on_brokers_of_every_age() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.set_coordinator(2);
        cluster.offer(ApiKey::ConsumerGroupDescribe, None);
        cluster.on::<DescribeGroupsRequest>(|request, _| {
            Reply::Answer(DescribeGroupsResponse {
                groups: vec![DescribedGroup {
                    group_id: request.groups[0].clone(),
                    group_state: "Stable".into(),
                    protocol_type: "consumer".into(),
                    protocol_data: "range".into(),
                    ..Default::default()
                }],
                ..Default::default()
            })
        });
        let admin = Admin::new(cluster.client(&[]));
        let groups = admin.describe_groups(["g"]).await.unwrap();
        let group = groups["g"].as_ref().unwrap();
        assert_eq!((group.assignor.as_str(), group.coordinator), ("range", Some(2)));
    });
}

#[test]
fn committed_offsets_are_read_in_old_and_new_versions() {
    run(async {
        for last in [7, 9] {
            let cluster = FakeCluster::start(1).await;
            cluster.offer(ApiKey::OffsetFetch, Some((1, last)));
            cluster.on::<OffsetFetchRequest>(|request, seen| {
                let metadata = Some("m".into());
                Reply::Answer(if seen.version >= 8 {
                    assert_eq!(request.groups[0].topics, None);
                    let partition = OffsetFetchResponsePartitions {
                        partition_index: 1,
                        committed_offset: 7,
                        metadata,
                        ..Default::default()
                    };
                    let topic = OffsetFetchResponseTopics {
                        name: "t".into(),
                        partitions: vec![partition],
                        ..Default::default()
                    };
                    let group = OffsetFetchResponseGroup {
                        group_id: request.groups[0].group_id.clone(),
                        topics: vec![topic],
                        error_code: 0,
                    };
                    OffsetFetchResponse { groups: vec![group], ..Default::default() }
                } else {
                    assert_eq!((request.group_id.as_str(), request.topics), ("g", None));
                    let partition = OffsetFetchResponsePartition {
                        partition_index: 1,
                        committed_offset: 7,
                        metadata,
                        ..Default::default()
                    };
                    let topic =
                        OffsetFetchResponseTopic { name: "t".into(), partitions: vec![partition] };
                    OffsetFetchResponse { topics: vec![topic], ..Default::default() }
                })
            });
            let admin = Admin::new(cluster.client(&[]));
            let offsets = admin.committed_offsets("g").await.unwrap();
            let expected = CommittedOffset { offset: 7, leader_epoch: -1, metadata: "m".into() };
            assert_eq!(offsets[&TopicPartition::new("t", 1)], expected);
        }
    });
}
