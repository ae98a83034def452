//! Whole stories of transactions, told through the shard's interface.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::end::EndRequest;
use super::{
    PartitionKey, ProducerIdAndEpoch, ProducerIds, State, TransactionEffects, TransactionSettings,
    TransactionShard, record::TransactionRecord,
};
use afluente_protocol::error_code::ErrorCode;

const ID: &str = "tx";

struct Ids(i64);

impl ProducerIds for Ids {
    fn next_producer_id(&mut self) -> Result<i64, ErrorCode> {
        self.0 += 1;
        Ok(self.0)
    }
}

struct World {
    shard: TransactionShard,
    ids: Ids,
    now_ms: i64,
    log: Vec<TransactionRecord>,
}

fn partition() -> PartitionKey {
    ("t".to_owned(), 0)
}

impl World {
    fn new() -> Self {
        Self {
            shard: TransactionShard::new(TransactionSettings::default()),
            ids: Ids(0),
            now_ms: 1_000,
            log: Vec::new(),
        }
    }

    fn run<T>(
        &mut self,
        step: impl FnOnce(&mut TransactionShard, &mut Ids, i64, &mut TransactionEffects) -> T,
    ) -> (T, TransactionEffects) {
        let mut effects = TransactionEffects::default();
        let result = step(&mut self.shard, &mut self.ids, self.now_ms, &mut effects);
        self.log.extend(effects.records.iter().cloned());
        (result, effects)
    }

    fn init(
        &mut self,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let (result, effects) = self.run(|shard, ids, now_ms, effects| {
            shard.init_producer_id(ID, 60_000, expected, ids, now_ms, effects)
        });
        self.write(effects);
        result
    }

    fn add(&mut self, producer: ProducerIdAndEpoch, version: i16) -> Result<(), ErrorCode> {
        self.run(|shard, _, now_ms, effects| {
            shard.add_partitions(ID, producer, [partition()], version, now_ms, effects)
        })
        .0
    }

    fn end(
        &mut self,
        producer: ProducerIdAndEpoch,
        is_commit: bool,
        client_version: i16,
    ) -> (Result<ProducerIdAndEpoch, ErrorCode>, TransactionEffects) {
        let request = EndRequest { producer, is_commit, client_version };
        self.run(|shard, ids, now_ms, effects| shard.end(ID, request, ids, now_ms, effects))
    }

    /// Writes the markers that a step asked for.
    fn write(&mut self, effects: TransactionEffects) {
        for markers in effects.markers {
            self.run(|shard, _, now_ms, effects| shard.markers_written(&markers, now_ms, effects));
        }
    }

    fn state(&self) -> State {
        self.shard.transactions[ID].state
    }
}

#[test]
fn a_transaction_commits_in_two_steps() {
    for version in [1, 2] {
        let mut world = World::new();
        let producer = world.init(None).unwrap();
        assert_eq!(producer, ProducerIdAndEpoch { id: 1, epoch: 0 });
        world.add(producer, version).unwrap();
        let (next, effects) = world.end(producer, true, version);
        let bumped = ProducerIdAndEpoch { epoch: producer.epoch + (version - 1), ..producer };
        assert_eq!(next, Ok(bumped));
        assert_eq!(effects.markers[0].partitions, [partition()]);
        assert_eq!(effects.markers[0].producer_epoch, bumped.epoch);
        assert_eq!(world.state(), State::PrepareCommit);
        assert_eq!(world.add(bumped, version), Err(ErrorCode::ConcurrentTransactions));
        world.write(effects);
        assert_eq!(world.state(), State::CompleteCommit);
        // The answer was lost: the client asks again.
        assert_eq!(world.end(producer, true, version).0, Ok(bumped));
        assert_eq!(world.end(producer, false, version).0, Err(ErrorCode::InvalidTxnState));
        world.add(bumped, version).unwrap();
        assert_eq!(world.state(), State::Ongoing);
    }
}

/// Jepsen's torn transaction: an EndTxn that was held up on another connection arrives when the
/// producer's next transaction is open. With version 2 it cannot end that one.
#[test]
fn a_late_end_does_not_tear_the_next_transaction() {
    let mut world = World::new();
    let first = world.init(None).unwrap();
    world.add(first, 2).unwrap();
    let (second, effects) = world.end(first, true, 2);
    world.write(effects);
    let second = second.unwrap();
    world.add(second, 2).unwrap();
    assert_eq!(world.end(first, true, 2).0, Err(ErrorCode::ProducerFenced));
    assert_eq!(world.end(first, false, 2).0, Err(ErrorCode::ProducerFenced));
    assert_eq!(world.state(), State::Ongoing);
}

