//! Keys and values of records as text.

use super::super::Failure;
use super::super::options::Options;
use super::json::{Cursor, Reading, text};
use super::schemas::{self, Topic};
use afluente_protocol::records::{ControlType, RecordView};
use afluente_protocol_schema::model::{Kind, Message};

/// What records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decoder {
    /// Texts.
    Text,
    /// What Kafka's decoders make of keys and values.
    Classes(Class, Class),
    /// Of the cluster's metadata.
    Metadata,
    /// Of a coordinator's topic.
    Coordinator(Topic),
}

/// What bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Text,
    Int,
    Long,
}

impl Decoder {
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        for (option, decoder) in [
            ("offsets-decoder", Self::Coordinator(Topic::ConsumerOffsets)),
            ("transaction-log-decoder", Self::Coordinator(Topic::TransactionState)),
            ("cluster-metadata-decoder", Self::Metadata),
            ("share-group-state-decoder", Self::Coordinator(Topic::ShareGroupState)),
        ] {
            if options.has(option) {
                return Ok(decoder);
            }
        }
        let (key, value) =
            (class(options, "key-decoder-class")?, class(options, "value-decoder-class")?);
        Ok(match (key, value) {
            (Class::Text, Class::Text) => Self::Text,
            classes => Self::Classes(classes.0, classes.1),
        })
    }

    /// Key and payload, as far as they are shown.
    pub(super) fn decode(self, record: &RecordView<'_>) -> (Option<String>, Option<String>) {
        let shown = |class: Class, bytes: Option<&[u8]>| bytes.map(|bytes| class.show(bytes));
        match self {
            Self::Text => (shown(Class::Text, record.key), shown(Class::Text, record.value)),
            Self::Classes(key, value) => (shown(key, record.key), shown(value, record.value)),
            Self::Metadata => {
                let value = record.value.unwrap_or_default();
                let json = metadata(value).unwrap_or_else(|problem| {
                    format!("Error at {}, skipping. {problem}", record.offset)
                });
                (None, Some(json))
            }
            Self::Coordinator(topic) => coordinator(topic, record),
        }
    }
}

fn class(options: &Options, option: &str) -> Result<Class, Failure> {
    let name = options.get(option).unwrap_or_default();
    match name.rsplit('.').next().unwrap_or(name) {
        "" | "StringDecoder" | "DefaultDecoder" => Ok(Class::Text),
        "IntegerDecoder" => Ok(Class::Int),
        "LongDecoder" => Ok(Class::Long),
        other => Err(Failure::Usage(format!(
            "--{option} {other} is a class of Java, of which this tool has none; StringDecoder, \
             IntegerDecoder and LongDecoder are there"
        ))),
    }
}

impl Class {
    fn show(self, bytes: &[u8]) -> String {
        let number = match self {
            Self::Text => None,
            Self::Int => bytes.first_chunk().map(|four| i64::from(i32::from_be_bytes(*four))),
            Self::Long => bytes.first_chunk().map(|eight| i64::from_be_bytes(*eight)),
        };
        match number {
            Some(number) => number.to_string(),
            None => String::from_utf8_lossy(bytes).into_owned(),
        }
    }
}

/// A record of the metadata: a frame version, type, version, message.
fn metadata(bytes: &[u8]) -> Result<String, String> {
    let mut cursor = Cursor(bytes);
    let frame = cursor.uvarint()?;
    if frame != 1 {
        return Err(format!("Could not deserialize metadata record with frame version {frame}."));
    }
    let (number, version) = (cursor.uvarint()?, cursor.uvarint()?);
    let found = schemas::metadata().iter().find_map(|definition| match &definition.kind {
        Kind::Metadata { number: known, record } if u32::try_from(*known) == Ok(number) => {
            Some((definition.name.as_str(), record))
        }
        _ => None,
    });
    let (name, record) = found.ok_or_else(|| format!("Unknown metadata id {number}"))?;
    let data = data(record, version as i16, cursor.0, None)?;
    Ok(format!("{{\"type\":\"{}_RECORD\",\"version\":{version},\"data\":{data}}}", screaming(name)))
}

/// `PARTITION_CHANGE` for `PartitionChange`.
fn screaming(name: &str) -> String {
    let mut text = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !text.is_empty() {
            text.push('_');
        }
        text.push(c.to_ascii_uppercase());
    }
    text
}

type Replace<'a> = &'a dyn Fn(&str, &[u8]) -> Option<String>;

