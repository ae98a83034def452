//! Transactions and the producers behind them (KIP-664).

use super::{Admin, Results};
use crate::client::Target;
use crate::error::Error;
use crate::metadata::TopicsAsked;
use crate::topic_partition::TopicPartition;
use afluente_protocol::message::Request;
use afluente_protocol::messages::describe_producers_request::{
    DescribeProducersRequest, TopicRequest,
};
use afluente_protocol::messages::describe_producers_response::DescribeProducersResponse;
use afluente_protocol::messages::describe_transactions_request::DescribeTransactionsRequest;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::list_transactions_request::ListTransactionsRequest;
use afluente_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequest,
};
use std::collections::BTreeMap;

/// A transactional id as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionListing {
    /// The transactional id.
    pub transactional_id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its producer id.
    pub producer_id: i64,
    /// `Ongoing`, `CompleteCommit`, …
    pub state: String,
}

/// Which transactional ids are listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// Those in one of these states; any if there is none.
    pub states: Vec<String>,
    /// Those with one of these producer ids; any if there is none.
    pub producer_ids: Vec<i64>,
    /// Those whose transaction is open for longer than this, in ms (KIP-994).
    pub longer_than_ms: Option<i64>,
    /// Those that match this regular expression of RE2 (KIP-1152).
    pub pattern: Option<String>,
}

/// A transactional id with its transaction.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TransactionDescription {
    /// The broker that coordinates it; -1 if it is not known.
    pub coordinator: i32,
    /// `Ongoing`, `CompleteCommit`, …
    pub state: String,
    /// Its producer id.
    pub producer_id: i64,
    /// The epoch of its producer.
    pub producer_epoch: i16,
    /// How long its transactions may be open, in ms.
    pub timeout_ms: i32,
    /// Since when the transaction is open, in ms since 1970; `None` if none is.
    pub start_time_ms: Option<i64>,
    /// The partitions in the transaction.
    pub partitions: Vec<TopicPartition>,
}

/// A producer that wrote to a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProducerDescription {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The sequence number of its last record; -1 if there is none.
    pub last_sequence: i32,
    /// When its last batch was made, in ms since 1970; -1 if it is not known.
    pub last_timestamp: i64,
    /// The epoch of the coordinator that wrote its last marker; -1 if there is none.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins; `None` if none is open.
    pub transaction_start_offset: Option<i64>,
}

/// A transaction in one partition that is to be aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortTransaction {
    /// The partition.
    pub partition: TopicPartition,
    /// The id of the producer.
    pub producer_id: i64,
    /// The epoch of the producer.
    pub producer_epoch: i16,
    /// The epoch of the coordinator.
    pub coordinator_epoch: i32,
}

