//! What goes back to a client: whole, or as it comes.

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::sync::mpsc;

/// Pieces of a streamed body that wait for a slow reader.
const PIECES_MAX: usize = 8;

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
}

impl Response {
    /// 200 with a whole body.
    #[must_use]
    pub fn bytes(content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        Self::with(Body::Whole(Some(bytes.into()))).content_type(content_type)
    }

    /// 200 with text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::bytes("text/plain; charset=utf-8", text.into())
    }

    /// 200 with JSON.
    ///
    /// # Panics
    /// If `value` cannot be JSON: a map whose keys are no strings, which is a bug of the caller.
    #[must_use]
    pub fn json<T: Serialize>(value: &T) -> Self {
        let bytes = serde_json::to_vec(value).expect("what we answer can be JSON");
        Self::bytes("application/json", bytes).header(header::CACHE_CONTROL, "no-store")
    }

    /// 204: done, and nothing to say.
    #[must_use]
    pub fn no_content() -> Self {
        Self::with(Body::Whole(None)).status(StatusCode::NO_CONTENT)
    }

    /// 200 with a body that comes piece by piece through the [`Sender`]. When the client goes
    /// away, sending fails.
    #[must_use]
    pub fn stream(content_type: &'static str) -> (Self, Sender) {
        let (sender, receiver) = mpsc::channel(PIECES_MAX);
        let response = Self::with(Body::Stream(receiver)).content_type(content_type);
        (response.header(header::CACHE_CONTROL, "no-store"), Sender(sender))
    }

    pub(crate) fn with(body: Body) -> Self {
        Self { status: StatusCode::OK, headers: HeaderMap::new(), body }
    }

    /// With another status.
    #[must_use]
    pub fn status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// With a header, in place of one of the same name.
    ///
    /// # Panics
    /// If `value` cannot stand in a header, which is a bug of the caller.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: &str) -> Self {
        let value = HeaderValue::from_str(value).expect("a header that we write is valid");
        self.headers.insert(name, value);
        self
    }

    fn content_type(mut self, content_type: &'static str) -> Self {
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        self
    }
}

/// Feeds a streamed body. Dropping it ends the body well; [`Sender::abort`] shows the client that
/// the rest is missing.
#[derive(Debug)]
pub struct Sender(mpsc::Sender<Result<Bytes, Aborted>>);

/// The client is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the client closed the connection")]
pub struct Gone;

/// A body that ends before its end.
#[derive(Debug, thiserror::Error)]
#[error("the answer was cut short")]
pub struct Aborted;

impl Sender {
    /// Sends a piece; waits while the client reads slower than we write.
    ///
    /// # Errors
    /// When the client is gone.
    pub async fn send(&self, piece: impl Into<Bytes>) -> Result<(), Gone> {
        self.0.send(Ok(piece.into())).await.map_err(|_| Gone)
    }

    /// Sends a value as a line of JSON.
    ///
    /// # Errors
    /// When the client is gone.
    ///
    /// # Panics
    /// If `value` cannot be JSON, which is a bug of the caller.
    pub async fn line<T: Serialize>(&self, value: &T) -> Result<(), Gone> {
        let mut line = serde_json::to_vec(value).expect("what we answer can be JSON");
        line.push(b'\n');
        self.send(line).await
    }

    /// Ends the body so that the client knows that it is not whole.
    pub async fn abort(self) {
        // A client that is gone needs not be told.
        let _ = self.0.send(Err(Aborted)).await;
    }

    /// Waits until the client is gone.
    pub async fn closed(&self) {
        self.0.closed().await;
    }
}

/// The body that hyper sends.
#[derive(Debug)]
pub(crate) enum Body {
    Whole(Option<Bytes>),
    Stream(mpsc::Receiver<Result<Bytes, Aborted>>),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        match &mut *self {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(pieces) => {
                pieces.poll_recv(context).map(|piece| piece.map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
