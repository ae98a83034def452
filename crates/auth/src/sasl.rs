//! What a client says to log in, message by message: PLAIN (RFC 4616), SCRAM (RFC 5802, RFC 7677)
//! and OAUTHBEARER (RFC 7628, KIP-255).
//!
//! ```text
//! (conversation, first message) = Conversation::begin(credentials, nonce)
//! conversation.answer(challenge) = another message, or nothing more to say
//! ```
//! Whether the broker lets the client in is in the error code of its answer; a conversation that has
//! not ended by then was cut short, and is not to be trusted ([`Conversation::is_done`]).

use crate::error::AuthError;
use crate::scram::{ITERATIONS_MAX, ITERATIONS_MIN, ScramHash};
use crate::token::Token;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt;
use std::str::FromStr;

/// How to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// `PLAIN`: the password as it is.
    Plain,
    /// `SCRAM-SHA-256` and `SCRAM-SHA-512`: both sides prove that they know the password.
    Scram(ScramHash),
    /// `OAUTHBEARER`: a token of somebody whom the broker trusts.
    OAuthBearer,
}

/// With what to log in.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// For PLAIN.
    Plain {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// For SCRAM.
    Scram {
        /// How to hash.
        hash: ScramHash,
        /// The name; of a delegation token, its id.
        username: String,
        /// The password; of a delegation token, its HMAC.
        password: String,
        /// Whether these are a delegation token's (KIP-48).
        is_delegation_token: bool,
    },
    /// For OAUTHBEARER.
    OAuthBearer(Token),
}

/// A log-in that has begun.
pub struct Conversation(State);

enum State {
    /// The broker has nothing to say any more.
    Plain,
    ScramFirst {
        hash: ScramHash,
        password: String,
        nonce: String,
        first_bare: String,
    },
    ScramFinal {
        hash: ScramHash,
        server_signature: Vec<u8>,
    },
    OAuthBearer,
    /// The broker gave a reason, and the client has to say that it heard it.
    OAuthBearerRefused,
    Done,
}

impl Mechanism {
    /// Its name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(hash) => hash.mechanism(),
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }
}

impl FromStr for Mechanism {
    type Err = AuthError;

    fn from_str(name: &str) -> Result<Self, AuthError> {
        Ok(match name {
            "PLAIN" => Self::Plain,
            "SCRAM-SHA-256" => Self::Scram(ScramHash::Sha256),
            "SCRAM-SHA-512" => Self::Scram(ScramHash::Sha512),
            "OAUTHBEARER" => Self::OAuthBearer,
            other => return Err(AuthError::UnknownMechanism(other.to_owned())),
        })
    }
}

impl Credentials {
    /// What they are for.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        match self {
            Self::Plain { .. } => Mechanism::Plain,
            Self::Scram { hash, .. } => Mechanism::Scram(*hash),
            Self::OAuthBearer(_) => Mechanism::OAuthBearer,
        }
    }
}

/// Without secrets.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({})", self.mechanism().name())
    }
}

impl fmt::Debug for Conversation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversation").field("is_done", &self.is_done()).finish()
    }
}

impl Conversation {
    /// Begins, and gives the first message. `nonce` is for SCRAM: printable, without a comma, and
    /// never the same twice.
    ///
    /// # Errors
    /// [`AuthError::Token`] for a token that would break the form of the message.
    pub fn begin(credentials: &Credentials, nonce: String) -> Result<(Self, Vec<u8>), AuthError> {
        Ok(match credentials {
            Credentials::Plain { username, password } => {
                (Self(State::Plain), format!("\0{username}\0{password}").into_bytes())
            }
            Credentials::Scram { hash, username, password, is_delegation_token } => {
                let name = username.replace('=', "=3D").replace(',', "=2C");
                let extension = if *is_delegation_token { ",tokenauth=true" } else { "" };
                let first_bare = format!("n={name},r={nonce}{extension}");
                let message = format!("n,,{first_bare}").into_bytes();
                let (hash, password) = (*hash, password.clone());
                (Self(State::ScramFirst { hash, password, nonce, first_bare }), message)
            }
            Credentials::OAuthBearer(token) => {
                (Self(State::OAuthBearer), oauth_message(token)?.into_bytes())
            }
        })
    }

    /// Takes in what the broker says; gives what to answer, or `None` if there is nothing to say.
    ///
    /// # Errors
    /// Why the broker is not to be trusted, or refuses.
    pub fn answer(&mut self, challenge: &[u8]) -> Result<Option<Vec<u8>>, AuthError> {
        let (next, message) = match std::mem::replace(&mut self.0, State::Done) {
            State::Plain => (State::Done, None),
            State::ScramFirst { hash, password, nonce, first_bare } => {
                let (message, server_signature) =
                    scram_final(hash, &password, &nonce, &first_bare, challenge)?;
                (State::ScramFinal { hash, server_signature }, Some(message))
            }
            State::ScramFinal { hash, server_signature } => {
                check_server(hash, &server_signature, challenge)?;
                (State::Done, None)
            }
            State::OAuthBearer if challenge.is_empty() => (State::Done, None),
            // RFC 7628, 3.2.3: the reason comes first, the refusal after this answer.
            State::OAuthBearer => (State::OAuthBearerRefused, Some(vec![1])),
            State::OAuthBearerRefused | State::Done => {
                return Err(AuthError::Unexpected {
                    mechanism: "SASL",
                    message: "message",
                    problem: "the log-in was over".to_owned(),
                });
            }
        };
        self.0 = next;
        Ok(message)
    }

