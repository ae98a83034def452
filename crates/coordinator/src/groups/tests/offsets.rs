//! Committed offsets.

use super::World;
use crate::effects::Effects;
use crate::groups::offsets::FetchedOffset;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use afluente_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequest, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};

const GROUP: &str = "g";

impl World {
    fn commit(&mut self, partition: i32, offset: i64, note: &str) -> Result<ErrorCode, ErrorCode> {
        let origin = self.origin(9);
        let request = OffsetCommitRequest {
            group_id: GROUP.to_owned(),
            generation_id_or_member_epoch: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![OffsetCommitRequestPartition {
                    partition_index: partition,
                    committed_offset: offset,
                    committed_metadata: Some(note.to_owned()),
                    ..OffsetCommitRequestPartition::default()
                }],
                ..OffsetCommitRequestTopic::default()
            }],
            ..OffsetCommitRequest::default()
        };
        let mut effects = Effects::default();
        let answer = self.shard.offset_commit(&origin, &request, &self.topics, &mut effects);
        self.take(effects);
        answer.map(|topics| topics[0][0])
    }

    fn txn_commit(&mut self, producer_id: i64, offset: i64) {
        let origin = self.origin(5);
        let request = TxnOffsetCommitRequest {
            group_id: GROUP.to_owned(),
            producer_id,
            topics: vec![TxnOffsetCommitRequestTopic {
                name: "t".to_owned(),
                partitions: vec![TxnOffsetCommitRequestPartition {
                    partition_index: 0,
                    committed_offset: offset,
                    ..TxnOffsetCommitRequestPartition::default()
                }],
                ..TxnOffsetCommitRequestTopic::default()
            }],
            ..TxnOffsetCommitRequest::default()
        };
        let mut effects = Effects::default();
        let answer =
            self.shard.txn_offset_commit(&origin, &request, &self.topics, &mut effects).unwrap();
        assert_eq!(answer, [[ErrorCode::None]]);
        self.take_of(Some(producer_id), effects);
    }

    fn fetch(&self, partition: i32) -> Option<i64> {
        match self.shard.offset_fetch(GROUP, &("t".to_owned(), partition), false) {
            FetchedOffset::Committed(offset) => Some(offset.offset),
            FetchedOffset::None => None,
            FetchedOffset::Unstable => panic!("asked for unstable offsets too"),
        }
    }
}

#[test]
fn a_simple_group_keeps_offsets_without_members() {
    let mut world = World::new();
    assert_eq!(world.fetch(0), None);
    assert_eq!(world.commit(0, 7, "note"), Ok(ErrorCode::None));
    assert_eq!(world.commit(1, 8, &"x".repeat(5_000)), Ok(ErrorCode::OffsetMetadataTooLarge));
    assert_eq!((world.fetch(0), world.fetch(1)), (Some(7), None));
    assert_eq!(world.shard.list(&["empty".to_owned()], &["Classic".to_owned()]).len(), 1);
    world.shard = world.replayed();
    assert_eq!(world.fetch(0), Some(7));
}

#[test]
fn offsets_of_a_transaction_count_when_it_commits_unless_they_were_overtaken() {
    for (is_commit, expected) in [(true, Some(10)), (false, Some(1))] {
        let mut world = World::new();
        world.commit(0, 1, "").unwrap();
        world.txn_commit(42, 10);
        assert_eq!(world.fetch(0), Some(1));
        let stable = world.shard.offset_fetch(GROUP, &("t".to_owned(), 0), true);
        assert_eq!(stable, FetchedOffset::Unstable);
        let mut replayed = world.replayed();
        for shard in [&mut world.shard, &mut replayed] {
            shard.complete_transaction(42, is_commit);
        }
        assert_eq!(world.fetch(0), expected);
        world.shard = replayed;
        assert_eq!(world.fetch(0), expected);
    }
    let mut world = World::new();
    world.txn_commit(42, 10);
    world.commit(0, 20, "").unwrap();
    world.shard.complete_transaction(42, true);
    assert_eq!(world.fetch(0), Some(20));
}

#[test]
fn offsets_expire_and_take_their_group_along() {
    let mut world = World::new();
    world.commit(0, 1, "").unwrap();
    for (wait_ms, is_left) in [(7 * 24 * 3_600_000 - 1, true), (1, false)] {
        world.now_ms += wait_ms;
        let mut effects = Effects::default();
        world.shard.expire_offsets(world.now_ms, &mut effects);
        world.take(effects);
        assert_eq!(world.fetch(0).is_some(), is_left);
        assert_eq!(world.shard.list(&[], &[]).len(), usize::from(is_left));
    }
    assert_eq!(world.replayed().list(&[], &[]), []);
}

#[test]
fn deleting_a_group_deletes_its_offsets() {
    let mut world = World::new();
    world.commit(0, 1, "").unwrap();
    world.txn_commit(42, 10);
    let mut effects = Effects::default();
    assert_eq!(world.shard.delete_group(GROUP, &mut effects), Ok(()));
    assert_eq!(world.shard.delete_group(GROUP, &mut effects), Err(ErrorCode::GroupIdNotFound));
    world.take(effects);
    world.shard = world.replayed();
    world.shard.complete_transaction(42, true);
    assert_eq!(world.fetch(0), None);
}
