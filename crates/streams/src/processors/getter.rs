//! Looking up the value of a table at a key: in its store, or, where it has none, by what its operators make of a parent's.

use crate::engine::Context;
use crate::error::{Error, Flow};
use crate::record::{Data, Timestamped};
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use std::sync::Arc;

/// Reads a table of a running graph.
pub(crate) trait ValueGetter<K, V>: Send {
    fn init(&mut self, ctx: &Context<'_>) -> Flow;

    fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<V>>, Error>;

    /// Whether [`Self::get_as_of`] may be asked.
    fn is_versioned(&self, _ctx: &Context<'_>) -> bool {
        false
    }

    /// What the table had at that time.
    fn get_as_of(
        &self,
        ctx: &Context<'_>,
        _key: &K,
        _time: i64,
    ) -> Result<Option<Timestamped<V>>, Error> {
        let reason = "asks a table for its past that is not versioned".to_owned();
        Err(Error::Operator { node: ctx.node_name().to_owned(), reason })
    }
}

/// Makes getters, and names the stores that their users have to be connected to.
pub(crate) struct GetterSupplier<K, V> {
    pub(crate) stores: Vec<String>,
    pub(crate) make: Arc<dyn Fn() -> Box<dyn ValueGetter<K, V>> + Send + Sync>,
}

impl<K, V> Clone for GetterSupplier<K, V> {
    fn clone(&self) -> Self {
        Self { stores: self.stores.clone(), make: Arc::clone(&self.make) }
    }
}

impl<K: Data, V: Data> GetterSupplier<K, V> {
    /// Reads a store of values with times.
    pub(crate) fn of_store(store: StoreRef<K, V>) -> Self {
        Self {
            stores: vec![store.name.as_ref().to_owned()],
            make: Arc::new(move || Box::new(StoreGetter { store: store.clone(), handle: None })),
        }
    }

    /// Reads a parent, and makes something of the value.
    pub(crate) fn mapped<V2: Data, F>(&self, map: F) -> GetterSupplier<K, V2>
    where
        F: Fn(&K, V) -> Option<V2> + Send + Sync + 'static,
    {
        let parent = Arc::clone(&self.make);
        let map = Arc::new(map);
        GetterSupplier {
            stores: self.stores.clone(),
            make: Arc::new(move || {
                Box::new(MappedGetter { parent: parent(), map: Arc::clone(&map) })
            }),
        }
    }
}

struct StoreGetter<K, V> {
    store: StoreRef<K, V>,
    handle: Option<Handle<K, V, TimestampedKeyValue>>,
}

impl<K: Data, V: Data> ValueGetter<K, V> for StoreGetter<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = Some(self.store.open(ctx)?);
        Ok(())
    }

    fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<V>>, Error> {
        self.handle.as_ref().expect("a getter is used after `init`").get(ctx, key)
    }

    fn is_versioned(&self, ctx: &Context<'_>) -> bool {
        self.handle.as_ref().is_some_and(|store| store.is_versioned(ctx))
    }

    fn get_as_of(
        &self,
        ctx: &Context<'_>,
        key: &K,
        time: i64,
    ) -> Result<Option<Timestamped<V>>, Error> {
        self.handle.as_ref().expect("a getter is used after `init`").get_as_of(ctx, key, time)
    }
}

struct MappedGetter<K, V, F> {
    parent: Box<dyn ValueGetter<K, V>>,
    map: Arc<F>,
}

impl<K: Data, V: Data, V2: Data, F> ValueGetter<K, V2> for MappedGetter<K, V, F>
where
    F: Fn(&K, V) -> Option<V2> + Send + Sync,
{
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.parent.init(ctx)
    }

    fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<V2>>, Error> {
        Ok(self.parent.get(ctx, key)?.and_then(|found| self.mapped(key, found)))
    }

    fn is_versioned(&self, ctx: &Context<'_>) -> bool {
        self.parent.is_versioned(ctx)
    }

    fn get_as_of(
        &self,
        ctx: &Context<'_>,
        key: &K,
        time: i64,
    ) -> Result<Option<Timestamped<V2>>, Error> {
        let found = self.parent.get_as_of(ctx, key, time)?;
        Ok(found.and_then(|found| self.mapped(key, found)))
    }
}

impl<K, V, F> MappedGetter<K, V, F> {
    fn mapped<V2>(&self, key: &K, found: Timestamped<V>) -> Option<Timestamped<V2>>
    where
        F: Fn(&K, V) -> Option<V2>,
    {
        let Timestamped { value, timestamp } = found;
        (self.map)(key, value).map(|value| Timestamped { value, timestamp })
    }
}
