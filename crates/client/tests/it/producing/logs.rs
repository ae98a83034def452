//! Logs behind a fake cluster: what a leader checks and keeps of what a producer sends.

use crate::fake::{FakeCluster, Reply, Seen};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::init_producer_id_request::InitProducerIdRequest;
use afluente_protocol::messages::init_producer_id_response::InitProducerIdResponse;
use afluente_protocol::messages::produce_request::ProduceRequest;
use afluente_protocol::messages::produce_response::{
    PartitionProduceResponse, ProduceResponse, TopicProduceResponse,
};
use afluente_protocol::records::{Batch, Decompressor};
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// The partitions of a cluster, by topic and number. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Logs(Arc<Mutex<BTreeMap<(String, i32), Log>>>);

/// One partition.
#[derive(Default)]
pub(super) struct Log {
    /// The values, in order.
    pub(super) values: Vec<String>,
    /// How many batches were written, and the largest one in bytes.
    pub(super) batches: usize,
    pub(super) batch_bytes_max: usize,
    producers: BTreeMap<i64, Producing>,
}

/// What a leader remembers of a producer.
#[derive(Default)]
struct Producing {
    epoch: i16,
    next_sequence: i32,
    /// The last batches: first sequence number, count, offset.
    recent: VecDeque<(i32, i32, i64)>,
}

/// A leader remembers so many batches of a producer.
const RECENT_MAX: usize = 5;

impl Logs {
    /// Lets `cluster` keep logs and hand out producer ids from 1000.
    pub(super) fn behind(cluster: &FakeCluster) -> Self {
        let logs = Self::default();
        let appending = logs.clone();
        cluster.on::<ProduceRequest>(move |request, _| Reply::Answer(appending.append(&request)));
        let mut next = 1000;
        cluster.on::<InitProducerIdRequest>(move |request, _| {
            let (producer_id, producer_epoch) = if request.producer_id >= 0 {
                (request.producer_id, request.producer_epoch + 1)
            } else {
                next += 1;
                (next - 1, 0)
            };
            Reply::Answer(InitProducerIdResponse {
                producer_id,
                producer_epoch,
                ..Default::default()
            })
        });
        logs
    }

    /// The values in a partition of topic `t`.
    pub(super) fn values(&self, partition: i32) -> Vec<String> {
        self.look(partition, |log| log.values.clone())
    }

    pub(super) fn look<T>(&self, partition: i32, look: impl FnOnce(&mut Log) -> T) -> T {
        look(self.0.lock().entry(("t".into(), partition)).or_default())
    }

    /// What a leader does with a request.
    pub(super) fn append(&self, request: &ProduceRequest) -> ProduceResponse {
        let mut logs = self.0.lock();
        let responses = request.topic_data.iter().map(|topic| TopicProduceResponse {
            name: topic.name.clone(),
            partition_responses: topic
                .partition_data
                .iter()
                .map(|partition| {
                    let log = logs.entry((topic.name.clone(), partition.index)).or_default();
                    let bytes = partition.records.clone().unwrap().into_bytes();
                    let (error, base_offset) = match log.append(&bytes) {
                        Ok(offset) => (ErrorCode::None, offset),
                        Err(error) => (error, -1),
                    };
                    PartitionProduceResponse {
                        index: partition.index,
                        error_code: error.code(),
                        base_offset,
                        log_start_offset: 0,
                        ..Default::default()
                    }
                })
                .collect(),
            ..Default::default()
        });
        ProduceResponse { responses: responses.collect(), ..Default::default() }
    }
}

impl Log {
    /// Forgets every producer, as after retention.
    pub(super) fn forget_producers(&mut self) {
        self.producers.clear();
    }

    fn append(&mut self, bytes: &[u8]) -> Result<i64, ErrorCode> {
        let batch = Batch::parse(bytes).unwrap();
        batch.verify_crc().unwrap();
        let header = *batch.header();
        header.check_shape().unwrap();
        let count = header.record_count;
        let offset = i64::try_from(self.values.len()).unwrap();
        if header.producer_id.0 >= 0 {
            let is_new = !self.producers.contains_key(&header.producer_id.0);
            let producing = self.producers.entry(header.producer_id.0).or_default();
            let (epoch, sequence) = (header.producer_epoch.0, header.base_sequence);
            if is_new || epoch > producing.epoch {
                if sequence != 0 {
                    if is_new {
                        self.producers.remove(&header.producer_id.0);
                    }
                    return Err(ErrorCode::OutOfOrderSequenceNumber);
                }
                *producing = Producing { epoch, ..Producing::default() };
            }
            if epoch < producing.epoch {
                return Err(ErrorCode::InvalidProducerEpoch);
            }
            let known =
                producing.recent.iter().find(|known| (known.0, known.1) == (sequence, count));
            if let Some(known) = known {
                return Ok(known.2);
            }
            if sequence != producing.next_sequence {
                let is_old = sequence < producing.next_sequence;
                return Err(if is_old {
                    ErrorCode::DuplicateSequenceNumber
                } else {
                    ErrorCode::OutOfOrderSequenceNumber
                });
            }
            producing.next_sequence += count;
            producing.recent.push_back((sequence, count, offset));
            if producing.recent.len() > RECENT_MAX {
                producing.recent.pop_front();
            }
        }
        let section = batch.uncompressed(&mut Decompressor::new(), 1 << 30).unwrap();
        for record in header.records(&section) {
            let value = record.unwrap().value.unwrap().to_vec();
            self.values.push(String::from_utf8(value).unwrap());
        }
        self.batches += 1;
        self.batch_bytes_max = self.batch_bytes_max.max(bytes.len());
        Ok(offset)
    }
}

/// An answer that refuses everything in a request.
pub(super) fn refuse(request: &ProduceRequest, code: ErrorCode) -> ProduceResponse {
    let responses = request.topic_data.iter().map(|topic| TopicProduceResponse {
        name: topic.name.clone(),
        partition_responses: topic
            .partition_data
            .iter()
            .map(|partition| PartitionProduceResponse {
                index: partition.index,
                error_code: code.code(),
                base_offset: -1,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    });
    ProduceResponse { responses: responses.collect(), ..Default::default() }
}

/// The next `Produce` is refused as a whole.
pub(super) fn refuse_once(cluster: &FakeCluster, code: ErrorCode) {
    cluster.once::<ProduceRequest>(move |request, _: &Seen| Reply::Answer(refuse(&request, code)));
}
