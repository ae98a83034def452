//! Responses of every API key and version: what is read can be written, and is the same when read again.
#![no_main]

use afluente_protocol::api_key::ApiKey;
use afluente_protocol::messages::any_response::AnyResponse;
use afluente_protocol::reader::Reader;
use afluente_protocol::writer::Writer;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((opening, body)) = data.split_first_chunk::<4>() else { return };
    let [k0, k1, v0, v1] = *opening;
    let Some(key) = ApiKey::from_i16(i16::from_be_bytes([k0, k1])) else { return };
    let version = i16::from_be_bytes([v0, v1]);
    let decode = |bytes: Bytes| AnyResponse::decode(key, &mut Reader::new(bytes), version);
    match decode(Bytes::copy_from_slice(body)) {
        Ok(message) => {
            let encode = |message: &AnyResponse| {
                let mut writer = Writer::new();
                message.encode(&mut writer, version).expect("what was read can be written");
                writer.into_bytes()
            };
            let bytes = encode(&message);
            let again = decode(bytes.clone()).expect("what was written can be read");
            assert_eq!(encode(&again), bytes);
        }
        Err(error) => {
            let _ = error.to_string();
        }
    }
});
