//! What the standard library lacks, and nothing that knows about Kafka: checksums, aligned and
//! append-only shared buffers with memory that is used again, variable-length integers.
//!
//! Knows nothing about topics, logs, requests, files or sockets, and never touches the world.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that is cut on its way to the wire or the disk is lost data"
    )
)]

pub mod aligned_buf;
pub mod append_buf;
pub mod crc32c;
pub mod page_pool;
pub mod varint;
