//! Indexes, compared with their segments, and snapshots of producers.

use super::super::Failure;
use super::super::out::{Out, complain};
use super::segment::{batch_size, last_offset, optional};
use super::{Findings, Shown, base_offset, read};
use afluente_protocol::records::{Batch, Decompressor};
use afluente_stdx::crc32c::crc32c;
use anyhow::{anyhow, bail, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const OFFSET_ENTRY_BYTES: usize = 8;
const TIME_ENTRY_BYTES: usize = 12;

/// What a batch may become, decompressed.
const UNCOMPRESSED_BYTES_MAX: usize = 1 << 30;

/// An entry of an offset index: the last offset of a batch, and where it begins.
struct OffsetEntry {
    offset: i64,
    position: u32,
}

/// The entries of the file, without a rest that is no entry.
fn offset_entries(bytes: &[u8], base: i64) -> Vec<OffsetEntry> {
    let entry = |entry: &[u8]| {
        let part =
            |at: usize| entry[at..].first_chunk().map_or(0, |four| u32::from_be_bytes(*four));
        OffsetEntry { offset: base + i64::from(part(0)), position: part(4) }
    };
    bytes.chunks_exact(OFFSET_ENTRY_BYTES).map(entry).collect()
}

/// The segment beside an index.
fn segment_of(path: &Path) -> anyhow::Result<Vec<u8>> {
    read(&path.with_extension("log"))
}

fn check_sane(
    path: &Path,
    bytes: usize,
    entry_bytes: usize,
    last: Option<i64>,
    base: i64,
) -> anyhow::Result<()> {
    ensure!(
        last.is_none_or(|last| last >= base),
        "Corrupt index found, index file ({}) has non-zero size but the last offset is {} which is \
         less than the base offset {base}.",
        path.display(),
        last.unwrap_or_default()
    );
    ensure!(
        bytes.is_multiple_of(entry_bytes),
        "Index file {} is corrupt, found {bytes} bytes which is neither positive nor a multiple of \
         {entry_bytes}.",
        path.display()
    );
    Ok(())
}

pub(super) fn dump_offsets(
    path: &Path,
    shown: &Shown,
    findings: &mut Findings,
    out: &mut Out,
) -> Result<(), Failure> {
    let base = base_offset(path)?;
    let segment = segment_of(path)?;
    let bytes = read(path)?;
    let entries = offset_entries(&bytes, base);
    if entries.is_empty() {
        out.line(format!("{} is empty.", path.display()))?;
        return Ok(());
    }
    if shown.sanity_only {
        let last = entries.last().map(|entry| entry.offset);
        check_sane(path, bytes.len(), OFFSET_ENTRY_BYTES, last, base)?;
        out.line(format!("{} passed sanity check.", path.display()))?;
        return Ok(());
    }
    let mut mismatches = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        // Behind the last entry of a file that was not cut there may be zeros.
        if entry.offset == base && at > 0 {
            break;
        }
        let from = usize::try_from(entry.position).unwrap_or(usize::MAX).min(segment.len());
        let to = segment.len().min(from.saturating_add(shown.message_bytes_max as usize));
        let found = last_offset(&segment[from..to]).ok_or_else(|| {
            anyhow!(
                "{}: no batch begins at position {} of the segment",
                path.display(),
                entry.position
            )
        })?;
        if found != entry.offset {
            mismatches.push((entry.offset, found));
        }
        if !shown.verify_only {
            out.line(format!("offset: {} position: {}", entry.offset, entry.position))?;
        }
    }
    if !mismatches.is_empty() {
        findings.mismatches.push((path.to_owned(), mismatches));
    }
    Ok(())
}

/// What is wrong with time indexes, by file.
#[derive(Default)]
pub(super) struct TimeFindings {
    mismatches: BTreeMap<PathBuf, Vec<(i64, i64)>>,
    out_of_order: BTreeMap<PathBuf, Vec<(i64, i64)>>,
    not_found: BTreeMap<PathBuf, Vec<(i64, i64)>>,
}

impl TimeFindings {
    pub(super) fn tell(&self) {
        for (path, list) in &self.mismatches {
            complain(&format!("Found timestamp mismatch in :{}", path.display()));
            for (index, log) in list {
                complain(&format!("  Index timestamp: {index}, log timestamp: {log}"));
            }
        }
        for (path, list) in &self.out_of_order {
            complain(&format!("Found out of order timestamp in :{}", path.display()));
            for (index, before) in list {
                complain(&format!(
                    "  Index timestamp: {index}, Previously indexed timestamp: {before}"
                ));
            }
        }
        for list in self.not_found.values() {
            complain("The following indexed offsets are not found in the log.");
            for (index, log) in list {
                complain(&format!("Indexed offset: {index}, found log offset: {log}"));
            }
        }
    }
}

