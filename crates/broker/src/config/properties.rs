//! The `.properties` format as Java reads it: `key=value`, comments, escapes, continued lines.

use std::iter::Peekable;
use std::str::Chars;

/// One assignment of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// Left of the separator, unescaped.
    pub name: String,
    /// Right of it, unescaped.
    pub value: String,
    /// The line it begins at, from 1.
    pub line: usize,
}

/// What is wrong with a file, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct PropertiesError {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

/// Reads a whole file. A name that is given twice is there twice: the last one counts.
///
/// # Errors
/// An escape that is none, or a value without a name.
pub fn parse(text: &str) -> Result<Vec<Property>, PropertiesError> {
    logical_lines(text)
        .into_iter()
        .map(|(line, content)| {
            parse_line(&content)
                .map(|(name, value)| Property { name, value, line })
                .and_then(|property| {
                    if property.name.is_empty() {
                        Err("a value without a key".to_owned())
                    } else {
                        Ok(property)
                    }
                })
                .map_err(|problem| PropertiesError { line, problem })
        })
        .collect()
}

/// Joins continued lines, drops blank ones and comments; each with the number it begins at.
fn logical_lines(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut open: Option<(usize, String)> = None;
    for (index, raw) in text.split('\n').enumerate() {
        let content = raw.trim_end_matches('\r').trim_start_matches([' ', '\t', '\x0c']);
        let (start, mut whole) = match open.take() {
            Some(begun) => begun,
            None if content.is_empty() || content.starts_with(['#', '!']) => continue,
            None => (index + 1, String::new()),
        };
        let backslashes = content.len() - content.trim_end_matches('\\').len();
        if backslashes % 2 == 1 {
            whole.push_str(&content[..content.len() - 1]);
            open = Some((start, whole));
        } else {
            whole.push_str(content);
            lines.push((start, whole));
        }
    }
    lines.extend(open);
    lines
}

fn parse_line(line: &str) -> Result<(String, String), String> {
    let mut rest = line.chars().peekable();
    let mut name = String::new();
    while let Some(&next) = rest.peek() {
        if matches!(next, '=' | ':' | ' ' | '\t' | '\x0c') {
            break;
        }
        take_char(&mut rest, &mut name)?;
    }
    skip_blanks(&mut rest);
    if matches!(rest.peek(), Some('=' | ':')) {
        rest.next();
        skip_blanks(&mut rest);
    }
    let mut value = String::new();
    while rest.peek().is_some() {
        take_char(&mut rest, &mut value)?;
    }
    Ok((name, value))
}

fn skip_blanks(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(|next| matches!(next, ' ' | '\t' | '\x0c')).is_some() {}
}

/// Takes one character, unescaped, onto the end of `to`.
fn take_char(rest: &mut Peekable<Chars<'_>>, to: &mut String) -> Result<(), String> {
    let Some(next) = rest.next() else { return Ok(()) };
    if next != '\\' {
        to.push(next);
        return Ok(());
    }
    match rest.next() {
        None => {}
        Some('t') => to.push('\t'),
        Some('n') => to.push('\n'),
        Some('r') => to.push('\r'),
        Some('f') => to.push('\x0c'),
        Some('u') => to.push(take_unicode(rest)?),
        Some(other) => to.push(other),
    }
    Ok(())
}

/// Four hexadecimal digits, and four more of a second escape where the first is half a character.
fn take_unicode(rest: &mut Peekable<Chars<'_>>) -> Result<char, String> {
    let first = take_unit(rest)?;
    let mut units = vec![first];
    if (0xD800..0xDC00).contains(&first) {
        if rest.next() != Some('\\') || rest.next() != Some('u') {
            return Err(format!("\\u{first:04x} is half a character without the other half"));
        }
        units.push(take_unit(rest)?);
    }
    match char::decode_utf16(units).next() {
        Some(Ok(whole)) => Ok(whole),
        _ => Err(format!("\\u{first:04x} is not a character")),
    }
}

fn take_unit(rest: &mut Peekable<Chars<'_>>) -> Result<u16, String> {
    let digits: String = rest.take(4).collect();
    if digits.len() != 4 || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(format!("\\u{digits} is not four hexadecimal digits"));
    }
    u16::from_str_radix(&digits, 16).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pairs(text: &str) -> Result<Vec<(String, String)>, String> {
        let properties = parse(text).map_err(|error| error.to_string())?;
        Ok(properties.into_iter().map(|property| (property.name, property.value)).collect())
    }

    #[test]
    fn separators_comments_escapes_and_continued_lines_are_javas() {
        let cases: &[(&str, &[(&str, &str)])] = &[
            ("a=1", &[("a", "1")]),
            ("  a : 1 ", &[("a", "1 ")]),
            ("a 1=2", &[("a", "1=2")]),
            ("# no\n! no\n\n \na=\r\nb", &[("a", ""), ("b", "")]),
            ("a=x\\\n   y\\\\\nb=1", &[("a", "xy\\"), ("b", "1")]),
            ("a\\=b=c\\:d", &[("a=b", "c:d")]),
            ("a=\\u00e9\\t\\ud83d\\ude00", &[("a", "é\t😀")]),
            ("a=1\na=2", &[("a", "1"), ("a", "2")]),
            ("a=1\\", &[("a", "1")]),
        ];
        for (text, expected) in cases {
            let expected: Vec<(String, String)> =
                expected.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
            assert_eq!(pairs(text), Ok(expected), "{text:?}");
        }
    }

    #[test]
    fn an_error_names_its_line() {
        for (text, error) in [
            ("a=1\nb=\\u12", "line 2: \\u12 is not four hexadecimal digits"),
            ("=1", "line 1: a value without a key"),
            ("\n\na=\\ud83dx", "line 3: \\ud83d is half a character without the other half"),
            ("a=\\udc00", "line 1: \\udc00 is not a character"),
        ] {
            assert_eq!(pairs(text), Err(error.to_owned()), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".{0,200}") {
            let _ = parse(&text);
        }
    }
}
