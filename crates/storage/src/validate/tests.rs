//! One fault at a time, each with the error code that a client of Kafka gets for it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{LeaderEpoch, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    Attributes, BatchProducer, EndTxnMarker, MarkerPlace, NewRecord, TxnOutcome,
};
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000_000;

/// A batch with records of these timestamps.
fn batch_with(options: BatchOptions, timestamps: &[i64]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (at, timestamp) in timestamps.iter().enumerate() {
        let key = format!("key {at}");
        let record = NewRecord {
            timestamp: *timestamp,
            key: Some(key.as_bytes()),
            value: Some(&[7; 50]),
            headers: &[],
        };
        builder.append(&record).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap()
}

fn batch(timestamps: &[i64]) -> Bytes {
    batch_with(BatchOptions::default(), timestamps)
}

/// The batch with another header, and the checksum that goes with it.
fn with_header(bytes: &Bytes, change: impl FnOnce(&mut BatchHeader)) -> Bytes {
    let mut header = BatchHeader::parse(bytes).unwrap();
    change(&mut header);
    let section = &bytes[BATCH_HEADER_BYTES..];
    header.crc = header.crc_with(section);
    [&header.encode(), section].concat().into()
}

fn validate(bytes: &Bytes, config: &LogConfig) -> Result<ValidBatch, InvalidBatch> {
    Validator::new().validate(bytes, AppendOrigin::Client, config, NOW)
}

fn refused(bytes: &Bytes, config: &LogConfig) -> ErrorCode {
    validate(bytes, config).unwrap_err().code()
}

fn config(values: &[(&str, &str)]) -> LogConfig {
    LogConfig::resolve(|_| None, values.iter().copied()).unwrap()
}

/// The batch as it goes into the log.
fn written(valid: &ValidBatch) -> Bytes {
    [&valid.header.encode(), &valid.section[..]].concat().into()
}

/// Reads what was accepted as a consumer would: offsets and timestamps.
fn read(valid: &ValidBatch) -> Vec<(i64, i64)> {
    let bytes = written(valid);
    let batch = Batch::parse(&bytes).unwrap();
    batch.verify_crc().unwrap();
    let section = batch.uncompressed(&mut Decompressor::new(), 1 << 20).unwrap();
    let records = batch.header().records(&section);
    records
        .map(|record| record.unwrap())
        .map(|record| (record.offset.0, record.timestamp))
        .collect()
}

#[test]
fn a_plain_batch_goes_through_without_a_copy() {
    for codec in CodecId::ALL {
        let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
        let bytes = batch_with(options, &[NOW - 5, NOW, NOW - 7]);
        let valid = validate(&bytes, &LogConfig::default()).unwrap();
        assert_eq!(written(&valid), bytes);
        assert_eq!(valid.section.as_ptr(), bytes[BATCH_HEADER_BYTES..].as_ptr());
        assert_eq!(valid.producer.max_timestamp_ms, NOW);
        assert_eq!(read(&valid), [(0, NOW - 5), (1, NOW), (2, NOW - 7)]);
    }
}

#[test]
fn a_fault_of_the_batch_has_its_error_code() {
    let good = batch(&[NOW, NOW]);
    let two = Bytes::from([&good[..], &good[..]].concat());
    let cut = good.slice(..good.len() - 1);
    let corrupt = {
        let mut bytes = good.to_vec();
        bytes[70] ^= 1;
        Bytes::from(bytes)
    };
    let mut legacy = good.to_vec();
    legacy[16] = 1;
    let mut strange = good.to_vec();
    strange[16] = 9;
    type Change = fn(&mut BatchHeader);
    let changed = |change: Change| with_header(&good, change);
    for (what, bytes, code) in [
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        ("two batches", two, ErrorCode::InvalidRecord),
        ("cut short", cut, ErrorCode::InvalidRecord),
        ("a flipped bit", corrupt, ErrorCode::CorruptMessage),
        ("message format v1", legacy.into(), ErrorCode::InvalidRecord),
        ("magic 9", strange.into(), ErrorCode::CorruptMessage),
        ("base offset", changed(|h| h.base_offset = Offset(1)), ErrorCode::InvalidRecord),
        ("count", changed(|h| h.record_count = 3), ErrorCode::InvalidRecord),
        (
            "both counts",
            changed(|h| (h.record_count, h.last_offset_delta) = (3, 2)),
            ErrorCode::InvalidRecord,
        ),
        (
            "fewer",
            changed(|h| (h.record_count, h.last_offset_delta) = (1, 0)),
            ErrorCode::InvalidRecord,
        ),
        (
            "none",
            changed(|h| (h.record_count, h.last_offset_delta) = (0, -1)),
            ErrorCode::InvalidRecord,
        ),
        ("negative", changed(|h| h.record_count = -1), ErrorCode::InvalidRecord),
        (
            "control",
            changed(|h| h.attributes = h.attributes.with_control(true)),
            ErrorCode::InvalidRecord,
        ),
        ("no sequence", changed(|h| h.producer_id = ProducerId(1)), ErrorCode::InvalidRecord),
        (
            "codec 6",
            changed(|h| h.attributes = Attributes::from_bits(6)),
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "not gzip",
            changed(|h| h.attributes = Attributes::from_bits(1)),
            ErrorCode::InvalidRecord,
        ),
    ] {
        assert_eq!(refused(&bytes, &LogConfig::default()), code, "{what}");
    }
}

#[test]
fn a_cut_anywhere_is_refused_and_so_is_every_flipped_bit_under_the_checksum() {
    let good = batch(&[NOW, NOW]);
    for cut in 0..good.len() {
        assert!(validate(&good.slice(..cut), &LogConfig::default()).is_err(), "cut at {cut}");
    }
    for bit in 0..good.len() * 8 {
        let mut damaged = good.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // The leader epoch is the broker's to set.
        let is_free = (12..16).contains(&(bit / 8));
        let result = validate(&damaged.into(), &LogConfig::default());
        assert_eq!(result.is_ok(), is_free, "bit {bit}");
    }
}

#[test]
fn a_batch_may_be_as_large_as_configured() {
    let bytes = batch(&[NOW]);
    let size = bytes.len().to_string();
    validate(&bytes, &config(&[("max.message.bytes", &size)])).unwrap();
    let less = (bytes.len() - 1).to_string();
    let less = config(&[("max.message.bytes", &less)]);
    assert_eq!(refused(&bytes, &less), ErrorCode::MessageTooLarge);
    // What was small as it came can be too large as it is kept.
    let options = BatchOptions { compression: CodecId::Zstd.into(), ..BatchOptions::default() };
    let bytes = batch_with(options, &[NOW; 20]);
    let size = bytes.len().to_string();
    let kept_plain = config(&[("max.message.bytes", &size), ("compression.type", "uncompressed")]);
    assert_eq!(refused(&bytes, &kept_plain), ErrorCode::MessageTooLarge);
}

#[test]
fn timestamps_out_of_range_are_listed_record_by_record() {
    let limits =
        [("message.timestamp.before.max.ms", "1000"), ("message.timestamp.after.max.ms", "500")];
    let config = config(&limits);
    validate(&batch(&[NOW - 1000, NOW + 500, -1]), &config).unwrap();
    let error = validate(&batch(&[NOW, NOW - 1001, NOW, NOW + 501]), &config).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
    let faults: Vec<_> = error.record_faults().iter().map(|fault| fault.index).collect();
    assert_eq!(faults, [1, 3]);
    let expected = format!(
        "2 records are refused, the first because timestamp {} is outside of the range [{}, {}]",
        NOW - 1001,
        NOW - 1000,
        NOW + 500
    );
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_compacted_topic_asks_for_keys() {
    let compacted = config(&[("cleanup.policy", "compact,delete")]);
    validate(&batch(&[NOW]), &compacted).unwrap();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for key in [Some(&b"k"[..]), None, Some(b"")] {
        let record = NewRecord { timestamp: NOW, key, value: None, headers: &[] };
        builder.append(&record).unwrap();
    }
    let bytes = builder.finish(&mut Compressor::new()).unwrap();
    validate(&bytes, &LogConfig::default()).unwrap();
    let error = validate(&bytes, &compacted).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidRecord);
    assert_eq!(error.record_faults().len(), 1);
    assert_eq!(error.record_faults()[0].index, 1);
}

#[test]
fn a_million_faults_are_not_listed() {
    let error =
        validate(&batch(&vec![5; 5000]), &config(&[("message.timestamp.before.max.ms", "1")]))
            .unwrap_err();
    assert!(matches!(error, InvalidBatch::Records { count: 5000, .. }));
    assert_eq!(error.record_faults().len(), 256);
}

#[test]
fn log_append_time_is_that_of_the_broker() {
    let append_time = config(&[("message.timestamp.type", "LogAppendTime")]);
    for codec in [CodecId::None, CodecId::Lz4] {
        let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
        let valid = validate(&batch_with(options, &[5, NOW + 99_999_999]), &append_time).unwrap();
        assert_eq!(valid.header.max_timestamp, NOW);
        assert_eq!(valid.producer.max_timestamp_ms, NOW);
        assert_eq!(read(&valid), [(0, NOW), (1, NOW)]);
    }
    // A producer cannot claim it.
    let claimed = with_header(&batch(&[NOW]), |header| {
        header.attributes = header.attributes.with_timestamp_type(TimestampType::LogAppendTime);
    });
    assert_eq!(refused(&claimed, &append_time), ErrorCode::InvalidTimestamp);
}

#[test]
fn the_greatest_timestamp_in_the_header_is_put_right() {
    let wrong = with_header(&batch(&[NOW - 9, NOW - 3]), |header| header.max_timestamp = NOW + 77);
    let valid = validate(&wrong, &LogConfig::default()).unwrap();
    assert_eq!(valid.header.max_timestamp, NOW - 3);
    assert_eq!(read(&valid), [(0, NOW - 9), (1, NOW - 3)]);
}

#[test]
fn records_are_kept_in_the_codec_of_the_topic() {
    for source in CodecId::ALL {
        for target in ["uncompressed", "gzip", "snappy", "lz4", "zstd", "producer"] {
            let options = BatchOptions {
                compression: source.into(),
                producer: BatchProducer {
                    id: ProducerId(9),
                    epoch: ProducerEpoch(2),
                    base_sequence: 77,
                },
                is_transactional: true,
                ..BatchOptions::default()
            };
            let bytes = batch_with(options, &[NOW, NOW + 1]);
            let valid = validate(&bytes, &config(&[("compression.type", target)])).unwrap();
            let codec = valid.header.attributes.codec().unwrap();
            match target {
                "uncompressed" => assert_eq!(codec, CodecId::None),
                "producer" => assert_eq!(codec, source),
                other => assert_eq!(codec.name(), other),
            }
            assert_eq!(read(&valid), [(0, NOW), (1, NOW + 1)]);
            assert_eq!(valid.header.base_sequence, 77);
            assert!(valid.producer.is_transactional());
            assert_eq!(valid.producer.producer_id, Some(ProducerId(9)));
        }
    }
}

#[test]
fn offsets_with_holes_are_closed() {
    for codec in [CodecId::None, CodecId::Zstd] {
        let options = BatchOptions { compression: codec.into(), ..BatchOptions::default() };
        let mut builder = BatchBuilder::new(options);
        let record = NewRecord { timestamp: NOW, key: None, value: None, headers: &[] };
        builder.append_at(Offset(0), &record).unwrap();
        builder.append_at(Offset(5), &record).unwrap();
        let bytes = builder.finish(&mut Compressor::new()).unwrap();
        let bytes = with_header(&bytes, |header| header.last_offset_delta = 1);
        let valid = validate(&bytes, &LogConfig::default()).unwrap();
        assert_eq!(read(&valid), [(0, NOW), (1, NOW)]);
    }
}

#[test]
fn a_bomb_is_refused_at_the_limit() {
    let zeros = vec![0; UNCOMPRESSED_BYTES_MAX + 1];
    let options = BatchOptions { compression: CodecId::Zstd.into(), ..BatchOptions::default() };
    let mut section = Vec::new();
    Compressor::new().compress(options.compression, &zeros, &mut section);
    let mut bomb = batch_with(options, &[NOW])[..BATCH_HEADER_BYTES].to_vec();
    let length = i32::try_from(BATCH_HEADER_BYTES - 12 + section.len()).unwrap();
    bomb[8..12].copy_from_slice(&length.to_be_bytes());
    bomb.extend_from_slice(&section);
    let bomb = with_header(&bomb.into(), |_| {});
    assert!(bomb.len() < 100_000, "a small batch: {}", bomb.len());
    let mut validator = Validator::new();
    let error = validator.validate(&bomb, AppendOrigin::Client, &LogConfig::default(), NOW);
    assert_eq!(error.unwrap_err().code(), ErrorCode::MessageTooLarge);
}

fn marker() -> Bytes {
    let place = MarkerPlace {
        offset: Offset(0),
        partition_leader_epoch: LeaderEpoch(0),
        timestamp: NOW,
        producer_id: ProducerId(3),
        producer_epoch: ProducerEpoch(1),
    };
    EndTxnMarker { outcome: TxnOutcome::Abort, coordinator_epoch: 4 }.batch(place)
}

#[test]
fn coordinators_write_markers_that_no_codec_touches() {
    let mut validator = Validator::new();
    let config = config(&[("compression.type", "gzip"), ("cleanup.policy", "compact")]);
    let valid = validator.validate(&marker(), AppendOrigin::Coordinator, &config, NOW).unwrap();
    assert_eq!(written(&valid), marker());
    use crate::producer_state::{BatchContent, EndTxn};
    let expected = EndTxn { aborted: true, coordinator_epoch: 4, timestamp_ms: NOW };
    assert_eq!(valid.producer.content, BatchContent::Marker(expected));
}

#[test]
fn batches_of_the_leader_keep_their_offsets_and_holes() {
    let at = |offset: i64| with_header(&batch(&[NOW, NOW]), |h| h.base_offset = Offset(offset));
    let bytes = Bytes::from([at(10), at(12), at(20)].concat());
    let valid = validate_replicated(&bytes, Offset(10)).unwrap();
    let offsets: Vec<_> = valid.iter().map(|batch| batch.header.base_offset.0).collect();
    assert_eq!(offsets, [10, 12, 20]);
    let error = validate_replicated(&bytes, Offset(11)).unwrap_err();
    assert_eq!(error, InvalidBatch::OffsetsFall { found: Offset(10), next: Offset(11) });
    let overlap = Bytes::from([at(10), at(11)].concat());
    assert!(validate_replicated(&overlap, Offset(0)).is_err());
    for cut in (0..bytes.len()).filter(|cut| !cut.is_multiple_of(bytes.len() / 3)) {
        assert!(validate_replicated(&bytes.slice(..cut), Offset(10)).is_err(), "cut at {cut}");
    }
}

proptest! {
    #[test]
    fn any_bytes_give_an_answer(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), attributes in 0..128_u8,
    ) {
        let mut bytes = bytes;
        if bytes.len() >= BATCH_HEADER_BYTES {
            // Let it get past the checksum: the records are what it stumbles over.
            bytes[..8].fill(0);
            let length = i32::try_from(bytes.len() - 12).unwrap();
            bytes[8..12].copy_from_slice(&length.to_be_bytes());
            bytes[16] = 2;
            bytes[21..23].copy_from_slice(&[0, attributes]);
            bytes = with_header(&bytes.into(), |header| {
                header.record_count = header.record_count.rem_euclid(4) + 1;
                header.last_offset_delta = header.record_count - 1;
            }).into();
        }
        let bytes = Bytes::from(bytes);
        for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
            let _ = Validator::new().validate(&bytes, origin, &LogConfig::default(), NOW);
        }
        let _ = validate_replicated(&bytes, Offset(0));
    }
}
