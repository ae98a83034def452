//! The table as a page of the documentation: `docs/topic-configuration.md`.

use super::{LOG_CONFIG_KEYS, SynonymUnit};
use std::fmt::Write as _;

const INTRODUCTION: &str = "\
# Configuration of topics

What can be set for a topic when it is made or later (`kafka-topics --config`, `kafka-configs`). The
names and defaults are Apache Kafka 4.3's; `durability` is ours. Where a topic has no value of its own,
the broker's key counts, the first one that is set; see [configuration.md](configuration.md).

This page is made from the table in `crates/storage/src/log_config.rs`; a test compares them, and
`UPDATE_DOCS=1 cargo test -p afluente-storage topic_configuration_page` writes it again.

| key | kind | default | allowed | the broker's key | what it does |
|---|---|---|---|---|---|
";

/// The page.
#[must_use]
pub fn markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for key in LOG_CONFIG_KEYS {
        let default = match key.default() {
            empty if empty.is_empty() => "empty".to_owned(),
            default => format!("`{default}`"),
        };
        let synonyms: Vec<_> = key
            .synonyms
            .iter()
            .map(|synonym| match synonym.unit {
                SynonymUnit::Same | SynonymUnit::Milliseconds => format!("`{}`", synonym.name),
                SynonymUnit::Minutes | SynonymUnit::Hours => {
                    format!("`{}` (other unit)", synonym.name)
                }
            })
            .collect();
        writeln!(
            page,
            "| `{}` | {} | {default} | {} | {} | {} |",
            key.name,
            format!("{:?}", key.kind).to_lowercase(),
            key.allowed_text(),
            synonyms.join(", "),
            key.doc()
        )
        .expect("writing to a string cannot fail");
    }
    page
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test compares a page of the repository")]
    fn topic_configuration_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/topic-configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page == markdown(), "docs/topic-configuration.md is old: run with UPDATE_DOCS=1");
    }
}
