//! What the simulated disk keeps, loses and breaks.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::disk::{RealDisk, conformance, read_full_at, read_up_to, write_all_at};
use crate::rng::Rng;
use afluente_stdx::aligned_buf::AlignedBuf;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::io::ErrorKind;

fn disk(seed: u64) -> SimDisk {
    SimDisk::new(Rng::seeded(seed), SimClock::by_hand(), Trace::new())
}

fn create(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    disk.open(path.as_ref(), OpenHow::buffered(Access::CreateOrWrite)).unwrap()
}

/// A file with a durable name.
fn create_named(disk: &SimDisk, path: &str) -> Arc<dyn File> {
    let file = create(disk, path);
    disk.sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

fn contents(disk: &SimDisk, path: &str) -> Option<Vec<u8>> {
    let file = disk.open(path.as_ref(), OpenHow::buffered(Access::Read)).ok()?;
    let mut bytes = vec![0; file.len().unwrap().try_into().unwrap()];
    read_full_at(&*file, &mut bytes, 0).unwrap();
    Some(bytes)
}

/// All that a power cut leaves behind after `act`, over many seeds.
fn outcomes<T: Ord>(act: impl Fn(&SimDisk), look: impl Fn(&SimDisk) -> T) -> BTreeSet<T> {
    (0..300)
        .map(|seed| {
            let disk = disk(seed);
            act(&disk);
            look(&disk.cut_power().0)
        })
        .collect()
}

#[test]
fn it_behaves_as_every_disk() {
    let disk = disk(1);
    disk.create_dir_all("/dir".as_ref()).unwrap();
    conformance::check(&disk, "/dir".as_ref());
}

#[test]
fn synced_bytes_survive_and_others_may_or_may_not() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        write_all_at(&*file, b"durable", 0).unwrap();
        file.sync_data().unwrap();
        write_all_at(&*file, b"DURABLE", 0).unwrap();
        write_all_at(&*file, b"!", 7).unwrap();
    };
    let found = outcomes(act, |disk| contents(disk, "/a").unwrap());
    let expected = ["DURABLE", "DURABLE\0", "DURABLE!", "durable", "durable\0"];
    let expected: Vec<_> = expected.iter().map(|text| text.as_bytes().to_vec()).collect();
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_write_is_torn_between_sectors_and_never_within_one() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        file.set_len(2048).unwrap();
        file.sync_data().unwrap();
        write_all_at(&*file, &[1; 2048], 0).unwrap();
    };
    let sectors = |disk: &SimDisk| {
        let bytes = contents(disk, "/a").unwrap();
        bytes
            .chunks(contents::SECTOR)
            .map(|sector| {
                assert!(sector.iter().all(|byte| *byte == sector[0]), "torn within a sector");
                sector[0]
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(outcomes(act, sectors).len(), 16, "each sector for itself");
}

#[test]
fn a_direct_write_is_lost_without_a_sync_and_kept_if_synchronous() {
    for synchronous in [false, true] {
        let act = |disk: &SimDisk| {
            let how = OpenHow { synchronous, ..OpenHow::direct(Access::CreateNew) };
            let file = disk.open("/a".as_ref(), how).unwrap();
            disk.sync_dir("/".as_ref()).unwrap();
            let mut page = AlignedBuf::zeroed(PAGE);
            page.fill(5);
            write_all_at(&*file, &page, PAGE as u64).unwrap();
        };
        let found = outcomes(act, |disk| contents(disk, "/a").unwrap());
        let whole = [vec![0; PAGE], vec![5; PAGE]].concat();
        assert!(found.contains(&whole));
        assert_eq!(found.len() == 1, synchronous);
    }
}

#[test]
fn a_synchronous_write_does_not_sync_its_neighbours() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        write_all_at(&*file, &[1; 3 * PAGE], 0).unwrap();
        let how = OpenHow::buffered(Access::Write).synchronous();
        let synchronous = disk.open("/a".as_ref(), how).unwrap();
        write_all_at(&*synchronous, &[2; 10], PAGE as u64).unwrap();
    };
    let found = outcomes(act, |disk| {
        let bytes = contents(disk, "/a").unwrap();
        assert_eq!(bytes.len(), 3 * PAGE, "the length is durable");
        assert_eq!(bytes[PAGE..PAGE + 10], [2; 10]);
        assert!(bytes[PAGE + 10..2 * PAGE].iter().all(|&byte| byte == 1), "whole pages are");
        (bytes[0], bytes[2 * PAGE])
    });
    assert_eq!(found.len(), 4);
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        write_all_at(&*file, &[1; 6000], 0).unwrap();
        file.sync_data().unwrap();
        file.set_len(1000).unwrap();
        write_all_at(&*file, &[2; 10], 5000).unwrap();
    };
    let found = outcomes(act, |disk| {
        let bytes = contents(disk, "/a").unwrap();
        assert_eq!(bytes[..1000], [1; 1000]);
        match bytes.len() {
            6000 => assert_eq!(bytes, [1; 6000], "not cut, then nothing after it either"),
            1000 => {}
            5010 => {
                assert!(bytes[1000..5000].iter().all(|&byte| byte == 0));
                assert!(bytes[5000..] == [2; 10] || bytes[5000..] == [0; 10]);
            }
            len => panic!("a length it never had: {len}"),
        }
        bytes.len()
    });
    assert_eq!(found.len(), 3);
}

