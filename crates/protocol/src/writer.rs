//! Kafka's encodings, written into one growing buffer.
//!
//! Large byte strings and records are not copied into the buffer: their place is noted, and
//! [`Writer::finish`] gives the whole as pieces for a vectored write.

use crate::message::{Element, EncodeError};
use crate::rope::Records;
use crate::uuid::Uuid;
use bytes::Bytes;

/// From this size on bytes go out by reference. Below it a copy costs less than one more piece in
/// a vectored write.
const BY_REFERENCE_MIN: usize = 4096;

/// The size of the length in front of a frame.
const PREFIX_LEN: usize = 4;

/// What was written so far, and whether lengths are compact here.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: Vec<u8>,
    /// Bytes by reference, each with the place in the buffer that it goes in front of.
    inserts: Vec<(usize, Bytes)>,
    /// How many bytes `inserts` has.
    inserts_len: usize,
    flexible: bool,
    /// Inside a tagged field all bytes go into the buffer, since their size must be known.
    in_tag: bool,
}

impl Writer {
    /// Starts with nothing, with the lengths of versions that are not flexible.
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts with room for `capacity` bytes.
    pub fn with_capacity(capacity: usize) -> Self {
        Self { buffer: Vec::with_capacity(capacity), ..Self::default() }
    }

    /// Says whether lengths are compact and structs end in tagged fields from here on.
    pub fn set_flexible(&mut self, flexible: bool) {
        self.flexible = flexible;
    }

