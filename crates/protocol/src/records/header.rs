//! The fixed header of a record batch, parsed from and written to its 61 bytes.
//!
//! ```text
//!  0        8       12      16 17      21   23      27        35        43        51   53      57      61
//!  ├────────┼───────┼───────┼──┼───────┼────┼───────┼─────────┼─────────┼─────────┼────┼───────┼───────┤
//!  │base    │length │leader │ma│CRC-32C│attr│last   │base     │max      │producer │pro.│base   │record │
//!  │offset  │       │epoch  │gi│       │    │offset │timestamp│timestamp│id       │epo.│sequen.│count  │
//!  │i64     │i32    │i32    │c │u32    │i16 │delta  │i64      │i64      │i64      │i16 │i32    │i32    │
//!  └────────┴───────┴───────┴──┴───────┴────┴───────┴─────────┴─────────┴─────────┴────┴───────┴───────┘
//!   not covered by the CRC             │ covered by the CRC, to the end of the records
//! ```
//!
//! Big-endian throughout. `length` counts the bytes after itself.

use std::fmt;

use afluente_stdx::crc32c::crc32c_of_parts;

use super::{MAGIC_V2, RecordsError};
use crate::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};

/// Bytes of the fixed header; the records begin right after it.
pub const BATCH_HEADER_BYTES: usize = 61;

/// Bytes that come before what the length field counts: base offset and the length itself.
pub const LENGTH_OVERHEAD_BYTES: usize = 12;
/// The length field of a batch with no bytes in its records section.
const LENGTH_MIN: i32 = 49;
const _: () = assert!(LENGTH_MIN as usize == BATCH_HEADER_BYTES - LENGTH_OVERHEAD_BYTES);

/// The length field of a v0 message without key and value, the smallest there ever was.
pub const LEGACY_LENGTH_MIN: i32 = 14;

const LENGTH_AT: usize = 8;
const LEADER_EPOCH_AT: usize = 12;
/// Where the magic byte lies, in every format.
pub const MAGIC_AT: usize = 16;
const CRC_AT: usize = 17;
/// The first byte that the CRC covers: the attributes, and all that comes behind.
pub const CRC_COVERS_FROM: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const BASE_TIMESTAMP_AT: usize = 27;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const PRODUCER_EPOCH_AT: usize = 51;
const BASE_SEQUENCE_AT: usize = 53;
const RECORD_COUNT_AT: usize = 57;

/// The header of a record batch, by value.
///
/// Every bit of the 61 bytes is kept, so that [`BatchHeader::encode`] gives back what was parsed.
/// [`BatchHeader::parse`] checks only what is needed to find the end of the batch; the other fields
/// are as the writer left them until the CRC and [`BatchHeader::check_shape`] have been asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHeader {
    /// Offset of the first record the batch was written with, even if compaction removed it since.
    pub base_offset: Offset,
    /// Bytes that follow the length field: the batch occupies twelve more.
    pub(super) length: i32,
    /// Epoch of the leader that appended the batch; set by the broker, outside the CRC.
    pub partition_leader_epoch: LeaderEpoch,
    /// CRC-32C of everything from the attributes on.
    pub crc: u32,
    /// Codec, timestamp type and flags.
    pub attributes: Attributes,
    /// Offset of the last record relative to `base_offset`; survives compaction.
    pub last_offset_delta: i32,
    /// What the records' timestamp deltas count from, or the delete horizon where
    /// [`Attributes::has_delete_horizon`] says so.
    pub base_timestamp: i64,
    /// Greatest timestamp of the records, or the time of append.
    pub max_timestamp: i64,
    /// The idempotent producer, or -1.
    pub producer_id: ProducerId,
    /// The epoch of that producer, or -1.
    pub producer_epoch: ProducerEpoch,
    /// Sequence number of the first record, or -1.
    pub base_sequence: i32,
    /// Number of records; not the width of the offset range, once compaction has been at work.
    pub record_count: i32,
}