fn data(
    message: &Message,
    version: i16,
    bytes: &[u8],
    replace: Option<Replace<'_>>,
) -> Result<String, String> {
    let reading = Reading::new(message, version)
        .ok_or_else(|| format!("Can't read version {version} of {}", message.name))?;
    let reading = match replace {
        Some(replace) => reading.replacing(replace),
        None => reading,
    };
    Ok(reading.read(bytes)?.0)
}

/// A record of a coordinator: the key begins with its type, the value with its version.
fn coordinator(topic: Topic, record: &RecordView<'_>) -> (Option<String>, Option<String>) {
    let offset = record.offset;
    let problem =
        |told: String| (Some(format!("Error at offset {offset}, skipping. {told}")), None);
    let Some((number, key_bytes)) = record.key.and_then(|key| key.split_first_chunk()) else {
        return problem("message had a missing key".to_owned());
    };
    let number = i16::from_be_bytes(*number);
    let found = topic.definitions().iter().find_map(|definition| match &definition.kind {
        Kind::Coordinator { number: known, key, value } if *known == number => Some((key, value)),
        _ => None,
    });
    let Some((key, value)) = found else {
        let told = format!("Unknown record type {number} at offset {offset}, skipping.");
        return (Some(told), None);
    };
    let key = match data(key, 0, key_bytes, None) {
        Ok(data) => format!("{{\"type\":\"{number}\",\"data\":{data}}}"),
        Err(told) => return problem(told),
    };
    let Some(bytes) = record.value else { return (Some(key), Some("<DELETE>".to_owned())) };
    let Some((version, bytes)) = bytes.split_first_chunk() else {
        return problem("its value has no version".to_owned());
    };
    let version = i16::from_be_bytes(*version);
    let replace: Option<Replace<'_>> = (value.name == "GroupMetadataValue"
        && is_of_consumers(value, version, bytes))
    .then_some(&embedded);
    match data(value, version, bytes, replace) {
        Ok(data) => (Some(key), Some(format!("{{\"version\":\"{version}\",\"data\":{data}}}"))),
        Err(told) => problem(told),
    }
}

/// Whether a group is of consumers: its first field says so.
fn is_of_consumers(value: &Message, version: i16, bytes: &[u8]) -> bool {
    let mut cursor = Cursor(bytes);
    let length = if value.flexible.contains(version) {
        cursor.uvarint().map(|length| length as usize).unwrap_or(0).saturating_sub(1)
    } else {
        cursor.array().map_or(0, |two| usize::from(u16::from_be_bytes(two)))
    };
    cursor.take(length).is_ok_and(|name| name == b"consumer")
}

/// What consumers put into the bytes of a group's members.
fn embedded(field: &str, bytes: &[u8]) -> Option<String> {
    let message = match field {
        "Subscription" => schemas::subscription(),
        "Assignment" => schemas::assignment(),
        _ => return None,
    };
    let (version, bytes) = bytes.split_first_chunk()?;
    data(message, i16::from_be_bytes(*version), bytes, None).ok()
}

/// What a control record says.
pub(super) fn control(record: &RecordView<'_>) -> String {
    let key = record.key.unwrap_or_default();
    let Ok(kind) = ControlType::parse(key) else {
        return "controlType: UNKNOWN(-1)".to_owned();
    };
    let value = record.value.unwrap_or_default();
    let (name, message) = match kind {
        ControlType::Abort | ControlType::Commit => {
            let epoch = value.get(2..).and_then(|rest| rest.first_chunk());
            let epoch = epoch.map_or(-1, |four| i32::from_be_bytes(*four));
            let outcome = if kind == ControlType::Commit { "COMMIT" } else { "ABORT" };
            return format!("endTxnMarker: {outcome} coordinatorEpoch: {epoch}");
        }
        ControlType::LeaderChange => ("LeaderChange:", schemas::leader_change()),
        ControlType::SnapshotHeader => ("SnapshotHeader", schemas::snapshot_header()),
        ControlType::SnapshotFooter => ("SnapshotFooter", schemas::snapshot_footer()),
        ControlType::KraftVersion => ("KRaftVersion", schemas::kraft_version()),
        ControlType::KraftVoters => ("KRaftVoters", schemas::voters()),
        ControlType::Unknown(number) => return format!("controlType: UNKNOWN({number})"),
    };
    // These messages say their version in their first field.
    let version = value.first_chunk().map_or(0, |two| i16::from_be_bytes(*two));
    match data(message, version, value, None) {
        Ok(json) => format!("{name} {json}"),
        Err(problem) => format!("{name} {}", text(&problem)),
    }
}
