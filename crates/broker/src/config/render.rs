//! The table and a configuration as text: `--print-config` and `docs/configuration.md`.

use super::key::{Effect, Importance, Update};
use super::{Config, Source, keys};
use std::fmt::Write as _;

/// Every key with its value, as a `.properties` file; defaults are commented out.
#[must_use]
pub fn properties(config: &Config) -> String {
    let mut out = String::new();
    for subject in keys::SUBJECTS {
        let _ = writeln!(out, "\n# ---- {}", subject.title);
        for key in subject.keys.iter().filter(|key| key.importance != Importance::Internal) {
            let given = config.get(key.name);
            let value = escape(&given.value.to_string());
            let _ = match given.source {
                Source::Default => writeln!(out, "#{}={value}", key.name),
                source => writeln!(out, "# from {source}\n{}={value}", key.name),
            };
        }
    }
    out.trim_start().to_owned()
}

/// `docs/configuration.md`.
#[must_use]
pub fn markdown() -> String {
    let mut out = INTRODUCTION.to_owned();
    for subject in keys::SUBJECTS {
        let _ = write!(
            out,
            "\n## {}\n\n| key | kind | default | allowed | changes | what it does |\n|---|---|---|---|---|---|\n",
            subject.title
        );
        for key in subject.keys.iter().filter(|key| key.importance != Importance::Internal) {
            let default = match key.default {
                None => "–".to_owned(),
                Some("") => "empty".to_owned(),
                Some(text) => format!("`{text}`"),
            };
            let effect = match key.effect {
                Effect::Applied => "",
                Effect::NotYet => " *No effect yet.*",
                Effect::JvmOnly => " *For the JVM: no effect.*",
            };
            let update = match key.update {
                Update::ReadOnly => "restart",
                Update::PerBroker => "per broker",
                Update::ClusterWide => "cluster",
            };
            let _ = writeln!(
                out,
                "| `{}` | {} | {default} | {} | {update} | {}{effect} |",
                key.name,
                key.kind.name(),
                key.kind.allowed(),
                key.doc,
            );
        }
    }
    out
}

const INTRODUCTION: &str = "\
# Configuration

Apache Kafka's `server.properties` is taken as it is. A value comes, the later winning, from

1. the default below,
2. the file of `--config FILE`,
3. the environment: `KAFKA_NUM_PARTITIONS=3`, then `AFLUENTE_NUM_PARTITIONS=3`, sets `num.partitions`
   (`_` stands for a dot, `__` for an underscore, `___` for a dash),
4. `--override num.partitions=3`,
5. `--data-dir` (`log.dirs`) and `--listen` (`listeners`).

A wrong value stops the start and names key, value and what is allowed. An unknown key is ignored with
a warning that names the nearest known one. `afluente serve --print-config` shows what is in force, and
where each value came from.

*changes*: `restart`, only with a restart; `per broker` and `cluster`, also with `kafka-configs` while
the broker runs. Defaults are Apache Kafka 4.3.1's, except where a single node could not start or work
with them.

This page is made from the table in `crates/broker/src/config/keys/`; a test compares them, and
`UPDATE_DOCS=1 cargo test -p afluente-broker configuration_page` writes it again.
";

fn escape(value: &str) -> String {
    value.replace('\\', "\\\\").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::super::{Inputs, properties as format};
    use super::*;

    #[test]
    fn what_is_printed_can_be_read_again() {
        let overrides = vec![("broker.rack".to_owned(), "a\\b".to_owned())];
        let (config, _) = Config::load(Inputs { overrides, ..Inputs::default() }).unwrap();
        let printed = properties(&config);
        let read = format::parse(&printed).unwrap();
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].name.as_str(), read[0].value.as_str()), ("broker.rack", "a\\b"));
        assert!(printed.contains("\n#num.partitions=1\n"));
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a test compares a page of the repository")]
    fn configuration_page_is_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let page = std::fs::read_to_string(path).unwrap();
        assert!(page == markdown(), "docs/configuration.md is old: run with UPDATE_DOCS=1");
    }
}
