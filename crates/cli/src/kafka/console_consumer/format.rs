//! How a record is shown: as Kafka's default formatter does.

use super::super::Failure;
use super::super::connect::properties_file;
use super::super::console_producer::pairs;
use super::super::options::Options;
use afluente_client::consumer::ConsumerRecord;
use afluente_protocol::records::TimestampType;
use std::collections::BTreeMap;

/// What of a record is shown, and how.
#[derive(Debug, Clone)]
pub(super) struct Formatter {
    timestamp: bool,
    partition: bool,
    offset: bool,
    epoch: bool,
    headers: bool,
    key: bool,
    value: bool,
    key_separator: Vec<u8>,
    line_separator: Vec<u8>,
    headers_separator: Vec<u8>,
    null_literal: Vec<u8>,
    key_form: Form,
    value_form: Form,
    headers_form: Form,
}

/// What bytes mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As they are.
    Text,
    Short,
    Integer,
    Long,
    Float,
    Double,
    Uuid,
}

impl Form {
    fn of_class(class: &str) -> Result<Self, Failure> {
        let name = class.rsplit('.').next().unwrap_or(class);
        Ok(match name {
            "StringDeserializer" | "ByteArrayDeserializer" | "BytesDeserializer" => Self::Text,
            "ShortDeserializer" => Self::Short,
            "IntegerDeserializer" => Self::Integer,
            "LongDeserializer" => Self::Long,
            "FloatDeserializer" => Self::Float,
            "DoubleDeserializer" => Self::Double,
            "UUIDDeserializer" => Self::Uuid,
            _ => {
                return Err(Failure::Usage(format!(
                    "deserializer {class} is not there; String, Short, Integer, Long, Float, \
                     Double, UUID and ByteArray are"
                )));
            }
        })
    }

    fn write(self, bytes: &[u8], line: &mut Vec<u8>) -> Result<(), String> {
        fn fixed<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
            bytes.try_into().map_err(|_| {
                format!("{N} bytes are needed for a number, and there are {}", bytes.len())
            })
        }
        let text = match self {
            Self::Text => {
                line.extend_from_slice(bytes);
                return Ok(());
            }
            Self::Short => i16::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Integer => i32::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Long => i64::from_be_bytes(fixed(bytes)?).to_string(),
            Self::Float => format!("{:?}", f32::from_be_bytes(fixed(bytes)?)),
            Self::Double => format!("{:?}", f64::from_be_bytes(fixed(bytes)?)),
            Self::Uuid => String::from_utf8_lossy(bytes).into_owned(),
        };
        line.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

impl Formatter {
    pub(super) fn new(options: &Options) -> Result<Self, Failure> {
        match options.get("formatter").map(|class| class.rsplit('.').next().unwrap_or(class)) {
            None | Some("DefaultMessageFormatter" | "LoggingMessageFormatter") => {}
            Some("NoOpMessageFormatter") => {
                let mut nothing = Self::from_properties(Vec::new())?;
                nothing.value = false;
                return Ok(nothing);
            }
            Some(other) => {
                let told =
                    format!("--formatter {other} is not there; leave it out for the default");
                return Err(Failure::Usage(told));
            }
        }
        let mut properties = match options.get("formatter-config") {
            Some(path) => properties_file("formatter-config", path)?,
            None => Vec::new(),
        };
        properties.extend(pairs(options, &["property", "formatter-property"])?);
        for option in ["key-deserializer", "value-deserializer"] {
            if let Some(class) = options.get(option) {
                properties.push((option.replace('-', "."), class.to_owned()));
            }
        }
        Self::from_properties(properties)
    }

    fn from_properties(properties: Vec<(String, String)>) -> Result<Self, Failure> {
        let mut given: BTreeMap<String, String> = properties.into_iter().collect();
        let mut is = |name: &str, default: bool| {
            given.remove(name).map_or(default, |text| text.trim().eq_ignore_ascii_case("true"))
        };
        let (timestamp, partition) = (is("print.timestamp", false), is("print.partition", false));
        let (offset, epoch) = (is("print.offset", false), is("print.epoch", false));
        let (headers, key) = (is("print.headers", false), is("print.key", false));
        let value = is("print.value", true);
        let mut form = |name: &str| match given.remove(name) {
            Some(class) => Form::of_class(&class),
            None => Ok(Form::Text),
        };
        let key_form = form("key.deserializer")?;
        let value_form = form("value.deserializer")?;
        let headers_form = form("headers.deserializer")?;
        let mut text = |name: &str, default: &str| {
            given.remove(name).unwrap_or_else(|| default.to_owned()).into_bytes()
        };
        let formatter = Self {
            timestamp,
            partition,
            offset,
            epoch,
            headers,
            key,
            value,
            key_separator: text("key.separator", "\t"),
            line_separator: text("line.separator", "\n"),
            headers_separator: text("headers.separator", ","),
            null_literal: text("null.literal", "null"),
            key_form,
            value_form,
            headers_form,
        };
        for name in given.keys() {
            tracing::warn!("--formatter-property {name} is not known, and has no effect");
        }
        Ok(formatter)
    }

    /// Adds a record to `line`, with the end of the line.
    pub(super) fn write(
        &self,
        record: &ConsumerRecord<'_>,
        line: &mut Vec<u8>,
    ) -> Result<(), String> {
        let Self { partition, offset, epoch, headers, key, value, .. } = *self;
        if self.timestamp {
            let kind = match record.timestamp_type {
                TimestampType::CreateTime => "CreateTime",
                TimestampType::LogAppendTime => "LogAppendTime",
            };
            let text = if record.timestamp < 0 {
                "NO_TIMESTAMP".to_owned()
            } else {
                format!("{kind}:{}", record.timestamp)
            };
            line.extend_from_slice(text.as_bytes());
            self.separate(partition || offset || epoch || headers || key || value, line);
        }
        if partition {
            line.extend_from_slice(format!("Partition:{}", record.partition).as_bytes());
            self.separate(offset || epoch || headers || key || value, line);
        }
        if offset {
            line.extend_from_slice(format!("Offset:{}", record.offset.0).as_bytes());
            self.separate(epoch || headers || key || value, line);
        }
        if epoch {
            line.extend_from_slice(format!("Epoch:{}", record.leader_epoch).as_bytes());
            self.separate(headers || key || value, line);
        }
        if headers {
            let mut is_first = true;
            for header in record.headers {
                if !is_first {
                    line.extend_from_slice(&self.headers_separator);
                }
                is_first = false;
                line.extend_from_slice(header.key);
                line.push(b':');
                self.part(header.value, self.headers_form, line)?;
            }
            if is_first {
                line.extend_from_slice(b"NO_HEADERS");
            }
            self.separate(key || value, line);
        }
        if key {
            self.part(record.key, self.key_form, line)?;
            self.separate(value, line);
        }
        if value {
            self.part(record.value, self.value_form, line)?;
            self.separate(false, line);
        }
        Ok(())
    }

    fn part(&self, bytes: Option<&[u8]>, form: Form, line: &mut Vec<u8>) -> Result<(), String> {
        match bytes {
            Some(bytes) => form.write(bytes, line),
            None => {
                line.extend_from_slice(&self.null_literal);
                Ok(())
            }
        }
    }

    fn separate(&self, has_more: bool, line: &mut Vec<u8>) {
        let separator = if has_more { &self.key_separator } else { &self.line_separator };
        line.extend_from_slice(separator);
    }
}
