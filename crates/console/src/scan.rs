//! Reading a topic from positions on: what search, tail, export and panels stand on.

use crate::filter::{Expr, Subject};
use crate::kafka::{BatchFacts, Fetched, Kafka};
use afluente_client::Error;
use afluente_protocol::records::RecordView;
use std::collections::BTreeMap;
use std::time::Duration;

/// Asked of the broker at a time.
pub(crate) const FETCH_BYTES: i32 = 4 << 20;

/// How long a fetch waits for something to come.
pub(crate) const FETCH_WAIT: Duration = Duration::from_millis(250);

/// Where a reader is in each partition, and where it stops.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scan {
    pub(crate) topic: String,
    pub(crate) positions: BTreeMap<i32, i64>,
    /// Exclusive; partitions without one are read for ever.
    pub(crate) ends: BTreeMap<i32, i64>,
}

impl Scan {
    /// Fetches once from all partitions that are not at their end.
    pub(crate) async fn fetch(&self, kafka: &Kafka, bytes: i32) -> Result<Vec<Fetched>, Error> {
        let open = self
            .positions
            .iter()
            .filter(|(partition, offset)| self.ends.get(partition).is_none_or(|end| *offset < end));
        let open: BTreeMap<i32, i64> =
            open.map(|(partition, offset)| (*partition, *offset)).collect();
        kafka.fetch(&self.topic, &open, bytes, FETCH_WAIT).await
    }

    /// Offsets that are still ahead.
    pub(crate) fn remaining(&self) -> i64 {
        let left = |(partition, offset): (&i32, &i64)| {
            self.ends.get(partition).map_or(0, |end| (end - offset).max(0))
        };
        self.positions.iter().map(left).sum()
    }

    /// Shows what was fetched, record by record, until `see` has enough or the end is reached.
    pub(crate) fn each(
        &mut self,
        fetched: &Fetched,
        mut see: impl FnMut(&RecordView<'_>, BatchFacts) -> bool,
    ) -> Result<(), Error> {
        let partition = fetched.partition;
        let Some(position) = self.positions.get(&partition).copied() else { return Ok(()) };
        let end = self.ends.get(&partition).copied().unwrap_or(i64::MAX);
        let mut next =
            fetched.each(position, |record, facts| record.offset.0 < end && see(record, facts))?;
        // A partition whose end was reached by offsets that hold no record any more.
        if fetched.is_all_empty && position < end && fetched.end_offset >= end {
            next = end;
        }
        self.positions.insert(partition, next.min(end));
        Ok(())
    }
}

/// What a message must be like. All parts have to hold.
#[derive(Debug, Clone, Default)]
pub(crate) struct Match {
    /// Lower case; in key, value or a header.
    pub(crate) text: Option<String>,
    /// Lower case; in the key.
    pub(crate) key: Option<String>,
    /// A header that is there, perhaps with a value.
    pub(crate) header: Option<(String, Option<String>)>,
    pub(crate) filter: Option<Expr>,
}

impl Match {
    pub(crate) fn holds(&self, partition: i32, record: &RecordView<'_>) -> bool {
        if let Some(text) = &self.text {
            let in_header = || {
                let mut headers = record.headers;
                headers.any(|header| {
                    contains(header.key, text)
                        || header.value.is_some_and(|value| contains(value, text))
                })
            };
            let in_one = |bytes: Option<&[u8]>| bytes.is_some_and(|bytes| contains(bytes, text));
            if !in_one(record.key) && !in_one(record.value) && !in_header() {
                return false;
            }
        }
        let in_key = |text: &String| record.key.is_some_and(|key| contains(key, text));
        if !self.key.as_ref().is_none_or(in_key) {
            return false;
        }
        if let Some((name, value)) = &self.header {
            let is_it = |header: afluente_protocol::records::Header<'_>| {
                let value = value.as_ref();
                header.key == name.as_bytes()
                    && value.is_none_or(|value| header.value == Some(value.as_bytes()))
            };
            let mut headers = record.headers;
            if !headers.any(is_it) {
                return false;
            }
        }
        self.filter.as_ref().is_none_or(|filter| {
            let headers: Vec<(&[u8], Option<&[u8]>)> =
                record.headers.map(|header| (header.key, header.value)).collect();
            let subject = Subject::new(
                partition,
                record.offset.0,
                record.timestamp,
                record.key,
                record.value,
                &headers,
            );
            filter.is_true(&subject)
        })
    }
}

/// Whether `text`, in lower case, is part of `bytes`, whatever its case.
fn contains(bytes: &[u8], text: &str) -> bool {
    if text.is_ascii() {
        let text = text.as_bytes();
        let Some(first) = text.first() else { return true };
        return bytes.windows(text.len()).any(|window| {
            window[0].to_ascii_lowercase() == *first && window.eq_ignore_ascii_case(text)
        });
    }
    String::from_utf8_lossy(bytes).to_lowercase().contains(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_found_whatever_its_case() {
        assert!(contains(b"The Quick Fox", "quick"));
        assert!(contains("CAÑÓN".as_bytes(), "cañ"));
        assert!(!contains(b"The Quick Fox", "quickly"));
        assert!(contains(b"\xff\xfeabc", "abc"));
        assert!(contains(b"", ""));
        assert!(!contains(b"", "a"));
    }
}
