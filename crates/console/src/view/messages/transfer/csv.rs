//! A message as a row of CSV (RFC 4180): `partition,offset,timestamp,key,value,headers`.
//!
//! A tombstone is an empty field without quotes, an empty value one with quotes. Bytes that are no
//! text stand as `base64:…`.

use super::line;
use crate::kafka::NewRecordOwned;
use afluente_protocol::records::RecordView;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;

pub(super) const HEAD: &str = "partition,offset,timestamp,key,value,headers\r\n";

const BASE64: &str = "base64:";

/// Appends a message as a row.
pub(super) fn write(partition: i32, record: &RecordView<'_>, out: &mut String) {
    let _ = write!(out, "{partition},{},{},", record.offset.0, record.timestamp);
    field(record.key, out);
    out.push(',');
    field(record.value, out);
    out.push(',');
    quoted(&line::headers(record), out);
    out.push_str("\r\n");
}

fn field(bytes: Option<&[u8]>, out: &mut String) {
    match bytes.map(std::str::from_utf8) {
        None => {}
        Some(Ok(text)) => quoted(text, out),
        Some(Err(_)) => {
            quoted(&format!("{BASE64}{}", STANDARD.encode(bytes.unwrap_or_default())), out)
        }
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    out.push_str(&text.replace('"', "\"\""));
    out.push('"');
}

/// Which column holds what, by the first row of a file.
#[derive(Debug)]
pub(super) struct Columns {
    partition: Option<usize>,
    timestamp: Option<usize>,
    key: Option<usize>,
    value: usize,
    headers: Option<usize>,
}

impl Columns {
    pub(super) fn of(row: &str) -> Result<Self, String> {
        let names = fields(row.trim_start_matches('\u{feff}'))?;
        let place = |name: &str| {
            names.iter().position(|field| {
                field.as_ref().is_some_and(|text| text.trim().eq_ignore_ascii_case(name))
            })
        };
        let missing =
            || "the first row has to name the columns, with one that is called value".to_owned();
        Ok(Self {
            partition: place("partition"),
            timestamp: place("timestamp"),
            key: place("key"),
            value: place("value").ok_or_else(missing)?,
            headers: place("headers"),
        })
    }

    pub(super) fn read(
        &self,
        row: &str,
        now_ms: i64,
    ) -> Result<(Option<i32>, NewRecordOwned), String> {
        let fields = fields(row)?;
        let at = |place: Option<usize>| place.and_then(|place| fields.get(place)?.as_deref());
        if fields.len() <= self.value {
            return Err(format!("there are only {} fields", fields.len()));
        }
        let number = |place| match at(place) {
            None | Some("") => Ok(None),
            Some(text) => {
                text.parse::<i64>().map(Some).map_err(|_| format!("{text:?} is no number"))
            }
        };
        let headers = match at(self.headers) {
            None | Some("") => Vec::new(),
            Some(text) => {
                line::read(&format!("{{\"value\":null,\"headers\":{text}}}"), 0)?.1.headers
            }
        };
        let record = NewRecordOwned {
            key: bytes(at(self.key))?,
            value: bytes(at(Some(self.value)))?,
            headers,
            timestamp: number(self.timestamp)?.unwrap_or(now_ms),
        };
        let partition = number(self.partition)?.map(i32::try_from).transpose();
        Ok((partition.map_err(|error| error.to_string())?, record))
    }
}

fn bytes(field: Option<&str>) -> Result<Option<Vec<u8>>, String> {
    match field.map(|text| (text, text.strip_prefix(BASE64))) {
        None => Ok(None),
        Some((_, Some(text))) => STANDARD
            .decode(text)
            .map(Some)
            .map_err(|error| format!("{text:?} is no base64: {error}")),
        Some((text, None)) => Ok(Some(text.as_bytes().to_vec())),
    }
}

/// The fields of a row; `None` for an empty one without quotes.
fn fields(row: &str) -> Result<Vec<Option<String>>, String> {
    let mut fields = Vec::new();
    let mut rest = row;
    loop {
        let after = if let Some(quoted) = rest.strip_prefix('"') {
            let mut text = String::new();
            let mut tail = quoted;
            loop {
                let Some((before, after)) = tail.split_once('"') else {
                    return Err("a quote is not closed".to_owned());
                };
                text.push_str(before);
                match after.strip_prefix('"') {
                    Some(more) => {
                        text.push('"');
                        tail = more;
                    }
                    None => {
                        tail = after;
                        break;
                    }
                }
            }
            fields.push(Some(text));
            tail
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            fields.push(Some(&rest[..end]).filter(|text| !text.is_empty()).map(str::to_owned));
            &rest[end..]
        };
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => {
                return Err("something stands between a quote and the comma after it".to_owned());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_taken_apart_as_the_rfc_has_them() {
        let text = |text: &str| Some(text.to_owned());
        let cases = [
            ("a,b", vec![text("a"), text("b")]),
            ("\"a,b\",\"c\"\"d\"", vec![text("a,b"), text("c\"d")]),
            (",\"\"", vec![None, text("")]),
            ("\"two\nlines\"", vec![text("two\nlines")]),
        ];
        for (row, expected) in cases {
            assert_eq!(fields(row).unwrap(), expected, "{row}");
        }
        assert!(fields("\"open").is_err() && fields("\"a\"b").is_err());
    }

    #[test]
    fn a_row_needs_a_value_and_good_numbers() {
        let columns = Columns::of("value,partition,timestamp,headers").unwrap();
        let (partition, record) = columns.read("\"x\",3,,\"{\"\"h\"\":\"\"1\"\"}\"", 9).unwrap();
        assert_eq!((partition, record.timestamp), (Some(3), 9));
        assert_eq!(record.headers, [("h".to_owned(), Some(b"1".to_vec()))]);
        assert_eq!(columns.read(",,", 0).unwrap().1.value, None);
        assert_eq!(columns.read("base64:/w==", 0).unwrap().1.value, Some(vec![0xff]));
        assert!(columns.read("a,x", 0).is_err());
        assert!(Columns::of("a,b").is_err());
    }
}
