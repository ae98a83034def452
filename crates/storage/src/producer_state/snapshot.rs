//! Kafka's producer snapshot, `<offset>.snapshot`: what was known of producers below that offset.
//!
//! ```text
//! 0        2        6         10                                    all numbers big-endian
//! | version | crc32c | count   | count entries of 46 bytes, by producer id |
//! | i16 = 1 | u32    | i32     |
//!
//! an entry:
//! 0             8       10              14            22             26          34                  38
//! | producer id | epoch | last sequence | last offset | offset delta | timestamp | coordinator epoch | txn start |
//! | i64         | i16   | i32           | i64         | i32          | i64       | i32               | i64       |
//! ```
//!
//! The checksum covers everything behind it. Of a producer's batches only the last one is kept; its
//! sequence and offset are -1 if there is none, and so is the transaction's start.

use super::{ProducerEntry, RetainedBatch};
use afluente_protocol::numbers::{Offset, ProducerEpoch, ProducerId};
use afluente_stdx::crc32c::crc32c;

/// The version that Kafka writes since 0.11, and the only one.
const VERSION: i16 = 1;
const HEADER_BYTES: usize = 10;
const CHECKED_FROM: usize = 6;
const ENTRY_BYTES: usize = 46;

/// The bytes of a snapshot.
#[must_use]
pub fn encode<'a>(entries: impl IntoIterator<Item = &'a ProducerEntry>) -> Vec<u8> {
    let mut bytes = vec![0; HEADER_BYTES];
    let mut count = 0_i32;
    for entry in entries {
        encode_entry(entry, &mut bytes);
        count += 1;
    }
    bytes[0..2].copy_from_slice(&VERSION.to_be_bytes());
    bytes[6..10].copy_from_slice(&count.to_be_bytes());
    let crc = crc32c(&bytes[CHECKED_FROM..]);
    bytes[2..6].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// The producers in a snapshot, as they are in the file.
///
/// # Errors
/// What is wrong with the bytes; they hold nothing that can be trusted then.
pub fn decode(bytes: &[u8]) -> Result<Vec<ProducerEntry>, SnapshotError> {
    let Some((header, entries)) = bytes.split_at_checked(HEADER_BYTES) else {
        return Err(SnapshotError::Length { expected: HEADER_BYTES, found: bytes.len() });
    };
    let version = i16::from_be_bytes(array(header, 0));
    if version != VERSION {
        return Err(SnapshotError::Version { found: version });
    }
    let expected = u32::from_be_bytes(array(header, 2));
    let found = crc32c(&bytes[CHECKED_FROM..]);
    if expected != found {
        return Err(SnapshotError::Checksum { expected, found });
    }
    let count = i32::from_be_bytes(array(header, 6));
    let count = usize::try_from(count).map_err(|_| SnapshotError::Count { found: count })?;
    let expected = count.saturating_mul(ENTRY_BYTES).saturating_add(HEADER_BYTES);
    if expected != bytes.len() {
        return Err(SnapshotError::Length { expected, found: bytes.len() });
    }
    entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect()
}

/// Why the bytes are not a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// Not a version that we know.
    #[error("producer snapshot has version {found} at byte 0, expected {VERSION}")]
    Version {
        /// The version in the file.
        found: i16,
    },
    /// The bytes were damaged.
    #[error(
        "producer snapshot has checksum {expected:#010x} at byte 2, but its content gives {found:#010x}"
    )]
    Checksum {
        /// The checksum in the file.
        expected: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// A count that is no count.
    #[error("producer snapshot has {found} entries according to byte 6")]
    Count {
        /// The count in the file.
        found: i32,
    },
    /// The file was cut, or something was added to it.
    #[error("producer snapshot has {found} bytes, expected {expected}")]
    Length {
        /// What the header asks for.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// An entry that no broker writes.
    #[error("producer snapshot has an impossible entry for producer {producer_id}: {what}")]
    Entry {
        /// Whose entry.
        producer_id: ProducerId,
        /// What is wrong.
        what: &'static str,
    },
}

fn encode_entry(entry: &ProducerEntry, bytes: &mut Vec<u8>) {
    let last = entry.batches().last();
    bytes.extend_from_slice(&entry.producer_id.0.to_be_bytes());
    bytes.extend_from_slice(&entry.epoch.0.to_be_bytes());
    bytes.extend_from_slice(&entry.last_sequence().to_be_bytes());
    bytes.extend_from_slice(&last.map_or(-1, |last| last.last_offset.0).to_be_bytes());
    bytes.extend_from_slice(&last.map_or(0, |last| last.offset_delta).to_be_bytes());
    bytes.extend_from_slice(&entry.last_timestamp_ms.to_be_bytes());
    bytes.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
    bytes.extend_from_slice(&entry.txn_start.map_or(-1, |start| start.0).to_be_bytes());
}

fn decode_entry(bytes: &[u8]) -> Result<ProducerEntry, SnapshotError> {
    let producer_id = ProducerId(i64::from_be_bytes(array(bytes, 0)));
    let refuse = |what| Err(SnapshotError::Entry { producer_id, what });
    if producer_id.0 < 0 {
        return refuse("negative producer id");
    }
    let last_sequence = i32::from_be_bytes(array(bytes, 10));
    let last_offset = i64::from_be_bytes(array(bytes, 14));
    let offset_delta = i32::from_be_bytes(array(bytes, 22));
    let timestamp_ms = i64::from_be_bytes(array(bytes, 26));
    let txn_start = i64::from_be_bytes(array(bytes, 38));
    let mut entry = ProducerEntry::unknown(producer_id);
    entry.epoch = ProducerEpoch(i16::from_be_bytes(array(bytes, 8)));
    entry.last_timestamp_ms = timestamp_ms;
    entry.coordinator_epoch = i32::from_be_bytes(array(bytes, 34));
    entry.txn_start = (txn_start >= 0).then_some(Offset(txn_start));
    if last_offset < 0 {
        return Ok(entry);
    }
    if offset_delta < 0 || i64::from(offset_delta) > last_offset {
        return refuse("the last batch begins below offset 0 or after its end");
    }
    let last_offset = Offset(last_offset);
    Ok(entry.with_batches([RetainedBatch {
        last_sequence,
        offset_delta,
        last_offset,
        timestamp_ms,
    }]))
}

/// `N` bytes at `at`, which the caller knows to be there.
fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes[at..at + N].try_into().expect("the slice has N bytes")
}
