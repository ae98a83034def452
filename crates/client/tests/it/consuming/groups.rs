//! A member of a group, and a coordinator that says what a test wants.

use super::shelves::Shelves;
use super::{consumer, of, read};
use crate::fake::{FakeCluster, Reply, eventually, run};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerError, RebalanceListener, Told};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequest;
use afluente_protocol::messages::consumer_group_heartbeat_response::{
    Assignment, ConsumerGroupHeartbeatResponse, TopicPartitions,
};
use afluente_protocol::messages::heartbeat_request::HeartbeatRequest;
use afluente_protocol::messages::heartbeat_response::HeartbeatResponse;
use afluente_protocol::messages::join_group_request::JoinGroupRequest;
use afluente_protocol::messages::join_group_response::{
    JoinGroupResponse, JoinGroupResponseMember,
};
use afluente_protocol::messages::leave_group_request::LeaveGroupRequest;
use afluente_protocol::messages::leave_group_response::LeaveGroupResponse;
use afluente_protocol::messages::offset_commit_request::OffsetCommitRequest;
use afluente_protocol::messages::offset_commit_response::{
    OffsetCommitResponse, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};
use afluente_protocol::messages::offset_fetch_request::OffsetFetchRequest;
use afluente_protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopics,
};
use afluente_protocol::messages::sync_group_request::SyncGroupRequest;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;
use afluente_protocol::uuid::Uuid;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A coordinator of groups with one member each, or with one more that only has a name. Cheap to
/// clone.
#[derive(Clone, Default)]
struct Coordinator(Arc<Mutex<Group>>);

#[derive(Default)]
struct Group {
    generation: i32,
    /// Named by the answer to the leader, which is always `m`.
    other: Option<String>,
    committed: BTreeMap<(String, i32), i64>,
}

impl Coordinator {
    fn behind(cluster: &FakeCluster) -> Self {
        let coordinator = Self::default();
        let group = Arc::clone(&coordinator.0);
        cluster.on::<JoinGroupRequest>(move |request, _| {
            if request.member_id.is_empty() {
                return Reply::Answer(JoinGroupResponse {
                    error_code: ErrorCode::MemberIdRequired.code(),
                    member_id: "m".into(),
                    ..Default::default()
                });
            }
            let mut group = group.lock();
            group.generation += 1;
            let protocol = &request.protocols[0];
            Reply::Answer(JoinGroupResponse {
                generation_id: group.generation,
                protocol_type: Some(request.protocol_type.clone()),
                protocol_name: Some(protocol.name.clone()),
                leader: "m".into(),
                member_id: "m".into(),
                members: std::iter::once("m".to_owned())
                    .chain(group.other.clone())
                    .map(|member_id| JoinGroupResponseMember {
                        member_id,
                        group_instance_id: None,
                        metadata: protocol.metadata.clone(),
                    })
                    .collect(),
                ..Default::default()
            })
        });
        cluster.on::<SyncGroupRequest>(|request, _| {
            let own = request.assignments.iter().find(|of| of.member_id == request.member_id);
            Reply::Answer(SyncGroupResponse {
                assignment: own.unwrap().assignment.clone(),
                protocol_type: request.protocol_type,
                protocol_name: request.protocol_name,
                ..Default::default()
            })
        });
        cluster.on::<HeartbeatRequest>(|_, _| Reply::Answer(HeartbeatResponse::default()));
        cluster.on::<LeaveGroupRequest>(|_, _| Reply::Answer(LeaveGroupResponse::default()));
        let group = Arc::clone(&coordinator.0);
        cluster.on::<OffsetCommitRequest>(move |request, _| {
            for topic in &request.topics {
                for partition in &topic.partitions {
                    let key = (topic.name.clone(), partition.partition_index);
                    group.lock().committed.insert(key, partition.committed_offset);
                }
            }
            Reply::Answer(committed(&request, ErrorCode::None))
        });
        let group = Arc::clone(&coordinator.0);
        cluster.on::<OffsetFetchRequest>(move |request, _| {
            let group = group.lock();
            let of_group = |asked: &afluente_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup| {
                let topics = asked.topics.iter().flatten().map(|topic| OffsetFetchResponseTopics {
                    name: topic.name.clone(),
                    topic_id: topic.topic_id,
                    partitions: topic
                        .partition_indexes
                        .iter()
                        .map(|&index| OffsetFetchResponsePartitions {
                            partition_index: index,
                            committed_offset: *group
                                .committed
                                .get(&(topic.name.clone(), index))
                                .unwrap_or(&-1),
                            committed_leader_epoch: -1,
                            ..Default::default()
                        })
                        .collect(),
                });
                OffsetFetchResponseGroup {
                    group_id: asked.group_id.clone(),
                    topics: topics.collect(),
                    ..Default::default()
                }
            };
            let groups = request.groups.iter().map(of_group).collect();
            Reply::Answer(OffsetFetchResponse { groups, ..Default::default() })
        });
        // Names of topics, which are easier on the eye than ids.
        cluster.offer(ApiKey::OffsetFetch, Some((8, 9)));
        cluster.offer(ApiKey::OffsetCommit, Some((2, 9)));
        coordinator
    }

