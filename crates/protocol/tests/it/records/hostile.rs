//! Damage and malice: every bit, every cut, every false claim.

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::{
    BATCH_HEADER_BYTES, Batch, BatchHeader, Batches, CodecId, Decompressor, OpenBatch, RecordsError,
};
use bytes::Bytes;
use proptest::prelude::*;

use super::sample::{BYTES_MAX, read, small};

#[test]
fn a_flipped_bit_is_found_unless_it_is_in_the_bytes_that_brokers_patch() {
    // Base offset and leader epoch are set by the broker after the CRC was made; the lowest bits
    // of them are not checked by anything else either. All other bytes are covered.
    let patched = |byte: usize| matches!(byte, 0..8 | 12..16);
    for codec in CodecId::ALL {
        let sound = small(codec);
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let found = read(&damaged).is_err();
            // The sign bit of a base offset makes no offsets that overflow, only negative ones.
            assert_eq!(found, !patched(bit / 8), "{codec}: bit {bit}");
        }
    }
}

#[test]
fn a_cut_at_any_byte_is_truncation() {
    for codec in CodecId::ALL {
        let sound = small(codec);
        for cut in 0..sound.len() {
            let error = read(&sound[..cut]).unwrap_err();
            assert!(matches!(error, RecordsError::Truncated { .. }), "{codec}: cut at {cut}");
            assert_eq!(error.code(), ErrorCode::CorruptMessage);
        }
    }
}

/// The batch with a section of its own and a CRC that fits, as a hostile producer would send it.
fn forged(header: &BatchHeader, section: &[u8]) -> Vec<u8> {
    let mut bytes = [&header.encode(), section].concat();
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let mut header = BatchHeader::parse(&bytes).unwrap();
    header.crc = header.crc_with(section);
    bytes[..BATCH_HEADER_BYTES].copy_from_slice(&header.encode());
    bytes
}

fn with_count(header: &BatchHeader, record_count: i32) -> BatchHeader {
    let mut header = *header;
    header.record_count = record_count;
    header
}

#[test]
fn sections_cut_anywhere_behind_a_valid_crc_are_errors() {
    for codec in CodecId::ALL {
        let sound = small(codec);
        let batch = Batch::parse(&sound).unwrap();
        for cut in 0..batch.records_section().len() {
            let bytes = forged(batch.header(), &batch.records_section()[..cut]);
            // The end mark of an LZ4 frame and the checksum of a gzip member are needed too.
            assert!(read(&bytes).is_err(), "{codec}: cut at {cut}");
        }
    }
}

#[test]
fn sections_with_flipped_bits_behind_a_valid_crc_never_panic() {
    for codec in CodecId::ALL {
        let sound = small(codec);
        let batch = Batch::parse(&sound).unwrap();
        for bit in 0..batch.records_section().len() * 8 {
            let mut section = batch.records_section().to_vec();
            section[bit / 8] ^= 1 << (bit % 8);
            let _ = read(&forged(batch.header(), &section));
        }
    }
}

#[test]
fn counts_that_disagree_with_the_bytes_are_errors() {
    let sound = small(CodecId::None);
    let batch = Batch::parse(&sound).unwrap();
    for count in [i32::MIN, -1, 0, 1, 2, 4, i32::MAX] {
        let header = with_count(batch.header(), count);
        let forged = forged(&header, batch.records_section());
        let error = read(&forged).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRecord, "{count}: {error}");
        // Nor may a claim decide how much memory is set aside.
        let parsed = Batch::parse(&forged).unwrap();
        let (_, upper) = parsed.header().records(parsed.records_section()).size_hint();
        assert!(upper.unwrap() <= forged.len());
    }
}

#[test]
fn malformed_records_are_named() {
    let cases: [(&[u8], &str); 12] = [
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], "a variable-length number does not end"),
        (&[0x80], "it ends inside a number"),
        (&[1], "its length is negative"),
        (&[12, 0, 0, 0, 1, 1], "a length points beyond the end of its surroundings"),
        (&[0], "it ends before its attributes"),
        (&[2, 0], "it ends inside a number"),
        // Key of one byte, and nothing there.
        (&[8, 0, 0, 0, 2], "a length points beyond the end of its surroundings"),
        // Header count -1, header count 2 with one byte, header key length -1.
        (&[12, 0, 0, 0, 1, 1, 1], "its header count is negative"),
        (&[14, 0, 0, 0, 1, 1, 4, 0], "it has fewer bytes left than headers"),
        (&[16, 0, 0, 0, 1, 1, 2, 1, 1], "a header key has a negative length"),
        // A byte too many, inside the record.
        (&[14, 0, 0, 0, 1, 1, 0, 0], "its length does not agree with its contents"),
        (&[12, 0, 0x80, 0, 1, 1, 0x80], "it ends inside a number"),
    ];
    let sound = small(CodecId::None);
    let header = with_count(Batch::parse(&sound).unwrap().header(), 1);
    for (section, expected) in cases {
        let error = read(&forged(&header, section)).unwrap_err();
        assert_eq!(error, RecordsError::BadRecord { index: 0, reason: expected }, "{section:?}");
    }
    // The least record there is, and as Kafka reads it: any negative length is a null.
    for section in [[12, 0, 0, 0, 1, 1, 0], [12, 0, 0, 0, 3, 255, 0]] {
        let section =
            if section[5] == 255 { vec![14, 0, 0, 0, 3, 0x83, 1, 0] } else { section.to_vec() };
        let records = read(&forged(&header, &section)).unwrap();
        assert_eq!((&records[0].key, &records[0].value), (&None, &None));
    }
}

#[test]
fn unknown_codecs_are_refused_by_number() {
    let sound = small(CodecId::None);
    for codec in 5..8 {
        let mut bytes = sound.to_vec();
        bytes[22] |= codec;
        let header = BatchHeader::parse(&bytes).unwrap();
        let error = read(&forged(&header, &bytes[BATCH_HEADER_BYTES..])).unwrap_err();
        assert_eq!(error, RecordsError::UnknownCodec(codec));
        assert_eq!(error.code(), ErrorCode::UnsupportedCompressionType);
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        for batch in Batches::new(&bytes).flatten() {
            let _ = read(batch.bytes());
        }
    }

    #[test]
    fn arbitrary_sections_never_panic_and_stay_within_the_limit(
        section in prop::collection::vec(any::<u8>(), 0..400),
        codec in 0..5_usize,
        record_count in any::<i32>(),
        limit in 0..1000_usize,
    ) {
        let codec = CodecId::ALL[codec];
        let sound = small(codec);
        let header = with_count(Batch::parse(&sound).unwrap().header(), record_count);
        let bytes = Bytes::from(forged(&header, &section));
        let _ = read(&bytes);
        if codec != CodecId::None
            && let Ok(open) = OpenBatch::open(&bytes, &mut Decompressor::new(), limit)
        {
            prop_assert!(open.section().len() <= limit);
        }
        if let Ok(open) = OpenBatch::open(&bytes, &mut Decompressor::new(), BYTES_MAX) {
            open.header().skim(open.section()).for_each(drop);
        }
    }

    #[test]
    fn damaged_sections_never_panic(
        codec in 0..5_usize,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let sound = small(CodecId::ALL[codec]);
        let batch = Batch::parse(&sound).unwrap();
        let mut section = batch.records_section().to_vec();
        for (at, byte) in damage {
            *at.get_mut(&mut section) = byte;
        }
        let _ = read(&forged(batch.header(), &section));
    }
}
