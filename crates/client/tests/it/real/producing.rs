//! The producer against real brokers.

use super::{Cluster, apache, ours};
use crate::fake::run;
use afluente_client::producer::{
    ErrorHandling, GroupMetadata, OffsetToCommit, Producer, ProducerConfig, Record,
};
use afluente_client::{Client, Target};
use afluente_env::Env;
use afluente_harness::java::Jars;
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use afluente_protocol::messages::offset_fetch_request::{
    OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use afluente_protocol::records::{Batches, ControlType, Decompressor};
use std::collections::BTreeSet;
use std::time::Duration;

fn producer(cluster: &Cluster, properties: &[(&str, &str)]) -> Producer {
    let bootstrap = cluster.broker.bootstrap();
    let given = [("bootstrap.servers", bootstrap.as_str()), ("linger.ms", "1")];
    let config = ProducerConfig::from_properties(given.iter().chain(properties).copied()).unwrap();
    Producer::new(Env::real(), config).unwrap()
}

/// The values of partition 0 that a reader of committed records sees.
async fn committed(client: &Client, topic: &str) -> Vec<String> {
    /// The last version with names of topics.
    const FETCH_MAX: i16 = 12;
    let (mut values, mut offset) = (Vec::new(), 0);
    let mut aborted: BTreeSet<i64> = BTreeSet::new();
    loop {
        let request = FetchRequest {
            max_wait_ms: 100,
            min_bytes: 1,
            max_bytes: 64 << 20,
            isolation_level: 1,
            session_epoch: -1,
            topics: vec![FetchTopic {
                topic: topic.into(),
                partitions: vec![FetchPartition {
                    partition: 0,
                    fetch_offset: offset,
                    partition_max_bytes: 64 << 20,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            ..Default::default()
        };
        let target = Target::leader(topic, 0);
        let response =
            client.send_up_to(target, request, FETCH_MAX, client.deadline()).await.unwrap();
        let data = &response.responses[0].partitions[0];
        assert_eq!(data.error_code, 0);
        let bytes = data.records.clone().unwrap_or_default().into_bytes();
        let mut began: Vec<(i64, i64)> = data
            .aborted_transactions
            .iter()
            .flatten()
            .map(|aborted| (aborted.first_offset, aborted.producer_id))
            .collect();
        if bytes.is_empty() {
            return values;
        }
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            let header = *batch.header();
            began.retain(|(first, id)| {
                let begins = *first <= header.last_offset().0;
                if begins {
                    aborted.insert(*id);
                }
                !begins
            });
            offset = header.next_offset().0;
            if header.attributes.is_control() {
                let section = batch.uncompressed(&mut Decompressor::new(), 1 << 20).unwrap();
                let key = header.records(&section).next().unwrap().unwrap().key.unwrap().to_vec();
                if ControlType::parse(&key).unwrap() == ControlType::Abort {
                    aborted.remove(&header.producer_id.0);
                }
                continue;
            }
            if header.attributes.is_transactional() && aborted.contains(&header.producer_id.0) {
                continue;
            }
            let section = batch.uncompressed(&mut Decompressor::new(), 64 << 20).unwrap();
            for record in header.records(&section) {
                let value = record.unwrap().value.unwrap().to_vec();
                values.push(String::from_utf8(value).unwrap());
            }
        }
    }
}

async fn every_codec_arrives(cluster: &Cluster) {
    cluster.create_topic("codecs", 1).await;
    let mut expected = Vec::new();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let producer = producer(cluster, &[("compression.type", codec)]);
        for n in 0..2_000 {
            let text = format!("{codec} {n} {}", "abc".repeat(n % 50));
            let record = Record::to("codecs").key(b"k").value(text.as_bytes());
            let _flushed = producer.send(record).await.unwrap();
            expected.push(text);
        }
        producer.flush().await;
        assert_eq!(producer.metrics().records_failed, 0, "{codec}");
    }
    assert_eq!(committed(&cluster.client, "codecs").await, expected);
}

async fn transactions_commit_abort_and_fence(cluster: &Cluster) {
    let properties = [("transactional.id", "tests")];
    let first = producer(cluster, &properties);
    cluster.create_topic("txn", 1).await;
    first.init_transactions().await.unwrap();
    for round in 0..6 {
        first.begin_transaction().unwrap();
        for n in 0..10 {
            let text = format!("{round} {n}");
            let _committed = first.send(Record::to("txn").value(text.as_bytes())).await.unwrap();
        }
        if round % 2 == 0 {
            let offset = OffsetToCommit { offset: round, ..OffsetToCommit::default() };
            let offsets = [(("txn".to_owned(), 0), offset)].into();
            let group = GroupMetadata::of_group("readers");
            first.send_offsets_to_transaction(&offsets, &group).await.unwrap();
            first.commit_transaction().await.unwrap();
        } else {
            first.abort_transaction().await.unwrap();
        }
    }
    // An empty one, and one that is aborted before anything of it is sent.
    first.begin_transaction().unwrap();
    first.commit_transaction().await.unwrap();
    first.begin_transaction().unwrap();
    let dropped = first.send(Record::to("txn").value(b"dropped")).await.unwrap();
    first.abort_transaction().await.unwrap();
    drop(dropped);
    // The second producer of the name ends what the first one has open, and fences it.
    first.begin_transaction().unwrap();
    first.send(Record::to("txn").value(b"left open")).await.unwrap().await.unwrap();
    let second = producer(cluster, &properties);
    second.init_transactions().await.unwrap();
    second.begin_transaction().unwrap();
    second.send(Record::to("txn").value(b"second")).await.unwrap().await.unwrap();
    second.commit_transaction().await.unwrap();
    let outcome = async {
        first.send(Record::to("txn").value(b"fenced")).await?.await?;
        first.commit_transaction().await
    };
    let error = outcome.await.unwrap_err();
    let next = match error.handling() {
        ErrorHandling::ApplicationRecoverable => error,
        // The leader of a partition cannot tell who is fenced; the coordinator can.
        _ => first.abort_transaction().await.unwrap_err(),
    };
    assert_eq!(next.handling(), ErrorHandling::ApplicationRecoverable, "{next}");

    let mut expected: Vec<String> =
        [0, 2, 4].iter().flat_map(|round| (0..10).map(move |n| format!("{round} {n}"))).collect();
    expected.push("second".into());
    assert_eq!(committed(second.client(), "txn").await, expected);
    assert_eq!(committed_offset(second.client()).await, 4);
}

async fn committed_offset(client: &Client) -> i64 {
    let request = OffsetFetchRequest {
        groups: vec![OffsetFetchRequestGroup {
            group_id: "readers".into(),
            member_epoch: -1,
            topics: Some(vec![OffsetFetchRequestTopics {
                name: "txn".into(),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        require_stable: true,
        ..Default::default()
    };
    /// The last version with names of topics.
    const OFFSET_FETCH_MAX: i16 = 9;
    let target = Target::group("readers");
    let deadline = client.deadline();
    let response = client.send_up_to(target, request, OFFSET_FETCH_MAX, deadline).await.unwrap();
    response.groups[0].topics[0].partitions[0].committed_offset
}

/// Kills the broker while records are on their way, and starts it again.
async fn a_crash_loses_nothing_and_doubles_nothing(cluster: &mut Cluster, crashes: usize) {
    let producer = producer(cluster, &[("batch.size", "1000")]);
    cluster.create_topic("crash", 1).await;
    let mut deliveries = Vec::new();
    for crash in 0..=crashes {
        for n in 0..3_000 {
            let text = format!("{crash} {n}");
            deliveries
                .push(producer.send(Record::to("crash").value(text.as_bytes())).await.unwrap());
        }
        if crash < crashes {
            // Some of it is written, some on its way, some not sent.
            cluster.broker.kill().unwrap();
            cluster.broker.start_again().unwrap();
        }
    }
    for (at, delivery) in (0..).zip(deliveries) {
        if let Some(offset) = delivery.await.unwrap().offset {
            assert_eq!(offset, at);
        }
    }
    let expected: Vec<String> =
        (0..=crashes).flat_map(|crash| (0..3_000).map(move |n| format!("{crash} {n}"))).collect();
    assert_eq!(committed(producer.client(), "crash").await, expected);
    producer.close(Duration::from_secs(10)).await.unwrap();
}

#[test]
fn our_broker_takes_every_codec_and_transactions_of_the_producer() {
    let Some(cluster) = ours("producing to our broker") else { return };
    run(async {
        every_codec_arrives(&cluster).await;
        transactions_commit_abort_and_fence(&cluster).await;
    });
}

#[test]
fn crashes_of_our_broker_lose_nothing_and_double_nothing() {
    let Some(mut cluster) = ours("producing while our broker crashes") else { return };
    run(a_crash_loses_nothing_and_doubles_nothing(&mut cluster, 4));
}

#[test]
fn apache_kafka_takes_every_codec_and_transactions_of_the_producer() {
    for jars in [Jars::Kafka, Jars::Kafka39] {
        let Some(mut cluster) = apache(jars, "the producer against Apache Kafka") else { continue };
        run(async {
            every_codec_arrives(&cluster).await;
            transactions_commit_abort_and_fence(&cluster).await;
            a_crash_loses_nothing_and_doubles_nothing(&mut cluster, 1).await;
        });
    }
}
