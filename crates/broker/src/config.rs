//! Configuration: Kafka's `server.properties`, read in one place.
//!
//! Values come, the later winning, from the table's defaults, the file, the environment and
//! `--override`. Everything is checked at the start, and all mistakes are reported together. The
//! rest of the broker sees [`Settings`], which holds typed values and no texts.

pub mod key;
pub mod keys;
pub mod listeners;
pub mod properties;
pub mod render;
pub(crate) mod resource_keys;
pub mod settings;
pub mod value;

pub use settings::Settings;

use key::{Effect, Key};
use std::collections::BTreeMap;
use std::fmt;
use value::Value;

/// Where values are taken from, in the order of their weight: the last one wins.
#[derive(Debug, Default, Clone)]
pub struct Inputs {
    /// The name and the text of the file, if there is one.
    pub file: Option<(String, String)>,
    /// The environment: `AFLUENTE_NUM_PARTITIONS` sets `num.partitions`, as `KAFKA_NUM_PARTITIONS`
    /// does in Apache Kafka's container image.
    pub environment: Vec<(String, String)>,
    /// Keys and values of `--override`, in order.
    pub overrides: Vec<(String, String)>,
    /// What other flags of the command line say.
    pub flags: Vec<(String, String)>,
}

/// A checked configuration: every key of the table has a value.
#[derive(Debug, Clone)]
pub struct Config {
    values: BTreeMap<&'static str, Given>,
    /// Keys that are not in the table, as plug-ins have them, and those with a listener's prefix.
    others: BTreeMap<String, String>,
}

/// A value that somebody gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// As it was read.
    pub value: Value,
    /// Who gave it.
    pub source: Source,
}

/// Who gave a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The table.
    Default,
    /// A line of the file.
    File {
        /// The file's name.
        name: String,
        /// From 1.
        line: usize,
    },
    /// A variable of the environment.
    Environment(String),
    /// `--override`.
    Override,
    /// Another flag of the command line.
    Flag,
}

/// Something to tell the operator that does not stop the start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What to say.
    pub text: String,
    /// Whether it is likely a mistake.
    pub is_warning: bool,
}

/// Everything that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct ConfigError {
    /// One sentence each, naming key, value, who gave it, and what is allowed.
    pub problems: Vec<String>,
}

impl Config {
    /// Reads and checks all inputs.
    ///
    /// # Errors
    /// All that is wrong with them, together.
    pub fn load(inputs: Inputs) -> Result<(Self, Vec<Notice>), ConfigError> {
        let mut config = Self { values: BTreeMap::new(), others: BTreeMap::new() };
        let mut notices = Vec::new();
        let mut problems = Vec::new();
        for (name, text, source) in inputs.assignments(&mut problems) {
            match keys::find(&name) {
                Some(key) => match key.parse(&text) {
                    Ok(value) => {
                        config.values.insert(key.name, Given { value, source });
                    }
                    Err(why) => problems.push(describe_invalid(key, &text, &source, &why)),
                },
                None => {
                    if !is_free_name(&name) {
                        notices.push(unknown(&name, &source));
                    }
                    config.others.insert(name, text);
                }
            }
        }
        notices.extend(config.effect_notices());
        if problems.is_empty() { Ok((config, notices)) } else { Err(ConfigError { problems }) }
    }

    /// The value of a key of the table.
    ///
    /// # Panics
    /// If the table has no such key: a misspelt name in our own code.
    #[must_use]
    pub fn get(&self, name: &str) -> Given {
        let key = keys::find(name).unwrap_or_else(|| panic!("the table has no key {name:?}"));
        self.values
            .get(key.name)
            .cloned()
            .unwrap_or_else(|| Given { value: key.default_value(), source: Source::Default })
    }

    /// What somebody gave for a key, as text; `None` where the default is in force, and for a key
    /// that the table does not have.
    #[must_use]
    pub fn given_text(&self, name: &str) -> Option<String> {
        self.values.get(name).map(|given| given.value.to_string())
    }

    /// Takes a value that was set while the broker ran; one that cannot be read changes nothing.
    pub fn overlay(&mut self, name: &str, text: &str) {
        let Some(key) = keys::find(name) else { return };
        if let Ok(value) = key.parse(text) {
            self.values.insert(key.name, Given { value, source: Source::Override });
        }
    }

    /// Keys that are not in the table, with their texts, sorted.
    pub fn others(&self) -> impl Iterator<Item = (&str, &str)> {
        self.others.iter().map(|(name, text)| (name.as_str(), text.as_str()))
    }

    /// Notes about keys that were set and do nothing.
    fn effect_notices(&self) -> Vec<Notice> {
        self.values
            .iter()
            .filter(|(_, given)| given.source != Source::Default)
            .filter_map(|(name, given)| {
                let key = keys::find(name).expect("only keys of the table are in `values`");
                let changed = given.value != key.default_value();
                let (text, is_warning) = match key.effect {
                    Effect::Applied => return None,
                    Effect::JvmOnly => {
                        (format!("{name} is for the Java virtual machine; it has no effect"), false)
                    }
                    Effect::NotYet => {
                        (format!("{name} is accepted, and has no effect in this version"), changed)
                    }
                };
                Some(Notice { text, is_warning })
            })
            .collect()
    }
}

