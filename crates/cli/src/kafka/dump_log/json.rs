//! Bytes of a message as JSON, by the schema of the message, as Kafka's converters write it.

use afluente_protocol::uuid::Uuid;
use afluente_protocol_schema::model::{Field, Message, Plain, Struct, Type};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

/// A message in one version.
pub(super) struct Reading<'a> {
    message: &'a Message,
    structs: Vec<Struct>,
    version: i16,
    is_flexible: bool,
    /// Given the name of a field of bytes and its value, JSON to show in its place.
    replace: Option<Replace<'a>>,
}

/// See [`Reading::replacing`].
type Replace<'a> = &'a dyn Fn(&str, &[u8]) -> Option<String>;

impl<'a> Reading<'a> {
    /// `None` if the message has no such version.
    pub(super) fn new(message: &'a Message, version: i16) -> Option<Self> {
        message.versions.contains(version).then(|| Self {
            message,
            structs: message.structs().into_iter().map(|(found, _)| found).collect(),
            version,
            is_flexible: message.flexible.contains(version),
            replace: None,
        })
    }

    /// Asks `replace` about each field of bytes.
    pub(super) fn replacing(self, replace: Replace<'a>) -> Self {
        Self { replace: Some(replace), ..self }
    }

    /// The JSON of the message at the beginning of `bytes`, and what is behind it.
    pub(super) fn read<'b>(&self, bytes: &'b [u8]) -> Result<(String, &'b [u8]), String> {
        let mut cursor = Cursor(bytes);
        let json = self.fields(&self.message.fields, &mut cursor)?;
        Ok((json, cursor.0))
    }

    fn fields(&self, fields: &[Field], cursor: &mut Cursor<'_>) -> Result<String, String> {
        let mut values: Vec<Option<String>> = Vec::with_capacity(fields.len());
        for field in fields {
            let is_there = field.versions.contains(self.version) && !field.is_tagged(self.version);
            values.push(if is_there { Some(self.field(field, cursor)?) } else { None });
        }
        if self.is_flexible {
            for _ in 0..cursor.uvarint()? {
                let (tag, size) = (cursor.uvarint()?, cursor.uvarint()?);
                let mut tagged = Cursor(cursor.take(size as usize)?);
                let field = fields.iter().position(|field| {
                    field.tag.is_some_and(|(number, versions)| {
                        number == tag && versions.contains(self.version)
                    })
                });
                if let Some(at) = field {
                    values[at] = Some(self.field(&fields[at], &mut tagged)?);
                }
            }
        }
        let mut json = String::from("{");
        for (field, value) in fields.iter().zip(values) {
            let Some(value) = value else { continue };
            if json.len() > 1 {
                json.push(',');
            }
            let (first, rest) = field.name.split_at(1);
            // Written to a string, which does not fail.
            let _ = write!(json, "\"{}{rest}\":{value}", first.to_ascii_lowercase());
        }
        json.push('}');
        Ok(json)
    }

    fn field(&self, field: &Field, cursor: &mut Cursor<'_>) -> Result<String, String> {
        let is_compact = self.is_flexible && !field.inflexible;
        if matches!(field.kind, Type::Struct(_))
            && field.nullable.contains(self.version)
            && cursor.take(1)?[0] >= 0x80
        {
            return Ok("null".to_owned());
        }
        self.value(&field.name, &field.kind, is_compact, cursor)
    }

    fn value(
        &self,
        name: &str,
        kind: &Type,
        is_compact: bool,
        cursor: &mut Cursor<'_>,
    ) -> Result<String, String> {
        match kind {
            Type::Plain(plain) => self.plain(name, *plain, is_compact, cursor),
            Type::Struct(name) => {
                let found = self.structs.iter().find(|found| found.name == *name);
                let found = found.ok_or_else(|| format!("the schema has no struct {name}"))?;
                self.fields(&found.fields, cursor)
            }
            Type::Array(element) => {
                let Some(count) = cursor.length(is_compact, 4)? else {
                    return Ok("null".to_owned());
                };
                let mut json = String::from("[");
                for at in 0..count {
                    if at > 0 {
                        json.push(',');
                    }
                    json.push_str(&self.value(name, element, is_compact, cursor)?);
                }
                json.push(']');
                Ok(json)
            }
        }
    }

    fn plain(
        &self,
        name: &str,
        plain: Plain,
        is_compact: bool,
        cursor: &mut Cursor<'_>,
    ) -> Result<String, String> {
        Ok(match plain {
            Plain::Bool => (cursor.take(1)?[0] != 0).to_string(),
            Plain::Int8 => i8::from_be_bytes(cursor.array()?).to_string(),
            Plain::Int16 => i16::from_be_bytes(cursor.array()?).to_string(),
            Plain::Uint16 => u16::from_be_bytes(cursor.array()?).to_string(),
            Plain::Int32 => i32::from_be_bytes(cursor.array()?).to_string(),
            Plain::Uint32 => u32::from_be_bytes(cursor.array()?).to_string(),
            Plain::Int64 => i64::from_be_bytes(cursor.array()?).to_string(),
            Plain::Float64 => format!("{:?}", f64::from_be_bytes(cursor.array()?)),
            Plain::Uuid => format!("\"{}\"", Uuid(cursor.array()?)),
            Plain::String => match cursor.length(is_compact, 2)? {
                None => "null".to_owned(),
                Some(length) => text(&String::from_utf8_lossy(cursor.take(length)?)),
            },
            Plain::Bytes | Plain::Records => match cursor.length(is_compact, 4)? {
                None => "null".to_owned(),
                Some(length) => {
                    let bytes = cursor.take(length)?;
                    let replaced = self.replace.and_then(|replace| replace(name, bytes));
                    replaced.unwrap_or_else(|| text(&STANDARD.encode(bytes)))
                }
            },
        })
    }
}

/// A text in quotes.
pub(super) fn text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// What is left to read.
pub(super) struct Cursor<'a>(pub(super) &'a [u8]);

impl<'a> Cursor<'a> {
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or_else(|| {
            format!("{count} bytes were to be read, and only {} are there", self.0.len())
        })?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    pub(super) fn uvarint(&mut self) -> Result<u32, String> {
        let mut number: u32 = 0;
        for shift in (0..35).step_by(7) {
            let byte = self.take(1)?[0];
            number |= u32::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number goes on for more than 5 bytes".to_owned())
    }

    /// A length, of so many bytes where it is not compact; `None` is null.
    fn length(&mut self, is_compact: bool, width: usize) -> Result<Option<usize>, String> {
        let length = match (is_compact, width) {
            (true, _) => i64::from(self.uvarint()?) - 1,
            (false, 2) => i64::from(i16::from_be_bytes(self.array()?)),
            (false, _) => i64::from(i32::from_be_bytes(self.array()?)),
        };
        // An element has a byte at least, so that a length beyond the rest is none.
        match usize::try_from(length) {
            Ok(length) if length <= self.0.len() => Ok(Some(length)),
            Ok(length) => Err(format!("{length} elements cannot be in {} bytes", self.0.len())),
            Err(_) => Ok(None),
        }
    }
}
