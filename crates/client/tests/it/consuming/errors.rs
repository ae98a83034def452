//! What a consumer makes of errors: nothing is lost, nothing comes twice, and what cannot pass is told.

use super::shelves::{Shelves, answered, refused};
use super::{consumer, failure, of, read};
use crate::fake::{FakeCluster, Reply, run};
use afluente_client::TopicPartition;
use afluente_client::consumer::{Consumer, ConsumerError, OffsetAndMetadata};
use afluente_client::deadline::until;
use afluente_client::{Deadline, Error};
use afluente_env::Env;
use afluente_env::rng::Rng;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::messages::fetch_response::{FetchResponse, LeaderIdAndEpoch};
use afluente_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
use afluente_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use std::time::Duration;

fn partition() -> TopicPartition {
    ("t", 0).into()
}

/// A consumer of partition 0.
fn assigned(cluster: &FakeCluster, properties: &[(&str, &str)]) -> Consumer {
    let consumer = consumer(cluster, properties);
    consumer.assign([("t", 0)]).unwrap();
    consumer
}

/// The next fetch is refused as a whole, or for each partition.
fn refuse_once(cluster: &FakeCluster, code: ErrorCode, is_whole: bool) {
    cluster.once::<FetchRequest>(move |request, _| {
        Reply::Answer(match is_whole {
            true => FetchResponse { error_code: code.code(), ..Default::default() },
            false => answered(&request, |asked| refused(asked, code)),
        })
    });
}

#[test]
fn what_may_pass_is_tried_again() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let shelves = Shelves::behind(&cluster, 1, 0);
        let consumer = assigned(&cluster, &[]);
        let mut read_so_far = 0;
        for (code, is_whole) in [
            (ErrorCode::NotLeaderOrFollower, false),
            (ErrorCode::LeaderNotAvailable, false),
            (ErrorCode::UnknownTopicOrPartition, false),
            (ErrorCode::UnknownTopicId, false),
            (ErrorCode::InconsistentTopicId, false),
            (ErrorCode::FencedLeaderEpoch, false),
            (ErrorCode::UnknownLeaderEpoch, false),
            (ErrorCode::OffsetNotAvailable, false),
            (ErrorCode::KafkaStorageError, false),
            (ErrorCode::ReplicaNotAvailable, false),
            (ErrorCode::UnknownServerError, false),
            (ErrorCode::FetchSessionIdNotFound, true),
            (ErrorCode::InvalidFetchSessionEpoch, true),
            (ErrorCode::FetchSessionTopicIdError, true),
            (ErrorCode::KafkaStorageError, true),
        ] {
            refuse_once(&cluster, code, is_whole);
            shelves.change(0, |shelf| shelf.epochs.extend([0; 25]));
            assert_eq!(read(&consumer, 25).await, of(0, read_so_far..read_so_far + 25), "{code}");
            read_so_far += 25;
        }
    });
}

#[test]
fn what_cannot_pass_is_told_once_and_then_reading_goes_on() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let _shelves = Shelves::behind(&cluster, 1, 10);
        let consumer = assigned(&cluster, &[]);
        refuse_once(&cluster, ErrorCode::TopicAuthorizationFailed, false);
        let error = failure(&consumer).await;
        assert_eq!(error.error_code(), Some(ErrorCode::TopicAuthorizationFailed), "{error}");
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
    });
}

#[test]
fn a_leader_is_followed_that_an_answer_names() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let shelves = Shelves::behind(&cluster, 1, 30);
        let consumer = assigned(&cluster, &[]);
        assert_eq!(read(&consumer, 30).await, of(0, 0..30));
        let asked = cluster.seen(ApiKey::Metadata).len();
        cluster.move_leader("t", 0, 2);
        shelves.change(0, |shelf| shelf.epochs.extend([1; 10]));
        cluster.once::<FetchRequest>(|request, _| {
            Reply::Answer(answered(&request, |asked| {
                let mut data = refused(asked, ErrorCode::NotLeaderOrFollower);
                data.current_leader = LeaderIdAndEpoch { leader_id: 2, leader_epoch: 1 };
                data
            }))
        });
        assert_eq!(read(&consumer, 10).await, of(0, 30..40));
        assert_eq!(cluster.seen(ApiKey::Metadata).len(), asked, "nobody had to be asked (KIP-951)");
        assert!(!cluster.seen(ApiKey::OffsetForLeaderEpoch).is_empty(), "the position was checked");
    });
}