impl Inputs {
    /// All assignments in the order of their weight.
    fn assignments(self, problems: &mut Vec<String>) -> Vec<(String, String, Source)> {
        let mut assignments = Vec::new();
        if let Some((name, text)) = self.file {
            match properties::parse(&text) {
                Ok(properties) => assignments.extend(properties.into_iter().map(|property| {
                    let source = Source::File { name: name.clone(), line: property.line };
                    (property.name, property.value, source)
                })),
                Err(error) => problems.push(format!("{name}, {error}")),
            }
        }
        assignments.extend(from_environment(self.environment));
        let with = |source: Source| {
            move |(name, text): (String, String)| (name.trim().to_owned(), text, source.clone())
        };
        assignments.extend(self.overrides.into_iter().map(with(Source::Override)));
        assignments.extend(self.flags.into_iter().map(with(Source::Flag)));
        assignments
    }
}

/// Variables that set keys. Other programs own `KAFKA_…` names too (`KAFKA_OPTS`), so of these only
/// known keys count; under our own prefix an unknown key is worth a warning.
fn from_environment(variables: Vec<(String, String)>) -> Vec<(String, String, Source)> {
    let mut found: Vec<_> = variables
        .into_iter()
        .filter_map(|(variable, text)| {
            let (is_ours, rest) = match variable.strip_prefix("AFLUENTE_") {
                Some(rest) => (true, rest),
                None => (false, variable.strip_prefix("KAFKA_")?),
            };
            // `AFLUENTE_LOG` sets the level of the log, which is not the broker's affair.
            if rest == "LOG" {
                return None;
            }
            let name = key_of_variable(rest);
            let counts = is_ours || keys::find(&name).is_some();
            counts.then_some((is_ours, name, text, Source::Environment(variable)))
        })
        .collect();
    found.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    found.into_iter().map(|(_, name, text, source)| (name, text, source)).collect()
}

/// `_` stands for a dot, `__` for an underscore, `___` for a dash.
fn key_of_variable(rest: &str) -> String {
    rest.to_ascii_lowercase()
        .replace("___", "-")
        .replace("__", "\0")
        .replace('_', ".")
        .replace('\0', "_")
}

/// Whether a name outside the table is expected: a listener's own settings, a plug-in's prefix.
fn is_free_name(name: &str) -> bool {
    name.starts_with("listener.name.")
        || name.starts_with("rlmm.config.")
        || name.starts_with("rsm.config.")
}

fn unknown(name: &str, source: &Source) -> Notice {
    let hint =
        keys::nearest(name).map_or_else(String::new, |near| format!("; did you mean {near}?"));
    Notice { text: format!("unknown key {name} ({source}) is ignored{hint}"), is_warning: true }
}

fn describe_invalid(key: &Key, text: &str, source: &Source, why: &str) -> String {
    let shown = if key.is_sensitive() { "[hidden]" } else { text };
    format!("Invalid value {shown} for configuration {} ({source}): {why}", key.name)
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { name, line } => write!(f, "{name}, line {line}"),
            Self::Environment(variable) => write!(f, "environment variable {variable}"),
            Self::Override => f.write_str("--override"),
            Self::Flag => f.write_str("command line"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_later_input_wins() {
        let inputs = Inputs {
            file: Some((
                "a.properties".into(),
                "num.partitions=2\nbroker.rack=a\nmin.insync.replicas=2".into(),
            )),
            environment: pairs(&[
                ("KAFKA_NUM_PARTITIONS", "3"),
                ("AFLUENTE_NUM_PARTITIONS", "4"),
                ("KAFKA_OPTS", "-Xmx1g"),
                ("HOME", "/"),
            ]),
            overrides: pairs(&[("broker.rack", "b"), ("broker.rack", "c")]),
            flags: Vec::new(),
        };
        let (config, notices) = Config::load(inputs).unwrap();
        assert_eq!(config.get("num.partitions").value, Value::Int(4));
        assert_eq!(config.get("broker.rack").value, Value::Text("c".into()));
        assert_eq!(
            config.get("min.insync.replicas").source,
            Source::File { name: "a.properties".into(), line: 3 }
        );
        assert_eq!(config.get("num.io.threads").source, Source::Default);
        assert_eq!(notices, []);
    }

    #[test]
    fn all_mistakes_are_told_together_with_key_value_and_what_is_allowed() {
        let inputs = Inputs {
            overrides: pairs(&[
                ("num.partitions", "0"),
                ("compression.type", "zip"),
                ("ssl.key.password", "x"),
                ("log.cleaner.enable", "yes"),
            ]),
            ..Inputs::default()
        };
        let error = Config::load(inputs).unwrap_err();
        assert_eq!(error.to_string(), "\
Invalid value 0 for configuration num.partitions (--override): Value must be at least 1
Invalid value zip for configuration compression.type (--override): String must be one of: uncompressed, zstd, lz4, snappy, gzip, producer
Invalid value yes for configuration log.cleaner.enable (--override): Expected value to be either true or false");
    }

    #[test]
    fn an_unknown_key_warns_with_the_nearest_and_a_key_without_effect_is_noted() {
        let inputs = Inputs {
            overrides: pairs(&[
                ("num.partitons", "3"),
                ("num.io.threads", "16"),
                ("zookeeper.connect", "x"),
                ("listener.name.internal.ssl.key.password", "x"),
            ]),
            ..Inputs::default()
        };
        let (_, notices) = Config::load(inputs).unwrap();
        let texts: Vec<_> = notices.iter().map(|notice| notice.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "unknown key num.partitons (--override) is ignored; did you mean num.partitions?",
                "unknown key zookeeper.connect (--override) is ignored",
                "num.io.threads is for the Java virtual machine; it has no effect",
            ]
        );
    }
}
