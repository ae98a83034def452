//! What the cluster is: an image built from Kafka's metadata records, and what the controller
//! decides on it.
//!
//! The controller turns a request into records ([`controller`]); whoever owns the metadata log
//! appends them, and applies them to the [`image::MetadataImage`] once they are durable. The same
//! records rebuild the image after a restart.
//!
//! Does no IO, reads no clock, spawns nothing: ids and times come in as arguments. Knows nothing
//! about logs, sockets or groups.

pub mod controller;
pub mod image;
pub mod topic_name;
