//! The values of a configuration, and what is wrong with those that cannot be.

use super::key::{Effect, Key};
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A value that was read and checked.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing given and no default.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Number(i64),
    /// A floating-point number.
    Double(f64),
    /// Text, or the name of a class.
    Text(String),
    /// Texts in their order.
    List(Vec<String>),
    /// Text that is never shown.
    Password(String),
}

/// A value for each key of a table.
#[derive(Clone)]
pub struct Values {
    values: BTreeMap<&'static str, (Value, bool)>,
    without_effect: Vec<&'static Key>,
    unknown: Vec<UnknownKey>,
}

/// Something given under a name that the table does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKey {
    /// The name as given.
    pub name: String,
    /// The value as given; it may be a secret.
    pub value: String,
    /// The name in the table that is most like it, if one is like it.
    pub nearest: Option<&'static str>,
}

/// Values that cannot be: all that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// One or more.
    pub problems: Vec<ConfigProblem>,
}

/// What is wrong with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The name of the key.
    pub key: String,
    /// The value as given; `None` if it is missing, or a secret.
    pub value: Option<String>,
    /// What is allowed, or what is wrong.
    pub allowed: String,
    /// Whether a value was given that is a secret, or is wrong in itself: `allowed` says how.
    pub is_told_in_full: bool,
}

/// A name with more edits than this between is not the one that was meant.
const EDITS_MAX: usize = 4;

impl Values {
    /// Reads `properties` by the keys of `tables`; where several have a key of a name, the first
    /// one counts. Where a property is given twice, the last one counts.
    ///
    /// # Errors
    /// Every value that its key does not allow.
    pub fn read<K, V>(
        tables: &[&'static [Key]],
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, ConfigError>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut keys: BTreeMap<&'static str, &'static Key> = BTreeMap::new();
        for key in tables.iter().copied().flatten() {
            keys.entry(key.name).or_insert(key);
        }
        let mut values: BTreeMap<&'static str, (Value, bool)> =
            keys.values().map(|key| (key.name, (key.default_value(), false))).collect();
        let (mut without_effect, mut unknown, mut problems) = (Vec::new(), Vec::new(), Vec::new());
        for (name, text) in properties {
            let (name, text) = (name.as_ref().trim(), text.as_ref());
            let Some(&key) = keys.get(name) else {
                unknown.push(UnknownKey {
                    name: name.to_owned(),
                    value: text.to_owned(),
                    nearest: nearest(name, keys.keys().copied()),
                });
                continue;
            };
            match key.parse(text) {
                Ok(value) => {
                    values.insert(key.name, (value, true));
                    if key.effect != Effect::Applied {
                        without_effect.push(key);
                    }
                }
                Err(allowed) => problems.push(ConfigProblem {
                    key: name.to_owned(),
                    value: Some(text.to_owned()),
                    allowed,
                    is_told_in_full: false,
                }),
            }
        }
        if problems.is_empty() {
            Ok(Self { values, without_effect, unknown })
        } else {
            Err(ConfigError { problems })
        }
    }

    /// The value of a key.
    ///
    /// # Panics
    /// If the table has no such key, which is a mistake in this program. So do the others below.
    #[must_use]
    pub fn get(&self, name: &str) -> &Value {
        &self.values.get(name).unwrap_or_else(|| panic!("no configuration key {name:?}")).0
    }

    /// Whether somebody gave a value.
    #[must_use]
    pub fn is_given(&self, name: &str) -> bool {
        self.values.get(name).is_some_and(|(_, given)| *given)
    }

    /// What was given under names that the table does not have.
    #[must_use]
    pub fn unknown(&self) -> &[UnknownKey] {
        &self.unknown
    }

    /// Keys that were given and do nothing here.
    #[must_use]
    pub fn without_effect(&self) -> &[&'static Key] {
        &self.without_effect
    }

    /// `true` or `false`.
    #[must_use]
    pub fn bool(&self, name: &str) -> bool {
        matches!(self.get(name), Value::Boolean(true))
    }

    /// A whole number; 0 where there is none.
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        match self.get(name) {
            Value::Number(number) => *number,
            Value::Null => 0,
            other => panic!("{name} is no whole number but {other:?}"),
        }
    }

