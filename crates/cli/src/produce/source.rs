//! From an input to records.

use super::csv;
use super::{Form, ProduceArguments};
use crate::calendar;
use afluente_console::json_text;
use anyhow::{Context, anyhow, bail, ensure};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use std::io::{BufRead, BufReader, Read};

/// A line or a file that is longer is refused: no broker takes such a record.
const ITEM_BYTES_MAX: u64 = 1 << 30;

/// What was read.
pub(super) enum Item {
    Bytes(Vec<u8>),
    Row(Map<String, Value>),
}

/// A record to be sent.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Made {
    pub(super) key: Option<Vec<u8>>,
    pub(super) value: Option<Vec<u8>>,
    pub(super) headers: Vec<(String, Option<String>)>,
    pub(super) partition: Option<i32>,
    pub(super) timestamp: Option<i64>,
}

impl Made {
    pub(super) fn size(&self) -> u64 {
        let size = |part: &Option<Vec<u8>>| part.as_ref().map_or(0, Vec::len) as u64;
        size(&self.key) + size(&self.value)
    }
}

/// An input, read item by item.
pub(super) struct Input {
    input: BufReader<Box<dyn Read>>,
    form: Form,
    header: Option<Vec<String>>,
    /// Of lines, or of rows.
    number: u64,
    count: u64,
    is_done: bool,
    is_slow: bool,
}

impl Input {
    /// `is_slow` if somebody may be typing.
    pub(super) fn new(input: BufReader<Box<dyn Read>>, form: Form, is_slow: bool) -> Self {
        Self { input, form, header: None, number: 0, count: 0, is_done: false, is_slow }
    }

    /// Whether somebody may be typing.
    pub(super) fn is_slow(&self) -> bool {
        self.is_slow
    }

    /// Whether the next item may have to be waited for.
    pub(super) fn has_nothing_buffered(&self) -> bool {
        self.input.buffer().is_empty()
    }

    /// Where the last item was, for messages.
    pub(super) fn place(&self) -> String {
        match self.form {
            Form::Whole => "the whole".to_owned(),
            Form::Csv => format!("row {}", self.number),
            _ => format!("line {}", self.number),
        }
    }

    /// Bytes that were read since it was asked.
    pub(super) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }

    /// The next item; `None` at the end.
    pub(super) fn next(&mut self) -> anyhow::Result<Option<Item>> {
        if self.is_done {
            return Ok(None);
        }
        match self.form {
            Form::Whole => {
                self.is_done = true;
                let mut bytes = Vec::new();
                let read = (&mut self.input).take(ITEM_BYTES_MAX).read_to_end(&mut bytes)?;
                ensure!(
                    read as u64 != ITEM_BYTES_MAX,
                    "the input is longer than {ITEM_BYTES_MAX} bytes"
                );
                self.count += read as u64;
                Ok(Some(Item::Bytes(bytes)))
            }
            Form::Csv => self.row(),
            Form::Lines | Form::Json | Form::Records => loop {
                let mut line = Vec::new();
                let read = (&mut self.input).take(ITEM_BYTES_MAX).read_until(b'\n', &mut line)?;
                if read == 0 {
                    return Ok(None);
                }
                ensure!(
                    read as u64 != ITEM_BYTES_MAX,
                    "a line is longer than {ITEM_BYTES_MAX} bytes"
                );
                self.count += read as u64;
                self.number += 1;
                if line.last() == Some(&b'\n') {
                    line.pop();
                    if line.last() == Some(&b'\r') {
                        line.pop();
                    }
                }
                if self.form == Form::Lines || !line.trim_ascii().is_empty() {
                    return Ok(Some(Item::Bytes(line)));
                }
            },
        }
    }

    fn row(&mut self) -> anyhow::Result<Option<Item>> {
        if self.header.is_none() {
            self.number += 1;
            let header = csv::row(&mut self.input, &mut self.count)?;
            let Some(mut header) = header else { return Ok(None) };
            // Spreadsheets begin a file with a byte order mark.
            if let Some(name) = header[0].strip_prefix('\u{feff}') {
                header[0] = name.to_owned();
            }
            self.header = Some(header);
        }
        let header = self.header.as_deref().unwrap_or_default();
        let cells = loop {
            self.number += 1;
            match csv::row(&mut self.input, &mut self.count)? {
                None => return Ok(None),
                // A blank line is a row only where a row is one field.
                Some(cells) if cells == [""] && header.len() > 1 => {}
                Some(cells) => break cells,
            }
        };
        ensure!(
            cells.len() == header.len(),
            "it has {} fields, and the first row names {}",
            cells.len(),
            header.len()
        );
        let fields = header.iter().cloned().zip(cells.into_iter().map(typed));
        Ok(Some(Item::Row(fields.collect())))
    }
}

