//! Apache Kafka's own code reads what we write, and we read what it writes.
#![allow(clippy::disallowed_methods, reason = "files are how a test and a Java program talk")]

use std::fmt::Write;
use std::path::Path;

use afluente_harness::java::{Jars, Java, java_dir, output_of};
use afluente_protocol::records::{
    Batch, BatchBuilder, BatchOptions, Batches, CodecId, Compression, Compressor, Decompressor,
    EndTxnMarker, LegacyMessages, MarkerPlace, NewRecord, RecordView, RecordsError, TimestampType,
    emptied, recompress,
};

use super::sample::BYTES_MAX;

/// Seeds of the random batches; any will do, and these are enough to have met every shape.
const SEEDS: [u64; 2] = [1, 2];

#[test]
fn batches_of_kafka_are_read_and_written_back_to_the_byte() {
    let Some(java) = Java::or_skip(Jars::Kafka, "record batches of kafka-clients") else { return };
    for seed in SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("theirs");
        let listed = run(&java, &["write", &seed.to_string()], &file);
        let bytes = std::fs::read(&file).unwrap();
        same_lines(&listing(&bytes), &listed);

        let mut codecs_met = 0_u8;
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            let codec = batch.header().attributes.codec().unwrap();
            codecs_met |= 1 << codec as u8;
            if codec == CodecId::None {
                assert_eq!(rebuilt(&batch, Compression::None), batch.bytes(), "seed {seed}");
                if let Some(marker) = marker_rebuilt(&batch) {
                    assert_eq!(marker, batch.bytes(), "seed {seed}");
                }
            }
        }
        assert_eq!(codecs_met, 0b11111, "every codec was met");
    }
}

#[test]
fn kafka_reads_our_batches_as_we_do() {
    let Some(java) = Java::or_skip(Jars::Kafka, "record batches of kafka-clients") else { return };
    let dir = tempfile::tempdir().unwrap();
    let theirs = dir.path().join("theirs");
    run(&java, &["write", "3"], &theirs);
    let theirs = std::fs::read(theirs).unwrap();

    let (mut compressor, mut decompressor) = (Compressor::new(), Decompressor::new());
    let mut ours = Vec::new();
    for (n, batch) in Batches::new(&theirs).enumerate() {
        let batch = batch.unwrap();
        // The same records once more, then in each other codec, stamped, and removed.
        let codec = batch.header().attributes.codec().unwrap();
        ours.extend(rebuilt(&batch, codec.into()));
        let other = CodecId::ALL[n % CodecId::ALL.len()].into();
        let other = recompress(&batch, other, BYTES_MAX, &mut compressor, &mut decompressor);
        ours.extend(other.unwrap());
        let mut stamped = *batch.header();
        stamped.set_max_timestamp(TimestampType::LogAppendTime, 12_345, batch.records_section());
        ours.extend(stamped.encode());
        ours.extend(batch.records_section());
        ours.extend(emptied(batch.header()));
    }
    let file = dir.path().join("ours");
    std::fs::write(&file, &ours).unwrap();
    same_lines(&listing(&ours), &run(&java, &["list"], &file));
}

#[test]
fn old_formats_of_kafka_are_read() {
    let Some(java) = Java::or_skip(Jars::Kafka, "message formats v0 and v1") else { return };
    for seed in SEEDS {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("theirs");
        let listed = run(&java, &["write-legacy", &seed.to_string()], &file);
        let bytes = std::fs::read(&file).unwrap();
        let mut lines = String::new();
        for message in LegacyMessages::new(&bytes) {
            let message = message.unwrap();
            message.verify_crc().unwrap();
            message
                .for_each_record(&mut Decompressor::new(), BYTES_MAX, |record| {
                    list_record(&mut lines, &record);
                    Ok::<_, RecordsError>(())
                })
                .unwrap();
        }
        same_lines(&lines, &listed);
    }
}

fn run(java: &Java, arguments: &[&str], file: &Path) -> String {
    let mut command = java.program(&java_dir().join("RecordBatches.java"));
    output_of(command.args(arguments).arg(file)).unwrap()
}

