//! A broker, and what tests put into it and look at.

use afluente_client::admin::topics::NewTopic;
use afluente_client::producer::Record;
use afluente_client::{
    Admin, Client, ClientConfig, Consumer, ConsumerConfig, Producer, ProducerConfig, TopicPartition,
};
use afluente_env::Env;
use afluente_harness::broker::{Broker, Program};
use afluente_harness::java::{Jars, Java};
use afluente_harness::skip::skipped;
use afluente_streams::Topology;
use afluente_streams::runtime::{KafkaStreams, RunningStreams, State, StreamsConfig};
use std::path::PathBuf;
use std::time::Duration;

pub(super) struct Cluster {
    pub(super) broker: Broker,
    pub(super) admin: Admin,
    producer: Producer,
}

/// Members come and go quickly here.
const QUICK_GROUPS: [(&str, &str); 2] =
    [("group.initial.rebalance.delay.ms", "0"), ("group.min.session.timeout.ms", "1000")];

/// One key, value and time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    pub(super) key: String,
    pub(super) value: Option<Vec<u8>>,
    pub(super) timestamp: i64,
}

/// A program that was built beside this test.
pub(super) fn built(name: &str) -> Option<PathBuf> {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join(name);
    matches!(Env::real().disk.metadata(&path), Ok(Some(_))).then_some(path)
}

/// Our binary as it was last built beside this test, in whole runs of the workspace the present one.
pub(super) fn ours(what: &str) -> Option<Cluster> {
    let Some(binary) = built("afluente") else {
        skipped(what, "the binary afluente is not built");
        return None;
    };
    Some(Cluster::start(Program::Afluente(binary)))
}

pub(super) fn apache(what: &str) -> Option<Cluster> {
    Java::or_skip(Jars::Kafka, what).map(|java| Cluster::start(Program::Apache(java)))
}

/// Runs a test on as many threads as a program would.
pub(super) fn run<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

impl Cluster {
    fn start(program: Program) -> Self {
        // Starting a process blocks.
        let broker = tokio::task::block_in_place(|| Broker::start(program, &QUICK_GROUPS).unwrap());
        let bootstrap = broker.bootstrap();
        let config = ClientConfig::from_properties([("bootstrap.servers", &bootstrap)]).unwrap();
        let admin = Admin::new(Client::new(Env::real(), config).unwrap());
        let config = ProducerConfig::from_properties([("bootstrap.servers", &bootstrap)]).unwrap();
        let producer = Producer::new(Env::real(), config).unwrap();
        Self { broker, admin, producer }
    }

    pub(super) async fn create(&self, topics: &[(&str, i32)]) {
        let new = topics.iter().map(|(name, partitions)| {
            let mut topic = NewTopic::new(*name, *partitions, 1);
            // Times in tests are long past.
            topic.configs.insert("retention.ms".to_owned(), "-1".to_owned());
            topic
        });
        for (topic, created) in self.admin.create_topics(new).await.unwrap() {
            created.unwrap_or_else(|error| panic!("{topic}: {error}"));
        }
    }

    /// Writes strings, and waits until they are there.
    pub(super) async fn put<'a>(
        &self,
        topic: &str,
        rows: impl IntoIterator<Item = (&'a str, Option<&'a str>, i64)>,
    ) {
        let mut sent = Vec::new();
        for (key, value, timestamp) in rows {
            let value = value.map(str::as_bytes);
            let record = Record { value, ..Record::to(topic).key(key.as_bytes()) };
            sent.push(self.producer.send(record.timestamp(timestamp)).await.unwrap());
        }
        for delivery in sent {
            delivery.await.unwrap();
        }
    }

    /// Reads committed records of a topic, in the order of their partitions, until there are enough.
    pub(super) async fn read_until(
        &self,
        topic: &str,
        mut is_enough: impl FnMut(&[Row]) -> bool,
    ) -> Vec<Row> {
        let config = ConsumerConfig::from_properties([
            ("bootstrap.servers", self.broker.bootstrap().as_str()),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("max.poll.records", "10000"),
        ]);
        let consumer = Consumer::new(Env::real(), config.unwrap()).unwrap();
        let partitions = consumer.partitions_for(topic).await.unwrap().unwrap().partitions;
        let all = partitions.keys().map(|partition| TopicPartition::new(topic, *partition));
        consumer.assign(all).unwrap();
        let mut rows = Vec::new();
        while !is_enough(&rows) {
            let records = consumer.poll(Duration::from_millis(200)).await.unwrap();
            rows.extend(records.iter().map(|record| Row {
                key: String::from_utf8_lossy(record.key.unwrap_or_default()).into_owned(),
                value: record.value.map(<[u8]>::to_vec),
                timestamp: record.timestamp,
            }));
        }
        rows
    }

    pub(super) fn properties(&self, application: &str) -> Vec<(String, String)> {
        [
            ("application.id", application),
            ("bootstrap.servers", &self.broker.bootstrap()),
            ("commit.interval.ms", "100"),
            // Tests count updates.
            ("statestore.cache.max.bytes", "0"),
            ("consumer.session.timeout.ms", "10000"),
            ("consumer.heartbeat.interval.ms", "300"),
            ("producer.linger.ms", "5"),
            ("producer.transaction.timeout.ms", "3000"),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
    }

    pub(super) fn streams(
        &self,
        application: &str,
        topology: Topology,
        more: &[(&str, &str)],
    ) -> KafkaStreams {
        let mut properties = self.properties(application);
        for (key, value) in more {
            properties.retain(|(there, _)| there != key);
            properties.push(((*key).to_owned(), (*value).to_owned()));
        }
        let config = StreamsConfig::from_properties(properties).unwrap();
        assert!(config.unknown().is_empty(), "{:?}", config.unknown());
        KafkaStreams::new(Env::real(), topology, config)
    }

    /// Starts an application and waits until all its tasks work.
    pub(super) async fn run(
        &self,
        application: &str,
        topology: Topology,
        more: &[(&str, &str)],
    ) -> RunningStreams {
        let running = self.streams(application, topology, more).start().await.unwrap();
        assert_eq!(running.wait_for(State::Running).await, State::Running);
        running
    }
}

pub(super) const CLOSE: Duration = Duration::from_secs(20);

/// A number as its serde writes it.
pub(super) fn number(value: Option<&[u8]>) -> i64 {
    i64::from_be_bytes(value.unwrap().try_into().unwrap())
}
