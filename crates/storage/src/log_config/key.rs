//! A row of the table of log configurations, and what can be wrong with a value.

use super::LogConfig;
use std::borrow::Cow;

/// One key.
#[derive(Debug, Clone, Copy)]
pub struct LogConfigKey {
    /// As Kafka names it.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// What is allowed of them.
    pub allowed: Allowed,
    /// The broker-level keys that give the default of all topics; the first that is set counts.
    pub synonyms: &'static [Synonym],
    pub(super) doc: &'static str,
    pub(super) set: fn(&mut LogConfig, &str, Allowed) -> Result<(), String>,
    pub(super) get: fn(&LogConfig) -> String,
}

impl LogConfigKey {
    /// What it is for, in one or two sentences.
    #[must_use]
    pub fn doc(&self) -> &'static str {
        self.doc.trim_start()
    }

    /// The value in `config`, as text.
    #[must_use]
    pub fn get(&self, config: &LogConfig) -> String {
        (self.get)(config)
    }

    /// The value that a topic has when nobody gives one, as text.
    #[must_use]
    pub fn default(&self) -> String {
        self.get(&LogConfig::default())
    }

    /// What is allowed of its values, in words: what an error says of a value that no key takes.
    #[must_use]
    pub fn allowed_text(&self) -> String {
        const NEVER_ALLOWED: &str = "\u{7f}";
        let refusal = (self.set)(&mut LogConfig::default(), NEVER_ALLOWED, self.allowed);
        let text = refusal.err().unwrap_or_default();
        text.strip_prefix("must be ").unwrap_or(&text).to_owned()
    }

    /// Sets the value in `config` from its text; blanks around it do not count.
    ///
    /// # Errors
    /// It is not allowed.
    pub fn set(&self, config: &mut LogConfig, text: &str) -> Result<(), LogConfigError> {
        let text = text.trim();
        (self.set)(config, text, self.allowed).map_err(|expected| {
            let name = self.name.to_owned();
            let (value, expected) = self.in_kafkas_words(text, expected);
            LogConfigError::Invalid { name, value: shortened(&value), expected }
        })
    }

    /// The part of a refused text that is at fault and what Kafka's `ConfigDef` says of it, since
    /// tools and tests compare it; `ours` where Kafka has no such key or rule.
    fn in_kafkas_words<'a>(&self, text: &'a str, ours: String) -> (Cow<'a, str>, String) {
        let number: Option<f64> = text.parse().ok();
        let out_of_range = match (self.allowed, number) {
            (Allowed::GzipLevel, _) => "Value must be between 1 and 9 or equal to -1".to_owned(),
            (Allowed::Between(_, most), Some(number)) if number > most as f64 => {
                format!("Value must be no more than {most}")
            }
            (Allowed::Fraction(_, most), Some(number)) if number > most => {
                format!("Value must be no more than {most}")
            }
            (Allowed::AtLeast(least) | Allowed::Between(least, _), _) => {
                format!("Value must be at least {least}")
            }
            (Allowed::Fraction(least, _), _) => format!("Value must be at least {least}"),
            (Allowed::Anything, _) => ours.clone(),
        };
        let expected = match self.kind {
            Kind::Boolean => "Expected value to be either true or false".to_owned(),
            Kind::Int if text.parse::<i32>().is_err() => "Not a number of type INT".to_owned(),
            Kind::Long if text.parse::<i64>().is_err() => "Not a number of type LONG".to_owned(),
            Kind::Double if !number.is_some_and(f64::is_finite) => {
                "Not a number of type DOUBLE".to_owned()
            }
            Kind::Int | Kind::Long | Kind::Double => out_of_range,
            Kind::String => ours.replacen("must be one of ", "String must be one of: ", 1),
            Kind::List if self.name == "cleanup.policy" => {
                let mut words = text.split(',').map(str::trim);
                if let Some(strange) = words.find(|word| !matches!(*word, "compact" | "delete")) {
                    let expected = "String must be one of: compact, delete".to_owned();
                    return (strange.into(), expected);
                }
                ours
            }
            Kind::List => {
                let expected = format!(
                    "{} must be the literal '*' or a list of replicas in the following format: \
                     [partitionId]:[brokerId],[partitionId]:[brokerId],...",
                    self.name
                );
                // Kafka shows the list that it has read.
                let words: Vec<&str> = text.split(',').map(str::trim).collect();
                return (format!("[{}]", words.join(", ")).into(), expected);
            }
        };
        (text.into(), expected)
    }

    /// The default that the broker's configuration gives, in this key's unit.
    ///
    /// # Errors
    /// The broker-level value cannot be converted.
    pub fn broker_default(
        &self,
        broker: impl Fn(&str) -> Option<String>,
    ) -> Result<Option<String>, LogConfigError> {
        let given = self.synonyms.iter().find_map(|synonym| Some((synonym, broker(synonym.name)?)));
        given.map(|(synonym, text)| synonym.convert(&text)).transpose()
    }
}

