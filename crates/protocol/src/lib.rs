//! Kafka's wire: requests, responses, record batches, error codes, API versions.
//!
//! Bytes in, values out, and back. Does no IO, reads no clock, and knows nothing about brokers,
//! clients or logs.

pub mod error_code;
pub mod numbers;
pub mod records;
pub mod rope;
pub mod uuid;
