//! WebSocket (RFC 6455), the server's side: text messages both ways.
//!
//! ```text
//!  0               1
//!  0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//! +-+-+-+-+-------+-+-------------+-------------------+-----------+---------+
//! |F|R|R|R| opcode|M| length      | if length is 126: | if M:     | payload |
//! |I|S|S|S|  (4)  |A|    (7)      | 2 bytes more;     | 4 bytes   |         |
//! |N|V|V|V|       |S|             | if 127: 8 bytes   | mask      |         |
//! |1|2|3| |       |K|             |                   |           |         |
//! +-+-+-+-+-------+-+-------------+-------------------+-----------+---------+
//! ```
//!
//! No extensions; binary messages are refused. What the client may send is bounded by
//! [`MESSAGE_BYTES_MAX`].

use crate::io::Io;
use crate::problem::Problem;
use crate::request::Request;
use crate::response::{Body, Response};
use afluente_env::clock::Clock;
use afluente_env::net::{ReadHalf, WriteHalf};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, BytesMut};
use http::{StatusCode, header};
use sha1::{Digest as _, Sha1};
use std::future::Future;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// A message of a client, with all its fragments.
pub const MESSAGE_BYTES_MAX: usize = 256 << 10;

/// RFC 6455, 1.3.
const ACCEPT_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;

/// What comes from the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A whole message.
    Text(String),
    /// To be answered by [`Writer::pong`] with the same bytes.
    Ping(Vec<u8>),
}

/// Why a WebSocket ends, other than by being closed.
#[derive(Debug, thiserror::Error)]
pub enum WebSocketError {
    /// The connection broke.
    #[error("the connection broke")]
    Io(#[from] io::Error),
    /// The client does not keep to RFC 6455, or sends what is not wanted here.
    #[error("the client sent {what}")]
    Protocol {
        /// What is wrong; the code says it to the client.
        what: &'static str,
        /// Of the close frame.
        code: u16,
    },
    /// The client takes nothing.
    #[error("the client takes nothing")]
    Stalled,
}

/// The half that reads.
#[derive(Debug)]
pub struct Reader {
    stream: ReadHalf,
    buffer: BytesMut,
    /// The fragments so far of a message that is not whole.
    message: Option<Vec<u8>>,
}

/// The half that writes.
#[derive(Debug)]
pub struct Writer {
    stream: WriteHalf,
    clock: Clock,
    stall_max: Duration,
}

/// Answers a request to open a WebSocket, and then runs `serve` with it as a task of its own.
///
/// # Errors
/// When the request is none.
pub fn upgrade<F>(
    mut request: Request,
    serve: impl FnOnce(Reader, Writer) -> F + Send + 'static,
) -> Result<Response, Problem>
where
    F: Future<Output = ()> + Send + 'static,
{
    let accept = accept_key(&request)?;
    let upgraded = hyper::upgrade::on(http::Request::from_parts(
        std::mem::replace(&mut request.head, http::Request::new(()).into_parts().0),
        (),
    ));
    let (env, stall_max) = (request.env.clone(), request.write_stall_max);
    let clock = env.clock.clone();
    env.tasks.spawn(async move {
        let upgraded = match upgraded.await {
            Ok(upgraded) => upgraded,
            Err(error) => {
                tracing::debug!(%error, "the WebSocket was not opened");
                return;
            }
        };
        let parts = upgraded.downcast::<Io>().expect("connections are of this type");
        let (read, write) = parts.io.stream.into_split();
        let reader =
            Reader { stream: read, buffer: BytesMut::from(parts.read_buf.as_ref()), message: None };
        serve(reader, Writer { stream: write, clock, stall_max }).await;
    });
    Ok(Response::with(Body::Whole(None))
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, &accept))
}