#[test]
fn names_are_durable_with_their_own_directory() {
    let act = |disk: &SimDisk| {
        disk.create_dir_all("/d/e".as_ref()).unwrap();
        create(disk, "/d/a");
        disk.sync_dir("/".as_ref()).unwrap();
        disk.sync_dir("/d/e".as_ref()).unwrap();
    };
    let exists = |disk: &SimDisk, path: &str| disk.metadata(path.as_ref()).unwrap().is_some();
    let found = outcomes(act, |disk| {
        assert!(exists(disk, "/d"));
        (exists(disk, "/d/a"), exists(disk, "/d/e"))
    });
    assert_eq!(found.len(), 4);
}

#[test]
fn a_rename_leaves_the_old_or_the_new_and_never_neither() {
    let act = |disk: &SimDisk| {
        for (name, bytes) in [("/new", b"new"), ("/old", b"old")] {
            let file = create_named(disk, name);
            write_all_at(&*file, bytes, 0).unwrap();
            file.sync_data().unwrap();
        }
        disk.rename("/new".as_ref(), "/old".as_ref()).unwrap();
    };
    let found = outcomes(act, |disk| (contents(disk, "/new"), contents(disk, "/old").unwrap()));
    let expected = [(None, b"new".to_vec()), (Some(b"new".to_vec()), b"old".to_vec())];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_removed_file_may_come_back_with_its_bytes() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        write_all_at(&*file, b"kept", 0).unwrap();
        file.sync_data().unwrap();
        disk.remove_file("/a".as_ref()).unwrap();
    };
    let found = outcomes(act, |disk| contents(disk, "/a"));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [None, Some(b"kept".to_vec())]);
    let synced = |disk: &SimDisk| {
        act(disk);
        disk.sync_dir("/".as_ref()).unwrap();
    };
    assert_eq!(outcomes(synced, |disk| contents(disk, "/a")).len(), 1);
}

#[test]
fn a_sync_of_the_file_system_covers_everything() {
    let act = |disk: &SimDisk| {
        disk.create_dir_all("/d/e".as_ref()).unwrap();
        for path in ["/d/a", "/d/e/b"] {
            write_all_at(&*create(disk, path), &[9; 5000], 0).unwrap();
        }
        disk.rename("/d/a".as_ref(), "/c".as_ref()).unwrap();
        disk.sync_file_system("/d".as_ref()).unwrap();
    };
    let found = outcomes(act, |disk| (contents(disk, "/c"), contents(disk, "/d/e/b")));
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(Some(vec![9; 5000]), Some(vec![9; 5000]))]);
}

