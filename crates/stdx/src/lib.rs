//! What the standard library lacks, and nothing that knows about Kafka: checksums, aligned and
//! append-only shared buffers, variable-length integers.
//!
//! Knows nothing about topics, logs, requests, files or sockets, and never touches the world.

pub mod aligned_buf;
pub mod append_buf;
pub mod crc32c;
pub mod varint;
