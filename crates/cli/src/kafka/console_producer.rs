//! `kafka-console-producer`: lines of standard input, each a record.
//!
//! `--line-reader` with a class is not there.

use super::connect::{World, client_properties, close_at_stop, properties_file, tell_unknown};
use super::options::{Options, Spec, flag, maybe, value};
use super::out::{Out, complain};
use super::{Failure, Run, Tool};
use afluente_client::producer::{Header, Producer, ProducerConfig, Record};
use anyhow::{Context, anyhow};
use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::sync::Arc;
use std::time::Duration;

pub(super) const TOOL: Tool = Tool {
    name: "console-producer",
    about: "Send lines of standard input to a topic, each as a record.",
    specs: SPECS,
    run: Run::Blocking(run),
};

const SPECS: &[Spec] = &[
    value("topic", "NAME", "The topic. Required."),
    flag("sync", "Wait for each record before the next one."),
    maybe("compression-codec", "CODEC", "none, gzip, snappy, lz4 or zstd; gzip without a value."),
    value("batch-size", "BYTES", "batch.size; 16384 if not given."),
    value("max-partition-memory-bytes", "BYTES", "As --batch-size, which comes first."),
    value("socket-buffer-size", "BYTES", "send.buffer.bytes."),
    value("request-required-acks", "ACKS", "acks: 0, 1 or -1 (all); -1 if not given."),
    value("request-timeout-ms", "MS", "request.timeout.ms; 1500 if not given."),
    value("timeout", "MS", "linger.ms; 1000 if not given."),
    value("retry-backoff-ms", "MS", "retry.backoff.ms."),
    value("message-send-max-retries", "COUNT", "retries."),
    value("max-block-ms", "MS", "max.block.ms."),
    value("max-memory-bytes", "BYTES", "buffer.memory."),
    value("metadata-expiry-ms", "MS", "metadata.max.age.ms."),
    value(
        "reader-property",
        "KEY=VALUE",
        "How lines are read: parse.key, key.separator, parse.headers, headers.delimiter, \
         headers.separator, headers.key.separator, ignore.error, null.marker. May be repeated.",
    ),
    value("property", "KEY=VALUE", "As --reader-property."),
    value("reader-config", "FILE", "A file of such properties."),
    value("command-property", "KEY=VALUE", "A property of the producer; may be repeated."),
    value("producer-property", "KEY=VALUE", "As --command-property."),
    value("producer.config", "FILE", "As --command-config."),
];

/// How long to wait for what is not acknowledged when the input ends.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(60);

fn run(world: &World, options: Options, mut out: Out) -> Result<Out, Failure> {
    let topic: Arc<str> = options.require("topic")?.into();
    for (old, new) in [
        ("property", "reader-property"),
        ("producer-property", "command-property"),
        ("producer.config", "command-config"),
    ] {
        if options.has(old) {
            out.line(format!(
                "Warning: --{old} is deprecated and will be removed in a future version. Use \
                 --{new} instead."
            ))?;
        }
    }
    out.flush()?;
    let reader = LineReader::new(&options)?;
    let config = ProducerConfig::from_properties(properties(&options)?)?;
    tell_unknown(config.client.unknown());
    let producer = Arc::new(Producer::new(world.env.clone(), config)?);
    close_at_stop(world, &producer);
    let is_sync = options.has("sync");
    let mut input = Lines { input: std::io::stdin().lock(), rest: Vec::new() };
    let has_prompt = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let mut failure = None;
    loop {
        if has_prompt {
            let mut prompt = std::io::stdout().lock();
            prompt.write_all(b">")?;
            prompt.flush()?;
        }
        let lines = input.next().context("could not read standard input")?;
        if lines.is_empty() {
            break;
        }
        let sent = world.cores.block_on({
            let (producer, topic, reader) =
                (Arc::clone(&producer), Arc::clone(&topic), reader.clone());
            async move { send(&producer, &topic, &reader, &lines, is_sync).await }
        });
        if let Err(error) = sent {
            failure = Some(error);
            break;
        }
    }
    let closed = world.cores.block_on(async move {
        producer.flush().await;
        producer.close(CLOSE_TIMEOUT).await
    });
    match failure {
        Some(failure) => Err(failure),
        None => {
            closed?;
            Ok(out)
        }
    }
}

/// Lines of an input, as many at once as can be had without waiting.
struct Lines<R> {
    input: R,
    /// Read, and not yet a whole line.
    rest: Vec<u8>,
}

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

impl<R: Read> Lines<R> {
    /// Whole lines, without their ends; none at the end of the input.
    fn next(&mut self) -> std::io::Result<Vec<Vec<u8>>> {
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let count = self.input.read(&mut chunk)?;
            if count == 0 {
                let last = std::mem::take(&mut self.rest);
                return Ok(if last.is_empty() { Vec::new() } else { vec![last] });
            }
            self.rest.extend_from_slice(&chunk[..count]);
            let Some(end) = self.rest.iter().rposition(|&byte| byte == b'\n') else { continue };
            let behind = self.rest.split_off(end + 1);
            self.rest.pop();
            let whole = std::mem::replace(&mut self.rest, behind);
            let lines = whole.split(|&byte| byte == b'\n');
            return Ok(lines
                .map(|line| line.strip_suffix(b"\r").unwrap_or(line).to_vec())
                .collect());
        }
    }
}

