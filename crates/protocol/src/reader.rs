//! Kafka's encodings, read from a buffer.
//!
//! Bounded: nothing is allocated that the bytes left could not fill, and no bytes make it panic.
//! Byte strings and records are slices of the buffer, not copies.

use crate::message::{DecodeError, DecodeProblem, Element};
use crate::rope::Records;
use crate::uuid::Uuid;
use bytes::Bytes;

/// What two bytes can say, less the sign: no string of Kafka's is longer.
const STRING_LEN_MAX: usize = 0x7fff;

/// A place in a buffer, and whether lengths are compact here.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    offset: usize,
    flexible: bool,
}

impl Reader {
    /// Starts at the first byte, with the lengths of versions that are not flexible.
    pub fn new(bytes: Bytes) -> Self {
        Self { bytes, offset: 0, flexible: false }
    }

    /// Says whether lengths are compact and structs end in tagged fields from here on.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// How many bytes were read.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    /// Fails if bytes are left.
    pub fn expect_end(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(self.error(DecodeProblem::TrailingBytes { count })),
        }
    }

    /// An error at this place.
    pub fn error(&self, problem: DecodeProblem) -> DecodeError {
        DecodeError::new(problem, self.offset)
    }

    /// Reads `true` for any byte but 0.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.array_of_bytes::<1>()? != [0])
    }

    /// Reads one signed byte.
    pub fn i8(&mut self) -> Result<i8, DecodeError> {
        self.array_of_bytes().map(i8::from_be_bytes)
    }

    /// Reads two signed bytes.
    pub fn i16(&mut self) -> Result<i16, DecodeError> {
        self.array_of_bytes().map(i16::from_be_bytes)
    }

    /// Reads two unsigned bytes.
    pub fn u16(&mut self) -> Result<u16, DecodeError> {
        self.array_of_bytes().map(u16::from_be_bytes)
    }

    /// Reads four signed bytes.
    pub fn i32(&mut self) -> Result<i32, DecodeError> {
        self.array_of_bytes().map(i32::from_be_bytes)
    }

    /// Reads four unsigned bytes.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array_of_bytes().map(u32::from_be_bytes)
    }

    /// Reads eight signed bytes.
    pub fn i64(&mut self) -> Result<i64, DecodeError> {
        self.array_of_bytes().map(i64::from_be_bytes)
    }

    /// Reads a floating-point number of eight bytes.
    pub fn f64(&mut self) -> Result<f64, DecodeError> {
        self.array_of_bytes().map(f64::from_be_bytes)
    }

    /// Reads sixteen bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.array_of_bytes().map(Uuid)
    }

    /// Reads an unsigned integer in one to five bytes of seven bits, the lowest first.
    pub fn varint(&mut self) -> Result<u32, DecodeError> {
        let start = self.offset;
        let mut number = 0;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.array_of_bytes()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(DecodeError::new(DecodeProblem::VarintTooLong, start))
    }

    /// Reads a string that may not be null.
    pub fn string(&mut self) -> Result<String, DecodeError> {
        let start = self.offset;
        self.nullable_string()?.ok_or_else(|| unexpected_null("a string", start))
    }

    /// Reads a string.
    pub fn nullable_string(&mut self) -> Result<Option<String>, DecodeError> {
        if !self.flexible {
            return self.nullable_short_string();
        }
        let start = self.offset;
        let length = self.compact_length()?;
        // Kafka's limit for strings holds in flexible versions, too.
        if let Some(long) = length.filter(|&length| length > STRING_LEN_MAX) {
            return Err(DecodeError::new(DecodeProblem::StringTooLong { length: long }, start));
        }
        self.text(length)
    }

    /// Reads a string with a length of two bytes, even in a flexible version.
    pub fn nullable_short_string(&mut self) -> Result<Option<String>, DecodeError> {
        let length = self.short_length()?;
        self.text(length)
    }

    /// Reads bytes that may not be null.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let start = self.offset;
        self.nullable_bytes()?.ok_or_else(|| unexpected_null("a byte string", start))
    }

    /// Reads bytes.
    pub fn nullable_bytes(&mut self) -> Result<Option<Bytes>, DecodeError> {
        match self.length()? {
            None => Ok(None),
            Some(length) => self.take(length).map(Some),
        }
    }

    /// Reads record batches that may not be null.
    pub fn records(&mut self) -> Result<Records, DecodeError> {
        self.bytes().map(Records::from)
    }

    /// Reads record batches.
    pub fn nullable_records(&mut self) -> Result<Option<Records>, DecodeError> {
        Ok(self.nullable_bytes()?.map(Records::from))
    }

    /// Reads an array that may not be null.
    pub fn array<T: Element>(&mut self, version: i16) -> Result<Vec<T>, DecodeError> {
        let start = self.offset;
        match self.count(T::MIN_SIZE)? {
            Some(count) => self.elements(count, version),
            None => Err(unexpected_null("an array", start)),
        }
    }

    /// Reads an array.
    pub fn nullable_array<T: Element>(
        &mut self,
        version: i16,
    ) -> Result<Option<Vec<T>>, DecodeError> {
        match self.count(T::MIN_SIZE)? {
            Some(count) => self.elements(count, version).map(Some),
            None => Ok(None),
        }
    }

    /// Reads a struct that may not be null.
    pub fn structure<T: Element>(&mut self, version: i16) -> Result<T, DecodeError> {
        T::read(self, version).map_err(|error| error.within(T::NAME, None))
    }

    /// Reads a struct behind the byte that says whether it is there.
    pub fn nullable_structure<T: Element>(
        &mut self,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        if self.i8()? < 0 { Ok(None) } else { self.structure(version).map(Some) }
    }

    /// Reads a struct in a tagged field, behind a mark of another kind: 0 is null, and more is not.
    pub fn nullable_tagged_structure<T: Element>(
        &mut self,
        version: i16,
    ) -> Result<Option<T>, DecodeError> {
        if self.varint()? == 0 { Ok(None) } else { self.structure(version).map(Some) }
    }

    /// Opens the tagged fields at the end of a struct; there are none unless the version is
    /// flexible.
    pub fn tags(&mut self) -> Result<TagReader, DecodeError> {
        let left = if self.flexible { self.varint()? } else { 0 };
        Ok(TagReader { left, tag: 0, start: 0, end: None })
    }

    /// Passes over tagged fields of which none is known.
    pub fn skip_tags(&mut self) -> Result<(), DecodeError> {
        let mut tags = self.tags()?;
        while tags.next(self)?.is_some() {
            tags.skip(self);
        }
        Ok(())
    }

    fn array_of_bytes<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        match self.bytes[self.offset..].first_chunk::<N>() {
            Some(chunk) => {
                self.offset += N;
                Ok(*chunk)
            }
            None => Err(self.unexpected_end(N)),
        }
    }

    /// The next `length` bytes, as a slice of the buffer.
    fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        if length > self.remaining() {
            return Err(self.unexpected_end(length));
        }
        let start = self.offset;
        self.offset += length;
        Ok(self.bytes.slice(start..self.offset))
    }

    /// The count of an array; the bytes left could hold as many elements of `min_size` at least.
    fn count(&mut self, min_size: usize) -> Result<Option<usize>, DecodeError> {
        let start = self.offset;
        let count = self.length()?;
        let left = self.remaining();
        match count {
            Some(count) if count > left / min_size.max(1) => {
                Err(DecodeError::new(DecodeProblem::CountTooLarge { count, left }, start))
            }
            _ => Ok(count),
        }
    }

    /// The elements of an array, `count` having been checked.
    fn elements<T: Element>(&mut self, count: usize, version: i16) -> Result<Vec<T>, DecodeError> {
        let mut elements = Vec::with_capacity(count);
        for index in 0..count {
            match T::read(self, version) {
                Ok(element) => elements.push(element),
                Err(error) => return Err(error.within(T::NAME, Some(index))),
            }
        }
        Ok(elements)
    }

    fn text(&mut self, length: Option<usize>) -> Result<Option<String>, DecodeError> {
        let Some(length) = length else { return Ok(None) };
        if length > self.remaining() {
            return Err(self.unexpected_end(length));
        }
        let bytes = &self.bytes[self.offset..self.offset + length];
        match std::str::from_utf8(bytes) {
            Ok(text) => {
                self.offset += length;
                Ok(Some(text.to_owned()))
            }
            Err(_) => Err(self.error(DecodeProblem::NotUtf8)),
        }
    }

    /// A length of bytes, records or an array; `None` is null.
    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        if self.flexible {
            self.compact_length()
        } else {
            let start = self.offset;
            let length = self.i32()?;
            checked_length(i64::from(length), start)
        }
    }

    fn short_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let start = self.offset;
        let length = self.i16()?;
        checked_length(i64::from(length), start)
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let start = self.offset;
        let length_plus_one = self.varint()?;
        checked_length(i64::from(length_plus_one) - 1, start)
    }

    #[cold]
    fn unexpected_end(&self, wanted: usize) -> DecodeError {
        self.error(DecodeProblem::UnexpectedEnd { wanted, left: self.remaining() })
    }
}

