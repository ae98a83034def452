//! Logs to be read, behind a fake cluster: what leaders answer to `Fetch`, `ListOffsets` and
//! `OffsetForLeaderEpoch`.

use crate::fake::{FakeCluster, Reply, Seen};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::{FetchPartition, FetchRequest};
use afluente_protocol::messages::fetch_response::{
    FetchResponse, FetchableTopicResponse, PartitionData,
};
use afluente_protocol::messages::list_offsets_request::ListOffsetsRequest;
use afluente_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use afluente_protocol::messages::offset_for_leader_epoch_request::OffsetForLeaderEpochRequest;
use afluente_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponse, OffsetForLeaderTopicResult,
};
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, Compressor, NewRecord, patch_base_offset, patch_leader_epoch,
};
use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The partitions of topic `t`. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Shelves(Arc<Mutex<BTreeMap<i32, Shelf>>>);

/// One partition; the value of a record is its number.
#[derive(Debug, Clone, Default)]
pub(super) struct Shelf {
    /// The first offset that is there.
    pub(super) start: i64,
    /// The epoch of the leader that appended it, by record, from offset 0 on.
    pub(super) epochs: Vec<i32>,
    /// A batch of which a bit is wrong, by its first offset.
    pub(super) spoilt: Option<i64>,
}

/// How long a leader waits that has nothing.
const EMPTY_WAIT: Duration = Duration::from_millis(1);
/// Records of a batch.
const BATCH_RECORDS: i64 = 10;
/// Batches of one answer.
const ANSWER_BATCHES: usize = 2;

impl Shelves {
    /// `partitions` of topic `t`, with `count` records each.
    pub(super) fn behind(cluster: &FakeCluster, partitions: usize, count: usize) -> Self {
        cluster.create_topic("t", partitions);
        let shelves = Self::default();
        for partition in (0..).take(partitions) {
            shelves.change(partition, |shelf| shelf.epochs = vec![0; count]);
        }
        let (reading, fake) = (shelves.clone(), cluster.clone());
        cluster.on::<FetchRequest>(move |request, seen| {
            let response = reading.fetch(&fake, &request, seen);
            let parts = response.responses.iter().flat_map(|topic| &topic.partitions);
            // A broker lets those wait for whom it has nothing.
            let is_empty = |part: &PartitionData| {
                part.error_code == 0
                    && part.records.as_ref().is_none_or(|records| records.is_empty())
            };
            match parts.into_iter().all(is_empty) {
                true => Reply::After(EMPTY_WAIT, response),
                false => Reply::Answer(response),
            }
        });
        let listing = shelves.clone();
        cluster.on::<ListOffsetsRequest>(move |request, _| Reply::Answer(listing.list(&request)));
        let epochs = shelves.clone();
        cluster.on::<OffsetForLeaderEpochRequest>(move |request, _| {
            Reply::Answer(epochs.epoch_ends(&request))
        });
        shelves
    }

    pub(super) fn change(&self, partition: i32, change: impl FnOnce(&mut Shelf)) {
        change(self.0.lock().entry(partition).or_default());
    }

    /// What leaders answer: those who do not lead say so.
    pub(super) fn fetch(
        &self,
        cluster: &FakeCluster,
        request: &FetchRequest,
        seen: &Seen,
    ) -> FetchResponse {
        let answer = |partition: &FetchPartition| {
            let (leader, _) = cluster.leader("t", partition.partition);
            match leader == seen.broker {
                true => self.read(partition),
                false => refused(partition, ErrorCode::NotLeaderOrFollower),
            }
        };
        answered(request, answer)
    }

    fn read(&self, asked: &FetchPartition) -> PartitionData {
        let shelves = self.0.lock();
        let shelf = &shelves[&asked.partition];
        let end = i64::try_from(shelf.epochs.len()).unwrap();
        let mut data = PartitionData {
            partition_index: asked.partition,
            high_watermark: end,
            last_stable_offset: end,
            log_start_offset: shelf.start,
            records: Some(Bytes::new().into()),
            ..Default::default()
        };
        if !(shelf.start..=end).contains(&asked.fetch_offset) {
            return refused(asked, ErrorCode::OffsetOutOfRange);
        }
        // A broker gives whole batches: the first one may begin before what was asked for.
        let mut from = asked.fetch_offset / BATCH_RECORDS * BATCH_RECORDS;
        let mut bytes = BytesMut::new();
        for _ in 0..ANSWER_BATCHES {
            if from >= end {
                break;
            }
            let to = (from + BATCH_RECORDS).min(end);
            bytes.extend_from_slice(&shelf.batch(from, to));
            from = to;
        }
        data.records = Some(bytes.freeze().into());
        data
    }

    fn list(&self, request: &ListOffsetsRequest) -> ListOffsetsResponse {
        let shelves = self.0.lock();
        let topics = request.topics.iter().map(|topic| ListOffsetsTopicResponse {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let shelf = &shelves[&asked.partition_index];
                    let end = i64::try_from(shelf.epochs.len()).unwrap();
                    ListOffsetsPartitionResponse {
                        partition_index: asked.partition_index,
                        offset: if asked.timestamp == -2 { shelf.start } else { end },
                        timestamp: -1,
                        leader_epoch: 0,
                        ..Default::default()
                    }
                })
                .collect(),
        });
        ListOffsetsResponse { topics: topics.collect(), ..Default::default() }
    }

    /// Where the records of an epoch, or of the last one before it, end.
    fn epoch_ends(&self, request: &OffsetForLeaderEpochRequest) -> OffsetForLeaderEpochResponse {
        let shelves = self.0.lock();
        let topics = request.topics.iter().map(|topic| OffsetForLeaderTopicResult {
            topic: topic.topic.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|asked| {
                    let epochs = &shelves[&asked.partition].epochs;
                    let count = epochs.iter().filter(|&&epoch| epoch <= asked.leader_epoch).count();
                    EpochEndOffset {
                        partition: asked.partition,
                        leader_epoch: count.checked_sub(1).map_or(-1, |last| epochs[last]),
                        end_offset: i64::try_from(count).unwrap(),
                        ..Default::default()
                    }
                })
                .collect(),
        });
        OffsetForLeaderEpochResponse { topics: topics.collect(), ..Default::default() }
    }
}

impl Shelf {
    fn batch(&self, from: i64, to: i64) -> Vec<u8> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        for number in from..to {
            let value = number.to_string();
            let value = Some(value.as_bytes());
            builder
                .append(&NewRecord { timestamp: number, key: None, value, headers: &[] })
                .unwrap();
        }
        let mut bytes = builder.finish(&mut Compressor::new()).unwrap().to_vec();
        let epoch = self.epochs[usize::try_from(from).unwrap()];
        patch_base_offset(&mut bytes, Offset(from));
        patch_leader_epoch(&mut bytes, LeaderEpoch(epoch));
        if self.spoilt == Some(from) {
            *bytes.last_mut().unwrap() ^= 1;
        }
        bytes
    }
}

/// An answer with something for each partition.
pub(super) fn answered(
    request: &FetchRequest,
    mut answer: impl FnMut(&FetchPartition) -> PartitionData,
) -> FetchResponse {
    let responses = request.topics.iter().map(|topic| FetchableTopicResponse {
        topic: topic.topic.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(&mut answer).collect(),
    });
    FetchResponse { responses: responses.collect(), ..Default::default() }
}

/// An answer without records, for one partition.
pub(super) fn refused(asked: &FetchPartition, code: ErrorCode) -> PartitionData {
    PartitionData {
        partition_index: asked.partition,
        error_code: code.code(),
        high_watermark: -1,
        ..Default::default()
    }
}
