//! Rows of comma-separated values (RFC 4180): quotes around commas, line breaks and doubled quotes.

use anyhow::bail;
use std::io::{BufRead, Read};

/// A row that is longer is refused.
const ROW_BYTES_MAX: usize = 64 << 20;

/// The next row; `None` at the end. Adds the bytes that were read to `count`.
pub(super) fn row(input: &mut dyn BufRead, count: &mut u64) -> anyhow::Result<Option<Vec<String>>> {
    let mut text = Vec::new();
    let mut is_open = false;
    loop {
        let from = text.len();
        let room = (ROW_BYTES_MAX + 1 - from) as u64;
        let read = (&mut *input).take(room).read_until(b'\n', &mut text)?;
        *count += read as u64;
        if read == 0 && from == 0 {
            return Ok(None);
        }
        is_open ^= text[from..].iter().filter(|&&byte| byte == b'"').count() % 2 == 1;
        if text.len() > ROW_BYTES_MAX {
            bail!("a row is longer than {ROW_BYTES_MAX} bytes; is a quote not closed?");
        }
        if !is_open {
            break;
        }
        if read == 0 {
            bail!("a quote is not closed");
        }
    }
    let text = String::from_utf8(text)?;
    cells(text.trim_end_matches('\n').trim_end_matches('\r')).map(Some)
}

fn cells(text: &str) -> anyhow::Result<Vec<String>> {
    let mut cells = Vec::new();
    let mut rest = text;
    loop {
        if let Some(mut quoted) = rest.strip_prefix('"') {
            let mut cell = String::new();
            loop {
                let Some((before, behind)) = quoted.split_once('"') else {
                    bail!("a quote is not closed");
                };
                cell.push_str(before);
                match behind.strip_prefix('"') {
                    Some(behind) => {
                        cell.push('"');
                        quoted = behind;
                    }
                    None => {
                        rest = behind;
                        break;
                    }
                }
            }
            cells.push(cell);
            match rest.strip_prefix(',') {
                Some(behind) => rest = behind,
                None if rest.is_empty() => return Ok(cells),
                None => bail!("{rest:?} stands behind a closed quote"),
            }
        } else {
            match rest.split_once(',') {
                Some((cell, behind)) => {
                    cells.push(cell.to_owned());
                    rest = behind;
                }
                None => {
                    cells.push(rest.to_owned());
                    return Ok(cells);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_at_commas_outside_of_quotes() {
        let text = "a,\"b,\"\"c\"\"\",\r\n\"two\nlines\",,x\n";
        let mut input = text.as_bytes();
        let mut count = 0;
        assert_eq!(row(&mut input, &mut count).unwrap().unwrap(), ["a", "b,\"c\"", ""]);
        assert_eq!(row(&mut input, &mut count).unwrap().unwrap(), ["two\nlines", "", "x"]);
        assert_eq!(row(&mut input, &mut count).unwrap(), None);
        assert_eq!(count, text.len() as u64);
        for wrong in ["\"a", "\"a\"b,c"] {
            assert!(row(&mut wrong.as_bytes(), &mut count).is_err(), "{wrong}");
        }
    }
}
