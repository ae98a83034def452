//! Any bytes as a buffer of record batches, as a fetch response or a segment would hold them.
#![no_main]

use afluente_protocol::records::{BATCH_HEADER_BYTES, Batches, Decompressor};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let mut batches = Batches::new(bytes);
    let mut end = 0;
    for batch in batches.by_ref().map_while(Result::ok) {
        assert_eq!(batch.header().encode(), batch.bytes()[..BATCH_HEADER_BYTES]);
        assert_eq!(batch.header().size_bytes(), batch.bytes().len());
        end += batch.bytes().len();
        // The CRC is nearly always wrong here, so what comes after it is read all the same.
        let _ = batch.verify_crc();
        let _ = batch.header().check_shape();
        if let Ok(section) = batch.uncompressed(&mut Decompressor::new(), BYTES_MAX) {
            let count = batch.header().records(&section).map_while(Result::ok).count();
            assert!(count <= section.len());
        }
    }
    assert_eq!(batches.position(), end);
    assert!(batches.next().is_none());
});
