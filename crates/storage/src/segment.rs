//! One segment of a log as the log remembers it: what its file holds, and its indexes so far.
//!
//! The file itself is opened by who reads or writes it.

use crate::checkpoint::SegmentRecord;
use crate::time_index::TimestampOffset;
use crate::txn_index::{TXN_INDEX_ENTRY_BYTES, TxnIndex};
use afluente_protocol::numbers::Offset;
use afluente_protocol::records::BatchHeader;
use std::path::{Path, PathBuf};

/// A segment. The last one of a log is active, the others are sealed.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) base: Offset,
    /// Bytes appended to it, whether they are in the file yet or not.
    pub(crate) size: u64,
    /// Its greatest timestamp, and the last offset of the batch that has it.
    pub(crate) newest: Option<TimestampOffset>,
    /// The timestamp of its first batch: its age is counted from there.
    pub(crate) first_timestamp_ms: Option<i64>,
    pub(crate) made_at_ms: i64,
    /// Counts how often compaction has rewritten it.
    pub(crate) generation: u32,
    /// The aborted transactions whose markers are in it.
    pub(crate) aborted: Option<Box<TxnIndex>>,
    /// Bytes of the index files that count.
    pub(crate) txn_index_bytes: u32,
    pub(crate) offset_index_bytes: u32,
    pub(crate) time_index_bytes: u32,
    /// Checksum of the bytes of the transaction index that count; unknown of some that were there
    /// before the checkpoint had it.
    pub(crate) txn_index_crc: Option<u32>,
    /// What is not in the index files yet. `None` for a sealed segment whose files are complete.
    pub(crate) growth: Option<Box<IndexGrowth>>,
    /// What was known of producers when it began, until that is in its snapshot file.
    pub(crate) snapshot: Option<Vec<u8>>,
    /// Its file has been cut to its size since this segment was sealed.
    pub(crate) is_trimmed: bool,
}

/// Entries of the offset and time index that are not in their files yet.
#[derive(Debug)]
pub(crate) struct IndexGrowth {
    pub(crate) offsets: Vec<u8>,
    pub(crate) times: Vec<u8>,
    /// Bytes of batches since the last entry.
    since_entry_bytes: u64,
    /// The timestamp of the last entry of the time index; -1 before the first, and after a start,
    /// when the file may hold later ones than that.
    last_time_entry_ms: i64,
}

impl Default for IndexGrowth {
    fn default() -> Self {
        Self {
            offsets: Vec::new(),
            times: Vec::new(),
            since_entry_bytes: 0,
            last_time_entry_ms: -1,
        }
    }
}

impl Segment {
    pub(crate) fn new(base: Offset, made_at_ms: i64) -> Self {
        Self {
            base,
            size: 0,
            newest: None,
            first_timestamp_ms: None,
            made_at_ms,
            generation: 0,
            aborted: None,
            txn_index_bytes: 0,
            offset_index_bytes: 0,
            time_index_bytes: 0,
            txn_index_crc: Some(0),
            growth: None,
            snapshot: None,
            is_trimmed: false,
        }
    }

    pub(crate) fn from_record(record: &SegmentRecord) -> Self {
        let newest = (record.timestamp_max_offset.0 >= 0).then_some(TimestampOffset {
            timestamp_ms: record.timestamp_max,
            offset: record.timestamp_max_offset,
        });
        Self {
            base: record.base,
            size: record.size,
            newest,
            first_timestamp_ms: (record.size > 0).then_some(record.first_timestamp),
            made_at_ms: record.made_at_ms,
            generation: record.generation,
            aborted: None,
            txn_index_bytes: record.txn_index_bytes,
            offset_index_bytes: record.offset_index_bytes,
            time_index_bytes: record.time_index_bytes,
            txn_index_crc: record.txn_index_crc,
            growth: None,
            snapshot: None,
            is_trimmed: false,
        }
    }

    pub(crate) fn to_record(&self) -> SegmentRecord {
        SegmentRecord {
            base: self.base,
            size: self.size,
            timestamp_max: self.newest.map_or(-1, |newest| newest.timestamp_ms),
            timestamp_max_offset: self.newest.map_or(Offset(-1), |newest| newest.offset),
            first_timestamp: self.first_timestamp_ms.unwrap_or(-1),
            made_at_ms: self.made_at_ms,
            txn_index_bytes: self.txn_index_bytes,
            offset_index_bytes: self.offset_index_bytes,
            time_index_bytes: self.time_index_bytes,
            generation: self.generation,
            txn_index_crc: self.txn_index_crc,
        }
    }

