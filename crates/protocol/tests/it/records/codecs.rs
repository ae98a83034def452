//! The codecs by themselves: round trips, foreign frames, limits and bombs.

use std::io::Write;

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::{
    CodecId, Compression, Compressor, Decompressor, GzipLevel, Lz4Level, RecordsError, ZstdLevel,
};
use proptest::prelude::*;

fn compress(compression: Compression, input: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Compressor::new().compress(compression, input, &mut out);
    out
}

fn decompress(codec: CodecId, input: &[u8], bytes_max: usize) -> Result<Vec<u8>, RecordsError> {
    let mut out = b"before".to_vec();
    let done = Decompressor::new().decompress(codec, input, bytes_max, &mut out);
    assert!(out.starts_with(b"before"), "what was there stays");
    if done.is_err() {
        assert_eq!(out, b"before", "after an error nothing is added");
    }
    done.map(|()| out.split_off(6))
}

/// Text that compresses somewhat, of any length.
fn text(bytes: usize) -> Vec<u8> {
    let words = (0_u32..).flat_map(|n| {
        format!("{{\"id\":{n},\"at\":{}}}\n", n.wrapping_mul(2_654_435_761)).into_bytes()
    });
    words.take(bytes).collect()
}

/// Bytes that do not compress.
fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..bytes).map(|_| next()).collect()
}

fn all_settings() -> Vec<Compression> {
    let gzip = [-1, 1, 5, 9].map(|level| Compression::Gzip(GzipLevel::new(level).unwrap()));
    let lz4 = [1, 9, 17].map(|level| Compression::Lz4(Lz4Level::new(level).unwrap()));
    let zstd =
        [-131_072, -5, 1, 3, 12, 22].map(|level| Compression::Zstd(ZstdLevel::new(level).unwrap()));
    [&[Compression::None, Compression::Snappy][..], &gzip, &lz4, &zstd].concat()
}

#[test]
fn every_setting_gives_back_inputs_of_every_size_and_kind() {
    // Around the block sizes of snappy and LZ4, and beyond several blocks.
    let sizes = [0, 1, 100, 32_767, 32_768, 32_769, 65_535, 65_536, 65_537, 300_000];
    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    for setting in all_settings() {
        for input in sizes.iter().flat_map(|bytes| [text(*bytes), noise(*bytes)]) {
            let mut compressed = Vec::new();
            compressor.compress(setting, &input, &mut compressed);
            let mut out = Vec::new();
            let codec = setting.codec();
            decompressor.decompress(codec, &compressed, input.len(), &mut out).unwrap();
            assert!(out == input, "{setting:?}: {} bytes", input.len());
            if !input.is_empty() {
                let error = decompress(codec, &compressed, input.len() - 1).unwrap_err();
                let bytes_max = input.len() - 1;
                assert_eq!(error, RecordsError::TooLargeUncompressed { codec, bytes_max });
                assert_eq!(error.code(), ErrorCode::MessageTooLarge);
            }
        }
    }
}

