//! What a partition remembers of its producers: the last batches of each (KIP-98), open and
//! completed transactions, and transactions that wait to be verified (KIP-890).
//!
//! The engine calls, under one lock: [`ProducerState::check`] with a batch whose offsets are not
//! assigned yet; then, when the answer is [`Verdict::Append`], [`ProducerState::apply`] with the
//! offset that was assigned. Nothing changes in between, so data, offset and sequence move
//! together. Recovery and replication call `apply` alone: a leader has checked those batches.
//!
//! Knows nothing about files (the bytes of Kafka's `.snapshot` are in [`snapshot`]), locks or
//! clocks. Memory: three empty maps while there is no producer, one small box for each that is.

mod batch;
mod entry;
mod error;
pub mod snapshot;
mod verification;

pub use batch::{BatchContent, EndTxn, ProducerBatch};
pub use entry::{BATCHES_RETAINED_MAX, ProducerEntry, RetainedBatch};
pub use error::ProducerError;
pub use verification::VerificationGuard;

use crate::origin::AppendOrigin;
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};
use std::collections::BTreeMap;
use verification::Verification;

/// How long past its own timeout a transaction may stay open before it counts as hanging.
const LATE_TRANSACTION_MARGIN_MS: i64 = 5 * 60 * 1000;

/// All that a partition remembers of its producers.
#[derive(Debug, Clone, Default)]
pub struct ProducerState {
    producers: BTreeMap<ProducerId, Box<ProducerEntry>>,
    /// First offset of each open transaction, with its producer.
    open_txns: BTreeMap<Offset, ProducerId>,
    /// First offset of each transaction that ended above the high watermark, with the offset of
    /// its marker.
    unreplicated_txns: BTreeMap<Offset, Offset>,
    verifications: BTreeMap<ProducerId, Verification>,
    /// Everything below this offset is accounted for.
    end: Offset,
}

/// How a batch came, for [`ProducerState::check`].
#[derive(Debug, Clone, Copy)]
pub struct AppendRules {
    /// Who wrote it.
    pub origin: AppendOrigin,
    /// What [`ProducerState::begin_verification`] gave for this transaction.
    pub guard: VerificationGuard,
    /// `transaction.partition.verification.enable`: whether the first batch of a transaction needs
    /// that guard.
    pub verification_enabled: bool,
    /// The feature level `transaction.version` that the writer of a marker works by; from 2 on, a
    /// marker carries an epoch above that of the data.
    pub transaction_version: i16,
}

/// What is to be done with a batch that broke no rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is new: assign offsets and apply.
    Append,
    /// It is in the log already: answer with what was answered the first time.
    Duplicate {
        /// The first of its offsets.
        base_offset: Offset,
        /// The last of its offsets.
        last_offset: Offset,
        /// The batch's timestamp in the log, in milliseconds.
        timestamp_ms: i64,
    },
}

/// A transaction that a marker has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CompletedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// The offset of its first record.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
    /// Whether it was aborted: then it belongs into the transaction index.
    pub aborted: bool,
    /// Below this, every transaction had ended when this one did. The transaction index keeps it
    /// so that a reader knows where to stop looking.
    pub last_stable_offset: Offset,
}

/// A producer as DescribeProducers shows it; -1 where there is nothing to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProducerSummary {
    /// Its id.
    pub producer_id: ProducerId,
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// The timestamp of its last batch, in milliseconds.
    pub last_timestamp_ms: i64,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: i32,
    /// Where its open transaction begins.
    pub txn_start: Option<Offset>,
}

impl ProducerState {
    /// Nothing known, of a log that begins at `start`.
    #[must_use]
    pub fn starting_at(start: Offset) -> Self {
        Self { end: start, ..Self::default() }
    }

    /// What `entries` say, of a log read up to `end`: from a snapshot or a checkpoint.
    ///
    /// Transactions that ended are not in a snapshot; it is taken to lie below the high watermark.
    #[must_use]
    pub fn restored(entries: impl IntoIterator<Item = ProducerEntry>, end: Offset) -> Self {
        let mut state = Self::starting_at(end);
        for entry in entries {
            if let Some(first) = entry.txn_start {
                state.open_txns.insert(first, entry.producer_id);
            }
            state.producers.insert(entry.producer_id, Box::new(entry));
        }
        state
    }

