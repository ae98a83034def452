//! A segment's transaction index, `.txnindex`: the transactions that were aborted by markers in
//! this segment.
//!
//! ```text
//! 0          2             10             18            26                 34   numbers big-endian
//! | version  | producer id | first offset | last offset | last stable      | next entry …
//! | i16 = 0  | i64         | i64          | i64         | offset: i64      |
//! ```
//!
//! The last offset is that of the marker; it rises strictly. The first offset may lie in an earlier
//! segment. Below the last stable offset everything had ended when the marker was written, so who
//! reads up to some offset can stop looking at the first entry whose last stable offset reaches it.

use crate::index_error::{IndexError, check_length};
use crate::producer_state::CompletedTxn;
use afluente_protocol::numbers::{Offset, ProducerId};

/// The size of an entry.
pub const TXN_INDEX_ENTRY_BYTES: usize = 34;

const VERSION: i16 = 0;

/// The aborted transactions of one segment, by the offset of their markers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TxnIndex {
    txns: Vec<AbortedTxn>,
}

/// A transaction that was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// Whose it was.
    pub producer_id: ProducerId,
    /// The offset of its first record in this partition.
    pub first_offset: Offset,
    /// The offset of its marker.
    pub last_offset: Offset,
    /// Below this, every transaction had ended when this one did.
    pub last_stable_offset: Offset,
}

impl TxnIndex {
    /// The index in `bytes`, of the segment that begins at `base` and ends before `end`.
    ///
    /// # Errors
    /// The bytes are not an index of such a segment.
    pub fn decode(base: Offset, bytes: &[u8], end: Offset) -> Result<Self, IndexError> {
        check_length(bytes, TXN_INDEX_ENTRY_BYTES)?;
        let mut txns: Vec<AbortedTxn> = Vec::with_capacity(bytes.len() / TXN_INDEX_ENTRY_BYTES);
        for (at, entry) in bytes.chunks_exact(TXN_INDEX_ENTRY_BYTES).enumerate() {
            let refuse = |what| Err(IndexError::entry(at, TXN_INDEX_ENTRY_BYTES, what));
            if i16::from_be_bytes([entry[0], entry[1]]) != VERSION {
                return refuse("has a version other than 0");
            }
            let txn = decode_entry(entry);
            if txn.last_offset < base || txn.last_offset >= end {
                return refuse("has its marker outside of its segment");
            }
            let began = txn.first_offset.0 >= 0 && txn.first_offset < txn.last_offset;
            let next = txn.last_offset.plus(1);
            if !began || txn.last_stable_offset.0 < 0 || txn.last_stable_offset > next {
                return refuse("has offsets that no transaction can have");
            }
            if txns.last().is_some_and(|last| txn.last_offset <= last.last_offset) {
                return refuse("does not rise above the entry before it");
            }
            txns.push(txn);
        }
        Ok(Self { txns })
    }

    /// The bytes of the file. Kafka has no file where there is no entry.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.txns.len() * TXN_INDEX_ENTRY_BYTES);
        for txn in &self.txns {
            bytes.extend_from_slice(&VERSION.to_be_bytes());
            bytes.extend_from_slice(&txn.producer_id.0.to_be_bytes());
            bytes.extend_from_slice(&txn.first_offset.0.to_be_bytes());
            bytes.extend_from_slice(&txn.last_offset.0.to_be_bytes());
            bytes.extend_from_slice(&txn.last_stable_offset.0.to_be_bytes());
        }
        bytes
    }

    /// Notes a transaction that has ended, if it was aborted.
    pub fn note(&mut self, completed: &CompletedTxn) {
        if completed.aborted {
            self.append(AbortedTxn {
                producer_id: completed.producer_id,
                first_offset: completed.first_offset,
                last_offset: completed.last_offset,
                last_stable_offset: completed.last_stable_offset,
            });
        }
    }

    /// Adds an aborted transaction.
    ///
    /// # Panics
    /// If its marker does not come after that of the last one.
    pub fn append(&mut self, txn: AbortedTxn) {
        let last = self.txns.last();
        assert!(
            last.is_none_or(|last| last.last_offset < txn.last_offset),
            "{txn:?} does not come after {last:?}"
        );
        self.txns.push(txn);
    }

    /// Adds to `found` the transactions of which a reader of `from..to` meets records. Returns
    /// whether that were all of them; if not, the next segment's index is to be asked too.
    #[must_use]
    pub fn collect(&self, from: Offset, to: Offset, found: &mut Vec<AbortedTxn>) -> bool {
        // The markers rise, so those below `from` are the first ones.
        let begin = self.txns.partition_point(|txn| txn.last_offset < from);
        for txn in &self.txns[begin..] {
            if txn.first_offset < to {
                found.push(*txn);
            }
            if txn.last_stable_offset >= to {
                return true;
            }
        }
        false
    }

    /// Removes the transactions whose markers lie at or behind `offset`.
    pub fn truncate_to(&mut self, offset: Offset) {
        let kept = self.txns.partition_point(|txn| txn.last_offset < offset);
        self.txns.truncate(kept);
    }

    /// All of them, by the offset of their markers.
    #[must_use]
    pub fn txns(&self) -> &[AbortedTxn] {
        &self.txns
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.txns.is_empty()
    }
}

fn decode_entry(entry: &[u8]) -> AbortedTxn {
    let number = |at: usize| {
        i64::from_be_bytes(entry[at..at + 8].try_into().expect("the entry has 34 bytes"))
    };
    AbortedTxn {
        producer_id: ProducerId(number(2)),
        first_offset: Offset(number(10)),
        last_offset: Offset(number(18)),
        last_stable_offset: Offset(number(26)),
    }
}
