//! Indexes against a plain search of the batches that they were built from.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::index_error::IndexError;
use crate::txn_index::{AbortedTxn, TxnIndex};
use afluente_protocol::numbers::ProducerId;
use afluente_protocol::records::BATCH_HEADER_BYTES;
use proptest::prelude::*;

const BASE: Offset = Offset(1000);

/// The header of a batch with `count` offsets and `size` bytes of records.
fn header(base_offset: i64, count: i32, size: usize, max_timestamp: i64) -> BatchHeader {
    let mut raw = [0; BATCH_HEADER_BYTES];
    raw[8..12].copy_from_slice(&i32::try_from(49 + size).unwrap().to_be_bytes());
    raw[16] = 2;
    let mut header = BatchHeader::parse(&raw).unwrap();
    header.base_offset = Offset(base_offset);
    header.last_offset_delta = count - 1;
    header.max_timestamp = max_timestamp;
    header
}

/// Batches of (offsets skipped before, offsets, bytes, timestamp), with their positions.
fn batches(shapes: &[(i64, i32, usize, i64)]) -> Vec<(u32, BatchHeader)> {
    let (mut offset, mut position) = (BASE.0, 0);
    let mut batches = Vec::new();
    for (skipped, count, size, timestamp) in shapes {
        let header = header(offset + skipped, *count, *size, *timestamp);
        batches.push((position, header));
        position += u32::try_from(header.size_bytes()).unwrap();
        offset = header.next_offset().0;
    }
    batches
}

fn build(batches: &[(u32, BatchHeader)], interval_bytes: u64) -> SegmentIndex {
    let mut index = SegmentIndex::new(BASE);
    for (position, header) in batches {
        assert_eq!(index.position(), *position);
        index.append(header, interval_bytes);
    }
    index.close();
    index
}

fn end_of(batches: &[(u32, BatchHeader)]) -> (u64, Offset) {
    batches.last().map_or((0, BASE), |(position, last)| {
        (u64::from(*position) + last.size_bytes() as u64, last.next_offset())
    })
}

/// The batch that holds `target` or the first one after it, by looking at all of them.
fn position_by_scan(batches: &[(u32, BatchHeader)], target: Offset) -> Option<u32> {
    let holds = |(_, header): &&(u32, BatchHeader)| header.last_offset() >= target;
    batches.iter().find(holds).map(|(position, _)| *position)
}

#[test]
fn an_entry_comes_with_the_first_batch_after_the_interval() {
    let batches = batches(&[(0, 10, 39, 5), (0, 10, 39, 9), (0, 10, 39, 7), (0, 10, 39, 8)]);
    let index = build(&batches, 100);
    let offsets: Vec<_> = index.offsets.entries().collect();
    assert_eq!(offsets.len(), 1);
    assert_eq!((offsets[0].offset, offsets[0].position), (Offset(1029), 200));
    let times: Vec<_> = index.times.entries().collect();
    assert_eq!(times, [TimestampOffset { timestamp_ms: 9, offset: Offset(1019) }]);
    // Bytes of the files, as Kafka writes them.
    assert_eq!(index.offsets.bytes(), [0, 0, 0, 29, 0, 0, 0, 200]);
    assert_eq!(index.times.bytes(), [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 19]);
}

#[test]
fn a_segment_is_full_when_its_index_or_its_offsets_are() {
    let batches = batches(&[(0, 1, 39, 1), (0, 1, 39, 2), (0, 1, 39, 3), (0, 1, 39, 4)]);
    let index = build(&batches, 0);
    assert_eq!((index.offsets.len(), index.times.len()), (3, 3));
    assert!(!index.has_room(Offset(1004), 24));
    assert!(!index.has_room(Offset(1004), 12 * 5 - 1), "the last time entry is reserved");
    assert!(index.has_room(Offset(1004), 12 * 6));
    assert!(index.has_room(BASE.plus(i64::from(i32::MAX)), 1 << 20));
    assert!(!index.has_room(BASE.plus(i64::from(i32::MAX) + 1), 1 << 20));
}

#[test]
fn damaged_entries_are_named() {
    let index = build(&batches(&[(0, 5, 39, 1), (0, 5, 39, 2), (0, 5, 39, 3)]), 0);
    let decode = |bytes: &[u8]| OffsetIndex::decode(BASE, bytes.to_vec(), 300, Offset(1015));
    assert_eq!(decode(index.offsets.bytes()), Ok(index.offsets.clone()));
    let mut swapped = index.offsets.bytes()[8..].to_vec();
    swapped.extend_from_slice(&index.offsets.bytes()[..8]);
    let error = decode(&swapped).unwrap_err();
    let expected = "index entry 1 at byte 8 does not rise above the entry before it";
    assert_eq!(error.to_string(), expected);
    // Kafka's preallocated zeros behind the entries, left by an unclean stop.
    let padded = [index.offsets.bytes(), &[0; 80]].concat();
    assert!(matches!(decode(&padded), Err(IndexError::Entry { entry: 2, .. })));
    let cut = decode(&index.offsets.bytes()[..9]).unwrap_err();
    assert_eq!(cut.to_string(), "index has 9 bytes, expected a multiple of 8");
}

