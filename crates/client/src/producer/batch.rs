//! A batch on its way: open while records come in, sealed when it is first sent.
//!
//! Compression, sequence number and checksum come with the seal, once. An attempt after that sends
//! the same bytes; only where the producer's epoch or the sequence number had to change is a new
//! header put in front of them.

use super::delivery::{DeliveryResult, Outcome, Settled};
use crate::error::Error;
use afluente_env::clock::Moment;
use afluente_protocol::records::{
    BATCH_HEADER_BYTES, Batch as WireBatch, BatchBuilder, BatchHeader, BatchOptions, BatchProducer,
    Compression, Compressor, Decompressor, NewRecord, RecordsError,
};
use afluente_protocol::rope::Records;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// Called once with what became of a record.
pub(crate) struct Callback {
    pub(crate) index: u32,
    pub(crate) timestamp: i64,
    pub(crate) call: Box<dyn FnOnce(DeliveryResult) + Send>,
}

impl fmt::Debug for Callback {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Callback({})", self.index)
    }
}

/// What a batch is besides its bytes.
#[derive(Debug)]
pub(crate) struct Ticket {
    /// Counts up in the order in which batches were begun. Parts of a split one have its number.
    pub(crate) number: u64,
    pub(crate) outcome: Arc<Outcome>,
    pub(crate) callbacks: Vec<Callback>,
    /// When its first record came.
    pub(crate) created: Moment,
    /// Bytes of `buffer.memory` that it holds.
    pub(crate) memory_bytes: usize,
}

impl Ticket {
    /// Tells everybody what became of the records.
    pub(crate) fn settle(self, settled: Settled) {
        self.outcome.settle(settled);
        for callback in self.callbacks {
            if let Some(result) = self.outcome.result(callback.index, callback.timestamp) {
                (callback.call)(result);
            }
        }
    }
}

/// A batch that takes records.
#[derive(Debug)]
pub(crate) struct OpenBatch {
    pub(crate) builder: BatchBuilder,
    pub(crate) ticket: Ticket,
}

/// A batch with its bytes fixed.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) ticket: Ticket,
    /// Tells the parts of a split batch, and attempts of different batches, apart.
    pub(crate) id: u64,
    pub(crate) producer: BatchProducer,
    pub(crate) record_count: i32,
    /// Attempts that have begun.
    pub(crate) attempts: u32,
    pub(crate) is_on_wire: bool,
    /// Whether its sequence number was changed after it was first sent.
    pub(crate) is_resequenced: bool,
    /// What went wrong with the last attempt.
    pub(crate) last_error: Option<Error>,
    bytes: Bytes,
    /// The header that takes the place of the one in `bytes`.
    header: Option<Bytes>,
}

impl OpenBatch {
    /// Fixes the bytes.
    ///
    /// # Errors
    /// The ticket and the reason, if the batch is beyond 2 GiB after compression.
    pub(crate) fn seal(
        mut self,
        id: u64,
        producer: BatchProducer,
        compressor: &mut Compressor,
    ) -> Result<Sealed, (Ticket, RecordsError)> {
        self.builder.set_producer(producer);
        let record_count = i32::try_from(self.builder.record_count()).expect("counted as an i32");
        match self.builder.finish(compressor) {
            Ok(bytes) => Ok(Sealed {
                ticket: self.ticket,
                id,
                producer,
                record_count,
                attempts: 0,
                is_on_wire: false,
                is_resequenced: false,
                last_error: None,
                bytes,
                header: None,
            }),
            Err(error) => Err((self.ticket, error)),
        }
    }
}

impl Sealed {
    /// Bytes on the wire.
    pub(crate) fn size_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes to send.
    pub(crate) fn records(&self) -> Records {
        match &self.header {
            None => Records::from(self.bytes.clone()),
            Some(header) => {
                [header.clone(), self.bytes.slice(BATCH_HEADER_BYTES..)].into_iter().collect()
            }
        }
    }

    /// The sequence number of the last record.
    pub(crate) fn last_sequence(&self) -> i32 {
        super::sequences::add(self.producer.base_sequence, self.record_count - 1)
    }

