//! What a log must hold, as a list of records, and holding what was found against it.

use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Batches, Compressor, EndTxnMarker, MarkerPlace,
    NewRecord, RecordsError, TxnOutcome,
};
use afluente_storage::log_config::Durability;
use afluente_storage::origin::AppendOrigin;
use bytes::Bytes;
use std::collections::BTreeSet;

/// Every topic has one producer, whose id is the topic's number.
const EPOCH: ProducerEpoch = ProducerEpoch(0);

/// What a log must hold.
pub(super) struct Model {
    pub(super) name: &'static str,
    pub(super) durability: Durability,
    pub(super) writes: Writes,
    pub(super) keeps: Keeps,
    pub(super) segment_bytes: i32,
    pub(super) exists: bool,
    /// Whether it was deleted shows only after the next start.
    pub(super) in_doubt: bool,
    /// By offset.
    pub(super) records: Vec<Entry>,
    /// Where the last batch begins, if nothing has been lost or cut since.
    pub(super) last_batch: Option<usize>,
    /// Everything below was acknowledged.
    pub(super) acked: i64,
    /// Below this, records may be gone.
    pub(super) start: i64,
}

/// How its records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Writes {
    Plain,
    Idempotent,
    InTransactions,
}

/// What may go by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeps {
    All,
    TheNewest,
    TheLastOfEachKey,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Entry {
    Record {
        key: u64,
        value: Vec<u8>,
    },
    /// The end of the transaction that is open there, if one is.
    Marker {
        commit: bool,
    },
}

impl Model {
    /// The log begins here by now.
    pub(super) fn start_is(&mut self, start: i64) {
        assert!(start >= self.start, "the start of {} fell", self.name);
        assert!(start <= self.start || self.keeps == Keeps::TheNewest, "{} was cut", self.name);
        self.start = start;
    }

    /// The first record of the transaction that is open at the end.
    pub(super) fn open_transaction(&self) -> Option<usize> {
        let last = self.records.iter().rposition(|entry| matches!(entry, Entry::Marker { .. }));
        let first = last.map_or(0, |marker| marker + 1);
        let is_open = self.writes == Writes::InTransactions && first < self.records.len();
        is_open.then_some(first)
    }

    /// The first record and the marker of each transaction that was aborted.
    pub(super) fn aborted(&self) -> Vec<(usize, usize)> {
        let mut first = 0;
        let mut found = Vec::new();
        for (at, entry) in self.records.iter().enumerate() {
            if let Entry::Marker { commit } = entry {
                found.extend((!commit).then_some((first, at)));
                first = at + 1;
            }
        }
        found
    }

    /// What goes, or went, into the log at offset `at`.
    pub(super) fn batch(
        &self,
        topic: usize,
        at: usize,
        entries: &[Entry],
    ) -> (Bytes, AppendOrigin) {
        let id = ProducerId(topic as i64);
        if let [Entry::Marker { commit }] = entries {
            let place = MarkerPlace {
                offset: Offset::ZERO,
                partition_leader_epoch: LeaderEpoch(0),
                timestamp: 1_000,
                producer_id: id,
                producer_epoch: EPOCH,
            };
            let outcome = if *commit { TxnOutcome::Commit } else { TxnOutcome::Abort };
            let marker = EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place);
            return (marker, AppendOrigin::Coordinator);
        }
        let is_record = |entry: &&Entry| matches!(entry, Entry::Record { .. });
        let base_sequence = self.records[..at].iter().filter(is_record).count() as i32;
        let producer = BatchProducer { id, epoch: EPOCH, base_sequence };
        let is_transactional = self.writes == Writes::InTransactions;
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: if self.writes == Writes::Plain { BatchProducer::NONE } else { producer },
            is_transactional,
            ..BatchOptions::default()
        });
        for entry in entries {
            let Entry::Record { key, value } = entry else { panic!("markers come alone") };
            let key = key.to_be_bytes();
            let (key, value) = (Some(&key[..]), Some(&value[..]));
            builder.append(&NewRecord { timestamp: 1_000, key, value, headers: &[] }).unwrap();
        }
        (builder.finish(&mut Compressor::new()).unwrap(), AppendOrigin::Client)
    }

    /// Holds what was found from `start` on, before `end`, against what was appended.
    pub(super) fn compare(&self, seed: u64, start: i64, end: i64, found: &[(i64, Entry)]) {
        let name = self.name;
        let compacted = self.keeps == Keeps::TheLastOfEachKey;
        let mut next = start;
        for (offset, entry) in found {
            let is_next = if compacted { *offset >= next } else { *offset == next };
            assert!(is_next, "{seed}: {offset} in {name} comes where {next} should");
            assert!(*entry == self.records[*offset as usize], "{seed}: {offset} of {name}");
            next = offset + 1;
        }
        if !compacted {
            assert_eq!(next, end, "{seed}: records of {name} end");
            return;
        }
        // A record may be gone only if a later one has its key, or its transaction was aborted; a
        // marker only if nothing of its transaction is left.
        let aborted = self.aborted();
        let is_aborted =
            |at: usize| aborted.iter().any(|(first, marker)| (*first..*marker).contains(&at));
        let found: BTreeSet<i64> = found.iter().map(|(offset, _)| *offset).collect();
        for offset in start..end {
            if let Entry::Record { key: gone, .. } = &self.records[offset as usize]
                && !found.contains(&offset)
                && !is_aborted(offset as usize)
            {
                let mut later = self.records.iter().skip(offset as usize + 1);
                let is_successor =
                    |entry: &Entry| matches!(entry, Entry::Record { key, .. } if key == gone);
                assert!(later.any(is_successor), "{seed}: {offset} of {name} is gone");
            }
        }
    }
}

/// The records of whole batches, from `from` on. Every batch that a read gives is sound.
pub(super) fn entries(bytes: &[u8], from: Offset) -> Result<Vec<(i64, Entry)>, RecordsError> {
    let mut found = Vec::new();
    for batch in Batches::new(bytes) {
        let batch = batch?;
        batch.verify_crc()?;
        let is_control = batch.header().attributes.is_control();
        for record in batch.header().records(batch.records_section()) {
            let record = record?;
            let entry = if is_control {
                let marker = EndTxnMarker::parse(&record)?.unwrap();
                Entry::Marker { commit: marker.outcome == TxnOutcome::Commit }
            } else {
                let key = record.key.unwrap().try_into().map(u64::from_be_bytes).unwrap();
                Entry::Record { key, value: record.value.unwrap_or_default().to_vec() }
            };
            if record.offset >= from {
                found.push((record.offset.0, entry));
            }
        }
    }
    Ok(found)
}
