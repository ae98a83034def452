//! What a step of a coordinator asks of its surroundings.

use crate::groups::record::GroupRecord;
use afluente_protocol::messages::join_group_response::JoinGroupResponse;
use afluente_protocol::messages::sync_group_response::SyncGroupResponse;

/// Names a request whose answer may come later. The caller chooses it and keeps it unique.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// Records and answers of one step.
///
/// The caller appends all `records` together, and lets `replies` (and the value that the step
/// returned) go only when they are durable. If the append fails, the shard's memory is ahead of its
/// log: the caller drops the shard, answers every open ticket with `NOT_COORDINATOR`, and loads the
/// partition again.
#[derive(Debug, Default)]
pub struct Effects {
    /// To be appended to the shard's partition, in this order, as one batch.
    pub records: Vec<GroupRecord>,
    /// Answers to requests that had been waiting, and to this one if it came at once.
    pub replies: Vec<(Ticket, Reply)>,
}

/// An answer that may have had to wait.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// To a JoinGroup.
    Join(JoinGroupResponse),
    /// To a SyncGroup.
    Sync(SyncGroupResponse),
}
