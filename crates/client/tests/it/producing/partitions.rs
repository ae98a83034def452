//! Where records go, and how they are put together.

use super::logs::Logs;
use super::{producer, send};
use crate::fake::{FakeCluster, run};
use afluente_client::Error;
use afluente_client::producer::partitioner::{murmur2, partition_of_key};
use afluente_client::producer::{Header, ProducerError, Record};
use afluente_harness::java::{Jars, Java, java_dir};
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::produce_request::ProduceRequest;
use std::io::Write;
use std::process::Stdio;

#[test]
fn keys_go_where_the_java_client_puts_them() {
    let Some(java) = Java::or_skip(Jars::Kafka, "partitions of keys") else { return };
    // Keys of every length up to three words and a tail, with every byte value somewhere.
    let keys: Vec<Vec<u8>> =
        (0..400_u32).map(|n| (0..n % 16).map(|at| (n * 167 + at * 31) as u8).collect()).collect();
    let mut child = java
        .program(&java_dir().join("Partitions.java"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = String::new();
    for (at, key) in keys.iter().enumerate() {
        let hex: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        lines.push_str(&format!("{hex} {}\n", at + 1));
    }
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(said.lines().count(), keys.len());
    for ((at, key), line) in keys.iter().enumerate().zip(said.lines()) {
        let count = i32::try_from(at + 1).unwrap();
        let ours = format!("{} {}", murmur2(key), partition_of_key(key, count));
        assert_eq!(ours, line, "{key:?} of {count}");
    }
}

#[test]
fn records_come_out_in_batches_with_all_that_was_given() {
    run(async {
        let cluster = FakeCluster::start(2).await;
        cluster.create_topic("t", 4);
        let logs = Logs::behind(&cluster);
        for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
            let producer = producer(&cluster, &[("compression.type", codec)]);
            let text = format!("{codec} {}", "x".repeat(500));
            let headers =
                [Header { key: b"h", value: Some(b"1") }, Header { key: b"h", value: None }];
            let record = Record::to("t").key(b"k").value(text.as_bytes()).headers(&headers);
            let metadata = producer.send(record.timestamp(77)).await.unwrap().await.unwrap();
            assert_eq!(metadata.partition, partition_of_key(b"k", 4));
            assert_eq!(metadata.timestamp, 77);
            let values = logs.values(metadata.partition);
            let offset = usize::try_from(metadata.offset.unwrap()).unwrap();
            assert_eq!(values[offset], text);
            producer.close(std::time::Duration::from_secs(5)).await.unwrap();
            assert!(matches!(producer.send(record).await, Err(Error::Closed)));
        }
    });
}

#[test]
fn many_records_share_batches_within_the_limits() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 3);
        let logs = Logs::behind(&cluster);
        let producer = producer(&cluster, &[("batch.size", "1000"), ("linger.ms", "1000")]);
        for n in 0..300 {
            let text = format!("{n:090}");
            let _flushed = producer.send(Record::to("t").value(text.as_bytes())).await.unwrap();
        }
        producer.flush().await;
        let mut values: Vec<String> = Vec::new();
        for partition in 0..3 {
            logs.look(partition, |log| {
                assert!(log.batch_bytes_max <= 1000, "{}", log.batch_bytes_max);
                // Nine records fit; only the last batch may have fewer.
                assert!(log.batches <= log.values.len().div_ceil(9) + 1);
                values.append(&mut log.values.clone());
            });
        }
        values.sort_unstable();
        let all: Vec<String> = (0..300).map(|n| format!("{n:090}")).collect();
        assert_eq!(values, all);
        let figures = producer.metrics();
        assert_eq!((figures.records_sent, figures.batches_incomplete), (300, 0));
        assert_eq!(figures.memory_available_bytes, 32 << 20);
        // Requests carry several batches where several wait.
        let requests = cluster.seen(ApiKey::Produce).len() as u64;
        assert!(figures.requests == requests && requests <= figures.batches_sent);
    });
}

#[test]
fn round_robin_goes_through_the_partitions_even_with_a_key() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 3);
        Logs::behind(&cluster);
        let producer = producer(&cluster, &[("partitioner.class", "RoundRobinPartitioner")]);
        let mut partitions = Vec::new();
        for _ in 0..6 {
            let record = Record::to("t").key(b"k").value(b"v");
            partitions.push(producer.send(record).await.unwrap().partition());
        }
        assert_eq!(partitions, [0, 1, 2, 0, 1, 2]);
    });
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 2);
        Logs::behind(&cluster);
        let producer = producer(&cluster, &[("max.request.size", "1000"), ("max.block.ms", "500")]);
        let error = producer.send(Record::to("t").value(&[0; 1000])).await.unwrap_err();
        assert!(error.to_string().contains("max.request.size"), "{error}");
        for partition in [-1, 2] {
            let record = Record::to("t").partition(partition);
            let error = producer.send(record).await.unwrap_err();
            let expected = matches!(&error, Error::Producer(ProducerError::NoSuchPartition { .. }));
            assert!(expected, "{error:?}");
        }
        let error = producer.send(Record::to("missing")).await.unwrap_err();
        assert!(error.to_string().contains("missing"), "{error}");
        let timestamp = Record::to("t").timestamp(-2);
        let error = producer.send(timestamp).await.unwrap_err();
        assert!(error.to_string().contains("timestamp"), "{error}");
    });
}

#[test]
fn memory_is_bounded_and_gives_way() {
    run(async {
        let cluster = FakeCluster::start(1).await;
        cluster.create_topic("t", 1);
        let properties =
            [("buffer.memory", "2000"), ("batch.size", "1000"), ("max.block.ms", "50")];
        let logs = Logs::behind(&cluster);
        let quick = producer(&cluster, &properties);
        // Twenty times what there is room for, with a linger that nobody can wait for.
        for n in 0..100 {
            let _flushed = send(&quick, 0, &format!("{n:0400}")).await;
        }
        quick.flush().await;
        assert_eq!(logs.values(0).len(), 100);
        cluster.on::<ProduceRequest>(|_, _| crate::fake::Reply::Silence);
        let record = Record::to("t").value(&[b'x'; 900]);
        for _ in 0..2 {
            let _unsettled = quick.send(record).await.unwrap();
        }
        let error = quick.send(record).await.unwrap_err();
        assert!(
            matches!(error, Error::Producer(ProducerError::BufferExhausted { .. })),
            "{error:?}"
        );
    });
}
