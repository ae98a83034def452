//! Compaction against a model: a plain map of what each key had last.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::producer_state::{ProducerBatch, ProducerState};
use crate::txn_index::{AbortedTxn, TxnIndex};
use afluente_protocol::numbers::{LeaderEpoch, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    Batch, BatchBuilder, BatchOptions, BatchProducer, Batches, CodecId, Compressor, Decompressor,
    EndTxnMarker, MarkerPlace, NewRecord, TxnOutcome,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;

const NOW: i64 = 1_000_000;
const HOUR: i64 = 3_600_000;

/// A log in memory: batches, and what goes with them.
#[derive(Default, Clone)]
struct Log {
    batches: Vec<Bytes>,
    producers: ProducerState,
    aborted: TxnIndex,
    next: i64,
}

/// What a step writes: key, and value or tombstone.
type Entry = (u8, Option<u8>);

impl Log {
    fn write(&mut self, entries: &[Entry], codec: CodecId, producer: Option<(i64, bool)>) {
        let mut options = BatchOptions {
            base_offset: Offset(self.next),
            compression: codec.into(),
            ..BatchOptions::default()
        };
        if let Some((id, is_transactional)) = producer {
            let id = ProducerId(id);
            let last = self.producers.entry(id).map_or(-1, |entry| entry.last_sequence());
            let epoch = ProducerEpoch(0);
            options.producer = BatchProducer { id, epoch, base_sequence: last + 1 };
            options.is_transactional = is_transactional;
        }
        let mut builder = BatchBuilder::new(options);
        for (key, value) in entries {
            let value = value.map(|value| [value; 20]);
            let value = value.as_ref().map(|value| &value[..]);
            let record = NewRecord { timestamp: NOW, key: Some(&[*key]), value, headers: &[] };
            builder.append(&record).unwrap();
        }
        self.append(builder.finish(&mut Compressor::new()).unwrap());
    }

    fn end_txn(&mut self, producer: i64, outcome: TxnOutcome) {
        let place = MarkerPlace {
            offset: Offset(self.next),
            partition_leader_epoch: LeaderEpoch(0),
            timestamp: NOW,
            producer_id: ProducerId(producer),
            producer_epoch: ProducerEpoch(0),
        };
        self.append(EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place));
    }

    fn append(&mut self, bytes: Bytes) {
        let batch = Batch::parse(&bytes).unwrap();
        let producer = ProducerBatch::of(&batch).unwrap();
        if let Some(completed) = self.producers.apply(&producer, Offset(self.next)) {
            self.aborted.note(&completed);
        }
        self.next = batch.header().next_offset().0;
        self.batches.push(bytes);
    }

    fn is_in_txn(&self, producer: i64) -> bool {
        self.producers.has_open_txn(ProducerId(producer), ProducerEpoch(0))
    }

    /// A pass over all of it, in segments of `segment_batches`.
    fn clean(&self, now_ms: i64, map_bytes: usize, segment_batches: usize) -> (Log, Tally) {
        let end = Offset(self.next);
        let mut map = KeyOffsets::new(map_bytes, [3, 4]);
        let mut fates = TxnFates::new(self.aborted.txns().iter().copied());
        let mut decompressor = Decompressor::new();
        for bytes in &self.batches {
            let batch = Batch::parse(bytes).unwrap();
            if !map_batch(&mut map, &mut fates, &mut decompressor, Offset(0), &batch).unwrap() {
                break;
            }
        }
        let fates = TxnFates::new(self.aborted.txns().iter().copied());
        let mut cleaner = Cleaner::new(
            map,
            fates,
            CleanRules {
                now_ms,
                delete_retention_ms: HOUR,
                index_interval_bytes: 100,
                first_uncleanable: end,
                last_records: self.producers.last_records().collect(),
            },
        );
        let mut cleaned = Log { next: self.next, ..self.clone() };
        cleaned.batches.clear();
        cleaned.aborted = TxnIndex::default();
        for segment in self.batches.chunks(segment_batches.max(1)) {
            let base = Batch::parse(&segment[0]).unwrap().header().base_offset;
            let to = Batch::parse(segment.last().unwrap()).unwrap().header().next_offset();
            let mut out = CleanedSegment::new(base);
            let mut bytes = Vec::new();
            for batch in segment {
                cleaner.clean(&Batch::parse(batch).unwrap(), &mut out).unwrap();
                bytes.extend(out.take_bytes());
            }
            check_index(&out, &bytes, base, to);
            let bytes = Bytes::from(bytes);
            for batch in Batches::new(&bytes) {
                let batch = batch.unwrap();
                batch.verify_crc().unwrap();
                cleaned.batches.push(bytes.slice_ref(batch.bytes()));
            }
            out.txns.txns().iter().for_each(|txn| cleaned.aborted.append(*txn));
        }
        let (tally, _) = cleaner.finish();
        (cleaned, tally)
    }

    /// The records that a `read_committed` reader sees: offset, key, value.
    fn committed(&self) -> Vec<(i64, u8, Option<u8>)> {
        let mut seen = Vec::new();
        for bytes in &self.batches {
            let batch = Batch::parse(bytes).unwrap();
            let header = batch.header();
            let is_aborted = |txn: &&AbortedTxn| {
                txn.producer_id == header.producer_id
                    && txn.first_offset <= header.base_offset
                    && header.base_offset < txn.last_offset
            };
            let is_hidden = header.attributes.is_transactional()
                && self.aborted.txns().iter().any(|txn| is_aborted(&txn));
            if header.attributes.is_control() || is_hidden {
                continue;
            }
            let section = batch.uncompressed(&mut Decompressor::new(), 1 << 20).unwrap();
            for record in header.records(&section) {
                let record = record.unwrap();
                let value = record.value.map(|value| value[0]);
                seen.push((record.offset.0, record.key.unwrap()[0], value));
            }
        }
        seen
    }

    fn headers(&self) -> Vec<afluente_protocol::records::BatchHeader> {
        self.batches.iter().map(|bytes| *Batch::parse(bytes).unwrap().header()).collect()
    }
}

