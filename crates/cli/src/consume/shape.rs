//! How a record is written.

use crate::calendar;
use crate::terminal::{Color, Output, Painter, When};
use afluente_client::consumer::ConsumerRecord;
use afluente_console::json_text;
use anyhow::bail;
use serde_json::Value;
use std::io::IsTerminal;

/// How records are written.
#[derive(Debug)]
pub(super) enum Shape {
    /// The value, as it is.
    Plain,
    /// An object a line, with everything.
    Json,
    /// Columns of a fixed width.
    Table,
    /// For people: a line about the record, and the value, JSON with indents.
    Pretty(Painter),
    /// By a pattern.
    Pattern(Vec<Part>),
}

/// A piece of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(Vec<u8>),
    Topic,
    Partition,
    Offset,
    Time,
    Date,
    Key,
    Value,
    KeyBytes,
    ValueBytes,
    Headers,
}

impl Shape {
    pub(super) fn new(
        output: Option<Output>,
        pattern: Option<&str>,
        color: When,
    ) -> anyhow::Result<Self> {
        if let Some(pattern) = pattern {
            return Ok(Self::Pattern(parts(pattern)?));
        }
        Ok(match output {
            Some(Output::Plain) => Self::Plain,
            Some(Output::Json) => Self::Json,
            Some(Output::Table) => Self::Table,
            None if std::io::stdout().is_terminal() || color == When::Always => {
                Self::Pretty(Painter { has_colors: color.holds() })
            }
            None => Self::Plain,
        })
    }

    /// What stands above the first record.
    pub(super) fn header(&self) -> String {
        match self {
            Self::Table => {
                format!(
                    "{:<24} {:>9} {:>12}  {:<23}  {:<20}  VALUE\n",
                    "TOPIC", "PARTITION", "OFFSET", "TIME", "KEY"
                )
            }
            _ => String::new(),
        }
    }

    /// Adds a record to `line`, with the end of the line.
    pub(super) fn write(&self, record: &ConsumerRecord<'_>, line: &mut Vec<u8>) {
        match self {
            Self::Plain => line.extend_from_slice(record.value.unwrap_or_default()),
            Self::Json => line.extend_from_slice(json(record).as_bytes()),
            Self::Table => {
                let shown = |bytes: Option<&[u8]>| match bytes {
                    Some(bytes) => String::from_utf8_lossy(bytes).replace(['\n', '\r', '\t'], " "),
                    None => "null".to_owned(),
                };
                let time = date(record.timestamp);
                let text = format!(
                    "{:<24} {:>9} {:>12}  {time:<23}  {:<20}  {}",
                    record.topic,
                    record.partition,
                    record.offset.0,
                    shown(record.key),
                    shown(record.value)
                );
                line.extend_from_slice(text.as_bytes());
            }
            Self::Pretty(painter) => pretty(record, *painter, line),
            Self::Pattern(parts) => {
                for part in parts {
                    part.write(record, line);
                }
                return;
            }
        }
        line.push(b'\n');
    }
}

fn date(ms: i64) -> String {
    if ms < 0 { "-".to_owned() } else { calendar::shown(ms, ' ', '.') }
}

fn json(record: &ConsumerRecord<'_>) -> String {
    let value = |value: Value| value.to_string();
    let payload = |bytes| {
        let mut text = String::new();
        json_text::write(bytes, &mut text);
        text
    };
    let headers = record.headers.map(|header| {
        format!(
            "{{\"key\":{},\"value\":{}}}",
            value(Value::from(String::from_utf8_lossy(header.key))),
            value(as_text(header.value))
        )
    });
    format!(
        "{{\"topic\":{},\"partition\":{},\"offset\":{},\"timestamp\":{},\"headers\":[{}],\"key\":{},\
         \"value\":{}}}",
        value(Value::from(record.topic)),
        record.partition,
        record.offset.0,
        record.timestamp,
        headers.collect::<Vec<_>>().join(","),
        payload(record.key),
        payload(record.value),
    )
}

/// Headers are texts, whatever is in them.
fn as_text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| Value::from(String::from_utf8_lossy(bytes)))
}

fn pretty(record: &ConsumerRecord<'_>, painter: Painter, line: &mut Vec<u8>) {
    let key = match record.key {
        Some(key) => painter.paint(Color::Cyan, &String::from_utf8_lossy(key)),
        None => painter.paint(Color::Dim, "null"),
    };
    let place = format!("{}-{}:{}", record.topic, record.partition, record.offset.0);
    let mut head = format!(
        "{}  {}  {key}",
        painter.paint(Color::Dim, &date(record.timestamp)),
        painter.paint(Color::Yellow, &place)
    );
    for header in record.headers {
        let text = format!(
            "  {}={}",
            String::from_utf8_lossy(header.key),
            header.value.map_or("null".into(), String::from_utf8_lossy)
        );
        head.push_str(&painter.paint(Color::Magenta, &text));
    }
    line.extend_from_slice(head.as_bytes());
    line.push(b'\n');
    match record.value {
        None => line.extend_from_slice(painter.paint(Color::Dim, "null").as_bytes()),
        Some(bytes) => match serde_json::from_slice::<Value>(bytes) {
            Ok(value @ (Value::Object(_) | Value::Array(_))) => {
                let mut text = String::new();
                indent(&value, 0, painter, &mut text);
                line.extend_from_slice(text.as_bytes());
            }
            _ => line.extend_from_slice(bytes),
        },
    }
}

