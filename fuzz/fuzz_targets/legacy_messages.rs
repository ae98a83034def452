//! Any bytes as message sets of formats v0 and v1, as an old segment would hold them.
#![no_main]

use afluente_protocol::records::{Decompressor, LegacyMessages, RecordsError};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    for message in LegacyMessages::new(bytes).map_while(Result::ok) {
        let _ = message.verify_crc();
        let mut bytes_inside = 0;
        let _ = message.for_each_record(&mut Decompressor::new(), BYTES_MAX, |record| {
            bytes_inside += record.key.map_or(0, <[u8]>::len);
            bytes_inside += record.value.map_or(0, <[u8]>::len);
            Ok::<_, RecordsError>(())
        });
        assert!(bytes_inside <= BYTES_MAX.max(bytes.len()));
    }
});