fn accept_key(request: &Request) -> Result<String, Problem> {
    let is = |name: &str, wanted: &str| {
        let value = request.header(name).unwrap_or_default();
        value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted))
    };
    let key = request.header("sec-websocket-key").unwrap_or_default();
    let is_key = STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
    if is("connection", "upgrade")
        && is("upgrade", "websocket")
        && is("sec-websocket-version", "13")
        && is_key
    {
        let digest = Sha1::new().chain_update(key).chain_update(ACCEPT_GUID).finalize();
        return Ok(STANDARD.encode(digest));
    }
    let what = "could not open a WebSocket";
    Err(Problem::invalid(what, "the request does not ask for one as RFC 6455 wants it"))
}

impl Reader {
    /// The next message, or `None` when the client closes.
    ///
    /// # Errors
    /// When the connection breaks or the client does not keep to the protocol.
    pub async fn next(&mut self) -> Result<Option<Incoming>, WebSocketError> {
        loop {
            while let Some(frame) = Frame::take(&mut self.buffer)? {
                match frame.opcode {
                    CLOSE => return Ok(None),
                    PING => return Ok(Some(Incoming::Ping(frame.payload))),
                    PONG => {}
                    _ => {
                        if let Some(text) = self.assemble(frame)? {
                            return Ok(Some(Incoming::Text(text)));
                        }
                    }
                }
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    fn assemble(&mut self, frame: Frame) -> Result<Option<String>, WebSocketError> {
        let mut message = match (frame.opcode, self.message.take()) {
            (TEXT, None) => Vec::new(),
            (CONTINUATION, Some(message)) => message,
            (TEXT, Some(_)) => return Err(wrong("a message inside of another", 1002)),
            (CONTINUATION, None) => return Err(wrong("the rest of no message", 1002)),
            _ => return Err(wrong("a message that is no text", 1003)),
        };
        if message.len() + frame.payload.len() > MESSAGE_BYTES_MAX {
            return Err(wrong("a message that is too long", 1009));
        }
        message.extend_from_slice(&frame.payload);
        if !frame.is_last {
            self.message = Some(message);
            return Ok(None);
        }
        String::from_utf8(message).map(Some).map_err(|_| wrong("text that is not UTF-8", 1007))
    }
}

impl Writer {
    /// Sends a message.
    ///
    /// # Errors
    /// When the connection breaks, or the client takes nothing for too long.
    pub async fn text(&mut self, text: &str) -> Result<(), WebSocketError> {
        self.frame(TEXT, text.as_bytes()).await
    }

    /// Answers a ping.
    ///
    /// # Errors
    /// As [`Writer::text`].
    pub async fn pong(&mut self, payload: &[u8]) -> Result<(), WebSocketError> {
        self.frame(PONG, payload).await
    }

    /// Says why it ends; 1000 is the usual end, 1001 that the server stops.
    ///
    /// # Errors
    /// As [`Writer::text`].
    pub async fn close(mut self, code: u16) -> Result<(), WebSocketError> {
        self.frame(CLOSE, &code.to_be_bytes()).await?;
        self.stream.shutdown().await?;
        Ok(())
    }

    async fn frame(&mut self, opcode: u8, payload: &[u8]) -> Result<(), WebSocketError> {
        let mut frame = Vec::with_capacity(payload.len() + 10);
        frame.push(0x80 | opcode);
        match payload.len() {
            short @ 0..126 => frame.push(u8::try_from(short).expect("below 126")),
            medium @ 126..65536 => {
                frame.push(126);
                frame.extend_from_slice(&u16::try_from(medium).expect("below 65536").to_be_bytes());
            }
            long => {
                frame.push(127);
                frame.extend_from_slice(&(long as u64).to_be_bytes());
            }
        }
        frame.extend_from_slice(payload);
        tokio::select! {
            written = self.stream.write_all(&frame) => Ok(written?),
            () = self.clock.sleep(self.stall_max) => Err(WebSocketError::Stalled),
        }
    }
}

struct Frame {
    is_last: bool,
    opcode: u8,
    payload: Vec<u8>,
}

impl Frame {
    /// Takes a frame off the buffer, if a whole one is there.
    fn take(buffer: &mut BytesMut) -> Result<Option<Self>, WebSocketError> {
        let &[first, second, ..] = &buffer[..] else { return Ok(None) };
        let (is_last, opcode) = (first & 0x80 != 0, first & 0x0f);
        if first & 0x70 != 0 {
            return Err(wrong("a frame with bits that mean nothing here", 1002));
        }
        if second & 0x80 == 0 {
            return Err(wrong("a frame without a mask", 1002));
        }
        if !matches!(opcode, CONTINUATION..=0x2 | CLOSE..=PONG) {
            return Err(wrong("a frame of an unknown kind", 1002));
        }
        let (length, mask_at) = match second & 0x7f {
            126 => match buffer.get(2..4) {
                Some(bytes) => (u64::from(u16::from_be_bytes(bytes.try_into().expect("two"))), 4),
                None => return Ok(None),
            },
            127 => match buffer.get(2..10) {
                Some(bytes) => (u64::from_be_bytes(bytes.try_into().expect("eight")), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if opcode >= CLOSE && (length > 125 || !is_last) {
            return Err(wrong("a control frame that is too long or in pieces", 1002));
        }
        let length = usize::try_from(length).ok().filter(|length| *length <= MESSAGE_BYTES_MAX);
        let length = length.ok_or_else(|| wrong("a message that is too long", 1009))?;
        let payload_at = mask_at + 4;
        if buffer.len() < payload_at + length {
            buffer.reserve(payload_at + length - buffer.len());
            return Ok(None);
        }
        let mask: [u8; 4] = buffer[mask_at..payload_at].try_into().expect("four");
        let masked = &buffer[payload_at..payload_at + length];
        let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        let frame = Self { is_last, opcode, payload: payload.collect() };
        buffer.advance(payload_at + length);
        Ok(Some(frame))
    }
}

fn wrong(what: &'static str, code: u16) -> WebSocketError {
    WebSocketError::Protocol { what, code }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut frame = vec![first];
        if payload.len() < 126 {
            frame.push(0x80 | u8::try_from(payload.len()).unwrap());
        } else if payload.len() < 65536 {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        } else {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
        frame.extend(mask);
        frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        frame
    }

    #[test]
    fn a_frame_is_taken_once_it_is_whole_and_leaves_what_follows() {
        for length in [0, 1, 125, 126, 127, 65535, 65536, 100_000] {
            let payload = vec![b'x'; length];
            let bytes = masked(0x81, &payload);
            let step = (bytes.len() / 50).max(1);
            for cut in (0..bytes.len()).step_by(step) {
                let mut buffer = BytesMut::from(&bytes[..cut]);
                assert!(Frame::take(&mut buffer).unwrap().is_none(), "{length} cut at {cut}");
                assert_eq!(buffer.len(), cut);
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            buffer.extend_from_slice(b"next");
            let frame = Frame::take(&mut buffer).unwrap().unwrap();
            assert_eq!((frame.is_last, frame.opcode, frame.payload), (true, TEXT, payload));
            assert_eq!(&buffer[..], b"next");
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_an_error_with_its_code() {
        let mut too_long = vec![0x81, 0x80 | 127];
        too_long.extend(u64::MAX.to_be_bytes());
        let cases = [
            ("reserved bits", vec![0xc1, 0x80], 1002),
            ("no mask", vec![0x81, 0x00], 1002),
            ("unknown kind", vec![0x83, 0x80], 1002),
            ("long ping", vec![0x89, 0x80 | 126, 0, 126], 1002),
            ("ping in pieces", vec![0x09, 0x80], 1002),
            ("long message", too_long, 1009),
        ];
        for (why, bytes, expected) in cases {
            match Frame::take(&mut BytesMut::from(&bytes[..])) {
                Err(WebSocketError::Protocol { code, .. }) => assert_eq!(code, expected, "{why}"),
                other => panic!("{why}: {:?}", other.map(|frame| frame.is_some())),
            }
        }
    }
}