fn check_index(out: &CleanedSegment, bytes: &[u8], base: Offset, end: Offset) {
    use crate::offset_index::OffsetIndex;
    assert_eq!(out.index.position() as usize, bytes.len());
    let index = out.index.offsets.bytes().to_vec();
    OffsetIndex::decode(base, index, bytes.len() as u64, end).unwrap();
    for entry in out.index.offsets.entries() {
        let batch = Batch::parse(&bytes[entry.position as usize..]).unwrap();
        assert_eq!(batch.header().last_offset(), entry.offset);
    }
}

/// The last record of each key, by offset, among those a reader sees.
fn last_of_each(records: &[(i64, u8, Option<u8>)]) -> BTreeMap<u8, (i64, Option<u8>)> {
    records.iter().map(|(offset, key, value)| (*key, (*offset, *value))).collect()
}

#[test]
fn the_last_record_of_each_key_stays_at_its_offset() {
    let mut log = Log::default();
    log.write(&[(1, Some(1)), (2, Some(1)), (1, Some(2))], CodecId::None, None);
    log.write(&[(2, Some(3)), (3, Some(3))], CodecId::Zstd, None);
    let (cleaned, tally) = log.clean(NOW, 1 << 20, 10);
    assert_eq!(cleaned.committed(), [(2, 1, Some(2)), (3, 2, Some(3)), (4, 3, Some(3))]);
    assert_eq!((tally.records_read, tally.records_kept), (5, 3));
    // The batches still say which offsets they cover, and their codec.
    let headers = cleaned.headers();
    assert_eq!((headers[0].base_offset, headers[0].last_offset()), (Offset(0), Offset(2)));
    assert_eq!(headers[1].attributes.codec(), Ok(CodecId::Zstd));
    // What is clean stays as it is, byte for byte.
    assert_eq!(cleaned.clean(NOW, 1 << 20, 10).0.batches, cleaned.batches);
}

#[test]
fn a_tombstone_stays_for_its_time_from_when_it_was_first_met() {
    let mut log = Log::default();
    log.write(&[(1, Some(1)), (1, None), (2, Some(2))], CodecId::None, None);
    log.write(&[(3, Some(2))], CodecId::None, None);
    let (first, _) = log.clean(NOW, 1 << 20, 10);
    assert_eq!(first.committed()[0], (1, 1, None));
    assert_eq!(first.headers()[0].delete_horizon_ms(), Some(NOW + HOUR));
    let (second, _) = first.clean(NOW + HOUR - 1, 1 << 20, 10);
    assert_eq!(second.batches, first.batches, "the horizon does not move");
    let (third, _) = second.clean(NOW + HOUR, 1 << 20, 10);
    assert_eq!(third.committed(), [(2, 2, Some(2)), (3, 3, Some(2))]);
}

