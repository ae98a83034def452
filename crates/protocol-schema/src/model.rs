//! What a schema file says, as values.
//!
//! All versions are resolved: those of a field lie within those of the struct that holds it, and
//! those of a struct within the message's.

use crate::versions::Versions;

/// One schema file.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// Kafka's name without the suffix: `Fetch`, `ConsumerGroupMetadata`, `Topic`.
    pub name: String,
    /// What it defines.
    pub kind: Kind,
}

/// What a schema file can define.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A request and its response.
    Api(Api),
    /// The key and the value of a record of a coordinator's topic, under one type number.
    Coordinator {
        /// The type: the version that opens a key.
        number: i16,
        /// The key; its own fields have one version.
        key: Message,
        /// The value.
        value: Message,
    },
    /// A record of the metadata log.
    Metadata {
        /// The type number.
        number: i16,
        /// The record.
        record: Message,
    },
    /// A message without a number: headers, control records, data inside other messages.
    Data(Message),
}

/// A request and its response.
#[derive(Clone, Debug, PartialEq)]
pub struct Api {
    /// The API key.
    pub key: i16,
    /// Whether brokers listen for it.
    pub on_broker: bool,
    /// Whether controllers listen for it.
    pub on_controller: bool,
    /// The versions offered to clients; none where the API is known but not offered.
    pub advertise: Versions,
    /// The request.
    pub request: Message,
    /// The response.
    pub response: Message,
}

/// One message in all its versions.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The full name: `FetchRequest`.
    pub name: String,
    /// The versions that exist.
    pub versions: Versions,
    /// The versions with compact lengths and tagged fields.
    pub flexible: Versions,
    /// The fields.
    pub fields: Vec<Field>,
    /// Structs that several fields share.
    pub shared: Vec<Struct>,
}

/// A named group of fields.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    /// Kafka's name.
    pub name: String,
    /// The versions it occurs in.
    pub versions: Versions,
    /// Its fields.
    pub fields: Vec<Field>,
}

/// One field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Kafka's name, in camel case with a capital first.
    pub name: String,
    /// The type.
    pub kind: Type,
    /// The versions that have the field.
    pub versions: Versions,
    /// The versions in which it may be null.
    pub nullable: Versions,
    /// The versions in which it is tagged, and the tag.
    pub tag: Option<(u32, Versions)>,
    /// The value in versions without the field, and of a fresh message.
    pub default: Default,
    /// Whether a value is dropped in silence where the version has no such field.
    pub ignorable: bool,
    /// Whether the field keeps its old encoding in flexible versions.
    pub inflexible: bool,
    /// For a struct defined at this field, its fields.
    pub fields: Option<Vec<Field>>,
}

/// The type of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A type without parts.
    Plain(Plain),
    /// A struct, by name.
    Struct(String),
    /// An array of either.
    Array(Box<Type>),
}

/// A type without parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plain {
    /// One byte, 0 or 1.
    Bool,
    /// Signed, one byte.
    Int8,
    /// Signed, two bytes.
    Int16,
    /// Unsigned, two bytes.
    Uint16,
    /// Signed, four bytes.
    Int32,
    /// Unsigned, four bytes.
    Uint32,
    /// Signed, eight bytes.
    Int64,
    /// IEEE 754, eight bytes.
    Float64,
    /// Sixteen bytes.
    Uuid,
    /// UTF-8 text with a length.
    String,
    /// Bytes with a length.
    Bytes,
    /// Record batches with a length.
    Records,
}

/// A default value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Default {
    /// Zero, false, empty, or a struct of defaults.
    Zero,
    /// Null.
    Null,
    /// True.
    True,
    /// A number other than zero.
    Number(i64),
}

impl Plain {
    /// Every type with its name.
    pub const ALL: [(Self, &str); 12] = [
        (Self::Bool, "bool"),
        (Self::Int8, "int8"),
        (Self::Int16, "int16"),
        (Self::Uint16, "uint16"),
        (Self::Int32, "int32"),
        (Self::Uint32, "uint32"),
        (Self::Int64, "int64"),
        (Self::Float64, "float64"),
        (Self::Uuid, "uuid"),
        (Self::String, "string"),
        (Self::Bytes, "bytes"),
        (Self::Records, "records"),
    ];

