//! The disk of this machine, by Linux's system calls.
//!
//! Direct IO is refused by some file systems (tmpfs before Linux 6.6, some FUSE and network ones),
//! at `open` or at the first transfer, with `EINVAL`. Then the file goes on through the page cache
//! and gives its pages back after each transfer, so that a large log does not push out everything
//! else; [`File::is_direct`] says so.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is the door to the file system"
)]
#![allow(unsafe_code, reason = "open-file-description locks have no safe wrapper")]

use super::{
    Access, DirEntry, Disk, File, LockGuard, Metadata, OpenHow, Space, check_direct_alignment,
};
use rustix::fs::{Advice, OFlags};
use rustix::io::Errno;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The file systems of this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

struct RealFile {
    file: fs::File,
    /// What was asked for.
    wants_direct: bool,
    /// What the file system does; turns to false for good when it refuses.
    direct: AtomicBool,
    synchronous: bool,
}

impl Disk for RealDisk {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Arc<dyn File>> {
        let (file, direct) = match open_options(how).open(path) {
            Err(error) if how.direct && is_refusal(&error) => {
                (open_options(OpenHow { direct: false, ..how }).open(path)?, false)
            }
            opened => (opened?, how.direct),
        };
        Ok(Arc::new(RealFile {
            file,
            wants_direct: how.direct,
            direct: AtomicBool::new(direct),
            synchronous: how.synchronous,
        }))
    }

    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        let mut entries = fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                Ok(DirEntry {
                    name: entry.file_name().to_string_lossy().into_owned(),
                    path: entry.path(),
                    is_dir: entry.file_type()?.is_dir(),
                })
            })
            .collect::<io::Result<Vec<_>>>()?;
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(entries)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Metadata {
                len: if metadata.is_dir() { 0 } else { metadata.len() },
                is_dir: metadata.is_dir(),
                modified_ns: i128::from(metadata.mtime()) * 1_000_000_000
                    + i128::from(metadata.mtime_nsec()),
            })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }

    fn sync_file_system(&self, path: &Path) -> io::Result<()> {
        Ok(rustix::fs::syncfs(fs::File::open(path)?)?)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        lock_exclusively(&file)?;
        Ok(Box::new(RealLock { _file: file }))
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Space {
            available: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }
}

impl File for RealFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        check_direct_alignment(self.wants_direct, buf, offset)?;
        let read = match self.file.read_at(buf, offset) {
            Err(error) if self.falls_back(&error)? => self.file.read_at(buf, offset)?,
            done => done?,
        };
        if self.emulates_direct() {
            self.advise_dont_need(offset, read as u64);
        }
        Ok(read)
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        check_direct_alignment(self.wants_direct, buf, offset)?;
        let written = match self.file.write_at(buf, offset) {
            Err(error) if self.falls_back(&error)? => self.file.write_at(buf, offset)?,
            done => done?,
        };
        if self.synchronous && self.emulates_direct() {
            self.advise_dont_need(offset, written as u64);
        }
        Ok(written)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()?;
        if self.emulates_direct() {
            // Only clean pages can be dropped, so this is the time.
            self.advise_dont_need(0, 0);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn advise_dont_need(&self, offset: u64, len: u64) {
        // The kernel takes a length of 0 for "to the end", and a failed hint costs nothing.
        let _ = rustix::fs::fadvise(
            &self.file,
            offset,
            std::num::NonZeroU64::new(len),
            Advice::DontNeed,
        );
    }

    fn is_direct(&self) -> bool {
        self.direct.load(Ordering::Relaxed)
    }
}

impl RealFile {
    fn emulates_direct(&self) -> bool {
        self.wants_direct && !self.is_direct()
    }

    /// Whether `error` was this file's refusal of direct IO, which is switched off then. The
    /// alignment was checked before, so nothing else in a transfer is invalid.
    fn falls_back(&self, error: &io::Error) -> io::Result<bool> {
        if !self.is_direct() || !is_refusal(error) {
            return Ok(false);
        }
        let flags = rustix::fs::fcntl_getfl(&self.file)?;
        rustix::fs::fcntl_setfl(&self.file, flags.difference(OFlags::DIRECT))?;
        self.direct.store(false, Ordering::Relaxed);
        Ok(true)
    }
}

