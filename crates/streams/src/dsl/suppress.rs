//! Tables whose changes are held back.

use super::graph::NodeTraits;
use super::table::{KTable, TableSupplier};
use crate::engine::node;
use crate::error::Error;
use crate::processors::getter::GetterSupplier;
use crate::processors::suppress::{DueTime, Suppress, WhenFull, suppressed_getter};
use crate::record::{Data, Windowed};
use crate::serdes::HasSerde;
use crate::stores::handles::StoreRef;
use crate::stores::{StoreKind, StoreSpec};
use crate::topology::{NodeKind, NodeSpec};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// How much may be held back, and what happens when it is more (KIP-328).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BufferConfig {
    records_max: u64,
    bytes_max: u64,
    when_full: WhenFull,
    logging: bool,
}

impl BufferConfig {
    /// As much as there is.
    #[must_use]
    pub fn unbounded() -> Self {
        let when_full = WhenFull::ShutDown;
        Self { records_max: u64::MAX, bytes_max: u64::MAX, when_full, logging: true }
    }

    /// So many keys; then the oldest are passed on early.
    #[must_use]
    pub fn max_records(records_max: u64) -> Self {
        Self { records_max, when_full: WhenFull::EmitEarly, ..Self::unbounded() }
    }

    /// So many bytes of keys, values, topics and headers; then the oldest are passed on early.
    #[must_use]
    pub fn max_bytes(bytes_max: u64) -> Self {
        Self { bytes_max, when_full: WhenFull::EmitEarly, ..Self::unbounded() }
    }

    /// The same with another limit of keys.
    #[must_use]
    pub fn with_max_records(self, records_max: u64) -> Self {
        Self { records_max, ..self }
    }

    /// The same with another limit of bytes.
    #[must_use]
    pub fn with_max_bytes(self, bytes_max: u64) -> Self {
        Self { bytes_max, ..self }
    }

    /// Without limits.
    #[must_use]
    pub fn with_no_bound(self) -> Self {
        Self { logging: self.logging, ..Self::unbounded() }
    }

    /// Ends the task when the buffer is full, instead of passing results on early.
    #[must_use]
    pub fn shut_down_when_full(self) -> Self {
        Self { when_full: WhenFull::ShutDown, ..self }
    }

    /// Passes the oldest results on early when the buffer is full.
    #[must_use]
    pub fn emit_early_when_full(self) -> Self {
        Self { when_full: WhenFull::EmitEarly, ..self }
    }

    /// Without a changelog: what is held back is lost with the task.
    #[must_use]
    pub fn with_logging_disabled(self) -> Self {
        Self { logging: false, ..self }
    }
}

struct SuppressedTable<K, V> {
    parent: Rc<dyn TableSupplier<K, V>>,
    store: StoreRef<K, V>,
}

impl<K: Data, V: Data> TableSupplier<K, V> for SuppressedTable<K, V> {
    fn getter(&self) -> GetterSupplier<K, V> {
        suppressed_getter(&self.parent.getter(), self.store.clone())
    }

    fn send_old_values(&self, force: bool) -> bool {
        self.parent.send_old_values(force)
    }
}

impl<K: HasSerde, V: HasSerde> KTable<K, V> {
    /// Passes each key's newest change on once `wait` has passed by event time since the first that was held back.
    #[must_use]
    pub fn suppress_until_time_limit(&self, wait: Duration, buffer: BufferConfig) -> Self {
        let wait_ms = i64::try_from(wait.as_millis()).unwrap_or(i64::MAX);
        self.suppressed(Arc::new(|_, timestamp| timestamp), wait_ms, buffer, false)
    }
}

impl<K: Data, V: HasSerde> KTable<Windowed<K>, V> {
    /// Passes one result on for each window, when it is closed. A buffer that would pass results on early ends the task
    /// instead: there must be one.
    #[must_use]
    pub fn suppress_until_window_closes(&self, buffer: BufferConfig) -> Self {
        let Some(grace_ms) = self.builder.grace_above(self.node) else {
            self.builder.fail(Error::Topology(format!(
                "\"{}\" has no windows above it that could close",
                self.name
            )));
            return self.clone();
        };
        let buffer = buffer.shut_down_when_full();
        let due: DueTime<Windowed<K>> = Arc::new(|key, _| key.window.end_ms);
        self.suppressed(due, grace_ms, buffer, true)
    }
}