    /// Takes in a batch that was appended at its end; `interval_bytes` is `index.interval.bytes`.
    pub(crate) fn grow(&mut self, header: &BatchHeader, interval_bytes: u64) {
        let position = u32::try_from(self.size).expect("a segment is smaller than 4 GiB");
        let last_offset = header.last_offset();
        if self.newest.is_none_or(|newest| header.max_timestamp > newest.timestamp_ms)
            && header.max_timestamp >= 0
        {
            self.newest =
                Some(TimestampOffset { timestamp_ms: header.max_timestamp, offset: last_offset });
        }
        self.first_timestamp_ms.get_or_insert(header.max_timestamp);
        let newest = self.newest;
        let base = self.base;
        let growth = self.growth.get_or_insert_default();
        if growth.since_entry_bytes > interval_bytes {
            growth.offsets.extend_from_slice(&relative(base, last_offset).to_be_bytes());
            growth.offsets.extend_from_slice(&position.to_be_bytes());
            growth.note_time(base, newest);
            growth.since_entry_bytes = 0;
        }
        growth.since_entry_bytes += header.size_bytes() as u64;
        self.size += header.size_bytes() as u64;
    }

    /// Nothing will be appended any more: the time index gets its last entry.
    pub(crate) fn seal(&mut self) {
        let (base, newest) = (self.base, self.newest);
        self.growth.get_or_insert_default().note_time(base, newest);
    }

    /// Whether a batch that ends at `last_offset` can be indexed here.
    pub(crate) fn has_index_room(&self, last_offset: Offset, index_bytes_max: u64) -> bool {
        let pending = |bytes: fn(&IndexGrowth) -> usize| {
            self.growth.as_deref().map_or(0, |growth| bytes(growth) as u64)
        };
        let offsets = u64::from(self.offset_index_bytes) + pending(|growth| growth.offsets.len());
        let times = u64::from(self.time_index_bytes) + pending(|growth| growth.times.len());
        // The last place in the time index is kept for the entry of the seal.
        last_offset.0 - self.base.0 <= i64::from(i32::MAX)
            && offsets + OFFSET_ENTRY_BYTES <= index_bytes_max
            && times + 2 * TIME_ENTRY_BYTES <= index_bytes_max.max(2 * TIME_ENTRY_BYTES)
    }

    /// Bytes of the transaction index that are not in its file yet.
    pub(crate) fn aborted_pending(&self) -> usize {
        let len = self.aborted.as_ref().map_or(0, |txns| txns.txns().len() * TXN_INDEX_ENTRY_BYTES);
        len - self.txn_index_bytes as usize
    }

    /// Where its bytes are: under the name that compaction gave it, until that is renamed.
    pub(crate) fn name(&self) -> SegmentName {
        SegmentName { base: self.base, generation: self.generation }
    }
}

const OFFSET_ENTRY_BYTES: u64 = 8;
const TIME_ENTRY_BYTES: u64 = 12;

impl IndexGrowth {
    /// The position of the last batch with an entry here whose last offset is at most `offset`.
    pub(crate) fn floor(&self, base: Offset, offset: Offset) -> Option<u64> {
        let (entries, _) = self.offsets.as_chunks::<8>();
        let last_offset = |entry: &[u8; 8]| {
            let relative = u32::from_be_bytes(*entry.first_chunk().expect("eight bytes"));
            base.plus(i64::from(relative))
        };
        let after = entries.partition_point(|entry| last_offset(entry) <= offset);
        let entry = entries.get(after.checked_sub(1)?)?;
        Some(u64::from(u32::from_be_bytes(*entry.last_chunk().expect("eight bytes"))))
    }

    fn note_time(&mut self, base: Offset, newest: Option<TimestampOffset>) {
        if let Some(newest) = newest
            && newest.timestamp_ms > self.last_time_entry_ms
        {
            self.times.extend_from_slice(&newest.timestamp_ms.to_be_bytes());
            self.times.extend_from_slice(&relative(base, newest.offset).to_be_bytes());
            self.last_time_entry_ms = newest.timestamp_ms;
        }
    }
}

fn relative(base: Offset, offset: Offset) -> u32 {
    u32::try_from(offset.0 - base.0).expect("the log rolls before an offset is too far")
}

/// Names a segment's file within its partition's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentName {
    pub(crate) base: Offset,
    pub(crate) generation: u32,
}

impl SegmentName {
    pub(crate) fn log(self, directory: &Path) -> PathBuf {
        self.with_suffix(directory, "log")
    }

    pub(crate) fn offset_index(self, directory: &Path) -> PathBuf {
        self.with_suffix(directory, "index")
    }

    pub(crate) fn time_index(self, directory: &Path) -> PathBuf {
        self.with_suffix(directory, "timeindex")
    }

    pub(crate) fn txn_index(self, directory: &Path) -> PathBuf {
        self.with_suffix(directory, "txnindex")
    }

    /// What was known of producers at its beginning.
    pub(crate) fn snapshot(self, directory: &Path) -> PathBuf {
        self.with_suffix(directory, "snapshot")
    }

    /// The name under which compaction has written a file that will be called `path`.
    pub(crate) fn cleaned(self, path: &Path) -> PathBuf {
        let mut path = path.as_os_str().to_owned();
        path.push(format!(".{}.cleaned", self.generation));
        path.into()
    }

    fn with_suffix(self, directory: &Path, suffix: &str) -> PathBuf {
        directory.join(format!("{:020}.{suffix}", self.base.0))
    }
}