#[test]
fn a_leader_that_came_while_another_was_asked_is_asked_too() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let _shelves = Shelves::behind(&cluster, 1, 30);
        let consumer = assigned(&cluster, &[("metadata.max.age.ms", "20")]);
        assert_eq!(read(&consumer, 30).await, of(0, 0..30));
        let moving = cluster.clone();
        cluster.once::<OffsetForLeaderEpochRequest>(move |_, _| {
            // While the answer of epoch 1 is on its way, epoch 2 begins, and metadata tells of it.
            moving.move_leader("t", 0, 1);
            let answer = OffsetForLeaderTopicResult {
                topic: "t".into(),
                partitions: vec![EpochEndOffset {
                    leader_epoch: 0,
                    end_offset: 30,
                    ..Default::default()
                }],
            };
            let answer =
                OffsetForLeaderEpochResponse { topics: vec![answer], ..Default::default() };
            Reply::After(Duration::from_millis(200), answer)
        });
        cluster.move_leader("t", 0, 2);
        let is_asked = |epoch: i32| {
            cluster.seen(ApiKey::OffsetForLeaderEpoch).iter().any(|seen| {
                let request: OffsetForLeaderEpochRequest = seen.request();
                request.topics[0].partitions[0].current_leader_epoch == epoch
            })
        };
        while !is_asked(2) {
            consumer.poll(Duration::from_millis(5)).await.unwrap();
        }
        assert!(is_asked(1));
    });
}

#[test]
fn a_position_outside_of_the_log_is_reset_or_told() {
    run(async {
        for (reset, expected) in [("earliest", Some(20)), ("latest", Some(40)), ("none", None)] {
            let cluster = FakeCluster::start(1).await;
            let shelves = Shelves::behind(&cluster, 1, 40);
            shelves.change(0, |shelf| shelf.start = 20);
            let consumer = assigned(&cluster, &[("auto.offset.reset", reset)]);
            consumer.seek(&partition(), 3).unwrap();
            match expected {
                Some(offset) => {
                    let clock = Env::real().clock;
                    while consumer.position(&partition()).await.unwrap() < offset {
                        clock.sleep(Duration::from_millis(1)).await;
                    }
                    shelves.change(0, |shelf| shelf.epochs.extend([0; 5]));
                    let count = usize::try_from(45 - offset).unwrap();
                    assert_eq!(read(&consumer, count).await, of(0, offset..45));
                }
                None => {
                    let error = failure(&consumer).await;
                    assert!(
                        matches!(error, ConsumerError::OffsetOutOfRange { offset: 3, .. }),
                        "{error}"
                    );
                    consumer.seek(&partition(), 30).unwrap();
                    assert_eq!(read(&consumer, 10).await, of(0, 30..40));
                }
            }
        }
    });
}

