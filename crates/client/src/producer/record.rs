//! What goes in, and what comes back for it.

pub use afluente_protocol::records::Header;

use std::sync::Arc;

/// A record to be sent. It borrows: its bytes are written into a batch before
/// [`Producer::send`](super::Producer::send) returns.
///
/// ```
/// use afluente_client::producer::Record;
/// let record = Record::to("orders").key(b"customer-7").value(b"2 coffees").timestamp(1_700_000_000_000);
/// assert_eq!(record.partition, None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The partition; `None` leaves the choice to the partitioner.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; a record without one is a tombstone in a compacted topic.
    pub value: Option<&'a [u8]>,
    /// The headers, in this order.
    pub headers: &'a [Header<'a>],
    /// Ms since 1970; `None` takes the time at which it is sent.
    pub timestamp: Option<i64>,
}

impl<'a> Record<'a> {
    /// A record for `topic`, with nothing in it yet.
    #[must_use]
    pub fn to(topic: &'a str) -> Self {
        Self { topic, ..Self::default() }
    }

    /// With this key.
    #[must_use]
    pub fn key(self, key: &'a [u8]) -> Self {
        Self { key: Some(key), ..self }
    }

    /// With this value.
    #[must_use]
    pub fn value(self, value: &'a [u8]) -> Self {
        Self { value: Some(value), ..self }
    }

    /// With these headers.
    #[must_use]
    pub fn headers(self, headers: &'a [Header<'a>]) -> Self {
        Self { headers, ..self }
    }

    /// To this partition.
    #[must_use]
    pub fn partition(self, partition: i32) -> Self {
        Self { partition: Some(partition), ..self }
    }

    /// With this time, in ms since 1970.
    #[must_use]
    pub fn timestamp(self, timestamp_ms: i64) -> Self {
        Self { timestamp: Some(timestamp_ms), ..self }
    }
}

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` where the broker does not say it: with `acks=0`, and when it only says
    /// that it has the record already.
    pub offset: Option<i64>,
    /// Ms since 1970: the record's time, or that of the append if the topic wants that.
    pub timestamp: i64,
}
