//! A log directory whose files were changed in any way, opened and read: journal, checkpoint,
//! segments, indexes. The input is a list of changes to a sound directory; checksums of the
//! journal's and the checkpoint's frames can be made right again, so that what is behind them is
//! reached too. It opens or is refused; what is read is sound or an error.
#![no_main]

use afluente_env::disk::{Access, Disk, OpenHow, read_full_at, write_all_at};
use afluente_env::sim::Machine;
use afluente_protocol::numbers::{LeaderEpoch, Offset, ProducerEpoch, ProducerId};
use afluente_protocol::records::{
    BatchBuilder, BatchOptions, BatchProducer, Batches, Compressor, EndTxnMarker, MarkerPlace,
    NewRecord, TxnOutcome,
};
use afluente_protocol::uuid::Uuid;
use afluente_storage::log_config::LogConfig;
use afluente_storage::origin::AppendOrigin;
use afluente_storage::{
    Advance, AppendOptions, Log, LogDir, LogDirConfig, LogObserver, ReadOutcome, ReadRequest,
    StorageError, TopicPartition, UpTo,
};
use afluente_stdx::crc32c::crc32c;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

const DIR: &str = "/data";
/// Reads of one log; a sound one needs far fewer.
const READS_MAX: usize = 1_000;

type Files = BTreeMap<PathBuf, Vec<u8>>;

struct Observer;

impl LogObserver for Observer {
    fn advanced(&self, advances: &[Advance]) {
        for advance in advances {
            advance.log.set_high_watermark(advance.durable_end);
        }
    }

    fn dir_offline(&self, _: &StorageError) {}
}

fuzz_target!(|input: &[u8]| {
    static SOUND: OnceLock<[Files; 2]> = OnceLock::new();
    let sound = SOUND.get_or_init(|| [make(false), make(true)]);
    let Some((which, changes)) = input.split_first() else { return };
    let mut files = sound[usize::from(which % 2)].clone();
    change(&mut files, changes);
    let machine = Machine::by_hand(1);
    let disk = machine.boot().disk;
    for (path, bytes) in &files {
        disk.create_dir_all(path.parent().unwrap()).unwrap();
        let file = disk.open(path, OpenHow::buffered(Access::CreateNew)).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        write_all_at(file.as_ref(), &bytes[..used], 0).unwrap();
        file.set_len(bytes.len() as u64).unwrap();
    }
    let Ok(dir) = open(&machine) else { return };
    for log in dir.logs() {
        read_all(&machine, &log);
    }
    machine.workers().run_until_idle();
    let _ = dir.close();
});

fn config() -> LogDirConfig {
    LogDirConfig {
        tail_bytes: 4 << 20,
        block_cache_bytes: 1 << 20,
        journal_file_bytes: 1 << 20,
        journal_bytes_max: 4 << 20,
        checkpoint_bytes: 1 << 20,
        ..LogDirConfig::default()
    }
}

fn open(machine: &Machine) -> Result<LogDir, StorageError> {
    LogDir::open(&machine.boot(), Path::new(DIR), config(), Arc::new(Observer)).map(|(dir, _)| dir)
}

/// A directory with transactions in several segments, killed with a checkpoint and a journal behind
/// it, or closed.
fn make(closed: bool) -> Files {
    let machine = Machine::by_hand(1);
    let dir = open(&machine).unwrap();
    let topic = |name| {
        let config = LogConfig { segment_bytes: 1_500, index_interval_bytes: 200, ..Default::default() };
        dir.create_log(&TopicPartition::new(name, 0), Uuid([7; 16]), Arc::new(config)).unwrap()
    };
    let (transactions, plain) = (topic("transactions"), topic("plain"));
    for n in 0..6 {
        write_txn(&transactions, n);
        append(&plain, BatchOptions::default(), AppendOrigin::Client);
        machine.workers().run_until_idle();
        if n == 3 {
            machine.clock().advance(Duration::from_secs(60));
            machine.workers().run_until_idle();
        }
    }
    machine.clock().advance(Duration::from_millis(200));
    machine.workers().run_until_idle();
    let disk = machine.boot().disk;
    if closed {
        dir.close().unwrap();
    }
    let mut files = Files::new();
    keep(disk.as_ref(), DIR.as_ref(), &mut files);
    files
}

