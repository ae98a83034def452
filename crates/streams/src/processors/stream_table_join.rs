//! Joins of a stream with a table, by the key, or with a global table, by whatever key the record names.

use super::getter::ValueGetter;
use crate::engine::{Context, Step};
use crate::error::Flow;
use crate::record::{Data, Record};
use std::sync::Arc;

/// Names the key of the table that a record belongs to.
pub(crate) type KeyOf<K, V, KT> = Arc<dyn Fn(Option<&K>, Option<&V>) -> Option<KT> + Send + Sync>;

/// Joins a record's value with what the table has.
pub(crate) type StreamJoiner<K, V, VT, VR> =
    Arc<dyn Fn(Option<&K>, &V, Option<&VT>) -> Option<VR> + Send + Sync>;

pub(crate) struct StreamTableJoin<K, V, KT, VT, VR> {
    pub(crate) table: Box<dyn ValueGetter<KT, VT>>,
    pub(crate) key_of: KeyOf<K, V, KT>,
    pub(crate) joiner: StreamJoiner<K, V, VT, VR>,
    pub(crate) is_left: bool,
}

impl<K: Data, V: Data, KT: Data, VT: Data, VR: Data> Step<K, V>
    for StreamTableJoin<K, V, KT, VT, VR>
{
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.table.init(ctx)
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let key = (self.key_of)(record.key.as_ref(), record.value.as_ref());
        let Record { key: own_key, value: Some(value), timestamp, headers } = record else {
            ctx.drop_record();
            return Ok(());
        };
        let found = match &key {
            Some(key) => self.table.get(ctx, key)?,
            None if self.is_left => None,
            None => {
                ctx.drop_record();
                return Ok(());
            }
        };
        if found.is_none() && !self.is_left {
            return Ok(());
        }
        let found = found.map(|found| found.value);
        let value = (self.joiner)(own_key.as_ref(), &value, found.as_ref());
        ctx.forward(Record { key: own_key, value, timestamp, headers })
    }
}
