//! What every disk does, checked against the real and the simulated one alike.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use afluente_stdx::aligned_buf::AlignedBuf;
use std::io::ErrorKind;

const PAGE: usize = DIRECT_ALIGNMENT;

/// Runs every check below on `disk`, in the empty directory `dir`.
pub(super) fn check(disk: &dyn Disk, dir: &Path) {
    opening(disk, dir);
    reading_and_writing(disk, dir);
    lengths(disk, dir);
    direct_transfers(disk, dir);
    directories(disk, dir);
    renaming_and_removing(disk, dir);
    locks(disk, dir);
    syncs_and_space(disk, dir);
    assert_eq!(disk.read_dir(dir).unwrap(), [], "every check cleans up behind itself");
}

fn kind_of<T>(outcome: io::Result<T>) -> ErrorKind {
    outcome.err().expect("an error").kind()
}

fn create(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Arc<dyn File> {
    let file = disk.open(path, OpenHow::buffered(Access::CreateNew)).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
    file
}

fn contents(file: &dyn File) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
    read_full_at(file, &mut bytes, 0).unwrap();
    bytes
}

fn opening(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    for access in [Access::Read, Access::Write] {
        assert_eq!(kind_of(disk.open(&path, OpenHow::buffered(access))), ErrorKind::NotFound);
    }
    let lost = dir.join("no such directory/file");
    let created = disk.open(&lost, OpenHow::buffered(Access::CreateNew));
    assert_eq!(kind_of(created), ErrorKind::NotFound);

    create(disk, &path, b"kept");
    let again = disk.open(&path, OpenHow::buffered(Access::CreateNew));
    assert_eq!(kind_of(again), ErrorKind::AlreadyExists);
    let existing = disk.open(&path, OpenHow::buffered(Access::CreateOrWrite)).unwrap();
    assert_eq!(contents(&*existing), b"kept");
    let read_only = disk.open(&path, OpenHow::buffered(Access::Read)).unwrap();
    assert!(read_only.write_at(b"x", 0).is_err());
    assert!(read_only.set_len(0).is_err());
    assert_eq!(contents(&*read_only), b"kept");
    assert!(disk.open(dir, OpenHow::buffered(Access::Write)).is_err(), "a directory is no file");
    disk.remove_file(&path).unwrap();
}

fn reading_and_writing(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, b"hello");
    let mut buf = [9; 8];
    assert_eq!(read_up_to(&*file, &mut buf, 3).unwrap(), 2);
    assert_eq!(&buf[..3], b"lo\x09");
    assert_eq!(file.read_at(&mut buf, 5).unwrap(), 0);
    assert_eq!(file.read_at(&mut buf, 1 << 40).unwrap(), 0);
    assert_eq!(kind_of(read_full_at(&*file, &mut buf, 0)), ErrorKind::UnexpectedEof);
    assert_eq!(file.write_at(b"", 100).unwrap(), 0);
    assert_eq!(file.len().unwrap(), 5);

    write_all_at(&*file, b"far", 10_000).unwrap();
    let bytes = contents(&*file);
    assert_eq!((bytes.len(), &bytes[..5], &bytes[10_000..]), (10_003, &b"hello"[..], &b"far"[..]));
    assert!(bytes[5..10_000].iter().all(|&byte| byte == 0), "a hole reads as zeros");

    let second = disk.open(&path, OpenHow::buffered(Access::Write).synchronous()).unwrap();
    write_all_at(&*second, b"J", 0).unwrap();
    assert_eq!(contents(&*file)[..5], *b"Jello", "one file, however often it is opened");
    file.advise_dont_need(0, 4096);
    assert_eq!(contents(&*file)[..5], *b"Jello");
    disk.remove_file(&path).unwrap();
}

fn lengths(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, &[7; 6000]);
    file.set_len(5000).unwrap();
    file.set_len(9000).unwrap();
    let bytes = contents(&*file);
    assert!(bytes[..5000].iter().all(|&byte| byte == 7));
    assert!(bytes[5000..].iter().all(|&byte| byte == 0), "what was cut does not come back");
    assert_eq!(bytes.len(), 9000);
    assert_eq!(disk.metadata(&path).unwrap().unwrap().len, 9000);
    assert!(!file.is_empty().unwrap());
    file.set_len(0).unwrap();
    assert!(file.is_empty().unwrap());
    disk.remove_file(&path).unwrap();
}

fn direct_transfers(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = disk.open(&path, OpenHow::direct(Access::CreateNew).synchronous()).unwrap();
    let mut buf = AlignedBuf::zeroed(2 * PAGE);
    buf.fill(3);
    write_all_at(&*file, &buf, PAGE as u64).unwrap();
    assert_eq!(file.len().unwrap(), 3 * PAGE as u64);
    for (range, offset) in [(1..PAGE + 1, 0), (0..PAGE - 1, 0), (0..PAGE, 512)] {
        assert_eq!(kind_of(file.write_at(&buf[range.clone()], offset)), ErrorKind::InvalidInput);
        assert_eq!(kind_of(file.read_at(&mut buf[range], offset)), ErrorKind::InvalidInput);
    }
    buf.fill(9);
    read_full_at(&*file, &mut buf, 0).unwrap();
    assert!(buf[..PAGE].iter().all(|&byte| byte == 0));
    assert!(buf[PAGE..].iter().all(|&byte| byte == 3));

    // Both ways into one file agree, and an odd end is a short read.
    let buffered = disk.open(&path, OpenHow::buffered(Access::Write)).unwrap();
    write_all_at(&*buffered, b"end", 3 * PAGE as u64).unwrap();
    buf.fill(9);
    assert_eq!(read_up_to(&*file, &mut buf, 2 * PAGE as u64).unwrap(), PAGE + 3);
    assert_eq!(&buf[PAGE - 1..PAGE + 3], b"\x03end");
    assert_eq!(kind_of(read_full_at(&*file, &mut buf, 2 * PAGE as u64)), ErrorKind::UnexpectedEof);
    assert_eq!(file.read_at(&mut buf, 8 * PAGE as u64).unwrap(), 0);
    disk.remove_file(&path).unwrap();
}