#[test]
fn aborted_records_go_and_the_marker_follows_when_its_time_has_come() {
    let mut log = Log::default();
    log.write(&[(1, Some(1))], CodecId::None, None);
    log.write(&[(1, Some(66))], CodecId::None, Some((7, true)));
    log.end_txn(7, TxnOutcome::Abort);
    log.write(&[(9, Some(9))], CodecId::None, Some((7, false)));
    log.write(&[(8, Some(9))], CodecId::None, None);
    let (first, _) = log.clean(NOW, 1 << 20, 1);
    assert_eq!(first.committed(), [(0, 1, Some(1)), (3, 9, Some(9)), (4, 8, Some(9))]);
    // The data went in this pass, so the marker is met once more.
    let control = |log: &Log| {
        log.headers()
            .into_iter()
            .filter(|header| header.attributes.is_control())
            .collect::<Vec<_>>()
    };
    assert_eq!(control(&first).len(), 1);
    assert_eq!(control(&first)[0].delete_horizon_ms(), None);
    let (second, _) = first.clean(NOW + 1, 1 << 20, 1);
    assert_eq!(control(&second)[0].delete_horizon_ms(), Some(NOW + 1 + HOUR));
    let (third, _) = second.clean(NOW + HOUR, 1 << 20, 1);
    assert_eq!(control(&third).len(), 1);
    let (fourth, _) = third.clean(NOW + 1 + HOUR, 1 << 20, 1);
    assert!(control(&fourth).is_empty());
    assert!(fourth.aborted.is_empty());
    assert_eq!(fourth.committed(), first.committed());
}

#[test]
fn the_last_batch_of_a_producer_and_of_the_part_stay_empty() {
    let mut log = Log::default();
    log.write(&[(1, Some(1)), (2, Some(2))], CodecId::Lz4, Some((7, false)));
    log.write(&[(1, Some(3)), (2, Some(3))], CodecId::None, None);
    log.write(&[(5, None)], CodecId::None, None);
    let (first, _) = log.clean(NOW, 1 << 20, 10);
    let headers = first.headers();
    assert_eq!(headers.len(), 3);
    assert_eq!((headers[0].record_count, headers[0].last_sequence()), (0, 1));
    assert_eq!(headers[0].attributes.codec(), Ok(CodecId::None));
    // The last batch of the part that is cleaned keeps the log's offsets without a hole.
    let (second, _) = first.clean(NOW + HOUR, 1 << 20, 10);
    let headers = second.headers();
    assert_eq!((headers[2].record_count, headers[2].last_offset()), (0, Offset(4)));
    // Once the producer is forgotten, its batch goes.
    let mut forgotten = second;
    forgotten.producers = ProducerState::default();
    assert_eq!(forgotten.clean(NOW + HOUR, 1 << 20, 10).0.headers().len(), 2);
}

#[test]
fn records_without_a_key_go_and_are_counted() {
    let mut log = Log::default();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let record = NewRecord { timestamp: NOW, key: None, value: Some(b"v"), headers: &[] };
    builder.append(&record).unwrap();
    log.append(builder.finish(&mut Compressor::new()).unwrap());
    log.write(&[(1, Some(1))], CodecId::None, None);
    let (cleaned, tally) = log.clean(NOW, 1 << 20, 10);
    assert_eq!(tally.records_without_key, 1);
    assert_eq!(cleaned.batches.len(), 1);
}

#[test]
fn what_did_not_fit_into_the_map_is_left_alone() {
    let mut log = Log::default();
    for round in 0..3 {
        for key in 0..100 {
            log.write(&[(key, Some(round))], CodecId::None, None);
        }
    }
    let (cleaned, _) = log.clean(NOW, 1, 10);
    assert_eq!(last_of_each(&cleaned.committed()), last_of_each(&log.committed()));
    // Behind the keys that fitted, everything is as it was.
    assert!(cleaned.committed().len() > 200, "{}", cleaned.committed().len());
}

