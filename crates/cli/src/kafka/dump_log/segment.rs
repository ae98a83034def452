//! Segments and snapshots of the metadata: batches, and the records in them.

use super::super::Failure;
use super::super::out::Out;
use super::{Findings, Kind, Shown, base_offset, decode, read};
use afluente_protocol::records::{
    Batch, BatchHeader, Decompressor, Header, MAGIC_V2, RecordView, TimestampType,
};
use std::path::Path;

/// What a batch may become, decompressed; more is shown as damaged.
const UNCOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// Where the magic of a batch is; those before magic 2 have it at the same place.
const MAGIC_AT: usize = 16;

pub(super) fn dump(
    path: &Path,
    shown: &Shown,
    findings: &mut Findings,
    out: &mut Out,
) -> Result<(), Failure> {
    let bytes = read(path)?;
    announce(path, out)?;
    let end = shown
        .bytes_max
        .map_or(bytes.len(), |max| usize::try_from(max).unwrap_or(usize::MAX).min(bytes.len()));
    let bytes = &bytes[..end];
    let mut walk = Walk { shown, out, last_offset: -1, gaps: Vec::new() };
    let mut decompressor = Decompressor::new();
    let mut position = 0;
    while let Some(size) = batch_size(&bytes[position..]) {
        if bytes[position + MAGIC_AT] < MAGIC_V2.unsigned_abs() {
            walk.legacy(&bytes[position..position + size], position)?;
        } else {
            match Batch::parse(&bytes[position..position + size]) {
                Ok(batch) => walk.batch(&batch, position, &mut decompressor)?,
                Err(_) => break,
            }
        }
        position += size;
    }
    let gaps = std::mem::take(&mut walk.gaps);
    if !gaps.is_empty() {
        findings.gaps.push((path.to_owned(), gaps));
    }
    let trailing = bytes.len() - position;
    if trailing > 0 && shown.bytes_max.is_none() {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        out.line(format!("Found {trailing} invalid bytes at the end of {name}"))?;
    }
    Ok(())
}

fn announce(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if matches!(Kind::of(path), Some(Kind::Segment)) {
        out.line(format!("Log starting offset: {}", base_offset(path)?))?;
    } else if name == "bootstrap.checkpoint" {
        out.line("KRaft bootstrap snapshot")?;
    } else {
        let stem = name.strip_suffix(".checkpoint").unwrap_or(name);
        let (offset, epoch) = stem.split_once('-').unwrap_or((stem, ""));
        let number = |text: &str| text.parse::<i64>();
        match (number(offset), number(epoch)) {
            (Ok(offset), Ok(epoch)) => {
                out.line(format!("Snapshot end offset: {offset}, epoch: {epoch}"))?;
            }
            _ => {
                return Err(anyhow::anyhow!("{} is no snapshot by its name", path.display()).into());
            }
        }
    }
    Ok(())
}

/// How long the batch at the beginning of `bytes` is, if all of it is there.
pub(super) fn batch_size(bytes: &[u8]) -> Option<usize> {
    const OVERHEAD: usize = 12;
    /// No message of any format is shorter.
    const LENGTH_MIN: usize = 14;
    let length = i32::from_be_bytes(*bytes.get(8..)?.first_chunk()?);
    let length = usize::try_from(length).ok().filter(|length| *length >= LENGTH_MIN)?;
    let size = OVERHEAD.checked_add(length)?;
    (size <= bytes.len()).then_some(size)
}

/// The last offset of the batch at the beginning of `bytes`, and its largest timestamp.
pub(super) fn last_offset(bytes: &[u8]) -> Option<i64> {
    batch_size(bytes)?;
    let base = i64::from_be_bytes(*bytes.first_chunk()?);
    if bytes[MAGIC_AT] < MAGIC_V2.unsigned_abs() {
        return Some(base);
    }
    BatchHeader::parse(bytes).ok().map(|header| header.last_offset().0)
}

struct Walk<'a> {
    shown: &'a Shown,
    out: &'a mut Out,
    last_offset: i64,
    gaps: Vec<(i64, i64)>,
}