impl BatchHeader {
    /// Parses the header at the beginning of `bytes`, which need not hold the whole batch.
    ///
    /// # Errors
    /// [`RecordsError::Truncated`] if fewer than 61 bytes are there, [`RecordsError::LegacyFormat`]
    /// or [`RecordsError::UnknownMagic`] if this is no batch of format v2, and
    /// [`RecordsError::LengthBelowMinimum`] if the length field cannot be right.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordsError> {
        // A message of format v0 or v1 may be shorter than 61 bytes, so the magic comes first; and
        // zeros, which a file may end with, are no message of any format.
        let Some(start) = bytes.first_chunk::<{ MAGIC_AT + 1 }>() else {
            return Err(RecordsError::header_cut_short(bytes.len()));
        };
        let length = i32::from_be_bytes(field(start, LENGTH_AT));
        let minimum = match i8::from_be_bytes(field(start, MAGIC_AT)) {
            MAGIC_V2 => LENGTH_MIN,
            magic @ (0 | 1) if length >= LEGACY_LENGTH_MIN => {
                return Err(RecordsError::LegacyFormat(magic));
            }
            0 | 1 => LEGACY_LENGTH_MIN,
            magic => return Err(RecordsError::UnknownMagic(magic)),
        };
        if length < minimum {
            return Err(RecordsError::LengthBelowMinimum { length, minimum });
        }
        let Some(raw) = bytes.first_chunk::<BATCH_HEADER_BYTES>() else {
            return Err(RecordsError::header_cut_short(bytes.len()));
        };
        Ok(Self {
            base_offset: Offset(i64::from_be_bytes(field(raw, 0))),
            length,
            partition_leader_epoch: LeaderEpoch(i32::from_be_bytes(field(raw, LEADER_EPOCH_AT))),
            crc: u32::from_be_bytes(field(raw, CRC_AT)),
            attributes: Attributes(i16::from_be_bytes(field(raw, CRC_COVERS_FROM))),
            last_offset_delta: i32::from_be_bytes(field(raw, LAST_OFFSET_DELTA_AT)),
            base_timestamp: i64::from_be_bytes(field(raw, BASE_TIMESTAMP_AT)),
            max_timestamp: i64::from_be_bytes(field(raw, MAX_TIMESTAMP_AT)),
            producer_id: ProducerId(i64::from_be_bytes(field(raw, PRODUCER_ID_AT))),
            producer_epoch: ProducerEpoch(i16::from_be_bytes(field(raw, PRODUCER_EPOCH_AT))),
            base_sequence: i32::from_be_bytes(field(raw, BASE_SEQUENCE_AT)),
            record_count: i32::from_be_bytes(field(raw, RECORD_COUNT_AT)),
        })
    }

    /// The 61 bytes of this header.
    #[inline]
    #[must_use]
    pub fn encode(&self) -> [u8; BATCH_HEADER_BYTES] {
        let mut raw = [0; BATCH_HEADER_BYTES];
        put(&mut raw, 0, self.base_offset.0.to_be_bytes());
        put(&mut raw, LENGTH_AT, self.length.to_be_bytes());
        put(&mut raw, LEADER_EPOCH_AT, self.partition_leader_epoch.0.to_be_bytes());
        put(&mut raw, MAGIC_AT, MAGIC_V2.to_be_bytes());
        put(&mut raw, CRC_AT, self.crc.to_be_bytes());
        put(&mut raw, CRC_COVERS_FROM, self.attributes.0.to_be_bytes());
        put(&mut raw, LAST_OFFSET_DELTA_AT, self.last_offset_delta.to_be_bytes());
        put(&mut raw, BASE_TIMESTAMP_AT, self.base_timestamp.to_be_bytes());
        put(&mut raw, MAX_TIMESTAMP_AT, self.max_timestamp.to_be_bytes());
        put(&mut raw, PRODUCER_ID_AT, self.producer_id.0.to_be_bytes());
        put(&mut raw, PRODUCER_EPOCH_AT, self.producer_epoch.0.to_be_bytes());
        put(&mut raw, BASE_SEQUENCE_AT, self.base_sequence.to_be_bytes());
        put(&mut raw, RECORD_COUNT_AT, self.record_count.to_be_bytes());
        raw
    }

    /// Bytes that the whole batch occupies, header included.
    #[inline]
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let length = usize::try_from(self.length).expect("parsing checks the least length");
        LENGTH_OVERHEAD_BYTES + length
    }

    /// The offset of the last record.
    #[inline]
    #[must_use]
    pub fn last_offset(&self) -> Offset {
        Offset(self.base_offset.0.saturating_add(i64::from(self.last_offset_delta)))
    }

    /// The offset that comes after the batch.
    #[inline]
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        Offset(self.last_offset().0.saturating_add(1))
    }

    /// The sequence number of the last record, or -1 where the batch has none. Sequence numbers
    /// continue with 0 after `i32::MAX`.
    #[inline]
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        if self.base_sequence < 0 {
            return self.base_sequence;
        }
        self.base_sequence.wrapping_add(self.last_offset_delta) & i32::MAX
    }

    /// Whether an idempotent producer wrote the batch.
    #[inline]
    #[must_use]
    pub fn has_producer_id(&self) -> bool {
        self.producer_id.0 >= 0
    }

    /// When tombstones and transaction markers of this batch may be removed, in ms since 1970, if
    /// the cleaner has set that (KIP-534).
    #[inline]
    #[must_use]
    pub fn delete_horizon_ms(&self) -> Option<i64> {
        self.attributes.has_delete_horizon().then_some(self.base_timestamp)
    }

    /// Checks that the fields which the CRC covers make sense; ask after the CRC, so that a bit
    /// flipped on the way is called corruption and not a bad producer.
    ///
    /// # Errors
    /// [`RecordsError::UnknownCodec`], [`RecordsError::Negative`] or
    /// [`RecordsError::OffsetOverflow`].
    #[inline]
    pub fn check_shape(&self) -> Result<(), RecordsError> {
        self.attributes.codec()?;
        if self.last_offset_delta < 0 {
            let value = i64::from(self.last_offset_delta);
            return Err(RecordsError::Negative { field: "last offset delta", value });
        }
        if self.record_count < 0 {
            let value = i64::from(self.record_count);
            return Err(RecordsError::Negative { field: "record count", value });
        }
        // The offset after the last one must exist too: it is the end of the log.
        if i64::MAX - i64::from(self.last_offset_delta) <= self.base_offset.0 {
            let (base_offset, last_offset_delta) = (self.base_offset, self.last_offset_delta);
            return Err(RecordsError::OffsetOverflow { base_offset, last_offset_delta });
        }
        Ok(())
    }

    /// The CRC-32C that belongs to this header in front of `records`, the bytes after the header.
    #[inline]
    #[must_use]
    pub fn crc_with(&self, records: &[u8]) -> u32 {
        crc32c_of_parts(&[&self.encode()[CRC_COVERS_FROM..], records])
    }

    /// Sets the timestamp type and the greatest timestamp, and the CRC that follows from them:
    /// with [`TimestampType::LogAppendTime`] this stamps the time of append on every record,
    /// without touching `records`, the bytes after the header.
    pub fn set_max_timestamp(&mut self, kind: TimestampType, max_timestamp: i64, records: &[u8]) {
        if self.attributes.timestamp_type() == kind && self.max_timestamp == max_timestamp {
            return;
        }
        self.attributes = self.attributes.with_timestamp_type(kind);
        self.max_timestamp = max_timestamp;
        self.crc = self.crc_with(records);
    }

    /// Puts `records` behind this header: sets the length and the CRC.
    pub(super) fn set_section(&mut self, records: &[u8]) -> Result<(), RecordsError> {
        let length = i32::try_from(records.len()).ok().and_then(|n| n.checked_add(LENGTH_MIN));
        let too_large = RecordsError::BatchTooLarge { bytes: records.len() };
        self.length = length.ok_or(too_large)?;
        self.crc = self.crc_with(records);
        Ok(())
    }
}

