//! Kafka's wire: requests, responses, record batches, error codes, API versions.
//!
//! Bytes in, values out, and back. Does no IO, reads no clock, and knows nothing about brokers,
//! clients or logs.

pub mod records;
