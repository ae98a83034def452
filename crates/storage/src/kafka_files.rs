//! The names and small files of a log directory as Apache Kafka has them.
//!
//! ```text
//! <log.dirs>/
//!   meta.properties                        whose directory it is            [`meta_properties`]
//!   recovery-point-offset-checkpoint       durable up to here               [`offset_checkpoint`]
//!   log-start-offset-checkpoint            first offset, where DeleteRecords moved it
//!   replication-offset-checkpoint          high watermarks
//!   cleaner-offset-checkpoint              compacted up to here
//!   .kafka_cleanshutdown                   the last stop was clean          [`clean_shutdown`]
//!   <topic>-<partition>/                                                    [`names`]
//!     partition.metadata                   the topic's id                   [`partition_metadata`]
//!     leader-epoch-checkpoint              [`crate::leader_epochs`]
//!     <base offset, 20 digits>.log         batches, one behind the other
//!     <…>.index .timeindex .txnindex       [`crate::offset_index`] and its neighbours
//!     <…>.snapshot                         [`crate::producer_state::snapshot`]
//! ```
//!
//! Bytes in, values out, and back: strict on reading, with the line that is wrong, what was
//! expected there and what was found. The caller adds the path.

pub mod clean_shutdown;
pub mod meta_properties;
pub mod names;
pub mod offset_checkpoint;
pub mod partition_metadata;
pub mod text;
