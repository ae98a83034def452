//! Message formats v0 and v1, which old log directories still hold.
//!
//! Kafka 4 reads them from disk and takes them no longer from the wire, and neither do we: this is
//! enough to read, count and dump such a log, and nothing writes them.
//!
//! ```text
//!  ├────────┬────────┬────────┬───┬────┬─────────┬──────┬───┬──────┬─────┤
//!  │offset  │size i32│CRC-32  │ma-│at- │timestamp│key   │key│value │value│
//!  │i64     │        │u32     │gic│tri.│i64, v1  │length│   │length│     │
//!  0        8        12       16  17   18        18/26
//! ```
//!
//! A compressed message is a wrapper: its value decompresses to messages of the same layout. In v1
//! the offsets of these count from 0 and the wrapper has the absolute offset of the last one; in v0
//! they are absolute.

use flate2::Crc;

use super::{
    Attributes, CodecId, Decompressor, Headers, NO_TIMESTAMP, RecordView, RecordsError,
    TimestampType,
    header::{LEGACY_LENGTH_MIN, MAGIC_AT},
};
use crate::numbers::Offset;

/// Bytes in front of what the size field counts.
const SIZE_OVERHEAD_BYTES: usize = 12;

/// One message of format v0 or v1, a wrapper or not, borrowed from the buffer it lies in.
#[derive(Debug, Clone, Copy)]
pub struct LegacyMessage<'a> {
    bytes: &'a [u8],
    /// The offset; of a wrapper, that of its last message.
    pub offset: Offset,
    /// The format, 0 or 1.
    pub magic: i8,
    /// Codec and timestamp type.
    pub attributes: Attributes,
    /// Ms since 1970; -1 in v0, which has no timestamps.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; of a wrapper, the compressed messages.
    pub value: Option<&'a [u8]>,
}

impl<'a> LegacyMessage<'a> {
    /// The message at the beginning of `bytes`, which may go on after it.
    ///
    /// # Errors
    /// [`RecordsError::Truncated`], [`RecordsError::LengthBelowMinimum`],
    /// [`RecordsError::UnknownMagic`] (also for v2) and [`RecordsError::BadRecord`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, RecordsError> {
        let cut_short = |needed| RecordsError::Truncated { needed, available: bytes.len() };
        let mut rest = bytes;
        let (Some(offset), Some(size)) = (take(&mut rest), take(&mut rest)) else {
            return Err(cut_short(SIZE_OVERHEAD_BYTES));
        };
        let size = i32::from_be_bytes(size);
        let Some(size_bytes) = usize::try_from(size).ok().filter(|_| size >= LEGACY_LENGTH_MIN)
        else {
            return Err(RecordsError::LengthBelowMinimum {
                length: size,
                minimum: LEGACY_LENGTH_MIN,
            });
        };
        let whole = SIZE_OVERHEAD_BYTES + size_bytes;
        let bytes = bytes.get(..whole).ok_or_else(|| cut_short(whole))?;
        let malformed = |reason| RecordsError::BadRecord { index: 0, reason };

