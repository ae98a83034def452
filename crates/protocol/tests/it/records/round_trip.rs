//! What is written is what is read.

use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    Attributes, Batch, BatchBuilder, BatchOptions, CodecId, Compression, Compressor, ControlType,
    Decompressor, EndTxnMarker, MarkerPlace, NewRecord, OpenBatch, RecordsError, TimestampType,
    TxnOutcome, emptied, recompress,
};
use proptest::prelude::*;

use super::sample::{
    BYTES_MAX, Sample, any_compression, any_options, any_samples, build, read, small,
};

proptest! {
    #[test]
    fn every_field_comes_back(options in any_options(), mut samples in any_samples()) {
        for sample in &mut samples {
            sample.offset += options.base_offset.0;
        }
        let bytes = build(options, &samples);
        let batch = Batch::parse(&bytes).unwrap();
        let header = batch.header();
        prop_assert_eq!(batch.bytes().len(), bytes.len());
        prop_assert_eq!(header.base_offset, options.base_offset);
        prop_assert_eq!(header.partition_leader_epoch, options.partition_leader_epoch);
        prop_assert_eq!(header.attributes.codec().unwrap(), options.compression.codec());
        prop_assert_eq!(header.attributes.is_transactional(), options.is_transactional);
        prop_assert_eq!(header.attributes.is_control(), options.is_control);
        prop_assert_eq!(header.delete_horizon_ms(), options.delete_horizon_ms);
        prop_assert_eq!(header.producer_id, options.producer.id);
        prop_assert_eq!(header.producer_epoch, options.producer.epoch);
        prop_assert_eq!(header.base_sequence, options.producer.base_sequence);
        prop_assert_eq!(header.record_count as usize, samples.len());
        if let Some(last) = samples.last() {
            prop_assert_eq!(header.last_offset(), Offset(last.offset));
        }

        if let Some(time) = options.log_append_time {
            prop_assert_eq!(header.max_timestamp, time);
            for sample in &mut samples {
                sample.timestamp = time;
            }
        } else {
            let max = samples.iter().map(|sample| sample.timestamp).max().unwrap_or(-1);
            prop_assert_eq!(header.max_timestamp, max);
        }
        prop_assert_eq!(read(&bytes).unwrap(), samples);
    }

    #[test]
    fn skimming_agrees_with_reading(options in any_options(), mut samples in any_samples()) {
        for sample in &mut samples {
            sample.offset += options.base_offset.0;
        }
        let bytes = build(options, &samples);
        let open = OpenBatch::open(&bytes, &mut Decompressor::new(), BYTES_MAX).unwrap();
        let skimmed: Result<Vec<_>, _> = open.header().skim(open.section()).collect();
        let views: Result<Vec<_>, _> = open.views().collect();
        let records: Result<Vec<_>, _> = open.records().collect();
        let (skimmed, views, records) = (skimmed.unwrap(), views.unwrap(), records.unwrap());
        prop_assert_eq!(skimmed.len(), views.len());
        prop_assert_eq!(records.len(), views.len());
        for ((skimmed, view), record) in skimmed.iter().zip(&views).zip(&records) {
            prop_assert_eq!(skimmed.offset, view.offset);
            prop_assert_eq!(skimmed.timestamp, view.timestamp);
            prop_assert_eq!(skimmed.key, view.key);
            prop_assert_eq!(skimmed.value_bytes, view.value.map(<[u8]>::len));
            prop_assert_eq!(record.offset, view.offset);
            prop_assert_eq!(record.timestamp, view.timestamp);
            prop_assert_eq!(record.key.as_deref(), view.key);
            prop_assert_eq!(record.value.as_deref(), view.value);
            let headers = record.headers.iter().map(|(key, value)| (&key[..], value.as_deref()));
            prop_assert!(headers.eq(view.headers.map(|header| (header.key, header.value))));
        }
    }

    #[test]
    fn sizes_are_foretold(options in any_options(), samples in any_samples()) {
        let mut builder = BatchBuilder::new(options);
        for sample in &samples {
            let record = NewRecord {
                timestamp: sample.timestamp,
                key: sample.key.as_deref(),
                value: sample.value.as_deref(),
                headers: &[],
            };
            let expected = builder.size_bytes_uncompressed() + builder.record_bytes(&record);
            builder.append(&record).unwrap();
            prop_assert_eq!(builder.size_bytes_uncompressed(), expected);
        }
        let expected = builder.size_bytes_uncompressed();
        if options.compression == Compression::None {
            let batch = builder.finish(&mut Compressor::new()).unwrap();
            prop_assert_eq!(batch.len(), expected);
        }
    }

    #[test]
    fn recompression_changes_the_codec_and_nothing_else(
        options in any_options(),
        samples in any_samples(),
        to in any_compression(),
    ) {
        let options = BatchOptions { base_offset: Offset(0), ..options };
        let bytes = build(options, &samples);
        let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
        let batch = Batch::parse(&bytes).unwrap();
        let other =
            recompress(&batch, to, BYTES_MAX, &mut compressor, &mut decompressor).unwrap();
        prop_assert_eq!(read(&other).unwrap(), read(&bytes).unwrap());
        let expected = build(BatchOptions { compression: to, ..options }, &samples);
        prop_assert_eq!(other, expected);
    }
}

