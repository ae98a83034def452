//! `kafka-dump-log`: what is in the files of a log directory, ours or Apache Kafka's.
//!
//! A directory may be named in place of files: all that is in it is shown. What a running broker
//! has not yet written into segments is in its journal, and not shown; a stopped one leaves none.
//!
//! Decoders of keys and values by the name of a Java class are not there, but for Kafka's own for
//! texts and numbers; nor is the one of remote log metadata.

mod decode;
mod index;
mod json;
mod schemas;
mod segment;

use super::options::{Options, Spec, flag, maybe, value};
use super::out::{Out, complain};
use super::{Failure, Run, Tool};
use anyhow::Context;
use decode::Decoder;
use std::path::{Path, PathBuf};

pub(super) const TOOL: Tool = Tool {
    name: "dump-log",
    about: "Show what is in segments, indexes and snapshots, without a broker.",
    specs: SPECS,
    run: Run::Local(run),
};

const SPECS: &[Spec] = &[
    value("files", "FILE,…", "Files of a partition, or directories. Required."),
    flag("deep-iteration", "Show each record, and not the batches alone."),
    flag("print-data-log", "Show keys and values too."),
    flag("skip-record-metadata", "With --print-data-log: keys and values alone."),
    flag("cluster-metadata-decoder", "Values are records of the metadata."),
    flag("offsets-decoder", "Records are those of __consumer_offsets."),
    flag("transaction-log-decoder", "Records are those of __transaction_state."),
    flag("share-group-state-decoder", "Records are those of __share_group_state."),
    maybe(
        "key-decoder-class",
        "CLASS",
        "StringDecoder, IntegerDecoder, LongDecoder, DefaultDecoder.",
    ),
    maybe("value-decoder-class", "CLASS", "As --key-decoder-class."),
    value("max-bytes", "BYTES", "Look at so many bytes of a segment."),
    value("max-message-size", "BYTES", "The largest batch; 5242880 if not given."),
    flag("index-sanity-check", "Only say whether indexes are sane."),
    flag("verify-index-only", "Only compare indexes with their segments."),
];

/// What of the files is shown.
struct Shown {
    is_deep: bool,
    has_data: bool,
    skips_metadata: bool,
    decoder: Decoder,
    bytes_max: Option<u64>,
    message_bytes_max: u64,
    sanity_only: bool,
    verify_only: bool,
}

/// What is told at the end, as it is wrong or strange.
#[derive(Default)]
struct Findings {
    mismatches: Vec<(PathBuf, Vec<(i64, i64)>)>,
    times: index::TimeFindings,
    gaps: Vec<(PathBuf, Vec<(i64, i64)>)>,
}

fn run(options: Options, mut out: Out) -> Result<Out, Failure> {
    let files = options.require("files")?;
    let decoder = Decoder::new(&options)?;
    let has_data = options.has("print-data-log") || decoder != Decoder::Text || {
        options.has("key-decoder-class") || options.has("value-decoder-class")
    };
    let shown = Shown {
        is_deep: has_data || options.has("deep-iteration"),
        has_data,
        skips_metadata: options.has("skip-record-metadata"),
        decoder,
        bytes_max: options.number::<i32>("max-bytes")?.and_then(|max| u64::try_from(max).ok()),
        message_bytes_max: options.number("max-message-size")?.unwrap_or(5 << 20),
        sanity_only: options.has("index-sanity-check"),
        verify_only: options.has("verify-index-only"),
    };
    let mut findings = Findings::default();
    for file in files.split(',') {
        for path in within(Path::new(file.trim()))? {
            dump(&path, &shown, &mut findings, &mut out)?;
        }
    }
    out.flush()?;
    findings.tell();
    Ok(out)
}

/// A file itself; of a directory, what can be shown of it and of those in it.
#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn within(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let list = || format!("could not list the directory {}", path.display());
    let mut entries: Vec<PathBuf> = std::fs::read_dir(path)
        .with_context(list)?
        .map(|entry| Ok(entry?.path()))
        .collect::<Result<_, std::io::Error>>()
        .with_context(list)?;
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        // A checkpoint without a number is one of the directory, and no snapshot of a log.
        let is_numbered = entry
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem.starts_with(|c: char| c.is_ascii_digit()));
        let is_shown = match Kind::of(&entry) {
            Some(Kind::Checkpoint) => is_numbered,
            kind => kind.is_some(),
        };
        if entry.is_dir() || is_shown {
            found.extend(within(&entry)?);
        }
    }
    Ok(found)
}

/// What a file is, by its name.
#[derive(Clone, Copy)]
enum Kind {
    Segment,
    Checkpoint,
    OffsetIndex,
    TimeIndex,
    TxnIndex,
    Producers,
}

impl Kind {
    fn of(path: &Path) -> Option<Self> {
        Some(match path.extension()?.to_str()? {
            "log" => Self::Segment,
            "checkpoint" => Self::Checkpoint,
            "index" => Self::OffsetIndex,
            "timeindex" => Self::TimeIndex,
            "txnindex" => Self::TxnIndex,
            "snapshot" => Self::Producers,
            _ => return None,
        })
    }
}

fn dump(path: &Path, shown: &Shown, findings: &mut Findings, out: &mut Out) -> Result<(), Failure> {
    out.line(format!("Dumping {}", path.display()))?;
    match Kind::of(path) {
        Some(Kind::Segment | Kind::Checkpoint) => segment::dump(path, shown, findings, out),
        Some(Kind::OffsetIndex) => index::dump_offsets(path, shown, findings, out),
        Some(Kind::TimeIndex) => index::dump_times(path, shown, findings, out),
        Some(Kind::TxnIndex) => index::dump_txns(path, out),
        Some(Kind::Producers) => index::dump_producers(path, out),
        None => {
            out.flush()?;
            complain(&format!("Ignoring unknown file {}", path.display()));
            Ok(())
        }
    }
}

/// The whole of a file.
#[allow(clippy::disallowed_methods, reason = "the command line names files of the user")]
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("could not read {}", path.display()))
}

/// The offset that a file is named by.
fn base_offset(path: &Path) -> anyhow::Result<i64> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let digits = name.split('.').next().unwrap_or_default();
    digits.parse().with_context(|| format!("{} is not named by an offset", path.display()))
}

impl Findings {
    fn tell(&self) {
        for (path, list) in &self.mismatches {
            complain(&format!("Mismatches in :{}", path.display()));
            for (index, log) in list {
                complain(&format!("  Index offset: {index}, log offset: {log}"));
            }
        }
        self.times.tell();
        for (path, list) in &self.gaps {
            complain(&format!("Non-consecutive offsets in {}", path.display()));
            for (before, after) in list {
                complain(&format!("  {before} is followed by {after}"));
            }
        }
    }
}
