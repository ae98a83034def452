//! The sequence numbers of one partition: what an idempotent producer counts, and what it does
//! when broker and producer disagree about the count (KIP-98, KIP-360).
//!
//! Decides; sends nothing. The batches themselves are with the sender.
//!
//! | answer | when | what follows |
//! |---|---|---|
//! | `OUT_OF_ORDER_SEQUENCE_NUMBER` | a batch before this one is not acknowledged yet | send again |
//! | | this is the next one: the broker lacks something before it | idempotent: a new epoch, from 0; transactional: abort |
//! | `UNKNOWN_PRODUCER_ID` | all that was acknowledged is deleted by retention | idempotent: a new epoch; transactional: from 0 again |
//! | | otherwise | idempotent: a new epoch; transactional: abort |
//! | no answer in time | the batch may have been written, so its numbers are *unresolved* | known once a later batch is accepted, or all are answered |

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{ProducerEpoch, ProducerId};
use afluente_protocol::records::BatchProducer;

/// The sequence number `count` records after `sequence`. After the largest one comes 0.
pub(crate) fn add(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

/// What a producer is to a broker: an id, and which life of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pub(crate) id: ProducerId,
    pub(crate) epoch: ProducerEpoch,
}

impl Identity {
    /// The next epoch, if there is one more.
    pub(crate) fn bumped(self) -> Option<Self> {
        let epoch = self.epoch.0.checked_add(1)?;
        // The largest one is not used, as in Kafka, where it is the sign of an exhausted id.
        (epoch < i16::MAX).then_some(Self { epoch: ProducerEpoch(epoch), ..self })
    }
}

/// The count of one partition.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sequences {
    /// What the numbers count under; `None` before the first batch.
    identity: Option<Identity>,
    next: i32,
    /// Of the last record that was acknowledged.
    last_acked: Option<i32>,
    last_acked_offset: Option<i64>,
    /// The number after the last batch whose fate is not known.
    unresolved: Option<i32>,
}

/// What to do with a batch that a broker refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Send it again.
    Retry,
    /// Number all unacknowledged batches of the partition from 0 under a new epoch; then again.
    RetryInNewEpoch,
    /// Number all unacknowledged batches of the partition from 0 under the same epoch; then again.
    RetryFromZero,
    /// It has failed.
    Fail,
}

/// What a broker said about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) code: ErrorCode,
    /// -1 if the broker did not say.
    pub(crate) log_start_offset: i64,
    pub(crate) base_sequence: i32,
    /// Whether the batch got another number since it was first sent.
    pub(crate) is_resequenced: bool,
}

impl Sequences {
    /// What the numbers count under.
    pub(crate) fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// Counts from 0 under `identity`.
    pub(crate) fn restart(&mut self, identity: Identity) {
        *self = Self {
            identity: Some(identity),
            last_acked_offset: self.last_acked_offset,
            ..Self::default()
        };
    }

    /// The numbers of a batch of `count` records.
    ///
    /// # Panics
    /// Before [`Sequences::restart`].
    pub(crate) fn take(&mut self, count: i32) -> BatchProducer {
        let identity = self.identity.expect("restarted with an identity");
        let base_sequence = self.next;
        self.next = add(self.next, count);
        BatchProducer { id: identity.id, epoch: identity.epoch, base_sequence }
    }

    /// Gives back `count` numbers of a batch that was not written: those after it move up.
    pub(crate) fn give_back(&mut self, count: i32) {
        self.next = add(self.next, -count);
    }

    /// A batch was acknowledged, whose last record has this number and, if known, this offset.
    pub(crate) fn acked(&mut self, last_sequence: i32, last_offset: Option<i64>) {
        // Answers come in order; that of a batch that was numbered anew may come late.
        self.last_acked = Some(self.last_acked.map_or(last_sequence, |last| {
            if last_sequence.wrapping_sub(last) > 0 || last == i32::MAX {
                last_sequence
            } else {
                last
            }
        }));
        self.last_acked_offset = self.last_acked_offset.max(last_offset);
    }

    /// The fate of a batch, whose last record has this number, will not be known.
    pub(crate) fn lost_sight_of(&mut self, last_sequence: i32) {
        let after = add(last_sequence, 1);
        self.unresolved = Some(self.unresolved.map_or(after, |known| known.max(after)));
    }

    /// Looks at unresolved numbers once no batch is unacknowledged. True if they may be missing,
    /// so that counting cannot go on.
    pub(crate) fn is_gap_found(&mut self) -> bool {
        self.unresolved.take().is_some() && !self.is_next(self.next)
    }

    /// Whether numbers are unresolved.
    pub(crate) fn is_unresolved(&self) -> bool {
        self.unresolved.is_some()
    }

    /// What to do about a refusal.
    pub(crate) fn verdict(&self, refusal: Refusal, is_transactional: bool) -> Verdict {
        match refusal.code {
            ErrorCode::UnknownProducerId => {
                let is_deleted = self.last_acked_offset.unwrap_or(-1) < refusal.log_start_offset;
                match () {
                    // Without the start of the log nothing can be said. The answer comes again.
                    () if refusal.log_start_offset == -1 => Verdict::Retry,
                    // The same trouble as that of the batch before, already dealt with.
                    () if refusal.is_resequenced => Verdict::Retry,
                    () if is_deleted && is_transactional => Verdict::RetryFromZero,
                    () if is_transactional => Verdict::Fail,
                    () => Verdict::RetryInNewEpoch,
                }
            }
            ErrorCode::OutOfOrderSequenceNumber => {
                let is_next = self.is_next(refusal.base_sequence);
                match () {
                    // Something before it is on its way again.
                    () if !self.is_unresolved() && (refusal.is_resequenced || !is_next) => {
                        Verdict::Retry
                    }
                    () if is_transactional => Verdict::Fail,
                    // The gap is real.
                    () if !self.is_unresolved()
                        || self.unresolved == Some(refusal.base_sequence) =>
                    {
                        Verdict::RetryInNewEpoch
                    }
                    () => Verdict::Retry,
                }
            }
            code if code.is_retriable() => Verdict::Retry,
            _ => Verdict::Fail,
        }
    }