    /// Checks a batch against what its producer wrote before. Changes nothing.
    ///
    /// # Errors
    /// See [`ProducerError`]; the batch must not be appended then.
    pub fn check(
        &self,
        batch: &ProducerBatch,
        rules: &AppendRules,
    ) -> Result<Verdict, ProducerError> {
        let Some(producer_id) = batch.producer_id else { return Ok(Verdict::Append) };
        let entry = self.producers.get(&producer_id).map(Box::as_ref);
        if rules.origin == AppendOrigin::Client
            && let Some(old) = entry.and_then(|entry| entry.find(batch))
        {
            return Ok(Verdict::Duplicate {
                base_offset: old.first_offset(),
                last_offset: old.last_offset,
                timestamp_ms: old.timestamp_ms,
            });
        }
        if rules.origin != AppendOrigin::Replica
            && batch.is_transactional()
            && !self.has_open_txn(producer_id, batch.epoch)
        {
            self.check_verified(producer_id, batch, entry, rules)?;
        }
        match batch.content {
            BatchContent::Marker(marker) => {
                check_marker(producer_id, batch.epoch, &marker, entry, rules)?;
            }
            BatchContent::EmptyControl => {}
            BatchContent::Data { transactional } => {
                check_epoch(producer_id, batch.epoch, entry, rules)?;
                if rules.origin == AppendOrigin::Client {
                    self.check_sequence(producer_id, batch, entry)?;
                }
                if !transactional && let Some(first) = entry.and_then(|entry| entry.txn_start) {
                    return Err(ProducerError::NotTransactional { producer_id, txn_start: first });
                }
            }
        }
        Ok(Verdict::Append)
    }

    /// Takes in a batch whose first offset is `first`; tells if it ended a transaction.
    pub fn apply(&mut self, batch: &ProducerBatch, first: Offset) -> Option<CompletedTxn> {
        self.end = Offset(first.0 + i64::from(batch.last_offset_delta) + 1);
        let producer_id = batch.producer_id?;
        if batch.is_transactional() {
            self.end_verification(producer_id, batch);
        }
        if batch.content == BatchContent::EmptyControl {
            // Compaction has removed the transaction with its marker's record.
            return None;
        }
        let entry = self
            .producers
            .entry(producer_id)
            .or_insert_with(|| Box::new(ProducerEntry::unknown(producer_id)));
        match batch.content {
            BatchContent::EmptyControl => None,
            BatchContent::Data { transactional } => {
                entry.add(batch, first);
                if transactional && entry.txn_start.is_none() {
                    entry.txn_start = Some(first);
                    self.open_txns.insert(first, producer_id);
                }
                None
            }
            BatchContent::Marker(marker) => {
                let txn_start = entry.end_txn(batch.epoch, &marker);
                txn_start.map(|start| self.complete(producer_id, start, first, marker.aborted))
            }
        }
    }

    /// Takes in offsets without a producer, up to `end`.
    pub fn advance_to(&mut self, end: Offset) {
        self.end = self.end.max(end);
    }

    /// Asks for the right to write the first batch of a transaction: `None` if one is open already
    /// and needs no further verification. The guard holds until that batch or a marker is applied.
    ///
    /// # Errors
    /// [`ProducerError::Fenced`] if a newer epoch of the producer is known.
    pub fn begin_verification(
        &mut self,
        producer_id: ProducerId,
        epoch: ProducerEpoch,
        base_sequence: i32,
        supports_epoch_bump: bool,
        now_ms: i64,
    ) -> Result<Option<VerificationGuard>, ProducerError> {
        if let Some(entry) = self.producers.get(&producer_id)
            && epoch < entry.epoch
        {
            return Err(ProducerError::Fenced { producer_id, epoch, current: entry.epoch });
        }
        if self.has_open_txn(producer_id, epoch) {
            return Ok(None);
        }
        let verification = self.verifications.entry(producer_id).or_insert_with(|| {
            Verification::begin(epoch, base_sequence, supports_epoch_bump, now_ms)
        });
        verification.saw(epoch, base_sequence);
        Ok(Some(verification.guard))
    }

    /// Whether the producer has a transaction open with this very epoch.
    #[must_use]
    pub fn has_open_txn(&self, producer_id: ProducerId, epoch: ProducerEpoch) -> bool {
        self.producers
            .get(&producer_id)
            .is_some_and(|entry| entry.txn_start.is_some() && entry.epoch == epoch)
    }

