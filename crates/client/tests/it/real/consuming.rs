//! The consumer against real brokers.

use super::{Cluster, apache, ours};
use crate::fake::run;
use afluente_client::consumer::{
    Consumer, ConsumerConfig, OffsetAndMetadata, RebalanceListener, Records, Told,
};
use afluente_client::{Error, Target, TopicPartition};
use afluente_env::Env;
use afluente_harness::java::Jars;
use afluente_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequest, TopicProduceData,
};
use afluente_protocol::records::{BatchBuilder, BatchOptions, Compression, Compressor, NewRecord};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

impl Cluster {
    /// Appends a batch of records with these values; timestamps count up from `timestamp`.
    async fn produce(
        &self,
        topic: &str,
        partition: i32,
        compression: Compression,
        timestamp: i64,
        values: impl IntoIterator<Item = String>,
    ) {
        let mut builder = BatchBuilder::new(BatchOptions { compression, ..Default::default() });
        for (timestamp, value) in (timestamp..).zip(values) {
            let value = Some(value.as_bytes());
            builder.append(&NewRecord { timestamp, key: Some(b"k"), value, headers: &[] }).unwrap();
        }
        let records = Some(builder.finish(&mut Compressor::new()).unwrap().into());
        let topic_id = self.client.metadata().topic_id(topic).unwrap();
        let data = PartitionProduceData { index: partition, records };
        let topic_data =
            vec![TopicProduceData { name: topic.into(), topic_id, partition_data: vec![data] }];
        let request =
            ProduceRequest { acks: -1, timeout_ms: 10_000, topic_data, ..Default::default() };
        let mut retry = self.client.retry(self.client.deadline());
        loop {
            let target = Target::leader(topic, partition);
            let deadline = self.client.deadline();
            let response = self.client.send(target, request.clone(), deadline).await.unwrap();
            let code = response.responses[0].partition_responses[0].error_code;
            // A broker that is new to leading it may not know so yet.
            match Error::check(code, None, || topic.to_owned()) {
                Ok(()) => return,
                Err(error) => retry.after(error).await.unwrap(),
            }
        }
    }

    fn consumer(&self, properties: &[(&str, &str)]) -> Consumer {
        let bootstrap = self.broker.bootstrap();
        let base = [
            ("bootstrap.servers", bootstrap.as_str()),
            ("auto.offset.reset", "earliest"),
            ("client.id", "test"),
        ];
        let config = ConsumerConfig::from_properties(base.iter().chain(properties).copied());
        Consumer::new(Env::real(), config.unwrap()).unwrap()
    }
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|r| String::from_utf8(r.value.unwrap().to_vec()).unwrap()).collect()
}

/// Polls until `count` records have come.
async fn read(consumer: &Consumer, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    while read.len() < count {
        read.extend(values(&consumer.poll(Duration::from_secs(1)).await.unwrap()));
    }
    read
}

