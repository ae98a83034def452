//! Kafka's wire: requests, responses, record batches, error codes, API versions.
//!
//! Bytes in, values out, and back. Does no IO, reads no clock, and knows nothing about brokers,
//! clients or logs.
//!
//! A frame is taken apart by [`frame`], its body by the struct of the message in [`messages`],
//! which is generated from `schema/` and stands on [`message`], [`reader`] and [`writer`]. What is
//! inside the records of a produce request or a fetch response is the business of [`records`].
#![cfg_attr(
    not(test),
    warn(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number that is cut on its way to the wire or the disk is lost data"
    )
)]

pub mod api_key;
mod element;
pub mod error_code;
pub mod frame;
pub mod message;
pub mod messages;
pub mod metadata_log;
pub mod numbers;
pub mod reader;
pub mod records;
pub mod rope;
pub mod uuid;
pub mod writer;
