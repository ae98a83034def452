//! What a configuration key is: its name, the kind of its values, its default, what it does here.

use super::value::Value;
use std::fmt;

/// One key of `server.properties`.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// As it is written in the file.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value when nobody gives one, as text; `None` is Kafka's `null`.
    pub default: Option<&'static str>,
    /// How much it matters to an operator.
    pub importance: Importance,
    /// Whether it can be changed while the broker runs.
    pub update: Update,
    /// Whether it does something here.
    pub effect: Effect,
    /// What it is for, in one or two sentences.
    pub doc: &'static str,
}

/// What the values of a key are, with what is allowed of them.
#[derive(Debug, Clone, Copy)]
pub enum Kind {
    /// `true` or `false`.
    Boolean,
    /// 16 bits.
    Short(Allowed),
    /// 32 bits.
    Int(Allowed),
    /// 64 bits.
    Long(Allowed),
    /// A floating-point number.
    Double(Allowed),
    /// Text.
    Text(Allowed),
    /// Texts, separated by commas.
    List(Allowed),
    /// The name of a Java class.
    Class,
    /// Text that is never shown.
    Password,
}

/// What is allowed of a value.
#[derive(Debug, Clone, Copy)]
pub enum Allowed {
    /// Everything of the kind.
    Anything,
    /// A number not below this one.
    AtLeast(i64),
    /// A number from the first to the second, both included.
    Between(i64, i64),
    /// A floating-point number from the first to the second, both included.
    Fraction(f64, f64),
    /// From 1 to 9, or -1 for the library's own default.
    GzipLevel,
    /// Text that is not blank, where there is one.
    NotBlank,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in capitals or not.
    OneOfAnyCase(&'static [&'static str]),
    /// A list of some of these words.
    EachOf(&'static [&'static str]),
}

/// How much a key matters to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Importance {
    /// Look at it first.
    High,
    /// Look at it when tuning.
    Medium,
    /// Rarely looked at.
    Low,
    /// For tests and for Kafka's developers; not shown in descriptions.
    Internal,
}

/// Whether a key can be changed while the broker runs (KIP-226).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Update {
    /// Only with a restart.
    ReadOnly,
    /// For one broker.
    PerBroker,
    /// For one broker, or for all by one default.
    ClusterWide,
}

/// Whether a key does something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Applied,
    /// It is checked and shown, and the part of the broker that it is for is not there yet.
    NotYet,
    /// It is for the Java virtual machine or for Java plug-ins: taken, and without effect.
    JvmOnly,
}

/// A row of the table, in the order of the fields.
pub(super) const fn row(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    importance: Importance,
    update: Update,
    effect: Effect,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, importance, update, effect, doc }
}

impl Key {
    /// Reads a value as Kafka does: blanks around it do not count.
    ///
    /// # Errors
    /// What is wrong with it, in the words of Kafka's own error message.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let value = match self.kind {
            Kind::Boolean => Value::Boolean(parse_boolean(text)?),
            Kind::Short(_) => Value::Short(parse_number(text, "SHORT")?),
            Kind::Int(_) => Value::Int(parse_number(text, "INT")?),
            Kind::Long(_) => Value::Long(parse_number(text, "LONG")?),
            Kind::Double(_) => Value::Double(parse_number(text, "DOUBLE")?),
            Kind::Text(_) | Kind::Class => Value::Text(text.to_owned()),
            Kind::List(_) => Value::List(parse_list(text)),
            Kind::Password => Value::Password(text.to_owned()),
        };
        self.kind.allowed().check(&value)?;
        Ok(value)
    }

    /// The default, as a value.
    #[must_use]
    pub fn default_value(&self) -> Value {
        self.default.map_or(Value::Null, |text| {
            self.parse(text).expect("a test parses every default of the table")
        })
    }

    /// Whether values are to be hidden.
    #[must_use]
    pub fn is_sensitive(&self) -> bool {
        matches!(self.kind, Kind::Password)
    }
}

