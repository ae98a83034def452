//! Transactions that the coordinator is being asked about (KIP-890).
//!
//! Before the first batch of a transaction goes into a partition, the broker asks the transaction
//! coordinator whether the transaction is open. A marker that is written between the answer and
//! the append would make the batch a transaction that nobody ends. So the question hands out a
//! guard, the append must show it, and a marker that comes first takes it away.

use afluente_protocol::numbers::ProducerEpoch;
use std::sync::atomic::{AtomicU64, Ordering};

/// Proof that the coordinator was asked about a transaction in this partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerificationGuard(u64);

impl VerificationGuard {
    /// No proof.
    pub const NONE: Self = Self(0);

    /// Whether `shown` is this very proof.
    pub(super) fn admits(self, shown: Self) -> bool {
        shown != Self::NONE && shown == self
    }

    /// A guard that no other partition has, nor this one before it was deleted and created again:
    /// hence one counter for the process. Its value is never shown to anybody.
    fn unique() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

/// A question under way.
#[derive(Debug, Clone)]
pub(super) struct Verification {
    pub(super) guard: VerificationGuard,
    pub(super) started_ms: i64,
    /// Whether the producer bumps its epoch with each transaction (transaction version 2).
    pub(super) supports_epoch_bump: bool,
    pub(super) epoch: ProducerEpoch,
    /// The lowest sequence number that came with this epoch.
    pub(super) lowest_sequence: i32,
}

impl Verification {
    pub(super) fn begin(
        epoch: ProducerEpoch,
        lowest_sequence: i32,
        supports_epoch_bump: bool,
        started_ms: i64,
    ) -> Self {
        let guard = VerificationGuard::unique();
        Self { guard, started_ms, supports_epoch_bump, epoch, lowest_sequence }
    }

    /// Another batch asks: a newer epoch starts over.
    pub(super) fn saw(&mut self, epoch: ProducerEpoch, sequence: i32) {
        if epoch > self.epoch {
            self.epoch = epoch;
            self.lowest_sequence = sequence;
        } else if epoch == self.epoch {
            self.lowest_sequence = self.lowest_sequence.min(sequence);
        }
    }
}
