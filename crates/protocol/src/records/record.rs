//! The records inside a batch, once its records section is uncompressed.
//!
//! ```text
//!  record:  ├──────┬──────────┬───────────────┬────────────┬──────┬───┬──────┬─────┬───────┬──────── …
//!           │length│attributes│timestamp delta│offset delta│key   │key│value │value│header │headers
//!           │varint│i8, unused│varlong        │varint      │length│   │length│     │count  │
//!  header:  ├──────┬───┬──────┬─────┤
//!           │key   │key│value │value│
//!           │length│   │length│     │
//! ```
//!
//! All lengths and counts are zigzag varints; a negative length is a null key or value. Nothing is
//! copied or allocated: views borrow from the section, and headers keep order and duplicates.

use afluente_stdx::varint::{self, VarintError};
use bytes::Bytes;

use super::{Batch, BatchHeader, Decompressor, RecordsError, TimestampType};
use crate::numbers::Offset;

/// One record, borrowed from an uncompressed records section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordView<'a> {
    /// Where the record is in its partition.
    pub offset: Offset,
    /// That offset relative to the base offset of the batch.
    pub offset_delta: i32,
    /// The time of the record in ms since 1970: its own, or that of the append.
    pub timestamp: i64,
    /// The time that the producer gave, relative to the base timestamp of the batch.
    pub timestamp_delta: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; a record without one is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers.
    pub headers: Headers<'a>,
}

/// The headers of one record, in order, duplicates included; an iterator over [`Header`].
///
/// The bytes were checked when the record was read, so going through them cannot fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Headers<'a> {
    count: usize,
    bytes: &'a [u8],
}

/// A key and a value that travel with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// The key, which should be UTF-8.
    pub key: &'a [u8],
    /// The value.
    pub value: Option<&'a [u8]>,
}

impl<'a> Iterator for Headers<'a> {
    type Item = Header<'a>;

    fn next(&mut self) -> Option<Header<'a>> {
        self.count = self.count.checked_sub(1)?;
        Some(take_header(&mut self.bytes).expect("headers are checked when the record is read"))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count, Some(self.count))
    }
}

impl ExactSizeIterator for Headers<'_> {}

impl BatchHeader {
    /// The records of `section`, the uncompressed records section that belongs to this header.
    #[must_use]
    pub fn records<'a>(&self, section: &'a [u8]) -> RecordIter<'a> {
        RecordIter { cursor: Cursor::new(self, section) }
    }

    /// As [`BatchHeader::records`], without looking at headers.
    #[must_use]
    pub fn skim<'a>(&self, section: &'a [u8]) -> SkimIter<'a> {
        SkimIter { cursor: Cursor::new(self, section) }
    }
}

/// The records of a batch, in order; nothing comes after an error.
#[derive(Debug, Clone)]
pub struct RecordIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> RecordIter<'a> {
    /// The bytes of the section that the records to come are in.
    #[inline]
    #[must_use]
    pub fn remaining(&self) -> &'a [u8] {
        self.cursor.rest
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordView<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next_with(|context, body| {
            let (record, rest) = context.take_start(body)?;
            Ok(RecordView { headers: take_headers(rest)?, ..record })
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, Some(self.cursor.remaining_max()))
    }
}

/// What compaction and indexes need of a record: all but its headers, and its value by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SkimmedRecord<'a> {
    /// Where the record is in its partition.
    pub offset: Offset,
    /// The time of the record in ms since 1970: its own, or that of the append.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The size of the value, if there is one.
    pub value_bytes: Option<usize>,
}

/// The records of a batch as [`SkimmedRecord`], in order; nothing comes after an error.
#[derive(Debug, Clone)]
pub struct SkimIter<'a> {
    cursor: Cursor<'a>,
}

