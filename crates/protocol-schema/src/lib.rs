//! The compact schema in which `crates/protocol/schema` writes down Kafka's messages.
//!
//! `parse` and `print` turn text into a [`model`] and back, `sample` draws random messages from a
//! model, byte by byte. The generator in `xtask`, the tests of `afluente-protocol` and the tool
//! `dump-log` build on it; nothing that serves does. The grammar is in `docs/formats/protocol-schema.md`.
//!
//! Knows nothing about Rust code, JSON, or any single message.

pub mod model;
pub mod parse;
pub mod print;
pub mod sample;
pub mod versions;
