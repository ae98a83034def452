//! The log of a partition, and many logs on one directory.
//!
//! Knows nothing about sockets, requests, groups or clusters; it reaches the disk through `env`.

pub mod index_error;
pub mod kafka_files;
pub mod leader_epochs;
pub mod offset_index;
pub mod origin;
pub mod producer_state;
pub mod segment_index;
pub mod time_index;
pub mod txn_index;