#[test]
fn a_sync_that_succeeds_after_one_that_failed_makes_nothing_durable() {
    let act = |disk: &SimDisk| {
        let file = create_named(disk, "/a");
        file.set_len(1).unwrap();
        file.sync_data().unwrap();
        write_all_at(&*file, b"x", 0).unwrap();
        let fault = PlannedFault {
            operation: Operation::Sync,
            path_containing: "a".to_owned(),
            after: 0,
            errno: libc::EIO,
        };
        disk.plan_fault(fault);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        disk.sync_file_system("/".as_ref()).unwrap();
        assert_eq!(contents(disk, "/a").unwrap(), b"x", "the page cache still has it");
    };
    let found = outcomes(act, |disk| contents(disk, "/a").unwrap());
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [b"\0".to_vec(), b"x".to_vec()]);
    let after_kill: BTreeSet<_> = (0..20)
        .map(|seed| {
            let disk = disk(seed);
            act(&disk);
            contents(&disk.kill(), "/a").unwrap()
        })
        .collect();
    assert_eq!(after_kill.len(), 2, "nor can its successor rely on it");
}

#[test]
fn a_killed_process_loses_its_locks_and_handles_and_nothing_else() {
    let before = disk(1);
    let file = create(&before, "/a");
    write_all_at(&*file, b"unsynced", 0).unwrap();
    let lock = before.lock("/lock".as_ref()).unwrap();
    let after = before.kill();
    assert_eq!(contents(&after, "/a").unwrap(), b"unsynced");
    let _lock_of_successor = after.lock("/lock".as_ref()).unwrap();
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(file.write_at(&[0], 0).is_err());
    assert!(before.read_dir("/".as_ref()).is_err());
    drop((file, lock));
    assert!(after.lock("/lock".as_ref()).is_err(), "the dead release nothing");
}

#[test]
fn a_full_disk_takes_what_fits_and_recovers() {
    let disk = disk(1);
    disk.set_faults(Faults { capacity_bytes: 3 * PAGE as u64, ..Faults::default() });
    let file = create(&disk, "/a");
    assert_eq!(file.write_at(&[1; 5 * PAGE], 100).unwrap(), 3 * PAGE - 100);
    let full = write_all_at(&*file, &[1; 5 * PAGE], 100).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    assert_eq!(disk.space("/".as_ref()).unwrap().available, 0);
    write_all_at(&*file, &[2; 3 * PAGE], 0).unwrap();
    let refused = disk.open("/b".as_ref(), OpenHow::buffered(Access::CreateNew));
    assert_eq!(refused.err().unwrap().kind(), ErrorKind::StorageFull);
    disk.remove_file("/a".as_ref()).unwrap();
    assert_eq!(disk.space("/".as_ref()).unwrap().available, 0, "it is still open");
    drop(file);
    write_all_at(&*create(&disk, "/b"), &[3; 3 * PAGE], 0).unwrap();
}

#[test]
fn ordered_failures_come_when_they_are_due() {
    let disk = disk(1);
    let file = create(&disk, "/segment.log");
    let plan = |operation, after| {
        let path_containing = "segment".to_owned();
        disk.plan_fault(PlannedFault { operation, path_containing, after, errno: libc::EIO });
    };
    plan(Operation::Write, 1);
    plan(Operation::Read, 0);
    assert!(create(&disk, "/other").write_at(b"x", 0).is_ok());
    assert!(file.write_at(b"x", 0).is_ok());
    assert_eq!(file.write_at(b"x", 0).unwrap_err().raw_os_error(), Some(libc::EIO));
    assert!(file.write_at(b"x", 0).is_ok());
    assert!(file.read_at(&mut [0], 0).is_err());
    assert!(file.read_at(&mut [0], 0).is_ok());
}