    /// A whole number that its row limits to 32 bits.
    #[must_use]
    pub fn i32(&self, name: &str) -> i32 {
        i32::try_from(self.int(name)).expect("the row of the key says int")
    }

    /// A number of bytes or things; what is below 0 counts as 0.
    #[must_use]
    pub fn size(&self, name: &str) -> usize {
        usize::try_from(self.int(name).max(0)).unwrap_or(usize::MAX)
    }

    /// A floating-point number; 0 where there is none.
    #[must_use]
    pub fn double(&self, name: &str) -> f64 {
        match self.get(name) {
            Value::Double(number) => *number,
            _ => 0.0,
        }
    }

    /// A text, or a secret; empty where there is none.
    #[must_use]
    pub fn text(&self, name: &str) -> &str {
        self.optional_text(name).unwrap_or("")
    }

    /// A text, or a secret.
    #[must_use]
    pub fn optional_text(&self, name: &str) -> Option<&str> {
        match self.get(name) {
            Value::Text(text) | Value::Password(text) => Some(text),
            Value::Null => None,
            other => panic!("{name} is no text but {other:?}"),
        }
    }

    /// Texts; empty where there is none.
    #[must_use]
    pub fn list(&self, name: &str) -> &[String] {
        match self.get(name) {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// Milliseconds; what is below 0 counts as 0.
    #[must_use]
    pub fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.int(name)).unwrap_or(0))
    }

    /// Milliseconds; `None` for what is below 0.
    #[must_use]
    pub fn duration_unless_negative(&self, name: &str) -> Option<Duration> {
        u64::try_from(self.int(name)).ok().map(Duration::from_millis)
    }
}

/// Without the values of secrets and of keys that are not known.
impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown =
            self.values.iter().filter(|(_, (_, given))| *given).map(|(name, (value, _))| {
                let shown = match value {
                    Value::Password(_) => Value::Text("[hidden]".to_owned()),
                    other => other.clone(),
                };
                (name, shown)
            });
        f.debug_map().entries(shown).finish()
    }
}

impl ConfigError {
    /// A value that is not allowed.
    #[must_use]
    pub fn invalid(key: &str, value: &str, allowed: impl Into<String>) -> Self {
        Self::of(key, Some(value.to_owned()), allowed.into())
    }

    /// A value that is missing.
    #[must_use]
    pub fn missing(key: &str, allowed: impl Into<String>) -> Self {
        Self::of(key, None, allowed.into())
    }

    /// A value, which is not shown, with a problem that says it all.
    #[must_use]
    pub fn wrong(key: &str, problem: impl Into<String>) -> Self {
        let mut error = Self::of(key, None, problem.into());
        error.problems[0].is_told_in_full = true;
        error
    }

    fn of(key: &str, value: Option<String>, allowed: String) -> Self {
        let key = key.to_owned();
        Self { problems: vec![ConfigProblem { key, value, allowed, is_told_in_full: false }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            let ConfigProblem { key, value, allowed, is_told_in_full } = problem;
            match value {
                None if *is_told_in_full => write!(f, "{key}: {allowed}")?,
                Some(value) => write!(f, "{key} is {value:?}, and must be {allowed}")?,
                None => write!(f, "{key} must be given: {allowed}")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// The name that takes the fewest edits to come from `given`, the first one of several.
fn nearest(given: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    names
        .map(|name| (edits(given, name), name))
        .filter(|&(edits, name)| edits <= EDITS_MAX && edits * 3 <= name.len())
        .min()
        .map(|(_, name)| name)
}

/// Levenshtein's distance, by the row.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, left) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = index + 1;
        for (column, right) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(left != *right);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
