//! Message formats v0 and v1, from bytes made by hand.

use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::records::{
    Batch, CodecId, Compressor, Decompressor, LegacyMessage, LegacyMessages, RecordsError,
};
use flate2::Crc;

use super::sample::{BYTES_MAX, Sample};

/// A message; the timestamp decides between v1 and v0.
fn message(
    offset: i64,
    attributes: u8,
    timestamp: Option<i64>,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Vec<u8> {
    let mut body = vec![u8::from(timestamp.is_some()), attributes];
    body.extend(timestamp.into_iter().flat_map(i64::to_be_bytes));
    for part in [key, value] {
        let length = part.map_or(-1, |part| part.len() as i32);
        body.extend(length.to_be_bytes());
        body.extend(part.unwrap_or_default());
    }
    let mut crc = Crc::new();
    crc.update(&body);
    let size = body.len() as i32 + 4;
    [&offset.to_be_bytes()[..], &size.to_be_bytes(), &crc.sum().to_be_bytes(), &body].concat()
}

fn wrapper(
    offset: i64,
    codec: CodecId,
    timestamp: Option<i64>,
    inner: &[u8],
    flags: u8,
) -> Vec<u8> {
    let mut value = Vec::new();
    Compressor::new().compress(codec.into(), inner, &mut value);
    if codec == CodecId::Lz4 && timestamp.is_none() {
        value[6] ^= 0x55; // the header checksum, which v0 writers got wrong
    }
    message(offset, codec as u8 | flags, timestamp, None, Some(&value))
}

fn read(bytes: &[u8]) -> Result<Vec<Sample>, RecordsError> {
    let mut samples = Vec::new();
    for message in LegacyMessages::new(bytes) {
        let message = message?;
        message.verify_crc()?;
        message.for_each_record(&mut Decompressor::new(), BYTES_MAX, |record| {
            samples.push(Sample::of(&record));
            Ok::<_, RecordsError>(())
        })?;
    }
    Ok(samples)
}

fn sample(offset: i64, timestamp: i64, key: Option<&str>, value: Option<&str>) -> Sample {
    let bytes = |part: Option<&str>| part.map(|part| part.as_bytes().to_vec());
    Sample { offset, timestamp, key: bytes(key), value: bytes(value), headers: vec![] }
}

const CODECS: [CodecId; 3] = [CodecId::Gzip, CodecId::Snappy, CodecId::Lz4];

#[test]
fn plain_messages_are_records() {
    let log = [
        message(3, 0, None, Some(b"k"), Some(b"v")),
        message(4, 0, None, None, Some(b"")),
        message(9, 0, Some(77), Some(b""), None),
    ];
    let expected = [
        sample(3, -1, Some("k"), Some("v")),
        sample(4, -1, None, Some("")),
        sample(9, 77, Some(""), None),
    ];
    assert_eq!(read(&log.concat()).unwrap(), expected);
}

#[test]
fn wrapped_v0_messages_have_absolute_offsets() {
    let inner = [message(5, 0, None, None, Some(b"a")), message(7, 0, None, None, Some(b"b"))];
    for codec in CODECS {
        let log = wrapper(7, codec, None, &inner.concat(), 0);
        let expected = [sample(5, -1, None, Some("a")), sample(7, -1, None, Some("b"))];
        assert_eq!(read(&log).unwrap(), expected, "{codec}");
    }
}

#[test]
fn wrapped_v1_messages_count_from_the_end() {
    let one = message(0, 0, Some(10), None, Some(b"a"));
    let two = message(2, 0, Some(20), None, Some(b"b"));
    let inner = [one, two].concat();
    for codec in CODECS {
        // Offset of the wrapper, log append time or not, first offset, first timestamp.
        for (offset, flags, first, at) in [(102, 0, 100, 10), (102, 8, 100, 99), (0, 0, 0, 10)] {
            let log = wrapper(offset, codec, Some(99), &inner, flags);
            let last_at = if flags == 8 { 99 } else { 20 };
            let expected =
                [sample(first, at, None, Some("a")), sample(first + 2, last_at, None, Some("b"))];
            assert_eq!(read(&log).unwrap(), expected, "{codec}, wrapper at {offset}");
        }
        assert!(read(&wrapper(1, codec, Some(99), &inner, 0)).is_err(), "1 is below 2");
    }
}

#[test]
fn wrappers_that_make_no_sense_are_refused() {
    let inner = message(0, 0, Some(1), None, Some(b"a"));
    let nested = wrapper(0, CodecId::Gzip, Some(1), &inner, 0);
    let refused = [
        ("an empty wrapper", wrapper(0, CodecId::Gzip, Some(1), &[], 0)),
        ("a wrapper in a wrapper", wrapper(0, CodecId::Gzip, Some(1), &nested, 0)),
        ("zstd", wrapper(0, CodecId::Zstd, Some(1), &inner, 0)),
        ("no value", message(0, 1, Some(1), None, None)),
        ("a cut message", wrapper(0, CodecId::Gzip, Some(1), &inner[..20], 0)),
    ];
    for (what, log) in refused {
        assert!(read(&log).is_err(), "{what}");
    }
}

#[test]
fn damage_is_found_at_every_cut_and_bit() {
    for sound in [message(3, 0, None, Some(b"k"), Some(b"v")), message(3, 0, Some(5), None, None)] {
        for cut in 0..sound.len() {
            let found = LegacyMessage::parse(&sound[..cut]).unwrap_err();
            assert!(matches!(found, RecordsError::Truncated { .. }), "cut at {cut}");
        }
        for bit in 0..sound.len() * 8 {
            let mut damaged = sound.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // The offset is not covered: brokers assign it.
            assert_eq!(read(&damaged).is_err(), bit / 8 >= 8, "bit {bit}");
        }
    }
}

#[test]
fn on_the_wire_old_formats_are_refused() {
    for timestamp in [None, Some(1)] {
        let bytes = message(0, 0, timestamp, None, Some(&[0; 100]));
        let error = Batch::parse(&bytes).unwrap_err();
        assert_eq!(error, RecordsError::LegacyFormat(i8::from(timestamp.is_some())));
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
    }
    let batch = super::sample::small(CodecId::None);
    let error = LegacyMessage::parse(&batch).unwrap_err();
    assert_eq!(error, RecordsError::UnknownMagic(2));
}
