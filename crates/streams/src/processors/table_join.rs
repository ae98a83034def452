//! Joins of two tables by their key: each side looks the other up, and a merger behind both keeps the result.

use super::getter::{GetterSupplier, ValueGetter};
use crate::engine::{Context, Flushed, Step};
use crate::error::{Error, Flow};
use crate::record::{Change, Data, Record, Timestamped};
use crate::stores::Put;
use crate::stores::handles::{Handle, StoreRef, TimestampedKeyValue};
use std::sync::Arc;

/// Joins two values, at least one of which is there.
pub(crate) type TableJoiner<V1, V2, VR> =
    Arc<dyn Fn(Option<&V1>, Option<&V2>) -> Option<VR> + Send + Sync>;

/// Which side must be there for there to be a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JoinKind {
    Inner,
    Left,
    Outer,
}

/// One side of a join, as it sees itself: `this` is the side that changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Needs {
    /// There is no result without this side.
    pub(crate) this: bool,
    /// There is no result without the other side.
    pub(crate) other: bool,
}

impl Needs {
    pub(crate) fn left(kind: JoinKind) -> Self {
        Self { this: kind != JoinKind::Outer, other: kind == JoinKind::Inner }
    }

    pub(crate) fn right(kind: JoinKind) -> Self {
        let Self { this, other } = Self::left(kind);
        Self { this: other, other: this }
    }
}

pub(crate) struct TableJoin<K, V1, V2, VR> {
    pub(crate) other: Box<dyn ValueGetter<K, V2>>,
    pub(crate) joiner: TableJoiner<V1, V2, VR>,
    pub(crate) needs: Needs,
    pub(crate) sends_old: bool,
    /// Changes of the past of a versioned table are dropped (KIP-914).
    pub(crate) drops_older: bool,
}

impl<K: Data, V1: Data, V2: Data, VR: Data> Step<K, Change<V1>> for TableJoin<K, V1, V2, VR> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.other.init(ctx)
    }

    fn process(&mut self, record: Record<K, Change<V1>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(change), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        if self.drops_older && !change.is_latest {
            ctx.drop_record();
            return Ok(());
        }
        let other = self.other.get(ctx, &key)?;
        if other.is_none() {
            if self.needs.other {
                return Ok(());
            }
            if change.new.is_none() && change.old.is_none() {
                return Ok(());
            }
        }
        let timestamp = other.as_ref().map_or(timestamp, |other| timestamp.max(other.timestamp));
        let other = other.map(|other| other.value);
        let join = |this: Option<&V1>| {
            if this.is_none() && (self.needs.this || other.is_none()) {
                None
            } else {
                (self.joiner)(this, other.as_ref())
            }
        };
        let new = join(change.new.as_ref());
        let old = if self.sends_old { join(change.old.as_ref()) } else { None };
        let value = Some(Change { new, old, is_latest: change.is_latest });
        ctx.forward(Record { key: Some(key), value, timestamp, headers })
    }
}

/// Where the two sides of a join come together.
pub(crate) struct JoinMerger<K, V> {
    pub(crate) store: Option<StoreRef<K, V>>,
    pub(crate) handle: Option<Handle<K, V, TimestampedKeyValue>>,
    pub(crate) sends_old: bool,
}

impl<K: Data, V: Data> Step<K, Change<V>> for JoinMerger<K, V> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.handle = self.store.as_ref().map(|store| store.open(ctx)).transpose()?;
        Ok(())
    }

    fn process(&mut self, record: Record<K, Change<V>>, ctx: &Context<'_>) -> Flow {
        let Record { key: Some(key), value: Some(mut change), timestamp, headers } = record else {
            return Ok(());
        };
        if !self.sends_old {
            change.old = None;
        }
        if let Some(store) = &self.handle {
            let put = store.put(ctx, &key, change.new.as_ref(), timestamp)?;
            if matches!(put, Put::Refused | Put::Held) {
                return Ok(());
            }
            change.is_latest = put == Put::Newest;
        }
        ctx.forward(Record { key: Some(key), value: Some(change), timestamp, headers })
    }

    fn flushed(&mut self, update: Flushed, ctx: &Context<'_>) -> Flow {
        let store = self.handle.as_ref().expect("only a store holds back");
        ctx.forward(store.flushed(update, self.sends_old)?)
    }
}

struct JoinGetter<K, V1, V2, VR> {
    left: Box<dyn ValueGetter<K, V1>>,
    right: Box<dyn ValueGetter<K, V2>>,
    joiner: TableJoiner<V1, V2, VR>,
    kind: JoinKind,
}

/// Looks a joined table up that has no store.
pub(crate) fn join_getter<K: Data, V1: Data, V2: Data, VR: Data>(
    left: GetterSupplier<K, V1>,
    right: GetterSupplier<K, V2>,
    joiner: TableJoiner<V1, V2, VR>,
    kind: JoinKind,
) -> GetterSupplier<K, VR> {
    let mut stores = left.stores.clone();
    for store in &right.stores {
        if !stores.contains(store) {
            stores.push(store.clone());
        }
    }
    GetterSupplier {
        stores,
        make: Arc::new(move || {
            Box::new(JoinGetter {
                left: (left.make)(),
                right: (right.make)(),
                joiner: Arc::clone(&joiner),
                kind,
            })
        }),
    }
}

impl<K: Data, V1: Data, V2: Data, VR: Data> ValueGetter<K, VR> for JoinGetter<K, V1, V2, VR> {
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.left.init(ctx)?;
        self.right.init(ctx)
    }

    fn get(&self, ctx: &Context<'_>, key: &K) -> Result<Option<Timestamped<VR>>, Error> {
        let left = self.left.get(ctx, key)?;
        if left.is_none() && self.kind != JoinKind::Outer {
            return Ok(None);
        }
        let right = self.right.get(ctx, key)?;
        if right.is_none() && (self.kind == JoinKind::Inner || left.is_none()) {
            return Ok(None);
        }
        let timestamp =
            [left.as_ref().map(|left| left.timestamp), right.as_ref().map(|right| right.timestamp)]
                .into_iter()
                .flatten()
                .max()
                .unwrap_or(-1);
        let value = (self.joiner)(
            left.as_ref().map(|left| &left.value),
            right.as_ref().map(|right| &right.value),
        );
        Ok(value.map(|value| Timestamped { value, timestamp }))
    }
}
