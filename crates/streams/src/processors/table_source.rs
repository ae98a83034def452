//! From records to the changes of a table: the newest value of each key, kept in a store if anybody asks for it.

use super::getter::GetterSupplier;
use crate::dsl::Materialized;
use crate::engine::{Context, Flushed, Step, node};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Record};
use crate::serdes::SerdeOf;
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use crate::stores::{Put, StoreKind, StoreSpec};
use crate::topology::{NodeKind, NodeSpec, Topology};
use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;

/// The table of a topic, or of a stream.
pub(crate) struct SourceTable<K, V>(Rc<Inner<K, V>>);

impl<K, V> Clone for SourceTable<K, V> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

struct Inner<K, V> {
    spec: StoreSpec,
    store: StoreRef<K, V>,
    is_materialized: Cell<bool>,
    sends_old: Cell<bool>,
}

impl<K: Data, V: Data> SourceTable<K, V> {
    pub(crate) fn new(
        materialized: &Materialized<K, V>,
        queryable: Option<String>,
        keys: SerdeOf<K>,
        values: SerdeOf<V>,
    ) -> Self {
        let (spec, store) = materialized.table_store(&keys, &values);
        Self(Rc::new(Inner {
            spec,
            store,
            is_materialized: Cell::new(queryable.is_some()),
            sends_old: Cell::new(false),
        }))
    }

    pub(crate) fn getter(&self) -> GetterSupplier<K, V> {
        self.0.is_materialized.set(true);
        GetterSupplier::of_store(self.0.store.clone())
    }

    pub(crate) fn send_old_values(&self, force: bool) -> bool {
        if !force && !self.0.is_materialized.get() {
            return false;
        }
        self.0.is_materialized.set(true);
        self.0.sends_old.set(true);
        true
    }

    /// Adds the source, the processor and the store of a global table.
    pub(crate) fn write_global(
        &self,
        topology: &mut Topology,
        source: NodeSpec,
        name: &str,
        topic: &str,
    ) -> Result<(), Error> {
        let store = self.0.store.clone();
        let processor = NodeSpec {
            name: name.to_owned(),
            parents: vec![source.name.clone()],
            kind: NodeKind::Processor {
                make: Arc::new(move || {
                    node(TableSource { store: Some(store.clone()), handle: None, sends_old: false })
                }),
                stores: Vec::new(),
            },
        };
        topology.add_global_store(source, processor, self.0.spec.clone(), topic)
    }

    /// Adds the processor, and the store if there is one.
    pub(crate) fn write(
        &self,
        topology: &mut Topology,
        name: &str,
        parents: &[String],
        reuse: Option<String>,
    ) -> Result<(), Error> {
        let store = self.0.is_materialized.get().then(|| self.0.store.clone());
        let sends_old = self.0.sends_old.get();
        topology.add_node(NodeSpec {
            name: name.to_owned(),
            parents: parents.to_vec(),
            kind: NodeKind::Processor {
                make: Arc::new(move || {
                    node(TableSource { store: store.clone(), handle: None, sends_old })
                }),
                stores: Vec::new(),
            },
        })?;
        if self.0.is_materialized.get() {
            let mut spec = self.0.spec.clone();
            if let Some(topic) = reuse {
                spec.logging = false;
                topology.source_changelogs.insert(spec.name.clone(), topic);
            }
            topology.add_store(spec, &[name])?;
        }
        Ok(())
    }
}

struct TableSource<K, V> {
    store: Option<StoreRef<K, V>>,
    handle: Option<Handle<K, V, TimestampedKeyValue>>,
    sends_old: bool,
}

impl<K: Data, V: Data> Step<K, V> for TableSource<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = self.store.as_ref().map(|store| store.open(ctx)).transpose()?;
        Ok(())
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Some(key) = &record.key else {
            ctx.drop_record();
            return Ok(());
        };
        let (mut old, mut put) = (None, Put::Newest);
        if let Some(store) = &self.handle {
            if self.sends_old {
                old = store.get(ctx, key)?.map(|old| old.value);
            }
            put = store.put(ctx, key, record.value.as_ref(), record.timestamp)?;
        }
        if matches!(put, Put::Refused | Put::Held) {
            return Ok(());
        }
        let Record { key, value, timestamp, headers } = record;
        let value = Some(Change { new: value, old, is_latest: put == Put::Newest });
        ctx.forward(Record { key, value, timestamp, headers })
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}

impl<K: Data, V: Data> Materialized<K, V> {
    /// The description of a table's store, and the way into it.
    pub(crate) fn table_store(
        &self,
        keys: &SerdeOf<K>,
        values: &SerdeOf<V>,
    ) -> (StoreSpec, StoreRef<K, V>) {
        let name = self.store_name().to_owned();
        let store = StoreRef {
            name: name.as_str().into(),
            keys: self.key_serde().unwrap_or_else(|| keys.clone()),
            values: self.value_serde().unwrap_or_else(|| values.clone()),
        };
        let kind = match self.history_ms() {
            Some(history_ms) => StoreKind::Versioned { history_ms },
            None => StoreKind::KeyValue { timestamped: true },
        };
        // Versions are all kept, so none is left out.
        let caching = self.is_cached() && self.history_ms().is_none();
        (StoreSpec { name, kind, logging: self.is_logged(), caching }, store)
    }
}
