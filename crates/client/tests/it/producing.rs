//! The producer against brokers that do what a test says.

mod errors;
mod idempotence;
mod logs;
mod partitions;
mod transactions;

use crate::fake::FakeCluster;
use afluente_client::producer::{Delivery, Producer, ProducerConfig, Record};
use afluente_env::Env;

/// A producer of `cluster` with short waits, and `properties` on top.
fn producer(cluster: &FakeCluster, properties: &[(&str, &str)]) -> Producer {
    let bootstrap = cluster.bootstrap();
    let quick = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "5"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "5"),
        ("linger.ms", "1"),
    ];
    let config = ProducerConfig::from_properties(quick.iter().chain(properties).copied()).unwrap();
    Producer::new(Env::real(), config).unwrap()
}

/// Sends the text to a partition of topic `t`.
async fn send(producer: &Producer, partition: i32, text: &str) -> Delivery {
    let record = Record::to("t").partition(partition).value(text.as_bytes());
    producer.send(record).await.unwrap()
}
