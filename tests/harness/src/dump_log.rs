//! What `kafka-dump-log` of Apache Kafka says about files: our files are right if it finds nothing to complain about
//! and sees the batches, index entries and producers that we wrote.
//!
//! The tool prints text. Each line here is either understood, a known remark about a gap between offsets, or a
//! complaint; an unknown line is never passed over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::java::Java;

/// Files given to one run of the tool; more would not fit into one argument.
const FILES_PER_RUN: usize = 400;

/// What the tool said about a set of files.
#[derive(Debug, Default)]
pub struct Dump {
    /// One entry a file, in the order of paths.
    pub files: Vec<DumpedFile>,
    /// Offsets that do not follow each other; normal after compaction.
    pub gaps: Vec<Gap>,
    /// All that the tool found wrong: invalid batches, indexes that do not match, exceptions, unknown lines.
    pub complaints: Vec<String>,
}

/// One file as the tool saw it.
#[derive(Debug)]
pub struct DumpedFile {
    /// The file.
    pub path: PathBuf,
    /// Of a `.log`: the batches.
    pub batches: Vec<Batch>,
    /// Of an index or a producer snapshot: the entries.
    pub entries: Vec<Fields>,
}

/// A record batch.
#[derive(Debug)]
pub struct Batch {
    /// `baseOffset`, `lastOffset`, `count`, `producerId`, `compresscodec`, `crc`, …
    pub header: Fields,
    /// `offset`, `CreateTime` or `LogAppendTime`, `keySize`, `valueSize`, `sequence`, `headerKeys`, …
    pub records: Vec<Fields>,
}

/// A jump in the offsets of one `.log`.
#[derive(Debug, PartialEq, Eq)]
pub struct Gap {
    /// The file.
    pub path: PathBuf,
    /// The offset before the jump.
    pub before: i64,
    /// The offset after it.
    pub after: i64,
}

/// The `name: value` pairs of one line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, String>);

impl Fields {
    /// The value of a field as printed; an error if the line has no such field.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.0.get(name).map(String::as_str).with_context(|| format!("no `{name}` in {:?}", self.0))
    }

    /// The value of a field that is a number.
    pub fn number(&self, name: &str) -> Result<i64> {
        let text = self.text(name)?;
        text.parse().with_context(|| format!("`{name}: {text}` is no number"))
    }

    /// The value of a field that is printed as `OptionalLong[7]` or `OptionalLong.empty`.
    pub fn optional_number(&self, name: &str) -> Result<Option<i64>> {
        let text = self.text(name)?;
        if text == "OptionalLong.empty" {
            return Ok(None);
        }
        let number = text.strip_prefix("OptionalLong[").and_then(|rest| rest.strip_suffix(']'));
        let number = number.with_context(|| format!("`{name}: {text}` is no optional number"))?;
        Ok(Some(number.parse()?))
    }

    /// Reads `name: value name: value …`. A value runs to the next word that ends in a colon.
    fn parse(line: &str) -> Fields {
        let mut fields = BTreeMap::new();
        let mut name = String::new();
        for word in line.split_whitespace() {
            match word.strip_suffix(':') {
                Some(next) => {
                    name = next.to_owned();
                    fields.insert(name.clone(), String::new());
                }
                None => {
                    let value: &mut String = fields.entry(name.clone()).or_default();
                    if !value.is_empty() {
                        value.push(' ');
                    }
                    value.push_str(word);
                }
            }
        }
        Fields(fields)
    }
}

impl Dump {
    /// An error with all complaints, if there are any.
    pub fn ensure_clean(&self) -> Result<()> {
        ensure!(
            self.complaints.is_empty(),
            "kafka-dump-log complains:\n{}",
            self.complaints.join("\n")
        );
        Ok(())
    }

    /// The file of this name, or of this `directory/name`.
    pub fn file(&self, name: impl AsRef<Path>) -> Result<&DumpedFile> {
        let name = name.as_ref();
        self.files
            .iter()
            .find(|file| file.path.ends_with(name))
            .with_context(|| format!("{} was not dumped", name.display()))
    }
}

/// Dumps all segments, indexes and producer snapshots of a partition's directory, or of all partitions in a log
/// directory; goes through compressed batches to each record.
pub fn dump_directory(java: &Java, dir: &Path) -> Result<Dump> {
    let mut files = Vec::new();
    collect(dir, &mut files)?;
    ensure!(!files.is_empty(), "nothing to dump in {}", dir.display());
    dump_files(java, &files)
}

