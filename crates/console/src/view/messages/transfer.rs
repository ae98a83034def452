//! Carrying messages out of a topic and into one, as JSON lines or CSV, streamed both ways.

mod csv;
mod line;

use super::produce::write_all;
use super::search::{From, starts};
use super::{chosen_partitions, matching, permit};
use crate::console::Console;
use crate::kafka::NewRecordOwned;
use crate::scan::{FETCH_BYTES, Scan};
use crate::trouble::problem;
use afluente_httpd::header;
use afluente_httpd::problem::Problem;
use afluente_httpd::request::{Query, Request};
use afluente_httpd::response::{Response, Sender};
use serde::Serialize;
use std::sync::Arc;

/// Sent to the reader at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Of a file that is carried in; it is not kept in memory.
const IMPORT_BYTES_MAX: u64 = 4 << 30;

/// Of one line of such a file.
const LINE_BYTES_MAX: usize = 16 << 20;

/// Records, and their bytes, written at a time.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 512 << 10;

/// Wrong lines that are named; more are only counted.
const ERRORS_MAX: usize = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    JsonLines,
    Csv,
}

impl Format {
    fn read(query: &Query, what: &str) -> Result<Self, Problem> {
        match query.get("format") {
            None | Some("jsonl") => Ok(Self::JsonLines),
            Some("csv") => Ok(Self::Csv),
            Some(other) => {
                let why = format!("format={other} is neither jsonl nor csv");
                Err(Problem::invalid(what, why).field("format"))
            }
        }
    }
}

pub(crate) fn export(
    console: Arc<Console>,
    topic: &str,
    request: &Request,
) -> Result<Response, Problem> {
    let what = format!("could not export topic \"{topic}\"");
    let query = request.query();
    let permit = permit(&console, &what)?;
    let format = Format::read(&query, &what)?;
    let matching = matching(&query, &what)?;
    let from = match From::read(&query, From::Oldest, &what)? {
        // All matches, and forward.
        From::Newest => From::Oldest,
        from => from,
    };
    let until: Option<i64> = query.parsed("until")?;
    let (content_type, extension) = match format {
        Format::JsonLines => ("application/x-ndjson", "jsonl"),
        Format::Csv => ("text/csv; charset=utf-8", "csv"),
    };
    let (response, sender) = Response::stream(content_type);
    let safe: String =
        topic.chars().filter(|one| one.is_ascii_alphanumeric() || "._-".contains(*one)).collect();
    let disposition = format!("attachment; filename=\"{safe}.{extension}\"");
    let topic = topic.to_owned();
    console.clone().env.tasks.spawn(async move {
        let _permit = permit;
        let export =
            Export { console: &console, topic: &topic, what: &what, format, matching, from, until };
        match export.run(&query, &sender).await {
            Ok(()) => {}
            Err(Some(problem)) => {
                tracing::warn!(%problem, "export cut short");
                sender.abort().await;
            }
            Err(None) => {}
        }
    });
    Ok(response.header(header::CONTENT_DISPOSITION, &disposition))
}

struct Export<'a> {
    console: &'a Console,
    topic: &'a str,
    what: &'a str,
    format: Format,
    matching: crate::scan::Match,
    from: From,
    until: Option<i64>,
}

