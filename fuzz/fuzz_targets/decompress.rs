//! Any bytes as the input of a codec, which the first byte chooses.
#![no_main]

use afluente_protocol::records::{CodecId, Compressor, Decompressor};
use libfuzzer_sys::fuzz_target;

/// Small enough that a run meets it often.
const BYTES_MAX: usize = 100_000;

fuzz_target!(|input: &[u8]| {
    let Some((codec, input)) = input.split_first() else { return };
    let codec = CodecId::ALL[usize::from(*codec) % CodecId::ALL.len()];
    let mut out = Vec::new();
    let done = Decompressor::new().decompress(codec, input, BYTES_MAX, &mut out);
    assert!(out.len() <= BYTES_MAX);
    assert!(out.capacity() <= 2 * BYTES_MAX + 64, "{} bytes were set aside", out.capacity());
    if done.is_err() {
        assert!(out.is_empty());
        return;
    }
    let (mut compressed, mut again) = (Vec::new(), Vec::new());
    Compressor::new().compress(codec.into(), &out, &mut compressed);
    Decompressor::new()
        .decompress(codec, &compressed, out.len(), &mut again)
        .expect("it was compressed here");
    assert!(again == out);
});
