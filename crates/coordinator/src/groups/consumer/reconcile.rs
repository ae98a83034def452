//! One step of a member towards its target assignment.
//!
//! A partition is never given to a member before the one that held it has said that it stopped
//! reading it: that is why a member first revokes, then waits, then gets.

use super::{Assignment, ConsumerGroup, Member, MemberState, Refusal};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::uuid::Uuid;
use std::collections::BTreeSet;

/// What a member's step depends on besides the member.
pub(super) struct Aim<'a> {
    /// What it is to have.
    pub(super) target: &'a Assignment,
    /// What it says that it reads, if it says so.
    pub(super) owned: Option<&'a Assignment>,
    /// The topics that it is subscribed to at this moment.
    pub(super) subscribed: BTreeSet<Uuid>,
    /// Whether they are others than before this request.
    pub(super) has_subscription_changed: bool,
}

impl ConsumerGroup {
    /// The member after one step.
    ///
    /// # Errors
    /// `FENCED_MEMBER_EPOCH` for a member in a state that a newer broker wrote.
    pub(super) fn reconciled(&self, member: &Member, aim: &Aim<'_>) -> Result<Member, Refusal> {
        let stays = || match aim.has_subscription_changed {
            true => without_unsubscribed(member, aim),
            false => member.clone(),
        };
        match member.state {
            MemberState::Stable if member.epoch == self.target_epoch => Ok(stays()),
            MemberState::UnrevokedPartitions if owns(aim.owned, &member.pending_revocation) => {
                Ok(stays())
            }
            MemberState::Stable
            | MemberState::UnreleasedPartitions
            | MemberState::UnrevokedPartitions => Ok(self.next(member, member.epoch, aim)),
            MemberState::Unknown if aim.owned.is_some_and(Assignment::is_empty) => {
                Ok(self.next(member, self.target_epoch, aim))
            }
            MemberState::Unknown => Err((
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its \
                 partitions and rejoin."
                    .to_owned(),
            )),
        }
    }

    fn next(&self, member: &Member, epoch: i32, aim: &Aim<'_>) -> Member {
        // The target may be older than the subscription.
        let mut target = aim.target.clone();
        target.retain(|topic, _| aim.subscribed.contains(topic));
        let kept = intersection(&member.assigned, &target);
        let revoked = difference(&member.assigned, &kept);
        let mut wanted = difference(&target, &kept);
        let wanted_count = count(&wanted);
        retain(&mut wanted, |topic, partition| {
            // What it has itself just given up, it may have back.
            !self.partition_epochs.contains_key(&(topic, partition))
                || contains(&member.pending_revocation, topic, partition)
        });
        let must_wait = count(&wanted) < wanted_count;

        if !revoked.is_empty() && owns(aim.owned, &revoked) {
            return Member {
                state: MemberState::UnrevokedPartitions,
                ..holding(at_epoch(member, epoch), kept, revoked)
            };
        }
        let mut assigned = kept;
        for (topic, partitions) in wanted {
            assigned.entry(topic).or_default().extend(partitions);
        }
        Member {
            state: if must_wait { MemberState::UnreleasedPartitions } else { MemberState::Stable },
            ..holding(at_epoch(member, self.target_epoch), assigned, Assignment::new())
        }
    }
}

/// A member that has stopped reading topics gives them up at once: no assignment has to say so.
fn without_unsubscribed(member: &Member, aim: &Aim<'_>) -> Member {
    let mut kept = member.assigned.clone();
    kept.retain(|topic, _| aim.subscribed.contains(topic));
    if kept == member.assigned {
        return member.clone();
    }
    let mut revoked = member.pending_revocation.clone();
    for (topic, partitions) in difference(&member.assigned, &kept) {
        revoked.entry(topic).or_default().extend(partitions);
    }
    if owns(aim.owned, &revoked) {
        Member {
            state: MemberState::UnrevokedPartitions,
            ..holding(at_epoch(member, member.epoch), kept, revoked)
        }
    } else {
        let pending_revocation = member.pending_revocation.clone();
        holding(at_epoch(member, member.epoch), kept, pending_revocation)
    }
}

fn at_epoch(member: &Member, epoch: i32) -> Member {
    Member { epoch, previous_epoch: member.epoch, ..member.clone() }
}

/// The member with these partitions; what it did not have before was given to it in its epoch.
pub(super) fn holding(
    member: Member,
    assigned: Assignment,
    pending_revocation: Assignment,
) -> Member {
    let held = assigned.iter().chain(&pending_revocation);
    let held = held.flat_map(|(topic, partitions)| partitions.iter().map(|p| (*topic, *p)));
    let assignment_epochs = held
        .map(|at| (at, member.assignment_epochs.get(&at).copied().unwrap_or(member.epoch)))
        .collect();
    Member { assigned, pending_revocation, assignment_epochs, ..member }
}

/// Whether a member may still read any of `partitions`; one that does not say, may.
fn owns(owned: Option<&Assignment>, partitions: &Assignment) -> bool {
    owned.is_none_or(|owned| !intersection(owned, partitions).is_empty())
}

fn contains(assignment: &Assignment, topic: Uuid, partition: i32) -> bool {
    assignment.get(&topic).is_some_and(|partitions| partitions.contains(&partition))
}

/// What is in both.
pub(super) fn intersection(a: &Assignment, b: &Assignment) -> Assignment {
    let mut result = a.clone();
    retain(&mut result, |topic, partition| contains(b, topic, partition));
    result
}

/// What is in `a` and not in `b`.
pub(super) fn difference(a: &Assignment, b: &Assignment) -> Assignment {
    let mut result = a.clone();
    retain(&mut result, |topic, partition| !contains(b, topic, partition));
    result
}

fn retain(assignment: &mut Assignment, keep: impl Fn(Uuid, i32) -> bool) {
    assignment.retain(|topic, partitions| {
        partitions.retain(|partition| keep(*topic, *partition));
        !partitions.is_empty()
    });
}

fn count(assignment: &Assignment) -> usize {
    assignment.values().map(BTreeSet::len).sum()
}