#[test]
fn short_transfers_and_latency_come_by_chance() {
    let clock = SimClock::by_hand();
    let disk = SimDisk::new(Rng::seeded(5), clock.clone(), Trace::new());
    let milli = std::time::Duration::from_millis(1);
    disk.set_faults(Faults {
        short_read: 0.9,
        short_write: 0.9,
        latency: milli..2 * milli,
        ..Faults::default()
    });
    let file = disk.open("/a".as_ref(), OpenHow::direct(Access::CreateNew)).unwrap();
    let mut bytes = AlignedBuf::zeroed(64 * PAGE);
    bytes.chunks_mut(PAGE).enumerate().for_each(|(i, page)| page.fill(i.try_into().unwrap()));
    let before = clock.now();
    write_all_at(&*file, &bytes, 0).unwrap();
    let mut read = AlignedBuf::zeroed(64 * PAGE);
    assert_eq!(read_up_to(&*file, &mut read, 0).unwrap(), 64 * PAGE);
    assert!(bytes[..] == read[..]);
    assert!(clock.now() - before > 3 * milli, "several transfers of a millisecond or more each");
}

#[test]
fn a_flipped_bit_is_where_it_says() {
    let disk = disk(3);
    write_all_at(&*create(&disk, "/x.log"), &[0; 100], 0).unwrap();
    write_all_at(&*create(&disk, "/y"), &[0; 100], 0).unwrap();
    disk.sync_file_system("/".as_ref()).unwrap();
    let flip = disk.flip_random_bit(".log").unwrap();
    let check = |disk: &SimDisk| {
        let bytes = contents(disk, "/x.log").unwrap();
        let ones: Vec<_> = (0..800).filter(|bit| bytes[bit / 8] >> (bit % 8) & 1 == 1).collect();
        let offset = usize::try_from(flip.offset).unwrap();
        assert_eq!(ones, [offset * 8 + usize::from(flip.bit)]);
    };
    check(&disk);
    check(&disk.cut_power().0);
}

#[test]
fn a_disk_without_direct_io_says_so_and_still_wants_alignment() {
    let disk = disk(1);
    disk.set_faults(Faults { has_direct_io: false, ..Faults::default() });
    let file = disk.open("/a".as_ref(), OpenHow::direct(Access::CreateNew)).unwrap();
    assert!(!file.is_direct());
    assert_eq!(file.write_at(&[0; 3], 0).unwrap_err().kind(), ErrorKind::InvalidInput);
}

/// One random operation on one of a few files, for the property tests.
#[derive(Debug, Clone)]
enum Op {
    Write { file: u8, offset: u16, len: u16, fill: u8 },
    Read { file: u8, offset: u16, len: u16 },
    SetLen { file: u8, len: u16 },
    Sync { file: u8 },
    SyncDir { dir: u8 },
    SyncAll,
    Rename { from: u8, to: u8 },
    Remove { file: u8 },
    MakeDir { dir: u8 },
    List { dir: u8 },
}

fn any_op() -> impl Strategy<Value = Op> {
    let file = 0..6_u8;
    let dir = 0..3_u8;
    let at = 0..20_000_u16;
    prop_oneof![
        6 => (file.clone(), at.clone(), 0..9000_u16, 1..=255_u8)
            .prop_map(|(file, offset, len, fill)| Op::Write { file, offset, len, fill }),
        2 => (file.clone(), at.clone(), 0..9000_u16)
            .prop_map(|(file, offset, len)| Op::Read { file, offset, len }),
        2 => (file.clone(), at).prop_map(|(file, len)| Op::SetLen { file, len }),
        2 => file.clone().prop_map(|file| Op::Sync { file }),
        2 => dir.clone().prop_map(|dir| Op::SyncDir { dir }),
        1 => Just(Op::SyncAll),
        2 => (file.clone(), file.clone()).prop_map(|(from, to)| Op::Rename { from, to }),
        2 => file.prop_map(|file| Op::Remove { file }),
        2 => dir.clone().prop_map(|dir| Op::MakeDir { dir }),
        1 => dir.prop_map(|dir| Op::List { dir }),
    ]
}

