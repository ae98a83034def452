//! Offsets of partitions by time, and deleting records.

use super::{Admin, Results};
use crate::error::Error;
use crate::topic_partition::TopicPartition;
use afluente_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic,
};
use afluente_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic,
};
use std::collections::BTreeMap;

/// Which offset of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OffsetSpec {
    /// Behind the last record.
    Latest,
    /// The first one.
    Earliest,
    /// That of the record with the largest timestamp (KIP-734).
    MaxTimestamp,
    /// The first one on the broker's own disk (KIP-405).
    EarliestLocal,
    /// Behind the last one that is in tiered storage (KIP-1005).
    LatestTiered,
    /// The first one that is not in tiered storage yet (KIP-1023).
    EarliestPendingUpload,
    /// The first one of a record that is not older than this, in ms since 1970.
    At(i64),
}

/// Which records there are for a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IsolationLevel {
    /// All of them.
    #[default]
    ReadUncommitted,
    /// Those before the first transaction that is open.
    ReadCommitted,
}

/// An offset that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundOffset {
    /// The offset; -1 if there is none, as for a time behind the last record.
    pub offset: i64,
    /// The timestamp of its record; -1 where it was not asked by time.
    pub timestamp: i64,
    /// The epoch of its record; -1 if it is not known.
    pub leader_epoch: i32,
}

impl OffsetSpec {
    /// What stands for it on the wire.
    #[must_use]
    pub fn timestamp(self) -> i64 {
        match self {
            Self::Latest => -1,
            Self::Earliest => -2,
            Self::MaxTimestamp => -3,
            Self::EarliestLocal => -4,
            Self::LatestTiered => -5,
            Self::EarliestPendingUpload => -6,
            Self::At(timestamp) => timestamp,
        }
    }
}

impl Admin {
    /// Offsets of partitions, from their leaders.
    ///
    /// # Errors
    /// When no broker answers; each partition has a result of its own.
    pub async fn list_offsets(
        &self,
        partitions: impl IntoIterator<Item = (TopicPartition, OffsetSpec)>,
        isolation: IsolationLevel,
    ) -> Result<Results<TopicPartition, FoundOffset>, Error> {
        let deadline = self.deadline();
        let build = |by_topic: &BTreeMap<&str, Vec<(i32, &OffsetSpec)>>| ListOffsetsRequest {
            replica_id: -1,
            isolation_level: i8::from(isolation == IsolationLevel::ReadCommitted),
            topics: by_topic
                .iter()
                .map(|(name, partitions)| ListOffsetsTopic {
                    name: (*name).to_owned(),
                    partitions: partitions
                        .iter()
                        .map(|(partition_index, spec)| ListOffsetsPartition {
                            partition_index: *partition_index,
                            current_leader_epoch: -1,
                            timestamp: spec.timestamp(),
                        })
                        .collect(),
                })
                .collect(),
            timeout_ms: self.timeout_ms(deadline),
        };
        let read =
            |response: afluente_protocol::messages::list_offsets_response::ListOffsetsResponse| {
                let mut found = Vec::new();
                for topic in response.topics {
                    for partition in topic.partitions {
                        let key =
                            TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        let about = || format!("the offset of {key}");
                        let checked = Error::check(partition.error_code, None, about);
                        let offset = FoundOffset {
                            offset: partition.offset,
                            timestamp: partition.timestamp,
                            leader_epoch: partition.leader_epoch,
                        };
                        found.push((key, checked.map(|()| offset)));
                    }
                }
                found
            };
        self.by_leader(partitions.into_iter().collect(), deadline, build, read).await
    }

    /// Deletes the records of partitions before an offset; -1 is all that are there. Gives the
    /// first offset that is left.
    ///
    /// # Errors
    /// When no broker answers; each partition has a result of its own.
    pub async fn delete_records(
        &self,
        before: impl IntoIterator<Item = (TopicPartition, i64)>,
    ) -> Result<Results<TopicPartition, i64>, Error> {
        let deadline = self.deadline();
        let build = |by_topic: &BTreeMap<&str, Vec<(i32, &i64)>>| DeleteRecordsRequest {
            topics: by_topic
                .iter()
                .map(|(name, partitions)| DeleteRecordsTopic {
                    name: (*name).to_owned(),
                    partitions: partitions
                        .iter()
                        .map(|(partition_index, offset)| DeleteRecordsPartition {
                            partition_index: *partition_index,
                            offset: **offset,
                        })
                        .collect(),
                })
                .collect(),
            timeout_ms: self.timeout_ms(deadline),
        };
        let read = |response: afluente_protocol::messages::delete_records_response::DeleteRecordsResponse| {
            let mut done = Vec::new();
            for topic in response.topics {
                for partition in topic.partitions {
                    let key = TopicPartition::new(topic.name.as_str(), partition.partition_index);
                    let about = || format!("deleting records of {key}");
                    let checked = Error::check(partition.error_code, None, about);
                    done.push((key, checked.map(|()| partition.low_watermark)));
                }
            }
            done
        };
        self.by_leader(before.into_iter().collect(), deadline, build, read).await
    }
}
