//! What changes topics.

use super::Kafka;
use afluente_client::{Error, Target};
use afluente_protocol::messages::create_partitions_request::{
    CreatePartitionsRequest, CreatePartitionsTopic,
};
use afluente_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use afluente_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use afluente_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use std::collections::BTreeMap;

/// Asked of the broker.
const TIMEOUT_MS: i32 = 10_000;

impl Kafka {
    pub(crate) async fn create_topic(
        &self,
        name: &str,
        partitions: i32,
        replication_factor: i16,
        configs: &BTreeMap<String, String>,
        validate_only: bool,
    ) -> Result<(), Error> {
        let config = |(name, value): (&String, &String)| CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
        };
        let topic = CreatableTopic {
            name: name.to_owned(),
            num_partitions: partitions,
            replication_factor,
            assignments: Vec::new(),
            configs: configs.iter().map(config).collect(),
        };
        let request =
            CreateTopicsRequest { topics: vec![topic], timeout_ms: TIMEOUT_MS, validate_only };
        let answer = self.client.send(Target::Controller, request, self.deadline()).await?;
        for topic in answer.topics {
            Error::check(topic.error_code, topic.error_message, || format!("topic {name:?}"))?;
        }
        Ok(())
    }

    pub(crate) async fn delete_topic(&self, name: &str) -> Result<(), Error> {
        // One of the two lists counts, by the version that both sides speak.
        let state = DeleteTopicState { name: Some(name.to_owned()), ..DeleteTopicState::default() };
        let request = DeleteTopicsRequest {
            topics: vec![state],
            topic_names: vec![name.to_owned()],
            timeout_ms: TIMEOUT_MS,
        };
        let answer = self.client.send(Target::Controller, request, self.deadline()).await?;
        for topic in answer.responses {
            Error::check(topic.error_code, topic.error_message, || format!("topic {name:?}"))?;
        }
        Ok(())
    }

    /// Makes the topic have `count` partitions.
    pub(crate) async fn create_partitions(&self, name: &str, count: i32) -> Result<(), Error> {
        let topic = CreatePartitionsTopic { name: name.to_owned(), count, assignments: None };
        let request = CreatePartitionsRequest {
            topics: vec![topic],
            timeout_ms: TIMEOUT_MS,
            validate_only: false,
        };
        let answer = self.client.send(Target::Controller, request, self.deadline()).await?;
        for topic in answer.results {
            Error::check(topic.error_code, topic.error_message, || format!("topic {name:?}"))?;
        }
        Ok(())
    }

    /// Deletes what is before these offsets; gives where the partitions begin then.
    pub(crate) async fn delete_records(
        &self,
        topic: &str,
        before: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        let mut retry = self.client.retry(self.deadline());
        loop {
            match self.delete_records_once(topic, before).await {
                // The leader is another one, or is only just becoming it.
                Err(error) if error.is_stale_metadata() => {
                    retry.after(error).await?;
                    self.refresh_topic(topic).await?;
                }
                outcome => return outcome,
            }
        }
    }

    async fn delete_records_once(
        &self,
        topic: &str,
        before: &BTreeMap<i32, i64>,
    ) -> Result<BTreeMap<i32, i64>, Error> {
        let metadata = self.client.metadata();
        let mut by_leader: BTreeMap<Option<i32>, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for (partition, offset) in before {
            let leader = metadata.leader(topic, *partition).map(|(node, _)| node.id);
            by_leader
                .entry(leader)
                .or_default()
                .push(DeleteRecordsPartition { partition_index: *partition, offset: *offset });
        }
        let mut begins = BTreeMap::new();
        for (leader, partitions) in by_leader {
            let target = match (leader, partitions.first()) {
                (Some(leader), _) => Target::Broker(leader),
                (None, Some(partition)) => Target::leader(topic, partition.partition_index),
                (None, None) => continue,
            };
            let request = DeleteRecordsRequest {
                topics: vec![DeleteRecordsTopic { name: topic.to_owned(), partitions }],
                timeout_ms: TIMEOUT_MS,
            };
            let answer = self.client.send(target, request, self.deadline()).await?;
            for partition in answer.topics.into_iter().flat_map(|topic| topic.partitions) {
                let number = partition.partition_index;
                Error::check(partition.error_code, None, || format!("{topic}-{number}"))?;
                begins.insert(number, partition.low_watermark);
            }
        }
        Ok(begins)
    }
}
