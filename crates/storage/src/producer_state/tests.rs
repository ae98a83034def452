//! The rules of producers, one by one, and against a model that remembers everything.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use proptest::prelude::*;

const PRODUCER: ProducerId = ProducerId(7);
const CLIENT: AppendRules = AppendRules {
    origin: AppendOrigin::Client,
    guard: VerificationGuard::NONE,
    verification_enabled: false,
    transaction_version: 0,
};
const COORDINATOR: AppendRules = AppendRules { origin: AppendOrigin::Coordinator, ..CLIENT };
const REPLICA: AppendRules = AppendRules { origin: AppendOrigin::Replica, ..CLIENT };

/// A batch of `count` records.
fn data(epoch: i16, sequence: i32, count: i32) -> ProducerBatch {
    ProducerBatch {
        producer_id: Some(PRODUCER),
        epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        last_offset_delta: count - 1,
        max_timestamp_ms: 1000,
        content: BatchContent::Data { transactional: false },
    }
}

fn of(producer: i64, batch: ProducerBatch) -> ProducerBatch {
    ProducerBatch { producer_id: Some(ProducerId(producer)), ..batch }
}

fn txn(epoch: i16, sequence: i32, count: i32) -> ProducerBatch {
    let content = BatchContent::Data { transactional: true };
    ProducerBatch { content, ..data(epoch, sequence, count) }
}

fn marker(epoch: i16, coordinator_epoch: i32, aborted: bool) -> ProducerBatch {
    let content = BatchContent::Marker(EndTxn { aborted, coordinator_epoch, timestamp_ms: 2000 });
    ProducerBatch { content, ..data(epoch, -1, 1) }
}

/// A partition with nothing but producer state.
#[derive(Default)]
struct Partition {
    state: ProducerState,
    next: i64,
}

impl Partition {
    fn append(
        &mut self,
        batch: ProducerBatch,
        rules: &AppendRules,
    ) -> Result<(Verdict, Option<CompletedTxn>), ProducerError> {
        let verdict = self.state.check(&batch, rules)?;
        if verdict != Verdict::Append {
            return Ok((verdict, None));
        }
        let completed = self.state.apply(&batch, Offset(self.next));
        self.next += i64::from(batch.last_offset_delta) + 1;
        assert_eq!(self.state.end(), Offset(self.next));
        Ok((verdict, completed))
    }

    fn write(&mut self, batch: ProducerBatch) {
        assert_eq!(self.append(batch, &CLIENT).unwrap().0, Verdict::Append);
    }

    fn refuse(&mut self, batch: ProducerBatch, rules: &AppendRules) -> ErrorCode {
        let before = (self.state.summaries(), self.next);
        let code = self.append(batch, rules).unwrap_err().code();
        assert_eq!((self.state.summaries(), self.next), before, "a refusal changes nothing");
        code
    }
}

use afluente_protocol::error_code::ErrorCode;

