//! The log of a partition, and many logs on one directory.
//!
//! Knows nothing about sockets, requests, groups or clusters; it reaches the disk through `env`.

pub mod kafka_files;
pub mod leader_epochs;
pub mod origin;
pub mod producer_state;
