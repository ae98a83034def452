//! The text of `sasl.jaas.config`: one login module with its options.
//!
//! ```text
//! Class flag key="value" key=value …;
//! ```
//!
//! It is read as Kafka reads it: words and quoted texts, comments as in Java, and one module only.
//! The class is a name like any other here; what counts are the options.

use crate::error::AuthError;
use std::collections::BTreeMap;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// A login module.
#[derive(Clone, PartialEq, Eq)]
pub struct LoginModule {
    /// The Java class.
    pub class: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
}

/// The control flags of JAAS; with one module they mean the same.
const FLAGS: [&str; 4] = ["REQUIRED", "REQUISITE", "SUFFICIENT", "OPTIONAL"];

impl LoginModule {
    /// Reads the one module of `text`.
    ///
    /// # Errors
    /// [`AuthError::Jaas`], which shows no option.
    pub fn parse(text: &str) -> Result<Self, AuthError> {
        let mut tokens = Tokens { chars: text.chars().peekable() };
        let word = |token: Option<Token>, missing: &str| match token {
            Some(Token::Text(word)) => Ok(word),
            _ => Err(wrong(missing)),
        };
        let class = word(tokens.next()?, "there is no login module")?;
        let flag = word(tokens.next()?, "the flag behind the class is missing, such as required")?;
        if !FLAGS.iter().any(|known| known.eq_ignore_ascii_case(&flag)) {
            return Err(wrong(
                "the word behind the class is none of required, requisite, \
                              sufficient, optional",
            ));
        }
        let mut options = BTreeMap::new();
        loop {
            let key = match tokens.next()? {
                Some(Token::Sign(';')) => break,
                Some(Token::Text(key)) => key,
                Some(Token::Sign(sign)) => {
                    return Err(wrong(format!("there is a {sign:?} where an option should begin")));
                }
                None => return Err(wrong("the semicolon at the end is missing")),
            };
            if tokens.next()? != Some(Token::Sign('=')) {
                return Err(wrong(format!("option {key} has no value")));
            }
            let Some(Token::Text(value)) = tokens.next()? else {
                return Err(wrong(format!("option {key} has no value")));
            };
            options.insert(key, value);
        }
        if tokens.next()?.is_some() {
            return Err(wrong("there is more than one login module"));
        }
        Ok(Self { class, options })
    }
}

/// Without the values of the options, which are secrets.
impl fmt::Debug for LoginModule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<&String> = self.options.keys().collect();
        f.debug_struct("LoginModule").field("class", &self.class).field("options", &keys).finish()
    }
}

fn wrong(problem: impl Into<String>) -> AuthError {
    AuthError::Jaas(problem.into())
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    /// A word, or what was in quotes.
    Text(String),
    Sign(char),
}

struct Tokens<'a> {
    chars: Peekable<Chars<'a>>,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Option<Token>, AuthError> {
        loop {
            let Some(first) = self.chars.next() else { return Ok(None) };
            match first {
                _ if first.is_whitespace() || first.is_control() => {}
                '/' if self.chars.peek() == Some(&'/') => {
                    while self.chars.next().is_some_and(|one| one != '\n') {}
                }
                '/' if self.chars.peek() == Some(&'*') => self.skip_comment()?,
                '"' | '\'' => return self.quoted(first).map(|text| Some(Token::Text(text))),
                _ if is_word(first) => {
                    let mut word = String::from(first);
                    while let Some(next) = self.chars.next_if(|&next| is_word(next)) {
                        word.push(next);
                    }
                    return Ok(Some(Token::Text(word)));
                }
                sign => return Ok(Some(Token::Sign(sign))),
            }
        }
    }

    fn skip_comment(&mut self) -> Result<(), AuthError> {
        self.chars.next();
        let mut before = ' ';
        for one in self.chars.by_ref() {
            if (before, one) == ('*', '/') {
                return Ok(());
            }
            before = one;
        }
        Err(wrong("a comment does not end"))
    }

    /// What is in quotes; a backslash escapes as in Java.
    fn quoted(&mut self, quote: char) -> Result<String, AuthError> {
        let mut text = String::new();
        while let Some(one) = self.chars.next() {
            match one {
                _ if one == quote => return Ok(text),
                '\n' | '\r' => break,
                '\\' => match self.chars.next() {
                    Some('n') => text.push('\n'),
                    Some('r') => text.push('\r'),
                    Some('t') => text.push('\t'),
                    Some('b') => text.push('\u{8}'),
                    Some('f') => text.push('\u{c}'),
                    Some(digit @ '0'..='7') => text.push(self.octal(digit)),
                    Some(other) => text.push(other),
                    None => break,
                },
                _ => text.push(one),
            }
        }
        Err(wrong("a quoted text does not end"))
    }

    /// Up to three octal digits, no more than `\377`.
    fn octal(&mut self, first: char) -> char {
        let digits_max = if first <= '3' { 3 } else { 2 };
        let mut value = first.to_digit(8).unwrap_or(0);
        for _ in 1..digits_max {
            let Some(next) = self.chars.next_if(|next| next.is_digit(8)) else { break };
            value = value * 8 + next.to_digit(8).unwrap_or(0);
        }
        char::from_u32(value).expect("no more than 255")
    }
}

fn is_word(one: char) -> bool {
    one.is_alphanumeric() || matches!(one, '_' | '-' | '$' | '.') || one >= '\u{a0}'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_read_with_its_options() {
        let check = |text: &str, expected: &[(&str, &str)]| {
            let module = LoginModule::parse(text).unwrap();
            let options: Vec<_> =
                module.options.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
            assert_eq!(options, expected, "{text}");
        };
        check("a.b.C required;", &[]);
        check(
            "org.apache.kafka.common.security.plain.PlainLoginModule required \
             username=\"alice\" password=\"a b;c='\\\"\\\\d\\t\\101\";",
            &[("password", "a b;c='\"\\d\tA"), ("username", "alice")],
        );
        check(
            "C\n Optional // why\n a = b /* x\n */ c_d-e='f g' n=12;\n",
            &[("a", "b"), ("c_d-e", "f g"), ("n", "12")],
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_no_secret_shown() {
        let check = |text: &str, expected: &str| {
            let error = LoginModule::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        };
        check("", "no login module");
        check("C", "flag behind the class");
        check("C username=\"a\";", "none of required");
        check("C required password=\"secret\"", "semicolon");
        check("C required password=\"secret;", "does not end");
        check("C required password;", "option password has no value");
        check("C required password=;", "option password has no value");
        check("C required =a;", "where an option should begin");
        check("C required; D required;", "more than one");
        check("C required /* a", "comment");
        let module = LoginModule::parse("C required password=\"secret\";").unwrap();
        assert!(!format!("{module:?}").contains("secret"));
    }

    #[test]
    fn any_cut_of_a_good_text_is_an_error() {
        let text = "C required a=\"b\" c=d;";
        for end in 0..text.len() {
            assert!(LoginModule::parse(&text[..end]).is_err(), "{}", &text[..end]);
        }
    }
}