#[test]
fn levels_have_the_ranges_and_defaults_of_kafka() {
    let gzip: Vec<_> = (-3..12).filter(|level| GzipLevel::new(*level).is_some()).collect();
    assert_eq!(gzip, [-1, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert!(Lz4Level::new(0).is_none() && Lz4Level::new(18).is_none());
    assert!(ZstdLevel::new(23).is_none() && ZstdLevel::new(-131_073).is_none());
    assert_eq!(GzipLevel::default().get(), -1);
    assert_eq!(Lz4Level::default().get(), 9);
    assert_eq!(ZstdLevel::default().get(), 3);
}

#[test]
fn a_bomb_costs_its_limit_and_no_more() {
    let limit = 1 << 20;
    for codec in CodecId::ALL {
        let bomb = compress(codec.into(), &vec![0; 64 << 20]);
        let mut out = Vec::new();
        let error = Decompressor::new().decompress(codec, &bomb, limit, &mut out).unwrap_err();
        assert_eq!(error, RecordsError::TooLargeUncompressed { codec, bytes_max: limit });
        assert!(out.capacity() <= 2 * limit, "{codec}: {} bytes set aside", out.capacity());
    }
}

#[test]
fn claimed_sizes_are_not_believed() {
    // A snappy block that says 2 GiB, a zstd frame that says 8 EiB, an LZ4 frame of 4 MiB blocks.
    let snappy = [&[0xff, 0xff, 0xff, 0xff, 0x07][..], &[0; 20]].concat();
    let zstd = [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0xff; 7], &[0x7f], &[0; 20]].concat();
    let lz4 = [&lz4_frame_header(0x60, 0x70)[..], &[1, 0, 0, 0, 0]].concat();
    for (codec, bytes) in [(CodecId::Snappy, snappy), (CodecId::Zstd, zstd), (CodecId::Lz4, lz4)] {
        let mut out = Vec::new();
        let refused = Decompressor::new().decompress(codec, &bytes, 1 << 30, &mut out);
        assert!(refused.is_err(), "{codec}");
        assert!(out.capacity() <= 64 << 10, "{codec}: {} bytes set aside", out.capacity());
    }
}

#[test]
fn gzip_members_follow_each_other_and_padding_is_ignored() {
    let gzip = Compression::from(CodecId::Gzip);
    let two = [compress(gzip, b"one "), compress(gzip, b"two")].concat();
    assert_eq!(decompress(CodecId::Gzip, &two, 100).unwrap(), b"one two");
    let padded = [&two[..], &[0; 10]].concat();
    assert_eq!(decompress(CodecId::Gzip, &padded, 100).unwrap(), b"one two");
    // A header with a file name, as gzip(1) writes it.
    let mut encoder = flate2::GzBuilder::new()
        .filename("records.bin")
        .extra(vec![1, 2, 3])
        .comment("no comment")
        .write(Vec::new(), flate2::Compression::best());
    encoder.write_all(&text(100_000)).unwrap();
    let foreign = encoder.finish().unwrap();
    assert_eq!(decompress(CodecId::Gzip, &foreign, 100_000).unwrap(), text(100_000));
}

#[test]
fn snappy_is_framed_as_snappy_java_does_and_bare_blocks_are_read() {
    let framed = compress(Compression::Snappy, &text(70_000));
    assert_eq!(framed[..16], *b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01");
    let twice = [&framed[..], &framed].concat();
    let expected = [text(70_000), text(70_000)].concat();
    assert_eq!(decompress(CodecId::Snappy, &twice, 140_000).unwrap(), expected);

    let bare = snap::raw::Encoder::new().compress_vec(&text(70_000)).unwrap();
    assert_eq!(decompress(CodecId::Snappy, &bare, 70_000).unwrap(), text(70_000));

    let mut later = framed.clone();
    later[15] = 2;
    assert!(decompress(CodecId::Snappy, &later, 70_000).is_err(), "for a later reader");
}

fn lz4_frame_header(flags: u8, block_size: u8) -> [u8; 7] {
    let checksum = (twox_hash::XxHash32::oneshot(0, &[flags, block_size]) >> 8) as u8;
    [0x04, 0x22, 0x4d, 0x18, flags, block_size, checksum]
}

#[test]
fn lz4_frames_of_every_legal_kind_are_read() {
    use lz4_flex::frame::{BlockMode, BlockSize, FrameEncoder, FrameInfo};
    let input = [text(9_000_000), noise(300_000)].concat();
    let sizes = [BlockSize::Max64KB, BlockSize::Max256KB, BlockSize::Max1MB, BlockSize::Max4MB];
    for block_size in sizes {
        for (mode, checksums, sized) in [
            (BlockMode::Independent, false, false),
            (BlockMode::Independent, true, true),
            (BlockMode::Linked, false, true),
            (BlockMode::Linked, true, false),
        ] {
            let info = FrameInfo::new()
                .block_size(block_size)
                .block_mode(mode)
                .block_checksums(checksums)
                .content_checksum(checksums)
                .content_size(sized.then_some(input.len() as u64));
            let mut encoder = FrameEncoder::with_frame_info(info, Vec::new());
            encoder.write_all(&input).unwrap();
            let frame = encoder.finish().unwrap();
            let out = decompress(CodecId::Lz4, &frame, input.len()).unwrap();
            assert!(out == input, "{block_size:?} {mode:?} {checksums} {sized}");
            let error = decompress(CodecId::Lz4, &frame, input.len() - 1).unwrap_err();
            assert_eq!(error.code(), ErrorCode::MessageTooLarge, "{error}");
        }
    }
}

#[test]
fn lz4_frames_that_lie_are_refused() {
    let header = compress(CodecId::Lz4.into(), b"")[..7].to_vec();
    assert_eq!(header, lz4_frame_header(0x60, 0x40), "independent blocks of 64 KiB, no checksums");
    let refused: [(&str, Vec<u8>); 7] = [
        ("no bytes", vec![]),
        ("another magic", b"\x04\x22\x4d\x19\x60\x40\x82\0\0\0\0".to_vec()),
        ("a wrong header checksum", b"\x04\x22\x4d\x18\x60\x40\x83\0\0\0\0".to_vec()),
        ("a dictionary", [&lz4_frame_header(0x61, 0x40)[..], &[0; 8]].concat()),
        ("a block size of nothing", [&lz4_frame_header(0x60, 0x30)[..], &[0; 4]].concat()),
        ("a block above the maximum", [&header[..], &[1, 0, 1, 0x80]].concat()),
        ("no end mark", [&header[..], &[1, 0, 0, 0x80, b'x']].concat()),
    ];
    for (what, frame) in refused {
        let error = decompress(CodecId::Lz4, &frame, 1000).unwrap_err();
        assert!(matches!(error, RecordsError::Undecodable { .. }), "{what}: {error}");
    }
    let stored = [&header[..], &[1, 0, 0, 0x80, b'x', 0, 0, 0, 0], b"whatever follows"].concat();
    assert_eq!(decompress(CodecId::Lz4, &stored, 1000).unwrap(), b"x");
}

#[test]
fn zstd_frames_without_content_size_and_several_frames_are_read() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.write_all(&text(500_000)).unwrap();
    let streamed = encoder.finish().unwrap();
    assert_eq!(decompress(CodecId::Zstd, &streamed, 500_000).unwrap(), text(500_000));
    let two = [streamed, compress(CodecId::Zstd.into(), b"tail")].concat();
    let expected = [&text(500_000)[..], b"tail"].concat();
    assert_eq!(decompress(CodecId::Zstd, &two, 500_004).unwrap(), expected);
}

proptest! {
    #[test]
    fn one_compressor_serves_inputs_of_all_codecs_in_turn(
        inputs in prop::collection::vec((0..5_usize, 0..80_000_usize), 1..12),
    ) {
        let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
        for (codec, bytes) in inputs {
            let codec = CodecId::ALL[codec];
            let input = text(bytes);
            let (mut compressed, mut out) = (Vec::new(), Vec::new());
            compressor.compress(codec.into(), &input, &mut compressed);
            // A failure in between must not spoil what follows.
            let cut = &compressed[..compressed.len() / 2];
            let _ = decompressor.decompress(codec, cut, bytes, &mut Vec::new());
            decompressor.decompress(codec, &compressed, bytes, &mut out).unwrap();
            prop_assert!(out == input);
        }
    }
}