impl Kind {
    /// What is allowed of a value of this kind.
    #[must_use]
    pub fn allowed(&self) -> Allowed {
        match *self {
            Self::Short(allowed)
            | Self::Int(allowed)
            | Self::Long(allowed)
            | Self::Double(allowed)
            | Self::Text(allowed)
            | Self::List(allowed) => allowed,
            Self::Boolean | Self::Class | Self::Password => Allowed::Anything,
        }
    }

    /// The name that Kafka's documentation gives to it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Boolean => "boolean",
            Self::Short(_) => "short",
            Self::Int(_) => "int",
            Self::Long(_) => "long",
            Self::Double(_) => "double",
            Self::Text(_) => "string",
            Self::List(_) => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

impl Allowed {
    fn check(self, value: &Value) -> Result<(), String> {
        match self {
            Self::Anything => Ok(()),
            Self::AtLeast(min) => between(value, min, i64::MAX),
            Self::Between(min, max) => between(value, min, max),
            Self::Fraction(min, max) => match value {
                Value::Double(number) if *number < min => {
                    Err(format!("Value must be at least {min}"))
                }
                Value::Double(number) if *number > max => {
                    Err(format!("Value must be no more than {max}"))
                }
                _ => Ok(()),
            },
            Self::GzipLevel => match value {
                Value::Int(-1 | 1..=9) => Ok(()),
                _ => Err("Value must be between 1 and 9 or equal to -1".to_owned()),
            },
            Self::NotBlank => match value {
                Value::Text(text) if text.is_empty() => Err("String must be non-empty".to_owned()),
                _ => Ok(()),
            },
            Self::OneOf(words) => match value {
                Value::Text(text) if !words.contains(&text.as_str()) => {
                    Err(format!("String must be one of: {}", words.join(", ")))
                }
                _ => Ok(()),
            },
            Self::OneOfAnyCase(words) => match value {
                Value::Text(text) if !words.iter().any(|word| word.eq_ignore_ascii_case(text)) => {
                    Err(format!("String must be one of (case insensitive): {}", words.join(", ")))
                }
                _ => Ok(()),
            },
            Self::EachOf(words) => match value {
                Value::List(items) if !items.iter().all(|item| words.contains(&item.as_str())) => {
                    Err(format!("String must be one of: {}", words.join(", ")))
                }
                _ => Ok(()),
            },
        }
    }
}

/// What is allowed, for documentation: empty when everything is.
impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anything => Ok(()),
            Self::AtLeast(min) => write!(f, "{min} or more"),
            Self::Between(min, max) => write!(f, "{min} to {max}"),
            Self::Fraction(min, max) => write!(f, "{min} to {max}"),
            Self::GzipLevel => f.write_str("1 to 9, or -1"),
            Self::NotBlank => f.write_str("not blank"),
            Self::OneOf(words) | Self::OneOfAnyCase(words) => f.write_str(&words.join(", ")),
            Self::EachOf(words) => write!(f, "some of {}", words.join(", ")),
        }
    }
}

fn between(value: &Value, min: i64, max: i64) -> Result<(), String> {
    let number = match value {
        Value::Short(number) => i64::from(*number),
        Value::Int(number) => i64::from(*number),
        Value::Long(number) => *number,
        _ => return Ok(()),
    };
    if number < min {
        return Err(format!("Value must be at least {min}"));
    }
    if number > max {
        return Err(format!("Value must be no more than {max}"));
    }
    Ok(())
}

fn parse_boolean(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("true") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("false") {
        Ok(false)
    } else {
        Err("Expected value to be either true or false".to_owned())
    }
}

fn parse_number<N: std::str::FromStr>(text: &str, kind: &str) -> Result<N, String> {
    text.parse().map_err(|_| format!("Not a number of type {kind}"))
}

fn parse_list(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    text.split(',').map(|item| item.trim().to_owned()).collect()
}