#[test]
fn compaction_keeps_the_offsets_that_the_batch_spanned() {
    let original = small(CodecId::Gzip);
    let open = OpenBatch::open(&original, &mut Decompressor::new(), BYTES_MAX).unwrap();
    let options = BatchOptions::in_place_of(open.header(), Compression::from(CodecId::Zstd));
    let mut builder = BatchBuilder::new(options);
    builder.append_view(&open.views().nth(1).unwrap().unwrap()).unwrap();
    builder.extend_to(open.header().last_offset()).unwrap();
    let compacted = builder.finish(&mut Compressor::new()).unwrap();

    assert_eq!(read(&compacted).unwrap(), read(&original).unwrap()[1..2]);
    let header = *Batch::parse(&compacted).unwrap().header();
    assert_eq!(header.base_offset, Offset(1000));
    assert_eq!(header.last_offset(), Offset(1003));
    assert_eq!(header.last_sequence(), open.header().last_sequence());
    assert_eq!(header.max_timestamp, 1_700_000_001_001);
    assert!(header.attributes.is_transactional());
}

#[test]
fn an_emptied_batch_keeps_offsets_and_producer() {
    let original = small(CodecId::Lz4);
    let before = *Batch::parse(&original).unwrap().header();
    let bytes = emptied(&before);
    assert_eq!(read(&bytes).unwrap(), []);
    let after = *Batch::parse(&bytes).unwrap().header();
    assert_eq!(after.size_bytes(), bytes.len());
    assert_eq!(after.base_offset, before.base_offset);
    assert_eq!(after.last_offset(), before.last_offset());
    assert_eq!(after.producer_id, before.producer_id);
    assert_eq!(after.last_sequence(), before.last_sequence());
    assert_eq!(after.max_timestamp, before.max_timestamp);
    assert_eq!(after.base_timestamp, -1);
}

#[test]
fn a_transaction_marker_is_a_control_batch_of_its_own() {
    for outcome in [TxnOutcome::Abort, TxnOutcome::Commit] {
        let marker = EndTxnMarker { outcome, coordinator_epoch: 0x0102_0304 };
        let bytes = marker.batch(MarkerPlace {
            offset: Offset(42),
            partition_leader_epoch: LeaderEpoch(5),
            timestamp: 1_700_000_000_000,
            producer_id: ProducerId(77),
            producer_epoch: ProducerEpoch(8),
        });
        let batch = Batch::parse(&bytes).unwrap();
        batch.verify_crc().unwrap();
        let header = batch.header();
        let attributes = Attributes::default().with_transactional(true).with_control(true);
        assert_eq!(header.attributes, attributes);
        assert_eq!((header.base_offset, header.next_offset()), (Offset(42), Offset(43)));
        assert_eq!((header.producer_id, header.base_sequence), (ProducerId(77), -1));
        let record = header.records(batch.records_section()).next().unwrap().unwrap();
        assert_eq!(EndTxnMarker::parse(&record), Ok(Some(marker)));
    }
}