fn numbers(range: std::ops::Range<i32>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

async fn reads_what_is_there_in_order(cluster: &Cluster) {
    cluster.create_topic("plain", 2).await;
    for (index, codec) in (0..).zip([0, 1, 2, 3, 4]) {
        let codec = [
            Compression::None,
            Compression::Gzip(Default::default()),
            Compression::Snappy,
            Compression::Lz4(Default::default()),
            Compression::Zstd(Default::default()),
        ][codec];
        let from = index * 200;
        let values = numbers(from..from + 200);
        cluster.produce("plain", 0, codec, 1_000 + i64::from(from), values).await;
    }
    let consumer = cluster.consumer(&[("max.poll.records", "150")]);
    let partition: TopicPartition = ("plain", 0).into();
    consumer.assign([partition.clone()]).unwrap();
    assert_eq!(read(&consumer, 1000).await, numbers(0..1000));
    assert_eq!(consumer.position(&partition).await.unwrap(), 1000);
    assert_eq!(consumer.current_lag(&partition), Some(0));
    // By time, by offset, and from either end.
    let times = BTreeMap::from([(partition.clone(), 1_555), (("plain", 1).into(), 0)]);
    let found = consumer.offsets_for_times(times).await.unwrap();
    assert_eq!((found[&partition].offset, found[&partition].timestamp), (Some(555), 1_555));
    assert_eq!(found[&("plain", 1).into()].offset, None);
    consumer.seek(&partition, 555).unwrap();
    assert_eq!(read(&consumer, 445).await, numbers(555..1000));
    consumer.seek_to_beginning(&[]).unwrap();
    assert_eq!(read(&consumer, 1000).await, numbers(0..1000));
    let ends = consumer.end_offsets([partition.clone(), ("plain", 1).into()]).await.unwrap();
    assert_eq!(ends.into_values().collect::<Vec<_>>(), [1000, 0]);
    // Outside of the log: back to the beginning, by the rule.
    consumer.seek(&partition, 5_000).unwrap();
    assert_eq!(read(&consumer, 1000).await, numbers(0..1000));
    // Paused partitions keep quiet, and go on where they were.
    consumer.seek(&partition, 10).unwrap();
    consumer.pause(std::slice::from_ref(&partition)).unwrap();
    assert!(consumer.poll(Duration::from_millis(50)).await.unwrap().is_empty());
    consumer.resume(std::slice::from_ref(&partition)).unwrap();
    assert_eq!(read(&consumer, 990).await, numbers(10..1000));
    consumer.close(Duration::from_secs(10)).await.unwrap();
}

async fn a_lone_member_goes_on_where_it_committed(cluster: &Cluster, protocol: &str) {
    let topic = format!("resumed-{protocol}");
    cluster.create_topic(&topic, 1).await;
    cluster.produce(&topic, 0, Compression::None, 0, numbers(0..100)).await;
    let group = format!("resume-{protocol}");
    let properties = [
        ("group.id", group.as_str()),
        ("group.protocol", protocol),
        ("enable.auto.commit", "false"),
        ("max.poll.records", "30"),
    ];
    let consumer = cluster.consumer(&properties);
    consumer.subscribe([topic.as_str()]).unwrap();
    assert_eq!(read(&consumer, 30).await, numbers(0..30));
    consumer.commit_sync().await.unwrap();
    let partition: TopicPartition = (topic.as_str(), 0).into();
    let asked = BTreeSet::from([partition.clone()]);
    assert_eq!(consumer.committed(&asked).await.unwrap()[&partition].offset, 30);
    assert!(consumer.group_metadata().generation_id > 0);
    consumer.close(Duration::from_secs(10)).await.unwrap();
    let consumer = cluster.consumer(&properties);
    consumer.subscribe_pattern("resumed-.*", None).unwrap();
    let next: Vec<String> = loop {
        // The pattern matches the topic of the other protocol's test too.
        let records = consumer.poll(Duration::from_secs(1)).await.unwrap();
        let mine = records.partitions().iter().find(|p| *p.partition() == partition);
        if let Some(mine) = mine {
            break mine.iter().map(|r| String::from_utf8_lossy(r.value.unwrap()).into()).collect();
        }
    };
    assert_eq!(next[0], "30");
    let offset = OffsetAndMetadata { metadata: "note".into(), ..OffsetAndMetadata::from(77) };
    let offsets = BTreeMap::from([(partition.clone(), offset)]);
    consumer.commit_offsets_async(offsets).unwrap().await.unwrap().unwrap();
    let committed = consumer.committed(&asked).await.unwrap();
    assert_eq!((committed[&partition].offset, &*committed[&partition].metadata), (77, "note"));
    consumer.close(Duration::from_secs(10)).await.unwrap();
}

/// Who holds which partition, as the listeners are told.
#[derive(Default)]
struct Ledger {
    holders: Mutex<BTreeMap<TopicPartition, usize>>,
}

struct Holder {
    id: usize,
    ledger: Arc<Ledger>,
}

impl RebalanceListener for Holder {
    fn revoked<'a>(&'a self, consumer: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        Box::pin(async move {
            // What is given up is committed first, so that its next holder leaves no gap.
            consumer.commit_sync().await.unwrap();
            let mut holders = self.ledger.holders.lock();
            for partition in partitions {
                assert_eq!(holders.remove(partition), Some(self.id), "{partition} given up");
            }
        })
    }

    fn lost<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        for partition in partitions {
            let mut holders = self.ledger.holders.lock();
            if holders.get(partition) == Some(&self.id) {
                holders.remove(partition);
            }
        }
        Box::pin(std::future::ready(()))
    }

    fn assigned<'a>(&'a self, _: &'a Consumer, partitions: &'a [TopicPartition]) -> Told<'a> {
        let mut holders = self.ledger.holders.lock();
        for partition in partitions {
            let other = holders.insert(partition.clone(), self.id);
            assert_eq!(other, None, "{partition} has two holders");
        }
        Box::pin(std::future::ready(()))
    }
}