    /// Gives the batch another epoch or sequence number from the next attempt on.
    pub(crate) fn resequence(&mut self, producer: BatchProducer) {
        if self.producer == producer {
            return;
        }
        let mut header = BatchHeader::parse(&self.bytes).expect("the builder wrote the header");
        header.producer_id = producer.id;
        header.producer_epoch = producer.epoch;
        header.base_sequence = producer.base_sequence;
        header.crc = header.crc_with(&self.bytes[BATCH_HEADER_BYTES..]);
        self.header = Some(Bytes::copy_from_slice(&header.encode()));
        self.is_resequenced |= self.attempts > 0;
        self.producer = producer;
    }

    /// The records as batches of at most `bytes_max` each before compression, if there are
    /// several; the outcome of this one then refers to theirs.
    ///
    /// # Errors
    /// The batch itself, if it cannot be cut: it has one record.
    pub(crate) fn split(
        self,
        bytes_max: usize,
        options: BatchOptions,
        topic: &Arc<str>,
        partition: i32,
    ) -> Result<Vec<OpenBatch>, Box<Self>> {
        if self.record_count < 2 {
            return Err(Box::new(self));
        }
        let builders = cut(&self.bytes, bytes_max, options);
        let mut parts = Vec::with_capacity(builders.len());
        let mut outcomes = Vec::with_capacity(builders.len());
        let mut first = 0;
        let mut callbacks = self.ticket.callbacks.into_iter().peekable();
        let mut memory_bytes = self.ticket.memory_bytes;
        let last = builders.len() - 1;
        for (at, builder) in builders.into_iter().enumerate() {
            let outcome = Outcome::new(Arc::clone(topic), partition);
            let count = u32::try_from(builder.record_count()).expect("no more than before");
            let mut mine = Vec::new();
            while let Some(callback) = callbacks.next_if(|c| c.index < first + count) {
                mine.push(Callback { index: callback.index - first, ..callback });
            }
            // Together the parts hold what the whole one held.
            let held = if at == last {
                memory_bytes
            } else {
                builder.size_bytes_uncompressed().min(memory_bytes)
            };
            memory_bytes -= held;
            outcomes.push((first, Arc::clone(&outcome)));
            let ticket = Ticket {
                number: self.ticket.number,
                outcome,
                callbacks: mine,
                created: self.ticket.created,
                memory_bytes: held,
            };
            parts.push(OpenBatch { builder, ticket });
            first += count;
        }
        self.ticket.outcome.settle(Settled::Split(outcomes));
        Ok(parts)
    }
}

/// No builder makes a section that is larger.
const SECTION_BYTES_MAX: usize = i32::MAX as usize;

/// At least two builders with the records of `bytes`, each within `bytes_max` where one record is.
fn cut(bytes: &[u8], bytes_max: usize, options: BatchOptions) -> Vec<BatchBuilder> {
    let batch = WireBatch::parse(bytes).expect("the builder wrote the batch");
    let section = batch
        .uncompressed(&mut Decompressor::new(), SECTION_BYTES_MAX)
        .expect("the compressor wrote the section");
    let header = batch.header();
    // Half of what was too large is worth a try even if the limit asks for no cut.
    let bytes_max = bytes_max.min(BATCH_HEADER_BYTES + section.len() / 2);
    let mut builders: Vec<BatchBuilder> = Vec::new();
    for view in header.records(&section) {
        let view = view.expect("the builder wrote the records");
        let headers: Vec<_> = view.headers.collect();
        let record = NewRecord {
            timestamp: view.timestamp,
            key: view.key,
            value: view.value,
            headers: &headers,
        };
        let fits = builders.last().is_some_and(|builder| {
            builder.size_bytes_uncompressed() + builder.record_bytes(&record) <= bytes_max
        });
        if !fits {
            builders.push(BatchBuilder::new(options));
        }
        let builder = builders.last_mut().expect("one was pushed");
        builder.append(&record).expect("it was in a batch before");
    }
    builders
}

/// The options of every batch of a producer.
pub(crate) fn options(compression: Compression, is_transactional: bool) -> BatchOptions {
    BatchOptions { compression, is_transactional, ..BatchOptions::default() }
}