fn directories(disk: &dyn Disk, dir: &Path) {
    let (outer, inner) = (dir.join("outer"), dir.join("outer/inner"));
    assert_eq!(disk.metadata(&outer).unwrap(), None);
    disk.create_dir_all(&inner).unwrap();
    disk.create_dir_all(&inner).unwrap();
    for name in ["b", "c", "a"] {
        create(disk, &outer.join(name), b"");
    }
    let entries = disk.read_dir(&outer).unwrap();
    let found: Vec<_> = entries.iter().map(|entry| (entry.name.as_str(), entry.is_dir)).collect();
    assert_eq!(found, [("a", false), ("b", false), ("c", false), ("inner", true)]);
    assert_eq!(entries[3].path, inner);
    let metadata = disk.metadata(&outer).unwrap().unwrap();
    assert_eq!((metadata.len, metadata.is_dir), (0, true));
    assert_eq!(kind_of(disk.read_dir(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind_of(disk.read_dir(&outer.join("a"))), ErrorKind::NotADirectory);
    assert_eq!(kind_of(disk.create_dir_all(&outer.join("a"))), ErrorKind::AlreadyExists);
    assert_eq!(kind_of(disk.remove_dir(&outer)), ErrorKind::DirectoryNotEmpty);
    assert_eq!(kind_of(disk.remove_dir(&outer.join("a"))), ErrorKind::NotADirectory);
    assert_eq!(kind_of(disk.remove_file(&inner)), ErrorKind::IsADirectory);
    for name in ["a", "b", "c"] {
        disk.remove_file(&outer.join(name)).unwrap();
    }
    disk.remove_dir(&inner).unwrap();
    disk.remove_dir(&outer).unwrap();
    assert_eq!(kind_of(disk.remove_dir(&outer)), ErrorKind::NotFound);
}

fn renaming_and_removing(disk: &dyn Disk, dir: &Path) {
    let (one, two) = (dir.join("one"), dir.join("two"));
    let first = create(disk, &one, b"first");
    let second = create(disk, &two, b"second");
    disk.rename(&one, &two).unwrap();
    assert_eq!(disk.metadata(&one).unwrap(), None);
    let named = disk.open(&two, OpenHow::buffered(Access::Read)).unwrap();
    assert_eq!(contents(&*named), b"first");
    assert_eq!(contents(&*second), b"second", "an open file outlives its name");
    write_all_at(&*first, b"FIRST", 0).unwrap();
    assert_eq!(contents(&*named), b"FIRST", "an open file follows its name");
    assert_eq!(kind_of(disk.rename(&one, &two)), ErrorKind::NotFound);
    disk.rename(&two, &two).unwrap();

    let (old, new) = (dir.join("old"), dir.join("new"));
    disk.create_dir_all(&old.join("sub")).unwrap();
    disk.rename(&two, &old.join("sub/file")).unwrap();
    disk.rename(&old, &new).unwrap();
    assert_eq!(disk.metadata(&new.join("sub/file")).unwrap().unwrap().len, 5);
    assert_eq!(disk.metadata(&old.join("sub/file")).unwrap(), None);
    assert_eq!(kind_of(disk.rename(&new, &dir.join("none/new"))), ErrorKind::NotFound);
    create(disk, &one, b"");
    assert_eq!(kind_of(disk.rename(&one, &new)), ErrorKind::IsADirectory);
    assert_eq!(kind_of(disk.rename(&new, &one)), ErrorKind::NotADirectory);
    assert_eq!(kind_of(disk.rename(&new, &new.join("sub/self"))), ErrorKind::InvalidInput);
    disk.remove_file(&one).unwrap();

    disk.remove_file(&new.join("sub/file")).unwrap();
    assert_eq!(contents(&*named), b"FIRST");
    assert_eq!(kind_of(disk.remove_file(&two)), ErrorKind::NotFound);
    disk.remove_dir(&new.join("sub")).unwrap();
    disk.remove_dir(&new).unwrap();
}

fn locks(disk: &dyn Disk, dir: &Path) {
    let path = dir.join(".lock");
    let held = disk.lock(&path).unwrap();
    assert_eq!(kind_of(disk.lock(&path)), ErrorKind::WouldBlock);
    assert_eq!(kind_of(disk.lock(&path)), ErrorKind::WouldBlock, "a refusal takes nothing away");
    drop(held);
    drop(disk.lock(&path).unwrap());
    disk.remove_file(&path).unwrap();
}

fn syncs_and_space(disk: &dyn Disk, dir: &Path) {
    let path = dir.join("file");
    let file = create(disk, &path, b"synced");
    file.sync_data().unwrap();
    disk.sync_dir(dir).unwrap();
    disk.sync_file_system(dir).unwrap();
    let space = disk.space(dir).unwrap();
    assert!(0 < space.available && space.available <= space.total);
    assert_eq!(kind_of(disk.sync_dir(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind_of(disk.sync_file_system(&dir.join("none"))), ErrorKind::NotFound);
    assert_eq!(kind_of(disk.space(&dir.join("none"))), ErrorKind::NotFound);
    disk.remove_file(&path).unwrap();
}