/// The tagged fields of one struct: [`TagReader::next`] gives the tag, the caller reads the value
/// or skips it.
#[derive(Debug)]
pub struct TagReader {
    left: u32,
    tag: u32,
    start: usize,
    /// Where the value that was opened last must end.
    end: Option<usize>,
}

impl TagReader {
    /// Closes the value before, if there is one, and opens the next.
    pub fn next(&mut self, reader: &mut Reader) -> Result<Option<u32>, DecodeError> {
        if let Some(end) = self.end.take()
            && end != reader.offset
        {
            let declared = end - self.start;
            let found = reader.offset - self.start;
            let problem = DecodeProblem::TagSize { tag: self.tag, declared, found };
            return Err(DecodeError::new(problem, self.start));
        }
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.tag = reader.varint()?;
        let size = reader.varint()? as usize;
        if size > reader.remaining() {
            return Err(reader.unexpected_end(size));
        }
        self.start = reader.offset;
        self.end = Some(reader.offset + size);
        Ok(Some(self.tag))
    }

    /// Passes over the value that was opened last.
    pub fn skip(&mut self, reader: &mut Reader) {
        if let Some(end) = self.end {
            reader.offset = end;
        }
    }
}

fn checked_length(length: i64, start: usize) -> Result<Option<usize>, DecodeError> {
    match (length, i32::try_from(length).map(usize::try_from)) {
        (-1, _) => Ok(None),
        (_, Ok(Ok(checked))) => Ok(Some(checked)),
        _ => Err(DecodeError::new(DecodeProblem::InvalidLength { length }, start)),
    }
}

