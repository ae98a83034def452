//! The server as a client on a socket sees it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod serving;
mod sockets;
mod support;
