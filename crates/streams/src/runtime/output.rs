//! What tasks write: to the producer, and, for exactly once, within a transaction.

use super::config::Guarantee;
use super::error::RuntimeError;
use crate::engine::{NO_TIMESTAMP, PartitionChoice, Produced};
use afluente_client::consumer::{GroupMetadata, Offsets};
use afluente_client::producer::partitioner::partition_of_key;
use afluente_client::producer::{Header, OffsetToCommit, Record};
use afluente_client::{Consumer, Error, Producer};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

pub(super) struct Output {
    producer: Producer,
    /// Partitions of the topics that are known from the start.
    counts: BTreeMap<String, i32>,
    guarantee: Guarantee,
    failed: Arc<Mutex<Option<Error>>>,
    has_written: AtomicBool,
    /// A transaction is open.
    is_open: AtomicBool,
}

impl Output {
    pub(super) async fn begin(
        producer: Producer,
        counts: BTreeMap<String, i32>,
        guarantee: Guarantee,
    ) -> Result<Self, RuntimeError> {
        if guarantee == Guarantee::ExactlyOnce {
            producer.init_transactions().await?;
        }
        Ok(Self {
            producer,
            counts,
            guarantee,
            failed: Arc::default(),
            has_written: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
        })
    }

    /// Whether something was written since the last commit.
    pub(super) fn has_written(&self) -> bool {
        self.has_written.load(Ordering::Relaxed)
    }

    fn open_transaction(&self) -> Result<(), RuntimeError> {
        if self.guarantee == Guarantee::ExactlyOnce && !self.is_open.load(Ordering::Relaxed) {
            self.producer.begin_transaction()?;
            self.is_open.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    pub(super) async fn send(&self, produced: &Produced) -> Result<(), RuntimeError> {
        self.open_transaction()?;
        self.has_written.store(true, Ordering::Relaxed);
        let partition = match &produced.partition {
            PartitionChoice::ByKey => None,
            PartitionChoice::Exactly(partition) => Some(*partition),
            PartitionChoice::ByBytes(bytes) => {
                let count = match self.counts.get(produced.topic.as_ref()) {
                    Some(count) => *count,
                    None => {
                        let partitions = self.producer.partitions_for(&produced.topic).await?;
                        i32::try_from(partitions.len()).unwrap_or(i32::MAX)
                    }
                };
                Some(partition_of_key(bytes, count))
            }
        };
        let headers: Vec<Header<'_>> = produced
            .headers
            .as_slice()
            .iter()
            .map(|header| Header { key: header.key.as_bytes(), value: header.value.as_deref() })
            .collect();
        let record = Record {
            topic: &produced.topic,
            partition,
            key: produced.key.as_deref(),
            value: produced.value.as_deref(),
            headers: &headers,
            timestamp: (produced.timestamp != NO_TIMESTAMP).then_some(produced.timestamp),
        };
        let failed = Arc::clone(&self.failed);
        let told = move |result: Result<_, Error>| {
            if let Err(error) = result {
                failed.lock().get_or_insert(error);
            }
        };
        self.producer.send_then(record, told).await?;
        Ok(())
    }

    /// Whether everything that was answered so far was written.
    pub(super) fn check(&self) -> Result<(), RuntimeError> {
        self.failed.lock().take().map_or(Ok(()), |error| Err(error.into()))
    }

    /// Makes what was written and what was read last, both or neither; at least once, the reading comes after.
    pub(super) async fn commit(
        &self,
        offsets: &Offsets,
        consumer: &Consumer,
    ) -> Result<(), RuntimeError> {
        match self.guarantee {
            Guarantee::AtLeastOnce => {
                self.producer.flush().await;
                self.check()?;
                if !offsets.is_empty() {
                    consumer.commit_offsets(offsets).await?;
                }
            }
            Guarantee::ExactlyOnce => {
                self.open_transaction()?;
                self.commit_transaction(offsets, &consumer.group_metadata()).await?;
            }
        }
        self.has_written.store(false, Ordering::Relaxed);
        Ok(())
    }

    async fn commit_transaction(
        &self,
        offsets: &Offsets,
        group: &GroupMetadata,
    ) -> Result<(), RuntimeError> {
        let wanted = offsets
            .iter()
            .map(|(partition, offset)| {
                let at = OffsetToCommit {
                    offset: offset.offset,
                    metadata: offset.metadata.clone(),
                    ..OffsetToCommit::default()
                };
                ((partition.topic.as_ref().to_owned(), partition.partition), at)
            })
            .collect();
        self.producer.send_offsets_to_transaction(&wanted, group).await?;
        self.producer.commit_transaction().await?;
        self.is_open.store(false, Ordering::Relaxed);
        self.check()
    }

    /// Takes back what was not committed, as far as that is possible.
    pub(super) async fn abandon(&self) {
        if self.is_open.swap(false, Ordering::Relaxed)
            && let Err(error) = self.producer.abort_transaction().await
        {
            tracing::warn!(%error, "could not abort a transaction; the coordinator will in a while");
        }
    }

    pub(super) async fn close(&self, timeout: Duration) {
        if let Err(error) = self.producer.close(timeout).await {
            tracing::warn!(%error, "could not close the producer of a stream thread");
        }
    }
}
