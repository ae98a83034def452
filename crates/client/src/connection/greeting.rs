//! The first words on a connection, one request at a time: which versions the broker speaks, and who
//! the client is.

use super::login::{LOGIN_CORRELATION_ID, LoggingIn, Next};
use super::{BrokerVersions, secure};
use crate::config::ServerAddress;
use crate::error::Error;
use afluente_protocol::api_key::ApiKey;
use afluente_protocol::error_code::ErrorCode;
use afluente_protocol::frame::{SIZE_LEN, check_size, read_response_header, request_frame};
use afluente_protocol::message::{Message, Request};
use afluente_protocol::messages::api_versions_request::ApiVersionsRequest;
use afluente_protocol::reader::Reader;
use afluente_protocol::rope::Records;
use bytes::{Bytes, BytesMut};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The version of `ApiVersions` to begin with: the newest that no id of cluster or node is needed
/// for.
const FIRST_VERSION: i16 = 4;

/// No answer to a greeting is larger.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Asks for the versions; an older broker says which version of the question it understands.
pub(super) async fn greet<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: &ServerAddress,
    client_id: &str,
) -> Result<BrokerVersions, Error> {
    let request = ApiVersionsRequest {
        client_software_name: "afluente".to_owned(),
        client_software_version: env!("CARGO_PKG_VERSION").to_owned(),
        ..Default::default()
    };
    let mut version = FIRST_VERSION;
    let mut correlation_id = 0;
    loop {
        let sent = request_frame(&request, version, correlation_id, Some(client_id));
        let sent = sent.map_err(|problem| Error::CannotSay {
            address: address.clone(),
            api: ApiKey::ApiVersions,
            version,
            problem,
        })?;
        let frame = exchange(stream, address, ApiKey::ApiVersions, sent, correlation_id).await?;
        // A broker that does not know the version answers in version 0.
        let mut answer = decode::<ApiVersionsRequest>(frame.clone(), version);
        if !matches!(&answer, Ok(response) if response.error_code == 0) {
            let fallback = decode::<ApiVersionsRequest>(frame, 0);
            if let Ok(response) = fallback {
                if response.error_code == ErrorCode::UnsupportedVersion.code() && version > 0 {
                    version = BrokerVersions::new(&response)
                        .offered(ApiKey::ApiVersions)
                        .map_or(0, |(_, last)| last.clamp(0, version - 1));
                    correlation_id += 1;
                    continue;
                }
                answer = Ok(response);
            }
        }
        let response = answer.map_err(|problem| Error::Unreadable {
            address: address.clone(),
            api: ApiKey::ApiVersions,
            problem,
        })?;
        Error::check(response.error_code, None, || format!("ApiVersions of {address}"))?;
        return Ok(BrokerVersions::new(&response));
    }
}

fn decode<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<R::Response, afluente_protocol::message::DecodeError> {
    let mut reader = Reader::new(frame);
    read_response_header(&mut reader, R::KEY, version)?;
    R::Response::decode(&mut reader, version)
}

/// Logs in; gives for how long, if not for good.
pub(super) async fn log_in<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    (mut login, mut frame): (LoggingIn, Records),
    address: &ServerAddress,
) -> Result<Option<Duration>, Error> {
    loop {
        let answer = exchange(stream, address, login.api(), frame, LOGIN_CORRELATION_ID).await?;
        match login.answered(answer)? {
            Next::Send(next) => frame = next,
            Next::In(lifetime) => return Ok(lifetime),
        }
    }
}

/// Sends one request and reads the frame that answers it.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    address: &ServerAddress,
    api: ApiKey,
    frame: Records,
    correlation_id: i32,
) -> Result<Bytes, Error> {
    let ended = |error: io::Error| {
        // A broker refuses a client's certificate behind the handshake, with the first answer.
        if let Some(refusal) = secure::refusal(address, &error) {
            return refusal;
        }
        Error::Disconnected {
            address: address.clone(),
            api,
            problem: match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    "; check that the port is one for Kafka clients, and whether it expects TLS or \
                     SASL (security.protocol)"
                        .to_owned()
                }
                _ => format!(": {error}"),
            },
        }
    };
    stream.write_all(&frame.into_bytes()).await.map_err(ended)?;
    stream.flush().await.map_err(ended)?;
    let mut prefix = [0; SIZE_LEN];
    stream.read_exact(&mut prefix).await.map_err(ended)?;
    let size = check_size(prefix, ANSWER_BYTES_MAX).map_err(|_| Error::Garbled {
        address: address.clone(),
        problem: describe_prefix(prefix),
    })?;
    let mut body = BytesMut::zeroed(size);
    stream.read_exact(&mut body).await.map_err(ended)?;
    if !body.starts_with(&correlation_id.to_be_bytes()) {
        let problem = "the answer is to another request".to_owned();
        return Err(Error::Garbled { address: address.clone(), problem });
    }
    Ok(body.freeze())
}

/// What the first bytes look like that cannot be the size of an answer.
pub(super) fn describe_prefix(prefix: [u8; SIZE_LEN]) -> String {
    match &prefix {
        b"HTTP" => "it speaks HTTP".to_owned(),
        [0x15, 0x03, ..] => "it speaks TLS; set security.protocol to SSL or SASL_SSL".to_owned(),
        _ => format!("an answer of {} bytes was announced", i32::from_be_bytes(prefix)),
    }
}