impl Admin {
    /// The transactional ids that the cluster remembers, from every broker.
    ///
    /// # Errors
    /// When a broker does not answer, or is too old for the filter.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<TransactionListing>, Error> {
        let deadline = self.deadline();
        let metadata = self.client().refresh(&TopicsAsked::None, deadline).await?;
        let mut listings = Vec::new();
        for &coordinator in metadata.brokers.keys() {
            let request = ListTransactionsRequest {
                state_filters: filter.states.clone(),
                producer_id_filters: filter.producer_ids.clone(),
                duration_filter: filter.longer_than_ms.unwrap_or(-1),
                transactional_id_pattern: filter.pattern.clone(),
            };
            let check = |response: &<ListTransactionsRequest as Request>::Response| {
                Error::check(response.error_code, None, || "listing transactions".to_owned())
            };
            let response = self.call(Target::Broker(coordinator), request, deadline, check).await?;
            listings.extend(response.transaction_states.into_iter().map(|state| {
                TransactionListing {
                    transactional_id: state.transactional_id,
                    coordinator,
                    producer_id: state.producer_id,
                    state: state.transaction_state,
                }
            }));
        }
        Ok(listings)
    }

    /// Transactional ids with their transactions.
    ///
    /// # Errors
    /// Never as a whole; each has a result of its own.
    pub async fn describe_transactions<S: Into<String>>(
        &self,
        transactional_ids: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, TransactionDescription>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for id in transactional_ids {
            let id = id.into();
            let request = DescribeTransactionsRequest { transactional_ids: vec![id.clone()] };
            let check = |response: &<DescribeTransactionsRequest as Request>::Response| {
                response.transaction_states.iter().try_for_each(|state| {
                    let about = || format!("transactional id {:?}", state.transactional_id);
                    Error::check(state.error_code, None, about)
                })
            };
            let answered = self.call(Target::transaction(&id), request, deadline, check).await;
            let kind = crate::CoordinatorKind::Transaction;
            let coordinator = self.client().coordinator(kind, &id, deadline).await;
            let described = answered.map(|response| {
                let Some(state) = response.transaction_states.into_iter().next() else {
                    return TransactionDescription::default();
                };
                let partitions = state.topics.iter().flat_map(|topic| {
                    let name = topic.topic.as_str();
                    topic.partitions.iter().map(move |&index| TopicPartition::new(name, index))
                });
                TransactionDescription {
                    coordinator: coordinator.map_or(-1, |node| node.id),
                    partitions: partitions.collect(),
                    state: state.transaction_state,
                    producer_id: state.producer_id,
                    producer_epoch: state.producer_epoch,
                    timeout_ms: state.transaction_timeout_ms,
                    start_time_ms: (state.transaction_start_time_ms >= 0)
                        .then_some(state.transaction_start_time_ms),
                }
            });
            results.insert(id, described);
        }
        Ok(results)
    }

    /// The producers that the leaders of partitions remember.
    ///
    /// # Errors
    /// When no broker answers; each partition has a result of its own.
    pub async fn describe_producers(
        &self,
        partitions: impl IntoIterator<Item = TopicPartition>,
    ) -> Result<Results<TopicPartition, Vec<ProducerDescription>>, Error> {
        let build = |by_topic: &BTreeMap<&str, Vec<(i32, &())>>| DescribeProducersRequest {
            topics: by_topic
                .iter()
                .map(|(name, partitions)| TopicRequest {
                    name: (*name).to_owned(),
                    partition_indexes: partitions.iter().map(|(index, ())| *index).collect(),
                })
                .collect(),
        };
        let items = partitions.into_iter().map(|partition| (partition, ())).collect();
        self.by_leader(items, self.deadline(), build, read_producers).await
    }

    /// Aborts a transaction in one partition, by writing the marker that its coordinator should
    /// have written.
    ///
    /// # Errors
    /// What the leader of the partition says.
    pub async fn abort_transaction(&self, abort: &AbortTransaction) -> Result<(), Error> {
        let TopicPartition { topic, partition } = &abort.partition;
        let request = WriteTxnMarkersRequest {
            markers: vec![WritableTxnMarker {
                producer_id: abort.producer_id,
                producer_epoch: abort.producer_epoch,
                transaction_result: false,
                topics: vec![WritableTxnMarkerTopic {
                    name: topic.to_string(),
                    partition_indexes: vec![*partition],
                }],
                coordinator_epoch: abort.coordinator_epoch,
                transaction_version: 0,
            }],
        };
        let check = |response: &<WriteTxnMarkersRequest as Request>::Response| {
            let topics = response.markers.iter().flat_map(|marker| &marker.topics);
            topics.flat_map(|topic| &topic.partitions).try_for_each(|done| {
                let about = || format!("aborting a transaction in {}", abort.partition);
                Error::check(done.error_code, None, about)
            })
        };
        let target = Target::leader(&**topic, *partition);
        self.call(target, request, self.deadline(), check).await.map(|_| ())
    }

    /// Shuts out the producers that use transactional ids at the moment; their transactions are
    /// aborted.
    ///
    /// # Errors
    /// Never as a whole; each has a result of its own: the producer id and the new epoch.
    pub async fn fence_producers<S: Into<String>>(
        &self,
        transactional_ids: impl IntoIterator<Item = S>,
    ) -> Result<Results<String, (i64, i16)>, Error> {
        let deadline = self.deadline();
        let mut results = Results::new();
        for id in transactional_ids {
            let id = id.into();
            let request = InitProducerIdRequest {
                transactional_id: Some(id.clone()),
                transaction_timeout_ms: 1,
                producer_id: -1,
                producer_epoch: -1,
                ..Default::default()
            };
            let check = |response: &<InitProducerIdRequest as Request>::Response| {
                Error::check(response.error_code, None, || format!("transactional id {id:?}"))
            };
            let fenced = self.call(Target::transaction(&id), request, deadline, check).await;
            results.insert(id, fenced.map(|done| (done.producer_id, done.producer_epoch)));
        }
        Ok(results)
    }
}

fn read_producers(
    response: DescribeProducersResponse,
) -> Vec<(TopicPartition, Result<Vec<ProducerDescription>, Error>)> {
    let mut found = Vec::new();
    for topic in response.topics {
        for partition in topic.partitions {
            let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
            let about = || format!("the producers of {key}");
            let checked = Error::check(partition.error_code, partition.error_message, about);
            let producers = partition.active_producers.into_iter().map(|one| ProducerDescription {
                producer_id: one.producer_id,
                producer_epoch: one.producer_epoch,
                last_sequence: one.last_sequence,
                last_timestamp: one.last_timestamp,
                coordinator_epoch: one.coordinator_epoch,
                transaction_start_offset: (one.current_txn_start_offset >= 0)
                    .then_some(one.current_txn_start_offset),
            });
            found.push((key, checked.map(|()| producers.collect())));
        }
    }
    found
}