/// A field as the JSON that it most looks like; what would not come out again as it was stays text.
fn typed(cell: String) -> Value {
    match cell.as_str() {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "" => Value::Null,
        text => {
            let number = serde_json::from_str::<serde_json::Number>(text);
            match number.map(|number| (number.to_string(), number)) {
                Ok((again, number)) if again == text => Value::Number(number),
                _ => Value::String(cell),
            }
        }
    }
}

/// Makes records of items, as the command line says.
pub(super) struct Maker {
    form: Form,
    key: Option<String>,
    value: Option<String>,
    timestamp: Option<String>,
    key_separator: Option<String>,
    has_nulls: bool,
}

impl Maker {
    pub(super) fn new(arguments: &ProduceArguments) -> anyhow::Result<Self> {
        let form = arguments.input;
        let has_paths = matches!(form, Form::Json | Form::Csv);
        if (arguments.value.is_some() || arguments.timestamp.is_some()) && !has_paths {
            bail!("--value and --timestamp are paths into --input json or csv");
        }
        if arguments.key_separator.is_some() && form != Form::Lines {
            bail!("--key-separator is for --input lines");
        }
        if arguments.key_separator.as_deref() == Some("") {
            bail!("--key-separator is empty");
        }
        Ok(Self {
            form,
            key: arguments.key.clone(),
            value: arguments.value.clone(),
            timestamp: arguments.timestamp.clone(),
            key_separator: arguments.key_separator.as_ref().map(|text| text.replace("\\t", "\t")),
            has_nulls: arguments.null,
        })
    }

    pub(super) fn make(&self, item: Item) -> anyhow::Result<Made> {
        match (self.form, item) {
            (Form::Json, Item::Bytes(line)) => {
                let whole = parsed(&line)?;
                let line = self.value.is_none().then_some(line);
                self.of_json(&whole, line)
            }
            (Form::Records, Item::Bytes(line)) => record(&line),
            (_, Item::Row(fields)) => self.of_json(&Value::Object(fields), None),
            (_, Item::Bytes(bytes)) => self.of_line(bytes),
        }
    }

    fn of_line(&self, mut line: Vec<u8>) -> anyhow::Result<Made> {
        let mut key = self.key.clone().map(String::into_bytes);
        if let Some(separator) = &self.key_separator {
            let separator = separator.as_bytes();
            let at = line.windows(separator.len()).position(|window| window == separator);
            let at = at.with_context(|| {
                format!("there is no {:?} in it", String::from_utf8_lossy(separator))
            })?;
            let value = line.split_off(at + separator.len());
            line.truncate(at);
            key = Some(std::mem::replace(&mut line, value));
        }
        let value = (!(self.has_nulls && line.is_empty())).then_some(line);
        Ok(Made { key, value, ..Made::default() })
    }

    /// `line` is the whole as it was typed, which is sent unchanged.
    fn of_json(&self, whole: &Value, line: Option<Vec<u8>>) -> anyhow::Result<Made> {
        let at = |path: &Option<String>| path.as_deref().map(|path| find(whole, path)).transpose();
        let value = at(&self.value)?.unwrap_or(whole);
        let value = match (value, line) {
            (Value::Null, _) if self.has_nulls => None,
            (_, Some(line)) => Some(line),
            (value, None) => Some(as_bytes(value)),
        };
        let key = at(&self.key)?.filter(|key| !key.is_null()).map(as_bytes);
        let timestamp = match at(&self.timestamp)? {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => {
                Some(number.as_i64().with_context(|| format!("{number} is no time in ms"))?)
            }
            Some(Value::String(text)) => Some(calendar::parse(text, 0)?),
            Some(other) => bail!("{other} is no time"),
        };
        Ok(Made { key, value, timestamp, ..Made::default() })
    }
}

fn parsed(line: &[u8]) -> anyhow::Result<Value> {
    serde_json::from_slice(line).context("it is no JSON")
}

/// A text without its quotes; anything else as JSON.
fn as_bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        other => other.to_string().into_bytes(),
    }
}

/// What a path such as `customer.id` or `lines.0.sku` leads to.
fn find<'a>(whole: &'a Value, path: &str) -> anyhow::Result<&'a Value> {
    // A column may have dots in its name.
    if let Some(found) = whole.get(path) {
        return Ok(found);
    }
    path.split('.').try_fold(whole, |value, step| {
        let found = match value {
            Value::Array(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
            other => other.get(step),
        };
        found.ok_or_else(|| anyhow!("there is no {path} in it"))
    })
}

