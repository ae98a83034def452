//! `cargo xtask tidy`: the rules of the house that no compiler checks.
//!
//! A rule is one row of [`RULES`]: a function from the tree, read once, to what it found. Rules
//! read no file themselves, so that each is tested with a tree made of strings, which must make it
//! speak. The same rules run as a test of this crate.

mod crate_graph;
mod documents;
mod metadata;
mod sources;
mod text;
mod tree;

use std::fmt;

use anyhow::{Result, bail};

use metadata::Metadata;
use tree::Tree;

struct Rule {
    name: &'static str,
    check: fn(&Tree, &Metadata) -> Vec<Finding>,
}

const RULES: &[Rule] = &[
    Rule { name: "crate graph", check: crate_graph::check },
    Rule { name: "sources", check: sources::check },
    Rule { name: "documents", check: documents::check },
    Rule { name: "text", check: text::check },
];

pub(crate) fn run(arguments: &[String]) -> Result<bool> {
    if let Some(unknown) = arguments.first() {
        bail!("tidy takes no arguments, got \"{unknown}\"");
    }
    let findings = findings()?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => println!("tidy: {} rules, nothing found", RULES.len()),
        count => println!("tidy: {count} found"),
    }
    Ok(findings.is_empty())
}

/// Runs every rule on the tree as it lies there, changes that are not committed included.
fn findings() -> Result<Vec<Finding>> {
    let tree = Tree::of_repository(crate::root())?;
    let metadata = Metadata::of_repository(crate::root())?;
    let mut findings = Vec::new();
    for rule in RULES {
        let mut found = (rule.check)(&tree, &metadata);
        for finding in &mut found {
            finding.rule = rule.name;
        }
        findings.append(&mut found);
    }
    Ok(findings)
}

/// A place that breaks a rule, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    path: String,
    line: Option<usize>,
    message: String,
}

impl Finding {
    /// About a file as a whole, or a thing that should be there and is not.
    fn file(path: &str, message: impl Into<String>) -> Self {
        Self { rule: "", path: path.to_owned(), line: None, message: message.into() }
    }

    /// About one line, counted from 1.
    fn line(path: &str, line: usize, message: impl Into<String>) -> Self {
        Self { line: Some(line), ..Self::file(path, message) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {} ({})", self.path, self.message, self.rule),
            None => write!(f, "{}: {} ({})", self.path, self.message, self.rule),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    #[test]
    fn the_repository_is_tidy() {
        let findings = super::findings().unwrap();
        let lines: Vec<String> = findings.iter().map(ToString::to_string).collect();
        assert!(lines.is_empty(), "{}", lines.join("\n"));
    }
}
