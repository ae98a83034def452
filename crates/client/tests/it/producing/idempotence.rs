//! Nothing twice, nothing lost, nothing out of order.

use super::logs::{Logs, refuse};
use super::{producer, send};
use crate::fake::{FakeCluster, Reply, run};
use afluente_client::producer::Record;
use afluente_env::rng::Rng;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use afluente_protocol::messages::produce_request::ProduceRequest;
use std::time::Duration;

#[test]
fn what_was_written_but_not_acknowledged_is_not_written_again() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        let producer = producer(&cluster, &[]);
        send(&producer, 0, "a").await.await.unwrap();
        let appending = logs.clone();
        cluster.once::<ProduceRequest>(move |request, _| {
            appending.append(&request);
            Reply::Close
        });
        assert_eq!(send(&producer, 0, "b").await.await.unwrap().offset, Some(1));
        assert_eq!(logs.values(0), ["a", "b"]);
        assert_eq!(producer.metrics().retries, 1);
    });
}

#[test]
fn a_duplicate_that_the_broker_has_no_offset_for_counts_as_written() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        Logs::behind(&cluster);
        super::logs::refuse_once(&cluster, ErrorCode::DuplicateSequenceNumber);
        let producer = producer(&cluster, &[]);
        assert_eq!(send(&producer, 0, "a").await.await.unwrap().offset, None);
    });
}

#[test]
fn a_forgotten_producer_goes_on_in_a_new_epoch() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 2);
        let logs = Logs::behind(&cluster);
        let producer = producer(&cluster, &[]);
        let mut expected = Vec::new();
        for round in 0..4 {
            for n in 0..10 {
                let text = format!("{round} {n}");
                send(&producer, 0, &text).await.await.unwrap();
                send(&producer, 1, &text).await.await.unwrap();
                expected.push(text);
            }
            logs.look(0, super::logs::Log::forget_producers);
            if round == 1 {
                let unknown = ErrorCode::UnknownProducerId;
                super::logs::refuse_once(&cluster, unknown);
            }
        }
        assert_eq!(logs.values(0), expected);
        assert_eq!(logs.values(1), expected);
        // The epoch was raised here: no other id was asked for.
        assert_eq!(cluster.seen(ApiKey::InitProducerId).len(), 1);
    });
}

#[test]
fn an_exhausted_epoch_asks_for_another_id() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        cluster.once::<InitProducerIdRequest>(|_, _| {
            Reply::Answer(InitProducerIdResponse {
                producer_id: 7,
                producer_epoch: i16::MAX - 1,
                ..Default::default()
            })
        });
        let producer = producer(&cluster, &[]);
        send(&producer, 0, "a").await.await.unwrap();
        logs.look(0, super::logs::Log::forget_producers);
        // Sequence number 1 under an id that is not known.
        send(&producer, 0, "b").await.await.unwrap();
        assert_eq!(logs.values(0), ["a", "b"]);
        assert_eq!(cluster.seen(ApiKey::InitProducerId).len(), 2);
    });
}

#[test]
fn an_identity_is_asked_for_until_it_comes_and_its_refusal_is_final() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        let answer = |code: ErrorCode| {
            move |_: InitProducerIdRequest, _: &crate::fake::Seen| {
                Reply::Answer(InitProducerIdResponse {
                    error_code: code.code(),
                    ..Default::default()
                })
            }
        };
        for code in [ErrorCode::CoordinatorLoadInProgress, ErrorCode::NotCoordinator] {
            cluster.once(answer(code));
        }
        let first = producer(&cluster, &[]);
        send(&first, 0, "a").await.await.unwrap();
        assert_eq!(logs.values(0), ["a"]);
        cluster.once(answer(ErrorCode::ClusterAuthorizationFailed));
        let second = producer(&cluster, &[]);
        let error = send(&second, 0, "b").await.await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::ClusterAuthorizationFailed));
        let error = second.send(Record::to("t").value(b"c")).await.unwrap_err();
        assert!(error.to_string().contains("cannot go on"), "{error}");
        assert_eq!(logs.values(0), ["a"]);
    });
}

/// Brokers that lose requests and answers, refuse, lose their leadership and forget producers, by
/// chance; many batches on their way.
#[test]
fn chaos_loses_nothing_doubles_nothing_and_keeps_the_order() {
    for seed in 0..12 {
        run(chaos(seed));
    }
}

async fn chaos(seed: u64) {
    const PARTITIONS: i32 = 3;
    const RECORDS: usize = 400;
    let rng = Rng::seeded(seed);
    let cluster = FakeCluster::start(3).await;
    cluster.create_topic("t", 3);
    let logs = Logs::behind(&cluster);
    let (appending, moving, chance) = (logs.clone(), cluster.clone(), rng.fork());
    cluster.on::<ProduceRequest>(move |request, seen| {
        let is_leader = |index: i32| {
            let mut leader = -1;
            moving.change_topic("t", |topic| {
                leader = topic.as_ref().unwrap().leaders[usize::try_from(index).unwrap()].0;
            });
            leader == seen.broker
        };
        if !request.topic_data[0].partition_data.iter().all(|data| is_leader(data.index)) {
            return Reply::Answer(refuse(&request, ErrorCode::NotLeaderOrFollower));
        }
        match chance.range(0..20) {
            0 => Reply::Close,
            1 => {
                appending.append(&request);
                Reply::Close
            }
            2 => Reply::AnswerAndClose(appending.append(&request)),
            3 => Reply::Answer(refuse(&request, ErrorCode::NotEnoughReplicas)),
            4 => {
                // Written, and not acknowledged by enough: it is sent again.
                appending.append(&request);
                Reply::Answer(refuse(&request, ErrorCode::NotEnoughReplicasAfterAppend))
            }
            5 => {
                let partition = chance.index(3);
                moving.move_leader("t", partition, i32::try_from(chance.index(3)).unwrap() + 1);
                Reply::After(Duration::from_millis(2), appending.append(&request))
            }
            _ => Reply::Answer(appending.append(&request)),
        }
    });
    let properties = [("batch.size", "200"), ("linger.ms", "0")];
    let producer = producer(&cluster, &properties);
    let mut deliveries = Vec::new();
    for n in 0..RECORDS {
        for partition in 0..PARTITIONS {
            deliveries.push((partition, n, send(&producer, partition, &format!("{n}")).await));
        }
        if rng.chance(0.1) {
            producer.client().env().clock.sleep(Duration::from_millis(1)).await;
        }
    }
    for (partition, n, delivery) in deliveries {
        let metadata =
            delivery.await.unwrap_or_else(|e| panic!("seed {seed}: {partition} {n}: {e}"));
        if let Some(offset) = metadata.offset {
            assert_eq!(offset, i64::try_from(n).unwrap(), "seed {seed}, partition {partition}");
        }
    }
    let all: Vec<String> = (0..RECORDS).map(|n| n.to_string()).collect();
    for partition in 0..PARTITIONS {
        assert_eq!(logs.values(partition), all, "seed {seed}, partition {partition}");
    }
}
