//! How the transactions in a log have ended, batch by batch in the order of offsets.

use crate::producer_state::{BatchContent, ProducerBatch};
use crate::txn_index::AbortedTxn;
use afluente_protocol::numbers::{Offset, ProducerId};
use afluente_protocol::records::BatchHeader;
use std::collections::{BTreeMap, BTreeSet};

/// Knows of each batch whether its transaction was aborted, and of each marker whether anything of
/// its transaction is left.
///
/// Only for a part of a log in which every transaction has ended.
#[derive(Debug, Clone)]
pub struct TxnFates {
    /// Aborted transactions that begin above what was read.
    coming: BTreeMap<(Offset, ProducerId), AbortedTxn>,
    /// Those that have begun, with whether a batch of them was met.
    aborted: BTreeMap<ProducerId, (AbortedTxn, bool)>,
    /// Producers with a transaction that was not aborted, of which a batch was met.
    committed: BTreeSet<ProducerId>,
}

impl TxnFates {
    /// `aborted` are those of *all* segments of the log, also of segments that are not read: the
    /// index of a segment has the transactions whose markers are in it, and a transaction's records
    /// may lie in any segment before. A record whose transaction is not known to be aborted would
    /// take the place of the committed one before it.
    #[must_use]
    pub fn new(aborted: impl IntoIterator<Item = AbortedTxn>) -> Self {
        let keyed = |txn: AbortedTxn| ((txn.first_offset, txn.producer_id), txn);
        Self {
            coming: aborted.into_iter().map(keyed).collect(),
            aborted: BTreeMap::new(),
            committed: BTreeSet::new(),
        }
    }

    /// The next batch is one of data: whether it belongs to an aborted transaction.
    pub(super) fn data(&mut self, batch: &ProducerBatch, header: &BatchHeader) -> bool {
        self.advance(header);
        let BatchContent::Data { transactional: true } = batch.content else { return false };
        let Some(producer_id) = batch.producer_id else { return false };
        match self.aborted.get_mut(&producer_id) {
            Some((txn, was_met)) if header.base_offset < txn.last_offset => {
                *was_met = true;
                true
            }
            _ => {
                self.committed.insert(producer_id);
                false
            }
        }
    }

    /// The next batch is one of control records.
    pub(super) fn control(&mut self, batch: &ProducerBatch, header: &BatchHeader) -> MarkerFate {
        self.advance(header);
        let (BatchContent::Marker(marker), Some(producer_id)) = (batch.content, batch.producer_id)
        else {
            // Emptied by an earlier pass.
            return MarkerFate::Unneeded;
        };
        if marker.aborted {
            match self.aborted.remove(&producer_id) {
                Some((txn, true)) if txn.last_offset == header.base_offset => {
                    MarkerFate::EndsAborted(txn)
                }
                _ => MarkerFate::Unneeded,
            }
        } else if self.committed.remove(&producer_id) {
            MarkerFate::EndsCommitted
        } else {
            MarkerFate::Unneeded
        }
    }

    /// Transactions that begin in this batch or before have begun; those that ended before it are
    /// of no interest.
    fn advance(&mut self, header: &BatchHeader) {
        while let Some(first) = self.coming.first_entry()
            && first.key().0 <= header.last_offset()
        {
            let txn = first.remove();
            if txn.last_offset >= header.base_offset {
                // A producer has one transaction at a time, so an older one is over.
                self.aborted.insert(txn.producer_id, (txn, false));
            }
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
