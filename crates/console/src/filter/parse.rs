//! From text to expression: a hand-written descent, one token ahead.

use super::path::{Path, Root, Step};
use super::{Expr, FILTER_BYTES_MAX, FilterError, Op, Operand};
use regex_lite::Regex;
use serde_json::Value;

/// Parentheses and `!` inside of one another.
const DEPTH_MAX: usize = 64;

/// Parses an expression.
pub(crate) fn parse(text: &str) -> Result<Expr, FilterError> {
    if text.len() > FILTER_BYTES_MAX {
        let message = format!("the expression is longer than {FILTER_BYTES_MAX} bytes");
        return Err(FilterError { message, position: 0 });
    }
    let mut parser = Parser { text, at: 0, depth: 0 };
    let expr = parser.or()?;
    parser.space();
    match parser.rest().chars().next() {
        None => Ok(expr),
        Some(_) => Err(parser.wrong(parser.at, "the expression goes on here without && or ||")),
    }
}

/// Parses a path alone, as panels have them.
pub(crate) fn parse_path(text: &str) -> Result<Path, FilterError> {
    let mut parser = Parser { text, at: 0, depth: 0 };
    parser.space();
    let at = parser.at;
    let word = parser.word();
    let path = parser.path(at, word)?;
    parser.space();
    if parser.rest().is_empty() {
        Ok(path)
    } else {
        Err(parser.wrong(parser.at, "the path ends before this"))
    }
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
    depth: usize,
}

const WORD_OPS: &[(&str, Op)] = &[
    ("in", Op::In),
    ("contains", Op::Contains),
    ("startsWith", Op::StartsWith),
    ("endsWith", Op::EndsWith),
];