    /// The first offset whose fate is open: its transaction has not ended, or its marker lies
    /// above the high watermark.
    #[must_use]
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let open = self.open_txns.first_key_value().map(|(first, _)| *first);
        let unreplicated = self.unreplicated_txns.first_key_value().map(|(first, _)| *first);
        open.into_iter().chain(unreplicated).min()
    }

    /// How far a `read_committed` reader may read.
    #[must_use]
    pub fn last_stable_offset(&self, log_start: Offset, high_watermark: Offset) -> Offset {
        match self.first_unstable_offset() {
            Some(unstable) => unstable.max(log_start).min(high_watermark),
            None => high_watermark,
        }
    }

    /// The high watermark has moved: transactions whose markers lie below it are settled.
    pub fn high_watermark_moved(&mut self, to: Offset) {
        self.unreplicated_txns.retain(|_, marker| *marker >= to);
    }

    /// The log's start has moved. Producers stay: they still know what they wrote.
    pub fn log_start_moved(&mut self, to: Offset) {
        self.unreplicated_txns.retain(|_, marker| *marker >= to);
        self.advance_to(to);
    }

    /// Forgets producers that have been silent for `expiration_ms` (`producer.id.expiration.ms`)
    /// and have no transaction open, and verifications that nobody finished. Returns how many
    /// producers went.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) -> usize {
        let before = self.producers.len();
        self.producers.retain(|_, entry| !entry.is_expired(now_ms, expiration_ms));
        self.verifications
            .retain(|_, entry| now_ms.saturating_sub(entry.started_ms) < expiration_ms);
        before - self.producers.len()
    }

    /// Whether the oldest open transaction has been silent for longer than any transaction may
    /// last (`transaction.max.timeout.ms`), with a margin: it hangs.
    #[must_use]
    pub fn has_late_txn(&self, now_ms: i64, txn_timeout_ms_max: i64) -> bool {
        let oldest = self.open_txns.first_key_value();
        oldest.and_then(|(_, producer_id)| self.producers.get(producer_id)).is_some_and(|entry| {
            entry.last_timestamp_ms > 0
                && now_ms.saturating_sub(entry.last_timestamp_ms)
                    > txn_timeout_ms_max.saturating_add(LATE_TRANSACTION_MARGIN_MS)
        })
    }

    /// Everything below this offset is accounted for.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Nothing is known of any producer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty() && self.unreplicated_txns.is_empty()
    }

    /// How many producers are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.producers.len()
    }

    /// All producers, by id: what a snapshot or checkpoint keeps.
    pub fn entries(&self) -> impl Iterator<Item = &ProducerEntry> {
        self.producers.values().map(Box::as_ref)
    }

    /// One producer.
    #[must_use]
    pub fn entry(&self, producer_id: ProducerId) -> Option<&ProducerEntry> {
        self.producers.get(&producer_id).map(Box::as_ref)
    }

    /// What compaction must not forget of each producer: the offset of its last data record, if
    /// one is known, and its epoch.
    pub fn last_records(
        &self,
    ) -> impl Iterator<Item = (ProducerId, (Option<Offset>, ProducerEpoch))> {
        self.entries().map(|entry| {
            let last = entry.batches().last().map(|batch| batch.last_offset);
            (entry.producer_id, (last, entry.epoch))
        })
    }

    /// All producers as DescribeProducers shows them, by id.
    #[must_use]
    pub fn summaries(&self) -> Vec<ProducerSummary> {
        self.entries().map(ProducerEntry::summary).collect()
    }

    /// The transactions that ended above the high watermark, as (first offset, marker's offset): a
    /// checkpoint keeps them too.
    pub fn unreplicated_txns(&self) -> impl Iterator<Item = (Offset, Offset)> {
        self.unreplicated_txns.iter().map(|(first, marker)| (*first, *marker))
    }

    /// Puts back what [`ProducerState::unreplicated_txns`] told.
    pub fn restore_unreplicated(&mut self, txns: impl IntoIterator<Item = (Offset, Offset)>) {
        self.unreplicated_txns.extend(txns);
    }

    fn complete(
        &mut self,
        producer_id: ProducerId,
        first_offset: Offset,
        marker: Offset,
        aborted: bool,
    ) -> CompletedTxn {
        self.open_txns.remove(&first_offset);
        self.unreplicated_txns.insert(first_offset, marker);
        let next_open = self.open_txns.first_key_value().map(|(first, _)| *first);
        CompletedTxn {
            producer_id,
            first_offset,
            last_offset: marker,
            aborted,
            last_stable_offset: next_open.unwrap_or(Offset(marker.0 + 1)),
        }
    }

    /// The first batch of a transaction, or a marker without one: fenced if its epoch is old, and
    /// refused if the coordinator was not asked whether the transaction is real.
    fn check_verified(
        &self,
        producer_id: ProducerId,
        batch: &ProducerBatch,
        entry: Option<&ProducerEntry>,
        rules: &AppendRules,
    ) -> Result<(), ProducerError> {
        if let Some(entry) = entry
            && batch.epoch < entry.epoch
        {
            let current = entry.epoch;
            return Err(ProducerError::Fenced { producer_id, epoch: batch.epoch, current });
        }
        let is_data = matches!(batch.content, BatchContent::Data { .. });
        if !rules.verification_enabled || !is_data {
            return Ok(());
        }
        let pending = self.verifications.get(&producer_id);
        if pending.is_some_and(|pending| pending.guard.admits(rules.guard)) {
            Ok(())
        } else {
            Err(ProducerError::NotVerified { producer_id })
        }
    }

    fn check_sequence(
        &self,
        producer_id: ProducerId,
        batch: &ProducerBatch,
        entry: Option<&ProducerEntry>,
    ) -> Result<(), ProducerError> {
        let out_of_order = |expected| {
            let (epoch, found) = (batch.epoch, batch.base_sequence);
            Err(ProducerError::OutOfOrder { producer_id, epoch, expected, found })
        };
        if let Some(pending) = self.verifications.get(&producer_id) {
            let nothing_written = entry.is_none_or(|entry| entry.batches().is_empty());
            if pending.supports_epoch_bump && nothing_written && batch.base_sequence != 0 {
                return out_of_order(0);
            }
            // A lower sequence was seen and failed for now. To let this one pass would make the
            // lower one's retries fail forever.
            if batch.base_sequence > pending.lowest_sequence {
                return out_of_order(pending.lowest_sequence);
            }
        }
        // Without any state (expired, or all its records deleted) every sequence is taken.
        let Some(entry) = entry.filter(|entry| entry.epoch != ProducerEpoch::NONE) else {
            return Ok(());
        };
        let expected = if batch.epoch == entry.epoch {
            batch::next_sequence(entry.last_sequence())
        } else {
            0
        };
        if batch.base_sequence == expected { Ok(()) } else { out_of_order(expected) }
    }

    /// A transaction begins or ends with this batch, so its verification is used up; unless the
    /// marker ends the transaction *before* the one that is being verified (both then carry the
    /// same epoch, since from transaction version 2 on a marker bumps it).
    fn end_verification(&mut self, producer_id: ProducerId, batch: &ProducerBatch) {
        let is_marker = !matches!(batch.content, BatchContent::Data { .. });
        let is_for_the_next = |pending: &Verification| {
            pending.supports_epoch_bump && is_marker && batch.epoch == pending.epoch
        };
        if self.verifications.get(&producer_id).is_some_and(|pending| !is_for_the_next(pending)) {
            self.verifications.remove(&producer_id);
        }
    }
}