async fn send(
    producer: &Producer,
    topic: &str,
    reader: &LineReader,
    lines: &[Vec<u8>],
    is_sync: bool,
) -> Result<(), Failure> {
    for line in lines {
        let parsed = reader.parse(line)?;
        let headers: Vec<Header<'_>> =
            parsed.headers.iter().map(|&(key, value)| Header { key, value }).collect();
        let record = Record {
            topic,
            partition: None,
            key: parsed.key,
            value: parsed.value,
            headers: &headers,
            timestamp: None,
        };
        if is_sync {
            let delivery = producer.send(record).await?;
            delivery.await?;
        } else {
            let topic = topic.to_owned();
            let told = move |result: Result<_, afluente_client::Error>| {
                if let Err(error) = result {
                    complain(&format!(
                        "ERROR Error when sending message to topic {topic}: {error}"
                    ));
                }
            };
            producer.send_then(record, told).await?;
        }
    }
    Ok(())
}

/// What the options say, in Kafka's names; what was given for the producer itself comes last.
fn properties(options: &Options) -> Result<Vec<(String, String)>, Failure> {
    let mut properties = vec![
        ("linger.ms".to_owned(), options.get("timeout").unwrap_or("1000").to_owned()),
        ("client.id".to_owned(), "console-producer".to_owned()),
    ];
    if let Some(codec) = options.get("compression-codec") {
        let codec = if codec.is_empty() { "gzip" } else { codec };
        properties.push(("compression.type".to_owned(), codec.to_owned()));
    }
    for (option, key) in [
        ("max-partition-memory-bytes", "batch.size"),
        ("batch-size", "batch.size"),
        ("socket-buffer-size", "send.buffer.bytes"),
        ("request-required-acks", "acks"),
        ("request-timeout-ms", "request.timeout.ms"),
        ("retry-backoff-ms", "retry.backoff.ms"),
        ("message-send-max-retries", "retries"),
        ("max-block-ms", "max.block.ms"),
        ("max-memory-bytes", "buffer.memory"),
        ("metadata-expiry-ms", "metadata.max.age.ms"),
    ] {
        if let Some(value) = options.get(option) {
            properties.push((key.to_owned(), value.to_owned()));
        }
    }
    if let Some(path) = options.get("producer.config") {
        properties.extend(properties_file("producer.config", path)?);
    }
    properties.extend(client_properties(options)?);
    properties.extend(pairs(options, &["producer-property", "command-property"])?);
    Ok(properties)
}

/// The values of options that are `key=value`.
pub(super) fn pairs(options: &Options, names: &[&str]) -> Result<Vec<(String, String)>, Failure> {
    let mut pairs = Vec::new();
    for name in names {
        for text in options.all(name) {
            // As with Kafka's tools, a key alone is a key with an empty value.
            let (key, value) = text.split_once('=').unwrap_or((text, ""));
            if key.is_empty() {
                return Err(Failure::Usage(format!("--{name} {text} is not KEY=VALUE")));
            }
            pairs.push((key.to_owned(), value.to_owned()));
        }
    }
    Ok(pairs)
}

/// How a line becomes a record.
#[derive(Debug, Clone)]
struct LineReader {
    key_separator: Option<String>,
    headers: Option<HeaderForm>,
    is_lenient: bool,
    null_marker: Option<String>,
}

#[derive(Debug, Clone)]
struct HeaderForm {
    delimiter: String,
    separator: String,
    key_separator: String,
}

/// A line taken apart.
#[derive(Debug, Default, PartialEq, Eq)]
struct Line<'a> {
    key: Option<&'a [u8]>,
    value: Option<&'a [u8]>,
    headers: Vec<HeaderParts<'a>>,
}

/// Key and value.
type HeaderParts<'a> = (&'a [u8], Option<&'a [u8]>);

impl LineReader {
    fn new(options: &Options) -> Result<Self, Failure> {
        let mut properties = match options.get("reader-config") {
            Some(path) => properties_file("reader-config", path)?,
            None => Vec::new(),
        };
        properties.extend(pairs(options, &["property", "reader-property"])?);
        Self::from_properties(properties)
    }

