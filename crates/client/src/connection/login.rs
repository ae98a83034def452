//! Logging in by SASL: which requests follow one another, without a socket.
//!
//! ```text
//! SaslHandshake (the mechanism) → SaslAuthenticate (the first message) → SaslAuthenticate … → in
//! ```
//! The same on a new connection, and again on one whose session is about to end (KIP-368).

use super::BrokerVersions;
use crate::config::ServerAddress;
use crate::error::Error;
use afluente_auth::sasl::{Conversation, Credentials};
use afluente_env::rng::Rng;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::frame::{read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::messages::sasl_authenticate_request::SaslAuthenticateRequest;
use afluente_protocol::messages::sasl_handshake_request::SaslHandshakeRequest;
use afluente_protocol::reader::Reader;
use afluente_protocol::rope::Records;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// The id of every request of a log-in: one is on its way at a time.
pub(super) const LOGIN_CORRELATION_ID: i32 = 15;

/// No log-in takes more messages.
const MESSAGES_MAX: u32 = 8;

/// The version of `SaslHandshake` from which on `SaslAuthenticate` follows.
const HANDSHAKE_VERSION: i16 = 1;

/// Bytes of a SCRAM nonce before it is written out.
const NONCE_BYTES: usize = 24;

/// A log-in that has begun.
#[derive(Debug)]
pub(super) struct LoggingIn {
    address: ServerAddress,
    client_id: Arc<str>,
    mechanism: &'static str,
    conversation: Conversation,
    /// The first message, until the broker has agreed to the mechanism.
    first_message: Option<Vec<u8>>,
    authenticate_version: i16,
    messages: u32,
}

/// What comes next.
#[derive(Debug)]
pub(super) enum Next {
    /// This is to be sent.
    Send(Records),
    /// The client is in; for how long, if not for good.
    In(Option<Duration>),
}

impl LoggingIn {
    /// Begins, and gives the first request.
    pub(super) fn begin(
        address: &ServerAddress,
        client_id: &Arc<str>,
        versions: &BrokerVersions,
        credentials: &Credentials,
        rng: &Rng,
    ) -> Result<(Self, Records), Error> {
        let mechanism = credentials.mechanism().name();
        let of = |key: ApiKey| {
            versions.common(key, i16::MAX).ok_or_else(|| Error::UnsupportedVersion {
                address: address.clone(),
                api: key,
                offered: versions.offered(key),
            })
        };
        let authenticate_version = of(ApiKey::SaslAuthenticate)?;
        of(ApiKey::SaslHandshake)?;
        let begun = Conversation::begin(credentials, nonce(rng));
        let (conversation, first_message) =
            begun.map_err(|error| failed(address, mechanism, error.to_string()))?;
        let login = Self {
            address: address.clone(),
            client_id: Arc::clone(client_id),
            mechanism,
            conversation,
            first_message: Some(first_message),
            authenticate_version,
            messages: 0,
        };
        let handshake = SaslHandshakeRequest { mechanism: mechanism.to_owned() };
        let frame = login.frame(&handshake, HANDSHAKE_VERSION)?;
        Ok((login, frame))
    }

    /// Which API the request on its way is of.
    pub(super) fn api(&self) -> ApiKey {
        match self.first_message {
            Some(_) => ApiKey::SaslHandshake,
            None => ApiKey::SaslAuthenticate,
        }
    }

    /// Takes in the answer to the last request.
    pub(super) fn answered(&mut self, frame: Bytes) -> Result<Next, Error> {
        match self.first_message.take() {
            Some(message) => {
                self.agreed(frame)?;
                self.say(message)
            }
            None => self.judged(frame),
        }
    }

    /// Whether the broker has the mechanism.
    fn agreed(&self, frame: Bytes) -> Result<(), Error> {
        let response = self.decode::<SaslHandshakeRequest>(frame, HANDSHAKE_VERSION)?;
        match ErrorCode::from_i16(response.error_code) {
            Some(ErrorCode::None) => Ok(()),
            Some(ErrorCode::UnsupportedSaslMechanism) => Err(self.failed(format!(
                "the broker does not have this mechanism; it has {} (sasl.mechanism)",
                response.mechanisms.join(", ")
            ))),
            Some(ErrorCode::IllegalSaslState) => Err(self.failed(
                "the broker does not expect SASL on this port (security.protocol)".to_owned(),
            )),
            _ => Err(self.failed(code_text(response.error_code))),
        }
    }

    fn judged(&mut self, frame: Bytes) -> Result<Next, Error> {
        let response = self.decode::<SaslAuthenticateRequest>(frame, self.authenticate_version)?;
        if response.error_code != 0 {
            let said = response.error_message.filter(|message| !message.is_empty());
            return Err(self.failed(said.unwrap_or_else(|| code_text(response.error_code))));
        }
        let answered = self.conversation.answer(&response.auth_bytes);
        match answered.map_err(|error| self.failed(error.to_string()))? {
            Some(message) => self.say(message),
            None => {
                let lifetime_ms = u64::try_from(response.session_lifetime_ms).unwrap_or(0);
                let lifetime = (lifetime_ms > 0).then(|| Duration::from_millis(lifetime_ms));
                Ok(Next::In(lifetime))
            }
        }
    }

    fn say(&mut self, message: Vec<u8>) -> Result<Next, Error> {
        self.messages += 1;
        if self.messages > MESSAGES_MAX {
            return Err(self.failed("the broker goes on asking".to_owned()));
        }
        let request = SaslAuthenticateRequest { auth_bytes: message.into() };
        self.frame(&request, self.authenticate_version).map(Next::Send)
    }

    fn frame<R: Request>(&self, request: &R, version: i16) -> Result<Records, Error> {
        request_frame(request, version, LOGIN_CORRELATION_ID, Some(&self.client_id)).map_err(
            |problem| Error::CannotSay {
                address: self.address.clone(),
                api: R::KEY,
                version,
                problem,
            },
        )
    }

    fn decode<R: Request>(&self, frame: Bytes, version: i16) -> Result<R::Response, Error> {
        let mut reader = Reader::new(frame);
        read_response_header(&mut reader, R::KEY, version)
            .and_then(|_| R::Response::decode(&mut reader, version))
            .map_err(|problem| Error::Unreadable {
                address: self.address.clone(),
                api: R::KEY,
                problem,
            })
    }

    fn failed(&self, problem: String) -> Error {
        failed(&self.address, self.mechanism, problem)
    }
}

pub(super) fn failed(address: &ServerAddress, mechanism: &'static str, problem: String) -> Error {
    Error::Authentication { address: address.clone(), mechanism: Some(mechanism), problem }
}

fn code_text(code: i16) -> String {
    match ErrorCode::from_i16(code) {
        Some(code) => format!("the broker says {code}"),
        None => format!("the broker says error code {code}"),
    }
}

/// Letters and digits that nobody can guess.
fn nonce(rng: &Rng) -> String {
    let mut bytes = [0; NONCE_BYTES];
    rng.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