/// Writes `base_offset` into the batch at the beginning of `batch`; the CRC does not cover it.
///
/// # Panics
/// If `batch` is shorter than a batch header.
pub fn patch_base_offset(batch: &mut [u8], base_offset: Offset) {
    put(header_of(batch), 0, base_offset.0.to_be_bytes());
}

/// Writes `leader_epoch` into the batch at the beginning of `batch`; the CRC does not cover it.
///
/// # Panics
/// If `batch` is shorter than a batch header.
pub fn patch_leader_epoch(batch: &mut [u8], leader_epoch: LeaderEpoch) {
    put(header_of(batch), LEADER_EPOCH_AT, leader_epoch.0.to_be_bytes());
}

fn header_of(batch: &mut [u8]) -> &mut [u8; BATCH_HEADER_BYTES] {
    batch.first_chunk_mut().expect("the caller passes a whole batch, which has a whole header")
}

/// What the 16 attribute bits say. Bits that Kafka has not assigned are carried along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes(i16);

impl Attributes {
    const CODEC_MASK: i16 = 0b111;
    const LOG_APPEND_TIME: i16 = 1 << 3;
    const TRANSACTIONAL: i16 = 1 << 4;
    const CONTROL: i16 = 1 << 5;
    const DELETE_HORIZON: i16 = 1 << 6;