#[cold]
fn unexpected_null(what: &'static str, start: usize) -> DecodeError {
    DecodeError::new(DecodeProblem::UnexpectedNull { what }, start)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(bytes: &'static [u8], flexible: bool) -> Reader {
        let mut reader = Reader::new(Bytes::from_static(bytes));
        reader.set_flexible(flexible);
        reader
    }

    fn failure<T: std::fmt::Debug>(result: Result<T, DecodeError>) -> String {
        result.expect_err("the bytes are bad").to_string()
    }

    #[test]
    fn hostile_lengths_are_refused_before_anything_is_allocated() {
        let cases: [(&[u8], bool, &str); 6] = [
            (
                b"\x7f\xff\xff\xff",
                false,
                "byte 0: an array of 2147483647 elements cannot be in the 0 bytes left",
            ),
            (b"\xff\xff\xff\xfe", false, "byte 0: -2 is not a length"),
            (b"\xff\xff\xff\xff", false, "byte 0: null where an array is required"),
            (b"\xff\xff\xff\xff\x0f", true, "byte 0: 4294967294 is not a length"),
            (b"\x80\x80\x80\x80\x80\x00", true, "byte 0: a variable-length integer has no end"),
            (
                b"\x03\x00\x00\x00\x01\x00",
                true,
                "byte 0: an array of 2 elements cannot be in the 5 bytes left",
            ),
        ];
        for (bytes, flexible, expected) in cases {
            assert_eq!(failure(reader(bytes, flexible).array::<i32>(0)), expected);
        }
    }

    #[test]
    fn strings_must_be_whole_and_utf8() {
        assert_eq!(reader(b"\x00\x02hi", false).string(), Ok("hi".to_owned()));
        assert_eq!(reader(b"\x03hi", true).string(), Ok("hi".to_owned()));
        assert_eq!(reader(b"\xff\xff", false).nullable_string(), Ok(None));
        assert_eq!(reader(b"\x00", true).nullable_string(), Ok(None));
        assert_eq!(
            failure(reader(b"\x00\x03hi", false).string()),
            "byte 2: 3 bytes are needed and 2 are left"
        );
        assert_eq!(
            failure(reader(b"\x00\x01\xff", false).string()),
            "byte 2: a string is not UTF-8"
        );
        assert_eq!(
            failure(reader(b"\xff\xff", false).string()),
            "byte 0: null where a string is required"
        );
    }

    #[test]
    fn strings_are_as_short_in_flexible_versions_as_in_others() {
        let text = "x".repeat(STRING_LEN_MAX + 1);
        for (length, allowed) in [(STRING_LEN_MAX, true), (STRING_LEN_MAX + 1, false)] {
            // The length plus one in three groups of seven bits.
            let plus_one = length + 1;
            let groups = [plus_one & 0x7f | 0x80, plus_one >> 7 & 0x7f | 0x80, plus_one >> 14];
            let mut bytes: Vec<u8> = groups.iter().map(|&group| group as u8).collect();
            bytes.extend_from_slice(&text.as_bytes()[..length]);
            let mut reader = Reader::new(Bytes::from(bytes));
            reader.set_flexible(true);
            assert_eq!(reader.string().is_ok(), allowed, "{length}");
        }
    }

    #[test]
    fn bytes_are_slices_of_the_buffer() {
        let buffer = Bytes::from_static(b"\x00\x00\x00\x03abc");
        let read = Reader::new(buffer.clone()).bytes().expect("three bytes");
        assert_eq!(read.as_ptr(), buffer[4..].as_ptr());
    }

    #[test]
    fn unknown_tags_are_skipped_and_wrong_sizes_found() {
        // Two tagged fields: 7 with two bytes, 9 with one.
        assert_eq!(reader(b"\x02\x07\x02ab\x09\x01c", true).skip_tags(), Ok(()));
        assert_eq!(reader(b"", false).skip_tags(), Ok(()));
        assert_eq!(
            failure(reader(b"\x01\x07\x02a", true).skip_tags()),
            "byte 3: 2 bytes are needed and 1 are left"
        );
        let mut reader = reader(b"\x01\x00\x05\x00\x00\x00\x01\x00", true);
        let mut tags = reader.tags().expect("a count");
        assert_eq!(tags.next(&mut reader), Ok(Some(0)));
        assert_eq!(reader.i32(), Ok(1));
        assert_eq!(
            failure(tags.next(&mut reader)),
            "byte 3: tagged field 0 ends 4 bytes from its start, and not 5"
        );
    }
}
