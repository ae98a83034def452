//! A disk in memory that does what disks do: loses what was not synced, tears writes at a sector,
//! fails, fills up, flips bits, and is slow. A seed repeats it exactly.
//!
//! ```text
//!  write ──► live image ──sync──► durable image ──┐
//!              │   └─ versions since the last sync ─┴─► what a power cut leaves
//!  create, rename, remove ──► live names ──sync of a directory──► durable names
//! ```
//!
//! What it promises after [`SimDisk::cut_power`] is what [`super::Disk`] promises and nothing
//! more: bytes and length by `sync_data`, names by `sync_dir` *of their own directory* (a new
//! directory needs a sync of its parent), everything by `sync_file_system`. A direct write is no
//! more durable than a buffered one, because disks have caches too.

mod contents;
mod faults;
mod names;
mod power_cut;
mod tree;

pub use faults::{Faults, Operation, PlannedFault};

use super::{
    Access, DIRECT_ALIGNMENT, DirEntry, Disk, File, LockGuard, Metadata, OpenHow, Space,
    check_direct_alignment,
};
use crate::clock::SimClock;
use crate::rng::Rng;
use crate::sim::Trace;
use contents::PAGE;
use faults::Mishaps;
use names::NodeId;
use parking_lot::Mutex;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tree::Tree;

/// A simulated disk. Clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    machine: Arc<Mutex<Machine>>,
}

/// A bit of durable data that was turned over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BitFlip {
    /// The file.
    pub path: PathBuf,
    /// The byte.
    pub offset: u64,
    /// The bit, 0 the least significant.
    pub bit: u8,
}

/// The disk as one life of the machine sees it: after a power cut, or when the process was killed,
/// handles from before find nothing in it.
struct Machine {
    tree: Option<Tree>,
    mishaps: Mishaps,
    clock: SimClock,
    trace: Trace,
}

impl SimDisk {
    /// An empty disk that never fails until it is told to ([`SimDisk::set_faults`]).
    #[must_use]
    pub fn new(rng: Rng, clock: SimClock, trace: Trace) -> Self {
        Self::with(Machine { tree: Some(Tree::new()), mishaps: Mishaps::new(rng), clock, trace })
    }

    fn with(machine: Machine) -> Self {
        Self { machine: Arc::new(Mutex::new(machine)) }
    }

    /// Changes what may go wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.machine.lock().mishaps.faults = faults;
    }

    /// What may go wrong now.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.machine.lock().mishaps.faults.clone()
    }

    /// Orders one failure.
    pub fn plan_fault(&self, fault: PlannedFault) {
        self.machine.lock().mishaps.plan(fault);
    }

    /// Cuts the power: gives the disk as the machine finds it when it comes back, and the bit that
    /// flipped, if one did. Of what was not synced, each write and each name is kept or lost for
    /// itself. This disk, its files and its locks only fail from now on.
    ///
    /// # Panics
    /// If this disk lost its machine before.
    #[must_use]
    pub fn cut_power(&self) -> (Self, Option<BitFlip>) {
        let mut next = self.machine.lock().leave();
        let tree = next.tree.as_mut().expect("it was just handed over");
        tree.cut_power(&next.mishaps.rng);
        let probability = next.mishaps.faults.bit_flip_at_crash;
        let flips = probability > 0.0 && next.mishaps.rng.chance(probability);
        next.trace.note(format_args!("disk: power cut"));
        let next = Self::with(next);
        let flip = if flips { next.flip_random_bit("") } else { None };
        (next, flip)
    }

    /// Kills the process: gives the disk to its successor, page cache and all, without the locks.
    /// This disk, its files and its locks only fail from now on.
    ///
    /// Pages that a failed sync left behind may have been forgotten meanwhile.
    ///
    /// # Panics
    /// If this disk lost its machine before.
    #[must_use]
    pub fn kill(&self) -> Self {
        let mut next = self.machine.lock().leave();
        let tree = next.tree.as_mut().expect("it was just handed over");
        tree.kill(&next.mishaps.rng);
        next.trace.note(format_args!("disk: process killed"));
        Self::with(next)
    }

    /// Turns one bit over, in the cache and on the medium.
    ///
    /// # Errors
    /// When there is no such byte.
    pub fn flip_bit(&self, flip: &BitFlip) -> io::Result<()> {
        let mut machine = self.machine.lock();
        machine.tree()?.flip_bit(&flip.path, flip.offset, flip.bit)?;
        machine.trace.note(format_args!("disk: {flip:?}"));
        Ok(())
    }

    /// Turns a random bit over, in a random file whose path contains `path_containing`; `None`
    /// when no such file has bytes.
    #[must_use]
    pub fn flip_random_bit(&self, path_containing: &str) -> Option<BitFlip> {
        let (path, len, rng) = {
            let mut machine = self.machine.lock();
            let rng = machine.mishaps.rng.clone();
            let mut files = machine.tree().ok()?.files();
            files
                .retain(|(path, len)| *len > 0 && path.to_string_lossy().contains(path_containing));
            if files.is_empty() {
                return None;
            }
            let (path, len) = files.swap_remove(rng.index(files.len()));
            (path, len, rng)
        };
        let bit = rng.range(0..8).try_into().expect("below 8");
        let flip = BitFlip { path, offset: rng.range(0..len), bit };
        self.flip_bit(&flip).expect("the byte was found a moment ago");
        Some(flip)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = self.machine.lock();
        let state = if machine.tree.is_some() { "on" } else { "off" };
        write!(f, "SimDisk({state}, {:?})", machine.mishaps.faults)
    }
}