    fn is_next(&self, sequence: i32) -> bool {
        sequence == self.last_acked.map_or(0, |last| add(last, 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { id: ProducerId(7), epoch: ProducerEpoch(3) };

    fn counting() -> Sequences {
        let mut sequences = Sequences::default();
        sequences.restart(IDENTITY);
        sequences
    }

    fn refusal(code: ErrorCode, base_sequence: i32) -> Refusal {
        Refusal { code, log_start_offset: 0, base_sequence, is_resequenced: false }
    }

    #[test]
    fn numbers_follow_one_another_and_wrap_to_zero() {
        let mut sequences = counting();
        let bases: Vec<_> = [3, 1, i32::MAX, 5].map(|n| sequences.take(n).base_sequence).into();
        assert_eq!(bases, [0, 3, 4, 3]);
        assert_eq!(add(i32::MAX, 1), 0);
        assert_eq!(add(2, -5), i32::MAX - 2);
        sequences.give_back(5);
        assert_eq!(sequences.take(1).base_sequence, 3);
    }

    #[test]
    fn epochs_end_before_the_largest_number() {
        let epoch = |epoch| Identity { epoch: ProducerEpoch(epoch), ..IDENTITY };
        assert_eq!(epoch(0).bumped(), Some(epoch(1)));
        assert_eq!(epoch(i16::MAX - 1).bumped(), None);
    }

    #[test]
    fn a_batch_out_of_order_waits_for_the_one_before_it() {
        let mut sequences = counting();
        sequences.take(10);
        sequences.take(10);
        let code = ErrorCode::OutOfOrderSequenceNumber;
        for is_transactional in [false, true] {
            assert_eq!(sequences.verdict(refusal(code, 10), is_transactional), Verdict::Retry);
        }
        // The first one cannot be out of order, unless the broker lost its memory.
        assert_eq!(sequences.verdict(refusal(code, 0), false), Verdict::RetryInNewEpoch);
        assert_eq!(sequences.verdict(refusal(code, 0), true), Verdict::Fail);
        let again = Refusal { is_resequenced: true, ..refusal(code, 0) };
        assert_eq!(sequences.verdict(again, true), Verdict::Retry);
        sequences.acked(9, Some(9));
        assert_eq!(sequences.verdict(refusal(code, 10), false), Verdict::RetryInNewEpoch);
    }

    #[test]
    fn a_batch_that_expired_leaves_a_gap_unless_it_was_written() {
        let mut sequences = counting();
        sequences.take(10);
        sequences.take(10);
        sequences.lost_sight_of(9);
        let code = ErrorCode::OutOfOrderSequenceNumber;
        assert_eq!(sequences.verdict(refusal(code, 10), false), Verdict::RetryInNewEpoch);
        assert_eq!(sequences.verdict(refusal(code, 10), true), Verdict::Fail);
        assert_eq!(sequences.verdict(refusal(code, 20), false), Verdict::Retry);
        // It was written: the next one is accepted.
        sequences.acked(19, Some(19));
        assert!(!sequences.is_gap_found());
        assert!(!sequences.is_unresolved());
        // And here nothing came after it.
        sequences.take(5);
        sequences.lost_sight_of(24);
        assert!(sequences.is_gap_found());
        assert!(!sequences.is_gap_found());
    }

    #[test]
    fn a_forgotten_producer_begins_anew() {
        let code = ErrorCode::UnknownProducerId;
        let mut sequences = counting();
        sequences.take(10);
        sequences.acked(9, Some(109));
        sequences.take(10);
        let at = |log_start_offset| Refusal { log_start_offset, ..refusal(code, 10) };
        // Whether the start of the log is known, and what is left of what was acknowledged.
        for (log_start_offset, transactional, idempotent) in [
            (-1, Verdict::Retry, Verdict::Retry),
            (110, Verdict::RetryFromZero, Verdict::RetryInNewEpoch),
            (0, Verdict::Fail, Verdict::RetryInNewEpoch),
        ] {
            assert_eq!(sequences.verdict(at(log_start_offset), true), transactional);
            assert_eq!(sequences.verdict(at(log_start_offset), false), idempotent);
        }
        let again = Refusal { is_resequenced: true, ..at(0) };
        assert_eq!(sequences.verdict(again, true), Verdict::Retry);
    }

    #[test]
    fn other_refusals_are_tried_again_by_their_kind() {
        let sequences = counting();
        for (code, verdict) in [
            (ErrorCode::NotLeaderOrFollower, Verdict::Retry),
            (ErrorCode::NotEnoughReplicas, Verdict::Retry),
            (ErrorCode::TopicAuthorizationFailed, Verdict::Fail),
            (ErrorCode::InvalidProducerEpoch, Verdict::Fail),
        ] {
            assert_eq!(sequences.verdict(refusal(code, 0), false), verdict, "{code}");
        }
    }
}