#[test]
fn a_new_process_fences_the_old_one_and_aborts_what_it_left() {
    let mut world = World::new();
    let old = world.init(None).unwrap();
    world.add(old, 1).unwrap();
    assert_eq!(world.init(None), Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(world.state(), State::CompleteAbort);
    let new = world.init(None).unwrap();
    assert!(new.epoch > old.epoch + 1, "the epoch of the fence is nobody's");
    assert_eq!(world.add(old, 1), Err(ErrorCode::ProducerFenced));
    assert_eq!(world.end(old, true, 1).0, Err(ErrorCode::ProducerFenced));
    assert_eq!(world.init(Some(old)), Err(ErrorCode::ProducerFenced));
    world.add(new, 1).unwrap();
}

#[test]
fn a_producer_that_goes_on_after_an_error_may_ask_twice() {
    let mut world = World::new();
    let first = world.init(None).unwrap();
    let second = world.init(Some(first)).unwrap();
    assert_eq!(second.epoch, first.epoch + 1);
    assert_eq!(world.init(Some(first)), Ok(second));
    assert_eq!(world.init(None).unwrap().epoch, second.epoch + 1);
    assert_eq!(world.init(Some(first)), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_transaction_that_is_open_too_long_is_aborted_and_its_producer_fenced() {
    let mut world = World::new();
    let producer = world.init(None).unwrap();
    world.add(producer, 2).unwrap();
    world.now_ms += 60_001;
    assert_eq!(world.shard.next_timeout_ms(), Some(world.now_ms));
    let ((), effects) =
        world.run(|shard, _, now_ms, effects| shard.abort_timed_out(now_ms, effects));
    assert!(!effects.markers[0].is_commit);
    world.write(effects);
    assert_eq!(world.state(), State::CompleteAbort);
    assert_eq!(world.end(producer, true, 2).0, Err(ErrorCode::ProducerFenced));
    assert_eq!(world.shard.next_timeout_ms(), None);
}

#[test]
fn epochs_run_out_into_a_new_producer_id() {
    let mut world = World::new();
    let producer = world.init(None).unwrap();
    let last = ProducerIdAndEpoch { epoch: i16::MAX - 1, ..producer };
    world.shard.transactions.get_mut(ID).unwrap().producer_epoch = last.epoch;
    world.add(last, 2).unwrap();
    let (next, effects) = world.end(last, true, 2);
    let next = next.unwrap();
    assert_eq!(next, ProducerIdAndEpoch { id: 2, epoch: 0 });
    assert_eq!(effects.markers[0].producer_id, producer.id);
    assert_eq!(effects.markers[0].producer_epoch, i16::MAX);
    world.write(effects);
    assert_eq!(world.end(last, true, 2).0, Ok(next), "a retry finds the new id");
    world.add(next, 2).unwrap();
    assert_eq!(world.end(last, true, 2).0, Err(ErrorCode::ProducerFenced));
}

#[test]
fn an_abort_with_nothing_written_still_raises_the_epoch() {
    let mut world = World::new();
    let producer = world.init(None).unwrap();
    assert_eq!(world.end(producer, true, 2).0, Err(ErrorCode::InvalidTxnState));
    assert_eq!(world.end(producer, false, 1).0, Err(ErrorCode::InvalidTxnState));
    let (next, effects) = world.end(producer, false, 2);
    assert_eq!(next.unwrap().epoch, producer.epoch + 1);
    world.write(effects);
    assert_eq!(world.state(), State::CompleteAbort);
}

#[test]
fn a_restart_finds_the_transactions_and_writes_open_markers_again() {
    let mut world = World::new();
    let producer = world.init(None).unwrap();
    world.add(producer, 2).unwrap();
    let (_, effects) = world.end(producer, true, 2);
    let mut again = TransactionShard::new(TransactionSettings::default());
    for record in &world.log {
        again.replay(record).unwrap();
    }
    assert_eq!(again.transactions, world.shard.transactions);
    let mut found = TransactionEffects::default();
    again.loaded(&mut found);
    assert_eq!(found.markers, effects.markers);

    world.now_ms += 8 * 24 * 3_600_000;
    world.write(effects);
    world.now_ms += 8 * 24 * 3_600_000;
    world.run(|shard, _, now_ms, effects| shard.expire_ids(now_ms, effects));
    assert_eq!(world.shard.transactions.len(), 0);
    assert_eq!(world.shard.describe(ID).error_code, ErrorCode::TransactionalIdNotFound.code());
}

#[test]
fn verification_knows_what_belongs_to_the_transaction() {
    let mut world = World::new();
    let producer = world.init(None).unwrap();
    let stranger = ProducerIdAndEpoch { id: 99, epoch: 0 };
    let verify = |world: &mut World, producer, number| {
        world.shard.verify_partition(ID, producer, &("t".to_owned(), number))
    };
    assert_eq!(verify(&mut world, producer, 0), Err(ErrorCode::TransactionAbortable));
    world.add(producer, 1).unwrap();
    assert_eq!(verify(&mut world, producer, 0), Ok(()));
    assert_eq!(verify(&mut world, producer, 1), Err(ErrorCode::TransactionAbortable));
    assert_eq!(verify(&mut world, stranger, 0), Err(ErrorCode::InvalidProducerIdMapping));
}
