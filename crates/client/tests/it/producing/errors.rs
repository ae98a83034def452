//! Each way in which a batch can fail, and what becomes of it.

use super::logs::{Logs, refuse, refuse_once};
use super::{producer, send};
use crate::fake::{FakeCluster, Reply, run};
use afluente_client::Error;
use afluente_client::producer::{ErrorHandling, ProducerError, Record};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::produce_request::ProduceRequest;
use afluente_protocol::messages::produce_response::{BatchIndexAndErrorMessage, LeaderIdAndEpoch};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[test]
fn retriable_errors_are_tried_again_and_others_are_told() {
    use ErrorHandling::{InvalidConfiguration, Other};
    run(async {
        for (code, told) in [
            (ErrorCode::NotLeaderOrFollower, None),
            (ErrorCode::UnknownTopicOrPartition, None),
            (ErrorCode::LeaderNotAvailable, None),
            (ErrorCode::NotEnoughReplicas, None),
            (ErrorCode::NotEnoughReplicasAfterAppend, None),
            (ErrorCode::KafkaStorageError, None),
            (ErrorCode::RequestTimedOut, None),
            (ErrorCode::CorruptMessage, None),
            (ErrorCode::TopicAuthorizationFailed, Some(InvalidConfiguration)),
            (ErrorCode::InvalidTopicException, Some(InvalidConfiguration)),
            (ErrorCode::InvalidTimestamp, Some(Other)),
            (ErrorCode::InvalidRecord, Some(Other)),
            (ErrorCode::MessageTooLarge, Some(Other)),
            (ErrorCode::UnsupportedForMessageFormat, Some(Other)),
            (ErrorCode::PolicyViolation, Some(Other)),
        ] {
            for idempotent in ["true", "false"] {
                let cluster = FakeCluster::start(1).await;
                cluster.create_topic("t", 1);
                let logs = Logs::behind(&cluster);
                let producer = producer(&cluster, &[("enable.idempotence", idempotent)]);
                refuse_once(&cluster, code);
                let first = send(&producer, 0, "first").await.await;
                match (first, told) {
                    (Ok(metadata), None) => assert_eq!(metadata.offset, Some(0), "{code}"),
                    (Err(error), Some(handling)) => {
                        assert_eq!(error.error_code(), Some(code));
                        assert_eq!(error.handling(), handling, "{code}");
                    }
                    (first, _) => panic!("{code}: {first:?}"),
                }
                // One that failed leaves no gap.
                send(&producer, 0, "second").await.await.unwrap();
                assert_eq!(logs.values(0).last().map(String::as_str), Some("second"), "{code}");
            }
        }
    });
}

#[test]
fn retries_are_limited_by_number_and_by_time() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        Logs::behind(&cluster);
        cluster.on::<ProduceRequest>(|request, _| {
            Reply::Answer(refuse(&request, ErrorCode::NotEnoughReplicas))
        });
        let limited = producer(&cluster, &[("retries", "2")]);
        let error = send(&limited, 0, "a").await.await.unwrap_err();
        assert_eq!(error.error_code(), Some(ErrorCode::NotEnoughReplicas));
        assert_eq!(cluster.seen(ApiKey::Produce).len(), 3);
        let properties = [("delivery.timeout.ms", "100"), ("request.timeout.ms", "50")];
        let timed = producer(&cluster, &properties);
        let error = send(&timed, 0, "a").await.await.unwrap_err();
        assert!(error.is_retriable());
        assert!(error.to_string().contains("within 100 ms; the last attempt: t-0"), "{error}");
    });
}

#[test]
fn a_batch_expires_on_its_way_and_in_the_queue() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        // The broker takes 200 ms for the first one, and works it off.
        let slow = logs.clone();
        cluster.once::<ProduceRequest>(move |request, _| {
            Reply::After(Duration::from_millis(200), slow.append(&request))
        });
        let properties = [
            ("delivery.timeout.ms", "100"),
            ("request.timeout.ms", "99"),
            ("max.in.flight.requests.per.connection", "1"),
        ];
        let producer = producer(&cluster, &properties);
        let on_its_way = send(&producer, 0, "a").await;
        let error = on_its_way.await.unwrap_err();
        assert!(
            matches!(error, Error::Producer(ProducerError::DeliveryTimedOut { .. })),
            "{error:?}"
        );
        // It may have been written: what comes next is written once, under whichever epoch.
        for text in ["b", "c"] {
            while send(&producer, 0, text).await.await.is_err() {}
        }
        let values = logs.values(0);
        assert!(values == ["a", "b", "c"] || values == ["b", "c"], "{values:?}");
    });
}

#[test]
fn a_batch_that_is_too_large_is_cut_until_it_fits() {
    run(async {
        for (compression, idempotent) in
            [("none", "true"), ("none", "false"), ("zstd", "true"), ("zstd", "false")]
        {
            let cluster = FakeCluster::start(1).await;
            cluster.create_topic("t", 1);
            let logs = Logs::behind(&cluster);
            let limited = logs.clone();
            cluster.on::<ProduceRequest>(move |request, _| {
                let data = &request.topic_data[0].partition_data[0];
                let is_large = data.records.as_ref().unwrap().len() > 700;
                Reply::Answer(if is_large {
                    refuse(&request, ErrorCode::MessageTooLarge)
                } else {
                    limited.append(&request)
                })
            });
            let properties = [
                ("compression.type", compression),
                ("enable.idempotence", idempotent),
                ("max.in.flight.requests.per.connection", "1"),
            ];
            let producer = producer(&cluster, &properties);
            let told = Arc::new(AtomicUsize::new(0));
            let mut deliveries = Vec::new();
            let mut expected = Vec::new();
            for n in 0_u32..100 {
                // Hard to compress, so that the limit matters with a codec too.
                let text: String =
                    (0..40).map(|at| format!("{:x}", (n * 7919 + at * 104_729) % 251)).collect();
                deliveries.push(send(&producer, 0, &text).await);
                let told = Arc::clone(&told);
                let record = Record::to("t").partition(0).value(b"callback");
                let count = move |result: Result<_, Error>| {
                    result.unwrap();
                    told.fetch_add(1, Ordering::Relaxed);
                };
                producer.send_then(record, count).await.unwrap();
                expected.extend([text, "callback".to_owned()]);
            }
            producer.flush().await;
            assert_eq!(told.load(Ordering::Relaxed), 100);
            assert_eq!(logs.values(0), expected);
            for (at, delivery) in (0..).zip(deliveries) {
                assert_eq!(delivery.await.unwrap().offset, Some(at * 2));
            }
            assert!(producer.metrics().splits > 0);
        }
    });
}

