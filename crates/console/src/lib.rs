//! The back end of the web console: what it shows, asked of a cluster through the client.
//!
//! It is a client like any other, so it opens on a cluster of Apache Kafka as well as on ours. It
//! knows nothing about how a broker works. Its interface is `docs/console-api.md`; the front end,
//! built from `web/`, is part of the binary.
//!
//! The `sampler` looks at the cluster and keeps the `state`; the modules of `view` answer the
//! screens from it, one a screen; `kafka` is the only way to the cluster.
// The futures of the routes hold one another many levels deep.
#![recursion_limit = "256"]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

mod console;
mod front;
mod routes;
mod trouble;

mod kafka;
mod metrics;
mod sampler;
mod series;
mod state;

mod filter;
pub mod json_text;
mod message_filter;
mod scan;

mod keep;
mod view;
mod writer;

pub use console::{ConsoleConfig, ConsoleServer, Environment, StartError};
pub use message_filter::{MessageFilter, MessageFilterError, MessageParts};