fn dir_of(root: &Path, dir: u8) -> PathBuf {
    match dir {
        0 => root.to_owned(),
        1 => root.join("d"),
        _ => root.join("d/e"),
    }
}

fn path_of(root: &Path, file: u8) -> PathBuf {
    dir_of(root, file % 3).join(if file < 3 { "x" } else { "y" })
}

/// Does `op` and tells what came of it, in words that are the same for every disk.
fn perform(disk: &dyn Disk, root: &Path, op: &Op) -> String {
    let open = |file: u8| disk.open(&path_of(root, file), OpenHow::buffered(Access::CreateOrWrite));
    let outcome = match op {
        Op::Write { file, offset, len, fill } => open(*file).and_then(|file| {
            write_all_at(&*file, &vec![*fill; usize::from(*len)], u64::from(*offset))?;
            Ok(format!("{}", file.len()?))
        }),
        Op::Read { file, offset, len } => {
            disk.open(&path_of(root, *file), OpenHow::buffered(Access::Read)).and_then(|file| {
                let mut buf = vec![0; usize::from(*len)];
                let read = read_up_to(&*file, &mut buf, u64::from(*offset))?;
                Ok(format!("{read} {:08x}", afluente_stdx::crc32c::crc32c(&buf)))
            })
        }
        Op::SetLen { file, len } => {
            open(*file).and_then(|file| file.set_len(u64::from(*len))).map(|()| String::new())
        }
        Op::Sync { file } => disk
            .open(&path_of(root, *file), OpenHow::buffered(Access::Write))
            .and_then(|file| file.sync_data())
            .map(|()| String::new()),
        Op::SyncDir { dir } => disk.sync_dir(&dir_of(root, *dir)).map(|()| String::new()),
        Op::SyncAll => disk.sync_file_system(root).map(|()| String::new()),
        Op::Rename { from, to } => {
            disk.rename(&path_of(root, *from), &path_of(root, *to)).map(|()| String::new())
        }
        Op::Remove { file } => disk.remove_file(&path_of(root, *file)).map(|()| String::new()),
        Op::MakeDir { dir } => disk.create_dir_all(&dir_of(root, *dir)).map(|()| String::new()),
        Op::List { dir } => disk.read_dir(&dir_of(root, *dir)).map(|entries| {
            entries.iter().map(|entry| format!("{} {}, ", entry.name, entry.is_dir)).collect()
        }),
    };
    match outcome {
        Ok(text) => text,
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn all_files(disk: &dyn Disk, root: &Path) -> Vec<Option<Vec<u8>>> {
    let read = |file| {
        let file = disk.open(&path_of(root, file), OpenHow::buffered(Access::Read)).ok()?;
        let mut bytes = vec![0; file.len().unwrap().try_into().unwrap()];
        read_full_at(&*file, &mut bytes, 0).unwrap();
        Some(bytes)
    };
    (0..6).map(read).collect()
}

/// The lengths and bytes that each sector of a file may have after a power cut, kept the dumb way:
/// every state since the last sync.
#[derive(Default)]
struct Past {
    states: Vec<Vec<u8>>,
}

impl Past {
    fn allows(&self, found: &[u8]) -> bool {
        let sector = |state: &Vec<u8>, at: usize| {
            let mut sector = [0; contents::SECTOR];
            let len = state.len().saturating_sub(at).min(contents::SECTOR);
            sector[..len].copy_from_slice(&state[at.min(state.len())..][..len]);
            sector
        };
        self.states.iter().any(|state| state.len() == found.len())
            && (0..found.len()).step_by(contents::SECTOR).all(|at| {
                let found = &found[at..found.len().min(at + contents::SECTOR)];
                found.iter().all(|&byte| byte == 0)
                    || self.states.iter().any(|state| {
                        // A sector may end where a shorter length cut it.
                        let had = sector(state, at);
                        had[..found.len()] == *found
                            || (0..found.len()).any(|cut| {
                                had[..cut] == found[..cut] && found[cut..].iter().all(|&b| b == 0)
                            })
                    })
            })
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn without_a_crash_it_is_the_real_disk(ops in prop::collection::vec(any_op(), 1..40)) {
        let real_root = tempfile::tempdir().unwrap();
        let sim_root = Path::new("/root");
        let sim = disk(1);
        sim.create_dir_all(sim_root).unwrap();
        for op in &ops {
            // Syncs of a real disk are slow, and nobody can see what they did.
            if matches!(op, Op::Sync { .. } | Op::SyncDir { .. } | Op::SyncAll) {
                perform(&sim, sim_root, op);
                continue;
            }
            let on_real = perform(&RealDisk, real_root.path(), op);
            prop_assert_eq!(perform(&sim, sim_root, op), on_real, "{:?}", op);
        }
        let sim = sim.kill();
        prop_assert_eq!(all_files(&sim, sim_root), all_files(&RealDisk, real_root.path()));
    }

    #[test]
    fn what_was_synced_survives_every_power_cut(
        ops in prop::collection::vec(any_op(), 0..30),
        seed in any::<u64>(),
    ) {
        let root = Path::new("/");
        let mut disk = disk(seed);
        disk.create_dir_all("/d/e".as_ref()).unwrap();
        for op in &ops {
            perform(&disk, root, op);
        }
        disk.sync_file_system(root).unwrap();
        let synced = all_files(&disk, root);
        for _ in 0..2 {
            disk = disk.cut_power().0;
            prop_assert_eq!(&all_files(&disk, root), &synced);
        }
    }

    #[test]
    fn a_power_cut_leaves_only_what_was_written(
        ops in prop::collection::vec(any_op(), 0..30),
        seed in any::<u64>(),
    ) {
        let root = Path::new("/");
        let disk = disk(seed);
        create_named(&disk, "/x");
        let mut past = Past { states: vec![Vec::new()] };
        for op in &ops {
            // One file, whose name is durable.
            match op {
                Op::Write { offset, len, fill, .. } => {
                    perform(&disk, root, &Op::Write { file: 0, offset: *offset, len: *len, fill: *fill });
                }
                Op::SetLen { len, .. } => {
                    perform(&disk, root, &Op::SetLen { file: 0, len: *len });
                }
                Op::Sync { .. } | Op::SyncAll => {
                    perform(&disk, root, &Op::Sync { file: 0 });
                    past.states.clear();
                }
                _ => continue,
            }
            past.states.push(contents(&disk, "/x").unwrap());
        }
        let found = contents(&disk.cut_power().0, "/x").unwrap();
        prop_assert!(past.allows(&found), "{} bytes that it never had", found.len());
    }

    #[test]
    fn a_seed_repeats_a_run(ops in prop::collection::vec(any_op(), 0..30), seed in any::<u64>()) {
        let run = || {
            let trace = Trace::new();
            let mut disk = SimDisk::new(Rng::seeded(seed), SimClock::by_hand(), trace.clone());
            disk.set_faults(Faults {
                read_error: 0.1,
                write_error: 0.1,
                sync_error: 0.2,
                short_write: 0.3,
                short_read: 0.3,
                bit_flip_at_crash: 0.5,
                ..Faults::default()
            });
            for op in &ops {
                perform(&disk, "/".as_ref(), op);
                if disk.faults().read_error > 0.0 && trace.count().is_multiple_of(7) {
                    disk = disk.cut_power().0;
                }
            }
            disk.set_faults(Faults::default());
            (trace.hash(), trace.count(), all_files(&disk, "/".as_ref()))
        };
        prop_assert_eq!(run(), run());
    }
}
