//! What a configuration key is: its name, the kind of its values, its default, what it does here.

use super::values::Value;
use std::fmt;

/// One configuration key.
#[derive(Debug, Clone, Copy)]
pub struct Key {
    /// Kafka's name.
    pub name: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// The value when nobody gives one, as text; `None` is Kafka's `null`.
    pub default: Option<&'static str>,
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
    Double,
    /// Text.
    Text(Allowed),
    /// Texts, separated by commas.
    List,
    /// The name of a Java class, or of what stands in its place here.
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
    /// From the first number to the second, or the third: for levels with a default of their own.
    BetweenOr(i64, i64, i64),
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// One of these words, in capitals or not.
    OneOfAnyCase(&'static [&'static str]),
}

/// Whether a key does something here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It does what it says.
    Applied,
    /// It is checked, and what it is for is not there.
    NotYet,
    /// It is for the Java virtual machine or for Java plug-ins: taken, and without effect.
    JvmOnly,
}

/// A row of a table, in the order of the fields.
#[must_use]
pub const fn row(
    name: &'static str,
    kind: Kind,
    default: Option<&'static str>,
    effect: Effect,
    doc: &'static str,
) -> Key {
    Key { name, kind, default, effect, doc }
}

impl Key {
    /// Reads a value as Kafka does: blanks around it do not count.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(&self, text: &str) -> Result<Value, String> {
        let text = text.trim();
        let number = |min: i64, max: i64| {
            text.parse::<i64>()
                .ok()
                .filter(|number| (min..=max).contains(number) && self.kind.allowed().takes(*number))
                .map(Value::Number)
        };
        let value = match self.kind {
            Kind::Boolean if text.eq_ignore_ascii_case("true") => Some(Value::Boolean(true)),
            Kind::Boolean if text.eq_ignore_ascii_case("false") => Some(Value::Boolean(false)),
            Kind::Boolean => None,
            Kind::Short(_) => number(i16::MIN.into(), i16::MAX.into()),
            Kind::Int(_) => number(i32::MIN.into(), i32::MAX.into()),
            Kind::Long(_) => number(i64::MIN, i64::MAX),
            Kind::Double => text.parse().ok().filter(|n: &f64| n.is_finite()).map(Value::Double),
            Kind::Text(allowed) => allowed.takes_text(text).then(|| Value::Text(text.to_owned())),
            Kind::Class => Some(Value::Text(text.to_owned())),
            Kind::List if text.is_empty() => Some(Value::List(Vec::new())),
            Kind::List => {
                Some(Value::List(text.split(',').map(|item| item.trim().to_owned()).collect()))
            }
            Kind::Password => Some(Value::Password(text.to_owned())),
        };
        value.ok_or_else(|| self.kind.to_string())
    }

    /// The default, as a value.
    ///
    /// # Panics
    /// If the table has a default that its own row does not allow.
    #[must_use]
    pub fn default_value(&self) -> Value {
        self.default.map_or(Value::Null, |text| {
            self.parse(text).expect("a test parses every default of the table")
        })
    }
}

impl Kind {
    fn allowed(&self) -> Allowed {
        match *self {
            Self::Short(allowed)
            | Self::Int(allowed)
            | Self::Long(allowed)
            | Self::Text(allowed) => allowed,
            _ => Allowed::Anything,
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
            Self::Double => "double",
            Self::Text(_) => "string",
            Self::List => "list",
            Self::Class => "class",
            Self::Password => "password",
        }
    }
}

/// What is allowed, as the end of a sentence: `an int, 1 or more`.
impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (first, last) = match self {
            Self::Short(_) => (i64::from(i16::MIN), i64::from(i16::MAX)),
            Self::Int(_) => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        match (self, self.allowed()) {
            (Self::Boolean, _) => f.write_str("true or false"),
            (Self::Double, _) => f.write_str("a number"),
            (Self::List, _) => f.write_str("texts separated by commas"),
            (Self::Class | Self::Password | Self::Text(Allowed::Anything), _) => {
                f.write_str("a text")
            }
            (_, Allowed::Anything) => write!(f, "a whole number from {first} to {last}"),
            (_, Allowed::AtLeast(min)) => write!(f, "a whole number from {min} to {last}"),
            (_, Allowed::Between(min, max)) => write!(f, "a whole number from {min} to {max}"),
            (_, Allowed::BetweenOr(min, max, other)) => {
                write!(f, "a whole number from {min} to {max}, or {other}")
            }
            (_, Allowed::OneOf(words) | Allowed::OneOfAnyCase(words)) => {
                write!(f, "one of {}", words.join(", "))
            }
        }
    }
}

impl Allowed {
    fn takes(self, number: i64) -> bool {
        match self {
            Self::AtLeast(min) => number >= min,
            Self::Between(min, max) => (min..=max).contains(&number),
            Self::BetweenOr(min, max, other) => (min..=max).contains(&number) || number == other,
            Self::Anything | Self::OneOf(_) | Self::OneOfAnyCase(_) => true,
        }
    }

    fn takes_text(self, text: &str) -> bool {
        match self {
            Self::OneOf(words) => words.contains(&text),
            Self::OneOfAnyCase(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text)),
            _ => true,
        }
    }
}