    fn committed(&self, partition: i32) -> Option<i64> {
        self.0.lock().committed.get(&("t".to_owned(), partition)).copied()
    }

    fn generation(&self) -> i32 {
        self.0.lock().generation
    }
}

/// An answer with the same code for each partition.
fn committed(request: &OffsetCommitRequest, code: ErrorCode) -> OffsetCommitResponse {
    let topics = request.topics.iter().map(|topic| OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
            })
            .collect(),
    });
    OffsetCommitResponse { topics: topics.collect(), ..Default::default() }
}

fn refuse_commit(cluster: &FakeCluster, code: ErrorCode) {
    cluster.once::<OffsetCommitRequest>(move |request, _| Reply::Answer(committed(&request, code)));
}

const GROUP: &[(&str, &str)] = &[
    ("group.id", "g"),
    ("enable.auto.commit", "false"),
    ("heartbeat.interval.ms", "5"),
    ("partition.assignment.strategy", "range"),
];

#[test]
fn a_commit_is_tried_again_where_that_helps_and_fails_where_the_member_is_out() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let _shelves = Shelves::behind(&cluster, 1, 10);
        let coordinator = Coordinator::behind(&cluster);
        let consumer = consumer(&cluster, GROUP);
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
        for code in [
            ErrorCode::CoordinatorLoadInProgress,
            ErrorCode::CoordinatorNotAvailable,
            ErrorCode::NotCoordinator,
            ErrorCode::RequestTimedOut,
            ErrorCode::UnknownTopicOrPartition,
        ] {
            refuse_commit(&cluster, code);
        }
        consumer.commit_sync().await.unwrap();
        assert_eq!(coordinator.committed(0), Some(10));
        refuse_commit(&cluster, ErrorCode::GroupAuthorizationFailed);
        let error = consumer.commit_sync().await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::GroupAuthorizationFailed), "{error}");
        refuse_commit(&cluster, ErrorCode::IllegalGeneration);
        let error = consumer.commit_sync().await.unwrap_err();
        assert!(matches!(error, ConsumerError::CommitFailed { .. }), "{error}");
        consumer.close(Duration::from_secs(10)).await.unwrap();
        assert_eq!(cluster.seen(ApiKey::LeaveGroup).len(), 1);
    });
}

/// What a listener was told.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Diary {
    fn note<'a>(&self, what: &str, partitions: &[TopicPartition]) -> Told<'a> {
        let numbers: Vec<i32> = partitions.iter().map(|one| one.partition).collect();
        self.0.lock().push(format!("{what} {numbers:?}"));
        Box::pin(std::future::ready(()))
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }
}

impl RebalanceListener for Diary {
    fn revoked<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        self.note("revoked", partitions)
    }

    fn lost<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        self.note("lost", partitions)
    }

    fn assigned<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        self.note("assigned", partitions)
    }
}

