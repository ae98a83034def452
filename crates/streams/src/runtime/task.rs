//! One task at work: its inputs, in the order of their records' times, and its graph.

use super::offset_metadata;
use crate::engine::{Graph, Origin, Produced};
use crate::error::{Error, Flow};
use crate::record::{Header, Headers, Record};
use crate::topology::{RawInput, TimestampExtractor};
use afluente_client::TopicPartition;
use afluente_client::consumer::{ConsumerRecord, OffsetAndMetadata, Offsets, PartitionRecords};
use afluente_env::clock::Moment;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

pub(super) struct Task {
    graph: Graph,
    inputs: Vec<Input>,
    /// Since when the task could go on if it did not wait for inputs without records.
    idle_since: Option<Moment>,
}

struct Input {
    partition: TopicPartition,
    extractor: Option<TimestampExtractor>,
    /// The first has its event time, the others what their records say.
    queue: VecDeque<(Record<Bytes, Bytes>, i64)>,
    /// The highest event time so far.
    partition_time: i64,
    /// Where reading goes on behind the queue.
    end: i64,
    /// Something was processed since the last commit.
    has_progress: bool,
    is_paused: bool,
}

/// What a task waits for before it goes on.
pub(super) struct Patience<'a> {
    /// `max.task.idle.ms`.
    pub(super) idle: Option<Duration>,
    pub(super) now: Moment,
    /// How far the position of an input is behind the end of its partition, if that is known.
    pub(super) lag: &'a dyn Fn(&TopicPartition) -> Option<i64>,
}

impl Task {
    pub(super) fn new(
        graph: Graph,
        inputs: impl IntoIterator<Item = (TopicPartition, Option<TimestampExtractor>)>,
    ) -> Self {
        let inputs = inputs
            .into_iter()
            .map(|(partition, extractor)| Input {
                partition,
                extractor,
                queue: VecDeque::new(),
                partition_time: -1,
                end: 0,
                has_progress: false,
                is_paused: false,
            })
            .collect();
        Self { graph, inputs, idle_since: None }
    }

    pub(super) fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes over what was committed with an offset.
    pub(super) fn resume(&mut self, committed: &Offsets) {
        for input in &mut self.inputs {
            if let Some(offset) = committed.get(&input.partition) {
                input.partition_time = offset_metadata::decode(&offset.metadata);
                self.graph.set_stream_time(input.partition_time);
            }
        }
    }

    /// Takes polled records in; true if the input has enough of them.
    pub(super) fn enqueue(
        &mut self,
        records: &PartitionRecords,
        max: usize,
    ) -> Result<bool, Error> {
        let input = self
            .inputs
            .iter_mut()
            .find(|input| input.partition == *records.partition())
            .expect("a task gets records of its partitions");
        let was_empty = input.queue.is_empty();
        input.queue.extend(records.iter().map(|from| (record(&from), from.offset.0)));
        input.end = records.next_offset().0;
        if was_empty {
            input.settle_head()?;
        }
        input.is_paused = input.queue.len() >= max;
        Ok(input.is_paused)
    }

    /// Inputs that were full and have room again.
    pub(super) fn take_resumable(&mut self, max: usize, all: &mut Vec<TopicPartition>) {
        for input in &mut self.inputs {
            if input.is_paused && input.queue.len() < max {
                input.is_paused = false;
                all.push(input.partition.clone());
            }
        }
    }

    /// Whether the next record may be processed: each input has one, or has none to wait for (KIP-695).
    pub(super) fn is_ready(&mut self, patience: &Patience<'_>) -> bool {
        let mut has_any = false;
        let mut is_waiting = false;
        let mut is_idling = false;
        for input in &self.inputs {
            if !input.queue.is_empty() {
                has_any = true;
                continue;
            }
            let Some(idle) = patience.idle else { continue };
            if (patience.lag)(&input.partition) != Some(0) {
                is_waiting = true;
            } else if !idle.is_zero() {
                is_idling = true;
            }
        }
        if !has_any || is_waiting {
            self.idle_since = None;
            return false;
        }
        if !is_idling {
            self.idle_since = None;
            return true;
        }
        let since = *self.idle_since.get_or_insert(patience.now);
        patience.idle.is_none_or(|idle| patience.now.saturating_since(since) >= idle)
    }

    /// Lets the oldest record through.
    pub(super) fn process_next(&mut self) -> Flow {
        let at = match self.inputs.as_slice() {
            [_] => 0,
            inputs => {
                let heads = inputs
                    .iter()
                    .enumerate()
                    .filter_map(|(at, input)| Some((input.queue.front()?.0.timestamp, at)));
                heads.min().expect("a task that is ready has a record").1
            }
        };
        let input = &mut self.inputs[at];
        let (record, offset) = input.queue.pop_front().expect("the input has a record");
        input.has_progress = true;
        input.partition_time = input.partition_time.max(record.timestamp);
        let origin = Origin {
            topic: Arc::clone(&input.partition.topic),
            partition: input.partition.partition,
            offset,
        };
        input.settle_head()?;
        self.graph.process(origin, record)?;
        self.graph.punctuate_stream_time()?;
        Ok(())
    }

    pub(super) fn has_records(&self) -> bool {
        self.inputs.iter().any(|input| !input.queue.is_empty())
    }

    /// What was written since the last call.
    pub(super) fn drain_output(&mut self, buffer: &mut Vec<Produced>, all: &mut Vec<Produced>) {
        self.graph.swap_output(buffer);
        all.append(buffer);
    }

    /// Offsets up to which records were processed, of inputs where some were since the last call.
    pub(super) fn take_offsets(&mut self, all: &mut Offsets) {
        for input in &mut self.inputs {
            if std::mem::take(&mut input.has_progress) {
                let offset = input.queue.front().map_or(input.end, |(_, offset)| *offset);
                let metadata = offset_metadata::encode(input.partition_time);
                let offset = OffsetAndMetadata { offset, leader_epoch: -1, metadata };
                all.insert(input.partition.clone(), offset);
            }
        }
    }
}

impl Task {
    /// Remembers offsets that could not be committed, so that the next commit has them.
    pub(super) fn put_back(&mut self, offsets: &Offsets) {
        for input in &mut self.inputs {
            input.has_progress |= offsets.contains_key(&input.partition);
        }
    }
}

impl Input {
    /// Gives the first record its event time; records that have none are passed over.
    fn settle_head(&mut self) -> Flow {
        while let Some((head, _)) = self.queue.front_mut() {
            if let Some(extractor) = &self.extractor {
                head.timestamp = extractor(&RawInput {
                    key: head.key.as_deref(),
                    value: head.value.as_deref(),
                    timestamp: head.timestamp,
                    partition_time: self.partition_time,
                });
                if head.timestamp < 0 {
                    self.queue.pop_front();
                    self.has_progress = true;
                    continue;
                }
            } else if head.timestamp < 0 {
                let (topic, timestamp) = (Arc::clone(&self.partition.topic), head.timestamp);
                return Err(Error::Timestamp { topic, timestamp });
            }
            break;
        }
        Ok(())
    }
}

/// The record as the graph takes it; its bytes keep their batch alive.
pub(super) fn record(from: &ConsumerRecord<'_>) -> Record<Bytes, Bytes> {
    let headers = from.headers.map(|header| Header {
        key: String::from_utf8_lossy(header.key).into_owned(),
        value: header.value.map(Bytes::copy_from_slice),
    });
    Record {
        key: from.key_bytes(),
        value: from.value_bytes(),
        timestamp: from.timestamp,
        headers: Headers::new(headers.collect()),
    }
}
