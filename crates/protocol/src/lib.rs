//! Kafka's wire: requests, responses, record batches, error codes, API versions.
//!
//! Bytes in, values out, and back. Does no IO, reads no clock, and knows nothing about brokers,
//! clients or logs.
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that is cut on its way to the wire or the disk is lost data"
    )
)]

pub mod error_code;
pub mod numbers;
pub mod records;
pub mod rope;
pub mod uuid;
