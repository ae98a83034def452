//! Batches taken apart in pieces, whole and damaged, of transactions and without.

use super::super::records::{PartitionRecords, Records};
use super::*;
use afluente_protocol::numbers::ProducerEpoch;
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Compression, Compressor, MarkerPlace, NewRecord,
    emptied,
};

const OPTIONS: ReadOptions =
    ReadOptions { isolation_level: IsolationLevel::ReadUncommitted, checks_crcs: true };
const COMMITTED: ReadOptions =
    ReadOptions { isolation_level: IsolationLevel::ReadCommitted, checks_crcs: true };

/// A batch of `count` records from `offset` on, each with its offset as value.
fn batch(offset: i64, count: i64, compression: Compression, producer: Option<i64>) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(offset),
        compression,
        producer: producer.map_or(BatchProducer::NONE, |id| BatchProducer {
            id: ProducerId(id),
            epoch: ProducerEpoch(0),
            base_sequence: 0,
        }),
        is_transactional: producer.is_some(),
        ..Default::default()
    });
    for offset in offset..offset + count {
        let value = offset.to_string();
        let value = Some(value.as_bytes());
        builder.append(&NewRecord { timestamp: 5, key: None, value, headers: &[] }).unwrap();
    }
    builder.finish(&mut Compressor::new()).unwrap().to_vec()
}

fn marker(offset: i64, producer: i64, outcome: TxnOutcome) -> Vec<u8> {
    let place = MarkerPlace {
        offset: Offset(offset),
        partition_leader_epoch: LeaderEpoch(0),
        timestamp: 5,
        producer_id: ProducerId(producer),
        producer_epoch: ProducerEpoch(0),
    };
    EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place).to_vec()
}

/// Takes everything in steps of `max`; the offsets of each step, and the position after all.
fn take_all(
    bytes: Vec<u8>,
    aborted: &[(i64, i64)],
    from: i64,
    max: usize,
    options: ReadOptions,
) -> (Vec<Vec<i64>>, i64) {
    let aborted = aborted
        .iter()
        .map(|&(producer_id, first_offset)| AbortedTransaction { producer_id, first_offset });
    let (mut fetched, _) = Fetched::new(bytes.into(), Some(aborted.collect())).unwrap().unwrap();
    let mut decompressor = Decompressor::new();
    let (mut steps, mut position) = (Vec::new(), Offset(from));
    while !fetched.is_empty() {
        let taken = fetched.take(position, max, options, &mut decompressor).unwrap();
        if let Some((next, _)) = taken.position {
            position = next;
        }
        let count = taken.count;
        let records = PartitionRecords::new(("t", 0).into(), taken.pieces, count, position);
        let mut all = Records::default();
        all.push(records);
        let offsets: Vec<i64> = all
            .iter()
            .map(|record| {
                let offset = record.offset.0;
                assert_eq!(record.value, Some(offset.to_string().as_bytes()));
                assert_eq!(record.to_record().value.as_deref(), record.value);
                offset
            })
            .collect();
        assert_eq!(offsets.len(), count);
        steps.push(offsets);
    }
    (steps, position.0)
}

#[test]
fn records_come_in_steps_across_batches_and_codecs() {
    let codecs = [
        Compression::None,
        Compression::Gzip(Default::default()),
        Compression::Snappy,
        Compression::Lz4(Default::default()),
        Compression::Zstd(Default::default()),
    ];
    for codec in codecs {
        let bytes = [batch(10, 5, codec, None), batch(15, 5, codec, None)].concat();
        for max in 1..12 {
            let (steps, position) = take_all(bytes.clone(), &[], 12, max, OPTIONS);
            assert_eq!(steps.concat(), (12..20).collect::<Vec<_>>());
            assert!(steps.iter().all(|step| step.len() <= max), "{max}: {steps:?}");
            assert_eq!(position, 20);
        }
    }
}