/// The lock goes when the file is closed, by us or by our death.
struct RealLock {
    _file: fs::File,
}

impl LockGuard for RealLock {}

/// Data, and of the metadata only what it takes to read it. The flag of that name in rustix is
/// `O_SYNC` on Linux, which also waits for the file system's own journal to take down the time of
/// the write: milliseconds, now and then.
const SYNCHRONOUS: i32 = libc::O_DSYNC;

fn open_options(how: OpenHow) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    match how.access {
        Access::Read => {}
        Access::Write => {
            options.write(true);
        }
        Access::CreateOrWrite => {
            options.write(true).create(true).truncate(false);
        }
        Access::CreateNew => {
            options.write(true).create_new(true);
        }
    }
    let direct = if how.direct { OFlags::DIRECT.bits().cast_signed() } else { 0 };
    options.custom_flags(direct | if how.synchronous { SYNCHRONOUS } else { 0 });
    options
}

fn is_refusal(error: &io::Error) -> bool {
    let errno = error.raw_os_error();
    errno == Some(Errno::INVAL.raw_os_error()) || errno == Some(Errno::OPNOTSUPP.raw_os_error())
}

/// Takes an open-file-description lock. It excludes a second holder in this process as well as
/// others, and, unlike `flock(2)`, also Apache Kafka: Java's `FileChannel.tryLock` takes a POSIX
/// record lock, and these two kinds see each other.
fn lock_exclusively(file: &fs::File) -> io::Result<()> {
    // SAFETY: all zeros is a valid flock: from offset 0 to the end, and pid 0 as these locks want.
    let mut whole_file: libc::flock = unsafe { std::mem::zeroed() };
    whole_file.l_type = libc::F_WRLCK.try_into().expect("a small constant");
    whole_file.l_whence = libc::SEEK_SET.try_into().expect("a small constant");
    // SAFETY: the descriptor is open and the pointer is valid for the call.
    let outcome =
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &raw const whole_file) };
    if outcome == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    // POSIX lets a held lock show as either.
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EAGAIN) => Err(io::ErrorKind::WouldBlock.into()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::super::conformance;
    use super::*;

    #[test]
    fn it_behaves_as_every_disk() {
        let dir = tempfile::tempdir().unwrap();
        conformance::check(&RealDisk, dir.path());
    }

    #[test]
    fn a_file_system_without_direct_io_serves_through_the_page_cache() {
        let file = RealFile {
            // procfs has neither direct IO nor anything to lose.
            file: fs::File::open("/proc/self/status").unwrap(),
            wants_direct: true,
            direct: AtomicBool::new(true),
            synchronous: false,
        };
        let refusal = Errno::INVAL.into();
        assert!(file.falls_back(&refusal).unwrap());
        assert!(!file.is_direct());
        assert!(!file.falls_back(&refusal).unwrap(), "a second refusal is an error");
        let mut buf = afluente_stdx::aligned_buf::AlignedBuf::zeroed(4096);
        assert!(file.read_at(&mut buf, 0).unwrap() > 0);
        assert_eq!(file.read_at(&mut buf[1..], 0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        let opened = RealDisk.open(Path::new("/proc/self/status"), OpenHow::direct(Access::Read));
        assert!(!opened.unwrap().is_direct());
    }

    #[test]
    fn a_lock_of_java_keeps_us_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".lock");
        let file = fs::File::create(&path).unwrap();
        // What `FileChannel.tryLock` takes; the two kinds conflict even within one process.
        let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        rustix::fs::fcntl_lock(&file, exclusive).unwrap();
        assert_eq!(RealDisk.lock(&path).err().unwrap().kind(), io::ErrorKind::WouldBlock);
        drop(file);
        let ours = RealDisk.lock(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        assert_eq!(rustix::fs::fcntl_lock(&file, exclusive).unwrap_err(), Errno::AGAIN);
        drop(ours);
    }
}
