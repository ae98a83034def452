//! The bytes of a connection: frames, request headers, requests.
#![no_main]

use afluente_protocol::frame::{read_request_header, take_frame};
use afluente_protocol::messages::any_request::AnyRequest;
use afluente_protocol::reader::Reader;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;

const FRAME_SIZE_MAX: usize = 1 << 20;

fuzz_target!(|data: &[u8]| {
    let mut received = BytesMut::from(data);
    while let Ok(Some(frame)) = take_frame(&mut received, FRAME_SIZE_MAX) {
        let mut reader = Reader::new(frame);
        if let Ok((key, header)) = read_request_header(&mut reader) {
            let request = AnyRequest::decode(key, &mut reader, header.request_api_version);
            if let Err(error) = request {
                let _ = error.to_string();
            }
        }
    }
});
