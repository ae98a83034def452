//! Kafka's text checkpoints: a version, a count, and so many lines.
//!
//! Each line ends with `\n`, also the last one: a file that was cut inside its last number would
//! otherwise pass for a whole one. Kafka writes it so, but does not ask for it.

use std::str::FromStr;

/// A checkpoint whose version was checked.
#[derive(Debug)]
pub struct TextFile<'a> {
    /// What is not read yet.
    rest: &'a str,
    /// The number of the last line that was read.
    line: usize,
}

impl<'a> TextFile<'a> {
    /// Checks that `bytes` are text that begins with `version`.
    ///
    /// # Errors
    /// They do not.
    pub fn open(bytes: &'a [u8], version: i32) -> Result<Self, TextError> {
        let rest = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            TextError::new(line, Some("bytes that are no text"), "UTF-8".to_owned())
        })?;
        let mut file = Self { rest, line: 0 };
        let expected = || format!("version {version}");
        let first = file.line(expected)?;
        if first.text.trim().parse() == Ok(version) { Ok(file) } else { Err(first.not(expected())) }
    }

    /// The lines after the count: exactly as many as it says.
    ///
    /// # Errors
    /// The count is none, or does not agree with the lines.
    pub fn entries(mut self) -> Result<Vec<Line<'a>>, TextError> {
        let expected = || "the number of entries".to_owned();
        let line = self.line(expected)?;
        let Ok(count) = line.text.trim().parse::<u32>() else { return Err(line.not(expected())) };
        let mut lines = Vec::new();
        for read in 0..count {
            lines.push(self.line(|| format!("{count} entries, of which {read} came before"))?);
        }
        if self.rest.is_empty() {
            return Ok(lines);
        }
        let expected = || format!("the end of the file after {count} entries");
        let extra = self.line(expected)?;
        Err(extra.not(expected()))
    }

    /// The next line, without its end.
    fn line(&mut self, expected: impl Fn() -> String) -> Result<Line<'a>, TextError> {
        self.line += 1;
        let number = self.line;
        match self.rest.split_once('\n') {
            Some((text, rest)) => {
                self.rest = rest;
                Ok(Line { number, text: text.strip_suffix('\r').unwrap_or(text) })
            }
            None if self.rest.is_empty() => Err(TextError::new(number, None, expected())),
            None => {
                let expected = format!("{} and the end of the line", expected());
                Err(TextError::new(number, Some(self.rest), expected))
            }
        }
    }
}

/// One line of a text file.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// Its number, from 1.
    pub number: usize,
    /// What it holds, without its end.
    pub text: &'a str,
}

impl<'a> Line<'a> {
    /// Its parts between spaces, which must be `N`.
    ///
    /// # Errors
    /// They are more or fewer.
    pub fn fields<const N: usize>(&self, expected: &str) -> Result<[&'a str; N], TextError> {
        let mut parts = self.text.split_whitespace();
        let mut fields = [""; N];
        for field in &mut fields {
            *field = parts.next().ok_or_else(|| self.not(expected.to_owned()))?;
        }
        if parts.next().is_some() { Err(self.not(expected.to_owned())) } else { Ok(fields) }
    }

    /// A number in this line, of at least `least`.
    ///
    /// # Errors
    /// It is none, or below.
    pub fn number<T: FromStr + PartialOrd + std::fmt::Display>(
        &self,
        field: &str,
        what: &str,
        least: T,
    ) -> Result<T, TextError> {
        match field.parse::<T>() {
            Ok(number) if number >= least => Ok(number),
            _ => Err(self.not(format!("{what} of at least {least}"))),
        }
    }

    /// This line is not what was expected.
    #[must_use]
    pub fn not(&self, expected: String) -> TextError {
        TextError::new(self.number, Some(self.text), expected)
    }
}

/// A line that is not what the format asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: found {found}, expected {expected}")]
pub struct TextError {
    /// Its number, from 1.
    pub line: usize,
    /// What is there, in quotes, shortened.
    pub found: String,
    /// What should be there.
    pub expected: String,
}

impl TextError {
    /// The greatest part of a strange line that an error repeats, in characters.
    const SHOWN_MAX: usize = 80;

    fn new(line: usize, found: Option<&str>, expected: String) -> Self {
        let found = match found {
            None => "the end of the file".to_owned(),
            Some(text) => {
                let shown: String = text.chars().take(Self::SHOWN_MAX).collect();
                format!("{shown:?}")
            }
        };
        Self { line, found, expected }
    }
}
