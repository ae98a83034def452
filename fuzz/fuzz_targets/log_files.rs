//! Any bytes as one of the small files of a log directory; the first byte says which.
#![no_main]

use afluente_protocol::numbers::Offset;
use afluente_storage::kafka_files::meta_properties::MetaProperties;
use afluente_storage::kafka_files::names::{PartitionDir, SegmentFile};
use afluente_storage::kafka_files::{clean_shutdown, offset_checkpoint, partition_metadata};
use afluente_storage::leader_epochs::LeaderEpochs;
use afluente_storage::offset_index::OffsetIndex;
use afluente_storage::producer_state::snapshot;
use afluente_storage::time_index::TimeIndex;
use afluente_storage::txn_index::TxnIndex;
use libfuzzer_sys::fuzz_target;

const BASE: Offset = Offset(1 << 33);
const END: Offset = Offset(1 << 40);
const SEGMENT_BYTES: u64 = 1 << 30;

fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    match kind % 9 {
        0 => {
            if let Ok(index) = OffsetIndex::decode(BASE, bytes.to_vec(), SEGMENT_BYTES, END) {
                assert_eq!(index.bytes(), bytes);
                for entry in index.entries() {
                    assert_eq!(index.lookup(entry.offset), entry);
                }
            }
        }
        1 => {
            if let Ok(index) = TimeIndex::decode(BASE, bytes.to_vec(), END) {
                assert_eq!(index.bytes(), bytes);
                for entry in index.entries() {
                    assert_eq!(index.lookup(entry.timestamp_ms), Some(entry));
                }
            }
        }
        2 => {
            if let Ok(index) = TxnIndex::decode(BASE, bytes, END) {
                assert_eq!(index.encode(), bytes);
            }
        }
        3 => {
            if let Ok(entries) = snapshot::decode(bytes) {
                let again = snapshot::decode(&snapshot::encode(&entries));
                assert_eq!(again, Ok(entries));
            }
        }
        4 => {
            if let Ok(epochs) = LeaderEpochs::from_file(bytes) {
                assert_eq!(LeaderEpochs::from_file(&epochs.to_file()), Ok(epochs));
            }
        }
        5 => {
            if let Ok(offsets) = offset_checkpoint::decode(bytes) {
                let again = offset_checkpoint::decode(&offset_checkpoint::encode(&offsets));
                assert_eq!(again, Ok(offsets));
            }
        }
        6 => {
            if let Ok(topic_id) = partition_metadata::decode(bytes) {
                let again = partition_metadata::decode(&partition_metadata::encode(topic_id));
                assert_eq!(again, Ok(topic_id));
            }
        }
        7 => {
            let _ = MetaProperties::decode(bytes);
            let _ = clean_shutdown::broker_epoch(bytes);
        }
        _ => {
            let name = String::from_utf8_lossy(bytes);
            let _ = PartitionDir::parse(&name);
            if let Some(file) = SegmentFile::parse(&name) {
                assert_eq!(SegmentFile::parse(&file.to_string()), Some(file));
            }
        }
    }
});
