//! What ends a stream thread.

use afluente_client::config::ConfigError;
use afluente_client::consumer::ConsumerError;
use afluente_client::producer::ErrorHandling;

/// What ends a stream thread.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// An operator, a serde or a store.
    #[error(transparent)]
    Streams(#[from] crate::Error),
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Reading.
    #[error(transparent)]
    Consumer(#[from] ConsumerError),
    /// Writing, or asking the cluster.
    #[error(transparent)]
    Client(#[from] afluente_client::Error),
    /// Topics that the application reads are not there.
    #[error(
        "topics that the application reads do not exist: {topics}; create them before it starts"
    )]
    MissingTopics {
        /// Their names.
        topics: String,
    },
    /// Topics that are joined have different numbers of partitions.
    #[error(
        "topics that are joined must have the same number of partitions:\n{table}\nadd partitions to the smaller ones, or send one side through `repartition`"
    )]
    NotCopartitioned {
        /// A line a topic: its name, its partitions.
        table: String,
    },
    /// An internal topic does not fit the topology.
    #[error(
        "internal topic \"{topic}\" has {found} partitions, and the topology needs {wanted}: reset the application, or restore the topics it reads"
    )]
    InternalTopic {
        /// The topic.
        topic: String,
        /// What it has.
        found: i32,
        /// What it should have.
        wanted: i32,
    },
    /// The group went on without this thread.
    #[error("group \"{group}\" went on without this thread: its tasks are somebody else's")]
    Migrated {
        /// The group.
        group: String,
    },
    /// A changelog was cut, or deleted in part, while it was being read.
    #[error("the changelog {partition} ends before the state that was written to it")]
    Changelog {
        /// Topic and partition.
        partition: String,
    },
    /// A call that does not fit the state.
    #[error("{0}")]
    IllegalState(String),
}

impl RuntimeError {
    /// Whether a thread that begins anew from its last commit goes on as if nothing had happened.
    pub(super) fn is_passing(&self) -> bool {
        let client = match self {
            Self::Migrated { .. } | Self::Consumer(ConsumerError::CommitFailed { .. }) => {
                return true;
            }
            Self::Consumer(ConsumerError::Client(error)) | Self::Client(error) => error,
            Self::Consumer(error) => return error.is_retriable(),
            _ => return false,
        };
        match client.handling() {
            ErrorHandling::Retriable
            | ErrorHandling::RefreshRetriable
            | ErrorHandling::Abortable
            | ErrorHandling::ApplicationRecoverable => true,
            ErrorHandling::InvalidConfiguration => false,
            ErrorHandling::Other => {
                matches!(client, afluente_client::Error::DeadlinePassed { .. })
                    || client.is_retriable()
            }
        }
    }
}