/// What `afluente consume --output json` writes of a record.
fn record(line: &[u8]) -> anyhow::Result<Made> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        key: Option<&'a RawValue>,
        #[serde(borrow, deserialize_with = "present")]
        value: Option<&'a RawValue>,
        #[serde(default)]
        headers: Option<Vec<Header>>,
        timestamp: Option<i64>,
    }
    #[derive(serde::Deserialize)]
    struct Header {
        key: String,
        value: Option<String>,
    }
    /// Not there is not the same as `null`.
    fn present<'de, D: serde::Deserializer<'de>>(
        from: D,
    ) -> Result<Option<&'de RawValue>, D::Error> {
        serde::Deserialize::deserialize(from)
    }
    let line: Line<'_> = serde_json::from_slice(line).context("it is no record of consume")?;
    let part = |name: &str, raw: Option<&RawValue>| {
        let read = raw.map(|raw| json_text::read(raw.get())).transpose();
        read.map(Option::flatten).map_err(|why| anyhow!("{name}: {why}"))
    };
    let headers = line.headers.into_iter().flatten();
    Ok(Made {
        key: part("key", line.key)?,
        value: part("value", line.value)?,
        headers: headers.map(|header| (header.key, header.value)).collect(),
        partition: None,
        timestamp: line.timestamp.filter(|time| *time >= 0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(form: Form) -> Maker {
        Maker {
            form,
            key: None,
            value: None,
            timestamp: None,
            key_separator: None,
            has_nulls: false,
        }
    }

    fn make(maker: &Maker, text: &str) -> anyhow::Result<(Option<String>, Option<String>)> {
        let made = maker.make(Item::Bytes(text.as_bytes().to_vec()))?;
        let text = |part: Option<Vec<u8>>| part.map(|bytes| String::from_utf8(bytes).unwrap());
        Ok((text(made.key), text(made.value)))
    }

    #[test]
    fn keys_and_values_are_found_where_the_command_line_says() {
        let some =
            |key: Option<&str>, value: &str| (key.map(str::to_owned), Some(value.to_owned()));
        assert_eq!(make(&maker(Form::Lines), "a b").unwrap(), some(None, "a b"));
        let keyed = Maker { key_separator: Some(":".into()), ..maker(Form::Lines) };
        assert_eq!(make(&keyed, "a:b:c").unwrap(), some(Some("a"), "b:c"));
        assert!(make(&keyed, "abc").is_err());
        let json = Maker { key: Some("c.id".into()), ..maker(Form::Json) };
        let text = r#"{"c": {"id": 7}, "v": [1]}"#;
        assert_eq!(make(&json, text).unwrap(), some(Some("7"), text));
        let inner = Maker { value: Some("v.0".into()), ..json };
        assert_eq!(make(&inner, text).unwrap(), some(Some("7"), "1"));
        for (text, missing) in [("{}", "v.0"), (r#"{"v": [1]}"#, "c.id")] {
            assert!(make(&inner, text).unwrap_err().to_string().contains(missing), "{text}");
        }
        assert!(make(&inner, "{").is_err());
    }

    #[test]
    fn rows_become_objects_of_what_their_fields_look_like() {
        let text = "\u{feff}id,name,ok,none,zip\n1,a b,true,,007\n\n";
        let boxed: Box<dyn Read> = Box::new(text.as_bytes());
        let mut input = Input::new(BufReader::new(boxed), Form::Csv, false);
        let maker = Maker { key: Some("id".into()), ..maker(Form::Csv) };
        let made = maker.make(input.next().unwrap().unwrap()).unwrap();
        let value: Value = serde_json::from_slice(&made.value.unwrap()).unwrap();
        let expected = r#"{"id":1,"name":"a b","ok":true,"none":null,"zip":"007"}"#;
        assert_eq!(value, serde_json::from_str::<Value>(expected).unwrap());
        assert_eq!(made.key.unwrap(), b"1");
        assert!(input.next().unwrap().is_none());
    }

    #[test]
    fn what_consume_writes_becomes_the_same_record() {
        let text = r#"{"topic":"t","partition":1,"offset":2,"timestamp":3,
            "headers":[{"key":"h","value":"x"},{"key":"n","value":null}],"key":"k","value":{"base64":"/w=="}}"#;
        let made = record(text.as_bytes()).unwrap();
        let expected = Made {
            key: Some(b"k".to_vec()),
            value: Some(vec![0xff]),
            headers: vec![("h".into(), Some("x".into())), ("n".into(), None)],
            partition: None,
            timestamp: Some(3),
        };
        assert_eq!(made, expected);
    }
}