#[test]
fn one_invalid_record_fails_its_batch_and_is_named() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        cluster.once::<ProduceRequest>(|request, _| {
            let mut response = refuse(&request, ErrorCode::InvalidRecord);
            let partition = &mut response.responses[0].partition_responses[0];
            partition.record_errors = vec![BatchIndexAndErrorMessage {
                batch_index: 1,
                batch_index_error_message: Some("no key".into()),
            }];
            Reply::Answer(response)
        });
        let producer = producer(&cluster, &[("linger.ms", "20")]);
        let first = send(&producer, 0, "a").await;
        let second = send(&producer, 0, "b").await;
        let error = second.await.unwrap_err();
        assert!(error.to_string().contains("no key"), "{error}");
        let error = first.await.unwrap_err();
        assert!(matches!(error, Error::Producer(ProducerError::BatchMateInvalid)), "{error:?}");
        send(&producer, 0, "c").await.await.unwrap();
        assert_eq!(logs.values(0), ["c"]);
    });
}

#[test]
fn records_follow_the_leader_wherever_it_is_learned() {
    run(async {
        for hint in [true, false] {
            let cluster = FakeCluster::start(2).await;
            cluster.create_topic("t", 1);
            let logs = Logs::behind(&cluster);
            let producer = producer(&cluster, &[]);
            send(&producer, 0, "a").await.await.unwrap();
            cluster.move_leader("t", 0, 2);
            let appending = logs.clone();
            cluster.on::<ProduceRequest>(move |request, seen| {
                if seen.broker == 2 {
                    return Reply::Answer(appending.append(&request));
                }
                let mut response = refuse(&request, ErrorCode::NotLeaderOrFollower);
                if hint {
                    response.responses[0].partition_responses[0].current_leader =
                        LeaderIdAndEpoch { leader_id: 2, leader_epoch: 1 };
                }
                Reply::Answer(response)
            });
            let asked = cluster.seen(ApiKey::Metadata).len();
            send(&producer, 0, "b").await.await.unwrap();
            assert_eq!(logs.values(0), ["a", "b"]);
            assert_eq!(cluster.seen(ApiKey::Metadata).len() == asked, hint);
        }
    });
}

#[test]
fn records_wait_for_a_leader_and_for_a_broker_that_is_down() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.create_topic("t", 2);
        let logs = Logs::behind(&cluster);
        let producer = producer(&cluster, &[]);
        send(&producer, 0, "a").await.await.unwrap();
        cluster.change_topic("t", |topic| topic.as_mut().unwrap().leaders[0] = (-1, 1));
        refuse_once(&cluster, ErrorCode::NotLeaderOrFollower);
        cluster.stop(2, false).await;
        let waiting = [send(&producer, 0, "b").await, send(&producer, 1, "c").await];
        let clock = afluente_env::Env::real().clock;
        clock.sleep(Duration::from_millis(30)).await;
        assert!(waiting.iter().all(|delivery| delivery.try_result().is_none()));
        cluster.change_topic("t", |topic| topic.as_mut().unwrap().leaders[0] = (1, 2));
        cluster.start_again(2).await;
        for delivery in waiting {
            delivery.await.unwrap();
        }
        assert_eq!(
            (logs.values(0), logs.values(1)),
            (vec!["a".into(), "b".into()], vec!["c".into()])
        );
    });
}

#[test]
fn without_acknowledgement_a_record_is_done_when_it_is_sent() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        let appending = logs.clone();
        cluster.on::<ProduceRequest>(move |request, _| {
            appending.append(&request);
            Reply::Nothing
        });
        let producer = producer(&cluster, &[("acks", "0")]);
        let metadata = send(&producer, 0, "a").await.await.unwrap();
        assert_eq!(metadata.offset, None);
        crate::fake::eventually(|| logs.values(0) == ["a"]).await;
    });
}

#[test]
fn closing_fails_what_is_left_and_says_so() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        Logs::behind(&cluster);
        cluster.on::<ProduceRequest>(|_, _| Reply::Silence);
        let producer = producer(&cluster, &[]);
        let delivery = send(&producer, 0, "a").await;
        let closed = producer.close(Duration::from_millis(20)).await;
        assert!(matches!(closed, Err(Error::DeadlinePassed { .. })), "{closed:?}");
        assert!(matches!(delivery.await, Err(Error::Closed)));
    });
}

#[test]
fn a_producer_that_is_dropped_sends_what_it_has() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let logs = Logs::behind(&cluster);
        let producer = producer(&cluster, &[("linger.ms", "60000")]);
        let delivery = send(&producer, 0, "a").await;
        drop(producer);
        delivery.await.unwrap();
        assert_eq!(logs.values(0), ["a"]);
    });
}
