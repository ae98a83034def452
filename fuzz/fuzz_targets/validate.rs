//! Any bytes as a batch of a producer, with its length and checksum put right so that what comes
//! after them is reached. What is accepted can be read by a consumer.
#![no_main]

use afluente_protocol::numbers::Offset;
use afluente_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, Decompressor, MAGIC_V2,
};
use afluente_storage::log_config::LogConfig;
use afluente_storage::origin::AppendOrigin;
use afluente_storage::validate::{UNCOMPRESSED_BYTES_MAX, Validator, validate_replicated};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const NOW_MS: i64 = 1_800_000_000_000;
const CODECS: [&str; 6] = ["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"];

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let bytes = put_right(bytes.to_vec());
    let _ = validate_replicated(&bytes, Offset(0));
    let mut config = LogConfig::default();
    config.set("compression.type", CODECS[usize::from(*choice) % 6]).expect("it is allowed");
    if choice & 64 != 0 {
        config.set("message.timestamp.type", "LogAppendTime").expect("it is allowed");
    }
    let origin = if choice & 128 == 0 { AppendOrigin::Client } else { AppendOrigin::Coordinator };
    let Ok(valid) = Validator::new().validate(&bytes, origin, &config, NOW_MS) else { return };
    let written = [&valid.header.encode(), &valid.section[..]].concat();
    let batch = Batch::parse(&written).expect("what was accepted is a batch");
    batch.verify_crc().expect("its checksum is right");
    let section = batch.uncompressed(&mut Decompressor::new(), UNCOMPRESSED_BYTES_MAX);
    let section = section.expect("its records can be decompressed");
    let mut next = batch.header().base_offset;
    for record in batch.header().records(&section) {
        let record = record.expect("its records can be read");
        assert_eq!(record.offset, next);
        assert!(record.timestamp <= batch.header().max_timestamp);
        next = next.plus(1);
    }
    assert_eq!(next, batch.header().next_offset());
});

fn put_right(mut bytes: Vec<u8>) -> Bytes {
    if bytes.len() >= BATCH_HEADER_BYTES {
        let length = i32::try_from(bytes.len() - 12).expect("the fuzzer's inputs are small");
        bytes[8..12].copy_from_slice(&length.to_be_bytes());
        bytes[16] = MAGIC_V2.to_be_bytes()[0];
        let mut header = BatchHeader::parse(&bytes).expect("a whole header of the right magic");
        header.crc = header.crc_with(&bytes[BATCH_HEADER_BYTES..]);
        bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
    }
    bytes.into()
}