impl<K: Data, V: HasSerde> KTable<K, V> {
    fn suppressed(
        &self,
        due_time: DueTime<K>,
        wait_ms: i64,
        buffer: BufferConfig,
        drops_tombstones: bool,
    ) -> Self {
        let builder = &self.builder;
        // What is looked up meanwhile is the value before what is held back.
        self.supplier.send_old_values(true);
        let own = self.next_name.as_deref();
        // A name that is given takes no number here.
        let name = own.map_or_else(|| builder.new_name("KTABLE-SUPPRESS-"), str::to_owned);
        let store_name = own.map_or_else(
            || builder.new_store_name("KTABLE-SUPPRESS-"),
            |own| format!("{own}-store"),
        );
        let Some(keys) = self.keys.clone() else {
            builder.fail(Error::Topology(format!("\"{name}\": no serde for the keys is known")));
            return self.clone();
        };
        let values = self.values.clone().unwrap_or_else(V::serde);
        let store = StoreRef { name: store_name.as_str().into(), keys, values };
        let kind = StoreKind::Suppressed;
        let spec = StoreSpec { name: store_name, kind, logging: buffer.logging, caching: false };
        let traits = NodeTraits {
            output_versioned: Some(false),
            is_suppress: true,
            ..NodeTraits::default()
        };
        let (spec_name, step_store) = (name.clone(), store.clone());
        let node = builder.add(&[self.node], &name, traits, move |topology, parents| {
            topology.add_node(NodeSpec {
                name: spec_name.clone(),
                parents: parents.to_vec(),
                kind: NodeKind::Processor {
                    make: Arc::new(move || {
                        node(Suppress {
                            store: step_store.clone(),
                            handle: None,
                            due_time: Arc::clone(&due_time),
                            wait_ms,
                            records_max: buffer.records_max,
                            bytes_max: buffer.bytes_max,
                            when_full: buffer.when_full,
                            drops_tombstones,
                            observed_time: -1,
                        })
                    }),
                    stores: Vec::new(),
                },
            })?;
            topology.add_store(spec, &[&spec_name])
        });
        Self {
            name,
            keys: self.keys.clone(),
            values: self.values.clone(),
            sources: BTreeSet::from([self.name.clone()]),
            node,
            builder: builder.clone(),
            supplier: Rc::new(SuppressedTable { parent: Rc::clone(&self.supplier), store }),
            queryable: None,
            next_name: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::TestDriver;
    use crate::dsl::{Consumed, Joined, Materialized, Produced, StreamsBuilder, TimeWindows};
    use crate::record::Record;
    use bytes::Bytes;

    fn text(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn suppressed(buffer: BufferConfig) -> TestDriver {
        let builder = StreamsBuilder::new();
        builder
            .table::<String, String>("in", Consumed::new(), Materialized::new())
            .suppress_until_time_limit(Duration::from_millis(100), buffer)
            .to_stream()
            .to("out", Produced::new());
        TestDriver::new(&builder.build().unwrap(), "app").unwrap()
    }

    #[test]
    fn a_full_buffer_passes_the_oldest_on_or_ends_the_task() {
        let mut early = suppressed(BufferConfig::max_records(2));
        let mut ending = suppressed(BufferConfig::max_records(2).shut_down_when_full());
        for (key, time) in [("a", 1), ("b", 2), ("a", 3)] {
            for driver in [&mut early, &mut ending] {
                driver.pipe("in", Record::new(text(key), text("x"), time)).unwrap();
                assert!(driver.read("out").is_none());
            }
        }
        early.pipe("in", Record::new(text("c"), text("x"), 4)).unwrap();
        let passed = early.read("out").unwrap();
        assert_eq!((passed.key, passed.timestamp), (Some(text("a")), 3));
        assert!(early.read("out").is_none());
        let error = ending.pipe("in", Record::new(text("c"), text("x"), 4)).unwrap_err();
        assert!(error.to_string().contains("2 records"), "{error}");
    }

    #[test]
    fn windows_are_needed_for_closing() {
        let builder = StreamsBuilder::new();
        let counts = builder
            .stream::<String, String>(&["in"], Consumed::new())
            .group_by_key()
            .windowed_by(TimeWindows::of_size(Duration::from_millis(10)))
            .count();
        let _ = counts.suppress_until_window_closes(BufferConfig::unbounded());
        builder.build().unwrap();
        let builder = StreamsBuilder::new();
        let windowed = builder.table::<Windowed<String>, String>(
            "windows",
            Consumed::new(),
            Materialized::new(),
        );
        let _ = windowed.suppress_until_window_closes(BufferConfig::unbounded());
        assert!(builder.build().is_err());
    }

    #[test]
    fn a_stream_waits_only_for_a_table_that_knows_its_past_for_as_long() {
        let grace = Joined::new().with_grace_period(Duration::from_millis(50));
        let build = |table: Materialized<String, String>| {
            let builder = StreamsBuilder::new();
            let table = builder.table("table", Consumed::new(), table);
            builder
                .stream::<String, String>(&["in"], Consumed::new())
                .left_join_table_with(
                    &table,
                    |_, left, right| Some(format!("{left}{}", right.map_or("-", String::as_str))),
                    grace,
                )
                .to("out", Produced::new());
            builder.build()
        };
        assert!(build(Materialized::named("t")).is_err());
        let history = |ms| Materialized::as_versioned("t", Duration::from_millis(ms));
        assert!(build(history(49)).is_err());
        let mut driver = TestDriver::new(&build(history(50)).unwrap(), "app").unwrap();
        let record = |key: &str, value: &str, time| Record::new(text(key), text(value), time);
        driver.pipe("in", record("k", "one", 10)).unwrap();
        assert!(driver.read("out").is_none());
        // It is late, and in time for the record that waits.
        driver.pipe("table", record("k", "B", 20)).unwrap();
        driver.pipe("table", record("k", "A", 5)).unwrap();
        let keyless = Record { key: None, ..record("", "keyless", 30) };
        driver.pipe("in", keyless).unwrap();
        assert_eq!(driver.read("out").unwrap().value, Some(text("keyless-")));
        driver.pipe("in", record("k", "two", 60)).unwrap();
        let joined = driver.read("out").unwrap();
        assert_eq!((joined.value, joined.timestamp), (Some(text("oneA")), 10));
        // Too late to wait.
        driver.pipe("in", record("k", "late", 9)).unwrap();
        assert_eq!(driver.read("out").unwrap().value, Some(text("lateA")));
        assert_eq!(driver.versioned_get("t", b"k", 19).unwrap(), Some((text("A"), 5)));
    }
}
