//! What every message can do, and why doing it fails.
//!
//! The generated code under [`crate::messages`] implements these traits; [`Reader`] and [`Writer`]
//! know the encodings.

use crate::api_key::ApiKey;
use crate::error_code::ErrorCode;
use crate::reader::Reader;
use crate::writer::Writer;
use bytes::Bytes;
use std::fmt;
use std::ops::RangeInclusive;

/// A whole message of Kafka's, in all its versions.
pub trait Message: Element + Default {
    /// The versions that exist.
    const VERSIONS: RangeInclusive<i16>;
    /// The first version with compact lengths and tagged fields, if there is one.
    const FLEXIBLE_FROM: Option<i16>;

    /// Whether `version` has compact lengths and tagged fields.
    fn is_flexible(version: i16) -> bool {
        Self::FLEXIBLE_FROM.is_some_and(|first| version >= first)
    }

    /// Reads one message; bytes behind it stay in the reader.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !Self::VERSIONS.contains(&version) {
            let problem = DecodeProblem::UnsupportedVersion { version, supported: Self::VERSIONS };
            return Err(reader.error(problem).within(Self::NAME, None));
        }
        reader.set_flexible(Self::is_flexible(version));
        Self::read(reader, version).map_err(|error| error.within(Self::NAME, None))
    }

    /// Writes the message behind what was written before.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !Self::VERSIONS.contains(&version) {
            return Err(EncodeError::UnsupportedVersion { message: Self::NAME, version });
        }
        writer.set_flexible(Self::is_flexible(version));
        self.write(writer, version)
    }

    /// The message that `bytes` hold, such as the value of a record or the body of a request.
    /// Bytes behind it are passed over, as Kafka does.
    fn from_bytes(bytes: Bytes, version: i16) -> Result<Self, DecodeError> {
        Self::decode(&mut Reader::new(bytes), version)
    }

    /// The message as bytes of its own.
    fn to_bytes(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        self.encode(&mut writer, version)?;
        Ok(writer.into_bytes())
    }
}

/// A request: a message with an API key and an answer.
pub trait Request: Message {
    /// The API key in the header in front of it.
    const KEY: ApiKey;
    /// What comes back, in the same version.
    type Response: Message;
}

/// What an array of Kafka's can hold: structs, and values without parts.
///
/// Reading and writing expect a reader or writer that knows whether the version is flexible:
/// [`Message::decode`] and [`Message::encode`] see to that.
pub trait Element: Sized {
    /// Kafka's name of the struct or type.
    const NAME: &'static str;
    /// No value has fewer bytes, in any version. This bounds what an array count may claim.
    const MIN_SIZE: usize;

    /// Reads one value.
    fn read(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;

    /// Writes one value.
    fn write(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// Bytes that are not the message they should be: what is wrong, where, and in which struct.
#[derive(Clone, PartialEq, Eq)]
pub struct DecodeError(Box<DecodeFailure>);

#[derive(Clone, PartialEq, Eq)]
struct DecodeFailure {
    problem: DecodeProblem,
    offset: usize,
    /// The structs around the problem, the innermost first, with their index in an array.
    path: Vec<(&'static str, Option<usize>)>,
}

/// What is wrong with the bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeProblem {
    /// The bytes end inside a value.
    #[error("{wanted} bytes are needed and {left} are left")]
    UnexpectedEnd {
        /// What the value needs.
        wanted: usize,
        /// What there is.
        left: usize,
    },
    /// An array claims more elements than the bytes behind it can hold.
    #[error("an array of {count} elements cannot be in the {left} bytes left")]
    CountTooLarge {
        /// What the array claims.
        count: usize,
        /// What there is.
        left: usize,
    },
    /// A length below -1, or one that 31 bits do not hold.
    #[error("{length} is not a length")]
    InvalidLength {
        /// The length as read.
        length: i64,
    },
    /// A string longer than Kafka allows.
    #[error("a string of {length} bytes is longer than 32767")]
    StringTooLong {
        /// The length as read.
        length: usize,
    },
    /// Null where the schema allows none.
    #[error("null where {what} is required")]
    UnexpectedNull {
        /// The type that is required.
        what: &'static str,
    },
    /// A text that is not UTF-8.
    #[error("a string is not UTF-8")]
    NotUtf8,
    /// A variable-length integer that goes on for more than its largest size.
    #[error("a variable-length integer has no end")]
    VarintTooLong,
    /// A tagged field whose value does not fill its declared size.
    #[error("tagged field {tag} ends {found} bytes from its start, and not {declared}")]
    TagSize {
        /// The tag.
        tag: u32,
        /// The size that is declared in front of the value.
        declared: usize,
        /// The size that the value has.
        found: usize,
    },
    /// A version that the message does not have.
    #[error(
        "version {version} is not supported ({} to {} are)",
        supported.start(),
        supported.end()
    )]
    UnsupportedVersion {
        /// The version asked for.
        version: i16,
        /// The versions that exist.
        supported: RangeInclusive<i16>,
    },
    /// An API key that nobody knows.
    #[error("api key {key} is not known")]
    UnknownApiKey {
        /// The key.
        key: i16,
    },
    /// A record type that nobody knows.
    #[error("record type {number} is not known")]
    UnknownRecordType {
        /// The type number.
        number: i32,
    },
    /// Bytes behind the end of a message that should fill its frame.
    #[error("{count} bytes are left over")]
    TrailingBytes {
        /// How many.
        count: usize,
    },
}

impl DecodeError {
    /// An error at `offset` bytes from the start of what is being decoded.
    pub fn new(problem: DecodeProblem, offset: usize) -> Self {
        Self(Box::new(DecodeFailure { problem, offset, path: Vec::new() }))
    }