    /// How many bytes were written.
    pub fn len(&self) -> usize {
        self.buffer.len() + self.inserts_len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was written, in pieces, without a copy.
    pub fn finish(self) -> Records {
        let buffer = Bytes::from(self.buffer);
        let mut pieces = Records::new();
        let mut start = 0;
        for (place, insert) in self.inserts {
            pieces.push(buffer.slice(start..place));
            pieces.push(insert);
            start = place;
        }
        pieces.push(buffer.slice(start..));
        pieces
    }

    /// What was written, in one piece; a copy where there were bytes by reference.
    pub fn into_bytes(self) -> Bytes {
        self.finish().into_bytes()
    }

    /// Leaves room for the size of a frame, which [`Self::end_frame`] fills in.
    pub fn begin_frame(&mut self) -> FrameStart {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(&[0; PREFIX_LEN]);
        FrameStart { place: start, len_before: self.len() }
    }

    /// Writes the size of all that came since `start` in front of it.
    pub fn end_frame(&mut self, start: FrameStart) -> Result<(), EncodeError> {
        let length = self.len() - start.len_before;
        let size =
            i32::try_from(length).map_err(|_| EncodeError::TooLong { what: "frame", length })?;
        self.buffer[start.place..start.place + PREFIX_LEN].copy_from_slice(&size.to_be_bytes());
        Ok(())
    }

    /// Writes one byte, 0 or 1.
    pub fn bool(&mut self, value: bool) {
        self.buffer.push(u8::from(value));
    }

    /// Writes one signed byte.
    pub fn i8(&mut self, value: i8) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes two signed bytes.
    pub fn i16(&mut self, value: i16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes two unsigned bytes.
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes four signed bytes.
    pub fn i32(&mut self, value: i32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes four unsigned bytes.
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes eight signed bytes.
    pub fn i64(&mut self, value: i64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes a floating-point number of eight bytes.
    pub fn f64(&mut self, value: f64) {
        self.buffer.extend_from_slice(&value.to_be_bytes());
    }

    /// Writes sixteen bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.extend_from_slice(&value.0);
    }

    /// Writes an unsigned integer in one to five bytes of seven bits, the lowest first.
    pub fn varint(&mut self, value: u32) {
        let (bytes, len) = varint_bytes(value);
        self.buffer.extend_from_slice(&bytes[..len]);
    }

    /// Writes a string.
    pub fn string(&mut self, value: &str) -> Result<(), EncodeError> {
        if self.flexible {
            self.compact_string_length(value.len())?;
        } else {
            self.short_length(value.len())?;
        }
        self.buffer.extend_from_slice(value.as_bytes());
        Ok(())
    }

    /// Writes a string or null.
    pub fn nullable_string(&mut self, value: Option<&str>) -> Result<(), EncodeError> {
        match value {
            Some(text) => self.string(text)?,
            None if self.flexible => self.varint(0),
            None => self.i16(-1),
        }
        Ok(())
    }

    /// Writes a string or null with a length of two bytes, even in a flexible version.
    pub fn nullable_short_string(&mut self, value: Option<&str>) -> Result<(), EncodeError> {
        match value {
            Some(text) => {
                self.short_length(text.len())?;
                self.buffer.extend_from_slice(text.as_bytes());
            }
            None => self.i16(-1),
        }
        Ok(())
    }

    /// Writes bytes.
    pub fn bytes(&mut self, value: &Bytes) -> Result<(), EncodeError> {
        self.length("byte string", value.len())?;
        self.raw(value);
        Ok(())
    }

    /// Writes bytes or null.
    pub fn nullable_bytes(&mut self, value: Option<&Bytes>) -> Result<(), EncodeError> {
        match value {
            Some(bytes) => self.bytes(bytes)?,
            None => self.null_length(),
        }
        Ok(())
    }

    /// Writes record batches.
    pub fn records(&mut self, value: &Records) -> Result<(), EncodeError> {
        self.length("run of record batches", value.len())?;
        for piece in value.pieces() {
            self.raw(piece);
        }
        Ok(())
    }

    /// Writes record batches or null.
    pub fn nullable_records(&mut self, value: Option<&Records>) -> Result<(), EncodeError> {
        match value {
            Some(records) => self.records(records)?,
            None => self.null_length(),
        }
        Ok(())
    }

    /// Writes an array.
    pub fn array<T: Element>(&mut self, value: &[T], version: i16) -> Result<(), EncodeError> {
        self.length("array", value.len())?;
        for element in value {
            element.write(self, version)?;
        }
        Ok(())
    }

    /// Writes an array or null.
    pub fn nullable_array<T: Element>(
        &mut self,
        value: Option<&[T]>,
        version: i16,
    ) -> Result<(), EncodeError> {
        match value {
            Some(elements) => self.array(elements, version)?,
            None => self.null_length(),
        }
        Ok(())
    }

    /// Writes a struct behind the byte that says whether it is there.
    pub fn nullable_structure<T: Element>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        match value {
            Some(structure) => {
                self.i8(1);
                structure.write(self, version)
            }
            None => {
                self.i8(-1);
                Ok(())
            }
        }
    }

    /// Writes a struct in a tagged field, behind a mark of another kind: 0 is null, and 1 is not.
    pub fn nullable_tagged_structure<T: Element>(
        &mut self,
        value: Option<&T>,
        version: i16,
    ) -> Result<(), EncodeError> {
        self.varint(u32::from(value.is_some()));
        value.map_or(Ok(()), |structure| structure.write(self, version))
    }

    /// Opens the tagged fields at the end of a struct; writes nothing unless the version is
    /// flexible.
    pub fn tags(&mut self) -> TagWriter {
        let count_place = self.buffer.len();
        if self.flexible {
            // A struct has far fewer than 128 tagged fields: the count stays in one byte.
            self.buffer.push(0);
        }
        TagWriter { count_place, size_place: 0, in_tag_before: self.in_tag }
    }

    /// Ends a struct without tagged fields.
    pub fn no_tags(&mut self) {
        if self.flexible {
            self.buffer.push(0);
        }
    }

    /// Opens one tagged field; tags go in rising order.
    pub fn begin_tag(&mut self, tags: &mut TagWriter, tag: u32) {
        self.buffer[tags.count_place] += 1;
        self.varint(tag);
        tags.size_place = self.buffer.len();
        self.in_tag = true;
    }

    /// Closes the tagged field that was opened last: puts its size in front of it.
    pub fn end_tag(&mut self, tags: &mut TagWriter) -> Result<(), EncodeError> {
        self.in_tag = tags.in_tag_before;
        let length = self.buffer.len() - tags.size_place;
        let size = u32::try_from(length)
            .map_err(|_| EncodeError::TooLong { what: "tagged field", length })?;
        let (bytes, len) = varint_bytes(size);
        self.buffer.splice(tags.size_place..tags.size_place, bytes[..len].iter().copied());
        Ok(())
    }

    fn raw(&mut self, bytes: &Bytes) {
        if bytes.len() < BY_REFERENCE_MIN || self.in_tag {
            self.buffer.extend_from_slice(bytes);
        } else {
            self.inserts.push((self.buffer.len(), bytes.clone()));
            self.inserts_len += bytes.len();
        }
    }

    fn length(&mut self, what: &'static str, length: usize) -> Result<(), EncodeError> {
        let number = i32::try_from(length).map_err(|_| EncodeError::TooLong { what, length })?;
        if self.flexible {
            self.varint(number.unsigned_abs() + 1);
        } else {
            self.i32(number);
        }
        Ok(())
    }

    fn null_length(&mut self) {
        if self.flexible {
            self.varint(0);
        } else {
            self.i32(-1);
        }
    }

    fn short_length(&mut self, length: usize) -> Result<(), EncodeError> {
        self.i16(checked_string_length(length)?);
        Ok(())
    }

    fn compact_string_length(&mut self, length: usize) -> Result<(), EncodeError> {
        let number = checked_string_length(length)?;
        self.varint(u32::from(number.unsigned_abs()) + 1);
        Ok(())
    }
}

/// Kafka's limit for strings holds in flexible versions, too.
fn checked_string_length(length: usize) -> Result<i16, EncodeError> {
    i16::try_from(length).map_err(|_| EncodeError::TooLong { what: "string", length })
}

fn varint_bytes(mut value: u32) -> ([u8; 5], usize) {
    let mut bytes = [0; 5];
    let mut len = 0;
    loop {
        let [.., low] = value.to_be_bytes();
        value >>= 7;
        if value == 0 {
            bytes[len] = low & 0x7f;
            return (bytes, len + 1);
        }
        bytes[len] = low | 0x80;
        len += 1;
    }
}

/// Where a frame began.
#[derive(Debug)]
#[must_use]
pub struct FrameStart {
    place: usize,
    len_before: usize,
}

/// The tagged fields of one struct that is being written.
#[derive(Debug)]
pub struct TagWriter {
    count_place: usize,
    size_place: usize,
    in_tag_before: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_records_go_out_by_reference() {
        let large = Bytes::from(vec![7; BY_REFERENCE_MIN]);
        let small = Bytes::from_static(b"small");
        let mut writer = Writer::new();
        let start = writer.begin_frame();
        writer.records(&[large.clone(), small.clone()].into_iter().collect()).expect("it fits");
        writer.bytes(&large).expect("it fits");
        writer.end_frame(start).expect("it fits");
        let pieces = writer.finish().into_pieces();
        assert_eq!(pieces.len(), 4);
        assert_eq!(pieces[1].as_ptr(), large.as_ptr());
        assert_eq!(pieces[3].as_ptr(), large.as_ptr());
        let size = 4 + large.len() + small.len() + 4 + large.len();
        assert_eq!(&pieces[0][..4], (size as i32).to_be_bytes());
    }

    #[test]
    fn tagged_fields_of_any_size_carry_it_in_front() {
        for size in [0, 1, 126, 127, 128, 20_000] {
            let mut writer = Writer::new();
            writer.set_flexible(true);
            let mut tags = writer.tags();
            writer.begin_tag(&mut tags, 3);
            writer.bytes(&Bytes::from(vec![1; size])).expect("it fits");
            writer.end_tag(&mut tags).expect("it fits");
            let mut reader = crate::reader::Reader::new(writer.into_bytes());
            reader.set_flexible(true);
            let mut tags = reader.tags().expect("a count");
            assert_eq!(tags.next(&mut reader), Ok(Some(3)));
            assert_eq!(reader.bytes().map(|bytes| bytes.len()), Ok(size));
            assert_eq!(tags.next(&mut reader), Ok(None));
            assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn strings_are_limited_as_in_kafka() {
        let long = "x".repeat(32_768);
        for flexible in [false, true] {
            let mut writer = Writer::new();
            writer.set_flexible(flexible);
            assert_eq!(writer.string(&long[1..]), Ok(()));
            let error = EncodeError::TooLong { what: "string", length: 32_768 };
            assert_eq!(writer.string(&long), Err(error));
        }
    }
}
