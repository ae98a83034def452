//! What every HTTP face of the platform shares: the listener and its bounds, the guard against
//! foreign web pages, the error body, static files, WebSocket.
//!
//! HTTP/1.1 by hyper on `env` sockets. This crate knows nothing about Kafka, nor about any path
//! but `/healthz`: what is behind a path is the [`Handler`](server::Handler)'s.
//!
//! The walk of a request: [`server`] accepts and bounds, [`guard`] turns foreign pages away, the
//! handler answers from a [`request`] with a [`response`] or a [`problem`].
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod server;

pub mod guard;
pub mod login;

pub mod problem;
pub mod request;
pub mod response;

pub mod assets;
pub mod websocket;

mod io;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
