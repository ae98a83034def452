//! How the transactions in a log have ended, batch by batch in the order of offsets.

use crate::producer_state::{BatchContent, ProducerBatch};
use crate::txn_index::AbortedTxn;
use afluente_protocol::numbers::{Offset, ProducerId};
use std::collections::{BTreeMap, BTreeSet};

/// Knows of each batch whether its transaction was aborted, and of each marker whether anything of
/// its transaction is left.
///
/// Only for a part of a log in which every transaction has ended.
#[derive(Debug, Clone, Default)]
pub struct TxnFates {
    /// Aborted transactions that begin above what was read.
    coming: BTreeMap<(Offset, ProducerId), AbortedTxn>,
    /// Those that have begun, with whether a batch of them was met.
    aborted: BTreeMap<ProducerId, (AbortedTxn, bool)>,
    /// Producers with a transaction that was not aborted, of which a batch was met.
    committed: BTreeSet<ProducerId>,
}

impl TxnFates {
    /// Tells of aborted transactions ahead, as the transaction indexes have them; one that was told
    /// of before does no harm.
    pub fn expect(&mut self, aborted: impl IntoIterator<Item = AbortedTxn>) {
        for txn in aborted {
            self.coming.insert((txn.first_offset, txn.producer_id), txn);
        }
    }

    /// The next batch is one of data: whether it belongs to an aborted transaction.
    pub(super) fn data(&mut self, batch: &ProducerBatch, last_offset: Offset) -> bool {
        self.advance(last_offset);
        let BatchContent::Data { transactional: true } = batch.content else { return false };
        let Some(producer_id) = batch.producer_id else { return false };
        match self.aborted.get_mut(&producer_id) {
            Some((_, was_met)) => {
                *was_met = true;
                true
            }
            None => {
                self.committed.insert(producer_id);
                false
            }
        }
    }

    /// The next batch is one of control records.
    pub(super) fn control(&mut self, batch: &ProducerBatch, last_offset: Offset) -> MarkerFate {
        self.advance(last_offset);
        let (BatchContent::Marker(marker), Some(producer_id)) = (batch.content, batch.producer_id)
        else {
            // Emptied by an earlier pass.
            return MarkerFate::Unneeded;
        };
        if marker.aborted {
            match self.aborted.remove(&producer_id) {
                Some((txn, true)) => MarkerFate::EndsAborted(txn),
                _ => MarkerFate::Unneeded,
            }
        } else if self.committed.remove(&producer_id) {
            MarkerFate::EndsCommitted
        } else {
            MarkerFate::Unneeded
        }
    }

    /// Transactions that begin at or below `offset` have begun.
    fn advance(&mut self, offset: Offset) {
        while let Some(first) = self.coming.first_entry()
            && first.key().0 <= offset
        {
            let txn = first.remove();
            self.aborted.entry(txn.producer_id).or_insert((txn, false));
        }
    }
}

/// What a marker is still good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkerFate {
    /// Records of the aborted transaction were met: it tells readers to pass them over.
    EndsAborted(AbortedTxn),
    /// Records of the committed transaction were met.
    EndsCommitted,
    /// Nothing of the transaction is left.
    Unneeded,
}