fn write_txn(log: &Arc<Log>, n: i32) {
    let (id, epoch) = (ProducerId(7), ProducerEpoch(0));
    for part in 0..2 {
        let producer = BatchProducer { id, epoch, base_sequence: n * 2 + part };
        let options = BatchOptions { producer, is_transactional: true, ..Default::default() };
        append(log, options, AppendOrigin::Client);
    }
    let outcome = if n % 2 == 0 { TxnOutcome::Commit } else { TxnOutcome::Abort };
    let place = MarkerPlace {
        offset: Offset(0),
        partition_leader_epoch: LeaderEpoch(0),
        timestamp: 1_000,
        producer_id: id,
        producer_epoch: epoch,
    };
    let marker = EndTxnMarker { outcome, coordinator_epoch: 0 }.batch(place);
    let options = AppendOptions::client(LeaderEpoch(0), 1_000);
    let options = AppendOptions { origin: AppendOrigin::Coordinator, ..options };
    log.append(marker, &options).unwrap();
}

fn append(log: &Arc<Log>, options: BatchOptions, origin: AppendOrigin) {
    let mut builder = BatchBuilder::new(options);
    let record = NewRecord { timestamp: 1_000, key: Some(b"k"), value: Some(&[7; 150]), headers: &[] };
    builder.append(&record).unwrap();
    let batch = builder.finish(&mut Compressor::new()).unwrap();
    let options = AppendOptions::client(LeaderEpoch(0), 1_000);
    log.append(batch, &AppendOptions { origin, ..options }).unwrap();
}

fn keep(disk: &dyn Disk, directory: &Path, files: &mut Files) {
    for entry in disk.read_dir(directory).unwrap() {
        if entry.is_dir {
            keep(disk, &entry.path, files);
            continue;
        }
        let file = disk.open(&entry.path, OpenHow::buffered(Access::Read)).unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        read_full_at(file.as_ref(), &mut bytes, 0).unwrap();
        files.insert(entry.path, bytes);
    }
}

/// Each change is: what, which file, where (two bytes), and what it needs.
fn change(files: &mut Files, mut changes: &[u8]) {
    while let Some((&[what, which, high, low], rest)) = changes.split_first_chunk() {
        changes = rest;
        let Some(path) = files.keys().nth(usize::from(which) % files.len().max(1)).cloned() else {
            return;
        };
        let bytes = files.get_mut(&path).unwrap();
        let at = usize::from(u16::from_be_bytes([high, low]));
        match what % 5 {
            // Other bytes.
            0 => {
                let Some((&len, rest)) = changes.split_first() else { return };
                let len = usize::from(len % 32).min(rest.len());
                let (new, rest) = rest.split_at(len);
                changes = rest;
                if let Some(place) = bytes.get_mut(at..at + len) {
                    place.copy_from_slice(new);
                }
            }
            1 => bytes.truncate(at),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << (which % 8);
                }
            }
            3 => mend(bytes),
            _ => {
                files.remove(&path);
            }
        }
    }
    files.values_mut().for_each(|bytes| mend(bytes));
}

/// Makes the checksums of all frames right: of the journal, and of the checkpoint.
fn mend(bytes: &mut [u8]) {
    for (magic, len_at) in [(b"AFLTJRN1", 60), (b"AFLTCKP1", 92)] {
        let (body_crc_at, crc_at, header) = (len_at + 4, len_at + 8, len_at + 12);
        for at in (0..bytes.len()).step_by(64) {
            let frame = &mut bytes[at..];
            if !frame.starts_with(magic) || frame.len() < header {
                continue;
            }
            let len = u32::from_le_bytes(*frame[len_at..].first_chunk().unwrap());
            let Some(body) = frame.get(header..header.saturating_add(len as usize)) else { continue };
            let body_crc = crc32c(body);
            frame[body_crc_at..crc_at].copy_from_slice(&body_crc.to_le_bytes());
            let crc = crc32c(&frame[..crc_at]);
            frame[crc_at..header].copy_from_slice(&crc.to_le_bytes());
        }
    }
}

fn read_all(machine: &Machine, log: &Arc<Log>) {
    log.set_high_watermark(log.durable_end());
    for up_to in [UpTo::LogEnd, UpTo::LastStable] {
        let mut offset = log.start_offset();
        for _ in 0..READS_MAX {
            let request = ReadRequest { offset, max_bytes: 4_000, at_least_one_batch: true, up_to };
            let data = match log.read(request) {
                Ok(ReadOutcome::Data(data)) => Ok(data),
                Ok(ReadOutcome::Cold(cold)) => {
                    let answer = Arc::new(Mutex::new(None));
                    let told = Arc::clone(&answer);
                    log.read_cold(cold, move |outcome| *told.lock().unwrap() = Some(outcome));
                    machine.workers().run_until_idle();
                    let answer = answer.lock().unwrap().take();
                    answer.expect("the cold readers answer")
                }
                Err(error) => Err(error),
            };
            let Ok(data) = data else { break };
            if data.next_offset <= offset {
                break;
            }
            for batch in Batches::new(&data.records.into_bytes()) {
                batch.unwrap().verify_crc().unwrap();
            }
            offset = data.next_offset;
        }
    }
}
