//! The image that the records of the log and of snapshots make.

use super::log::{MetadataError, damaged};
use super::quorum::Quorum;
use crate::partition;
use afluente_cluster::image::{MetadataImage, Misfit};
use afluente_protocol::message::DecodeError;
use afluente_protocol::messages::metadata::MetadataRecord;
use afluente_protocol::metadata_log::read_metadata_record;
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{ControlType, Decompressor, OpenBatch};
use afluente_storage::Log;
use bytes::Bytes;
use std::sync::Arc;

/// The largest batch that is taken out of its compression; Kafka writes 8 MiB at most.
pub(super) const BATCH_BYTES_MAX: usize = 64 << 20;

/// Builds the image from records; those of a transaction of the log (KIP-868) count when it ends.
#[derive(Default)]
pub(super) struct Replay {
    pub(super) image: MetadataImage,
    pub(super) quorum: Quorum,
    transaction: Option<Vec<MetadataRecord>>,
}

impl Replay {
    /// Takes in the log from `start` on; how many bytes that were.
    pub(super) async fn log(
        &mut self,
        log: &Arc<Log>,
        start: Offset,
    ) -> Result<usize, MetadataError> {
        let mut bytes_read = 0;
        partition::read_to_end(log, start, |bytes, from| {
            bytes_read += bytes.len();
            self.batches(bytes, from)
        })
        .await?;
        Ok(bytes_read)
    }

    /// Takes in batches; records before `from` are known already.
    pub(super) fn batches(&mut self, bytes: &Bytes, from: Offset) -> Result<(), MetadataError> {
        let mut decompressor = Decompressor::new();
        let mut at = 0;
        while at < bytes.len() {
            let batch = OpenBatch::open(&bytes.slice(at..), &mut decompressor, BATCH_BYTES_MAX);
            let batch = batch.map_err(|error| damaged(from.0, &error))?;
            at += batch.header().size_bytes();
            let is_control = batch.header().attributes.is_control();
            for record in batch.records() {
                let record = record.map_err(|error| damaged(from.0, &error))?;
                let Some(value) = record.value.filter(|_| record.offset >= from) else { continue };
                if is_control {
                    let key = record.key.unwrap_or_default();
                    let kind = ControlType::parse(&key).map_err(|e| damaged(from.0, &e))?;
                    self.quorum.take(kind, value).map_err(|e| damaged(from.0, &e))?;
                    continue;
                }
                let (record, _) = read_metadata_record(value)
                    .map_err(|error: DecodeError| damaged(from.0, &error))?;
                self.take(record).map_err(|misfit| damaged(from.0, &misfit))?;
            }
        }
        Ok(())
    }

    fn take(&mut self, record: MetadataRecord) -> Result<(), Misfit> {
        match record {
            MetadataRecord::BeginTransaction(_) => self.transaction = Some(Vec::new()),
            MetadataRecord::AbortTransaction(_) => self.transaction = None,
            MetadataRecord::EndTransaction(_) => {
                for record in self.transaction.take().unwrap_or_default() {
                    self.image.apply(record)?;
                }
            }
            record => match &mut self.transaction {
                Some(held) => held.push(record),
                None => {
                    self.image.apply(record)?;
                }
            },
        }
        Ok(())
    }
}
