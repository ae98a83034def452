//! The filter of messages for programs that look at records without a console.

use crate::filter::{self, Expr, Subject};

/// A parsed filter expression, such as `value.total > 100 && key startsWith "S01"`.
#[derive(Debug, Clone)]
pub struct MessageFilter(Expr);

/// Why an expression is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}, at {position}")]
pub struct MessageFilterError {
    /// What is wrong.
    pub message: String,
    /// Where, in UTF-16 units from the beginning.
    pub position: usize,
}

/// A message, as a filter sees it.
#[derive(Debug, Clone, Copy)]
pub struct MessageParts<'a> {
    /// The partition.
    pub partition: i32,
    /// Where it is there.
    pub offset: i64,
    /// Ms since 1970.
    pub timestamp: i64,
    /// The key.
    pub key: Option<&'a [u8]>,
    /// The value; JSON is looked into.
    pub value: Option<&'a [u8]>,
    /// Keys and values of headers.
    pub headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

impl MessageFilter {
    /// Reads an expression; `docs/console-api.md` says what it may be.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, MessageFilterError> {
        match filter::parse(text) {
            Ok(expression) => Ok(Self(expression)),
            Err(error) => {
                Err(MessageFilterError { message: error.message, position: error.position })
            }
        }
    }

    /// Whether the expression is true of a message.
    #[must_use]
    pub fn admits(&self, message: &MessageParts<'_>) -> bool {
        self.0.is_true(&Subject::new(
            message.partition,
            message.offset,
            message.timestamp,
            message.key,
            message.value,
            message.headers,
        ))
    }
}
