//! A partition that this broker leads: its log, its leader epoch, and those who wait for it.
//!
//! All calls into the storage engine that handlers cause go through here.

use crate::waiting::{AckWait, WaitList};
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_storage::{
    AppendError, AppendOptions, Appended, Log, ReadData, ReadError, ReadOutcome, ReadRequest,
    TimestampFound, TimestampQuery, UpTo,
};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use tokio::sync::oneshot;

/// How much is read at once on the way to the end.
const READ_BYTES: usize = 4 << 20;

/// One partition.
pub struct Partition {
    index: i32,
    log: Arc<Log>,
    leader_epoch: AtomicI32,
    waiting: WaitList,
}

impl Partition {
    /// A partition on its log, led by this broker since `leader_epoch`.
    #[must_use]
    pub fn new(index: i32, log: Arc<Log>, leader_epoch: LeaderEpoch) -> Arc<Self> {
        let leader_epoch = AtomicI32::new(leader_epoch.0);
        Arc::new(Self { index, log, leader_epoch, waiting: WaitList::default() })
    }

    /// Its index in the topic.
    #[must_use]
    pub fn index(&self) -> i32 {
        self.index
    }

    /// Its log.
    #[must_use]
    pub fn log(&self) -> &Arc<Log> {
        &self.log
    }

    /// Since which epoch this broker leads it.
    #[must_use]
    pub fn leader_epoch(&self) -> LeaderEpoch {
        LeaderEpoch(self.leader_epoch.load(Ordering::Acquire))
    }

    /// The epoch of the first record that is there, if it is known.
    #[must_use]
    pub fn first_epoch(&self) -> Option<LeaderEpoch> {
        // Every epoch ends where the next begins: the first one that ends after the log's start
        // is that of the first record.
        (0..=self.leader_epoch().0)
            .map(LeaderEpoch)
            .find(|epoch| {
                self.log
                    .offset_for_leader_epoch(*epoch)
                    .is_some_and(|(found, end)| found == *epoch && end > self.log.start_offset())
            })
            // Of an empty log: that of the record to come.
            .or_else(|| {
                (self.log.high_watermark() == self.log.start_offset()).then(|| self.leader_epoch())
            })
    }

    /// Those who wait for it.
    #[must_use]
    pub fn waiting(&self) -> &WaitList {
        &self.waiting
    }

    /// Whether a client that believes in leader epoch `believed` may go on.
    ///
    /// # Errors
    /// The client's metadata is old, or newer than ours.
    pub fn check_leader_epoch(&self, believed: i32) -> Result<(), ErrorCode> {
        let ours = self.leader_epoch().0;
        match believed {
            _ if believed < 0 || believed == ours => Ok(()),
            _ if believed < ours => Err(ErrorCode::FencedLeaderEpoch),
            _ => Err(ErrorCode::UnknownLeaderEpoch),
        }
    }

    /// Appends batches; they may be acknowledged once `wait` is over.
    ///
    /// # Errors
    /// What the log says of them.
    pub fn append(
        &self,
        batches: Bytes,
        options: AppendOptions,
        wait: &Arc<AckWait>,
    ) -> Result<Appended, AppendError> {
        let appended = self.log.append(batches, &options)?;
        if self.log.durable_end() >= appended.end {
            // Durable at once: nobody else will tell those who wait.
            self.advanced(self.log.durable_end());
        } else {
            self.waiting.wait_for_durable(appended.end, || self.log.durable_end(), wait);
        }
        Ok(appended)
    }

    /// Takes note that records up to `durable_end` are safe, and may be seen.
    pub fn advanced(&self, durable_end: Offset) {
        self.log.set_high_watermark(durable_end);
        self.waiting.advanced(durable_end);
    }

    /// Looks for a record by its time, on a thread of the log directory.
    ///
    /// # Errors
    /// The log cannot be read.
    pub async fn offset_for_timestamp(
        &self,
        query: TimestampQuery,
    ) -> Result<Option<TimestampFound>, ReadError> {
        let (sender, receiver) = oneshot::channel();
        self.log.offset_for_timestamp(query, move |found| drop(sender.send(found)));
        receiver.await.unwrap_or(Err(ReadError::Deleted))
    }

    /// Reads from memory at once, or from the disk on its own threads.
    ///
    /// # Errors
    /// The offset is outside of the log, or the disk failed.
    pub async fn read(&self, request: ReadRequest) -> Result<ReadData, ReadError> {
        read(&self.log, request).await
    }
}

/// [`Partition::read`], of a log that is no partition yet.
async fn read(log: &Arc<Log>, request: ReadRequest) -> Result<ReadData, ReadError> {
    match log.read(request)? {
        ReadOutcome::Data(data) => Ok(data),
        ReadOutcome::Cold(cold) => {
            let (sender, receiver) = oneshot::channel();
            // Nobody listens any more when the client is gone.
            log.read_cold(cold, move |read| drop(sender.send(read)));
            receiver.await.unwrap_or(Err(ReadError::Deleted))
        }
    }
}

/// Gives `to` the batches of a log from the one with offset `from` to its present end, a few MiB at
/// a time, each with the offset that was asked for: records below it come along in its batch.
///
/// # Errors
/// The log cannot be read, or what `to` says.
pub(crate) async fn read_to_end<E: From<ReadError>>(
    log: &Arc<Log>,
    from: Offset,
    mut to: impl FnMut(&Bytes, Offset) -> Result<(), E>,
) -> Result<(), E> {
    let (mut offset, end) = (from, log.end_offset());
    while offset < end {
        let request = ReadRequest {
            offset,
            max_bytes: READ_BYTES,
            at_least_one_batch: true,
            up_to: UpTo::LogEnd,
        };
        let data = read(log, request).await?;
        let next = data.next_offset;
        // In one piece: a batch may lie across two of them.
        to(&data.records.into_bytes(), offset)?;
        if next <= offset {
            break;
        }
        offset = next;
    }
    Ok(())
}