    /// The attributes with exactly these bits.
    #[must_use]
    pub fn from_bits(bits: i16) -> Self {
        Self(bits)
    }

    /// The bits as they are written.
    #[must_use]
    pub fn bits(self) -> i16 {
        self.0
    }

    /// The codec of the records section.
    ///
    /// # Errors
    /// [`RecordsError::UnknownCodec`] for the ids 5, 6 and 7.
    #[inline]
    pub fn codec(self) -> Result<CodecId, RecordsError> {
        match self.0 & Self::CODEC_MASK {
            0 => Ok(CodecId::None),
            1 => Ok(CodecId::Gzip),
            2 => Ok(CodecId::Snappy),
            3 => Ok(CodecId::Lz4),
            4 => Ok(CodecId::Zstd),
            unknown => {
                let id = u8::try_from(unknown).expect("the mask keeps three bits");
                Err(RecordsError::UnknownCodec(id))
            }
        }
    }

    /// Whether the timestamps are those of the producer or of the append.
    #[inline]
    #[must_use]
    pub fn timestamp_type(self) -> TimestampType {
        if self.has(Self::LOG_APPEND_TIME) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// Whether the batch belongs to a transaction.
    #[inline]
    #[must_use]
    pub fn is_transactional(self) -> bool {
        self.has(Self::TRANSACTIONAL)
    }

    /// Whether the batch holds control records, which consumers do not see.
    #[inline]
    #[must_use]
    pub fn is_control(self) -> bool {
        self.has(Self::CONTROL)
    }

    /// Whether the base timestamp is the delete horizon (KIP-534).
    #[inline]
    #[must_use]
    pub fn has_delete_horizon(self) -> bool {
        self.has(Self::DELETE_HORIZON)
    }

    /// These attributes with another codec.
    #[must_use]
    pub fn with_codec(self, codec: CodecId) -> Self {
        Self(self.0 & !Self::CODEC_MASK | codec as i16)
    }

    /// These attributes with another timestamp type.
    #[must_use]
    pub fn with_timestamp_type(self, kind: TimestampType) -> Self {
        self.with(Self::LOG_APPEND_TIME, kind == TimestampType::LogAppendTime)
    }

    /// These attributes, transactional or not.
    #[must_use]
    pub fn with_transactional(self, transactional: bool) -> Self {
        self.with(Self::TRANSACTIONAL, transactional)
    }

    /// These attributes, for control records or not.
    #[must_use]
    pub fn with_control(self, control: bool) -> Self {
        self.with(Self::CONTROL, control)
    }

    /// These attributes, with the base timestamp being a delete horizon or not.
    #[must_use]
    pub fn with_delete_horizon(self, delete_horizon: bool) -> Self {
        self.with(Self::DELETE_HORIZON, delete_horizon)
    }

    fn has(self, bit: i16) -> bool {
        self.0 & bit != 0
    }

    fn with(self, bit: i16, on: bool) -> Self {
        Self(if on { self.0 | bit } else { self.0 & !bit })
    }
}

/// How the records section is compressed, with the ids of the attribute bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum CodecId {
    /// Not at all.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the framing of snappy-java.
    Snappy = 2,
    /// The LZ4 frame format.
    Lz4 = 3,
    /// RFC 8878 (KIP-110).
    Zstd = 4,
}