#[test]
fn what_is_cut_off_at_the_end_is_left_for_the_next_fetch() {
    let whole = batch(0, 3, Compression::None, None);
    let bytes = [whole.clone(), batch(3, 3, Compression::None, None)].concat();
    for length in 0..bytes.len() {
        let fetched = Fetched::new(bytes[..length].to_vec().into(), None).unwrap();
        assert_eq!(fetched.is_some(), length >= whole.len(), "{length}");
        if let Some((_, end)) = fetched {
            assert_eq!(end.next_offset, Offset(3));
        }
    }
}

#[test]
fn every_flipped_bit_under_the_checksum_is_an_error_behind_what_is_sound() {
    let sound = batch(0, 3, Compression::None, None);
    let bytes = [sound.clone(), batch(3, 3, Compression::None, None)].concat();
    let mut decompressor = Decompressor::new();
    for bit in (sound.len() + 21) * 8..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let (mut fetched, _) = Fetched::new(damaged.into(), None).unwrap().unwrap();
        let taken = fetched.take(Offset(0), 100, OPTIONS, &mut decompressor).unwrap();
        assert_eq!((taken.count, taken.position.unwrap().0), (3, Offset(3)));
        assert!(fetched.take(Offset(3), 100, OPTIONS, &mut decompressor).is_err(), "bit {bit}");
        assert!(fetched.take(Offset(3), 100, OPTIONS, &mut decompressor).is_err(), "and stays");
    }
}

#[test]
fn a_bad_record_is_met_when_it_is_first_and_can_be_passed_by_seeking() {
    let mut bytes = batch(0, 3, Compression::None, None);
    // The length of the second record says more than there is; nobody checks the checksum.
    let record = 61 + 8;
    bytes[record] = 0x7e;
    let options = ReadOptions { checks_crcs: false, ..OPTIONS };
    let mut decompressor = Decompressor::new();
    let (mut fetched, _) = Fetched::new(bytes.into(), None).unwrap().unwrap();
    let taken = fetched.take(Offset(0), 100, options, &mut decompressor).unwrap();
    assert_eq!((taken.count, taken.position.unwrap().0), (1, Offset(1)));
    let again = fetched.take(Offset(1), 100, options, &mut decompressor);
    assert!(matches!(again, Err(RecordsError::BadRecord { .. })), "{again:?}");
}

#[test]
fn offsets_without_records_are_passed_over() {
    let gone = batch(3, 4, Compression::None, None);
    let header = *Batch::parse(&gone).unwrap().header();
    let bytes = [batch(0, 3, Compression::None, None), emptied(&header).to_vec()].concat();
    let (steps, position) = take_all(bytes, &[], 0, 100, OPTIONS);
    assert_eq!((steps.concat(), position), (vec![0, 1, 2], 7));
}

#[test]
fn records_of_aborted_transactions_and_markers_are_left_out() {
    let none = Compression::None;
    let bytes = [
        batch(0, 2, none, Some(7)),
        batch(2, 2, none, Some(8)),
        batch(4, 1, none, None),
        marker(5, 7, TxnOutcome::Abort),
        // The next transaction of the same producer is committed.
        batch(6, 2, none, Some(7)),
        marker(8, 8, TxnOutcome::Commit),
        marker(9, 7, TxnOutcome::Commit),
        batch(10, 1, none, Some(8)),
        marker(11, 8, TxnOutcome::Abort),
    ]
    .concat();
    let aborted = [(8, 10), (7, 0)];
    let (steps, position) = take_all(bytes.clone(), &aborted, 0, 100, COMMITTED);
    assert_eq!((steps.concat(), position), (vec![2, 3, 4, 6, 7], 12));
    let (steps, position) = take_all(bytes, &aborted, 0, 3, OPTIONS);
    assert_eq!((steps.concat(), position), (vec![0, 1, 2, 3, 4, 6, 7, 10], 12));
}
