//! A message as a line of JSON.

use crate::json_text;
use crate::kafka::NewRecordOwned;
use afluente_protocol::records::RecordView;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// Appends a message as a line.
pub(super) fn write(partition: i32, record: &RecordView<'_>, out: &mut String) {
    use std::fmt::Write as _;
    // By hand, so that JSON stands in it exactly as it stands in the message: numbers of 64 bits
    // and the order of names stay.
    let _ = write!(
        out,
        "{{\"partition\":{partition},\"offset\":{},\"timestamp\":{},\"key\":",
        record.offset.0, record.timestamp
    );
    json_text::write(record.key, out);
    out.push_str(",\"value\":");
    json_text::write(record.value, out);
    out.push_str(",\"headers\":");
    out.push_str(&headers(record));
    out.push_str("}\n");
}

/// Headers as an object; of several with one name the last one stays.
pub(super) fn headers(record: &RecordView<'_>) -> String {
    let mut headers = Map::new();
    for header in record.headers {
        let value = match header.value.map(std::str::from_utf8) {
            None => Value::Null,
            Some(Ok(text)) => Value::from(text),
            Some(Err(_)) => json!({ "base64": STANDARD.encode(header.value.unwrap_or_default()) }),
        };
        headers.insert(String::from_utf8_lossy(header.key).into_owned(), value);
    }
    Value::Object(headers).to_string()
}

/// Reads such a line; only `value` is needed.
pub(super) fn read(text: &str, now_ms: i64) -> Result<(Option<i32>, NewRecordOwned), String> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        partition: Option<i32>,
        timestamp: Option<i64>,
        #[serde(borrow)]
        key: Option<&'a serde_json::value::RawValue>,
        #[serde(borrow)]
        value: Option<&'a serde_json::value::RawValue>,
        headers: Option<Map<String, Value>>,
    }
    let line: Line<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    if !text.contains("\"value\"") {
        return Err("there is no \"value\"".to_owned());
    }
    let headers = line
        .headers
        .unwrap_or_default()
        .into_iter()
        .map(|(name, value)| Ok((name, json_text::read(&value.to_string())?)));
    let record = NewRecordOwned {
        key: line.key.map(|raw| json_text::read(raw.get())).transpose()?.flatten(),
        value: line.value.map(|raw| json_text::read(raw.get())).transpose()?.flatten(),
        headers: headers.collect::<Result<_, String>>()?,
        timestamp: line.timestamp.unwrap_or(now_ms),
    };
    Ok((line.partition, record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let cases: [Option<&[u8]>; 11] = [
            None,
            Some(b"null"),
            Some(b"\"abc\""),
            Some(b"{\"base64\":\"AAAA\"}"),
            Some(b" {\"b\":1.10}"),
            Some(b"{\"b\":1.10}"),
            Some(b"plain \"text\""),
            Some(b"{\"b\":12345678901234567890,\"a\":[1, 2]}"),
            Some(b"\xff\x00"),
            Some(b""),
            Some(b"42"),
        ];
        for value in cases {
            let record = RecordView { key: Some(b"k"), value, timestamp: 7, ..empty() };
            let mut out = String::new();
            write(3, &record, &mut out);
            let (partition, read) = read(out.trim_end(), 0).unwrap();
            assert_eq!((partition, read.timestamp), (Some(3), 7), "{out}");
            assert_eq!(read.key.as_deref(), Some(&b"k"[..]));
            assert_eq!(read.value.as_deref(), value, "{out}");
        }
    }

    fn empty() -> RecordView<'static> {
        RecordView {
            offset: afluente_protocol::numbers::Offset(1),
            offset_delta: 0,
            timestamp: 0,
            timestamp_delta: 0,
            key: None,
            value: None,
            headers: afluente_protocol::records::Headers::default(),
        }
    }

    #[test]
    fn a_wrong_line_says_why() {
        assert!(read("{", 0).is_err());
        assert!(read("{\"key\":1}", 0).unwrap_err().contains("value"));
        assert!(read("{\"value\":{\"base64\":\"*\"}}", 0).unwrap_err().contains("base64"));
        let (_, record) = read("{\"value\":null,\"headers\":{\"a\":\"b\"}}", 5).unwrap();
        assert_eq!((record.value, record.timestamp), (None, 5));
        assert_eq!(record.headers, [("a".to_owned(), Some(b"b".to_vec()))]);
    }
}
