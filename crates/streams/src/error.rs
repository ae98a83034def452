//! What can go wrong in a topology, and which of it ends a task.

use std::sync::Arc;

/// The one error of this crate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The description of the topology cannot be built.
    #[error("invalid topology: {0}")]
    Topology(String),
    /// Bytes of a topic or a store are not what the serde expects.
    #[error("could not read the {part} of a record of topic \"{topic}\": {reason}")]
    Deserialize {
        /// Where the bytes came from.
        topic: Arc<str>,
        /// `key` or `value`.
        part: &'static str,
        /// What the serde said.
        reason: String,
    },
    /// A value that the serde cannot write.
    #[error("could not write the {part} of a record for topic \"{topic}\": {reason}")]
    Serialize {
        /// Where the bytes were to go.
        topic: Arc<str>,
        /// `key` or `value`.
        part: &'static str,
        /// What the serde said.
        reason: String,
    },
    /// A store is not there, or is of another kind than its user thinks.
    #[error("state store \"{name}\": {reason}")]
    Store {
        /// The store.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A record that the operators may not see.
    #[error(
        "record of topic \"{topic}\" has the invalid timestamp {timestamp}: check the producer, or give the source a timestamp extractor"
    )]
    Timestamp {
        /// Where the record came from.
        topic: Arc<str>,
        /// Milliseconds since the epoch.
        timestamp: i64,
    },
    /// An operator refuses to go on.
    #[error("operator \"{node}\": {reason}")]
    Operator {
        /// The node of the topology.
        node: String,
        /// What it said.
        reason: String,
    },
}

impl Error {
    /// Which of them it is, in one word.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Topology(_) => "TopologyError",
            Self::Deserialize { .. } => "DeserializationError",
            Self::Serialize { .. } => "SerializationError",
            Self::Store { .. } => "StoreError",
            Self::Timestamp { .. } => "TimestampError",
            Self::Operator { .. } => "OperatorError",
        }
    }
}

/// What processing a record comes to.
pub type Flow = Result<(), Error>;
