//! The log of a partition, and many logs on one directory.
//!
//! Knows nothing about sockets, requests, groups or clusters; it reaches the disk through `env`.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that is cut on its way to the wire or the disk is lost data"
    )
)]

pub mod compaction;
pub mod index_error;
pub mod kafka_files;
pub mod leader_epochs;
pub mod log_config;
pub mod offset_index;
pub mod origin;
pub mod producer_state;
pub mod segment_index;
pub mod time_index;
pub mod txn_index;
pub mod validate;