#[test]
fn control_records_of_other_types_are_no_markers_and_bad_ones_are_errors() {
    let parse = |key: Option<&[u8]>, value: Option<&[u8]>| {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { key, value, ..NewRecord::default() }).unwrap();
        let bytes = builder.finish(&mut Compressor::new()).unwrap();
        let batch = Batch::parse(&bytes).unwrap();
        let record = batch.header().records(batch.records_section()).next().unwrap().unwrap();
        EndTxnMarker::parse(&record)
    };
    for kind in [ControlType::LeaderChange, ControlType::KraftVoters, ControlType::Unknown(99)] {
        assert_eq!(ControlType::parse(&kind.key()), Ok(kind));
        assert_eq!(parse(Some(&kind.key()), None), Ok(None));
    }
    let commit = ControlType::Commit.key();
    let value = Some(&[0; 6][..]);
    let bad = [
        (None, value),
        (Some(&[][..]), value),
        (Some(&commit[..3]), value),
        (Some(&[0xff, 0xff, 0, 0]), value),
        (Some(&commit), None),
        (Some(&commit), Some(&[0; 5])),
    ];
    for (key, value) in bad {
        let error = parse(key, value).unwrap_err();
        assert!(matches!(error, RecordsError::BadControlRecord(_)), "{key:?} {value:?}");
    }
    assert!(parse(Some(&commit), Some(&[0, 9, 0, 0, 0, 1, 7, 7])).unwrap().is_some());
}

#[test]
fn records_that_do_not_fit_together_are_refused_and_leave_the_batch_as_it_was() {
    let options = BatchOptions { base_offset: Offset(10), ..BatchOptions::default() };
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { timestamp: 5, value: Some(b"v"), ..NewRecord::default() };
    builder.append_at(Offset(12), &record).unwrap();
    let size = builder.size_bytes_uncompressed();
    for offset in [0, 9, 10, 12, 10 + (1 << 31), i64::MAX, i64::MIN] {
        let refused = builder.append_at(Offset(offset), &record).unwrap_err();
        assert!(matches!(refused, RecordsError::OffsetOutOfOrder { .. }), "{offset}: {refused}");
    }
    let refused = builder.append(&NewRecord { timestamp: -2, ..record }).unwrap_err();
    assert_eq!(refused, RecordsError::BadTimestamp(-2));
    assert!(builder.extend_to(Offset(11)).is_err());
    assert_eq!((builder.size_bytes_uncompressed(), builder.record_count()), (size, 1));
    builder.append_at(Offset(9 + (1 << 31)), &record).unwrap();
    let bytes = builder.finish(&mut Compressor::new()).unwrap();
    let offsets: Vec<_> = read(&bytes).unwrap().iter().map(|sample| sample.offset).collect();
    assert_eq!(offsets, [12, 9 + (1 << 31)]);
}

#[test]
fn a_log_append_time_stamped_later_is_that_of_every_record() {
    let bytes = small(CodecId::Snappy);
    let batch = Batch::parse(&bytes).unwrap();
    let mut header = *batch.header();
    header.set_max_timestamp(TimestampType::LogAppendTime, 99, batch.records_section());
    let stamped = [&header.encode(), batch.records_section()].concat();
    let expected: Vec<_> =
        read(&bytes).unwrap().into_iter().map(|s| Sample { timestamp: 99, ..s }).collect();
    assert_eq!(read(&stamped).unwrap(), expected);
}
