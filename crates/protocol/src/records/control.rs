//! Control records: what brokers and controllers say in a log, between the records of producers.
//!
//! The key of a control record is a version and a type, two big-endian 16-bit integers; the value
//! depends on the type. Readers ignore types that they do not know.

use bytes::Bytes;

use super::{
    BatchBuilder, BatchOptions, BatchProducer, Compressor, NO_SEQUENCE, NewRecord, RecordView,
    RecordsError,
};
use crate::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// What a control record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlType {
    /// A transaction was aborted.
    Abort,
    /// A transaction was committed.
    Commit,
    /// The metadata quorum has a new leader.
    LeaderChange,
    /// A metadata snapshot begins.
    SnapshotHeader,
    /// A metadata snapshot ends.
    SnapshotFooter,
    /// The version of the quorum protocol.
    KraftVersion,
    /// The voters of the quorum.
    KraftVoters,
    /// A type of a later Kafka.
    Unknown(i16),
}

impl ControlType {
    /// The version of the key that is written.
    const KEY_VERSION: i16 = 0;

    /// The type that the key of a control record names.
    ///
    /// # Errors
    /// [`RecordsError::BadControlRecord`] if the key is too short or its version is negative.
    pub fn parse(key: &[u8]) -> Result<Self, RecordsError> {
        let Some([v0, v1, t0, t1]) = key.first_chunk() else {
            return Err(RecordsError::BadControlRecord("its key is shorter than 4 bytes"));
        };
        if i16::from_be_bytes([*v0, *v1]) < 0 {
            return Err(RecordsError::BadControlRecord("its key has a negative version"));
        }
        Ok(match i16::from_be_bytes([*t0, *t1]) {
            0 => Self::Abort,
            1 => Self::Commit,
            2 => Self::LeaderChange,
            3 => Self::SnapshotHeader,
            4 => Self::SnapshotFooter,
            5 => Self::KraftVersion,
            6 => Self::KraftVoters,
            unknown => Self::Unknown(unknown),
        })
    }

    /// The key of a control record of this type.
    #[must_use]
    pub fn key(self) -> [u8; 4] {
        let [v0, v1] = Self::KEY_VERSION.to_be_bytes();
        let [t0, t1] = self.id().to_be_bytes();
        [v0, v1, t0, t1]
    }

    fn id(self) -> i16 {
        match self {
            Self::Abort => 0,
            Self::Commit => 1,
            Self::LeaderChange => 2,
            Self::SnapshotHeader => 3,
            Self::SnapshotFooter => 4,
            Self::KraftVersion => 5,
            Self::KraftVoters => 6,
            Self::Unknown(id) => id,
        }
    }
}

impl BatchBuilder {
    /// Appends a control record; the batch must have been begun with `is_control`.
    ///
    /// # Errors
    /// As [`BatchBuilder::append_at`].
    pub fn append_control(
        &mut self,
        kind: ControlType,
        value: &[u8],
        timestamp: i64,
    ) -> Result<(), RecordsError> {
        debug_assert!(self.options().is_control, "control records go into control batches");
        let key = kind.key();
        let record = NewRecord { timestamp, key: Some(&key), value: Some(value), headers: &[] };
        self.append(&record)
    }
}

/// How a transaction ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TxnOutcome {
    /// Its records are not to be read.
    Abort,
    /// Its records are to be read.
    Commit,
}

/// The control record that ends a transaction in a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EndTxnMarker {
    /// How it ended.
    pub outcome: TxnOutcome,
    /// The epoch of the transaction coordinator that wrote the marker; an older one is fenced.
    pub coordinator_epoch: i32,
}

/// Where and for whom a transaction marker is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MarkerPlace {
    /// The offset of the marker.
    pub offset: Offset,
    /// The epoch of the leader that writes it.
    pub partition_leader_epoch: LeaderEpoch,
    /// Ms since 1970.
    pub timestamp: i64,
    /// The producer whose transaction ends.
    pub producer_id: ProducerId,
    /// The epoch of that producer.
    pub producer_epoch: ProducerEpoch,
}

impl EndTxnMarker {
    /// The version of the value that is written.
    const VERSION: i16 = 0;

    /// Reads the marker from a record of a control batch; gives nothing for other control records.
    ///
    /// # Errors
    /// [`RecordsError::BadControlRecord`].
    pub fn parse(record: &RecordView<'_>) -> Result<Option<Self>, RecordsError> {
        let key = record.key.ok_or(RecordsError::BadControlRecord("it has no key"))?;
        let outcome = match ControlType::parse(key)? {
            ControlType::Abort => TxnOutcome::Abort,
            ControlType::Commit => TxnOutcome::Commit,
            _ => return Ok(None),
        };
        let Some([v0, v1, epoch @ ..]) = record.value.and_then(<[u8]>::first_chunk::<6>) else {
            return Err(RecordsError::BadControlRecord("its value is shorter than 6 bytes"));
        };
        if i16::from_be_bytes([*v0, *v1]) < 0 {
            return Err(RecordsError::BadControlRecord("its value has a negative version"));
        }
        Ok(Some(Self { outcome, coordinator_epoch: i32::from_be_bytes(*epoch) }))
    }

    /// The batch that holds the marker and nothing else.
    #[must_use]
    pub fn batch(&self, place: MarkerPlace) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: place.offset,
            partition_leader_epoch: place.partition_leader_epoch,
            producer: BatchProducer {
                id: place.producer_id,
                epoch: place.producer_epoch,
                base_sequence: NO_SEQUENCE,
            },
            is_transactional: true,
            is_control: true,
            ..BatchOptions::default()
        });
        let kind = match self.outcome {
            TxnOutcome::Abort => ControlType::Abort,
            TxnOutcome::Commit => ControlType::Commit,
        };
        let mut value = [0; 6];
        value[..2].copy_from_slice(&Self::VERSION.to_be_bytes());
        value[2..].copy_from_slice(&self.coordinator_epoch.to_be_bytes());
        builder
            .append_control(kind, &value, place.timestamp)
            .and_then(|()| builder.finish(&mut Compressor::new()))
            .expect("one small record at the base offset fits, and a broker's clock is after 1970")
    }
}
