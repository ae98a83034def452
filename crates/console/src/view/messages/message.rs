//! A message as the interface shows it.

use crate::kafka::BatchFacts;
use afluente_protocol::records::RecordView;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Message {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    timestamp_type: &'static str,
    key: Option<Payload>,
    value: Option<Payload>,
    headers: Vec<Header>,
    compression: Option<&'static str>,
}

#[derive(Debug, Clone, Serialize)]
struct Header {
    name: String,
    value: Option<Payload>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Payload {
    format: &'static str,
    text: Option<String>,
    base64: Option<String>,
    size_bytes: usize,
    truncated: bool,
}

/// What a header's value is cut to.
const HEADER_BYTES_MAX: usize = 1 << 10;

/// Headers that are shown of one message.
const HEADERS_MAX: usize = 100;

impl Message {
    /// Keys and values cut to `bytes_max`.
    pub(crate) fn cut(
        partition: i32,
        record: &RecordView<'_>,
        facts: BatchFacts,
        bytes_max: usize,
    ) -> Self {
        Self::of(partition, record, facts, bytes_max, false)
    }

    /// With the bytes beside the text.
    pub(crate) fn whole(
        partition: i32,
        record: &RecordView<'_>,
        facts: BatchFacts,
        bytes_max: usize,
    ) -> Self {
        Self::of(partition, record, facts, bytes_max, true)
    }

    fn of(
        partition: i32,
        record: &RecordView<'_>,
        facts: BatchFacts,
        bytes_max: usize,
        with_bytes: bool,
    ) -> Self {
        let payload = |bytes: &[u8]| Payload::of(bytes, bytes_max, with_bytes);
        let header = |header: afluente_protocol::records::Header<'_>| Header {
            name: String::from_utf8_lossy(header.key).into_owned(),
            value: header.value.map(|value| {
                Payload::of(
                    value,
                    HEADER_BYTES_MAX.max(if with_bytes { bytes_max } else { 0 }),
                    with_bytes,
                )
            }),
        };
        Self {
            partition,
            offset: record.offset.0,
            timestamp: record.timestamp,
            timestamp_type: facts.timestamp_type,
            key: record.key.map(payload),
            value: record.value.map(payload),
            headers: record.headers.take(HEADERS_MAX).map(header).collect(),
            compression: facts.compression,
        }
    }
}

impl Payload {
    fn of(bytes: &[u8], bytes_max: usize, with_bytes: bool) -> Self {
        let shown = &bytes[..bytes.len().min(bytes_max)];
        let truncated = shown.len() < bytes.len();
        let text = match std::str::from_utf8(shown) {
            Ok(text) => Some(text),
            // A character that the cut went through is left out; other bytes are no text.
            Err(error) if truncated && error.error_len().is_none() => {
                std::str::from_utf8(&shown[..error.valid_up_to()]).ok()
            }
            Err(_) => None,
        };
        let text = text.filter(|text| !text.contains('\0'));
        let format = match text {
            None => "binary",
            Some(text) if looks_like_json(text, truncated) => "json",
            Some(_) => "text",
        };
        Self {
            format,
            text: text.map(str::to_owned),
            base64: (with_bytes || text.is_none()).then(|| STANDARD.encode(shown)),
            size_bytes: bytes.len(),
            truncated,
        }
    }
}

/// Objects, arrays, and single values. What was cut is judged by its beginning.
fn looks_like_json(text: &str, truncated: bool) -> bool {
    let trimmed = text.trim_start();
    let is_container = trimmed.starts_with(['{', '[']);
    if truncated {
        return is_container;
    }
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_says_what_it_is() {
        type Case<'a> = (&'a [u8], usize, &'a str, Option<&'a str>, bool);
        let cases: [Case<'_>; 8] = [
            (b"{\"a\":1}", 100, "json", Some("{\"a\":1}"), false),
            (b"12345678901234567890", 100, "json", Some("12345678901234567890"), false),
            (b"plain", 100, "text", Some("plain"), false),
            (b"{\"a\":1", 100, "text", Some("{\"a\":1"), false),
            (b"{\"a\":1}", 3, "json", Some("{\"a"), true),
            ("aña".as_bytes(), 2, "text", Some("a"), true),
            (b"\xff\x00", 100, "binary", None, false),
            (b"", 100, "text", Some(""), false),
        ];
        for (bytes, max, format, text, truncated) in cases {
            let payload = Payload::of(bytes, max, false);
            assert_eq!(
                (payload.format, payload.text.as_deref(), payload.truncated),
                (format, text, truncated),
                "{bytes:?}"
            );
            assert_eq!(payload.base64.is_some(), format == "binary");
            assert_eq!(payload.size_bytes, bytes.len());
        }
    }
}