impl CodecId {
    /// All codecs, in the order of their ids.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name in `compression.type`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

impl fmt::Display for CodecId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whose clock the timestamps of a batch come from (`message.timestamp.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The broker's, at the append: all records of the batch share the max timestamp.
    LogAppendTime,
}

#[inline]
fn field<const N: usize>(raw: &[u8], at: usize) -> [u8; N] {
    *raw[at..].first_chunk().expect("every field lies inside the header")
}

#[inline]
fn put<const N: usize>(raw: &mut [u8; BATCH_HEADER_BYTES], at: usize, value: [u8; N]) {
    raw[at..at + N].copy_from_slice(&value);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    /// A header in which every byte differs from its neighbours.
    fn distinct() -> [u8; BATCH_HEADER_BYTES] {
        let mut raw: [u8; BATCH_HEADER_BYTES] = std::array::from_fn(|i| i as u8 + 1);
        raw[MAGIC_AT] = 2;
        raw
    }

    #[test]
    fn encode_gives_back_every_byte_that_was_parsed() {
        let raw = distinct();
        assert_eq!(BatchHeader::parse(&raw).unwrap().encode(), raw);
        let ones = {
            let mut r = [0xff; BATCH_HEADER_BYTES];
            r[MAGIC_AT] = 2;
            r[8] = 0x7f;
            r
        };
        assert_eq!(BatchHeader::parse(&ones).unwrap().encode(), ones);
    }

    #[test]
    fn too_few_bytes_are_truncation_at_every_length() {
        let raw = distinct();
        for available in 0..BATCH_HEADER_BYTES {
            let error = BatchHeader::parse(&raw[..available]).unwrap_err();
            assert_eq!(error, RecordsError::Truncated { needed: BATCH_HEADER_BYTES, available });
        }
    }

    #[test]
    fn every_other_magic_is_refused_by_name() {
        for magic in (i8::MIN..=i8::MAX).filter(|magic| *magic != 2) {
            let mut raw = distinct();
            raw[MAGIC_AT] = magic.cast_unsigned();
            let expected = Err(match magic {
                0 | 1 => RecordsError::LegacyFormat(magic),
                _ => RecordsError::UnknownMagic(magic),
            });
            assert_eq!(BatchHeader::parse(&raw), expected);
            assert_eq!(BatchHeader::parse(&raw[..17]), expected, "seen from 17 bytes on");
        }
    }

    #[test]
    fn a_length_below_the_header_is_refused() {
        for (length, fine) in [(i32::MIN, false), (-1, false), (48, false), (49, true)] {
            let mut raw = distinct();
            raw[8..12].copy_from_slice(&length.to_be_bytes());
            assert_eq!(BatchHeader::parse(&raw).is_ok(), fine, "length {length}");
        }
    }

    #[test]
    fn zeros_are_no_message_of_an_old_format() {
        for available in 17..100 {
            let error = BatchHeader::parse(&[0; 100][..available]).unwrap_err();
            assert_eq!(error, RecordsError::LengthBelowMinimum { length: 0, minimum: 14 });
        }
    }

    #[test]
    fn sequence_numbers_wrap_to_zero() {
        let mut header = BatchHeader::parse(&distinct()).unwrap();
        for (base, delta, last) in [
            (0, 4, 4),
            (i32::MAX, 0, i32::MAX),
            (i32::MAX, 1, 0),
            (i32::MAX - 2, 5, 2),
            (-1, 7, -1),
        ] {
            header.base_sequence = base;
            header.last_offset_delta = delta;
            assert_eq!(header.last_sequence(), last, "{base} + {delta}");
        }
    }

    #[test]
    fn shape_is_checked_field_by_field() {
        let sound = BatchHeader {
            attributes: Attributes::default(),
            ..BatchHeader::parse(&distinct()).unwrap()
        };
        assert_eq!(sound.check_shape(), Ok(()));
        let bad = [
            BatchHeader { attributes: Attributes::from_bits(5), ..sound },
            BatchHeader { last_offset_delta: -1, ..sound },
            BatchHeader { record_count: -1, ..sound },
            BatchHeader { base_offset: Offset(i64::MAX), last_offset_delta: 0, ..sound },
        ];
        for header in bad {
            assert!(header.check_shape().is_err(), "{header:?}");
        }
        let last = BatchHeader { base_offset: Offset(i64::MAX - 1), last_offset_delta: 0, ..sound };
        assert_eq!((last.check_shape(), last.next_offset()), (Ok(()), Offset(i64::MAX)));
    }

    #[test]
    fn attributes_keep_unassigned_bits() {
        let attributes = Attributes::from_bits(!0).with_codec(CodecId::Lz4).with_control(false);
        assert_eq!(attributes.bits(), !0b111 & !(1 << 5) | 3);
        assert_eq!(attributes.codec(), Ok(CodecId::Lz4));
        assert!(attributes.is_transactional() && attributes.has_delete_horizon());
    }
}
