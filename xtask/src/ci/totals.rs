//! How many tests passed, failed and were skipped: added up over all that ran.

use std::fmt;
use std::ops::AddAssign;

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Totals {
    pub(crate) const NONE: Self = Self { passed: 0, failed: 0, skipped: 0 };
    pub(crate) const ONE_FAILED: Self = Self { failed: 1, ..Self::NONE };

    /// What nextest says at its end: `Summary [ 0.1s] 4 tests run: 3 passed (1 slow), 1 timed out,
    /// 0 skipped`. Whatever is neither passed nor skipped has failed.
    pub(crate) fn from_nextest(line: &str) -> Option<Self> {
        let (head, counts) = line.split_once(" run: ")?;
        if !head.contains("Summary [") {
            return None;
        }
        let mut totals = Self::NONE;
        for part in outside_parentheses(counts).split(',') {
            let (count, word) = part.trim().split_once(' ')?;
            totals.add(count.parse().ok()?, word.trim());
        }
        Some(totals)
    }

    /// What `cargo test` says after each binary: `test result: ok. 3 passed; 0 failed; 1 ignored;
    /// 0 measured; 0 filtered out; finished in 0.00s`.
    pub(crate) fn from_cargo_test(line: &str) -> Option<Self> {
        let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
        let mut totals = Self::NONE;
        for part in counts.split(';') {
            let Some((count, word @ ("passed" | "failed" | "ignored"))) =
                part.trim().split_once(' ')
            else {
                continue;
            };
            totals.add(count.parse().ok()?, word);
        }
        Some(totals)
    }

    /// What Node's test runner says at its end: `ℹ pass 3`, `ℹ fail 1`, `ℹ cancelled 0`, `ℹ skipped 2`, each on a line.
    pub(crate) fn from_node(lines: &[String]) -> Option<Self> {
        let mut totals = Self::NONE;
        let mut is_told = false;
        for line in lines {
            let Some((word, count)) = line.strip_prefix("ℹ ").and_then(|rest| rest.split_once(' '))
            else {
                continue;
            };
            let word = match word {
                "pass" => "passed",
                "fail" | "cancelled" => "failed",
                "skipped" | "todo" => "skipped",
                _ => continue,
            };
            // A test may print such a line too: what counts is what is a number.
            if let Ok(count) = count.parse() {
                totals.add(count, word);
                is_told = true;
            }
        }
        is_told.then_some(totals)
    }

    fn add(&mut self, count: u64, word: &str) {
        match word {
            "passed" => self.passed += count,
            "skipped" | "ignored" => self.skipped += count,
            _ => self.failed += count,
        }
    }
}

impl AddAssign for Totals {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

fn outside_parentheses(text: &str) -> String {
    let mut depth = 0_usize;
    text.chars()
        .filter(|c| {
            match c {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => return depth == 0,
            }
            false
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn totals(passed: u64, failed: u64, skipped: u64) -> Option<Totals> {
        Some(Totals { passed, failed, skipped })
    }

    #[test]
    fn reads_what_nextest_says() {
        for (line, expected) in [
            ("     Summary [   0.005s] 2 tests run: 2 passed, 0 skipped", totals(2, 0, 0)),
            (
                "     Summary [   0.005s] 1 test run: 1 passed (1 slow, 1 leaky), 3 skipped",
                totals(1, 0, 3),
            ),
            (
                "Summary [ 9.1s] 5 tests run: 2 passed, 1 failed, 1 timed out, 1 exec failed, 0 skipped",
                totals(2, 3, 0),
            ),
            ("Summary [ 9.1s] 1/5 tests run: 0 passed, 1 failed, 0 skipped", totals(0, 1, 0)),
            ("    Starting 2 tests across 3 binaries", None),
            ("said by a test run: 2 passed", None),
        ] {
            assert_eq!(Totals::from_nextest(line), expected, "{line}");
        }
    }

    #[test]
    fn reads_what_cargo_test_says() {
        let line = "test result: FAILED. 3 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(Totals::from_cargo_test(line), totals(3, 1, 2));
        assert_eq!(Totals::from_cargo_test("running 3 tests"), None);
    }

    #[test]
    fn reads_what_node_says() {
        let lines = [
            "✔ a (1ms)",
            "ℹ tests 6",
            "ℹ pass 3",
            "ℹ fail 1",
            "ℹ cancelled 1",
            "ℹ skipped 1",
            "ℹ duration_ms 9",
        ]
        .map(str::to_owned);
        assert_eq!(Totals::from_node(&lines), totals(3, 2, 1));
        assert_eq!(Totals::from_node(&["nothing".to_owned()]), None);
    }

    #[test]
    fn writes_one_plain_line() {
        let totals = Totals { passed: 1, failed: 2, skipped: 3 };
        assert_eq!(totals.to_string(), "1 passed, 2 failed, 3 skipped");
    }
}
