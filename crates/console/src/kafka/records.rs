//! Reading messages.

use super::Kafka;
use afluente_client::{Error, Target};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use afluente_protocol::records::{Batches, Decompressor, OpenBatch, RecordView, TimestampType};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;

/// The newest version that names topics by name.
const FETCH_BY_NAME: i16 = 12;

/// What is asked of one partition at least.
const PARTITION_BYTES_MIN: i32 = 256 << 10;

/// What a batch may grow to when it is uncompressed.
const UNCOMPRESSED_BYTES_MAX: usize = 64 << 20;

/// What came of a fetch from one partition.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) partition: i32,
    batches: Bytes,
    pub(crate) end_offset: i64,
    /// Nothing came of any partition that was asked for with this one. A single empty one says
    /// nothing: others may have used up what one answer can hold.
    pub(crate) is_all_empty: bool,
}

/// What a batch says of all its records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BatchFacts {
    pub(crate) timestamp_type: &'static str,
    pub(crate) compression: Option<&'static str>,
}

/// A message to be written.
#[derive(Debug, Clone, Default)]
pub(crate) struct NewRecordOwned {
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(String, Option<Vec<u8>>)>,
    pub(crate) timestamp: i64,
}

impl Kafka {
    /// Fetches from `positions` of a topic, up to `bytes_max` in all; waits for up to `wait` for
    /// something to come.
    ///
    /// One round asks each leader once, so what is there of one leader may be left for the next.
    pub(crate) async fn fetch(
        &self,
        topic: &str,
        positions: &BTreeMap<i32, i64>,
        bytes_max: i32,
        wait: Duration,
    ) -> Result<Vec<Fetched>, Error> {
        let mut metadata = self.client.metadata();
        if positions.keys().any(|partition| metadata.leader(topic, *partition).is_none()) {
            metadata = self.refresh_topic(topic).await?;
        }
        // Of each something, or one large partition would be read to its end before the next.
        let count = i32::try_from(positions.len().max(1)).unwrap_or(i32::MAX);
        let partition_bytes_max = (bytes_max / count).max(PARTITION_BYTES_MIN).min(bytes_max);
        let mut by_leader: BTreeMap<i32, Vec<FetchPartition>> = BTreeMap::new();
        for (partition, offset) in positions {
            let leader = match metadata.leader(topic, *partition) {
                Some((node, _)) => node.id,
                None => continue,
            };
            by_leader.entry(leader).or_default().push(FetchPartition {
                partition: *partition,
                fetch_offset: *offset,
                partition_max_bytes: partition_bytes_max,
                ..FetchPartition::default()
            });
        }
        let leaders = u32::try_from(by_leader.len().max(1)).unwrap_or(u32::MAX);
        let mut fetched = Vec::new();
        for (leader, partitions) in by_leader {
            let request = FetchRequest {
                max_wait_ms: i32::try_from((wait / leaders).as_millis()).unwrap_or(i32::MAX),
                min_bytes: 1,
                max_bytes: bytes_max,
                session_id: 0,
                session_epoch: -1,
                topics: vec![FetchTopic {
                    topic: topic.to_owned(),
                    partitions,
                    ..FetchTopic::default()
                }],
                ..FetchRequest::default()
            };
            let target = Target::Broker(leader);
            let deadline = self.deadline();
            let answer = self.client.send_up_to(target, request, FETCH_BY_NAME, deadline).await?;
            Error::check(answer.error_code, None, || format!("topic {topic:?}"))?;
            let partitions = || answer.responses.iter().flat_map(|topic| &topic.partitions);
            let is_all_empty = partitions().all(|partition| {
                partition.records.as_ref().is_none_or(|records| records.is_empty())
            });
            for partition in answer.responses.into_iter().flat_map(|topic| topic.partitions) {
                let number = partition.partition_index;
                match ErrorCode::from_i16(partition.error_code) {
                    // Another leader: the next round asks it.
                    Some(
                        ErrorCode::NotLeaderOrFollower
                        | ErrorCode::FencedLeaderEpoch
                        | ErrorCode::UnknownLeaderEpoch,
                    ) => {
                        self.refresh_topic(topic).await?;
                        continue;
                    }
                    _ => Error::check(partition.error_code, None, || format!("{topic}-{number}"))?,
                }
                fetched.push(Fetched {
                    partition: number,
                    batches: partition.records.unwrap_or_default().into_bytes(),
                    end_offset: partition.high_watermark,
                    is_all_empty,
                });
            }
        }
        Ok(fetched)
    }
}

impl Fetched {
    /// Shows each record from `from` on, in order, until `see` says that it has seen enough; gives
    /// the offset to go on from. Control records are passed over.
    pub(crate) fn each(
        &self,
        from: i64,
        mut see: impl FnMut(&RecordView<'_>, BatchFacts) -> bool,
    ) -> Result<i64, Error> {
        let mut next = from;
        let mut decompressor = Decompressor::new();
        for batch in Batches::new(&self.batches) {
            // The last batch of an answer may be cut.
            let Ok(batch) = batch else { break };
            let bytes = self.batches.slice_ref(batch.bytes());
            let unreadable = |error: afluente_protocol::records::RecordsError| Error::Broker {
                about: format!(
                    "the batch at offset {} of partition {}",
                    batch.header().base_offset.0,
                    self.partition
                ),
                code: error.code(),
                message: Some(error.to_string()),
            };
            let open = OpenBatch::open(&bytes, &mut decompressor, UNCOMPRESSED_BYTES_MAX)
                .map_err(unreadable)?;
            let header = open.header();
            let attributes = header.attributes;
            let facts = BatchFacts {
                timestamp_type: match attributes.timestamp_type() {
                    TimestampType::CreateTime => "create",
                    TimestampType::LogAppendTime => "append",
                },
                compression: attributes
                    .codec()
                    .ok()
                    .map(|codec| codec.name())
                    .filter(|name| *name != "none"),
            };
            if !attributes.is_control() {
                for record in open.views() {
                    let record = record.map_err(unreadable)?;
                    if record.offset.0 < from {
                        continue;
                    }
                    next = record.offset.0 + 1;
                    if !see(&record, facts) {
                        return Ok(next);
                    }
                }
            }
            next = next.max(header.next_offset().0);
        }
        Ok(next)
    }
}
