//! The types of log configurations: from text and back.

use super::key::{Allowed, Kind};
use afluente_protocol::records::{CodecId, TimestampType};

/// A type that a configuration can have.
pub(super) trait Field: Sized {
    const KIND: Kind;
    /// The value of `text`, or what would have been allowed.
    fn parse(text: &str, allowed: Allowed) -> Result<Self, String>;
    /// The value as text, which [`Field::parse`] takes.
    fn show(&self) -> String;
}

impl Field for bool {
    const KIND: Kind = Kind::Boolean;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        // As Kafka does, in capitals or not.
        match text.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err("must be true or false".to_owned()),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for i32 {
    const KIND: Kind = Kind::Int;

    fn parse(text: &str, allowed: Allowed) -> Result<Self, String> {
        let number: Self = text.parse().map_err(|_| number_expected("32-bit", allowed))?;
        check_number(i64::from(number), "32-bit", allowed)?;
        Ok(number)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for i64 {
    const KIND: Kind = Kind::Long;

    fn parse(text: &str, allowed: Allowed) -> Result<Self, String> {
        let number: Self = text.parse().map_err(|_| number_expected("64-bit", allowed))?;
        check_number(number, "64-bit", allowed)?;
        Ok(number)
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for f64 {
    const KIND: Kind = Kind::Double;

    fn parse(text: &str, allowed: Allowed) -> Result<Self, String> {
        let (least, most) = match allowed {
            Allowed::Fraction(least, most) => (least, most),
            _ => (Self::MIN, Self::MAX),
        };
        match text.parse::<Self>() {
            Ok(number) if (least..=most).contains(&number) => Ok(number),
            _ => Err(format!("must be a number from {least} to {most}")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Field for TimestampType {
    const KIND: Kind = Kind::String;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        one_of(text, &[("CreateTime", Self::CreateTime), ("LogAppendTime", Self::LogAppendTime)])
    }

    fn show(&self) -> String {
        match self {
            Self::CreateTime => "CreateTime".to_owned(),
            Self::LogAppendTime => "LogAppendTime".to_owned(),
        }
    }
}

/// `cleanup.policy`: what happens to old records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanupPolicy {
    /// The last record of each key stays.
    pub compact: bool,
    /// Segments go by age and size.
    pub delete: bool,
}

impl CleanupPolicy {
    /// `delete` alone, the default.
    pub const DELETE: Self = Self { compact: false, delete: true };
}

impl Field for CleanupPolicy {
    const KIND: Kind = Kind::List;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        let mut policy = Self { compact: false, delete: false };
        for word in words(text) {
            let part = match word {
                "compact" => &mut policy.compact,
                "delete" => &mut policy.delete,
                _ => return Err("must be a list of compact and delete, or empty".to_owned()),
            };
            if std::mem::replace(part, true) {
                return Err("must not name a policy twice".to_owned());
            }
        }
        Ok(policy)
    }

    fn show(&self) -> String {
        let parts = [(self.compact, "compact"), (self.delete, "delete")];
        let words: Vec<_> = parts.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
        words.join(",")
    }
}

/// `compression.type`: the codec that records are kept in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompressionType {
    /// As they came.
    Producer,
    /// This one, which for `uncompressed` is none.
    Always(CodecId),
}

impl CompressionType {
    const NAMES: &'static [(&'static str, Self)] = &[
        ("uncompressed", Self::Always(CodecId::None)),
        ("zstd", Self::Always(CodecId::Zstd)),
        ("lz4", Self::Always(CodecId::Lz4)),
        ("snappy", Self::Always(CodecId::Snappy)),
        ("gzip", Self::Always(CodecId::Gzip)),
        ("producer", Self::Producer),
    ];

    /// The codec that a batch is kept in which came in `source`.
    #[must_use]
    pub fn target(self, source: CodecId) -> CodecId {
        match self {
            Self::Producer => source,
            Self::Always(codec) => codec,
        }
    }
}

impl Field for CompressionType {
    const KIND: Kind = Kind::String;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        one_of(text, Self::NAMES)
    }

    fn show(&self) -> String {
        name_of(self, Self::NAMES)
    }
}

/// `durability`: when an append counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it is on disk.
    Sync,
    /// When the operating system has it.
    Replicated,
}

impl Durability {
    const NAMES: &'static [(&'static str, Self)] =
        &[("sync", Self::Sync), ("replicated", Self::Replicated)];
}

impl Field for Durability {
    const KIND: Kind = Kind::String;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        one_of(text, Self::NAMES)
    }

    fn show(&self) -> String {
        name_of(self, Self::NAMES)
    }
}

/// Replicas whose replication is throttled, as pairs of partition and broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// All replicas of the topic.
    All,
    /// These.
    Some(Vec<(i32, i32)>),
}

impl ThrottledReplicas {
    /// No replica.
    pub const NONE: Self = Self::Some(Vec::new());

    /// Whether the replica of `partition` on `broker` is throttled.
    #[must_use]
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            Self::All => true,
            Self::Some(pairs) => pairs.contains(&(partition, broker)),
        }
    }
}

impl Field for ThrottledReplicas {
    const KIND: Kind = Kind::List;

    fn parse(text: &str, _: Allowed) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        let pair = |word: &str| {
            let (partition, broker) = word.split_once(':')?;
            Some((digits(partition)?, digits(broker)?))
        };
        let pairs: Option<Vec<_>> = words(text).map(pair).collect();
        pairs.map(Self::Some).ok_or_else(|| {
            "must be * or a list of [partitionId]:[brokerId],[partitionId]:[brokerId],…".to_owned()
        })
    }

    fn show(&self) -> String {
        match self {
            Self::All => "*".to_owned(),
            Self::Some(pairs) => {
                let words: Vec<_> = pairs
                    .iter()
                    .map(|(partition, broker)| format!("{partition}:{broker}"))
                    .collect();
                words.join(",")
            }
        }
    }
}

/// A number that is written with digits alone.
fn digits(text: &str) -> Option<i32> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The words of a list; blanks around them do not count, and neither do empty ones.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn one_of<T: Copy>(text: &str, names: &[(&str, T)]) -> Result<T, String> {
    if let Some((_, value)) = names.iter().find(|(name, _)| *name == text) {
        return Ok(*value);
    }
    let allowed: Vec<_> = names.iter().map(|(name, _)| *name).collect();
    Err(format!("must be one of {}", allowed.join(", ")))
}

fn name_of<T: PartialEq>(value: &T, names: &[(&str, T)]) -> String {
    let row = names.iter().find(|(_, named)| named == value);
    row.expect("every value has a name").0.to_owned()
}

fn check_number(number: i64, size: &str, allowed: Allowed) -> Result<(), String> {
    let is_allowed = match allowed {
        Allowed::Anything | Allowed::Fraction(..) => true,
        Allowed::AtLeast(least) => number >= least,
        Allowed::Between(least, most) => (least..=most).contains(&number),
        Allowed::GzipLevel => number == -1 || (1..=9).contains(&number),
    };
    if is_allowed { Ok(()) } else { Err(number_expected(size, allowed)) }
}

fn number_expected(size: &str, allowed: Allowed) -> String {
    let range = match allowed {
        Allowed::Anything | Allowed::Fraction(..) => String::new(),
        Allowed::AtLeast(least) => format!(" of at least {least}"),
        Allowed::Between(least, most) => format!(" from {least} to {most}"),
        Allowed::GzipLevel => " from 1 to 9, or -1".to_owned(),
    };
    format!("must be a whole {size} number{range}")
}
