//! `partition.metadata`: the id of the topic that a partition's directory belongs to. A topic that
//! was deleted and made again has another one.
//!
//! ```text
//! version: 0
//! topic_id: LTPVBJKTQz63bZ_A5WFXFA
//! ```
//!
//! The last line has no `\n`.

use super::text::{Line, TextError};
use afluente_protocol::uuid::Uuid;

/// The name of the file in a partition's directory.
pub const PARTITION_METADATA_FILE: &str = "partition.metadata";

/// The bytes of the file.
#[must_use]
pub fn encode(topic_id: Uuid) -> Vec<u8> {
    format!("version: 0\ntopic_id: {topic_id}").into_bytes()
}

/// The topic's id in the bytes of the file.
///
/// # Errors
/// The line that is not what the format asks for.
pub fn decode(bytes: &[u8]) -> Result<Uuid, TextError> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text });
    let mut field = |number: usize, name: &str, expected: &str| {
        let line = lines.next().unwrap_or(Line { number, text: "" });
        match line.text.split_once(':') {
            Some((found, value)) if found == name => Ok((value.trim().to_owned(), line)),
            _ => Err(line.not(format!("{name}: {expected}"))),
        }
    };
    let (version, line) = field(1, "version", "0")?;
    if version != "0" {
        return Err(line.not("version: 0".to_owned()));
    }
    let (topic_id, line) = field(2, "topic_id", "the id of a topic")?;
    match topic_id.parse::<Uuid>() {
        Ok(topic_id) if !topic_id.is_zero() => Ok(topic_id),
        _ => Err(line.not("topic_id: the id of a topic, 22 characters of base64".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    const TOPIC_ID: Uuid = Uuid([7; 16]);

    #[test]
    fn a_file_gives_back_the_id_and_no_cut_of_it_passes_in_silence() {
        let file = encode(TOPIC_ID);
        assert_eq!(decode(&file), Ok(TOPIC_ID));
        for cut in 0..file.len() {
            assert!(decode(&file[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("", "line 1: found \"\", expected version: 0"),
            ("version: 1\n", "line 1: found \"version: 1\", expected version: 0"),
            ("version: 0\n", "line 2: found \"\", expected topic_id: the id of a topic"),
            (
                "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
                "line 2: found \"topic_id: AAAAAAAAAAAAAAAAAAAAAA\", \
                 expected topic_id: the id of a topic, 22 characters of base64",
            ),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().to_string(), expected);
        }
    }
}
