//! Any bytes as a records section: the header in front of it is sound, so that every run gets past
//! it. The first bytes choose the codec, the timestamp type and the record count.
#![no_main]

use afluente_protocol::records::{
    Attributes, Batch, BatchBuilder, BatchHeader, BatchOptions, CodecId, Compression, Compressor,
    Decompressor, RecordView, TimestampType,
};
use libfuzzer_sys::fuzz_target;

const BYTES_MAX: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some(([codec, kind, count_0, count_1], section)) = input.split_first_chunk() else {
        return;
    };
    let codec = CodecId::ALL[usize::from(*codec) % CodecId::ALL.len()];
    let kind = match kind % 2 {
        0 => TimestampType::CreateTime,
        _ => TimestampType::LogAppendTime,
    };
    let header = sound_header(codec, kind, i32::from(i16::from_be_bytes([*count_0, *count_1])));
    let Ok(section) = uncompressed(&header, section) else { return };

    let views: Vec<_> = header.records(&section).map_while(Result::ok).collect();
    let skimmed: Vec<_> = header.skim(&section).map_while(Result::ok).collect();
    assert!(skimmed.len() >= views.len(), "skimming minds less than reading");
    for (view, skimmed) in views.iter().zip(&skimmed) {
        assert_eq!((view.offset, view.timestamp), (skimmed.offset, skimmed.timestamp));
        assert_eq!(view.key, skimmed.key);
        assert_eq!(view.value.map(<[u8]>::len), skimmed.value_bytes);
    }

    let whole = header.records(&section).all(|record| record.is_ok());
    if whole && header.attributes.timestamp_type() == TimestampType::CreateTime {
        rebuild_and_compare(&header, &views);
    }
});

fn sound_header(codec: CodecId, kind: TimestampType, record_count: i32) -> BatchHeader {
    let empty = BatchBuilder::new(BatchOptions::default());
    let empty = empty.finish(&mut Compressor::new()).expect("an empty batch is small");
    let mut header = *Batch::parse(&empty).expect("it was built here").header();
    header.attributes = Attributes::default().with_codec(codec).with_timestamp_type(kind);
    header.max_timestamp = 99;
    header.record_count = record_count;
    header
}

fn uncompressed(header: &BatchHeader, section: &[u8]) -> Result<Vec<u8>, ()> {
    let codec = header.attributes.codec().map_err(drop)?;
    let mut out = Vec::new();
    let done = Decompressor::new().decompress(codec, section, BYTES_MAX, &mut out);
    assert!(out.len() <= BYTES_MAX);
    done.map_err(drop).map(|()| out)
}

/// Records in an order that a batch may have are written and read as the same.
fn rebuild_and_compare(header: &BatchHeader, views: &[RecordView<'_>]) {
    let options = BatchOptions::in_place_of(header, Compression::None);
    let mut builder = BatchBuilder::new(options);
    for view in views {
        if builder.append_view(view).is_err() {
            return;
        }
    }
    let bytes = builder.finish(&mut Compressor::new()).expect("a small batch");
    let batch = Batch::parse(&bytes).expect("it was built here");
    batch.verify_crc().expect("it was built here");
    let again: Vec<_> = batch
        .header()
        .records(batch.records_section())
        .map(|record| record.expect("it was built here"))
        .collect();
    assert_eq!(again.len(), views.len());
    for (again, view) in again.iter().zip(views) {
        assert_eq!((again.offset, again.timestamp), (view.offset, view.timestamp));
        assert_eq!((again.key, again.value), (view.key, view.value));
        assert!(again.headers.eq(view.headers));
    }
}
