//! Produce, and the order of answers.

use crate::support::{TestBroker, batch, fetch_request, produce_request, run};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::messages::metadata_request::MetadataRequest;
use afluente_protocol::messages::produce_request::ProduceRequest;

#[test]
fn what_is_produced_is_fetched_byte_for_byte_behind_the_offsets() {
    run(async {
        for durability in ["sync", "replicated"] {
            let broker = TestBroker::start(&[("log.durability", durability)]).await;
            let mut client = broker.with_topic(1).await;
            for round in 0..3 {
                let response = client.produce(0, batch(10, 100)).await;
                let partition = &response.responses[0].partition_responses[0];
                assert_eq!((partition.error_code, partition.base_offset), (0, round * 10));
            }
            let response = client.fetch(0, 10, 0).await;
            let partition = &response.responses[0].partitions[0];
            assert_eq!((partition.error_code, partition.high_watermark), (0, 30));
            let records = partition.records.clone().unwrap().into_bytes();
            let sent = batch(10, 100);
            assert_eq!(records.len(), 2 * sent.len());
            assert_eq!(records[..8], 10_i64.to_be_bytes());
            assert_eq!(records[16..sent.len()], sent[16..], "everything behind the leader epoch");
            broker.server.stop().await.unwrap();
        }
    });
}

#[test]
fn answers_come_in_the_order_of_the_requests_though_they_wait_for_different_things() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(2).await;
        let mut sent = Vec::new();
        for _ in 0..20 {
            sent.push(('p', client.send(&produce_request(0, batch(1, 10), -1), 9).await));
            sent.push(('m', client.send(&MetadataRequest::default(), 9).await));
            sent.push(('f', client.send(&fetch_request(&[(1, 0)], 5), 12).await));
        }
        let mut offset = 0;
        for (kind, id) in sent {
            match kind {
                'p' => {
                    let response = client.receive::<ProduceRequest>(9, id).await;
                    assert_eq!(response.responses[0].partition_responses[0].base_offset, offset);
                    offset += 1;
                }
                'm' => drop(client.receive::<MetadataRequest>(9, id).await),
                _ => drop(client.receive::<FetchRequest>(12, id).await),
            }
        }
    });
}

#[test]
fn acks_0_has_no_answer_and_an_error_closes_the_connection() {
    run(async {
        let broker = TestBroker::start(&[]).await;
        let mut client = broker.with_topic(1).await;
        client.send(&produce_request(0, batch(1, 10), 0), 9).await;
        let response = client.produce(0, batch(1, 10)).await;
        assert_eq!(response.responses[0].partition_responses[0].base_offset, 1);
        client.send(&produce_request(9, batch(1, 10), 0), 9).await;
        assert_eq!(client.frame().await, None);
    });
}

#[test]
fn what_cannot_be_written_is_refused_with_kafkas_code() {
    run(async {
        let broker = TestBroker::start(&[("min.insync.replicas", "2")]).await;
        let mut client = broker.with_topic(1).await;
        for (request, expected) in [
            (produce_request(1, batch(1, 1), 1), ErrorCode::UnknownTopicOrPartition),
            (produce_request(-1, batch(1, 1), 1), ErrorCode::UnknownTopicOrPartition),
            (produce_request(0, batch(1, 1), 2), ErrorCode::InvalidRequiredAcks),
            (produce_request(0, batch(1, 1), -1), ErrorCode::NotEnoughReplicas),
            (produce_request(0, batch(1, 1), 1), ErrorCode::None),
        ] {
            let response = client.call(&request, 9).await;
            let code = response.responses[0].partition_responses[0].error_code;
            assert_eq!(ErrorCode::from_i16(code), Some(expected));
        }
    });
}