/// As [`dump_directory`], for these files. An index wants its `.log` beside it.
pub fn dump_files(java: &Java, files: &[PathBuf]) -> Result<Dump> {
    let mut dump = Dump::default();
    for run in files.chunks(FILES_PER_RUN) {
        let names: Vec<String> = run.iter().map(|path| path.display().to_string()).collect();
        let mut command = java.class("org.apache.kafka.tools.DumpLogSegments");
        command.args(["--deep-iteration", "--files", &names.join(",")]);
        let output =
            command.stdin(Stdio::null()).output().context("could not run kafka-dump-log")?;
        let mut parser = Parser { dump: &mut dump };
        parser.standard_output(&String::from_utf8_lossy(&output.stdout));
        parser.standard_error(&String::from_utf8_lossy(&output.stderr));
        if !output.status.success() && dump.complaints.is_empty() {
            bail!("kafka-dump-log ended with {} and said nothing", output.status);
        }
    }
    dump.files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(dump)
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let entries =
        std::fs::read_dir(dir).with_context(|| format!("could not list {}", dir.display()))?;
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>, std::io::Error>>()?;
    paths.sort();
    for path in paths {
        let dumpable = path.extension().is_some_and(|extension| {
            ["log", "index", "timeindex", "txnindex", "snapshot"]
                .iter()
                .any(|&known| extension == known)
        });
        if path.is_dir() {
            // The folder of a deleted partition has indexes of full length, on which the tool stumbles.
            if !path.to_string_lossy().ends_with("-delete") {
                collect(&path, files)?;
            }
        } else if dumpable {
            files.push(path);
        }
    }
    Ok(())
}

struct Parser<'a> {
    dump: &'a mut Dump,
}

impl Parser<'_> {
    fn standard_output(&mut self, text: &str) {
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("Dumping ") {
                let path = PathBuf::from(path);
                self.dump.files.push(DumpedFile { path, batches: Vec::new(), entries: Vec::new() });
            } else if self.content(line).is_none() {
                self.complain(line);
            }
        }
    }

    /// Takes a line about the current file; `None` if it is not one of the known kinds.
    fn content(&mut self, line: &str) -> Option<()> {
        let file = self.dump.files.last_mut()?;
        let invalid = line.starts_with("baseOffset: ") && !line.ends_with("isvalid: true");
        if line.starts_with("baseOffset: ") {
            file.batches.push(Batch { header: Fields::parse(line), records: Vec::new() });
        } else if let Some(record) = line.strip_prefix("| offset: ") {
            let record = Fields::parse(&format!("offset: {record}"));
            file.batches.last_mut()?.records.push(record);
        } else if ["offset: ", "timestamp: ", "producerId: ", "version: "]
            .iter()
            .any(|start| line.starts_with(start))
        {
            file.entries.push(Fields::parse(line));
        } else if !line.starts_with("Log starting offset: ") && !line.ends_with(" is empty.") {
            return None;
        }
        if invalid {
            self.complain(line);
        }
        Some(())
    }

    fn complain(&mut self, line: &str) {
        let path = self.dump.files.last().map(|file| file.path.display().to_string());
        self.dump.complaints.push(format!("{}: {line}", path.unwrap_or_default()));
    }

    /// Gaps are `Non-consecutive offsets in FILE` and then lines `  BEFORE is followed by AFTER`; the tool says this of
    /// the first offset of each segment too, with -1 before it. All else on stderr is a complaint.
    fn standard_error(&mut self, text: &str) {
        let mut gaps_of = None;
        for line in text.lines() {
            if let Some(path) = line.strip_prefix("Non-consecutive offsets in ") {
                gaps_of = Some(PathBuf::from(path));
                continue;
            }
            let pair = line.trim().split_once(" is followed by ");
            let pair =
                pair.and_then(|(a, b)| Some((a.parse::<i64>().ok()?, b.parse::<i64>().ok()?)));
            match (&gaps_of, pair) {
                (Some(_), Some((-1, _))) => {}
                (Some(path), Some((before, after))) => {
                    self.dump.gaps.push(Gap { path: path.clone(), before, after });
                }
                _ => self.dump.complaints.push(line.to_owned()),
            }
        }
    }
}
