//! What became of a record: one outcome for each batch, and a future on it for each record.
//!
//! A record costs no allocation of its own: all records of a batch share its [`Outcome`], and a
//! [`Delivery`] is that and an index. When a batch had to be split, its outcome says which batches
//! it became, and the delivery goes on with the one that its record is in.

use super::record::RecordMetadata;
use crate::error::Error;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Waker};

/// The future of a record's [`RecordMetadata`]. Dropping it changes nothing about the record.
///
/// It is ready once the record is written as `acks` asks, or has failed for good.
#[must_use = "the record may still fail: await this, or pass a callback"]
#[derive(Debug)]
pub struct Delivery {
    pub(crate) outcome: Arc<Outcome>,
    /// The place of the record in its batch.
    pub(crate) index: u32,
    /// The time that the record was given.
    pub(crate) timestamp: i64,
}

/// What is told to a callback.
pub type DeliveryResult = Result<RecordMetadata, Error>;

/// The outcome of a batch: unknown, and then settled once.
#[derive(Debug)]
pub(crate) struct Outcome {
    topic: Arc<str>,
    partition: i32,
    settled: OnceLock<Settled>,
    /// Who waits, by the index of their record. Bounded by the number of records in the batch.
    waiting: Mutex<BTreeMap<u32, Waker>>,
}

/// How a batch ended.
#[derive(Debug)]
pub(crate) enum Settled {
    /// Written.
    Written {
        /// The offset of the first record, if the broker said it.
        base_offset: Option<i64>,
        /// When it was appended, if the topic wants that as the records' time.
        log_append_time: Option<i64>,
    },
    /// Not written, or not known to be written.
    Failed {
        /// Why.
        error: Error,
        /// For single records: their index, and what the broker says about each.
        records: BTreeMap<u32, Error>,
    },
    /// Sent as several batches: the index of the first record of each, in order.
    Split(Vec<(u32, Arc<Outcome>)>),
}

impl Outcome {
    /// Of a batch for `partition` of `topic`.
    pub(crate) fn new(topic: Arc<str>, partition: i32) -> Arc<Self> {
        Arc::new(Self { topic, partition, settled: OnceLock::new(), waiting: Mutex::default() })
    }

    /// Ends the waiting. Only the first end counts.
    pub(crate) fn settle(&self, settled: Settled) {
        let waiting = {
            let mut waiting = self.waiting.lock();
            // Under the lock: who sees nothing settled under it gets woken.
            if self.settled.set(settled).is_err() {
                return;
            }
            std::mem::take(&mut *waiting)
        };
        for waker in waiting.into_values() {
            waker.wake();
        }
    }

    /// What became of the record at `index`, if that is known.
    pub(crate) fn result(&self, index: u32, timestamp: i64) -> Option<DeliveryResult> {
        match self.settled.get()? {
            Settled::Written { base_offset, log_append_time } => Some(Ok(RecordMetadata {
                topic: Arc::clone(&self.topic),
                partition: self.partition,
                offset: base_offset.map(|base| base + i64::from(index)),
                timestamp: log_append_time.unwrap_or(timestamp),
            })),
            Settled::Failed { error, records } => {
                Some(Err(records.get(&index).unwrap_or(error).clone()))
            }
            Settled::Split(parts) => {
                let (first, part) = part_of(parts, index);
                part.result(index - first, timestamp)
            }
        }
    }

    fn poll(&self, index: u32, timestamp: i64, context: &mut Context<'_>) -> Poll<DeliveryResult> {
        if let Some(result) = self.result(index, timestamp) {
            return Poll::Ready(result);
        }
        if let Some(Settled::Split(parts)) = self.settled.get() {
            let (first, part) = part_of(parts, index);
            return part.poll(index - first, timestamp, context);
        }
        let mut waiting = self.waiting.lock();
        if self.settled.get().is_some() {
            // Settled since the look above.
            drop(waiting);
            return self.poll(index, timestamp, context);
        }
        waiting.insert(index, context.waker().clone());
        Poll::Pending
    }
}

/// The part with the record of that index, and the index of its first record.
fn part_of(parts: &[(u32, Arc<Outcome>)], index: u32) -> (u32, &Outcome) {
    let after = parts.partition_point(|(first, _)| *first <= index);
    let (first, part) = &parts[after.saturating_sub(1)];
    (*first, part)
}

impl Delivery {
    /// What became of the record, if that is known already.
    #[must_use]
    pub fn try_result(&self) -> Option<DeliveryResult> {
        self.outcome.result(self.index, self.timestamp)
    }

    /// The topic that the record goes to.
    #[must_use]
    pub fn topic(&self) -> &str {
        &self.outcome.topic
    }

    /// The partition that was chosen for the record.
    #[must_use]
    pub fn partition(&self) -> i32 {
        self.outcome.partition
    }
}

impl Future for Delivery {
    type Output = DeliveryResult;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<DeliveryResult> {
        self.outcome.poll(self.index, self.timestamp, context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use afluente_env::tasks::Tasks;

    fn delivery(outcome: &Arc<Outcome>, index: u32) -> Delivery {
        Delivery { outcome: Arc::clone(outcome), index, timestamp: 5 }
    }

    fn written(base_offset: i64) -> Settled {
        Settled::Written { base_offset: Some(base_offset), log_append_time: None }
    }

    #[tokio::test]
    async fn every_record_of_a_batch_learns_its_own_offset() {
        let outcome = Outcome::new("t".into(), 2);
        assert_eq!(delivery(&outcome, 0).try_result().map(|_| ()), None);
        let waiting: Vec<_> =
            [0, 1, 7].map(|index| Tasks::here().spawn(delivery(&outcome, index))).into();
        tokio::task::yield_now().await;
        outcome.settle(written(100));
        outcome.settle(Settled::Failed { error: Error::Closed, records: BTreeMap::new() });
        for (task, offset) in waiting.into_iter().zip([100, 101, 107]) {
            let metadata = task.await.unwrap().unwrap();
            let expected = RecordMetadata {
                topic: "t".into(),
                partition: 2,
                offset: Some(offset),
                timestamp: 5,
            };
            assert_eq!(metadata, expected);
        }
    }

    #[tokio::test]
    async fn a_record_follows_its_batch_through_splits() {
        let outcome = Outcome::new("t".into(), 0);
        let task = Tasks::here().spawn(delivery(&outcome, 5));
        tokio::task::yield_now().await;
        let parts = [0, 3, 6].map(|first| (first, Outcome::new("t".into(), 0)));
        outcome.settle(Settled::Split(parts.to_vec()));
        tokio::task::yield_now().await;
        parts[0].1.settle(written(10));
        parts[1].1.settle(written(40));
        assert_eq!(task.await.unwrap().unwrap().offset, Some(42));
        assert!(delivery(&outcome, 6).try_result().is_none());
        parts[2].1.settle(Settled::Failed { error: Error::Closed, records: BTreeMap::new() });
        assert!(matches!(delivery(&outcome, 6).await, Err(Error::Closed)));
    }
}