    /// Whether everything was said that the mechanism asks for.
    #[must_use]
    pub fn is_done(&self) -> bool {
        matches!(self.0, State::Done)
    }
}

/// The client's last message, and what the broker has to prove then.
fn scram_final(
    hash: ScramHash,
    password: &str,
    nonce: &str,
    first_bare: &str,
    challenge: &[u8],
) -> Result<(Vec<u8>, Vec<u8>), AuthError> {
    let wrong = |problem: &str| AuthError::Unexpected {
        mechanism: hash.mechanism(),
        message: "first message",
        problem: problem.to_owned(),
    };
    let server_first = std::str::from_utf8(challenge).map_err(|_| wrong("it is no text"))?;
    if let Some(reason) = server_first.strip_prefix("e=") {
        return Err(AuthError::Refused(reason.to_owned()));
    }
    let mut parts = server_first.split(',');
    let mut part = |name: &str| parts.next().and_then(|part| part.strip_prefix(name));
    let server_nonce = part("r=").ok_or_else(|| wrong("it has no nonce"))?;
    if !server_nonce.starts_with(nonce) || server_nonce.len() == nonce.len() {
        return Err(wrong("its nonce does not go on from the client's"));
    }
    let salt = part("s=").and_then(|salt| STANDARD.decode(salt).ok());
    let salt = salt.filter(|salt| !salt.is_empty()).ok_or_else(|| wrong("it has no salt"))?;
    let iterations: u32 = part("i=")
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| wrong("it has no iterations"))?;
    if !(ITERATIONS_MIN..=ITERATIONS_MAX).contains(&iterations) {
        return Err(wrong(&format!(
            "{iterations} iterations are not between {ITERATIONS_MIN} and {ITERATIONS_MAX}"
        )));
    }
    let salted = hash.salted_password(password.as_bytes(), &salt, iterations);
    // `biws` is `n,,` in base64: no channel is bound.
    let final_bare = format!("c=biws,r={server_nonce}");
    let auth_message = format!("{first_bare},{server_first},{final_bare}");
    let proof = hash.client_proof(&hash.client_key(&salted), auth_message.as_bytes());
    let signature = hash.server_signature(&hash.server_key(&salted), auth_message.as_bytes());
    let message = format!("{final_bare},p={}", STANDARD.encode(proof));
    Ok((message.into_bytes(), signature))
}

fn check_server(hash: ScramHash, expected: &[u8], challenge: &[u8]) -> Result<(), AuthError> {
    let wrong = |problem: &str| AuthError::Unexpected {
        mechanism: hash.mechanism(),
        message: "last message",
        problem: problem.to_owned(),
    };
    let text = std::str::from_utf8(challenge).map_err(|_| wrong("it is no text"))?;
    if let Some(reason) = text.strip_prefix("e=") {
        return Err(AuthError::Refused(reason.to_owned()));
    }
    let verifier = text.strip_prefix("v=").and_then(|rest| rest.split(',').next());
    let signature = verifier.and_then(|text| STANDARD.decode(text).ok());
    match signature {
        Some(signature) if signature == expected => Ok(()),
        Some(_) => Err(AuthError::ServerSignature),
        None => Err(wrong("it has no signature")),
    }
}

fn oauth_message(token: &Token) -> Result<String, AuthError> {
    let refuse = |problem: String| Err(AuthError::Token(problem));
    let is_graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if token.value.is_empty() || !is_graphic(&token.value) {
        return refuse("it is empty, or has blanks or signs that tokens do not have".to_owned());
    }
    let mut message = format!("n,,\u{1}auth=Bearer {}\u{1}", token.value);
    for (key, value) in &token.extensions {
        let is_value = |c: char| c.is_ascii_graphic() || matches!(c, ' ' | '\t' | '\r' | '\n');
        if key == "auth" || key.is_empty() || !key.chars().all(|c| c.is_ascii_alphabetic()) {
            return refuse(format!("an extension cannot be called {key:?}: letters alone"));
        }
        if !value.chars().all(is_value) {
            return refuse(format!("extension {key} has signs that are not allowed"));
        }
        message.push_str(&format!("{key}={value}\u{1}"));
    }
    message.push('\u{1}');
    Ok(message)
}

#[cfg(test)]
mod tests;
