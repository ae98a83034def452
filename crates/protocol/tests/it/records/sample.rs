//! Records and batches to test with.

use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    Batch, BatchBuilder, BatchOptions, BatchProducer, CodecId, Compression, Compressor,
    Decompressor, Header, NewRecord, RecordView, RecordsError,
};
use bytes::Bytes;
use proptest::prelude::*;

/// More than any batch of these tests holds.
pub(crate) const BYTES_MAX: usize = 16 << 20;

/// A record that owns its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<Vec<u8>>,
    pub(crate) value: Option<Vec<u8>>,
    pub(crate) headers: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Sample {
    pub(crate) fn of(view: &RecordView<'_>) -> Self {
        let header = |header: Header<'_>| (header.key.to_vec(), header.value.map(<[u8]>::to_vec));
        Self {
            offset: view.offset.0,
            timestamp: view.timestamp,
            key: view.key.map(<[u8]>::to_vec),
            value: view.value.map(<[u8]>::to_vec),
            headers: view.headers.map(header).collect(),
        }
    }

    pub(crate) fn append_to(&self, builder: &mut BatchBuilder) -> Result<(), RecordsError> {
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(key, value)| Header { key, value: value.as_deref() })
            .collect();
        let record = NewRecord {
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &headers,
        };
        builder.append_at(Offset(self.offset), &record)
    }
}

pub(crate) fn build(options: BatchOptions, samples: &[Sample]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for sample in samples {
        sample.append_to(&mut builder).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap()
}

/// What a batch holds, its checksum and shape checked.
pub(crate) fn read(batch: &[u8]) -> Result<Vec<Sample>, RecordsError> {
    let batch = Batch::parse(batch)?;
    batch.verify_crc()?;
    batch.header().check_shape()?;
    let section = batch.uncompressed(&mut Decompressor::new(), BYTES_MAX)?;
    let records = batch.header().records(&section);
    records.map(|view| view.map(|view| Sample::of(&view))).collect()
}

/// A small batch that has something of everything.
pub(crate) fn small(codec: CodecId) -> Bytes {
    let options = BatchOptions {
        base_offset: Offset(1000),
        partition_leader_epoch: LeaderEpoch(3),
        compression: codec.into(),
        producer: BatchProducer {
            id: ProducerId(4000),
            epoch: ProducerEpoch(1),
            base_sequence: i32::MAX,
        },
        is_transactional: true,
        ..BatchOptions::default()
    };
    let header = |key: &str, value: Option<&str>| {
        (key.as_bytes().to_vec(), value.map(|value| value.as_bytes().to_vec()))
    };
    let sample = |offset, key: Option<&str>, value: Option<&str>, headers| Sample {
        offset,
        timestamp: 1_700_000_000_000 + offset,
        key: key.map(|key| key.as_bytes().to_vec()),
        value: value.map(|value| value.as_bytes().to_vec()),
        headers,
    };
    let samples = [
        sample(1000, Some("key"), Some("value value value"), vec![]),
        sample(1001, None, Some(""), vec![header("a", Some("1")), header("a", Some("2"))]),
        sample(1003, Some(""), None, vec![header("", None)]),
    ];
    build(options, &samples)
}

pub(crate) fn any_compression() -> impl Strategy<Value = Compression> {
    prop::sample::select(CodecId::ALL.to_vec()).prop_map(Compression::from)
}

fn any_bytes() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        (any::<u8>(), 0..5000_usize).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

pub(crate) fn any_options() -> impl Strategy<Value = BatchOptions> {
    let flags = (any::<bool>(), any::<bool>());
    let times = (prop::option::of(0..i64::MAX), prop::option::of(0..i64::MAX));
    let producer = (any::<i64>(), any::<i16>(), any::<i32>());
    let place = (0..i64::MAX / 2, any::<i32>());
    (place, any_compression(), flags, times, producer).prop_map(
        |(place, compression, flags, times, producer)| BatchOptions {
            base_offset: Offset(place.0),
            partition_leader_epoch: LeaderEpoch(place.1),
            compression,
            log_append_time: times.0,
            producer: BatchProducer {
                id: ProducerId(producer.0),
                epoch: ProducerEpoch(producer.1),
                base_sequence: producer.2,
            },
            is_transactional: flags.0,
            is_control: flags.1,
            delete_horizon_ms: times.1,
        },
    )
}

/// Up to twenty records with growing offsets, relative to 0.
pub(crate) fn any_samples() -> impl Strategy<Value = Vec<Sample>> {
    let header = (any_bytes(), prop::option::of(any_bytes()));
    let headers = prop::collection::vec(header, 0..4);
    let part = || prop::option::of(any_bytes());
    let sample = (1..1000_i64, -1..i64::MAX, part(), part(), headers);
    prop::collection::vec(sample, 0..20).prop_map(|parts| {
        let mut offset = -1;
        let sample = |(step, timestamp, key, value, headers)| {
            offset += step;
            Sample { offset, timestamp, key, value, headers }
        };
        parts.into_iter().map(sample).collect()
    })
}
