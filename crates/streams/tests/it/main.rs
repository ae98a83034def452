//! Integration tests of the streams.
#![allow(clippy::unwrap_used, reason = "a test that fails panics")]
#![allow(clippy::print_stderr, reason = "the judge says which cases differ, and where")]

mod judge;
mod runtime;