fn any_shapes() -> impl Strategy<Value = Vec<(i64, i32, usize, i64)>> {
    proptest::collection::vec((0..5_i64, 1..20_i32, 0..300_usize, -1..50_i64), 0..40)
}

fn any_aborted() -> impl Strategy<Value = Vec<AbortedTxn>> {
    proptest::collection::vec((1..9_i64, 1..30_i64, 0..30_i64), 0..12).prop_map(|steps| {
        let mut marker = BASE.0 - 1;
        let txn = |(step, length, open): (i64, i64, i64)| {
            marker += step;
            AbortedTxn {
                producer_id: ProducerId(step),
                first_offset: Offset(marker - length),
                last_offset: Offset(marker),
                last_stable_offset: Offset(marker + 1 - open),
            }
        };
        steps.into_iter().map(txn).collect()
    })
}

proptest! {
    #[test]
    fn a_lookup_and_a_scan_from_there_find_what_a_scan_of_all_finds(
        shapes in any_shapes(), interval_bytes in 0..800_u64,
    ) {
        let batches = batches(&shapes);
        let index = build(&batches, interval_bytes);
        let (bytes, end) = end_of(&batches);
        for target in BASE.0 - 1..=end.0 {
            let from = index.offsets.lookup(Offset(target)).position;
            let rest = &batches[batches.partition_point(|(position, _)| *position < from)..];
            prop_assert_eq!(
                position_by_scan(rest, Offset(target)),
                position_by_scan(&batches, Offset(target))
            );
        }
        for timestamp in -1..52 {
            // Nothing up to the entry is newer than what was asked for.
            if let Some(found) = index.times.lookup(timestamp) {
                let newer = batches.iter().find(|(_, header)| header.max_timestamp > timestamp);
                prop_assert!(newer.is_none_or(|(_, header)| header.last_offset() > found.offset));
            }
        }
        let newest = batches.iter().map(|(_, header)| header.max_timestamp).max();
        let newest = newest.filter(|newest| *newest >= 0);
        prop_assert_eq!(index.times.last().map(|entry| entry.timestamp_ms), newest);
        // The files give the same indexes back.
        let offsets = OffsetIndex::decode(BASE, index.offsets.bytes().to_vec(), bytes, end);
        prop_assert_eq!(offsets, Ok(index.offsets.clone()));
        let times = TimeIndex::decode(BASE, index.times.bytes().to_vec(), end);
        prop_assert_eq!(times, Ok(index.times));
    }

    #[test]
    fn a_truncated_index_knows_nothing_of_what_was_cut(shapes in any_shapes(), at in 0..60_usize) {
        let batches = batches(&shapes);
        let mut index = build(&batches, 100);
        let kept = &batches[..at.min(batches.len())];
        let cut_at = end_of(kept).1;
        index.offsets.truncate_to(cut_at);
        index.times.truncate_to(cut_at);
        let (bytes, end) = end_of(kept);
        prop_assert!(OffsetIndex::decode(BASE, index.offsets.bytes().to_vec(), bytes, end).is_ok());
        prop_assert!(TimeIndex::decode(BASE, index.times.bytes().to_vec(), end).is_ok());
        let expected = build(kept, 100);
        prop_assert_eq!(index.offsets, expected.offsets);
    }

    #[test]
    fn aborted_transactions_are_found_as_by_a_scan(
        txns in any_aborted(), from in 990..1100_i64, length in 1..40_i64, cut in 990..1100_i64,
    ) {
        let (from, to) = (Offset(from), Offset(from + length));
        let mut index = TxnIndex::default();
        txns.iter().for_each(|txn| index.append(*txn));
        let mut found = Vec::new();
        let complete = index.collect(from, to, &mut found);
        let relevant = |txn: &&AbortedTxn| txn.last_offset >= from && txn.first_offset < to;
        // What is left out ended behind `to` and began behind the point where all had ended.
        let all: Vec<_> = txns.iter().filter(relevant).copied().collect();
        prop_assert!(all.starts_with(&found));
        if !complete {
            prop_assert_eq!(all, found);
        }
        let bytes = index.encode();
        prop_assert_eq!(TxnIndex::decode(BASE, &bytes, Offset(2000)), Ok(index.clone()));
        for cut in (0..bytes.len()).filter(|cut| !cut.is_multiple_of(34)) {
            prop_assert!(TxnIndex::decode(BASE, &bytes[..cut], Offset(2000)).is_err());
        }
        index.truncate_to(Offset(cut));
        prop_assert!(index.txns().iter().all(|txn| txn.last_offset.0 < cut));
        prop_assert_eq!(
            index.txns().len(),
            txns.iter().filter(|txn| txn.last_offset.0 < cut).count()
        );
    }

    #[test]
    fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        for base in [Offset(0), BASE, Offset(i64::MAX - 5)] {
            let _ = OffsetIndex::decode(base, bytes.clone(), 500, Offset(i64::MAX));
            let _ = TimeIndex::decode(base, bytes.clone(), Offset(i64::MAX));
            let _ = TxnIndex::decode(base, &bytes, Offset(i64::MAX));
        }
    }
}
