//! What can go wrong in a log directory, and what the client is told.

use afluente_protocol::error_code::ErrorCode;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An error of a log directory or of one log.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StorageError {
    /// The disk refused; the directory may be offline now.
    #[error("could not {what} \"{}\"", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Bytes that were durable once are not what they were. Nothing was changed.
    #[error(
        "\"{}\" is damaged at byte {position}: expected {expected}, found {found}; {remedy}",
        path.display()
    )]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// Another process has the directory.
    #[error("\"{}\" is in use by another process, which holds the lock on its file .lock", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// Another program worked in the directory after we were killed in it.
    #[error(
        "log directory \"{}\" was changed by another program ({evidence}) while its journal held \
         records that were not in the segments yet; {remedy}",
        path.display()
    )]
    ForeignChange {
        /// The directory.
        path: PathBuf,
        /// How it shows.
        evidence: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// An earlier error took the directory out of service.
    #[error("log directory \"{}\" is offline", path.display())]
    Offline {
        /// The directory.
        path: PathBuf,
        /// The error that did it.
        #[source]
        reason: Arc<StorageError>,
    },
    /// A log of this name is there already.
    #[error("log {0} exists already")]
    LogExists(crate::TopicPartition),
    /// No log of this name is there.
    #[error("log {0} does not exist")]
    LogUnknown(crate::TopicPartition),
    /// The name cannot be a directory.
    #[error("\"{0}\" cannot be a topic's directory")]
    BadTopicName(String),
    /// An offset outside of the log.
    #[error("offset {offset} is not in log {partition}, which holds {start} to {end}")]
    OffsetOutOfRange {
        /// What was asked for.
        offset: i64,
        /// Of which log.
        partition: crate::TopicPartition,
        /// Its start offset.
        start: i64,
        /// Its end offset.
        end: i64,
    },
    /// What Apache Kafka has left cannot be taken over.
    #[error(transparent)]
    Import(#[from] crate::import::ImportError),
    /// A value of the configuration that cannot work.
    #[error("{0}")]
    Config(String),
}

impl StorageError {
    /// The Kafka error code with which a broker tells it.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::LogUnknown(_) => ErrorCode::UnknownTopicOrPartition,
            Self::LogExists(_) => ErrorCode::TopicAlreadyExists,
            Self::BadTopicName(_) => ErrorCode::InvalidTopicException,
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Config(_) => ErrorCode::InvalidConfig,
            _ => ErrorCode::KafkaStorageError,
        }
    }

    /// Whether the same call can succeed later.
    #[must_use]
    pub fn is_retriable(&self) -> bool {
        self.code().is_retriable()
    }

    /// Whether the file system has no room left, which passes by itself.
    #[must_use]
    pub fn is_no_space(&self) -> bool {
        match self {
            Self::Io { source, .. } => {
                matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
            }
            _ => false,
        }
    }
}

/// Says what was tried on which path, where an [`io::Error`] only says how it failed.
pub(crate) trait IoContext<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, what: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError::Io {
            what,
            path: path.to_owned(),
            source: Arc::new(source),
        })
    }
}