/// JSON with indents and colours; what is short stays on a line.
fn indent(value: &Value, depth: usize, painter: Painter, out: &mut String) {
    const SHORT: usize = 60;
    let inner = "  ".repeat(depth + 1);
    match value {
        Value::Null => out.push_str(&painter.paint(Color::Dim, "null")),
        Value::Bool(_) => out.push_str(&painter.paint(Color::Magenta, &value.to_string())),
        Value::Number(_) => out.push_str(&painter.paint(Color::Blue, &value.to_string())),
        Value::String(_) => out.push_str(&painter.paint(Color::Green, &value.to_string())),
        Value::Array(items) => {
            let is_short = items.iter().all(|item| !item.is_object() && !item.is_array())
                && value.to_string().len() <= SHORT;
            out.push('[');
            for (at, item) in items.iter().enumerate() {
                if at > 0 {
                    out.push_str(if is_short { ", " } else { "," });
                }
                if !is_short {
                    out.push_str(&format!("\n{inner}"));
                }
                indent(item, depth + 1, painter, out);
            }
            if !is_short {
                out.push_str(&format!("\n{}", "  ".repeat(depth)));
            }
            out.push(']');
        }
        Value::Object(fields) => {
            if fields.is_empty() {
                out.push_str("{}");
                return;
            }
            out.push('{');
            for (at, (name, field)) in fields.iter().enumerate() {
                let name = painter.paint(Color::Bold, &Value::from(name.as_str()).to_string());
                out.push_str(&format!("{}\n{inner}{name}: ", if at > 0 { "," } else { "" }));
                indent(field, depth + 1, painter, out);
            }
            out.push_str(&format!("\n{}}}", "  ".repeat(depth)));
        }
    }
}

/// Reads a pattern.
fn parts(pattern: &str) -> anyhow::Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut text: Vec<u8> = Vec::new();
    let mut has_line_break = false;
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '%' => {
                let part = match rest.next() {
                    Some('%') => {
                        text.push(b'%');
                        continue;
                    }
                    Some('t') => Part::Topic,
                    Some('p') => Part::Partition,
                    Some('o') => Part::Offset,
                    Some('T') => Part::Time,
                    Some('D') => Part::Date,
                    Some('k') => Part::Key,
                    Some('s') => Part::Value,
                    Some('K') => Part::KeyBytes,
                    Some('S') => Part::ValueBytes,
                    Some('h') => Part::Headers,
                    Some(other) => {
                        bail!("--format: %{other} means nothing; --help shows what does")
                    }
                    None => bail!("--format: a % at the end; %% is a percent sign"),
                };
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(part);
            }
            '\\' => match rest.next() {
                Some('n') => {
                    has_line_break = true;
                    text.push(b'\n');
                }
                Some('t') => text.push(b'\t'),
                Some('r') => text.push(b'\r'),
                Some('0') => text.push(0),
                Some('\\') => text.push(b'\\'),
                Some('x') => {
                    let digits: String = rest.by_ref().take(2).collect();
                    match u8::from_str_radix(&digits, 16) {
                        Ok(byte) if digits.len() == 2 => text.push(byte),
                        _ => bail!("--format: \\x{digits} has no two digits"),
                    }
                }
                other => bail!(
                    "--format: \\{} means nothing; \\n, \\t, \\r, \\0, \\\\ and \\xNN do",
                    other.map(String::from).unwrap_or_default()
                ),
            },
            c => {
                has_line_break |= c == '\n';
                text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
    }
    if !has_line_break {
        text.push(b'\n');
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    Ok(parts)
}

impl Part {
    fn write(&self, record: &ConsumerRecord<'_>, line: &mut Vec<u8>) {
        let size = |bytes: Option<&[u8]>| {
            bytes.map_or_else(|| "-1".to_owned(), |bytes| bytes.len().to_string())
        };
        let text = match self {
            Self::Text(text) => return line.extend_from_slice(text),
            Self::Key => return line.extend_from_slice(record.key.unwrap_or_default()),
            Self::Value => return line.extend_from_slice(record.value.unwrap_or_default()),
            Self::Topic => record.topic.to_owned(),
            Self::Partition => record.partition.to_string(),
            Self::Offset => record.offset.0.to_string(),
            Self::Time => record.timestamp.to_string(),
            Self::Date => date(record.timestamp),
            Self::KeyBytes => size(record.key),
            Self::ValueBytes => size(record.value),
            Self::Headers => {
                let headers = record.headers.map(|header| {
                    let value = header.value.map_or("NULL".into(), String::from_utf8_lossy);
                    format!("{}={value}", String::from_utf8_lossy(header.key))
                });
                headers.collect::<Vec<_>>().join(",")
            }
        };
        line.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read_and_mistakes_named() {
        let text = |text: &str| Part::Text(text.as_bytes().to_vec());
        assert_eq!(parts("%k").unwrap(), [Part::Key, text("\n")]);
        let read = parts("a%%\\t%p\\x41\\n").unwrap();
        assert_eq!(read, [text("a%\t"), Part::Partition, text("A\n")]);
        for wrong in ["%", "%q", "\\", "\\q", "\\x4", "\\xzz"] {
            assert!(parts(wrong).unwrap_err().to_string().contains("--format"), "{wrong}");
        }
    }

    #[test]
    fn json_is_indented_and_keeps_its_values() {
        let text = r#"{"a":[1,2],"b":{"c":null,"d":[{"e":"é"}]},"f":{},"g":1.50}"#;
        let value: Value = serde_json::from_str(text).unwrap();
        let mut shown = String::new();
        indent(&value, 0, Painter { has_colors: false }, &mut shown);
        assert_eq!(serde_json::from_str::<Value>(&shown).unwrap(), value);
        assert!(shown.starts_with("{\n  \"a\": [1, 2],\n  \"b\": {\n    \"c\": null,"), "{shown}");
    }
}