impl Export<'_> {
    /// `Err(None)`: the reader is gone.
    async fn run(&self, query: &Query, sender: &Sender) -> Result<(), Option<Problem>> {
        let trouble = |error| Some(problem(self.what, &error));
        // Of its own, so that a long export keeps nobody waiting.
        let kafka = &self.console.kafka.own();
        let partitions = chosen_partitions(self.console, self.topic, query, self.what).await?;
        let ranges = self.console.kafka.ranges(self.topic, &partitions).await.map_err(trouble)?;
        let starts = starts(self.console, self.topic, self.from, &ranges).await.map_err(trouble)?;
        let position = |(one, (begin, end)): (&i32, &(i64, i64))| {
            (*one, starts.get(one).copied().unwrap_or(*begin).clamp(*begin, *end))
        };
        let mut scan = Scan {
            topic: self.topic.to_owned(),
            positions: ranges.iter().map(position).collect(),
            ends: ranges.iter().map(|(one, (_, end))| (*one, *end)).collect(),
        };
        let mut out = String::new();
        if self.format == Format::Csv {
            out.push_str(csv::HEAD);
        }
        while scan.remaining() > 0 {
            let before = scan.positions.clone();
            for fetched in scan.fetch(kafka, FETCH_BYTES).await.map_err(trouble)? {
                let mut pieces = Vec::new();
                let partition = fetched.partition;
                let mut is_late = false;
                let see = |record: &afluente_protocol::records::RecordView<'_>, _| {
                    if self.until.is_some_and(|until| record.timestamp > until) {
                        is_late = true;
                        return false;
                    }
                    if self.matching.holds(partition, record) {
                        match self.format {
                            Format::JsonLines => line::write(partition, record, &mut out),
                            Format::Csv => csv::write(partition, record, &mut out),
                        }
                        if out.len() >= PIECE_BYTES {
                            pieces.push(std::mem::take(&mut out));
                        }
                    }
                    true
                };
                scan.each(&fetched, see).map_err(trouble)?;
                if is_late {
                    scan.ends.insert(partition, scan.positions[&partition]);
                }
                for piece in pieces {
                    sender.send(piece).await.map_err(|_| None)?;
                }
            }
            if before == scan.positions {
                let why = "no more messages came before the end that there was when it began";
                return Err(Some(Problem::internal(self.what, why).retriable()));
            }
        }
        if !out.is_empty() {
            sender.send(out).await.map_err(|_| None)?;
        }
        Ok(())
    }
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum ImportEvent<'a> {
    Progress { produced: usize, failed: usize, read_bytes: u64 },
    Done { produced: usize, failed: usize, errors: &'a [LineError] },
    Error { error: &'a Problem },
}

#[derive(Serialize)]
struct LineError {
    line: u64,
    why: String,
}

struct Import {
    console: Arc<Console>,
    topic: String,
    format: Format,
    produced: usize,
    failed: usize,
    read_bytes: u64,
    line: u64,
    errors: Vec<LineError>,
    columns: Option<csv::Columns>,
    batch: Vec<(Option<i32>, NewRecordOwned)>,
    batch_bytes: usize,
}

pub(crate) fn import(
    console: Arc<Console>,
    topic: &str,
    mut request: Request,
) -> Result<Response, Problem> {
    let what = format!("could not import into topic \"{topic}\"");
    let permit = permit(&console, &what)?;
    let format = Format::read(&request.query(), &what)?;
    request.allow_body_bytes(IMPORT_BYTES_MAX);
    let (response, sender) = Response::stream("application/x-ndjson");
    let mut import = Import {
        console: Arc::clone(&console),
        topic: topic.to_owned(),
        format,
        produced: 0,
        failed: 0,
        read_bytes: 0,
        line: 0,
        errors: Vec::new(),
        columns: None,
        batch: Vec::new(),
        batch_bytes: 0,
    };
    console.env.tasks.spawn(async move {
        let _permit = permit;
        let outcome = import.run(&mut request, &sender, &what).await;
        let Import { produced, failed, errors, .. } = import;
        let sent = match outcome {
            Ok(()) => sender.line(&ImportEvent::Done { produced, failed, errors: &errors }).await,
            Err(problem) => {
                let problem = Problem { request_id: request.id().into(), ..problem };
                sender.line(&ImportEvent::Error { error: &problem }).await
            }
        };
        // What was written stays, whether or not somebody still listens.
        let _ = sent;
    });
    Ok(response)
}

impl Import {
    async fn run(
        &mut self,
        request: &mut Request,
        sender: &Sender,
        what: &str,
    ) -> Result<(), Problem> {
        let mut rest: Vec<u8> = Vec::new();
        while let Some(piece) = request.piece().await? {
            self.read_bytes += piece.len() as u64;
            rest.extend_from_slice(&piece);
            let mut used = 0;
            while let Some(length) = self.row_length(&rest[used..]) {
                let row = String::from_utf8_lossy(&rest[used..used + length]).into_owned();
                used += length + 1;
                self.take(&row);
                if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
                    self.flush(what).await?;
                    let (produced, failed, read_bytes) =
                        (self.produced, self.failed, self.read_bytes);
                    let progress = ImportEvent::Progress { produced, failed, read_bytes };
                    let told = sender.line(&progress).await;
                    told.map_err(|_| Problem::invalid(what, "the reader closed the connection"))?;
                }
            }
            rest.drain(..used);
            if rest.len() > LINE_BYTES_MAX {
                let why = format!("line {} is longer than {LINE_BYTES_MAX} bytes", self.line + 1);
                return Err(Problem::invalid(what, why));
            }
        }
        if !rest.is_empty() {
            let row = String::from_utf8_lossy(&rest).into_owned();
            self.take(&row);
        }
        self.flush(what).await
    }

    /// Where the row ends that begins here; in CSV a quoted field may have line ends in it.
    fn row_length(&self, bytes: &[u8]) -> Option<usize> {
        let mut is_quoted = false;
        bytes.iter().position(|byte| {
            if self.format == Format::Csv && *byte == b'"' {
                is_quoted = !is_quoted;
            }
            *byte == b'\n' && !is_quoted
        })
    }

    fn take(&mut self, row: &str) {
        self.line += 1;
        let row = row.trim_end_matches('\r');
        if row.trim().is_empty() {
            return;
        }
        let now_ms = self.console.env.clock.wall_ms();
        let read = match (self.format, &self.columns) {
            (Format::JsonLines, _) => line::read(row, now_ms),
            (Format::Csv, Some(columns)) => columns.read(row, now_ms),
            (Format::Csv, None) => match csv::Columns::of(row) {
                Ok(columns) => {
                    self.columns = Some(columns);
                    return;
                }
                Err(why) => Err(why),
            },
        };
        match read {
            Ok((partition, record)) => {
                self.batch_bytes += record.value.as_ref().map_or(0, Vec::len)
                    + record.key.as_ref().map_or(0, Vec::len);
                self.batch.push((partition, record));
            }
            Err(why) => {
                self.failed += 1;
                if self.errors.len() < ERRORS_MAX {
                    self.errors.push(LineError { line: self.line, why });
                }
            }
        }
    }

    async fn flush(&mut self, what: &str) -> Result<(), Problem> {
        if self.batch.is_empty() {
            return Ok(());
        }
        self.batch_bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        let written = write_all(&self.console, &self.topic, batch).await;
        self.produced += written.map_err(|error| problem(what, &error))?;
        Ok(())
    }
}