pub(super) fn dump_times(
    path: &Path,
    shown: &Shown,
    findings: &mut Findings,
    out: &mut Out,
) -> Result<(), Failure> {
    let base = base_offset(path)?;
    let segment = segment_of(path)?;
    let positions = offset_entries(&read(&path.with_extension("index"))?, base);
    let bytes = read(path)?;
    let entries: Vec<(i64, i64)> = bytes
        .chunks_exact(TIME_ENTRY_BYTES)
        .map(|entry| {
            let time = entry.first_chunk().map_or(0, |eight| i64::from_be_bytes(*eight));
            let offset = entry[8..].first_chunk().map_or(0, |four| u32::from_be_bytes(*four));
            (time, base + i64::from(offset))
        })
        .collect();
    if shown.sanity_only {
        let last = entries.last().map(|entry| entry.1);
        check_sane(path, bytes.len(), TIME_ENTRY_BYTES, last, base)?;
        out.line(format!("{} passed sanity check.", path.display()))?;
        return Ok(());
    }
    let mut before = -1;
    for (at, &(time, offset)) in entries.iter().enumerate() {
        if offset == base && at > 0 {
            break;
        }
        let behind = positions.partition_point(|entry| entry.offset <= offset);
        let from = behind.checked_sub(1).map_or(0, |at| positions[at].position as usize);
        match batch_with(&segment, from, offset) {
            Some((found, batch)) if found == offset => {
                let latest = latest_timestamp(batch)?;
                if latest != time {
                    let list = findings.times.mismatches.entry(path.to_owned()).or_default();
                    list.push((time, latest));
                }
                if before >= time {
                    let list = findings.times.out_of_order.entry(path.to_owned()).or_default();
                    list.push((time, before));
                }
            }
            found => {
                let found = found.map_or(-1, |(found, _)| found);
                let list = findings.times.not_found.entry(path.to_owned()).or_default();
                list.push((offset, found));
            }
        }
        if !shown.verify_only {
            out.line(format!("timestamp: {time} offset: {offset}"))?;
        }
        before = time;
    }
    Ok(())
}

/// The first batch from a position on that reaches up to an offset, with its last one.
fn batch_with(segment: &[u8], mut from: usize, offset: i64) -> Option<(i64, &[u8])> {
    loop {
        let rest = segment.get(from..)?;
        let size = batch_size(rest)?;
        let last = last_offset(rest)?;
        if last >= offset {
            return Some((last, &rest[..size]));
        }
        from += size;
    }
}

fn latest_timestamp(batch: &[u8]) -> anyhow::Result<i64> {
    let batch = Batch::parse(batch)?;
    let section = batch.uncompressed(&mut Decompressor::new(), UNCOMPRESSED_BYTES_MAX)?;
    let mut latest = -1;
    for record in batch.header().records(&section) {
        latest = latest.max(record?.timestamp);
    }
    Ok(latest)
}

/// Reads numbers of the formats below, all of them big-endian.
struct Cursor<'a> {
    path: &'a Path,
    bytes: &'a [u8],
}

impl Cursor<'_> {
    fn take<const N: usize>(&mut self) -> anyhow::Result<[u8; N]> {
        let Some((first, rest)) = self.bytes.split_first_chunk() else {
            bail!("{} ends in the middle of an entry", self.path.display());
        };
        self.bytes = rest;
        Ok(*first)
    }

    fn i16(&mut self) -> anyhow::Result<i16> {
        Ok(i16::from_be_bytes(self.take()?))
    }

    fn i32(&mut self) -> anyhow::Result<i32> {
        Ok(i32::from_be_bytes(self.take()?))
    }

    fn i64(&mut self) -> anyhow::Result<i64> {
        Ok(i64::from_be_bytes(self.take()?))
    }
}

/// Aborted transactions: version, producer, first and last offset, last stable offset.
pub(super) fn dump_txns(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let bytes = read(path)?;
    let mut cursor = Cursor { path, bytes: &bytes };
    while !cursor.bytes.is_empty() {
        let version = cursor.i16()?;
        let (producer, first) = (cursor.i64()?, cursor.i64()?);
        let (last, stable) = (cursor.i64()?, cursor.i64()?);
        out.line(format!(
            "version: {version} producerId: {producer} firstOffset: {first} lastOffset: {last} \
             lastStableOffset: {stable}"
        ))?;
    }
    Ok(())
}

/// What is known of producers at an offset: a version, a CRC of what follows it, and entries.
pub(super) fn dump_producers(path: &Path, out: &mut Out) -> Result<(), Failure> {
    let bytes = read(path)?;
    match producers(path, &bytes) {
        Ok(lines) => {
            for line in lines {
                out.line(line)?;
            }
        }
        Err(error) => {
            out.flush()?;
            complain(&format!("{error:#}"));
        }
    }
    Ok(())
}

fn producers(path: &Path, bytes: &[u8]) -> anyhow::Result<Vec<String>> {
    let mut cursor = Cursor { path, bytes };
    let version = cursor.i16()?;
    ensure!(version == 1, "Snapshot contained an unknown file version {version}");
    let stored = u32::from_be_bytes(cursor.take()?);
    let computed = crc32c(cursor.bytes);
    ensure!(
        stored == computed,
        "Snapshot is corrupt (CRC is no longer valid). Stored crc: {stored}. Computed crc: {computed}"
    );
    let count = cursor.i32()?;
    let mut lines = Vec::new();
    for _ in 0..count {
        let (producer, epoch) = (cursor.i64()?, cursor.i16()?);
        let (last_sequence, last_offset) = (cursor.i32()?, cursor.i64()?);
        let (delta, time) = (cursor.i32()?, cursor.i64()?);
        let (coordinator_epoch, first_offset) = (cursor.i32()?, cursor.i64()?);
        let first_offset = optional((first_offset >= 0).then_some(first_offset));
        let mut line = format!(
            "producerId: {producer} producerEpoch: {epoch} coordinatorEpoch: {coordinator_epoch} \
             currentTxnFirstOffset: {first_offset} lastTimestamp: {time}"
        );
        if last_offset >= 0 {
            let first_sequence = last_sequence
                .checked_sub(delta)
                .filter(|first| *first >= 0)
                .unwrap_or_else(|| i32::MAX - (delta - last_sequence) + 1);
            line.push_str(&format!(
                " firstSequence: {first_sequence} lastSequence: {last_sequence} lastOffset: \
                 {last_offset} offsetDelta: {delta} timestamp: {time}"
            ));
        }
        lines.push(line);
    }
    Ok(lines)
}
