//! A configuration value that was read and checked.

use std::fmt;

/// The value of a key.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing given and no default.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// 16 bits.
    Short(i16),
    /// 32 bits.
    Int(i32),
    /// 64 bits.
    Long(i64),
    /// A floating-point number.
    Double(f64),
    /// Text, or the name of a class.
    Text(String),
    /// Texts in their order.
    List(Vec<String>),
    /// Text that is never shown.
    Password(String),
}

/// As it is written in a file, and as DescribeConfigs shows it. A password shows as `[hidden]`.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Boolean(value) => value.fmt(f),
            Self::Short(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Long(value) => value.fmt(f),
            // Java writes this one in its own way, and clients compare texts.
            Self::Double(value) if *value == f64::MAX => f.write_str("1.7976931348623157E308"),
            Self::Double(value) => write!(f, "{value:?}"),
            Self::Text(value) => value.fmt(f),
            Self::List(items) => f.write_str(&items.join(",")),
            Self::Password(_) => f.write_str("[hidden]"),
        }
    }
}
