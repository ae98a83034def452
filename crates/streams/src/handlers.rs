//! Records that go wrong: whether the application goes on without them.

use crate::engine::{Origin, PartitionChoice, Produced, TaskId};
use crate::error::Error;
use crate::record::Headers;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;

/// What to do about a record that went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    /// The thread ends, and the uncaught exception handler has the word.
    Fail,
    /// The record is left out.
    Continue,
}

/// A record that went wrong.
#[derive(Debug)]
pub struct FailedRecord<'a> {
    /// What went wrong.
    pub error: &'a Error,
    /// The task it happened in.
    pub task: TaskId,
    /// Name of the node.
    pub node: &'a str,
    /// Which record of the cluster led to it; `None` in a punctuation.
    pub origin: Option<&'a Origin>,
    /// Its key, as bytes, if it came from a topic.
    pub key: Option<&'a Bytes>,
    /// Its value, as bytes, if it came from a topic.
    pub value: Option<&'a Bytes>,
}

/// Decides about a record that went wrong.
#[derive(Clone)]
pub struct Handler(Arc<dyn Fn(&FailedRecord<'_>) -> OnError + Send + Sync>);

impl Handler {
    /// One that asks `decide`.
    pub fn new(decide: impl Fn(&FailedRecord<'_>) -> OnError + Send + Sync + 'static) -> Self {
        Self(Arc::new(decide))
    }
}

impl From<OnError> for Handler {
    fn from(always: OnError) -> Self {
        Self::new(move |_| always)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handler")
    }
}

/// One for each step of a record; without one, the application fails.
#[derive(Clone, Debug, Default)]
pub struct Handlers {
    /// For bytes of a topic that cannot be read (KIP-161).
    pub deserialization: Option<Handler>,
    /// For operators that fail (KIP-1033).
    pub processing: Option<Handler>,
    /// For values that cannot be written (KIP-210).
    pub production: Option<Handler>,
    /// Where records go that were given up, with headers that say why (KIP-1034).
    pub dead_letter_topic: Option<Arc<str>>,
}

impl Handlers {
    /// Whether every error ends the task, and nothing is kept of it.
    pub(crate) fn is_empty(&self) -> bool {
        self.deserialization.is_none()
            && self.processing.is_none()
            && self.production.is_none()
            && self.dead_letter_topic.is_none()
    }

    pub(crate) fn decide(&self, failed: &FailedRecord<'_>) -> OnError {
        let handler = match failed.error {
            Error::Deserialize { .. } => &self.deserialization,
            Error::Serialize { .. } => &self.production,
            // A topology or a store that is wrong is wrong for every record.
            Error::Topology(_) | Error::Store { .. } => &None,
            Error::Timestamp { .. } | Error::Operator { .. } => &self.processing,
        };
        let decided = handler.as_ref().map_or(OnError::Fail, |handler| (handler.0)(failed));
        if decided == OnError::Continue {
            tracing::warn!(
                error = %failed.error,
                task = %failed.task,
                node = failed.node,
                "a record is left out"
            );
        }
        decided
    }

    /// The dead letter of a record, with the headers of Kafka Streams.
    pub(crate) fn dead_letter(
        &self,
        failed: &FailedRecord<'_>,
        timestamp: i64,
    ) -> Option<Produced> {
        let topic = Arc::clone(self.dead_letter_topic.as_ref()?);
        let mut headers = Headers::default();
        let mut add = |name: &str, value: String| {
            headers.add(format!("__streams.errors.{name}"), Some(value.into()));
        };
        add("exception", failed.error.kind().to_owned());
        add("message", failed.error.to_string());
        if let Some(origin) = failed.origin {
            add("topic", origin.topic.as_ref().to_owned());
            add("partition", origin.partition.to_string());
            add("offset", origin.offset.to_string());
        }
        Some(Produced {
            topic,
            partition: PartitionChoice::ByKey,
            key: failed.key.cloned(),
            value: failed.value.cloned(),
            timestamp,
            headers,
        })
    }
}

/// What to do about a thread that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnThreadError {
    /// Another thread takes its place, and goes on from its last commit.
    ReplaceThread,
    /// The instance ends, with the state `ERROR`.
    ShutdownClient,
}
