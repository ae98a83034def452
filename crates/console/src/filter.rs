//! Filter expressions: `value.total > 100 && value.store in ["S01", "S02"]`.
//!
//! A message is looked at through [`Subject`]; JSON is parsed only when a path needs it. Parsing is
//! bounded in depth and length, and evaluation in time by the size of the message: there are no
//! loops, and regular expressions are of linear time.

mod parse;
mod path;

pub(crate) use parse::{parse, parse_path};
pub(crate) use path::{Path, Root};

use regex_lite::Regex;
use serde_json::Value;
use std::borrow::Cow;
use std::cell::OnceCell;

/// An expression that is longer is refused.
pub(crate) const FILTER_BYTES_MAX: usize = 4 << 10;

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilterError {
    pub(crate) message: String,
    /// In UTF-16 units, as editors count.
    pub(crate) position: usize,
}

/// A parsed expression.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Or(Box<Expr>, Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Not(Box<Expr>),
    Compare(Operand, Op, Operand),
    Matches(Operand, Regex),
    Exists(Path),
    /// A path or literal by itself is true if it is `true`.
    Truth(Operand),
}

#[derive(Debug, Clone)]
pub(crate) enum Operand {
    Path(Path),
    Literal(Value),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    In,
    Contains,
    StartsWith,
    EndsWith,
}

/// A message, as a filter sees it.
pub(crate) struct Subject<'a> {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    key_json: OnceCell<Value>,
    value_json: OnceCell<Value>,
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        partition: i32,
        offset: i64,
        timestamp: i64,
        key: Option<&'a [u8]>,
        value: Option<&'a [u8]>,
        headers: &'a [(&'a [u8], Option<&'a [u8]>)],
    ) -> Self {
        Self {
            partition,
            offset,
            timestamp,
            key,
            value,
            headers,
            key_json: OnceCell::new(),
            value_json: OnceCell::new(),
        }
    }

    /// All that a path leads to; without `[*]` one at most.
    pub(crate) fn find(&self, path: &Path) -> Vec<Cow<'_, Value>> {
        let number = |number: i64| vec![Cow::Owned(Value::from(number))];
        match &path.root {
            Root::Partition => number(i64::from(self.partition)),
            Root::Offset => number(self.offset),
            Root::Timestamp => number(self.timestamp),
            Root::Size => number(self.value.map_or(0, |value| value.len() as i64)),
            Root::Key => path.walk(self.key_json.get_or_init(|| as_json(self.key))),
            Root::Value => path.walk(self.value_json.get_or_init(|| as_json(self.value))),
            Root::Header(name) => {
                let found = self.headers.iter().find(|(key, _)| *key == name.as_bytes());
                found.map(|(_, value)| Cow::Owned(as_text(*value))).into_iter().collect()
            }
        }
    }
}

/// JSON, or text where it is none.
fn as_json(bytes: Option<&[u8]>) -> Value {
    let Some(bytes) = bytes else { return Value::Null };
    serde_json::from_slice(bytes).unwrap_or_else(|_| as_text(Some(bytes)))
}

fn as_text(bytes: Option<&[u8]>) -> Value {
    bytes.map_or(Value::Null, |bytes| Value::from(String::from_utf8_lossy(bytes)))
}

impl Expr {
    pub(crate) fn is_true(&self, subject: &Subject<'_>) -> bool {
        match self {
            Self::Or(one, other) => one.is_true(subject) || other.is_true(subject),
            Self::And(one, other) => one.is_true(subject) && other.is_true(subject),
            Self::Not(inner) => !inner.is_true(subject),
            Self::Exists(path) => subject.find(path).iter().any(|value| !value.is_null()),
            Self::Truth(operand) => operand.any(subject, |value| *value == Value::Bool(true)),
            Self::Matches(operand, regex) => operand
                .any(subject, |value| value.as_str().is_some_and(|text| regex.is_match(text))),
            Self::Compare(one, op, other) => {
                one.any(subject, |one| other.any(subject, |other| op.holds(one, other)))
            }
        }
    }
}

impl Operand {
    /// Whether `test` holds for any of its values; what is not there is null.
    fn any(&self, subject: &Subject<'_>, test: impl Fn(&Value) -> bool) -> bool {
        match self {
            Self::Literal(value) => test(value),
            Self::Path(path) => {
                let found = subject.find(path);
                if found.is_empty() {
                    test(&Value::Null)
                } else {
                    found.iter().any(|value| test(value))
                }
            }
        }
    }
}

impl Op {
    fn holds(self, one: &Value, other: &Value) -> bool {
        match self {
            Self::Equal => equal(one, other),
            Self::Unequal => !equal(one, other),
            Self::In => {
                other.as_array().is_some_and(|list| list.iter().any(|item| equal(one, item)))
            }
            Self::Contains => match (one, other) {
                (Value::String(one), Value::String(other)) => one.contains(other.as_str()),
                (Value::Array(list), other) => list.iter().any(|item| equal(item, other)),
                _ => false,
            },
            Self::StartsWith => {
                texts(one, other).is_some_and(|(one, other)| one.starts_with(other))
            }
            Self::EndsWith => texts(one, other).is_some_and(|(one, other)| one.ends_with(other)),
            Self::Less => order(one, other).is_some_and(std::cmp::Ordering::is_lt),
            Self::LessOrEqual => order(one, other).is_some_and(std::cmp::Ordering::is_le),
            Self::Greater => order(one, other).is_some_and(std::cmp::Ordering::is_gt),
            Self::GreaterOrEqual => order(one, other).is_some_and(std::cmp::Ordering::is_ge),
        }
    }
}