#[test]
fn a_log_that_was_cut_off_is_read_from_where_it_parts() {
    run(async {
        for reset in ["earliest", "none"] {
            let cluster = FakeCluster::start(2).await;
            let shelves = Shelves::behind(&cluster, 1, 30);
            let consumer = assigned(&cluster, &[("auto.offset.reset", reset)]);
            consumer.seek(&partition(), 0).unwrap();
            assert_eq!(read(&consumer, 30).await, of(0, 0..30));
            // The new leader never had the last ten, and has appended twenty others since.
            shelves.change(0, |shelf| {
                shelf.epochs.truncate(20);
                shelf.epochs.extend([1; 20]);
            });
            cluster.move_leader("t", 0, 2);
            if reset == "earliest" {
                assert_eq!(read(&consumer, 20).await, of(0, 20..40));
                continue;
            }
            let error = failure(&consumer).await;
            assert!(
                matches!(
                    error,
                    ConsumerError::LogTruncated { offset: 30, diverges_at: Some(20), .. }
                ),
                "{error}"
            );
            let to = OffsetAndMetadata { leader_epoch: 0, ..OffsetAndMetadata::from(20) };
            consumer.seek_to(&partition(), &to).unwrap();
            assert_eq!(read(&consumer, 20).await, of(0, 20..40));
        }
    });
}

#[test]
fn a_batch_that_is_not_sound_is_told_and_can_be_passed_by_seeking() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let shelves = Shelves::behind(&cluster, 1, 30);
        shelves.change(0, |shelf| shelf.spoilt = Some(10));
        let consumer = assigned(&cluster, &[]);
        assert_eq!(read(&consumer, 10).await, of(0, 0..10));
        let error = failure(&consumer).await;
        assert!(matches!(error, ConsumerError::UnreadableRecords { offset: 10, .. }), "{error}");
        let again = failure(&consumer).await;
        assert!(matches!(again, ConsumerError::UnreadableRecords { offset: 10, .. }), "{again}");
        consumer.seek(&partition(), 20).unwrap();
        assert_eq!(read(&consumer, 10).await, of(0, 20..30));
    });
}

#[test]
fn a_near_replica_is_read_when_the_leader_names_it_and_left_when_it_fails() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        let shelves = Shelves::behind(&cluster, 1, 20);
        cluster.once::<FetchRequest>(|request, _| {
            Reply::Answer(answered(&request, |asked| {
                let mut data = refused(asked, ErrorCode::None);
                data.preferred_read_replica = 2;
                data
            }))
        });
        let near = shelves.clone();
        let fake = cluster.clone();
        cluster.once::<FetchRequest>(move |request, seen| {
            assert_eq!(seen.broker, 2, "the replica is asked");
            // It answers as the leader would.
            let mut seen = seen.clone();
            seen.broker = 1;
            Reply::Answer(near.fetch(&fake, &request, &seen))
        });
        let consumer = assigned(&cluster, &[("client.rack", "r")]);
        // From the replica first; it says then that it is none, and the leader goes on.
        assert_eq!(read(&consumer, 20).await, of(0, 0..20));
        let brokers: Vec<i32> =
            cluster.seen(ApiKey::Fetch).iter().map(|seen| seen.broker).collect();
        assert_eq!(brokers[..2], [1, 2]);
        shelves.change(0, |shelf| shelf.epochs.extend([0; 10]));
        assert_eq!(read(&consumer, 10).await, of(0, 20..30));
        assert_eq!(cluster.seen(ApiKey::Fetch).last().unwrap().broker, 1);
    });
}

#[test]
fn what_is_fetched_ahead_is_bounded() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let shelves = Shelves::behind(&cluster, 1, 1_000);
        let consumer = assigned(&cluster, &[("fetch.max.bytes", "600"), ("max.poll.records", "1")]);
        assert_eq!(read(&consumer, 1).await, of(0, 0..1));
        // As long as nobody polls, nothing is fetched beyond the bound.
        let fetched = || {
            let seen = cluster.seen(ApiKey::Fetch).pop().unwrap();
            seen.request::<FetchRequest>().topics[0].partitions[0].fetch_offset
        };
        Env::real().clock.sleep(Duration::from_millis(50)).await;
        assert!(fetched() <= 60, "fetched from {}", fetched());
        assert_eq!(read(&consumer, 999).await, of(0, 1..1_000));
        drop(shelves);
    });
}