#[test]
fn a_member_joins_again_when_heartbeats_say_so_and_loses_what_it_had_when_it_is_unknown() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let shelves = Shelves::behind(&cluster, 2, 10);
        let coordinator = Coordinator::behind(&cluster);
        let consumer = consumer(&cluster, GROUP);
        let diary = Arc::new(Diary::default());
        consumer.subscribe_with(["t"], Arc::clone(&diary) as Arc<dyn RebalanceListener>).unwrap();
        read(&consumer, 20).await;
        consumer.commit_sync().await.unwrap();
        assert_eq!(diary.take(), ["assigned [0, 1]"]);
        for (code, expected) in [
            (ErrorCode::RebalanceInProgress, ["revoked [0, 1]", "assigned [0, 1]"]),
            (ErrorCode::UnknownMemberId, ["lost [0, 1]", "assigned [0, 1]"]),
            (ErrorCode::IllegalGeneration, ["lost [0, 1]", "assigned [0, 1]"]),
        ] {
            let generation = coordinator.generation();
            cluster.once::<HeartbeatRequest>(move |_, _| {
                Reply::Answer(HeartbeatResponse { error_code: code.code(), ..Default::default() })
            });
            while coordinator.generation() == generation || diary.0.lock().len() < 2 {
                let records = consumer.poll(Duration::from_millis(5)).await.unwrap();
                assert!(records.is_empty(), "committed records do not come again");
            }
            assert_eq!(diary.take(), expected, "{code}");
        }
        // It reads on behind all this.
        shelves.change(0, |shelf| shelf.epochs.extend([0; 5]));
        assert_eq!(read(&consumer, 5).await, of(0, 10..15));
        consumer.close(Duration::from_secs(10)).await.unwrap();
        assert_eq!(diary.take(), ["revoked [0, 1]"]);
    });
}

#[test]
fn a_leader_sees_new_partitions_of_topics_that_are_others_to_read() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let _shelves = Shelves::behind(&cluster, 1, 10);
        cluster.create_topic("u", 1);
        let coordinator = Coordinator::behind(&cluster);
        coordinator.0.lock().other = Some("n".to_owned());
        let mut properties = GROUP.to_vec();
        properties[3].1 = "roundrobin";
        properties.push(("metadata.max.age.ms", "20"));
        let consumer = consumer(&cluster, &properties);
        consumer.subscribe(["t", "u"]).unwrap();
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
        assert_eq!(consumer.assignment(), [TopicPartition::new("t", 0)].into());
        cluster.change_topic("u", |topic| topic.as_mut().unwrap().leaders.push((1, 0)));
        while coordinator.generation() == 1 {
            consumer.poll(Duration::from_millis(5)).await.unwrap();
        }
    });
}

#[test]
fn offsets_are_committed_by_themselves_and_when_the_consumer_is_closed() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let shelves = Shelves::behind(&cluster, 1, 10);
        let coordinator = Coordinator::behind(&cluster);
        let mut properties = GROUP.to_vec();
        properties[1] = ("enable.auto.commit", "true");
        properties.push(("auto.commit.interval.ms", "5"));
        let consumer = consumer(&cluster, &properties);
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
        while coordinator.committed(0) != Some(10) {
            consumer.poll(Duration::from_millis(5)).await.unwrap();
        }
        shelves.change(0, |shelf| shelf.epochs.extend([0; 5]));
        assert_eq!(read(&consumer, 5).await, of(0, 10..15));
        consumer.close(Duration::from_secs(10)).await.unwrap();
        assert_eq!(coordinator.committed(0), Some(15));
    });
}

#[test]
fn a_coordinator_that_moves_is_found_again() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let _shelves = Shelves::behind(&cluster, 1, 10);
        let coordinator = Coordinator::behind(&cluster);
        let consumer = consumer(&cluster, GROUP);
        consumer.subscribe(["t"]).unwrap();
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
        cluster.set_coordinator(2);
        cluster.once::<HeartbeatRequest>(|_, _| {
            let error_code = ErrorCode::NotCoordinator.code();
            Reply::Answer(HeartbeatResponse { error_code, ..Default::default() })
        });
        let beats = || cluster.seen(ApiKey::Heartbeat).iter().any(|seen| seen.broker == 2);
        eventually(beats).await;
        consumer.commit_sync().await.unwrap();
        assert_eq!(cluster.seen(ApiKey::OffsetCommit).pop().unwrap().broker, 2);
        assert_eq!((coordinator.generation(), coordinator.committed(0)), (1, Some(10)));
    });
}

