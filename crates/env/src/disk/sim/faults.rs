//! What goes wrong on a simulated disk, by chance and by order.

use crate::rng::Rng;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

/// What may go wrong. Probabilities are per operation, from 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// Errors, short transfers and latency meet only paths that contain this; empty means all.
    pub paths_containing: String,
    /// `EIO` from a read.
    pub read_error: f64,
    /// `EIO` from a write, of which a part may have been written.
    pub write_error: f64,
    /// `EIO` from a sync, or from a write to a synchronous file. What was to be synced then is
    /// unknown for ever: no later sync makes it durable.
    pub sync_error: f64,
    /// `EIO` from opening or creating a file, and from making, renaming or removing a name.
    pub name_error: f64,
    /// A read gives less than there is.
    pub short_read: f64,
    /// A write takes less than it was given.
    pub short_write: f64,
    /// A power cut flips one bit of durable data somewhere.
    pub bit_flip_at_crash: f64,
    /// How long each operation takes, on the simulated clock.
    pub latency: Range<Duration>,
    /// The size of the disk; what does not fit is `ENOSPC`.
    pub capacity_bytes: u64,
    /// Whether the file system has direct IO.
    pub has_direct_io: bool,
}

impl Default for Faults {
    /// A disk that never fails, takes no time, and holds a TiB.
    fn default() -> Self {
        Self {
            paths_containing: String::new(),
            read_error: 0.0,
            write_error: 0.0,
            sync_error: 0.0,
            name_error: 0.0,
            short_read: 0.0,
            short_write: 0.0,
            bit_flip_at_crash: 0.0,
            latency: Duration::ZERO..Duration::ZERO,
            capacity_bytes: 1 << 40,
            has_direct_io: true,
        }
    }
}

/// What a disk is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Opening a file, or creating one.
    Open,
    /// Reading from a file, or a directory.
    Read,
    /// Writing to a file, or setting its length.
    Write,
    /// Making a file, a directory or the file system durable; writing to a synchronous file.
    Sync,
    /// Creating a directory, renaming, removing.
    Name,
}

/// A failure that comes when it was ordered to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedFault {
    /// What fails.
    pub operation: Operation,
    /// On paths that contain this; empty means all.
    pub path_containing: String,
    /// How many such operations succeed before.
    pub after: u64,
    /// The `errno` that it fails with, such as `libc::EIO`.
    pub errno: i32,
}

/// The faults of one disk, and the dice for them.
pub(super) struct Mishaps {
    pub(super) faults: Faults,
    planned: Vec<PlannedFault>,
    pub(super) rng: Rng,
}

impl Mishaps {
    pub(super) fn new(rng: Rng) -> Self {
        Self { faults: Faults::default(), planned: Vec::new(), rng }
    }

    pub(super) fn plan(&mut self, fault: PlannedFault) {
        self.planned.push(fault);
    }

    /// Whether this operation fails now.
    pub(super) fn check(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        let path = path.to_string_lossy();
        let due = self.planned.iter_mut().position(|fault| {
            let meant = fault.operation == operation && path.contains(&fault.path_containing);
            let due = meant && fault.after == 0;
            fault.after -= u64::from(meant && !due);
            due
        });
        if let Some(at) = due {
            return Err(io::Error::from_raw_os_error(self.planned.remove(at).errno));
        }
        let probability = match operation {
            Operation::Read => self.faults.read_error,
            Operation::Write => self.faults.write_error,
            Operation::Sync => self.faults.sync_error,
            Operation::Open | Operation::Name => self.faults.name_error,
        };
        if self.strikes(probability, &path) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        Ok(())
    }

    /// How much of a transfer of `len` bytes happens; `unit` is what it cannot be cut within.
    pub(super) fn shorten(
        &mut self,
        operation: Operation,
        path: &Path,
        len: usize,
        unit: usize,
    ) -> usize {
        let probability = match operation {
            Operation::Read => self.faults.short_read,
            _ => self.faults.short_write,
        };
        let units = len / unit;
        if units > 1 && self.strikes(probability, &path.to_string_lossy()) {
            (1 + self.rng.index(units - 1)) * unit
        } else {
            len
        }
    }

    /// How long an operation takes.
    pub(super) fn latency(&mut self, path: &Path) -> Duration {
        let Range { start, end } = self.faults.latency;
        if end.is_zero() || !self.is_meant(&path.to_string_lossy()) {
            return Duration::ZERO;
        }
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.rng.range(nanos(start)..nanos(end).max(nanos(start) + 1)))
    }

    fn strikes(&self, probability: f64, path: &str) -> bool {
        probability > 0.0 && self.is_meant(path) && self.rng.chance(probability)
    }

    fn is_meant(&self, path: &str) -> bool {
        path.contains(&self.faults.paths_containing)
    }
}
