//! Records of the metadata log and of the coordinators' topics, as recovery reads them.
#![no_main]

use afluente_protocol::messages::{consumer_offsets, share_group_state, transaction_state};
use afluente_protocol::metadata_log::{read_metadata_record, write_metadata_record};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

/// Reads the bytes as a key and as a value of one coordinator's topic, and what it read once more.
macro_rules! coordinator {
    ($module:ident, $number:expr, $bytes:expr) => {{
        if let Ok(key) = $module::Key::from_bytes($bytes.clone()) {
            let written = key.to_bytes().expect("what was read can be written");
            assert_eq!($module::Key::from_bytes(written), Ok(key));
        }
        if let Ok(value) = $module::Value::from_bytes($number, $bytes.clone()) {
            let version = i16::from_be_bytes([$bytes[0], $bytes[1]]);
            let written = value.to_bytes(version).expect("what was read can be written");
            assert_eq!($module::Value::from_bytes($number, written), Ok(value));
        }
    }};
}

fuzz_target!(|data: &[u8]| {
    let Some((&[folder, number], rest)) = data.split_first_chunk::<2>() else { return };
    let number = i16::from(number);
    let bytes = Bytes::copy_from_slice(rest);
    match folder {
        0 => {
            if let Ok((record, version)) = read_metadata_record(bytes) {
                let written = write_metadata_record(&record, version);
                let written = written.expect("what was read can be written");
                assert_eq!(read_metadata_record(written), Ok((record, version)));
            }
        }
        1 => coordinator!(consumer_offsets, number, bytes),
        2 => coordinator!(transaction_state, number, bytes),
        _ => coordinator!(share_group_state, number, bytes),
    }
});