fn texts<'a>(one: &'a Value, other: &'a Value) -> Option<(&'a str, &'a str)> {
    Some((one.as_str()?, other.as_str()?))
}

fn equal(one: &Value, other: &Value) -> bool {
    match (one, other) {
        // 1 and 1.0 are the same number.
        (Value::Number(_), Value::Number(_)) => {
            order(one, other) == Some(std::cmp::Ordering::Equal)
        }
        _ => one == other,
    }
}

fn order(one: &Value, other: &Value) -> Option<std::cmp::Ordering> {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => match (one.as_i64(), other.as_i64()) {
            // Whole numbers of 64 bits would lose digits as floats.
            (Some(one), Some(other)) => Some(one.cmp(&other)),
            _ => one.as_f64()?.partial_cmp(&other.as_f64()?),
        },
        (Value::String(one), Value::String(other)) => Some(one.cmp(other)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VALUE: &str = r#"{"total": 150.5, "store": "S01", "card": null, "id": 9007199254740993,
        "lines": [{"sku": "a", "qty": 1}, {"sku": "b", "qty": 3}], "odd name": true, "tags": ["x", "y"]}"#;

    fn holds(text: &str) -> bool {
        let expr = parse(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        let headers: &[(&[u8], Option<&[u8]>)] = &[(b"trace", Some(b"abc")), (b"empty", None)];
        let subject = Subject::new(2, 77, 1_000, Some(b"S01-9"), Some(VALUE.as_bytes()), headers);
        expr.is_true(&subject)
    }

    #[test]
    fn what_the_interface_promises_holds() {
        let cases = [
            "value.total > 100 && value.store in [\"S01\", \"S02\"]",
            "value.total >= 150.5 && value.total <= 150.5",
            "value.store == 'S01'",
            "value.lines[0].sku == \"a\"",
            "value.lines[*].sku == \"b\"",
            "value.lines[*].qty > 2",
            "value[\"odd name\"]",
            "value.tags contains 'y'",
            "headers.trace == \"abc\" && headers.absent == null && headers.empty == null",
            "partition == 2 && offset == 77 && timestamp < 1001 && size > 50",
            "key startsWith \"S01\" && key endsWith '-9' && key contains '1-'",
            "key matches \"^S[0-9]+-9$\"",
            "!exists(value.card) && exists(value.lines) && !exists(value.none.deeper)",
            "value.card == null && value.absent == null",
            "!(value.total < 100) || false",
            "value.id == 9007199254740993 && value.id != 9007199254740992",
            "true || false && false",
            "!false && true",
            "value.total != \"150.5\"",
            "150 < value.total",
            "value.total == 150.50",
        ];
        for text in cases {
            assert!(holds(text), "{text}");
        }
        let not = [
            "value.total > \"100\"",
            "value.store > 1",
            "value.lines[9].sku == 'a'",
            "value.lines[*].qty > 3",
            "value in []",
            "value.store",
            "headers.trace == null",
            "value.store contains 1",
            "false || false",
        ];
        for text in not {
            assert!(!holds(text), "{text}");
        }
    }

    #[test]
    fn text_that_is_no_json_is_a_value_too_and_a_tombstone_is_null() {
        let text = Subject::new(0, 0, 0, None, Some(b"plain words"), &[]);
        assert!(parse("value contains 'words' && key == null").unwrap().is_true(&text));
        let tombstone = Subject::new(0, 0, 0, Some(b"7"), None, &[]);
        assert!(parse("value == null && key == 7").unwrap().is_true(&tombstone));
    }

    #[test]
    fn a_mistake_is_named_at_its_place() {
        let cases = [
            ("", 0),
            ("value.total >", 13),
            ("value.total > 100 &&", 20),
            ("thing.total > 100", 0),
            ("value.total = 100", 12),
            ("value.store == \"S01", 15),
            ("(value.a == 1", 13),
            ("value.a == 1)", 12),
            ("key matches \"[\"", 12),
            ("key matches key", 12),
            ("value.lines[x]", 12),
            ("value.año == 1 &&& true", 17),
            ("\u{1f600}", 0),
            ("key == \"\u{1f600}\" ?", 12),
            ("exists(1)", 7),
        ];
        for (text, position) in cases {
            let error = parse(text).err().unwrap_or_else(|| panic!("{text} is no error"));
            assert_eq!(error.position, position, "{text}: {}", error.message);
        }
        assert!(parse(&"(".repeat(10_000)).is_err());
        assert!(parse(&"!".repeat(3_000)).is_err());
    }
}
