//! Operators that remember nothing.

use crate::engine::{Context, Node, Step, node};
use crate::error::Flow;
use crate::record::{Change, Data, Record};

struct Each<F>(F);

impl<K, V, F> Step<K, V> for Each<F>
where
    F: FnMut(Record<K, V>, &Context<'_>) -> Flow + Send,
{
    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        (self.0)(record, ctx)
    }
}

/// A node that is no more than a function.
pub(crate) fn each<K: Data, V: Data>(
    work: impl FnMut(Record<K, V>, &Context<'_>) -> Flow + Send + 'static,
) -> Box<dyn Node> {
    node(Each(work))
}

/// Passes all on.
pub(crate) fn pass<K: Data, V: Data>() -> Box<dyn Node> {
    each(|record: Record<K, V>, ctx| ctx.forward(record))
}

/// Passes on what has a key.
pub(crate) fn drop_null_keys<K: Data, V: Data>() -> Box<dyn Node> {
    each(
        |record: Record<K, V>, ctx| if record.key.is_some() { ctx.forward(record) } else { Ok(()) },
    )
}

/// From the changes of a table to a stream of its values.
pub(crate) fn table_to_stream<K: Data, V: Data>() -> Box<dyn Node> {
    each(|record: Record<K, Change<V>>, ctx| {
        let Record { key, value, timestamp, headers } = record;
        let value = value.and_then(|change| change.new);
        ctx.forward(Record { key, value, timestamp, headers })
    })
}
