//! The consumer against brokers that do what a test says.

mod errors;
mod groups;
mod shelves;

use crate::fake::FakeCluster;
use afluente_client::consumer::{Consumer, ConsumerConfig, ConsumerError};
use afluente_env::Env;
use std::time::Duration;

/// A consumer of `cluster` with short waits, and `properties` on top.
fn consumer(cluster: &FakeCluster, properties: &[(&str, &str)]) -> Consumer {
    let bootstrap = cluster.bootstrap();
    let quick = [
        ("bootstrap.servers", bootstrap.as_str()),
        ("auto.offset.reset", "earliest"),
        ("fetch.max.wait.ms", "5"),
        ("retry.backoff.ms", "1"),
        ("retry.backoff.max.ms", "5"),
        ("reconnect.backoff.ms", "1"),
        ("reconnect.backoff.max.ms", "5"),
    ];
    let config = ConsumerConfig::from_properties(quick.iter().chain(properties).copied()).unwrap();
    Consumer::new(Env::real(), config).unwrap()
}

/// What comes until there are `count` records: `partition:value`.
async fn read(consumer: &Consumer, count: usize) -> Vec<String> {
    let mut read = Vec::new();
    while read.len() < count {
        let records = consumer.poll(Duration::from_millis(20)).await.unwrap();
        for record in records.iter() {
            let value = std::str::from_utf8(record.value.unwrap()).unwrap();
            read.push(format!("{}:{value}", record.partition));
        }
    }
    read
}

/// The first error that a poll gives.
async fn failure(consumer: &Consumer) -> ConsumerError {
    loop {
        if let Err(error) = consumer.poll(Duration::from_millis(20)).await {
            return error;
        }
    }
}

/// What [`read`] gives for records of these numbers of a partition.
fn of(partition: i32, numbers: std::ops::Range<i64>) -> Vec<String> {
    numbers.map(|number| format!("{partition}:{number}")).collect()
}
