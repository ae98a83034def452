//! A Kafka client: it works against our broker and against Apache Kafka alike.
//!
//! Everything that stands above the broker reaches data through this crate. A [`Client`] keeps
//! connections, the versions that each broker speaks, the metadata of the cluster and the
//! coordinators it has looked up; whoever stands on it sends typed requests to a [`Target`] and
//! gets typed answers, or an [`Error`] that says what was tried.
//!
//! The layers, from the socket up:
//!
//! | module | what it knows |
//! |---|---|
//! | [`config`] | Kafka's configuration keys: names, kinds, defaults, what is allowed |
//! | [`security`] | TLS and SASL under it: from configuration to certificates and credentials |
//! | [`connection`] | one connection: frames, correlation, order, time limits, API versions |
//! | [`metadata`] | brokers, topics, leaders and their epochs, as last told |
//! | [`admin`] | what tools and consoles ask of a cluster |
//! | [`client`] | which broker a request belongs to, connecting again, trying again |
//! | [`producer`] | records in, acknowledgements out |
//! | [`consumer`] | reading records, alone or in a group |
//!
//! It knows nothing about how a broker works, nor about the layout of files. What is inside record
//! batches is the business of `afluente_protocol::records`.
//!
//! # Time
//! Every wait has an end: a call takes a [`Deadline`], one attempt within it takes at most
//! `request.timeout.ms`, and a connection is made within `socket.connection.setup.timeout.ms`.
//! Time, sockets and randomness come from an [`afluente_env::Env`], so that a client also runs in a
//! simulation.
//!
//! # Cancellation
//! Dropping the future of a call leaves the client as good as before. A request that was already
//! on its way may still be carried out by the broker; its answer is dropped when it comes.
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod admin;
pub mod client;
pub mod config;
pub mod connection;
pub mod consumer;
pub mod deadline;
pub mod error;
pub mod metadata;
pub mod producer;
pub mod retry;
pub mod security;

mod bootstrap;
mod coordinators;
mod nodes;
mod topic_partition;

pub use admin::{Admin, AdminConfig};
pub use client::{Client, Target};
pub use config::ClientConfig;
pub use consumer::{Consumer, ConsumerConfig};
pub use coordinators::CoordinatorKind;
pub use deadline::Deadline;
pub use error::Error;
pub use metadata::ClusterMetadata;
pub use producer::{Producer, ProducerConfig};
pub use topic_partition::TopicPartition;