fn check_epoch(
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    entry: Option<&ProducerEntry>,
    rules: &AppendRules,
) -> Result<(), ProducerError> {
    match entry {
        Some(entry) if epoch < entry.epoch && rules.origin != AppendOrigin::Replica => {
            Err(ProducerError::Fenced { producer_id, epoch, current: entry.epoch })
        }
        _ => Ok(()),
    }
}

fn check_marker(
    producer_id: ProducerId,
    epoch: ProducerEpoch,
    marker: &EndTxn,
    entry: Option<&ProducerEntry>,
    rules: &AppendRules,
) -> Result<(), ProducerError> {
    let Some(entry) = entry.filter(|_| rules.origin != AppendOrigin::Replica) else {
        return Ok(());
    };
    check_epoch(producer_id, epoch, Some(entry), rules)?;
    // From version 2 on a marker's epoch is above that of the data it ends. An equal one is the
    // retry of a marker that is written already, or the last epoch there is.
    let is_retry = entry.txn_start.is_none() || epoch == ProducerEpoch(i16::MAX);
    if rules.transaction_version >= 2 && epoch == entry.epoch && !is_retry {
        return Err(ProducerError::Fenced { producer_id, epoch, current: entry.epoch });
    }
    if marker.coordinator_epoch < entry.coordinator_epoch {
        return Err(ProducerError::CoordinatorFenced {
            producer_id,
            epoch: marker.coordinator_epoch,
            current: entry.coordinator_epoch,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