#[test]
fn a_damaged_batch_stops_the_pass_by_name() {
    let mut log = Log::default();
    log.write(&[(1, Some(1))], CodecId::None, None);
    let mut damaged = log.batches[0].to_vec();
    damaged[61] = 0xff;
    let batch = Batch::parse(&damaged).unwrap();
    let rules = CleanRules {
        now_ms: NOW,
        delete_retention_ms: HOUR,
        index_interval_bytes: 100,
        first_uncleanable: Offset(9),
        last_records: BTreeMap::new(),
    };
    let mut cleaner = Cleaner::new(KeyOffsets::new(1 << 10, [0; 2]), TxnFates::new([]), rules);
    let error = cleaner.clean(&batch, &mut CleanedSegment::new(Offset(0))).unwrap_err();
    assert_eq!(error.to_string(), "could not clean the batch at offset 0");
}

fn facts(base: i64, size_bytes: u64, timestamp_ms: i64) -> SegmentFacts {
    SegmentFacts {
        base: Offset(base),
        size_bytes,
        offset_index_bytes: 10,
        time_index_bytes: 10,
        first_timestamp_ms: Some(timestamp_ms),
        newest_timestamp_ms: timestamp_ms,
    }
}

#[test]
fn a_pass_is_planned_from_the_mark_to_the_active_segment() {
    let segments = [facts(0, 100, 10), facts(50, 300, 20), facts(90, 100, 30), facts(120, 50, 40)];
    let config =
        |values: &[(&str, &str)]| LogConfig::resolve(|_| None, values.iter().copied()).unwrap();
    let log = LogFacts {
        segments: &segments,
        start: Offset(0),
        end: Offset(130),
        last_stable: Offset(130),
        cleaned_to: Some(Offset(50)),
    };
    let default = config(&[]);
    let plan_of = |log: &LogFacts<'_>, config: &LogConfig| {
        let plan = plan(log, config, 100);
        (plan.first_dirty.0, plan.first_uncleanable.0, plan.dirty_bytes, plan.is_due)
    };
    assert_eq!(plan_of(&log, &default), (50, 120, 400, true));
    assert_eq!(
        plan_of(&log, &config(&[("min.cleanable.dirty.ratio", "0.8")])),
        (50, 120, 400, false)
    );
    // Not above an open transaction, in whole segments.
    let open = LogFacts { last_stable: Offset(95), ..log };
    assert_eq!(plan_of(&open, &default), (50, 90, 300, true));
    // Not what is too young.
    assert_eq!(plan_of(&log, &config(&[("min.compaction.lag.ms", "75")])), (50, 90, 300, true));
    // Overdue, however clean.
    let strict = [("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "79")];
    assert!(plan(&log, &config(&strict), 100).is_overdue);
    let lax = [("min.cleanable.dirty.ratio", "1"), ("max.compaction.lag.ms", "80")];
    assert_eq!(plan_of(&log, &config(&lax)), (50, 120, 400, false));
    // A mark of an earlier life does not count, and neither does one before the log's start.
    for cleaned_to in [None, Some(Offset(500)), Some(Offset(3))] {
        let log = LogFacts { cleaned_to, start: Offset(10), ..log };
        assert_eq!(plan_of(&log, &default), (10, 120, 500, true), "{cleaned_to:?}");
    }
    // All clean, and nothing but the active segment.
    let clean = LogFacts { cleaned_to: Some(Offset(120)), ..log };
    assert_eq!(plan_of(&clean, &default), (120, 120, 0, false));
    let one = LogFacts { segments: &segments[3..], start: Offset(120), ..log };
    assert_eq!(plan_of(&one, &default), (120, 120, 0, false));
}

#[test]
fn groups_fit_into_one_segment() {
    let mut config =
        LogConfig { segment_bytes: 400, segment_index_bytes: 1000, ..LogConfig::default() };
    let sizes = |sizes: &[u64]| -> Vec<SegmentFacts> {
        (0..).zip(sizes).map(|(at, size)| facts(at * 10, *size, 0)).collect()
    };
    for (segments, expected) in [
        (sizes(&[100, 200, 100, 1]), vec![0..3, 3..4]),
        (sizes(&[500, 500]), vec![0..1, 1..2]),
        (sizes(&[500, 1]), vec![0..1, 1..2]),
        (sizes(&[0, 0, 0, 500]), vec![0..3, 3..4]),
        (sizes(&[]), vec![]),
    ] {
        assert_eq!(group(&segments, &config, Offset(1000)), expected);
    }
    config.segment_index_bytes = 25;
    assert_eq!(group(&sizes(&[1, 1, 1]), &config, Offset(1000)), [0..2, 2..3]);
    // Relative offsets have to fit into four bytes.
    config.segment_index_bytes = 1000;
    let far = [facts(0, 1, 0), facts(10, 1, 0), facts(1 << 31, 1, 0)];
    assert_eq!(group(&far, &config, Offset((1 << 31) + 5)), [0..2, 2..3]);
}

#[derive(Debug, Clone)]
enum Step {
    Write(Vec<Entry>, usize, Option<(i64, bool)>),
    End(i64, bool),
}

fn any_step() -> impl Strategy<Value = Step> {
    let entries = proptest::collection::vec((0..12_u8, proptest::option::of(any::<u8>())), 1..5);
    let producer = proptest::option::of((0..3_i64, any::<bool>()));
    prop_oneof![
        4 => (entries, 0..5_usize, producer).prop_map(|(e, codec, p)| Step::Write(e, codec, p)),
        1 => (0..3_i64, any::<bool>()).prop_map(|(producer, commits)| Step::End(producer, commits)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_reader_of_the_cleaned_log_ends_with_the_same_table(
        steps in proptest::collection::vec(any_step(), 1..30),
        segment_batches in 1..6_usize,
        map_bytes in prop_oneof![Just(1_usize), Just(1 << 16)],
    ) {
        let mut log = Log::default();
        for step in steps {
            match step {
                Step::Write(entries, codec, producer) => {
                    // Within a transaction a producer writes transactionally.
                    let producer = producer.map(|(id, txn)| (id, txn || log.is_in_txn(id)));
                    log.write(&entries, CodecId::ALL[codec], producer);
                }
                Step::End(producer, commits) => {
                    let outcome = if commits { TxnOutcome::Commit } else { TxnOutcome::Abort };
                    log.end_txn(producer, outcome);
                }
            }
        }
        for producer in 0..3 {
            if log.is_in_txn(producer) {
                log.end_txn(producer, TxnOutcome::Abort);
            }
        }
        let table = last_of_each(&log.committed());
        let live = |table: &BTreeMap<u8, (i64, Option<u8>)>| -> BTreeMap<u8, (i64, Option<u8>)> {
            table.iter().filter(|(_, (_, value))| value.is_some()).map(|(k, v)| (*k, *v)).collect()
        };
        let mut cleaned = log.clone();
        for now_ms in [NOW, NOW + 5, NOW + HOUR + 5, NOW + HOUR + 5] {
            let before = cleaned.committed();
            (cleaned, _) = cleaned.clean(now_ms, map_bytes, segment_batches);
            let records = cleaned.committed();
            prop_assert!(records.iter().all(|record| before.contains(record)), "nothing is invented");
            let found = last_of_each(&records);
            prop_assert_eq!(live(&found), live(&table));
            if now_ms < NOW + HOUR {
                prop_assert_eq!(&found, &table, "tombstones stay");
            }
            // Offsets rise, the log ends where it ended, and no sequence number is forgotten.
            let headers = cleaned.headers();
            for pair in headers.windows(2) {
                prop_assert!(pair[0].last_offset() < pair[1].base_offset);
            }
            prop_assert_eq!(headers.last().unwrap().next_offset(), Offset(log.next));
            let mut producers = ProducerState::default();
            for bytes in &cleaned.batches {
                let batch = Batch::parse(bytes).unwrap();
                let producer = ProducerBatch::of(&batch).unwrap();
                producers.apply(&producer, batch.header().base_offset);
            }
            for entry in log.producers.entries() {
                let after = producers.entry(entry.producer_id).map(|entry| entry.last_sequence());
                prop_assert_eq!(after.unwrap_or(-1), entry.last_sequence());
            }
        }
        if map_bytes > 1 {
            let (again, _) = cleaned.clean(NOW + HOUR + 5, map_bytes, segment_batches);
            let records = again.committed();
            let mut keys: Vec<_> = records.iter().map(|(_, key, _)| key).collect();
            let all = keys.len();
            keys.sort_unstable();
            keys.dedup();
            prop_assert_eq!(keys.len(), all, "each key once");
        }
    }
}
