//! Finding positions: committed ones, those that a rule gives, and whether a position still holds.
//!
//! One task sees to all partitions with a need. An answer counts only if nothing happened to the
//! partition since the question (its version); what fails for a reason that may pass is tried again
//! after `retry.backoff.ms`.

use super::commit;
use super::error::ConsumerError;
use super::offsets;
use super::reset::OffsetReset;
use super::shared::Shared;
use super::state::{Need, PartitionState, Position, State};
use crate::error::Error;
use crate::topic_partition::TopicPartition;
use afluente_env::clock::Moment;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A partition and the version of its state.
type Asked = BTreeMap<TopicPartition, u64>;

/// What is to be asked.
#[derive(Default)]
struct Questions {
    committed: Asked,
    resets: BTreeMap<TopicPartition, (u64, OffsetReset)>,
    validations: BTreeMap<TopicPartition, (u64, Position)>,
    /// When the first partition that rests may be asked for again.
    wake_at: Option<Moment>,
}

/// The task; ends when the consumer is closed.
pub(super) async fn run(shared: Arc<Shared>) {
    let mut work = shared.work();
    let mut failures = 0_u32;
    while !shared.is_closed() {
        work.borrow_and_update();
        let questions = questions(&shared);
        if questions.is_empty() {
            failures = 0;
            shared.wait(&mut work, questions.wake_at).await;
            continue;
        }
        let answered = shared.unless_closed(answer(&shared, questions, failures + 1)).await;
        match answered {
            None => return,
            Some(true) => failures = 0,
            Some(false) => failures = failures.saturating_add(1),
        }
        // Whoever waits for a position, and the tasks that fetch from it.
        shared.ring_news();
        shared.ring_work();
    }
}

impl Questions {
    fn is_empty(&self) -> bool {
        self.committed.is_empty() && self.resets.is_empty() && self.validations.is_empty()
    }
}

fn questions(shared: &Shared) -> Questions {
    let now = shared.now();
    let mut questions = Questions::default();
    for (partition, state) in shared.state.lock().iter() {
        if state.need == Need::Nothing {
            continue;
        }
        if let Some(at) = state.retry_at.filter(|&at| now < at) {
            questions.wake_at = Some(questions.wake_at.map_or(at, |wake_at| wake_at.min(at)));
            continue;
        }
        // A failure that the poll has not told of yet.
        if state.error.is_some() {
            continue;
        }
        let (partition, version) = (partition.clone(), state.version);
        match state.need {
            Need::Nothing => {}
            Need::Committed => drop(questions.committed.insert(partition, version)),
            Need::Reset(reset) => drop(questions.resets.insert(partition, (version, reset))),
            Need::Validation => {
                questions.validations.insert(partition, (version, state.fetch_from));
            }
        }
    }
    questions
}

/// Asks, and takes in what comes; says whether nothing failed.
async fn answer(shared: &Shared, questions: Questions, failures: u32) -> bool {
    let retry_at = shared.retry_at(failures);
    let mut is_fine = true;
    if !questions.committed.is_empty() {
        is_fine &= committed(shared, questions.committed, retry_at).await;
    }
    if !questions.resets.is_empty() {
        is_fine &= resets(shared, questions.resets, retry_at).await;
    }
    if !questions.validations.is_empty() {
        is_fine &= validations(shared, questions.validations, retry_at).await;
    }
    is_fine
}

async fn committed(shared: &Shared, asked: Asked, retry_at: Moment) -> bool {
    let partitions: BTreeSet<TopicPartition> = asked.keys().cloned().collect();
    let answer = commit::fetch_once(shared, &partitions, shared.attempt_deadline()).await;
    let mut guard = shared.state.lock();
    match answer {
        Ok(found) => {
            for (partition, version) in asked {
                let state = &mut *guard;
                if current(state, &partition, version).is_none() {
                    continue;
                }
                match (found.get(&partition), shared.config.offset_reset) {
                    (Some(committed), _) => {
                        let position = Position {
                            offset: Offset(committed.offset),
                            leader_epoch: LeaderEpoch(committed.leader_epoch),
                        };
                        tracing::debug!(%partition, ?position, "committed position");
                        state.seek(&partition, position);
                    }
                    (None, OffsetReset::None) => {
                        if let Some(state) = state.get_mut(&partition) {
                            let partition = partition.clone();
                            state.error = Some(ConsumerError::NoOffset { partition });
                        }
                    }
                    (None, reset) => {
                        state.require(&partition, Need::Reset(reset));
                    }
                }
            }
            true
        }
        Err(error) => {
            for (partition, version) in asked {
                rest(&mut guard, &partition, version, retry_at);
            }
            drop(guard);
            if !error.may_pass() && !is_passing(&error) {
                shared.fail(error.into());
            }
            false
        }
    }
}

/// A member that the coordinator has moved on, or does not know any more, sees to that itself.
fn is_passing(error: &Error) -> bool {
    matches!(
        error.error_code(),
        Some(
            ErrorCode::StaleMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::IllegalGeneration
                | ErrorCode::RebalanceInProgress
        )
    )
}

