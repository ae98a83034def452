//! One step of a member towards its target assignment.
//!
//! A partition is never given to a member before the one that held it has said that it stopped
//! reading it: that is why a member first revokes, then waits, then gets.

use super::{Assignment, ConsumerGroup, Member, MemberState, Refusal};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::uuid::Uuid;

impl ConsumerGroup {
    /// The member after one step. `owned` is what it says it reads now, if it says so.
    ///
    /// # Errors
    /// `FENCED_MEMBER_EPOCH` for a member in a state that a newer broker wrote.
    pub(super) fn reconciled(
        &self,
        member: &Member,
        target: &Assignment,
        owned: Option<&Assignment>,
    ) -> Result<Member, Refusal> {
        match member.state {
            MemberState::Stable if member.epoch == self.target_epoch => Ok(member.clone()),
            MemberState::Stable | MemberState::UnreleasedPartitions => {
                Ok(self.next(member, member.epoch, target, owned))
            }
            MemberState::UnrevokedPartitions if owns(owned, &member.pending_revocation) => {
                Ok(member.clone())
            }
            // What had to go is gone: the member has reached the epoch that asked for it.
            MemberState::UnrevokedPartitions => {
                Ok(self.next(member, member.epoch + 1, target, owned))
            }
            MemberState::Unknown if owned.is_some_and(Assignment::is_empty) => {
                Ok(self.next(member, self.target_epoch, target, owned))
            }
            MemberState::Unknown => Err((
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its \
                 partitions and rejoin."
                    .to_owned(),
            )),
        }
    }

    fn next(
        &self,
        member: &Member,
        epoch: i32,
        target: &Assignment,
        owned: Option<&Assignment>,
    ) -> Member {
        let kept = intersection(&member.assigned, target);
        let revoked = difference(&member.assigned, &kept);
        let mut wanted = difference(target, &kept);
        let wanted_count = count(&wanted);
        retain(&mut wanted, |topic, partition| {
            !self.partition_epochs.contains_key(&(topic, partition))
        });
        let must_wait = count(&wanted) < wanted_count;

        if !revoked.is_empty() && owns(owned, &revoked) {
            return Member {
                state: MemberState::UnrevokedPartitions,
                assigned: kept,
                pending_revocation: revoked,
                ..at_epoch(member, epoch)
            };
        }
        let mut assigned = kept;
        for (topic, partitions) in wanted {
            assigned.entry(topic).or_default().extend(partitions);
        }
        Member {
            state: if must_wait { MemberState::UnreleasedPartitions } else { MemberState::Stable },
            assigned,
            pending_revocation: Assignment::new(),
            ..at_epoch(member, self.target_epoch)
        }
    }
}

fn at_epoch(member: &Member, epoch: i32) -> Member {
    let previous_epoch = if epoch == member.epoch { member.previous_epoch } else { member.epoch };
    Member { epoch, previous_epoch, ..member.clone() }
}

/// Whether a member may still read any of `partitions`; one that does not say, may.
fn owns(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    owned.is_none_or(|owned| !intersection(owned, partitions).is_empty())
}

/// What is in both.
pub(super) fn intersection(a: &Assignment, b: &Assignment) -> Assignment {
    let mut result = a.clone();
    retain(&mut result, |topic, partition| {
        b.get(&topic).is_some_and(|set| set.contains(&partition))
    });
    result
}

/// What is in `a` and not in `b`.
pub(super) fn difference(a: &Assignment, b: &Assignment) -> Assignment {
    let mut result = a.clone();
    retain(&mut result, |topic, partition| {
        !b.get(&topic).is_some_and(|set| set.contains(&partition))
    });
    result
}

fn retain(assignment: &mut Assignment, keep: impl Fn(Uuid, i32) -> bool) {
    assignment.retain(|topic, partitions| {
        partitions.retain(|partition| keep(*topic, *partition));
        !partitions.is_empty()
    });
}

fn count(assignment: &Assignment) -> usize {
    assignment.values().map(std::collections::BTreeSet::len).sum()
}