        let mut rest = &bytes[MAGIC_AT..];
        let [magic, attributes] =
            take(&mut rest).ok_or_else(|| malformed("it has no attributes"))?;
        let magic = magic as i8;
        let timestamp = match magic {
            0 => NO_TIMESTAMP,
            1 => take(&mut rest)
                .map(i64::from_be_bytes)
                .ok_or_else(|| malformed("it has no timestamp"))?,
            magic => return Err(RecordsError::UnknownMagic(magic)),
        };
        let key = take_sized(&mut rest).map_err(malformed)?;
        let value = take_sized(&mut rest).map_err(malformed)?;
        Ok(Self {
            bytes,
            offset: Offset(i64::from_be_bytes(offset)),
            magic,
            attributes: Attributes::from_bits(i16::from(attributes)),
            timestamp,
            key,
            value,
        })
    }

    /// Bytes of the message in its log, offset and size included.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Checks the CRC, which covers the magic and everything after it.
    ///
    /// # Errors
    /// [`RecordsError::CrcMismatch`].
    pub fn verify_crc(&self) -> Result<(), RecordsError> {
        let mut crc = Crc::new();
        crc.update(&self.bytes[MAGIC_AT..]);
        let mut stored = &self.bytes[SIZE_OVERHEAD_BYTES..MAGIC_AT];
        let stored = take(&mut stored).map_or(0, u32::from_be_bytes);
        let computed = crc.sum();
        if stored == computed {
            Ok(())
        } else {
            Err(RecordsError::CrcMismatch { stored, computed })
        }
    }

    /// Calls `visit` with each record that this message stands for: itself, or those inside it.
    ///
    /// # Errors
    /// Those of [`LegacyMessage::parse`] for the messages inside, those of
    /// [`Decompressor::decompress`], and whatever `visit` gives.
    pub fn for_each_record<E: From<RecordsError>>(
        &self,
        decompressor: &mut Decompressor,
        bytes_max: usize,
        mut visit: impl FnMut(RecordView<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let codec = self.attributes.codec()?;
        if codec == CodecId::None {
            return visit(self.view(self.offset, self.offset, self.timestamp));
        }
        let section = self.uncompressed(codec, decompressor, bytes_max)?;
        let base_offset = self.base_offset(&section)?;
        for message in LegacyMessages::new(&section) {
            let message = message?;
            if message.attributes.codec()? != CodecId::None {
                return Err(inside("a compressed message holds a compressed message").into());
            }
            let offset = match self.magic {
                0 => message.offset,
                _ => Offset(base_offset.0.wrapping_add(message.offset.0)),
            };
            // The broker stamps the wrapper alone, and only v1 messages have a timestamp at all.
            let stamped = self.attributes.timestamp_type() == TimestampType::LogAppendTime;
            let timestamp = match stamped && message.magic == 1 {
                true => self.timestamp,
                false => message.timestamp,
            };
            visit(message.view(offset, base_offset, timestamp))?;
        }
        Ok(())
    }

    fn uncompressed(
        &self,
        codec: CodecId,
        decompressor: &mut Decompressor,
        bytes_max: usize,
    ) -> Result<Vec<u8>, RecordsError> {
        let value = self.value.ok_or_else(|| inside("a compressed message has no value"))?;
        let mut section = Vec::new();
        match (codec, self.magic) {
            (CodecId::Zstd, _) => Err(inside("zstd came after this message format")),
            (_, 0) => decompressor.decompress_v0(codec, value, bytes_max, &mut section),
            _ => decompressor.decompress(codec, value, bytes_max, &mut section),
        }?;
        Ok(section)
    }

    /// The offset of the first message inside a wrapper.
    fn base_offset(&self, section: &[u8]) -> Result<Offset, RecordsError> {
        let mut messages = LegacyMessages::new(section);
        let first = messages.next().ok_or_else(|| inside("it holds no messages"))??;
        if self.magic == 0 {
            return Ok(first.offset);
        }
        let last = match messages.last() {
            Some(last) => last?.offset,
            None => first.offset,
        };
        // Some clients have left the offset of the wrapper at 0.
        match self.offset.0 {
            0 => Ok(Offset(0)),
            offset => match offset.checked_sub(last.0).filter(|base| *base >= 0) {
                Some(base) => Ok(Offset(base)),
                None => Err(inside("its offset is below that of its last message")),
            },
        }
    }

    fn view(&self, offset: Offset, base_offset: Offset, timestamp: i64) -> RecordView<'a> {
        RecordView {
            offset,
            // Only a wrapper that lies has offsets that far apart; then nobody asks for the delta.
            offset_delta: i32::try_from(offset.0.wrapping_sub(base_offset.0)).unwrap_or(i32::MAX),
            timestamp,
            timestamp_delta: 0,
            key: self.key,
            value: self.value,
            headers: Headers::default(),
        }
    }
}

/// The messages of a buffer, in order; nothing comes after an error.
#[derive(Debug, Clone)]
pub struct LegacyMessages<'a> {
    rest: &'a [u8],
}

impl<'a> LegacyMessages<'a> {
    /// The messages of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl<'a> Iterator for LegacyMessages<'a> {
    type Item = Result<LegacyMessage<'a>, RecordsError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let message = LegacyMessage::parse(self.rest);
        self.rest = match &message {
            Ok(message) => &self.rest[message.bytes.len()..],
            Err(_) => &[],
        };
        Some(message)
    }
}

fn inside(reason: &'static str) -> RecordsError {
    RecordsError::BadRecord { index: 0, reason }
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

/// Takes a length and as many bytes; a negative length is null.
fn take_sized<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    const BEYOND: &str = "a length points beyond the end of the message";
    let length = take(rest).map(i32::from_be_bytes).ok_or(BEYOND)?;
    let Ok(length) = usize::try_from(length) else { return Ok(None) };
    let (taken, after) = rest.split_at_checked(length).ok_or(BEYOND)?;
    *rest = after;
    Ok(Some(taken))
}
