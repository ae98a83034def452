//! The disk: files by position, directories, and an honest word about what is durable.
//!
//! All calls block; they belong on threads of their own, never on a network thread. Paths are
//! absolute or relative to the process, as `std::fs` takes them.
//!
//! **Durability.** Bytes written become durable at [`File::sync_data`] of that file or
//! [`Disk::sync_file_system`]; a new, renamed or removed name at [`Disk::sync_dir`] of its
//! directory. After a failed sync the state of what was written since the last good one is
//! unknown, and a later sync that succeeds does not change that (the kernel drops the dirty pages):
//! treat it as fatal for the directory.

#[cfg(test)]
mod conformance;
mod real;
#[cfg(feature = "sim")]
mod sim;

pub use real::RealDisk;
#[cfg(feature = "sim")]
pub use sim::{BitFlip, Faults, Operation, PlannedFault, SimDisk};

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file system, or a simulation of one.
pub trait Disk: Send + Sync + 'static {
    /// Opens a file by `how`.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn File>>;
    /// Creates a directory and its missing parents; one that exists is no error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// The entries of a directory, sorted by name.
    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>>;
    /// The length and kind of what `path` names, or `None` if nothing does.
    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>>;
    /// Renames a file or directory, replacing a file in its way, atomically.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove_file(&self, path: &Path) -> io::Result<()>;
    /// Removes an empty directory.
    fn remove_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable: creations, renames and removals. The directory's
    /// own name is in its parent, and is durable with that.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything durable that was written to the file system of `path`: one call for
    /// thousands of files (`syncfs(2)`).
    fn sync_file_system(&self, path: &Path) -> io::Result<()>;
    /// Takes an exclusive lock on the file `path`, creating it; held until the guard is dropped
    /// or the process dies. `WouldBlock` when somebody holds it, in this process or another.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
    /// Bytes free for us on the file system of `path`, and its whole size.
    fn space(&self, path: &Path) -> io::Result<Space>;
}

/// An open file. All positions are absolute: there is no cursor to share.
pub trait File: Send + Sync {
    /// Reads at most `buf.len()` bytes at `offset`; fewer at the end of the file, or at the
    /// disk's whim. Callers want [`read_full_at`].
    ///
    /// With [`OpenHow::direct`], the memory, the length and the offset are multiples of
    /// [`DIRECT_ALIGNMENT`]; anything else is `InvalidInput`. The last bytes of a file whose
    /// length is no multiple come as a short read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at most `buf.len()` bytes at `offset`. Callers want [`write_all_at`].
    ///
    /// With [`OpenHow::direct`], the memory, the length and the offset are multiples of
    /// [`DIRECT_ALIGNMENT`]; anything else is `InvalidInput`.
    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes the file's bytes and length durable (`fdatasync(2)`).
    fn sync_data(&self) -> io::Result<()>;
    /// Cuts or extends (with zeros) the file.
    fn set_len(&self, len: u64) -> io::Result<()>;
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Tells the page cache that this range will not be wanted again. A hint: no error.
    fn advise_dont_need(&self, offset: u64, len: u64);
    /// Whether reads and writes go past the page cache.
    fn is_direct(&self) -> bool;
}

/// What direct reads and writes must be aligned to: memory, offset and length.
pub const DIRECT_ALIGNMENT: usize = 4096;

/// How to open a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenHow {
    /// What is wanted of it.
    pub access: Access,
    /// Go past the page cache (`O_DIRECT`). Where the file system has none, opening still
    /// succeeds, and [`File::is_direct`] says `false`.
    pub direct: bool,
    /// Every write is durable when it returns (`O_DSYNC`): one system call instead of two.
    pub synchronous: bool,
}

/// What is wanted of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Read one that exists.
    Read,
    /// Read and write one that exists.
    Write,
    /// Read and write; created if it does not exist.
    CreateOrWrite,
    /// Read and write; it is an error (`AlreadyExists`) if it exists.
    CreateNew,
}

impl OpenHow {
    /// Reading, writing or creating through the page cache.
    #[must_use]
    pub const fn buffered(access: Access) -> Self {
        Self { access, direct: false, synchronous: false }
    }

    /// Past the page cache.
    #[must_use]
    pub const fn direct(access: Access) -> Self {
        Self { access, direct: true, synchronous: false }
    }

    /// The same, with every write durable when it returns.
    #[must_use]
    pub const fn synchronous(self) -> Self {
        Self { synchronous: true, ..self }
    }
}

/// A name in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirEntry {
    /// The last component of its path.
    pub name: String,
    /// Directory plus name.
    pub path: PathBuf,
    /// Whether it is a directory itself.
    pub is_dir: bool,
}

/// What a path names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// Bytes; 0 for a directory.
    pub len: u64,
    /// Whether it is a directory.
    pub is_dir: bool,
    /// Last modification, in nanoseconds since the Unix epoch.
    pub modified_ns: i128,
}

/// Room on a file system, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// What we may still write.
    pub available: u64,
    /// The size of the file system.
    pub total: u64,
}

/// Holds a lock taken by [`Disk::lock`] until it is dropped.
pub trait LockGuard: Send + Sync {}

/// Reads exactly `buf.len()` bytes at `offset`.
///
/// # Errors
/// `UnexpectedEof` when the file ends before; whatever the disk says.
pub fn read_full_at(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<()> {
    match read_up_to(file, buf, offset)? {
        read if read == buf.len() => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// Reads `buf.len()` bytes at `offset`, or fewer only where the file ends; gives how many.
///
/// # Errors
/// Whatever the disk says.
pub fn read_up_to(file: &dyn File, buf: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match file.read_at(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(read) if file.is_direct() && !(done + read).is_multiple_of(DIRECT_ALIGNMENT) => {
                // A direct read stops short of an aligned place only at the end of the file, and
                // could not be continued from there.
                done += read;
                break;
            }
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes all of `buf` at `offset`, through short writes.
///
/// # Errors
/// `WriteZero` when the disk takes nothing more; whatever the disk says. Part of `buf` may have
/// been written then.
pub fn write_all_at(file: &dyn File, buf: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while done < buf.len() {
        match file.write_at(&buf[done..], offset + done as u64) {
            Ok(written) => {
                // A direct write can only go on from an aligned place: the sectors behind it are
                // written twice, with the same bytes.
                let next = done + written;
                let next = if file.is_direct() && next < buf.len() {
                    next - next % DIRECT_ALIGNMENT
                } else {
                    next
                };
                if next == done {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                done = next;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What every disk asks of a direct transfer.
fn check_direct_alignment(direct: bool, buf: &[u8], offset: u64) -> io::Result<()> {
    let aligned = buf.as_ptr().addr().is_multiple_of(DIRECT_ALIGNMENT)
        && buf.len().is_multiple_of(DIRECT_ALIGNMENT)
        && offset.is_multiple_of(DIRECT_ALIGNMENT as u64);
    if direct && !aligned {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!(
                "direct transfer of {} bytes at offset {offset} from memory at {:p} is not aligned to {DIRECT_ALIGNMENT}",
                buf.len(),
                buf.as_ptr(),
            ),
        ));
    }
    Ok(())
}
