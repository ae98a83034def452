//! Fetch: waiting, limits, and incremental sessions.

use crate::support::{TestBroker, batch, fetch_request, run};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::{FetchRequest, ForgottenTopic};

#[test]
fn a_waiting_fetch_is_answered_when_something_arrives() {
    run(async {
        for durability in ["sync", "replicated"] {
            let broker = TestBroker::start(&[("log.durability", durability)]).await;
            let mut producer = broker.with_topic(1).await;
            let mut consumer = broker.connect().await;
            // The time limit is far longer than the test is given: only an arrival can end it.
            let id = consumer.send(&fetch_request(&[(0, 0)], i32::MAX), 12).await;
            // Answered before the produce, so the fetch has begun to wait or will look after it.
            producer.fetch(0, 0, 0).await;
            producer.produce(0, batch(1, 10)).await;
            let response = consumer.receive::<FetchRequest>(12, id).await;
            assert!(!response.responses[0].partitions[0].records.as_ref().unwrap().is_empty());
        }
    });
}

#[test]
fn a_fetch_that_finds_nothing_is_answered_empty_when_its_time_is_over() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        let response = client.fetch(0, 0, 10).await;
        let partition = &response.responses[0].partitions[0];
        assert_eq!((partition.error_code, partition.high_watermark), (0, 0));
        assert!(partition.records.as_ref().unwrap().is_empty());
    });
}

#[test]
fn the_first_batch_is_given_whatever_its_size_and_the_limits_hold_for_the_rest() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(2).await;
        for partition in [0, 0, 1, 1] {
            client.produce(partition, batch(1, 1000)).await;
        }
        let one = batch(1, 1000).len();
        let mut request = fetch_request(&[(0, 0), (1, 0)], 0);
        let bytes = async |client: &mut crate::support::Client, request: &FetchRequest| {
            let response = client.call(request, 12).await;
            let partitions = response.responses.into_iter().flat_map(|topic| topic.partitions);
            partitions.map(|partition| partition.records.unwrap().len()).collect::<Vec<_>>()
        };
        request.max_bytes = 10;
        assert_eq!(bytes(&mut client, &request).await, [one, 0]);
        request.max_bytes = i32::try_from(3 * one).unwrap();
        assert_eq!(bytes(&mut client, &request).await, [2 * one, one]);
        request.topics[0].partitions[0].partition_max_bytes = 10;
        assert_eq!(bytes(&mut client, &request).await, [one, 2 * one]);
    });
}

#[test]
fn offsets_and_epochs_that_are_not_there_are_refused() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        client.produce(0, batch(1, 10)).await;
        for (offset, epoch, expected) in [
            (2, -1, ErrorCode::OffsetOutOfRange),
            (-1, -1, ErrorCode::OffsetOutOfRange),
            (0, 7, ErrorCode::UnknownLeaderEpoch),
            (1, 0, ErrorCode::None),
        ] {
            let mut request = fetch_request(&[(0, offset)], 0);
            request.topics[0].partitions[0].current_leader_epoch = epoch;
            let response = client.call(&request, 12).await;
            let partition = &response.responses[0].partitions[0];
            assert_eq!(ErrorCode::from_i16(partition.error_code), Some(expected));
            if expected != ErrorCode::None {
                assert_eq!(partition.high_watermark, -1);
            }
        }
    });
}

#[test]
fn an_incremental_session_tells_only_what_is_new() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(3).await;
        let mut first = fetch_request(&[(0, 0), (1, 0), (2, 0)], 0);
        first.session_epoch = 0;
        let response = client.call(&first, 12).await;
        let session_id = response.session_id;
        assert_ne!(session_id, 0);
        assert_eq!(response.responses[0].partitions.len(), 3);
        let next = |epoch: i32, partitions: &[(i32, i64)]| {
            let mut request = fetch_request(partitions, 0);
            (request.session_id, request.session_epoch) = (session_id, epoch);
            if partitions.is_empty() {
                request.topics.clear();
            }
            request
        };
        let response = client.call(&next(1, &[]), 12).await;
        assert_eq!((response.session_id, response.responses.len()), (session_id, 0));
        client.produce(1, batch(1, 10)).await;
        let response = client.call(&next(2, &[]), 12).await;
        assert_eq!(response.responses[0].partitions.len(), 1);
        assert_eq!(response.responses[0].partitions[0].partition_index, 1);
        // The consumer goes on: the records are not told again.
        let response = client.call(&next(3, &[(1, 1)]), 12).await;
        assert_eq!(response.responses.len(), 0);
        // An old epoch, and a session that nobody has.
        let response = client.call(&next(3, &[]), 12).await;
        assert_eq!(response.error_code, ErrorCode::InvalidFetchSessionEpoch.code());
        let mut strange = next(1, &[]);
        strange.session_id = session_id.wrapping_add(1);
        let response = client.call(&strange, 12).await;
        assert_eq!(response.error_code, ErrorCode::FetchSessionIdNotFound.code());
        // Everything forgotten: the session is over.
        let mut last = next(4, &[]);
        last.forgotten_topics_data = vec![ForgottenTopic {
            topic: "t".into(),
            partitions: vec![0, 1, 2],
            ..Default::default()
        }];
        assert_eq!(client.call(&last, 12).await.session_id, 0);
        assert_eq!(broker.server.broker().fetch_sessions.count(), 0);
    });
}