#[test]
fn a_poll_that_is_dropped_loses_nothing() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let _shelves = Shelves::behind(&cluster, 1, 500);
        let consumer = assigned(&cluster, &[("max.poll.records", "7")]);
        let (clock, rng) = (Env::real().clock, Rng::seeded(7));
        let mut values = Vec::new();
        while values.len() < 500 {
            let patience = Duration::from_micros(rng.range(0..300));
            let deadline = Deadline::after(&clock, patience);
            let poll = consumer.poll(Duration::from_secs(5));
            // Dropped where it waits, and taken where it is done.
            if let Some(records) = until(&clock, deadline, poll).await {
                let text = |value: &[u8]| String::from_utf8(value.to_vec()).unwrap();
                values.extend(records.unwrap().iter().map(|record| text(record.value.unwrap())));
            }
        }
        let expected: Vec<String> = (0..500).map(|number: i64| number.to_string()).collect();
        assert_eq!(values, expected);
    });
}

#[test]
fn chaos_loses_nothing_doubles_nothing_and_keeps_the_order() {
    const PARTITIONS: usize = 3;
    const RECORDS: i64 = 600;
    run(async {
        for seed in 0..4 {
            let cluster = FakeCluster::start(3).await;
            let shelves = Shelves::behind(&cluster, PARTITIONS, RECORDS as usize);
            let rng = Rng::seeded(seed);
            let (fake, sound, dice) = (cluster.clone(), shelves.clone(), rng.fork());
            cluster.on::<FetchRequest>(move |request, seen| {
                let codes = [
                    ErrorCode::NotLeaderOrFollower,
                    ErrorCode::UnknownLeaderEpoch,
                    ErrorCode::KafkaStorageError,
                    ErrorCode::OffsetNotAvailable,
                ];
                match dice.range(0..12) {
                    0 => Reply::Close,
                    1 => Reply::Answer(answered(&request, |asked| {
                        refused(asked, codes[dice.index(codes.len())])
                    })),
                    2 => Reply::Answer(FetchResponse {
                        error_code: ErrorCode::FetchSessionIdNotFound.code(),
                        ..Default::default()
                    }),
                    3 => Reply::AnswerAndClose(sound.fetch(&fake, &request, seen)),
                    _ => Reply::Answer(sound.fetch(&fake, &request, seen)),
                }
            });
            let consumer = consumer(&cluster, &[("max.poll.records", "37")]);
            consumer.assign((0..3).map(|partition| ("t", partition))).unwrap();
            let mut by_partition: Vec<Vec<String>> = vec![Vec::new(); PARTITIONS];
            let count = RECORDS as usize * PARTITIONS;
            while by_partition.iter().map(Vec::len).sum::<usize>() < count {
                match rng.range(0..30) {
                    0 => {
                        let to = i32::try_from(rng.range(1..4)).unwrap();
                        cluster.move_leader("t", rng.index(PARTITIONS), to);
                    }
                    1 => cluster.cut(i32::try_from(rng.range(1..4)).unwrap()),
                    _ => {}
                }
                let records = consumer.poll(Duration::from_millis(5)).await.unwrap();
                for record in records.iter() {
                    let value = std::str::from_utf8(record.value.unwrap()).unwrap();
                    let partition = usize::try_from(record.partition).unwrap();
                    by_partition[partition].push(value.to_owned());
                }
            }
            let expected: Vec<String> = (0..RECORDS).map(|number| number.to_string()).collect();
            for values in by_partition {
                assert_eq!(values, expected, "seed {seed}");
            }
        }
    });
}

#[test]
fn who_is_not_let_in_is_told_by_the_poll() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        let _shelves = Shelves::behind(&cluster, 1, 1);
        cluster.offer(ApiKey::SaslHandshake, None);
        let properties = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            ("sasl.username", "u"),
            ("sasl.password", "p"),
        ];
        let error = failure(&assigned(&cluster, &properties)).await;
        assert!(
            matches!(error, ConsumerError::Client(Error::UnsupportedVersion { .. })),
            "{error}"
        );
    });
}