    /// Kafka's name of the type.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(plain, _)| *plain == self).expect("ALL has each type").1
    }

    /// How few bytes a value can have.
    pub fn min_size(self, flexible: bool) -> usize {
        match self {
            Self::Bool | Self::Int8 => 1,
            Self::Int16 | Self::Uint16 => 2,
            Self::Int32 | Self::Uint32 => 4,
            Self::Int64 | Self::Float64 => 8,
            Self::Uuid => 16,
            Self::String | Self::Bytes | Self::Records if flexible => 1,
            Self::String => 2,
            Self::Bytes | Self::Records => 4,
        }
    }
}

impl Type {
    /// Parses Kafka's notation: `int32`, `[]string`, `[]FetchTopic`.
    pub fn parse(text: &str) -> Self {
        if let Some(element) = text.strip_prefix("[]") {
            return Self::Array(Box::new(Self::parse(element)));
        }
        match Plain::ALL.iter().find(|(_, name)| *name == text) {
            Some((plain, _)) => Self::Plain(*plain),
            None => Self::Struct(text.to_owned()),
        }
    }

    /// The struct that this is, or is an array of.
    pub fn struct_name(&self) -> Option<&str> {
        match self {
            Self::Plain(_) => None,
            Self::Struct(name) => Some(name),
            Self::Array(element) => element.struct_name(),
        }
    }
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Plain(plain) => f.write_str(plain.name()),
            Self::Struct(name) => f.write_str(name),
            Self::Array(element) => write!(f, "[]{element}"),
        }
    }
}

impl Definition {
    /// The messages of the file, in its order.
    pub fn messages(&self) -> Vec<&Message> {
        match &self.kind {
            Kind::Api(api) => vec![&api.request, &api.response],
            Kind::Coordinator { key, value, .. } => vec![key, value],
            Kind::Metadata { record, .. } => vec![record],
            Kind::Data(message) => vec![message],
        }
    }
}

impl Message {
    /// Every struct, the message itself first, each with the name of the place it was defined at.
    pub fn structs(&self) -> Vec<(Struct, String)> {
        let whole = Struct {
            name: self.name.clone(),
            versions: self.versions,
            fields: self.fields.clone(),
        };
        let mut found = vec![(whole, self.name.clone())];
        collect_inline(&self.name, &self.fields, &mut found);
        for shared in &self.shared {
            found.push((shared.clone(), self.name.clone()));
            collect_inline(&shared.name, &shared.fields, &mut found);
        }
        found
    }

    /// The struct of that name.
    pub fn find_struct(&self, name: &str) -> Option<Struct> {
        self.structs().into_iter().map(|(found, _)| found).find(|found| found.name == name)
    }

    /// How few bytes a struct of this message can have in `version`.
    pub fn min_size(&self, of: &Struct, version: i16) -> usize {
        let flexible = self.flexible.contains(version);
        let tags_size = usize::from(flexible);
        let fields_size: usize = of
            .fields
            .iter()
            .filter(|field| field.versions.contains(version) && !field.is_tagged(version))
            .map(|field| match &field.kind {
                Type::Plain(plain) => plain.min_size(flexible && !field.inflexible),
                Type::Array(_) => {
                    if flexible {
                        1
                    } else {
                        4
                    }
                }
                Type::Struct(_) if field.nullable.contains(version) => 1,
                Type::Struct(name) => {
                    self.find_struct(name).map_or(0, |inner| self.min_size(&inner, version))
                }
            })
            .sum();
        tags_size + fields_size
    }
}

fn collect_inline(owner: &str, fields: &[Field], found: &mut Vec<(Struct, String)>) {
    for field in fields {
        if let (Some(name), Some(inner)) = (field.kind.struct_name(), &field.fields) {
            let defined =
                Struct { name: name.to_owned(), versions: field.versions, fields: inner.clone() };
            found.push((defined, format!("{owner}.{}", field.name)));
            collect_inline(name, inner, found);
        }
    }
}

impl Field {
    /// Whether the field is tagged in `version`.
    pub fn is_tagged(&self, version: i16) -> bool {
        self.tag.is_some_and(|(_, versions)| versions.contains(version))
    }
}
