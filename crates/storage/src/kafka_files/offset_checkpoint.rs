//! Kafka's offset checkpoints: one offset for each partition of a log directory.
//!
//! Text, a line each, ended by `\n`; four files have this form:
//!
//! ```text
//! 0              version
//! 2              how many entries follow
//! orders 0 1200  topic, partition, offset
//! orders 1 7
//! ```

use super::text::{TextError, TextFile};
use afluente_protocol::numbers::{Offset, PartitionId};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Up to where each log was made durable.
pub const RECOVERY_POINT_FILE: &str = "recovery-point-offset-checkpoint";
/// Where each log begins, if it does not begin with its first segment.
pub const LOG_START_FILE: &str = "log-start-offset-checkpoint";
/// The high watermark of each log.
pub const HIGH_WATERMARK_FILE: &str = "replication-offset-checkpoint";
/// Up to where each log was compacted.
pub const CLEANER_FILE: &str = "cleaner-offset-checkpoint";

const VERSION: i32 = 0;

/// Offsets by topic and partition.
pub type PartitionOffsets = BTreeMap<(String, PartitionId), Offset>;

/// The bytes of a checkpoint.
#[must_use]
pub fn encode(offsets: &PartitionOffsets) -> Vec<u8> {
    let mut text = format!("{VERSION}\n{}\n", offsets.len());
    for ((topic, partition), offset) in offsets {
        writeln!(text, "{topic} {partition} {offset}").expect("writing to a string cannot fail");
    }
    text.into_bytes()
}

/// Reads the bytes of a checkpoint.
///
/// # Errors
/// The line that is not what the format asks for.
pub fn decode(bytes: &[u8]) -> Result<PartitionOffsets, TextError> {
    let mut offsets = PartitionOffsets::new();
    for line in TextFile::open(bytes, VERSION)?.entries()? {
        let [topic, partition, offset] = line.fields("a topic, a partition and an offset")?;
        let partition = PartitionId(line.number(partition, "a partition", 0)?);
        let offset = Offset(line.number(offset, "an offset", 0)?);
        if offsets.insert((topic.to_owned(), partition), offset).is_some() {
            return Err(line.not("a partition that did not come before".to_owned()));
        }
    }
    Ok(offsets)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_wrong_is_named() {
        for (text, expected) in [
            ("0\n1\na 0\n", "line 3: found \"a 0\", expected a topic, a partition and an offset"),
            ("0\n1\na b 3\n", "line 3: found \"a b 3\", expected a partition of at least 0"),
            ("0\n1\na 0 -3\n", "line 3: found \"a 0 -3\", expected an offset of at least 0"),
            (
                "0\n2\na 0 3\na 0 4\n",
                "line 4: found \"a 0 4\", expected a partition that did not come before",
            ),
            ("\0\0\0", "line 1: found \"\\0\\0\\0\", expected version 0 and the end of the line"),
            ("0\n", "line 2: found the end of the file, expected the number of entries"),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap_err().to_string(), expected, "{text:?}");
        }
        let error = decode(b"0\n\xff\n").unwrap_err();
        assert_eq!(error.to_string(), "line 2: found \"bytes that are no text\", expected UTF-8");
    }

    proptest! {
        #[test]
        fn a_file_gives_back_what_was_written_and_no_cut_of_it_passes_in_silence(
            entries in proptest::collection::vec(("[a-z.-]{1,9}", 0..50_i32, 0..i64::MAX), 0..9),
        ) {
            let offsets: PartitionOffsets = entries
                .into_iter()
                .map(|(topic, partition, offset)| ((topic, PartitionId(partition)), Offset(offset)))
                .collect();
            let file = encode(&offsets);
            prop_assert_eq!(decode(&file).unwrap(), offsets);
            for cut in 0..file.len() {
                prop_assert!(decode(&file[..cut]).is_err(), "cut at {}", cut);
            }
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = decode(&bytes);
        }
    }
}