#[test]
fn any_of_the_last_five_batches_is_a_duplicate_and_an_older_one_is_out_of_order() {
    let mut partition = Partition::default();
    for n in 0..6 {
        partition.write(data(0, n * 10, 10));
    }
    assert_eq!(partition.refuse(data(0, 0, 10), &CLIENT), ErrorCode::OutOfOrderSequenceNumber);
    for n in 1..6_i64 {
        let again = data(0, i32::try_from(n).unwrap() * 10, 10);
        let (verdict, _) = partition.append(again, &CLIENT).unwrap();
        let (base_offset, last_offset) = (Offset(n * 10), Offset(n * 10 + 9));
        assert_eq!(verdict, Verdict::Duplicate { base_offset, last_offset, timestamp_ms: 1000 });
    }
    // The same first sequence with another count is no duplicate.
    assert_eq!(partition.refuse(data(0, 50, 9), &CLIENT), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn a_gap_or_a_step_back_is_out_of_order() {
    let mut partition = Partition::default();
    partition.write(data(0, 0, 3));
    for sequence in [0, 1, 2, 4, 100, i32::MAX] {
        let code = partition.refuse(data(0, sequence, 1), &CLIENT);
        assert_eq!(code, ErrorCode::OutOfOrderSequenceNumber, "{sequence}");
    }
    partition.write(data(0, 3, 1));
}

#[test]
fn an_unknown_producer_may_begin_with_any_sequence() {
    let mut partition = Partition::default();
    partition.write(data(3, 12345, 2));
    partition.write(data(3, 12347, 1));
}

#[test]
fn a_new_epoch_begins_with_sequence_zero_and_fences_the_old() {
    let mut partition = Partition::default();
    partition.write(data(0, 0, 3));
    assert_eq!(partition.refuse(data(1, 3, 1), &CLIENT), ErrorCode::OutOfOrderSequenceNumber);
    partition.write(data(1, 0, 1));
    assert_eq!(partition.refuse(data(0, 3, 1), &CLIENT), ErrorCode::InvalidProducerEpoch);
    // Its batches are not duplicates any more, either.
    assert_eq!(partition.refuse(data(0, 0, 3), &CLIENT), ErrorCode::InvalidProducerEpoch);
}

#[test]
fn sequences_go_on_with_zero_after_the_greatest() {
    let mut partition = Partition::default();
    partition.write(data(0, i32::MAX - 1, 2));
    partition.write(data(0, 0, 1));
    let mut partition = Partition::default();
    partition.write(data(0, i32::MAX - 1, 5));
    partition.write(data(0, 3, 1));
    let (verdict, _) = partition.append(data(0, i32::MAX - 1, 5), &CLIENT).unwrap();
    assert!(matches!(verdict, Verdict::Duplicate { base_offset: Offset(0), .. }));
}

#[test]
fn a_coordinator_has_no_sequence_numbers_and_is_fenced_by_epoch() {
    let mut partition = Partition::default();
    for _ in 0..3 {
        partition.append(data(2, -1, 1), &COORDINATOR).unwrap();
    }
    assert_eq!(partition.refuse(data(1, -1, 1), &COORDINATOR), ErrorCode::InvalidProducerEpoch);
    assert_eq!(partition.next, 3);
}

#[test]
fn a_replica_takes_what_the_leader_has_checked() {
    let mut partition = Partition::default();
    partition.write(data(5, 0, 1));
    partition.append(data(4, 77, 1), &REPLICA).unwrap();
    partition.append(marker(3, -5, true), &REPLICA).unwrap();
    assert_eq!(partition.state.entry(PRODUCER).unwrap().epoch, ProducerEpoch(3));
}

#[test]
fn a_batch_outside_the_open_transaction_is_refused() {
    let mut partition = Partition::default();
    partition.write(txn(0, 0, 1));
    assert_eq!(partition.refuse(data(0, 1, 1), &CLIENT), ErrorCode::InvalidTxnState);
    partition.write(txn(0, 1, 1));
}

#[test]
fn a_marker_ends_the_transaction_and_an_old_coordinator_cannot() {
    let mut partition = Partition::default();
    partition.write(txn(0, 0, 4));
    partition.append(marker(0, 9, false), &COORDINATOR).unwrap();
    partition.write(txn(0, 4, 1));
    let code = partition.refuse(marker(0, 8, true), &COORDINATOR);
    assert_eq!(code, ErrorCode::TransactionCoordinatorFenced);
    let (_, completed) = partition.append(marker(0, 9, true), &COORDINATOR).unwrap();
    let expected = CompletedTxn {
        producer_id: PRODUCER,
        first_offset: Offset(5),
        last_offset: Offset(6),
        aborted: true,
        last_stable_offset: Offset(7),
    };
    assert_eq!(completed, Some(expected));
    // A marker without data ends nothing.
    assert_eq!(partition.append(marker(0, 9, true), &COORDINATOR).unwrap().1, None);
}

#[test]
fn a_marker_of_version_two_must_carry_a_newer_epoch_unless_it_comes_again() {
    let version_two = AppendRules { transaction_version: 2, ..COORDINATOR };
    let mut partition = Partition::default();
    partition.write(txn(4, 0, 1));
    assert_eq!(
        partition.refuse(marker(4, 0, false), &version_two),
        ErrorCode::InvalidProducerEpoch
    );
    partition.append(marker(5, 0, false), &version_two).unwrap();
    partition.append(marker(5, 0, false), &version_two).unwrap();
    assert_eq!(
        partition.refuse(marker(4, 0, false), &version_two),
        ErrorCode::InvalidProducerEpoch
    );
    // There is no epoch above the greatest.
    let mut partition = Partition::default();
    partition.write(txn(i16::MAX, 0, 1));
    partition.append(marker(i16::MAX, 0, false), &version_two).unwrap();
}

#[test]
fn the_last_stable_offset_waits_for_the_marker_to_be_replicated() {
    let mut partition = Partition::default();
    partition.write(data(0, 0, 2));
    partition.write(txn(0, 2, 2)); // 2, 3
    partition.append(of(8, txn(0, 0, 1)), &CLIENT).unwrap(); // 4
    let lso = |partition: &Partition, high_watermark| {
        partition.state.last_stable_offset(Offset(0), Offset(high_watermark)).0
    };
    assert_eq!((lso(&partition, 5), lso(&partition, 1)), (2, 1));
    let (_, completed) = partition.append(marker(0, 0, false), &COORDINATOR).unwrap(); // 5
    assert_eq!(completed.unwrap().last_stable_offset, Offset(4));
    assert_eq!(lso(&partition, 5), 2, "the marker is not below the high watermark");
    partition.state.high_watermark_moved(Offset(5));
    assert_eq!(lso(&partition, 5), 2);
    partition.state.high_watermark_moved(Offset(6));
    assert_eq!(lso(&partition, 6), 4, "the other producer's transaction is open");
    partition.append(of(8, marker(0, 0, true)), &COORDINATOR).unwrap(); // 6
    partition.state.high_watermark_moved(Offset(7));
    assert_eq!(lso(&partition, 7), 7);
    assert_eq!(partition.state.first_unstable_offset(), None);
}

#[test]
fn records_deleted_from_the_start_do_not_hold_the_last_stable_offset_back() {
    let mut partition = Partition::default();
    partition.write(txn(0, 0, 10));
    assert_eq!(partition.state.last_stable_offset(Offset(4), Offset(10)), Offset(4));
    partition.append(marker(0, 0, true), &COORDINATOR).unwrap();
    partition.state.log_start_moved(Offset(11));
    assert_eq!(partition.state.last_stable_offset(Offset(11), Offset(11)), Offset(11));
    assert_eq!(partition.state.len(), 1, "the producer is still known");
}

#[test]
fn silent_producers_expire_but_not_in_a_transaction() {
    let mut partition = Partition::default();
    partition.write(data(0, 0, 1));
    partition.append(of(8, txn(0, 0, 1)), &CLIENT).unwrap();
    assert_eq!(partition.state.expire(1099, 100), 0);
    assert_eq!(partition.state.expire(1100, 100), 1);
    assert_eq!(partition.state.summaries().len(), 1);
    partition.append(of(8, marker(0, 0, true)), &COORDINATOR).unwrap();
    assert_eq!(partition.state.expire(2100, 100), 1);
    partition.write(data(0, 55, 1));
}

#[test]
fn a_transaction_that_hangs_is_seen() {
    let mut partition = Partition::default();
    partition.write(txn(0, 0, 1));
    let late_at = 1000 + 60_000 + LATE_TRANSACTION_MARGIN_MS;
    assert!(!partition.state.has_late_txn(late_at, 60_000));
    assert!(partition.state.has_late_txn(late_at + 1, 60_000));
}

#[test]
fn the_first_batch_of_a_transaction_needs_the_guard_and_uses_it_up() {
    let mut partition = Partition::default();
    let without = AppendRules { verification_enabled: true, ..CLIENT };
    assert_eq!(partition.refuse(txn(0, 0, 1), &without), ErrorCode::InvalidTxnState);
    let begin = |partition: &mut Partition| {
        partition.state.begin_verification(PRODUCER, ProducerEpoch(0), 0, false, 0).unwrap()
    };
    let guard = begin(&mut partition).unwrap();
    assert_eq!(begin(&mut partition), Some(guard), "asking again gives the same guard");
    assert_eq!(partition.refuse(txn(0, 0, 1), &without), ErrorCode::InvalidTxnState);
    let with = AppendRules { guard, ..without };
    partition.append(txn(0, 0, 1), &with).unwrap();
    assert_eq!(begin(&mut partition), None, "an open transaction needs none");
    partition.append(txn(0, 1, 1), &without).unwrap();
    partition.append(marker(0, 0, true), &COORDINATOR).unwrap();
    assert_eq!(partition.refuse(txn(0, 2, 1), &with), ErrorCode::InvalidTxnState);
}

#[test]
fn a_marker_that_comes_first_takes_the_guard_away() {
    let mut partition = Partition::default();
    let begin = |partition: &mut Partition, epoch, bump| {
        let epoch = ProducerEpoch(epoch);
        partition.state.begin_verification(PRODUCER, epoch, 0, bump, 0).unwrap().unwrap()
    };
    let guard = begin(&mut partition, 0, false);
    partition.append(marker(0, 0, true), &COORDINATOR).unwrap();
    let with = AppendRules { guard, verification_enabled: true, ..CLIENT };
    assert_eq!(partition.refuse(txn(0, 0, 1), &with), ErrorCode::InvalidTxnState);
    // With epochs that are bumped, the marker of the last transaction has the epoch of the next.
    let guard = begin(&mut partition, 1, true);
    partition.append(marker(1, 0, true), &COORDINATOR).unwrap();
    let with = AppendRules { guard, verification_enabled: true, ..CLIENT };
    partition.append(txn(1, 0, 1), &with).unwrap();
}

#[test]
fn verification_holds_back_sequences_above_the_lowest_seen() {
    let mut partition = Partition::default();
    let begin = |partition: &mut Partition, sequence, bump| {
        partition
            .state
            .begin_verification(PRODUCER, ProducerEpoch(0), sequence, bump, 0)
            .unwrap()
            .unwrap()
    };
    let guard = begin(&mut partition, 5, false);
    begin(&mut partition, 2, false);
    let with = AppendRules { guard, verification_enabled: true, ..CLIENT };
    assert_eq!(partition.refuse(txn(0, 5, 1), &with), ErrorCode::OutOfOrderSequenceNumber);
    partition.append(txn(0, 2, 3), &with).unwrap();
    partition.append(txn(0, 5, 1), &with).unwrap();
    // A producer that bumps epochs begins with 0 where nothing is known of it.
    let mut partition = Partition::default();
    let guard = begin(&mut partition, 3, true);
    let with = AppendRules { guard, verification_enabled: true, ..CLIENT };
    assert_eq!(partition.refuse(txn(0, 3, 1), &with), ErrorCode::OutOfOrderSequenceNumber);
}

#[test]
fn an_unfinished_verification_expires() {
    let mut state = ProducerState::default();
    let first = state.begin_verification(PRODUCER, ProducerEpoch(0), 0, false, 10).unwrap();
    state.expire(109, 100);
    let begin = |state: &mut ProducerState| {
        state.begin_verification(PRODUCER, ProducerEpoch(0), 0, false, 110).unwrap()
    };
    assert_eq!(begin(&mut state), first);
    state.expire(110, 100);
    assert_ne!(begin(&mut state), first);
}

#[test]
fn compaction_leaves_control_batches_that_change_nothing() {
    let mut partition = Partition::default();
    partition.write(txn(0, 0, 1));
    let before = partition.state.summaries();
    let empty = ProducerBatch { content: BatchContent::EmptyControl, ..marker(0, 0, true) };
    partition.append(empty, &REPLICA).unwrap();
    assert_eq!(partition.state.summaries(), before);
}

#[test]
fn an_empty_state_is_small() {
    assert!(size_of::<ProducerState>() <= 112, "{}", size_of::<ProducerState>());
}

fn any_batch() -> impl Strategy<Value = (ProducerBatch, bool)> {
    let any_data = (0..3_i16, 0..12_i32, 1..4_i32, any::<bool>()).prop_map(
        |(epoch, sequence, count, transactional)| {
            let content = BatchContent::Data { transactional };
            (ProducerBatch { content, ..data(epoch, sequence, count) }, false)
        },
    );
    let any_marker = (0..3_i16, 0..3_i32, any::<bool>())
        .prop_map(|(epoch, coordinator, aborted)| (marker(epoch, coordinator, aborted), true));
    (prop_oneof![4 => any_data, 1 => any_marker], 0..3_i64)
        .prop_map(|((batch, is_marker), producer)| (of(producer, batch), is_marker))
}

proptest! {
    /// Whatever comes: within an epoch sequences have no gap, a duplicate is told the offsets of
    /// the batch that is in the log, and the unstable offset is that of a plain scan.
    #[test]
    fn the_log_that_results_is_what_a_plain_scan_of_it_says(
        batches in proptest::collection::vec(any_batch(), 1..60),
        high_watermark in 0..60_i64,
    ) {
        let mut partition = Partition::default();
        let mut log: Vec<(i64, ProducerBatch)> = Vec::new();
        for (batch, is_marker) in batches {
            let rules = if is_marker { &COORDINATOR } else { &CLIENT };
            let first = partition.next;
            match partition.append(batch, rules) {
                Ok((Verdict::Append, _)) => log.push((first, batch)),
                Ok((Verdict::Duplicate { base_offset, .. }, _)) => {
                    let same = log.iter().any(|(at, old)| *at == base_offset.0
                        && old.producer_id == batch.producer_id && old.epoch == batch.epoch
                        && old.base_sequence == batch.base_sequence
                        && old.last_offset_delta == batch.last_offset_delta);
                    prop_assert!(same, "a duplicate of nothing");
                }
                Err(_) => {}
            }
        }
        for producer in 0..3 {
            let mut last: Option<ProducerBatch> = None;
            for (_, batch) in log.iter().filter(|(_, b)| b.producer_id == Some(ProducerId(producer))) {
                if let Some(last) = last {
                    prop_assert!(batch.epoch >= last.epoch);
                    let is_data = |b: &ProducerBatch| matches!(b.content, BatchContent::Data { .. });
                    if is_data(batch) && is_data(&last) && batch.epoch == last.epoch {
                        prop_assert_eq!(batch.base_sequence, last.last_sequence() + 1);
                    }
                }
                last = Some(*batch);
            }
        }
        partition.state.high_watermark_moved(Offset(high_watermark));
        prop_assert_eq!(
            partition.state.first_unstable_offset(),
            first_unstable_by_scan(&log, high_watermark)
        );
        // What a snapshot keeps brings back the same open transactions and the last sequences.
        let entries = snapshot::decode(&snapshot::encode(partition.state.entries())).unwrap();
        let restored = ProducerState::restored(entries, partition.state.end());
        prop_assert_eq!(restored.summaries(), partition.state.summaries());
        prop_assert_eq!(&restored.open_txns, &partition.state.open_txns);
    }

    #[test]
    fn a_snapshot_cut_anywhere_or_with_any_bit_flipped_is_refused(
        producers in 0..4_i64, flip in any::<proptest::sample::Index>(),
    ) {
        let mut partition = Partition::default();
        for producer in 0..producers {
            partition.append(of(producer, txn(1, 5, 3)), &CLIENT).unwrap();
        }
        let bytes = snapshot::encode(partition.state.entries());
        prop_assert_eq!(bytes.len(), 10 + 46 * usize::try_from(producers).unwrap());
        for cut in 0..bytes.len() {
            prop_assert!(snapshot::decode(&bytes[..cut]).is_err());
        }
        let mut longer = bytes.clone();
        longer.push(0);
        prop_assert!(snapshot::decode(&longer).is_err());
        let bit = flip.index(bytes.len() * 8);
        let mut damaged = bytes;
        damaged[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(snapshot::decode(&damaged).is_err());
    }
}

fn first_unstable_by_scan(log: &[(i64, ProducerBatch)], high_watermark: i64) -> Option<Offset> {
    let mut open: BTreeMap<ProducerId, i64> = BTreeMap::new();
    let mut unstable: Vec<i64> = Vec::new();
    for (first, batch) in log {
        let producer = batch.producer_id.unwrap();
        match batch.content {
            BatchContent::Data { transactional: true } => {
                open.entry(producer).or_insert(*first);
            }
            BatchContent::Marker(_) => {
                if let Some(start) = open.remove(&producer)
                    && *first >= high_watermark
                {
                    unstable.push(start);
                }
            }
            _ => {}
        }
    }
    unstable.into_iter().chain(open.into_values()).min().map(Offset)
}
