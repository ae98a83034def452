//! One ring with what it takes to write frames into it: sequence numbers and how far it is durable.

use super::frame::{EntryHeader, FRAME_HEADER_BYTES, FrameBuilder, FrameHeader};
use super::ring::{Ring, RingFile, RingKind};
use crate::error::StorageError;

pub(crate) struct FrameWriter {
    pub(crate) ring: Ring,
    builder: FrameBuilder,
    directory_id: [u8; 16],
    run: u64,
    next_sequence: u64,
    /// Frames up to this one are durable.
    synced: u64,
    /// The last checkpoint frame that is durable.
    pub(crate) checkpoint: u64,
    /// The START of this run is written.
    started: bool,
    /// The greatest LSN in the frame being built.
    last_lsn: u64,
    /// The last frame only said that everything before it is durable.
    sealed: bool,
}

impl FrameWriter {
    pub(crate) fn new(ring: Ring, directory_id: [u8; 16], run: u64, next_sequence: u64) -> Self {
        Self {
            ring,
            builder: FrameBuilder::with_capacity(64 << 10),
            directory_id,
            run,
            next_sequence,
            // What is there already was synced when the directory was opened.
            synced: next_sequence - 1,
            checkpoint: 0,
            started: false,
            last_lsn: 0,
            sealed: false,
        }
    }

    /// Bytes of the frame being built.
    pub(crate) fn len(&self) -> usize {
        self.builder.len()
    }

    pub(crate) fn has_entries(&self) -> bool {
        self.builder.entry_count() > 0
    }

    pub(crate) fn push(&mut self, header: EntryHeader, parts: &[&[u8]]) {
        self.last_lsn = self.last_lsn.max(header.lsn);
        self.builder.push(header, parts);
    }

    /// Writes the frame that was built, or an empty one. The ring must have room for it.
    pub(crate) fn write(&mut self) -> Result<(), StorageError> {
        let kind = self.ring.kind();
        let header = FrameHeader {
            directory_id: self.directory_id,
            run: self.run,
            sequence: self.next_sequence,
            synced: self.synced,
            checkpoint: self.checkpoint,
            start: !self.started,
        };
        self.sealed = self.builder.entry_count() == 0;
        let frame = self.builder.finish(&header, kind.alignment());
        self.ring.write(frame, self.next_sequence, self.last_lsn)?;
        self.builder.clear();
        self.last_lsn = 0;
        self.started = true;
        if kind == RingKind::Synced {
            self.synced = self.next_sequence;
        }
        self.next_sequence += 1;
        Ok(())
    }

    /// Whether a seal is due: the last frame is durable, and no later one says so.
    pub(crate) fn wants_seal(&self) -> bool {
        self.started && !self.sealed && self.synced + 1 == self.next_sequence
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started
    }

    pub(crate) fn next_sequence(&self) -> u64 {
        self.next_sequence
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Frames up to `sequence` were made durable from outside.
    pub(crate) fn set_synced(&mut self, sequence: u64) {
        assert!(sequence < self.next_sequence, "a frame is written before it is durable");
        self.synced = self.synced.max(sequence);
    }

    pub(crate) fn add_file(&mut self, file: RingFile) {
        self.ring.add(file);
    }

    /// Bytes that an empty frame takes in this ring.
    pub(crate) fn empty_frame_bytes(&self) -> usize {
        FRAME_HEADER_BYTES.next_multiple_of(self.ring.kind().alignment())
    }
}