/// Members that come and go, while records come: each record is read once, nobody reads what
/// somebody else does, and in the end everybody has the same share.
async fn groups_converge_under_churn(
    cluster: &Cluster,
    name: &str,
    properties: &[(&str, &str)],
    members: usize,
    partitions: i32,
) {
    let topic = format!("churn-{name}");
    cluster.create_topic(&topic, partitions).await;
    let ledger = Arc::new(Ledger::default());
    let read: Arc<Mutex<Vec<BTreeMap<i64, usize>>>> =
        Arc::new(Mutex::new(vec![BTreeMap::new(); usize::try_from(partitions).unwrap()]));
    let group = format!("group-{name}");
    let mut properties = properties.to_vec();
    properties.extend([
        ("group.id", group.as_str()),
        ("enable.auto.commit", "false"),
        ("fetch.max.wait.ms", "50"),
    ]);
    let stop = Arc::new(tokio::sync::watch::Sender::new(0_usize));
    let mut tasks = Vec::new();
    for id in 0..members {
        let consumer = cluster.consumer(&properties);
        let (ledger, read) = (Arc::clone(&ledger), Arc::clone(&read));
        let mut stop = stop.subscribe();
        let topic = topic.clone();
        tasks.push(Env::real().tasks.spawn(async move {
            let holder = Arc::new(Holder { id, ledger });
            consumer.subscribe_with([topic.as_str()], holder).unwrap();
            // Those with a number below what `stop` says go.
            while *stop.borrow_and_update() <= id {
                let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
                for record in records.iter() {
                    let partition = usize::try_from(record.partition).unwrap();
                    *read.lock()[partition].entry(record.offset.0).or_default() += 1;
                }
            }
            consumer.close(Duration::from_secs(20)).await.unwrap();
        }));
    }
    let clock = Env::real().clock;
    let settled = async |holders: usize| loop {
        let shares = {
            let mut shares = BTreeMap::new();
            for holder in ledger.holders.lock().values() {
                *shares.entry(*holder).or_insert(0_i32) += 1;
            }
            shares
        };
        let total: i32 = shares.values().sum();
        let spread = shares.values().max().unwrap_or(&0) - shares.values().min().unwrap_or(&0);
        if shares.len() == holders && total == partitions && spread <= 1 {
            return;
        }
        clock.sleep(Duration::from_millis(10)).await;
    };
    let produce = async |from: i32| {
        for partition in 0..partitions {
            let values = numbers(from..from + 10);
            cluster.produce(&topic, partition, Compression::None, 0, values).await;
        }
    };
    produce(0).await;
    settled(members).await;
    produce(10).await;
    stop.send_replace(members / 2);
    produce(20).await;
    settled(members - members / 2).await;
    produce(30).await;
    let all_read = || read.lock().iter().all(|offsets| offsets.len() >= 40);
    while !all_read() {
        clock.sleep(Duration::from_millis(10)).await;
    }
    stop.send_replace(members);
    for task in tasks {
        task.await.unwrap();
    }
    assert!(ledger.holders.lock().is_empty(), "closing gives everything up");
    for offsets in &*read.lock() {
        assert_eq!(offsets.keys().copied().collect::<Vec<_>>(), (0..40).collect::<Vec<_>>());
        assert!(offsets.values().all(|&times| times == 1), "a record is read once: {offsets:?}");
    }
}

#[test]
fn ours_is_read_in_order() {
    let Some(cluster) = ours("reading from our broker") else { return };
    run(reads_what_is_there_in_order(&cluster));
}

#[test]
fn ours_keeps_positions_of_members_of_either_protocol() {
    let Some(cluster) = ours("groups of our broker") else { return };
    run(async {
        a_lone_member_goes_on_where_it_committed(&cluster, "classic").await;
        a_lone_member_goes_on_where_it_committed(&cluster, "consumer").await;
    });
}

const RANGE: &[(&str, &str)] = &[("partition.assignment.strategy", "range")];
const STICKY: &[(&str, &str)] = &[("partition.assignment.strategy", "cooperative-sticky")];
const CONSUMER: &[(&str, &str)] = &[("group.protocol", "consumer")];

#[test]
fn ours_has_groups_that_converge_under_churn() {
    let Some(cluster) = ours("groups of our broker under churn") else { return };
    run(async {
        groups_converge_under_churn(&cluster, "range", RANGE, 6, 12).await;
        groups_converge_under_churn(&cluster, "sticky", STICKY, 50, 60).await;
        groups_converge_under_churn(&cluster, "consumer", CONSUMER, 50, 60).await;
    });
}

async fn everything_works(cluster: &Cluster) {
    reads_what_is_there_in_order(cluster).await;
    a_lone_member_goes_on_where_it_committed(cluster, "classic").await;
    a_lone_member_goes_on_where_it_committed(cluster, "consumer").await;
    groups_converge_under_churn(cluster, "sticky", STICKY, 10, 20).await;
    groups_converge_under_churn(cluster, "consumer", CONSUMER, 10, 20).await;
}

#[test]
fn apache_kafka_is_read_and_has_groups_of_either_protocol() {
    for jars in [Jars::Kafka, Jars::Kafka39] {
        let Some(cluster) = apache(jars, "the consumer against Apache Kafka") else { continue };
        run(everything_works(&cluster));
    }
}
