//! Who somebody is, and how that is proved: SASL step by step, and TLS settings.
//!
//! | module | what it knows |
//! |---|---|
//! | [`jaas`] | the text of `sasl.jaas.config` |
//! | [`sasl`] | what a client says in PLAIN, SCRAM and OAUTHBEARER, message by message |
//! | [`scram`] | the keys of SCRAM (RFC 5802, RFC 7677) |
//! | [`token`] | tokens of OAUTHBEARER, and those that nobody signed |
//! | [`tls`] | from certificates and keys in PEM to the settings of a TLS connection |
//!
//! It does no IO, reads no clock and makes up no randomness: bytes, times and nonces come in as
//! arguments. It knows nothing of sockets, nor of Kafka's requests that carry the messages.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod error;
pub mod jaas;
pub mod sasl;
pub mod scram;
pub mod tls;
pub mod token;

pub use error::AuthError;