/// Compares line by line: the whole of two listings is more than a reader of a failure can use.
fn same_lines(ours: &str, theirs: &str) {
    for (n, (ours, theirs)) in ours.lines().zip(theirs.lines()).enumerate() {
        assert_eq!(ours, theirs, "line {n}");
    }
    assert_eq!(ours.lines().count(), theirs.lines().count());
}

/// The batch, built anew from its records as its producer appended them.
fn rebuilt(batch: &Batch<'_>, compression: Compression) -> Vec<u8> {
    let header = batch.header();
    let mut builder = BatchBuilder::new(BatchOptions::in_place_of(header, compression));
    let section = batch.uncompressed(&mut Decompressor::new(), BYTES_MAX).unwrap();
    for view in header.records(&section) {
        let view = view.unwrap();
        let headers: Vec<_> = view.headers.collect();
        let record = NewRecord {
            timestamp: header.base_timestamp + view.timestamp_delta,
            key: view.key,
            value: view.value,
            headers: &headers,
        };
        builder.append_at(view.offset, &record).unwrap();
    }
    builder.extend_to(header.last_offset()).unwrap();
    builder.finish(&mut Compressor::new()).unwrap().to_vec()
}

/// The batch built as a transaction marker, if it is one.
fn marker_rebuilt(batch: &Batch<'_>) -> Option<Vec<u8>> {
    let header = batch.header();
    if !header.attributes.is_control() {
        return None;
    }
    let record = header.records(batch.records_section()).next()?.unwrap();
    let marker = EndTxnMarker::parse(&record).unwrap()?;
    let place = MarkerPlace {
        offset: header.base_offset,
        partition_leader_epoch: header.partition_leader_epoch,
        timestamp: header.max_timestamp,
        producer_id: header.producer_id,
        producer_epoch: header.producer_epoch,
    };
    Some(marker.batch(place).to_vec())
}

/// The batches of `bytes` in the form in which `RecordBatches.java` lists them.
fn listing(bytes: &[u8]) -> String {
    let mut lines = String::new();
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        batch.verify_crc().unwrap();
        batch.header().check_shape().unwrap();
        list_batch(&mut lines, &batch);
        let section = batch.uncompressed(&mut Decompressor::new(), BYTES_MAX).unwrap();
        for record in batch.header().records(&section) {
            list_record(&mut lines, &record.unwrap());
        }
    }
    lines
}

fn list_batch(lines: &mut String, batch: &Batch<'_>) {
    let header = batch.header();
    let attributes = header.attributes;
    let kind = match attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    };
    write!(
        lines,
        "batch {}-{} epoch={} {} {kind} timestamps={},{} producer={},{},{}-{} count={}",
        header.base_offset,
        header.last_offset(),
        header.partition_leader_epoch,
        attributes.codec().unwrap(),
        header.base_timestamp,
        header.max_timestamp,
        header.producer_id,
        header.producer_epoch,
        header.base_sequence,
        header.last_sequence(),
        header.record_count,
    )
    .unwrap();
    if attributes.is_transactional() {
        lines.push_str(" transactional");
    }
    if attributes.is_control() {
        lines.push_str(" control");
    }
    if let Some(horizon) = header.delete_horizon_ms() {
        write!(lines, " horizon={horizon}").unwrap();
    }
    lines.push('\n');
}

fn list_record(lines: &mut String, record: &RecordView<'_>) {
    write!(lines, "record {} at={} key=", record.offset, record.timestamp).unwrap();
    push_hex(lines, record.key);
    lines.push_str(" value=");
    push_hex(lines, record.value);
    for header in record.headers {
        lines.push(' ');
        push_hex(lines, Some(header.key));
        lines.push(':');
        push_hex(lines, header.value);
    }
    lines.push('\n');
}

fn push_hex(lines: &mut String, bytes: Option<&[u8]>) {
    match bytes {
        None => lines.push_str("null"),
        Some(bytes) => bytes.iter().for_each(|byte| write!(lines, "{byte:02x}").unwrap()),
    }
}
