//! The client against brokers of which the test says every answer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod calls;
mod fake;
mod producing;