    fn from_properties(properties: Vec<(String, String)>) -> Result<Self, Failure> {
        let mut given: BTreeMap<String, String> = properties.into_iter().collect();
        let is_true = |text: Option<String>| text.is_some_and(|text| text.trim() == "true");
        let has_key = is_true(given.remove("parse.key"));
        let has_headers = is_true(given.remove("parse.headers"));
        let mut text = |name: &str, default: &str| given.remove(name).unwrap_or(default.to_owned());
        let key_separator = text("key.separator", "\t");
        let form = HeaderForm {
            delimiter: text("headers.delimiter", "\t"),
            separator: text("headers.separator", ","),
            key_separator: text("headers.key.separator", ":"),
        };
        if has_headers && form.separator == form.key_separator {
            let told = "headers.separator and headers.key.separator may not be equal";
            return Err(Failure::Usage(told.to_owned()));
        }
        let reader = Self {
            key_separator: has_key.then_some(key_separator),
            headers: has_headers.then_some(form),
            is_lenient: is_true(given.remove("ignore.error")),
            null_marker: given.remove("null.marker"),
        };
        for name in given.keys() {
            tracing::warn!("--reader-property {name} is not known, and has no effect");
        }
        Ok(reader)
    }

    /// Takes a line apart: headers, key, value, as far as each is there.
    fn parse<'a>(&self, line: &'a [u8]) -> Result<Line<'a>, Failure> {
        let mut parsed = Line::default();
        let mut rest = line;
        if let Some(form) = &self.headers {
            match split(rest, form.delimiter.as_bytes()) {
                Some((headers, behind)) => {
                    if !self.is_null(headers) {
                        parsed.headers = self.parse_headers(form, headers)?;
                    }
                    rest = behind;
                }
                None if self.is_lenient => {}
                None => return Err(self.missing("headers delimiter", line)),
            }
        }
        if let Some(separator) = &self.key_separator {
            match split(rest, separator.as_bytes()) {
                Some((key, behind)) => {
                    parsed.key = self.unless_null(key);
                    rest = behind;
                }
                None if self.is_lenient => {}
                None => return Err(self.missing("key separator", line)),
            }
        }
        parsed.value = self.unless_null(rest);
        Ok(parsed)
    }

    fn parse_headers<'a>(
        &self,
        form: &HeaderForm,
        mut text: &'a [u8],
    ) -> Result<Vec<HeaderParts<'a>>, Failure> {
        let mut headers = Vec::new();
        loop {
            let (one, behind) = match split(text, form.separator.as_bytes()) {
                Some((one, behind)) => (one, Some(behind)),
                None => (text, None),
            };
            match split(one, form.key_separator.as_bytes()) {
                Some((key, value)) => headers.push((key, self.unless_null(value))),
                None if self.is_lenient => headers.push((one, None)),
                None => return Err(self.missing("header key separator", one)),
            }
            match behind {
                Some(behind) => text = behind,
                None => return Ok(headers),
            }
        }
    }

    fn is_null(&self, text: &[u8]) -> bool {
        self.null_marker.as_ref().is_some_and(|marker| marker.as_bytes() == text)
    }

    fn unless_null<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        (!self.is_null(text)).then_some(text)
    }

    fn missing(&self, what: &str, line: &[u8]) -> Failure {
        let line = String::from_utf8_lossy(line);
        Failure::Failed(anyhow!("No {what} found in the line '{line}'"))
    }
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    if separator.is_empty() {
        return None;
    }
    let at = text.windows(separator.len()).position(|window| window == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(properties: &[(&str, &str)]) -> LineReader {
        let properties =
            properties.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        LineReader::from_properties(properties).unwrap()
    }

    fn parse<'a>(reader: &LineReader, line: &'a str) -> Line<'a> {
        reader.parse(line.as_bytes()).unwrap()
    }

    #[test]
    fn lines_are_cut_wherever_reads_end() {
        let mut lines = Lines { input: &b"a\r\n\nb\nc"[..], rest: Vec::new() };
        assert_eq!(lines.next().unwrap(), [&b"a"[..], b"", b"b"]);
        assert_eq!(lines.next().unwrap(), [&b"c"[..]]);
        assert!(lines.next().unwrap().is_empty());
    }

    #[test]
    fn lines_become_keys_values_and_headers() {
        let plain = reader(&[]);
        assert_eq!(parse(&plain, "a\tb").value, Some(&b"a\tb"[..]));
        let full =
            reader(&[("parse.key", "true"), ("parse.headers", "true"), ("null.marker", "NULL")]);
        let line = parse(&full, "h1:a,h2:NULL\tk\tv\tw");
        assert_eq!(line.key, Some(&b"k"[..]));
        assert_eq!(line.value, Some(&b"v\tw"[..]));
        assert_eq!(line.headers, [(&b"h1"[..], Some(&b"a"[..])), (b"h2", None)]);
        let line = parse(&full, "NULL\tNULL\tNULL");
        assert_eq!(line, Line::default());
        let keyed = reader(&[("parse.key", "true"), ("key.separator", "::")]);
        assert_eq!(parse(&keyed, "a::b").key, Some(&b"a"[..]));
        assert!(keyed.parse(b"a:b").is_err());
        let lenient = reader(&[("parse.key", "true"), ("ignore.error", "true")]);
        assert_eq!(parse(&lenient, "a"), Line { value: Some(b"a"), ..Line::default() });
    }
}