impl Machine {
    fn tree(&mut self) -> io::Result<&mut Tree> {
        self.tree.as_mut().ok_or_else(|| io::Error::other("the simulated machine is off"))
    }

    /// Hands everything over to the machine's next life.
    fn leave(&mut self) -> Self {
        let tree = self.tree.take().expect("a machine dies once");
        let mut mishaps = Mishaps::new(self.mishaps.rng.clone());
        std::mem::swap(&mut mishaps, &mut self.mishaps);
        Self { tree: Some(tree), mishaps, clock: self.clock.clone(), trace: self.trace.clone() }
    }

    /// Every operation goes through here: it takes its time, may fail, and leaves a trace.
    fn run<T>(
        &mut self,
        operation: Operation,
        path: &Path,
        detail: fmt::Arguments<'_>,
        act: impl FnOnce(&mut Self) -> io::Result<T>,
    ) -> io::Result<T> {
        self.tree()?;
        self.clock.spend(self.mishaps.latency(path));
        let outcome = act(self);
        let shown = outcome.as_ref().map(|_| ()).map_err(io::Error::kind);
        self.trace.note(format_args!("disk: {operation:?} {} {detail}: {shown:?}", path.display()));
        outcome
    }

    fn now_ns(&self) -> i128 {
        self.clock.wall_ns()
    }

    fn free_pages(&mut self) -> io::Result<u64> {
        let capacity = self.mishaps.faults.capacity_bytes / PAGE as u64;
        Ok(capacity.saturating_sub(self.tree()?.used_pages()))
    }

    fn create_node_allowed(&mut self) -> io::Result<()> {
        if self.free_pages()? == 0 {
            return Err(no_space());
        }
        Ok(())
    }

    /// A failed sync of what `node` is, or of everything.
    fn give_up_on_error(&mut self, path: &Path, node: Option<NodeId>) -> io::Result<()> {
        self.mishaps.check(Operation::Sync, path).inspect_err(|_| {
            if let Some(tree) = &mut self.tree {
                tree.give_up(node);
            }
        })
    }
}