/// What the values of a key are, by Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// A floating-point number.
    Double,
    /// A word.
    String,
    /// Words, separated by commas.
    List,
}

/// What is allowed of a value, beyond its kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// Everything of the kind.
    Anything,
    /// A number not below this one.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// A floating-point number from the first to the second, both included.
    Fraction(f64, f64),
    /// From 1 to 9, or -1.
    GzipLevel,
}

/// A broker-level key that gives the default of a topic-level one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Synonym {
    /// The broker-level key.
    pub name: &'static str,
    /// The unit of its values.
    pub unit: SynonymUnit,
}

/// The unit of a broker-level value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SynonymUnit {
    /// That of the topic-level key.
    Same,
    /// Milliseconds, where every negative number means without end.
    Milliseconds,
    /// Minutes, where the topic-level key has milliseconds; negative means without end.
    Minutes,
    /// Hours, where the topic-level key has milliseconds; negative means without end.
    Hours,
}

impl Synonym {
    pub(super) const fn same(name: &'static str) -> Self {
        Self { name, unit: SynonymUnit::Same }
    }

    pub(super) const fn milliseconds(name: &'static str) -> Self {
        Self { name, unit: SynonymUnit::Milliseconds }
    }

    pub(super) const fn minutes(name: &'static str) -> Self {
        Self { name, unit: SynonymUnit::Minutes }
    }

    pub(super) const fn hours(name: &'static str) -> Self {
        Self { name, unit: SynonymUnit::Hours }
    }

    /// The text in the unit of the topic-level key.
    ///
    /// # Errors
    /// It is no number, where a number has to be converted.
    pub fn convert(&self, text: &str) -> Result<String, LogConfigError> {
        let factor = match self.unit {
            SynonymUnit::Same => return Ok(text.to_owned()),
            SynonymUnit::Milliseconds => 1,
            SynonymUnit::Minutes => 60 * 1000,
            SynonymUnit::Hours => 60 * 60 * 1000,
        };
        let number: i64 = text.trim().parse().map_err(|_| LogConfigError::Invalid {
            name: self.name.to_owned(),
            value: shortened(text),
            expected: "must be a whole number".to_owned(),
        })?;
        let ms = if number < 0 { -1 } else { number.saturating_mul(factor) };
        Ok(ms.to_string())
    }
}

/// Why a configuration is refused; all of them are INVALID_CONFIG to a client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogConfigError {
    /// No key has this name.
    #[error("Unknown topic config name: {name}")]
    UnknownKey {
        /// The name that was given.
        name: String,
    },
    /// A value that is not allowed, alone or beside another one.
    #[error("Invalid value {value} for configuration {name}: {expected}")]
    Invalid {
        /// The key.
        name: String,
        /// What was given, shortened.
        value: String,
        /// What is allowed.
        expected: String,
    },
}

impl LogConfigError {
    pub(super) fn conflict(name: &str, value: String, expected: String) -> Self {
        Self::Invalid { name: name.to_owned(), value, expected }
    }
}

/// An error does not repeat more of a strange value than this, in characters.
const SHOWN_MAX: usize = 100;

fn shortened(text: &str) -> String {
    text.chars().take(SHOWN_MAX).collect()
}
