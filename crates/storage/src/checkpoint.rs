//! The checkpoint: what is known of every log as of some journal entry, in one file.
//!
//! Appended to after each round of segment writing, and when the shape of a log changes (it was
//! truncated or compacted): such a change is *done* when its record is durable here, and nothing
//! else tells of it. Drawn in `docs/formats/checkpoint.md`.
//!
//! Records of one log may be appended out of order by two threads; the one with the highest
//! version counts.

pub(crate) mod file;
pub(crate) mod record;

pub(crate) use file::{CheckpointWriter, FILE, FrameFacts, Loaded, load};
pub(crate) use record::{LogRecord, Record, SegmentRecord};
