//! Joins of a stream with a table, by the key, or with a global table, by whatever key the record names.

use super::getter::ValueGetter;
use crate::engine::{Context, Step};
use crate::error::Flow;
use crate::record::{Data, Record};
use crate::stores::join_buffer::{JoinBuffer, Waited};
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
    /// Where records wait until the table is as far as they are.
    pub(crate) buffer: Option<JoinBuffer<K, V>>,
    /// The table is asked for what it had at the time of the record (KIP-914).
    pub(crate) is_versioned: bool,
}

impl<K: Data, V: Data, KT: Data, VT: Data, VR: Data> Step<K, V>
    for StreamTableJoin<K, V, KT, VT, VR>
{
    fn init(&mut self, ctx: &Context<'_>) -> Flow {
        self.table.init(ctx)?;
        self.is_versioned = self.table.is_versioned(ctx);
        self.buffer.as_mut().map_or(Ok(()), |buffer| buffer.open(ctx))
    }

    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let key = (self.key_of)(record.key.as_ref(), record.value.as_ref());
        if record.value.is_none() || (key.is_none() && !self.is_left) {
            ctx.drop_record();
            return Ok(());
        }
        if let Some(buffer) = &mut self.buffer
            && buffer.put(ctx, &record)?
        {
            return self.join_due(ctx);
        }
        self.join(key.as_ref(), record, ctx)
    }
}

impl<K: Data, V: Data, KT: Data, VT: Data, VR: Data> StreamTableJoin<K, V, KT, VT, VR> {
    /// Joins records that have waited long enough, the oldest first.
    fn join_due(&self, ctx: &Context<'_>) -> Flow {
        let Some(buffer) = &self.buffer else { return Ok(()) };
        while let Some(Waited { entry, record, origin }) = buffer.oldest_due(ctx)? {
            let key = (self.key_of)(record.key.as_ref(), record.value.as_ref());
            ctx.as_from(origin, || self.join(key.as_ref(), record, ctx))?;
            buffer.remove(ctx, entry)?;
        }
        Ok(())
    }

    fn join(&self, key: Option<&KT>, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let Record { key: own_key, value: Some(value), timestamp, headers } = record else {
            return Ok(());
        };
        let found = match key {
            None => None,
            Some(key) if self.is_versioned => self.table.get_as_of(ctx, key, timestamp)?,
            Some(key) => self.table.get(ctx, key)?,
        };
        if found.is_none() && !self.is_left {
            return Ok(());
        }
        let found = found.map(|found| found.value);
        let value = (self.joiner)(own_key.as_ref(), &value, found.as_ref());
        ctx.forward(Record { key: own_key, value, timestamp, headers })
    }
}
