//! What is told to people: colours, tables, and how far a long piece of work is.

use clap::ValueEnum;
use std::io::{IsTerminal, Write};
use std::time::Duration;

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Values alone, one a line, as other programs like it.
    Plain,
    /// An object a line.
    Json,
    /// Columns.
    Table,
}

/// When there are colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum When {
    /// On a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl When {
    /// Whether there are colours on standard output.
    pub(crate) fn holds(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                std::io::stdout().is_terminal() && !refused && !is_dumb
            }
        }
    }
}

/// A colour, by its code.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Color {
    Dim,
    Bold,
    Green,
    Yellow,
    Blue,
    Magenta,
    Cyan,
}

impl Color {
    fn code(self) -> &'static str {
        match self {
            Self::Dim => "2",
            Self::Bold => "1",
            Self::Green => "32",
            Self::Yellow => "33",
            Self::Blue => "34",
            Self::Magenta => "35",
            Self::Cyan => "36",
        }
    }
}

/// Puts colours on texts, or not.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Painter {
    pub(crate) has_colors: bool,
}

impl Painter {
    pub(crate) fn paint(self, color: Color, text: &str) -> String {
        if self.has_colors && !text.is_empty() {
            format!("\x1b[{}m{text}\x1b[0m", color.code())
        } else {
            text.to_owned()
        }
    }
}

/// Rows under a header, in columns as wide as their widest value; numbers are at the right.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>], painter: Painter) -> Vec<String> {
    let width = |text: &str| text.chars().count();
    let widths: Vec<usize> = header
        .iter()
        .enumerate()
        .map(|(at, name)| {
            let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| width(cell));
            cells.chain([width(name)]).max().unwrap_or(0)
        })
        .collect();
    let is_number = |at: usize| {
        let mut cells = rows.iter().filter_map(|row| row.get(at)).filter(|cell| !cell.is_empty());
        !rows.is_empty()
            && cells.all(|cell| cell.chars().all(|c| c.is_ascii_digit() || ".,-".contains(c)))
    };
    let numbers: Vec<bool> = (0..header.len()).map(is_number).collect();
    let line = |cells: Vec<&str>| {
        let cells = cells.iter().enumerate().map(|(at, cell)| {
            let space = " ".repeat(widths[at].saturating_sub(width(cell)));
            if numbers[at] { format!("{space}{cell}") } else { format!("{cell}{space}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let mut lines = vec![painter.paint(Color::Bold, &line(header.to_vec()))];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines
}

/// `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1.5 MiB`.
pub(crate) fn bytes(count: f64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut count = count;
    let mut unit = 0;
    while count >= 1024.0 && unit + 1 < UNITS.len() {
        count /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{count:.0} B") } else { format!("{count:.1} {}", UNITS[unit]) }
}

/// How far a piece of work is, on standard error if that is a terminal, from its first second on.
pub(crate) struct Progress {
    is_shown: bool,
    told_at: Option<Duration>,
    total: Option<u64>,
}

impl Progress {
    /// Work comes to `total` units, if that is known.
    pub(crate) fn new(total: Option<u64>) -> Self {
        Self { is_shown: std::io::stderr().is_terminal(), told_at: None, total }
    }

    /// Tells, if it is time to, that `done` units are done after `elapsed`, with a text behind it.
    pub(crate) fn tell(&mut self, done: u64, elapsed: Duration, text: &str) {
        const FIRST: Duration = Duration::from_secs(1);
        const BETWEEN: Duration = Duration::from_millis(200);
        let is_due = self.told_at.map_or(elapsed >= FIRST, |at| elapsed >= at + BETWEEN);
        if !self.is_shown || !is_due {
            return;
        }
        self.told_at = Some(elapsed);
        // Nobody is left to tell when standard error is gone.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{}{text}", bar(done, self.total));
    }

    /// Takes away what was told.
    pub(crate) fn clear(&mut self) {
        if self.told_at.take().is_some() {
            // Nobody is left to tell when standard error is gone.
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn bar(done: u64, total: Option<u64>) -> String {
    const WIDTH: u64 = 30;
    match total {
        Some(total) if total > 0 => {
            let done = done.min(total);
            let full = done.saturating_mul(WIDTH) / total;
            let (full, empty) = ("█".repeat(full as usize), "·".repeat((WIDTH - full) as usize));
            format!("{full}{empty} {:3}%  ", done.saturating_mul(100) / total)
        }
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_aligned() {
        let rows = [vec!["a".to_owned(), "10".to_owned()], vec!["bcd".to_owned(), "9".to_owned()]];
        let lines = table(&["NAME", "COUNT"], &rows, Painter { has_colors: false });
        assert_eq!(lines, ["NAME  COUNT", "a        10", "bcd       9"]);
        assert_eq!(table(&["NAME"], &[], Painter { has_colors: false }), ["NAME"]);
    }

    #[test]
    fn amounts_are_told_as_people_read_them() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(999), "999");
        assert_eq!(bytes(1536.0), "1.5 KiB");
        assert_eq!(bytes(12.0), "12 B");
        assert_eq!(bar(50, Some(100)), format!("{}{}  50%  ", "█".repeat(15), "·".repeat(15)));
        assert_eq!(bar(50, None), "");
    }
}
