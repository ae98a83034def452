//! The client against brokers of which the test says every answer, and against real ones.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod calls;
mod consuming;
mod fake;
mod producing;
mod real;
mod secured;
