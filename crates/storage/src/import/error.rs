//! Why a directory of Apache Kafka cannot be read.

use crate::kafka_files::text::TextError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a directory of Apache Kafka cannot be read. Nothing in it was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ImportError {
    /// The disk refused.
    #[error("could not {what} \"{}\"", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<io::Error>,
    },
    /// Batches that were durable are not what they were.
    #[error(
        "\"{}\" is damaged at byte {position}: expected {expected}, found {found}; {remedy}",
        path.display()
    )]
    Damaged {
        /// The segment.
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
    /// Messages from before Kafka 0.11.
    #[error(
        "\"{}\" holds message format v{magic} at byte {position}, which is not served here; let \
         Apache Kafka mirror the topic into a new one, which rewrites it",
        path.display()
    )]
    Legacy {
        /// The segment.
        path: PathBuf,
        /// Where in it.
        position: u64,
        /// 0 or 1.
        magic: i8,
    },
    /// A small file is not what it should be.
    #[error("\"{}\" is damaged; {remedy}", path.display())]
    Text {
        /// The file.
        path: PathBuf,
        /// What to do about it.
        remedy: &'static str,
        /// The line that is wrong.
        #[source]
        source: TextError,
    },
    /// A small file is not small.
    #[error("\"{}\" is larger than {bytes_max} bytes, which no file of its kind is", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is allowed.
        bytes_max: usize,
    },
}

impl ImportError {
    pub(super) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { what, path: path.to_owned(), source: Arc::new(source) }
    }
}
