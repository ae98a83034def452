//! Writing messages: one idempotent producer for the whole console.
//!
//! A request that is lost on the way is sent again by the producer and written once, and a broker
//! that is not the leader (yet, of a topic that was just made) is no error of the reader's.

use crate::kafka::NewRecordOwned;
use afluente_client::producer::{
    ErrorHandling, Header, Producer, ProducerConfig, Record, RecordMetadata,
};
use afluente_client::{ClientConfig, Error};
use afluente_env::Env;
use parking_lot::Mutex;

/// What is different from Kafka's defaults: a reader waits in front of a form. How large a message
/// may be is for the topic to say.
const PROPERTIES: [(&str, &str); 7] = [
    // Replaced by the configuration of the console.
    ("bootstrap.servers", "localhost:9092"),
    ("linger.ms", "0"),
    ("max.block.ms", "10000"),
    ("request.timeout.ms", "10000"),
    ("delivery.timeout.ms", "15000"),
    ("max.request.size", "67108864"),
    ("buffer.memory", "67108864"),
];

pub(crate) struct Writer {
    env: Env,
    config: ProducerConfig,
    /// Made when it is first needed, and anew after it could not go on.
    producer: Mutex<Option<Producer>>,
}

impl Writer {
    pub(crate) fn new(env: Env, client: &ClientConfig) -> Result<Self, Error> {
        let mut config = ProducerConfig::from_properties(PROPERTIES)?;
        config.client = client.clone();
        // A name that was mistyped is no wish for a new topic.
        config.client.allow_auto_create_topics = false;
        Ok(Self { env, config, producer: Mutex::default() })
    }

    fn producer(&self) -> Result<Producer, Error> {
        let mut producer = self.producer.lock();
        match &*producer {
            Some(producer) => Ok(producer.clone()),
            None => {
                Ok(producer.insert(Producer::new(self.env.clone(), self.config.clone())?).clone())
            }
        }
    }

    /// Writes records, each to the partition that it names or where its key belongs, and waits
    /// until all are acknowledged. Gives where each went; after an error some may be written.
    pub(crate) async fn write(
        &self,
        topic: &str,
        records: &[(Option<i32>, NewRecordOwned)],
    ) -> Result<Vec<RecordMetadata>, Error> {
        let producer = self.producer()?;
        let outcome = write(&producer, topic, records).await;
        if let Err(error) = &outcome
            && error.handling() == ErrorHandling::ApplicationRecoverable
        {
            *self.producer.lock() = None;
        }
        outcome
    }
}

async fn write(
    producer: &Producer,
    topic: &str,
    records: &[(Option<i32>, NewRecordOwned)],
) -> Result<Vec<RecordMetadata>, Error> {
    let mut deliveries = Vec::with_capacity(records.len());
    for (partition, record) in records {
        let headers: Vec<Header<'_>> = record
            .headers
            .iter()
            .map(|(key, value)| Header { key: key.as_bytes(), value: value.as_deref() })
            .collect();
        let record = Record {
            topic,
            partition: *partition,
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
            timestamp: Some(record.timestamp),
        };
        deliveries.push(producer.send(record).await?);
    }
    let mut written = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        written.push(delivery.await?);
    }
    Ok(written)
}
