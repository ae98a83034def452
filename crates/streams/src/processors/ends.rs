//! Where records enter and leave: between bytes and values.

use crate::dsl::Partitioner;
use crate::engine::{Context, Node, PartitionChoice, Produced, Step, node};
use crate::error::{Error, Flow};
use crate::record::{Data, Record};
use crate::serdes::SerdeOf;
use bytes::Bytes;
use std::sync::Arc;

struct Source<K, V> {
    keys: SerdeOf<K>,
    values: SerdeOf<V>,
}

/// Reads a topic.
pub(crate) fn source<K: Data, V: Data>(keys: SerdeOf<K>, values: SerdeOf<V>) -> Box<dyn Node> {
    node(Source { keys, values })
}

impl<K: Data, V: Data> Step<Bytes, Bytes> for Source<K, V> {
    fn process(&mut self, record: Record<Bytes, Bytes>, ctx: &Context<'_>) -> Flow {
        let read = |part, reason| Error::Deserialize {
            topic: ctx.origin().map_or_else(|| Arc::from(""), |origin| origin.topic),
            part,
            reason,
        };
        let Record { key, value, timestamp, headers } = record;
        let key = match key {
            Some(key) => {
                Some(self.keys.deserialize("", &key).map_err(|reason| read("key", reason))?)
            }
            None => None,
        };
        let value = match value {
            Some(value) => {
                Some(self.values.deserialize("", &value).map_err(|reason| read("value", reason))?)
            }
            None => None,
        };
        ctx.forward(Record { key, value, timestamp, headers })
    }
}

/// Names the topic of each record.
pub(crate) type TopicOf<K, V> = Arc<dyn Fn(&Record<K, V>) -> Arc<str> + Send + Sync>;

pub(crate) struct Sink<K, V> {
    pub(crate) topic: Option<Arc<str>>,
    pub(crate) topic_of: Option<TopicOf<K, V>>,
    pub(crate) keys: SerdeOf<K>,
    pub(crate) values: SerdeOf<V>,
    pub(crate) partitioner: Option<Partitioner<K, V>>,
}

impl<K: Data, V: Data> Step<K, V> for Sink<K, V> {
    fn process(&mut self, record: Record<K, V>, ctx: &Context<'_>) -> Flow {
        let topic = match (&self.topic, &self.topic_of) {
            (Some(topic), _) => Arc::clone(topic),
            (None, Some(topic_of)) => topic_of(&record),
            (None, None) => {
                return Err(Error::Topology(format!("sink \"{}\" has no topic", ctx.node_name())));
            }
        };
        if record.timestamp < 0 {
            return Err(Error::Timestamp { topic, timestamp: record.timestamp });
        }
        let fail = |part: &'static str| {
            let topic = Arc::clone(&topic);
            move |reason| Error::Serialize { topic, part, reason }
        };
        let mut partition = PartitionChoice::ByKey;
        let key = match &record.key {
            Some(key) => {
                if let Some(bytes) = self.keys.partition_bytes(&topic, key).map_err(fail("key"))? {
                    partition = PartitionChoice::ByBytes(bytes);
                }
                Some(self.keys.serialize(&topic, key).map_err(fail("key"))?)
            }
            None => None,
        };
        if let Some(partitioner) = &self.partitioner
            && let Some(chosen) = partitioner(record.key.as_ref(), record.value.as_ref())
        {
            partition = PartitionChoice::Exactly(chosen);
        }
        let value = match &record.value {
            Some(value) => Some(self.values.serialize(&topic, value).map_err(fail("value"))?),
            None => None,
        };
        ctx.produce(Produced {
            topic,
            partition,
            key,
            value,
            timestamp: record.timestamp,
            headers: record.headers,
        });
        Ok(())
    }
}
