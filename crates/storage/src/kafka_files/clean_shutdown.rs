//! `.kafka_cleanshutdown`: the last stop was clean, so nothing needs recovery.
//!
//! One JSON object, `{"version":0,"brokerEpoch":42}`, since Kafka 3.7; before, the file was empty.
//! That it is there says that the stop was clean; what it holds only lets the controller tell one
//! stop from another. It is removed at the start.

/// The name of the file in a log directory.
pub const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// The bytes of the file.
#[must_use]
pub fn encode(broker_epoch: i64) -> Vec<u8> {
    format!("{{\"version\":0,\"brokerEpoch\":{broker_epoch}}}").into_bytes()
}

/// The bytes that we leave. Kafka reads them as those of a broker that was never registered, and
/// never writes them itself, as it ends no line: so what a stop of ours left, one that did not come to
/// its end too, is told from what Kafka left.
#[must_use]
pub fn ours() -> Vec<u8> {
    let mut bytes = encode(-1);
    bytes.push(b'\n');
    bytes
}

/// The broker's epoch in the bytes of the file, if they have one.
#[must_use]
pub fn broker_epoch(bytes: &[u8]) -> Option<i64> {
    let content: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    content.get("brokerEpoch")?.as_i64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_broker_epoch_is_found_where_there_is_one() {
        for (bytes, expected) in [
            (encode(42), Some(42)),
            (encode(-1), Some(-1)),
            (ours(), Some(-1)),
            (b"{\"version\":0,\"brokerEpoch\":7,\"more\":[]}\n".to_vec(), Some(7)),
            (Vec::new(), None),
            (b"{\"version\":0,\"brokerEpoch\":4".to_vec(), None),
            (b"{\"brokerEpoch\":null}".to_vec(), None),
            (b"42".to_vec(), None),
            (vec![0xff; 9], None),
        ] {
            assert_eq!(broker_epoch(&bytes), expected, "{bytes:?}");
        }
    }
}
