//! Reading the partitions of a fetch, within its limits.

use crate::config::settings::FetchSettings;
use crate::fetch_session::Wanted;
use crate::partition::Partition;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::messages::fetch_request::FetchRequest;
use afluente_protocol::numbers::{LeaderEpoch, Offset};
use afluente_storage::{ReadData, ReadRequest, UpTo};
use std::sync::Arc;
use std::time::Duration;

/// What bounds an answer.
pub(super) struct Limits {
    /// Bytes of records that are worth answering at once.
    pub(super) bytes_min: usize,
    /// Bytes of records of the whole answer; one batch may be larger.
    pub(super) bytes_max: usize,
    /// How long to wait for `bytes_min`.
    pub(super) wait: Duration,
    /// What this reader may see.
    pub(super) up_to: UpTo,
}

/// What became of one partition.
pub(super) enum Fetched {
    /// Its records, or none yet.
    Read(ReadData),
    /// The log here parted from what the client last read: at this epoch and offset.
    Diverging(LeaderEpoch, Offset),
    /// Nothing can be read.
    Failed(ErrorCode),
}

const READ_COMMITTED: i8 = 1;

impl Limits {
    pub(super) fn of(request: &FetchRequest, settings: &FetchSettings, room: usize) -> Self {
        let size = |bytes: i32| usize::try_from(bytes).unwrap_or(0);
        let bytes_max = size(request.max_bytes).min(settings.bytes_max).min(room);
        Self {
            bytes_min: size(request.min_bytes).min(bytes_max),
            bytes_max,
            wait: Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0)),
            up_to: if request.isolation_level == READ_COMMITTED {
                UpTo::LastStable
            } else {
                UpTo::HighWatermark
            },
        }
    }

    /// Whether an answer is due at once: enough bytes, or something to tell besides records.
    pub(super) fn are_met_by(&self, fetched: &[Fetched]) -> bool {
        let mut bytes = 0;
        for one in fetched {
            match one {
                Fetched::Read(data) => bytes += data.records.len(),
                Fetched::Diverging(..) | Fetched::Failed(_) => return true,
            }
        }
        bytes >= self.bytes_min
    }
}

impl Fetched {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Read(data) => data.records.len(),
            Self::Diverging(..) | Self::Failed(_) => 0,
        }
    }
}

/// Reads all partitions in their order; the first batch of the answer is given whatever its size.
pub(super) async fn all(wanted: &[Wanted], limits: &Limits) -> Vec<Fetched> {
    let mut fetched = Vec::with_capacity(wanted.len());
    let mut left = limits.bytes_max;
    let mut is_first = true;
    for one in wanted {
        let result = match &one.partition {
            Ok(partition) => read(partition, one, left, is_first, limits.up_to).await,
            Err(code) => Fetched::Failed(*code),
        };
        is_first &= result.bytes() == 0;
        left = left.saturating_sub(result.bytes());
        fetched.push(result);
    }
    fetched
}

async fn read(
    partition: &Arc<Partition>,
    wanted: &Wanted,
    left: usize,
    is_first: bool,
    up_to: UpTo,
) -> Fetched {
    if let Err(code) = partition.check_leader_epoch(wanted.leader_epoch) {
        return Fetched::Failed(code);
    }
    match diverging(partition, wanted) {
        Ok(None) => {}
        Ok(Some((epoch, end))) => return Fetched::Diverging(epoch, end),
        Err(code) => return Fetched::Failed(code),
    }
    let request = ReadRequest {
        offset: Offset(wanted.offset),
        max_bytes: left.min(usize::try_from(wanted.bytes_max).unwrap_or(0)),
        at_least_one_batch: is_first,
        up_to,
    };
    match partition.read(request).await {
        Ok(data) => Fetched::Read(data),
        Err(error) => {
            tracing::debug!(partition = %partition.log().partition(), %error, "fetch refused");
            Fetched::Failed(error.code())
        }
    }
}

/// Where the log parted from what the reader has, by the epoch of its last record (KIP-595).
///
/// # Errors
/// `OFFSET_OUT_OF_RANGE` if the log knows nothing of that epoch.
fn diverging(
    partition: &Partition,
    wanted: &Wanted,
) -> Result<Option<(LeaderEpoch, Offset)>, ErrorCode> {
    if wanted.last_fetched_epoch < 0 {
        return Ok(None);
    }
    let last = LeaderEpoch(wanted.last_fetched_epoch);
    let found = partition.log().offset_for_leader_epoch(last);
    let (epoch, end) = match found {
        Some(found) => found,
        // A log without a record knows of its leader's epoch only.
        None if last == partition.leader_epoch() => (last, partition.log().high_watermark()),
        None => return Err(ErrorCode::OffsetOutOfRange),
    };
    Ok((epoch < last || end.0 < wanted.offset).then_some((epoch, end)))
}
