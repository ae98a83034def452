//! What a client asks: method, path, query, headers, body.

use crate::problem::Problem;
use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;

/// A request whose head has been read.
#[derive(Debug)]
pub struct Request {
    pub(crate) head: Parts,
    pub(crate) body: Incoming,
    /// What of the body may still come.
    pub(crate) body_bytes_left: u64,
    pub(crate) id: String,
    pub(crate) peer: SocketAddr,
    pub(crate) env: afluente_env::Env,
    pub(crate) write_stall_max: std::time::Duration,
}

impl Request {
    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path as it was sent.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The parts of the path between the slashes, decoded; a slash at the end adds none.
    ///
    /// # Errors
    /// When a part is not percent-encoded UTF-8.
    pub fn segments(&self) -> Result<Vec<String>, Problem> {
        let path = self.path().trim_start_matches('/');
        path.strip_suffix('/')
            .unwrap_or(path)
            .split('/')
            .map(|segment| {
                percent_decode(segment, false).ok_or_else(|| {
                    Problem::invalid(
                        format!("could not read the path {:?}", self.path()),
                        format!("{segment:?} is not percent-encoded UTF-8"),
                    )
                })
            })
            .collect()
    }

    /// What stands behind the question mark.
    #[must_use]
    pub fn query(&self) -> Query {
        Query::parse(self.head.uri.query().unwrap_or_default())
    }

    /// A header, if it is there once and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// What stands in the log and in error bodies for this request.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who asks.
    #[must_use]
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Allows a body of up to `bytes`, where the default of the server does not do.
    pub fn allow_body_bytes(&mut self, bytes: u64) {
        self.body_bytes_left = bytes;
    }

    /// The next piece of the body, or `None` at its end.
    ///
    /// # Errors
    /// When the body is longer than allowed, or the connection breaks.
    pub async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let frame = poll_fn(|context| Pin::new(&mut self.body).poll_frame(context)).await;
            let Some(frame) = frame else { return Ok(None) };
            let frame = frame.map_err(|error| {
                Problem::invalid("could not read the body of the request", error.to_string())
            })?;
            // Trailers have nothing to say to us.
            let Ok(piece) = frame.into_data() else { continue };
            let left = self.body_bytes_left.checked_sub(piece.len() as u64);
            self.body_bytes_left = left.ok_or_else(|| {
                Problem::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "INVALID_REQUEST",
                    "could not read the body of the request",
                    "it is longer than this request may have",
                )
            })?;
            return Ok(Some(piece));
        }
    }

    /// The whole body.
    ///
    /// # Errors
    /// As [`Request::piece`].
    pub async fn bytes(&mut self) -> Result<Bytes, Problem> {
        let mut whole = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.freeze())
    }

    /// The body as JSON.
    ///
    /// # Errors
    /// As [`Request::piece`], and when it is no such JSON.
    pub async fn json<T: DeserializeOwned>(&mut self) -> Result<T, Problem> {
        let body = self.bytes().await?;
        serde_json::from_slice(&body).map_err(|error| {
            Problem::invalid("could not read the body of the request as JSON", error.to_string())
        })
    }
}

/// Parameters, in the order in which they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads `a=1&b=2`. What is not percent-encoded UTF-8 is left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((percent_decode(name, true)?, percent_decode(value, true)?))
        };
        Self(text.split('&').filter(|text| !text.is_empty()).filter_map(pair).collect())
    }

    /// A parameter that is there and not empty; the first of several.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A parameter that is to be a `T`.
    ///
    /// # Errors
    /// When it is there and is none.
    pub fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            let wanted = std::any::type_name::<T>();
            let why = format!("{name}={text:?} cannot be read as {wanted}");
            Problem::invalid("could not read the query of the request", why).field(name)
        })
    }
}

/// Undoes `%41`, and `+` where it stands for a space.
#[must_use]
pub fn percent_decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(digits[0])? * 16 + digit(digits[1])?;
                bytes.push(u8::try_from(value).expect("two hexadecimal digits are a byte"));
                rest = tail;
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(*other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_encoding_is_undone_or_refused() {
        let cases = [
            ("a%2Fb", Some("a/b")),
            ("%C3%B1", Some("ñ")),
            ("a+b", Some("a b")),
            ("%", None),
            ("%4", None),
            ("%zz", None),
            ("%ff", None),
            ("", Some("")),
        ];
        for (text, expected) in cases {
            assert_eq!(percent_decode(text, true).as_deref(), expected, "{text:?}");
        }
        assert_eq!(percent_decode("a+b", false).as_deref(), Some("a+b"));
    }

    #[test]
    fn a_query_gives_the_first_of_a_name_and_names_what_it_cannot_read() {
        let query = Query::parse("q=r%C3%ADo&page=2&page=3&empty=&flag&bad=%zz");
        assert_eq!(query.get("q"), Some("río"));
        assert_eq!(query.parsed::<u32>("page"), Ok(Some(2)));
        assert_eq!(query.get("empty"), None);
        assert_eq!(query.get("flag"), None);
        assert_eq!(query.get("bad"), None);
        assert_eq!(query.parsed::<u32>("absent"), Ok(None));
        let problem = query.parsed::<u32>("q").unwrap_err();
        assert_eq!(problem.field.as_deref(), Some("q"));
        assert!(problem.why.contains("río"), "{}", problem.why);
    }
}
