//! The broker over real sockets on the loopback interface, by hand-made requests.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(missing_docs, reason = "tests")]

mod support;

mod apis;
mod bad_input;
mod configs;
mod fetching;
mod groups;
mod limits;
mod producing;
mod transactions;
