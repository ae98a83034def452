//! What goes with a committed offset: the partition's event time, as Kafka Streams writes it.
//!
//! ```text
//! base64( [1 B version = 2][8 B partition time, big-endian][processor metadata, empty here] )
//! ```

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const VERSION: u8 = 2;

/// The text to commit.
pub(super) fn encode(partition_time: i64) -> String {
    let mut bytes = [0; 9];
    bytes[0] = VERSION;
    bytes[1..].copy_from_slice(&partition_time.to_be_bytes());
    STANDARD.encode(bytes)
}

/// The partition time of a committed text; -1 if it says none.
pub(super) fn decode(text: &str) -> i64 {
    let Ok(bytes) = STANDARD.decode(text) else { return -1 };
    match bytes.split_first() {
        Some((&(1 | VERSION), rest)) => {
            rest.first_chunk().map_or(-1, |time| i64::from_be_bytes(*time))
        }
        _ => -1,
    }
}

#[cfg(test)]
mod tests {
    use super::{decode, encode};

    #[test]
    fn times_come_back_and_other_texts_are_no_time() {
        for time in [-1, 0, 1_700_000_000_000, i64::MAX] {
            assert_eq!(decode(&encode(time)), time);
        }
        for text in ["", "x", "AAAA", "AgAA", "not base64!"] {
            assert_eq!(decode(text), -1, "{text:?}");
        }
    }
}