async fn resets(
    shared: &Shared,
    asked: BTreeMap<TopicPartition, (u64, OffsetReset)>,
    retry_at: Moment,
) -> bool {
    let now_ms = shared.client.env().clock.wall_ms();
    let times: BTreeMap<TopicPartition, i64> = asked
        .iter()
        .filter_map(|(partition, (_, reset))| Some((partition.clone(), reset.timestamp(now_ms)?)))
        .collect();
    let level = shared.config.isolation_level;
    let deadline = shared.attempt_deadline();
    let mut answers = offsets::list_once(&shared.client, &times, level, deadline).await;
    // No record is as late as the duration says: the end, then.
    let ends: BTreeMap<TopicPartition, i64> = answers
        .iter()
        .filter(|(_, answer)| answer.as_ref().is_ok_and(|found| found.offset.is_none()))
        .map(|(partition, _)| (partition.clone(), offsets::LATEST))
        .collect();
    if !ends.is_empty() {
        answers.extend(offsets::list_once(&shared.client, &ends, level, deadline).await);
    }
    let mut is_fine = true;
    let mut state = shared.state.lock();
    for (partition, (version, reset)) in asked {
        match answers.remove(&partition) {
            None if reset == OffsetReset::None => {
                if let Some(found) = current(&mut state, &partition, version) {
                    let partition = partition.clone();
                    found.error = Some(ConsumerError::NoOffset { partition });
                }
            }
            Some(Ok(found)) if found.offset.is_some() => {
                if current(&mut state, &partition, version).is_some() {
                    let offset = Offset(found.offset.expect("it was looked at"));
                    let leader_epoch = LeaderEpoch(found.leader_epoch);
                    tracing::debug!(%partition, %offset, "position by reset");
                    state.seek(&partition, Position { offset, leader_epoch });
                }
            }
            Some(Err(error)) if !error.may_pass() => {
                if let Some(found) = current(&mut state, &partition, version) {
                    found.error = Some(error.into());
                }
            }
            _ => {
                rest(&mut state, &partition, version, retry_at);
                is_fine = false;
            }
        }
    }
    is_fine
}

async fn validations(
    shared: &Shared,
    asked: BTreeMap<TopicPartition, (u64, Position)>,
    retry_at: Moment,
) -> bool {
    let epochs: BTreeMap<TopicPartition, i32> = asked
        .iter()
        .map(|(partition, (_, position))| (partition.clone(), position.leader_epoch.0))
        .collect();
    let mut answers = offsets::epoch_ends_once(shared, &epochs, shared.attempt_deadline()).await;
    let (mut is_fine, mut truncated) = (true, Vec::new());
    let mut state = shared.state.lock();
    for (partition, (version, asked_at)) in asked {
        let Some(found) = current(&mut state, &partition, version) else { continue };
        match answers.remove(&partition) {
            Some(Ok(end)) => {
                found.checked_epoch = end.asked_of;
                found.need = Need::Nothing;
                found.retry_at = None;
                let is_known = end.epoch >= 0 && end.end_offset >= 0;
                if !is_known || end.end_offset < asked_at.offset.0 {
                    truncated.push((partition, is_known.then_some(end)));
                }
            }
            Some(Err(error)) if error.error_code() == Some(ErrorCode::UnsupportedVersion) => {
                // The broker cannot say; then nothing is checked.
                found.need = Need::Nothing;
                found.checked_epoch = i32::MAX;
            }
            Some(Err(error)) if !error.may_pass() => found.error = Some(error.into()),
            _ => {
                found.retry_at = Some(retry_at);
                is_fine = false;
            }
        }
    }
    drop(state);
    for (partition, end) in truncated {
        diverged(shared, &partition, end);
    }
    is_fine
}

/// The log of the leader is not the one that was read: goes back to where they part, or fails.
fn diverged(shared: &Shared, partition: &TopicPartition, end: Option<offsets::EpochEnd>) {
    let offset = {
        let state = shared.state.lock();
        let Some(found) = state.get(partition) else { return };
        found.position.map_or(found.fetch_from.offset.0, |position| position.offset.0)
    };
    let error = ConsumerError::LogTruncated {
        partition: partition.clone(),
        offset,
        diverges_at: end.map(|end| end.end_offset),
    };
    match end {
        Some(end) if shared.config.offset_reset != OffsetReset::None => {
            tracing::warn!(%error, "going back to where the logs part");
            let position = Position {
                // What was fetched and not polled may be beyond it, or what was polled.
                offset: Offset(end.end_offset.min(offset)),
                leader_epoch: LeaderEpoch(end.epoch),
            };
            let mut state = shared.state.lock();
            let checked = state.get(partition).map_or(-1, |found| found.checked_epoch);
            state.seek(partition, position);
            if let Some(found) = state.get_mut(partition) {
                found.checked_epoch = checked;
            }
        }
        _ => shared.reset(partition, error),
    }
}

/// The state of a partition if nothing has happened to it since.
fn current<'a>(
    state: &'a mut State,
    partition: &TopicPartition,
    version: u64,
) -> Option<&'a mut PartitionState> {
    state.get_mut(partition).filter(|found| found.version == version)
}

fn rest(state: &mut State, partition: &TopicPartition, version: u64, until: Moment) {
    if let Some(found) = current(state, partition, version) {
        found.retry_at = Some(until);
    }
}