impl Walk<'_> {
    /// A message of a format before the present one, as a whole.
    fn legacy(&mut self, bytes: &[u8], position: usize) -> Result<(), Failure> {
        let offset = bytes.first_chunk().map_or(0, |first| i64::from_be_bytes(*first));
        let magic = bytes[MAGIC_AT];
        self.out.line(format!(
            "offset: {offset} position: {position} size: {} magic: {magic}",
            bytes.len()
        ))?;
        Ok(())
    }

    fn batch(
        &mut self,
        batch: &Batch<'_>,
        position: usize,
        decompressor: &mut Decompressor,
    ) -> Result<(), Failure> {
        let header = batch.header();
        let kind = time_kind(header);
        let codec = header.attributes.codec().map_or("unknown", |codec| codec.name());
        let horizon = optional(header.delete_horizon_ms());
        self.out.line(format!(
            "baseOffset: {} lastOffset: {} count: {} baseSequence: {} lastSequence: {} producerId: \
             {} producerEpoch: {} partitionLeaderEpoch: {} isTransactional: {} isControl: {} \
             deleteHorizonMs: {horizon} position: {position} {kind}: {} size: {} magic: 2 \
             compresscodec: {codec} crc: {} isvalid: {}",
            header.base_offset,
            header.last_offset(),
            header.record_count,
            header.base_sequence,
            header.last_sequence(),
            header.producer_id,
            header.producer_epoch,
            header.partition_leader_epoch,
            header.attributes.is_transactional(),
            header.attributes.is_control(),
            header.max_timestamp,
            batch.bytes().len(),
            header.crc,
            batch.verify_crc().is_ok(),
        ))?;
        if !self.shown.is_deep {
            return Ok(());
        }
        let section = batch.uncompressed(decompressor, UNCOMPRESSED_BYTES_MAX);
        let section = section.map_err(anyhow::Error::from)?;
        for record in header.records(&section) {
            let record = record.map_err(anyhow::Error::from)?;
            self.record(header, &record)?;
        }
        Ok(())
    }

    fn record(&mut self, header: &BatchHeader, record: &RecordView<'_>) -> Result<(), Failure> {
        let offset = record.offset.0;
        if offset != self.last_offset + 1 {
            self.gaps.push((self.last_offset, offset));
        }
        self.last_offset = offset;
        let is_control = header.attributes.is_control();
        let mut line = Vec::new();
        let mut prefix = "| ";
        if !self.shown.skips_metadata {
            let size = |bytes: Option<&[u8]>| bytes.map_or(-1, |bytes| bytes.len() as i64);
            line.extend_from_slice(
                format!(
                    "| offset: {offset} {}: {} keySize: {} valueSize: {} sequence: {} headerKeys: [",
                    time_kind(header),
                    record.timestamp,
                    size(record.key),
                    size(record.value),
                    sequence(header.base_sequence, record.offset_delta),
                )
                .as_bytes(),
            );
            for (at, Header { key, .. }) in record.headers.enumerate() {
                if at > 0 {
                    line.push(b',');
                }
                line.extend_from_slice(key);
            }
            line.push(b']');
            prefix = " ";
            if is_control {
                line.push(b' ');
                line.extend_from_slice(decode::control(record).as_bytes());
            }
        }
        if self.shown.has_data && !is_control {
            let (key, payload) = self.shown.decoder.decode(record);
            for (name, part) in [("key: ", key), ("payload: ", payload)] {
                if let Some(part) = part {
                    line.extend_from_slice(prefix.as_bytes());
                    line.extend_from_slice(name.as_bytes());
                    line.extend_from_slice(part.as_bytes());
                    prefix = " ";
                }
            }
        }
        line.push(b'\n');
        self.out.bytes(&line)?;
        Ok(())
    }
}

fn time_kind(header: &BatchHeader) -> &'static str {
    match header.attributes.timestamp_type() {
        TimestampType::CreateTime => "CreateTime",
        TimestampType::LogAppendTime => "LogAppendTime",
    }
}

/// The sequence number of a record; behind the largest one comes 0.
fn sequence(base: i32, delta: i32) -> i32 {
    if base < 0 {
        return -1;
    }
    base.checked_add(delta).unwrap_or_else(|| delta - (i32::MAX - base) - 1)
}

/// As Java shows an `OptionalLong`.
pub(super) fn optional(number: Option<i64>) -> String {
    number
        .map_or_else(|| "OptionalLong.empty".to_owned(), |number| format!("OptionalLong[{number}]"))
}
