//! Keys and values of any bytes as JSON on one line, and back: what an export writes and an import
//! reads.
//!
//! | bytes | as JSON |
//! |---|---|
//! | none (a tombstone) | `null` |
//! | JSON that reads back as it is | as it stands: numbers of 64 bits and the order of names stay |
//! | an object or a list over several lines | the same on one line |
//! | other text, such as `"quoted"` or `null` in letters | a string |
//! | what is no text | `{"base64": …}` |

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// Appends the bytes as JSON.
pub fn write(bytes: Option<&[u8]>, out: &mut String) {
    let Some(bytes) = bytes else {
        out.push_str("null");
        return;
    };
    match std::str::from_utf8(bytes) {
        Ok(text) if stands_for_itself(text) => out.push_str(text),
        Ok(text) => {
            out.push_str(&on_one_line(text).unwrap_or_else(|| Value::from(text).to_string()))
        }
        Err(_) => out.push_str(&json!({ "base64": STANDARD.encode(bytes) }).to_string()),
    }
}

/// Whether it is JSON on one line that is read back as exactly this text.
fn stands_for_itself(text: &str) -> bool {
    text.trim() == text
        && !text.contains(['\n', '\r'])
        && serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
        && read(text).is_ok_and(|read| read.as_deref() == Some(text.as_bytes()))
}

/// An object or a list over several lines, on one.
fn on_one_line(text: &str) -> Option<String> {
    if !text.contains(['\n', '\r']) {
        return None;
    }
    let value: Value = serde_json::from_str(text).ok()?;
    let text = value.to_string();
    ((value.is_object() || value.is_array()) && stands_for_itself(&text)).then_some(text)
}

/// The bytes of a JSON text: of a string its own, of `{"base64": …}` what that says, of other JSON
/// as it stands; `None` for `null`.
///
/// # Errors
/// What is wrong with it.
pub fn read(raw: &str) -> Result<Option<Vec<u8>>, String> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Bytes {
        base64: String,
    }
    if raw == "null" {
        return Ok(None);
    }
    if raw.starts_with('"') {
        let text: String = serde_json::from_str(raw).map_err(|error| error.to_string())?;
        return Ok(Some(text.into_bytes()));
    }
    if let Ok(Bytes { base64 }) = serde_json::from_str(raw) {
        let decoded = STANDARD.decode(&base64);
        return decoded.map(Some).map_err(|error| format!("{base64:?} is no base64: {error}"));
    }
    Ok(Some(raw.as_bytes().to_vec()))
}
