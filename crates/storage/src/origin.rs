//! Who wrote a batch: it decides how much of it is checked before it goes into the log.

/// Who wrote a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppendOrigin {
    /// A client's Produce request: everything is checked.
    Client,
    /// A group or transaction coordinator of this broker: it has no sequence numbers, and it may
    /// write control batches.
    Coordinator,
    /// The partition's leader, which has checked it already: taken as it is.
    Replica,
}