impl<'a> Iterator for SkimIter<'a> {
    type Item = Result<SkimmedRecord<'a>, RecordsError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.cursor.next_with(|context, body| {
            let (record, _headers) = context.take_start(body)?;
            Ok(SkimmedRecord {
                offset: record.offset,
                timestamp: record.timestamp,
                key: record.key,
                value_bytes: record.value.map(<[u8]>::len),
            })
        })
    }
}

/// A batch whose records section has been uncompressed into a buffer that its records share.
#[derive(Debug, Clone)]
pub struct OpenBatch {
    header: BatchHeader,
    section: Bytes,
}

impl OpenBatch {
    /// Opens the batch at the beginning of `bytes`. Without compression the records share `bytes`,
    /// else they share one new buffer of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// As [`Batch::parse`] and [`Batch::uncompressed`].
    pub fn open(
        bytes: &Bytes,
        decompressor: &mut Decompressor,
        bytes_max: usize,
    ) -> Result<Self, RecordsError> {
        let batch = Batch::parse(bytes)?;
        let section = match batch.uncompressed(decompressor, bytes_max)? {
            std::borrow::Cow::Borrowed(section) => bytes.slice_ref(section),
            std::borrow::Cow::Owned(section) => section.into(),
        };
        Ok(Self { header: *batch.header(), section })
    }

    /// The header of the batch, which still describes the compressed bytes.
    #[must_use]
    pub fn header(&self) -> &BatchHeader {
        &self.header
    }

    /// The uncompressed records section.
    #[must_use]
    pub fn section(&self) -> &Bytes {
        &self.section
    }

    /// The records, borrowed.
    #[must_use]
    pub fn views(&self) -> RecordIter<'_> {
        self.header.records(&self.section)
    }

    /// The records, each of which keeps the buffer alive.
    pub fn records(&self) -> impl Iterator<Item = Result<Record, RecordsError>> + '_ {
        self.views().map(|view| view.map(|view| Record::share(&view, &self.section)))
    }
}

/// One record that shares the buffer it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Where the record is in its partition.
    pub offset: Offset,
    /// The time of the record in ms since 1970: its own, or that of the append.
    pub timestamp: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value.
    pub value: Option<Bytes>,
    /// The headers, in order, duplicates included: key, and value if there is one.
    pub headers: Vec<(Bytes, Option<Bytes>)>,
}

impl Record {
    fn share(view: &RecordView<'_>, section: &Bytes) -> Self {
        let share = |part: &[u8]| section.slice_ref(part);
        let headers = view.headers.map(|header| (share(header.key), header.value.map(share)));
        Self {
            offset: view.offset,
            timestamp: view.timestamp,
            key: view.key.map(share),
            value: view.value.map(share),
            headers: headers.collect(),
        }
    }
}

/// What a record's fields are relative to.
#[derive(Debug, Clone, Copy)]
struct Context {
    base_offset: Offset,
    base_timestamp: i64,
    /// The one timestamp of all records, where the broker has set it.
    log_append_time: Option<i64>,
}

impl Context {
    /// Takes everything in front of the headers; gives the record without them, and the rest.
    #[inline]
    fn take_start<'a>(&self, body: &'a [u8]) -> Result<(RecordView<'a>, &'a [u8]), &'static str> {
        let mut rest = body.get(1..).ok_or("it ends before its attributes")?;
        let timestamp_delta = varint::take_i64(&mut rest).map_err(varint_fault)?;
        let offset_delta = take_i32(&mut rest)?;
        let key = take_nullable(&mut rest)?;
        let value = take_nullable(&mut rest)?;
        // A writer that means harm can make these overflow; they then wrap, as they do in Kafka.
        let offset = Offset(self.base_offset.0.wrapping_add(i64::from(offset_delta)));
        let timestamp = match self.log_append_time {
            Some(time) => time,
            None => self.base_timestamp.wrapping_add(timestamp_delta),
        };
        let headers = Headers::default();
        let record =
            RecordView { offset, offset_delta, timestamp, timestamp_delta, key, value, headers };
        Ok((record, rest))
    }
}