/// A coordinator of groups of the consumer protocol (KIP-848) with one member, which has partition 0
/// of this topic from the answer to its joining on.
fn coordinate_by_heartbeats(cluster: &FakeCluster, id: Uuid) {
    cluster.on::<ConsumerGroupHeartbeatRequest>(move |request, _| {
        let joins = request.member_epoch == 0;
        let assignment = Assignment {
            topic_partitions: vec![TopicPartitions { topic_id: id, partitions: vec![0] }],
        };
        Reply::Answer(ConsumerGroupHeartbeatResponse {
            member_id: Some(request.member_id),
            member_epoch: if joins { 1 } else { request.member_epoch },
            heartbeat_interval_ms: 5,
            assignment: joins.then_some(assignment),
            ..Default::default()
        })
    });
}

#[test]
fn a_program_that_unsubscribes_and_subscribes_again_at_once_reads_on() {
    for protocol in ["classic", "consumer"] {
        run(async move {
            let cluster = FakeCluster::start(1).await;
            let shelves = Shelves::behind(&cluster, 1, 10);
            let coordinator = Coordinator::behind(&cluster);
            coordinate_by_heartbeats(&cluster, cluster.topic_id("t"));
            let properties = [
                ("group.id", "g"),
                ("enable.auto.commit", "true"),
                ("auto.commit.interval.ms", "100000"),
                ("group.protocol", protocol),
            ];
            let consumer = consumer(&cluster, &properties);
            consumer.subscribe(["t"]).unwrap();
            assert_eq!(read(&consumer, 10).await, of(0, 0..10), "{protocol}");
            for round in 0..5 {
                consumer.unsubscribe().await.unwrap();
                consumer.subscribe(["t"]).unwrap();
                let from = 10 + round * 5;
                assert_eq!(coordinator.committed(0), Some(from), "{protocol}");
                shelves.change(0, |shelf| shelf.epochs.extend([0; 5]));
                assert_eq!(read(&consumer, 5).await, of(0, from..from + 5), "{protocol}");
            }
            consumer.close(Duration::from_secs(10)).await.unwrap();
        });
    }
}

#[test]
fn a_topic_that_nobody_knows_and_metadata_that_is_always_too_old_make_no_storm_of_requests() {
    for (protocol, is_known) in [("classic", true), ("consumer", true), ("consumer", false)] {
        run(async move {
            let cluster = FakeCluster::start(1).await;
            let _shelves = Shelves::behind(&cluster, 1, 10);
            let _coordinator = Coordinator::behind(&cluster);
            let id =
                if is_known { cluster.topic_id("t") } else { Uuid::from_random_bytes([7; 16]) };
            coordinate_by_heartbeats(&cluster, id);
            let properties = [
                ("group.id", "g"),
                ("group.protocol", protocol),
                ("enable.auto.commit", "false"),
                ("metadata.max.age.ms", if is_known { "0" } else { "100000" }),
                ("retry.backoff.ms", "50"),
                ("retry.backoff.max.ms", "50"),
                // So that a fetch is as good as a clock.
                ("fetch.max.wait.ms", "1"),
            ];
            let consumer = consumer(&cluster, &properties);
            consumer.subscribe(["t"]).unwrap();
            let beats = match protocol {
                "classic" => ApiKey::Fetch,
                _ => ApiKey::ConsumerGroupHeartbeat,
            };
            while cluster.seen(beats).len() < 60 {
                consumer.poll(Duration::from_millis(1)).await.unwrap();
            }
            let asked = cluster.seen(ApiKey::Metadata).len();
            assert!(asked < 40, "{protocol}, {is_known}: {asked} requests");
        });
    }
}
