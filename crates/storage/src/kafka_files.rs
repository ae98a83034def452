//! The names and small files of a log directory as Apache Kafka has them.
//!
//! Bytes in, values out, and back: strict on reading, with the line that is wrong, what was
//! expected there and what was found. The caller adds the path.

pub mod text;
