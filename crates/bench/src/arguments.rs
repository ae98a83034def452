//! The words after a sub-command: `--name value`, each taken once by who knows it.

use std::path::PathBuf;
use std::str::FromStr;

use anyhow::{Context as _, Result, bail};

/// What every sub-command takes.
pub(crate) const COMMON_HELP: &str = "\
--runs N          rounds of which the median is taken (5)
--only TEXT       only what has this in its name
--json FILE       write the figures there too";

const RUNS_DEFAULT: usize = 5;

/// Words not taken yet.
pub(crate) struct Arguments {
    words: Vec<String>,
}

/// How often to measure, and where to put the figures.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Common {
    pub(crate) runs: usize,
    pub(crate) only: Option<String>,
    pub(crate) json: Option<PathBuf>,
}

impl Arguments {
    pub(crate) fn new(words: Vec<String>) -> Self {
        Self { words }
    }

    /// Takes `name value`, if it is there.
    pub(crate) fn take<T>(&mut self, name: &str) -> Result<Option<T>>
    where
        T: FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let Some(at) = self.words.iter().position(|word| word == name) else { return Ok(None) };
        if at + 1 == self.words.len() {
            bail!("{name} needs a value");
        }
        let value = self.words.remove(at + 1);
        self.words.remove(at);
        let parsed = value.parse().with_context(|| format!("{name} cannot be \"{value}\""))?;
        Ok(Some(parsed))
    }

    /// Takes what all sub-commands know; to be called last, because whatever is left then is
    /// unknown.
    pub(crate) fn finish(mut self) -> Result<Common> {
        let runs = self.take("--runs")?.unwrap_or(RUNS_DEFAULT);
        let only = self.take("--only")?;
        let json = self.take("--json")?;
        if runs == 0 {
            bail!("--runs cannot be 0");
        }
        match self.words.first() {
            None => Ok(Common { runs, only, json }),
            Some(word) => bail!("unknown option \"{word}\"; see afluente-bench --help"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn arguments(line: &str) -> Arguments {
        Arguments::new(line.split_whitespace().map(str::to_owned).collect())
    }

    #[test]
    fn options_are_taken_in_any_order() {
        let mut some = arguments("--json f --size-mib 64 --runs 3 --only crc");
        assert_eq!(some.take::<u64>("--size-mib").unwrap(), Some(64));
        assert_eq!(some.take::<u64>("--other").unwrap(), None);
        let (only, json) = (Some("crc".to_owned()), Some("f".into()));
        assert_eq!(some.finish().unwrap(), Common { runs: 3, only, json });
        let default = Common { runs: RUNS_DEFAULT, only: None, json: None };
        assert_eq!(arguments("").finish().unwrap(), default);
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (line, named) in
            [("--runs", "--runs"), ("--runs many", "many"), ("--runs 0", "0"), ("--fast", "--fast")]
        {
            let error = arguments(line).finish().unwrap_err();
            assert!(error.to_string().contains(named), "{line}: {error}");
        }
    }
}