    /// Adds the struct around the place, and its index where it is an element of an array.
    #[must_use]
    #[cold]
    pub fn within(mut self, name: &'static str, index: Option<usize>) -> Self {
        self.0.path.push((name, index));
        self
    }

    /// What is wrong.
    pub fn problem(&self) -> &DecodeProblem {
        &self.0.problem
    }

    /// Where: bytes from the start of what was being decoded.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// What to answer, where an answer is possible at all. No error here goes away by trying again.
    pub fn error_code(&self) -> ErrorCode {
        match self.0.problem {
            DecodeProblem::UnsupportedVersion { .. } | DecodeProblem::UnknownApiKey { .. } => {
                ErrorCode::UnsupportedVersion
            }
            _ => ErrorCode::InvalidRequest,
        }
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodeFailure { problem, offset, path } = &*self.0;
        write!(f, "byte {offset}")?;
        for (depth, (name, index)) in path.iter().rev().enumerate() {
            f.write_str(if depth == 0 { " of " } else { "." })?;
            match index {
                Some(index) => write!(f, "{name}[{index}]")?,
                None => f.write_str(name)?,
            }
        }
        write!(f, ": {problem}")
    }
}

impl fmt::Debug for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DecodeError({self})")
    }
}

impl std::error::Error for DecodeError {}

/// A message that cannot be written in the version asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message has no such version.
    #[error("{message} has no version {version}")]
    UnsupportedVersion {
        /// The message.
        message: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field that may not be dropped is set, and the version has no such field.
    #[error("{field} is set, and version {version} has no such field")]
    Absent {
        /// Struct and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A field is null in a version that does not allow it.
    #[error("{field} is null, and version {version} does not allow that")]
    Null {
        /// Struct and field.
        field: &'static str,
        /// The version asked for.
        version: i16,
    },
    /// A length that its prefix cannot say.
    #[error("a {what} of length {length} is too long for the wire")]
    TooLong {
        /// The type of the value.
        what: &'static str,
        /// Its length.
        length: usize,
    },
}

impl EncodeError {
    /// What to answer: a request for a version that cannot say what is asked is at fault itself.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            Self::TooLong { .. } => ErrorCode::InvalidRequest,
            _ => ErrorCode::UnsupportedVersion,
        }
    }
}

/// Fails unless a field that `version` lacks is at its default.
pub(crate) fn absent(
    at_default: bool,
    field: &'static str,
    version: i16,
) -> Result<(), EncodeError> {
    if at_default { Ok(()) } else { Err(EncodeError::Absent { field, version }) }
}

/// The value of a field that may not be null in `version`.
pub(crate) fn required<'a, T>(
    value: &'a Option<T>,
    field: &'static str,
    version: i16,
) -> Result<&'a T, EncodeError> {
    value.as_ref().ok_or(EncodeError::Null { field, version })
}