impl Disk for SimDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn File>> {
        let mut machine = self.machine.lock();
        let node = machine.run(Operation::Open, path, format_args!("{how:?}"), |machine| {
            machine.mishaps.check(Operation::Open, path)?;
            let now_ns = machine.now_ns();
            let found = machine.tree()?.lookup(path)?;
            match (how.access, found) {
                (Access::CreateNew, Some(_)) => Err(io::ErrorKind::AlreadyExists.into()),
                (Access::CreateNew | Access::CreateOrWrite, None) => {
                    machine.create_node_allowed()?;
                    machine.tree()?.create_file(path, now_ns)
                }
                _ => machine.tree()?.open(path),
            }
        })?;
        Ok(Arc::new(SimFile {
            machine: Arc::clone(&self.machine),
            node,
            path: path.to_owned(),
            how,
            is_direct: how.direct && machine.mishaps.faults.has_direct_io,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.machine.lock().run(Operation::Name, path, format_args!("create dir"), |machine| {
            machine.mishaps.check(Operation::Name, path)?;
            if machine.tree()?.lookup(path)?.is_none() {
                machine.create_node_allowed()?;
            }
            machine.tree()?.create_dir_all(path)
        })
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.machine.lock().run(Operation::Read, path, format_args!("dir"), |machine| {
            machine.mishaps.check(Operation::Read, path)?;
            machine.tree()?.read_dir(path)
        })
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.machine.lock().tree()?.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let detail = format_args!("rename to {}", to.display());
        self.machine.lock().run(Operation::Name, from, detail, |machine| {
            machine.mishaps.check(Operation::Name, from)?;
            machine.tree()?.rename(from, to)
        })
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.machine.lock().run(Operation::Name, path, format_args!("remove file"), |machine| {
            machine.mishaps.check(Operation::Name, path)?;
            machine.tree()?.remove_file(path)
        })
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.lock().run(Operation::Name, path, format_args!("remove dir"), |machine| {
            machine.mishaps.check(Operation::Name, path)?;
            machine.tree()?.remove_dir(path)
        })
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.machine.lock().run(Operation::Sync, path, format_args!("dir"), |machine| {
            let dir = machine.tree()?.find_dir(path)?;
            machine.give_up_on_error(path, Some(dir))?;
            machine.tree()?.sync_dir(dir);
            Ok(())
        })
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        self.machine.lock().run(Operation::Sync, path, format_args!("all"), |machine| {
            machine.tree()?.find(path)?;
            machine.give_up_on_error(path, None)?;
            machine.tree()?.sync();
            Ok(())
        })
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut machine = self.machine.lock();
        let node = machine.run(Operation::Open, path, format_args!("lock"), |machine| {
            machine.mishaps.check(Operation::Open, path)?;
            let now_ns = machine.now_ns();
            machine.tree()?.lock(path, now_ns)
        })?;
        Ok(Box::new(SimLock { machine: Arc::clone(&self.machine), node }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let mut machine = self.machine.lock();
        machine.tree()?.find(path)?;
        let available = machine.free_pages()? * PAGE as u64;
        Ok(Space { available, total: machine.mishaps.faults.capacity_bytes })
    }
}

/// An open simulated file.
struct SimFile {
    machine: Arc<Mutex<Machine>>,
    node: NodeId,
    path: PathBuf,
    how: OpenHow,
    is_direct: bool,
}

impl SimFile {
    /// What a short transfer may not be cut within.
    fn unit(&self) -> usize {
        if self.how.direct { DIRECT_ALIGNMENT } else { 1 }
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.how.access {
            Access::Read => Err(io::Error::from_raw_os_error(libc::EBADF)),
            _ => Ok(()),
        }
    }

    /// Writes what fits of `buf`; `after` is what fails then.
    fn write(&self, machine: &mut Machine, buf: &[u8], offset: u64) -> io::Result<usize> {
        offset
            .checked_add(buf.len() as u64)
            .filter(|end| i64::try_from(*end).is_ok())
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EFBIG))?;
        let mut outcome = machine.mishaps.check(Operation::Write, &self.path);
        let mut len = match outcome {
            Ok(()) => machine.mishaps.shorten(Operation::Write, &self.path, buf.len(), self.unit()),
            // Some of it may have reached the disk before it failed.
            Err(_) => machine.mishaps.rng.index(buf.len() / self.unit() + 1) * self.unit(),
        };
        let free = machine.free_pages()?;
        let now_ns = machine.now_ns();
        let tree = machine.tree()?;
        let range = offset..offset + len as u64;
        let fits =
            usize::try_from(tree.file(self.node).writable(range, free)).expect("at most len");
        if fits == 0 && len > 0 && outcome.is_ok() {
            outcome = Err(no_space());
        }
        len = fits - fits % self.unit();
        tree.write(self.node, &buf[..len], offset, now_ns);
        outcome.map(|()| len)
    }
}

impl File for SimFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        check_direct_alignment(self.how.direct, buf, offset)?;
        let mut machine = self.machine.lock();
        let detail = format_args!("at {offset} {} bytes", buf.len());
        machine.run(Operation::Read, &self.path, detail, |machine| {
            machine.mishaps.check(Operation::Read, &self.path)?;
            let len = machine.mishaps.shorten(Operation::Read, &self.path, buf.len(), self.unit());
            Ok(machine.tree()?.file(self.node).read(&mut buf[..len], offset))
        })
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        check_direct_alignment(self.how.direct, buf, offset)?;
        self.check_writable()?;
        let mut machine = self.machine.lock();
        let sum = afluente_stdx::crc32c::crc32c(buf);
        let detail = format_args!("at {offset} {} bytes {sum:08x}", buf.len());
        machine.run(Operation::Write, &self.path, detail, |machine| {
            let written = self.write(machine, buf, offset)?;
            if self.how.synchronous {
                machine.give_up_on_error(&self.path, Some(self.node))?;
                let range = offset..offset + written as u64;
                machine.tree()?.file(self.node).sync_range(range);
            }
            Ok(written)
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.machine.lock().run(Operation::Sync, &self.path, format_args!("data"), |machine| {
            machine.give_up_on_error(&self.path, Some(self.node))?;
            machine.tree()?.sync_file(self.node);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        let detail = format_args!("length {len}");
        self.machine.lock().run(Operation::Write, &self.path, detail, |machine| {
            machine.mishaps.check(Operation::Write, &self.path)?;
            let now_ns = machine.now_ns();
            machine.tree()?.set_len(self.node, len, now_ns);
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.machine.lock().tree()?.file(self.node).len())
    }

    fn advise_dont_need(&self, _offset: u64, _len: u64) {}

    fn is_direct(&self) -> bool {
        self.is_direct
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        if let Some(tree) = &mut self.machine.lock().tree {
            tree.close(self.node);
        }
    }
}

struct SimLock {
    machine: Arc<Mutex<Machine>>,
    node: NodeId,
}

impl LockGuard for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        if let Some(tree) = &mut self.machine.lock().tree {
            tree.unlock(self.node);
        }
    }
}

fn no_space() -> io::Error {
    io::Error::from_raw_os_error(libc::ENOSPC)
}

#[cfg(test)]
mod tests;
