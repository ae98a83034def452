//! The values without parts, as elements of arrays.

use crate::message::{DecodeError, Element, EncodeError};
use crate::reader::Reader;
use crate::uuid::Uuid;
use crate::writer::Writer;
use bytes::Bytes;

/// Declares a type of fixed size as an element.
macro_rules! fixed_size {
    ($($kind:ty, $name:literal, $method:ident, $size:literal;)*) => {$(
        impl Element for $kind {
            const NAME: &'static str = $name;
            const MIN_SIZE: usize = $size;

            fn read(reader: &mut Reader, _version: i16) -> Result<Self, DecodeError> {
                reader.$method()
            }

            fn write(&self, writer: &mut Writer, _version: i16) -> Result<(), EncodeError> {
                writer.$method(*self);
                Ok(())
            }
        }
    )*};
}

fixed_size! {
    bool, "bool", bool, 1;
    i8, "int8", i8, 1;
    i16, "int16", i16, 2;
    u16, "uint16", u16, 2;
    i32, "int32", i32, 4;
    u32, "uint32", u32, 4;
    i64, "int64", i64, 8;
    f64, "float64", f64, 8;
    Uuid, "uuid", uuid, 16;
}

impl Element for String {
    const NAME: &'static str = "string";
    const MIN_SIZE: usize = 1;

    fn read(reader: &mut Reader, _version: i16) -> Result<Self, DecodeError> {
        reader.string()
    }

    fn write(&self, writer: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        writer.string(self)
    }
}

impl Element for Bytes {
    const NAME: &'static str = "bytes";
    const MIN_SIZE: usize = 1;

    fn read(reader: &mut Reader, _version: i16) -> Result<Self, DecodeError> {
        reader.bytes()
    }

    fn write(&self, writer: &mut Writer, _version: i16) -> Result<(), EncodeError> {
        writer.bytes(self)
    }
}