const SIGN_OPS: &[(&str, Op)] = &[
    ("==", Op::Equal),
    ("!=", Op::Unequal),
    ("<=", Op::LessOrEqual),
    (">=", Op::GreaterOrEqual),
    ("<", Op::Less),
    (">", Op::Greater),
];

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    /// Takes `token` if it is next.
    fn take(&mut self, token: &str) -> bool {
        self.space();
        let is_next = self.rest().starts_with(token);
        if is_next {
            self.at += token.len();
        }
        is_next
    }

    fn expect(&mut self, token: &str) -> Result<(), FilterError> {
        if self.take(token) {
            Ok(())
        } else {
            Err(self.wrong(self.at, &format!("expected {token} here")))
        }
    }

    fn wrong(&self, at: usize, message: &str) -> FilterError {
        let position = self.text[..at].encode_utf16().count();
        FilterError { message: message.to_owned(), position }
    }

    fn or(&mut self) -> Result<Expr, FilterError> {
        let mut expr = self.and()?;
        while self.take("||") {
            expr = Expr::Or(Box::new(expr), Box::new(self.and()?));
        }
        Ok(expr)
    }

    fn and(&mut self) -> Result<Expr, FilterError> {
        let mut expr = self.not()?;
        while self.take("&&") {
            expr = Expr::And(Box::new(expr), Box::new(self.not()?));
        }
        Ok(expr)
    }

    fn not(&mut self) -> Result<Expr, FilterError> {
        self.space();
        if self.rest().starts_with('!') && !self.rest().starts_with("!=") {
            self.at += 1;
            return self.deeper(|parser| Ok(Expr::Not(Box::new(parser.not()?))));
        }
        if self.take("(") {
            return self.deeper(|parser| {
                let expr = parser.or()?;
                parser.expect(")")?;
                Ok(expr)
            });
        }
        self.comparison()
    }

    fn deeper(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Expr, FilterError>,
    ) -> Result<Expr, FilterError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(self.wrong(self.at, "the expression is nested too deep"));
        }
        let expr = inner(self);
        self.depth -= 1;
        expr
    }

    fn comparison(&mut self) -> Result<Expr, FilterError> {
        let start = self.at;
        if self.word() == "exists" && self.take("(") {
            self.space();
            let at = self.at;
            let word = self.word();
            let path = self.path(at, word)?;
            self.expect(")")?;
            return Ok(Expr::Exists(path));
        }
        self.at = start;
        let one = self.operand()?;
        self.space();
        for (sign, op) in SIGN_OPS {
            if self.take(sign) {
                return Ok(Expr::Compare(one, *op, self.operand()?));
            }
        }
        let before = self.at;
        let word = self.word();
        if word == "matches" {
            return self.matches(one);
        }
        if let Some((_, op)) = WORD_OPS.iter().find(|(name, _)| *name == word) {
            return Ok(Expr::Compare(one, *op, self.operand()?));
        }
        self.at = before;
        Ok(Expr::Truth(one))
    }

    fn matches(&mut self, one: Operand) -> Result<Expr, FilterError> {
        self.space();
        let at = self.at;
        let Operand::Literal(Value::String(pattern)) = self.operand()? else {
            return Err(self.wrong(at, "matches wants a regular expression in quotes"));
        };
        let regex = Regex::new(&pattern)
            .map_err(|error| self.wrong(at, &format!("this is no regular expression: {error}")))?;
        Ok(Expr::Matches(one, regex))
    }

    fn operand(&mut self) -> Result<Operand, FilterError> {
        self.space();
        let at = self.at;
        match self.rest().chars().next() {
            Some('"' | '\'') => self.string().map(Value::from).map(Operand::Literal),
            Some('[') => self.list().map(Operand::Literal),
            Some(first) if first.is_ascii_digit() || first == '-' => {
                self.number().map(Operand::Literal)
            }
            _ => match self.word() {
                "" => Err(self.wrong(at, "expected a name, a number or a text in quotes here")),
                "true" => Ok(Operand::Literal(Value::Bool(true))),
                "false" => Ok(Operand::Literal(Value::Bool(false))),
                "null" => Ok(Operand::Literal(Value::Null)),
                word => self.path(at, word).map(Operand::Path),
            },
        }
    }

    /// Letters, digits and underscores, if any are next.
    fn word(&mut self) -> &'a str {
        self.space();
        let rest = self.rest();
        let end =
            rest.find(|one: char| !(one.is_alphanumeric() || one == '_')).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn path(&mut self, at: usize, word: &str) -> Result<Path, FilterError> {
        let root = match word {
            "key" => Root::Key,
            "value" => Root::Value,
            "partition" => Root::Partition,
            "offset" => Root::Offset,
            "timestamp" => Root::Timestamp,
            "size" => Root::Size,
            "headers" => Root::Header(self.header_name()?),
            _ => {
                let known = "key, value, headers.…, partition, offset, timestamp and size";
                return Err(
                    self.wrong(at, &format!("there is no {word:?}; names begin with {known}"))
                );
            }
        };
        let mut steps = Vec::new();
        if matches!(root, Root::Key | Root::Value) {
            while let Some(step) = self.step()? {
                steps.push(step);
            }
        }
        Ok(Path { root, steps })
    }

    fn header_name(&mut self) -> Result<String, FilterError> {
        match self.step()? {
            Some(Step::Name(name)) => Ok(name),
            _ => {
                Err(self.wrong(self.at, "expected the name of a header here, as in headers.trace"))
            }
        }
    }

    fn step(&mut self) -> Result<Option<Step>, FilterError> {
        if self.rest().starts_with('.') {
            self.at += 1;
            let at = self.at;
            return match self.word() {
                "" => Err(self.wrong(at, "expected a name after the dot")),
                name => Ok(Some(Step::Name(name.to_owned()))),
            };
        }
        if !self.rest().starts_with('[') {
            return Ok(None);
        }
        self.at += 1;
        self.space();
        let at = self.at;
        let step = match self.rest().chars().next() {
            Some('*') => {
                self.at += 1;
                Step::Each
            }
            Some('"' | '\'') => Step::Name(self.string()?),
            _ => {
                let wrong = || "expected a number, * or a name in quotes here";
                let index = self.word().parse().map_err(|_| wrong());
                Step::Index(index.map_err(|message| self.wrong(at, message))?)
            }
        };
        self.expect("]")?;
        Ok(Some(step))
    }

    fn string(&mut self) -> Result<String, FilterError> {
        let start = self.at;
        let mut chars = self.rest().char_indices();
        let quote = chars.next().map(|(_, quote)| quote);
        let mut text = String::new();
        while let Some((at, one)) = chars.next() {
            match one {
                _ if Some(one) == quote => {
                    self.at = start + at + one.len_utf8();
                    return Ok(text);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => text.push('\n'),
                    Some((_, 't')) => text.push('\t'),
                    Some((_, other)) => {
                        // Patterns keep what they mean: \d stays \d.
                        if other != '\\' && Some(other) != quote {
                            text.push('\\');
                        }
                        text.push(other);
                    }
                    None => break,
                },
                _ => text.push(one),
            }
        }
        Err(self.wrong(start, "the text that begins here has no closing quote"))
    }

    fn number(&mut self) -> Result<Value, FilterError> {
        let rest = self.rest();
        let is_part =
            |one: char| one.is_ascii_digit() || matches!(one, '.' | 'e' | 'E' | '+' | '-');
        let end = rest.find(|one| !is_part(one)).unwrap_or(rest.len());
        let number = serde_json::from_str::<serde_json::Number>(&rest[..end]);
        let number = number.map_err(|_| self.wrong(self.at, "this is no number"))?;
        self.at += end;
        Ok(Value::Number(number))
    }

    fn list(&mut self) -> Result<Value, FilterError> {
        self.expect("[")?;
        let mut items = Vec::new();
        while !self.take("]") {
            if !items.is_empty() {
                self.expect(",")?;
            }
            self.space();
            let at = self.at;
            match self.rest().chars().next() {
                Some('[') => return Err(self.wrong(at, "a list has no lists in it")),
                _ => match self.operand()? {
                    Operand::Literal(value) => items.push(value),
                    Operand::Path(_) => {
                        return Err(self.wrong(at, "a list has numbers and texts only"));
                    }
                },
            }
        }
        Ok(Value::Array(items))
    }
}