/// Goes from record to record by their length fields.
#[derive(Debug, Clone)]
struct Cursor<'a> {
    context: Context,
    rest: &'a [u8],
    index: i32,
    count: i32,
    failed: bool,
}

impl<'a> Cursor<'a> {
    fn new(header: &BatchHeader, section: &'a [u8]) -> Self {
        let log_append_time = match header.attributes.timestamp_type() {
            TimestampType::CreateTime => None,
            TimestampType::LogAppendTime => Some(header.max_timestamp),
        };
        let context = Context {
            base_offset: header.base_offset,
            base_timestamp: header.base_timestamp,
            log_append_time,
        };
        Self { context, rest: section, index: 0, count: header.record_count, failed: false }
    }

    /// An upper bound that hostile counts cannot inflate: a record takes seven bytes at least.
    fn remaining_max(&self) -> usize {
        let claimed = usize::try_from(self.count - self.index).unwrap_or(0);
        claimed.min(self.rest.len() / 7) + 1
    }

    #[inline]
    fn next_with<T>(
        &mut self,
        parse: impl FnOnce(&Context, &'a [u8]) -> Result<T, &'static str>,
    ) -> Option<Result<T, RecordsError>> {
        if self.failed {
            return None;
        }
        if self.index >= self.count {
            return self.end().map(Err);
        }
        let parsed = take_body(&mut self.rest).and_then(|body| parse(&self.context, body));
        let index = self.index;
        self.index += 1;
        self.failed = parsed.is_err();
        Some(parsed.map_err(|reason| RecordsError::BadRecord { index, reason }))
    }

    /// After the last record: nothing may be left, and the count may not have been negative.
    fn end(&mut self) -> Option<RecordsError> {
        self.failed = true;
        if self.count < 0 {
            let value = i64::from(self.count);
            return Some(RecordsError::Negative { field: "record count", value });
        }
        let bytes = self.rest.len();
        (bytes > 0).then_some(RecordsError::TrailingBytes { count: self.count, bytes })
    }
}

/// Takes a length and as many bytes.
#[inline]
fn take_body<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], &'static str> {
    let length = take_i32(rest)?;
    let length = usize::try_from(length).map_err(|_| "its length is negative")?;
    take_bytes(rest, length)
}

#[inline]
fn take_nullable<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a [u8]>, &'static str> {
    match usize::try_from(take_i32(rest)?) {
        Ok(length) => take_bytes(rest, length).map(Some),
        Err(_) => Ok(None),
    }
}

#[inline]
fn take_bytes<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], &'static str> {
    let (taken, after) = rest
        .split_at_checked(length)
        .ok_or("a length points beyond the end of its surroundings")?;
    *rest = after;
    Ok(taken)
}

/// Takes the header count and the headers, which must fill `rest`.
#[inline]
fn take_headers(mut rest: &[u8]) -> Result<Headers<'_>, &'static str> {
    let count = take_i32(&mut rest)?;
    let count = usize::try_from(count).map_err(|_| "its header count is negative")?;
    if count > rest.len() {
        return Err("it has fewer bytes left than headers");
    }
    let bytes = rest;
    for _ in 0..count {
        take_header(&mut rest)?;
    }
    if !rest.is_empty() {
        return Err("its length does not agree with its contents");
    }
    Ok(Headers { count, bytes })
}

#[inline]
fn take_header<'a>(rest: &mut &'a [u8]) -> Result<Header<'a>, &'static str> {
    let key = take_nullable(rest)?.ok_or("a header key has a negative length")?;
    Ok(Header { key, value: take_nullable(rest)? })
}

#[inline]
fn take_i32(rest: &mut &[u8]) -> Result<i32, &'static str> {
    varint::take_i32(rest).map_err(varint_fault)
}

fn varint_fault(error: VarintError) -> &'static str {
    match error {
        VarintError::Truncated => "it ends inside a number",
        VarintError::Overlong => "a variable-length number does not end",
    }
}
