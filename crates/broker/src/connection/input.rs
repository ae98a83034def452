//! Requests out of a stream of bytes.
//!
//! ```text
//! | length: 4 bytes, big-endian | request: length bytes | length | request | …
//! ```
//!
//! A connection that waits for its next request holds no buffer: what comes first goes through a
//! scratch buffer of the thread. A large request is read straight into its own memory.

use crate::memory::{FREE_BYTES, RequestMemory, Reservation};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// A request as it came, without its length.
#[derive(Debug)]
pub struct Frame {
    /// Header and body.
    pub bytes: Bytes,
    /// Keeps the memory counted while the request is handled; `None` for a small one.
    pub reservation: Option<Reservation>,
}

/// Why no further request will come.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The other side closed between two requests.
    #[error("closed by the client")]
    Closed,
    /// The other side closed within a request.
    #[error("closed by the client in the middle of a request")]
    Truncated,
    /// The length is negative or too large.
    #[error("a request of {length} bytes, where socket.request.max.bytes is {max}")]
    Size {
        /// As announced.
        length: i32,
        /// What is allowed.
        max: usize,
    },
    /// The socket failed.
    #[error("the socket failed")]
    Io(#[from] io::Error),
}

/// What memory a request holds while it comes in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holding {
    /// None that counts.
    Nothing,
    /// Some, which nobody else waits for.
    Spare,
    /// Some, and others wait.
    Wanted,
}

/// The reading half of a connection.
pub(super) struct Input {
    /// Received and not yet taken: at most one request in part, or some small ones.
    buffer: BytesMut,
    reservation: Option<Reservation>,
    reserving: Option<Pin<Box<dyn Future<Output = Reservation> + Send>>>,
    memory: Arc<RequestMemory>,
    request_bytes_max: usize,
}

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; FREE_BYTES].into_boxed_slice());
}

const LENGTH_BYTES: usize = 4;

impl Input {
    pub(super) fn new(memory: Arc<RequestMemory>, request_bytes_max: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            reservation: None,
            reserving: None,
            memory,
            request_bytes_max,
        }
    }

    /// Whether a request is there without reading from the socket.
    pub(super) fn has_frame(&self) -> bool {
        match announced(&self.buffer) {
            Some(length) => {
                usize::try_from(length).map_or(true, |n| self.buffer.len() >= LENGTH_BYTES + n)
            }
            None => false,
        }
    }

    /// What memory the request that is coming in keeps from others.
    pub(super) fn holding(&self) -> Holding {
        match (&self.reservation, self.memory.waiting()) {
            (None, _) => Holding::Nothing,
            (Some(_), 0) => Holding::Spare,
            (Some(_), _) => Holding::Wanted,
        }
    }

    /// Whether a request has begun to come in and is not whole.
    pub(super) fn is_within_frame(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next request.
    pub(super) fn poll_frame<S: AsyncRead + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Frame, InputError>> {
        loop {
            let missing = match announced(&self.buffer) {
                None => LENGTH_BYTES - self.buffer.len(),
                Some(length) => {
                    let size = self.checked_size(length)?;
                    let whole = LENGTH_BYTES + size;
                    if self.buffer.len() >= whole {
                        return Poll::Ready(Ok(self.take(whole)));
                    }
                    if self.buffer.len() >= FREE_BYTES && self.reservation.is_none() {
                        ready!(self.poll_reserve(size, cx));
                        self.buffer.reserve(whole - self.buffer.len());
                    }
                    whole - self.buffer.len()
                }
            };
            let count = match ready!(self.poll_read(missing, stream, cx)) {
                Ok(count) => count,
                Err(error) => return Poll::Ready(Err(error.into())),
            };
            if count == 0 {
                let is_between = self.buffer.is_empty();
                let error = if is_between { InputError::Closed } else { InputError::Truncated };
                return Poll::Ready(Err(error));
            }
        }
    }

    fn checked_size(&self, length: i32) -> Result<usize, InputError> {
        usize::try_from(length)
            .ok()
            .filter(|size| *size <= self.request_bytes_max)
            .ok_or(InputError::Size { length, max: self.request_bytes_max })
    }

    fn take(&mut self, whole: usize) -> Frame {
        let mut frame = self.buffer.split_to(whole);
        frame.advance(LENGTH_BYTES);
        if self.buffer.is_empty() {
            // The frame alone owns its memory now, and frees it when it is handled.
            self.buffer = BytesMut::new();
        }
        Frame { bytes: frame.freeze(), reservation: self.reservation.take() }
    }

    fn poll_reserve(&mut self, bytes: usize, cx: &mut Context<'_>) -> Poll<()> {
        let memory = &self.memory;
        let reserving =
            self.reserving.get_or_insert_with(|| Box::pin(Arc::clone(memory).reserve(bytes)));
        self.reservation = Some(ready!(reserving.as_mut().poll(cx)));
        self.reserving = None;
        Poll::Ready(())
    }

    /// Reads what is there: into the request's own memory when that was reserved, through the
    /// scratch buffer otherwise, which may bring following requests as well.
    fn poll_read<S: AsyncRead + Unpin>(
        &mut self,
        missing: usize,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.reservation.is_some() {
            return poll_read_direct(&mut self.buffer, missing, stream, cx);
        }
        SCRATCH.with_borrow_mut(|scratch| {
            let mut read = ReadBuf::new(scratch);
            ready!(Pin::new(stream).poll_read(cx, &mut read))?;
            self.buffer.extend_from_slice(read.filled());
            Poll::Ready(Ok(read.filled().len()))
        })
    }
}

/// Reads what is missing, at most, into the spare room of `buffer`.
fn poll_read_direct<S: AsyncRead + Unpin>(
    buffer: &mut BytesMut,
    missing: usize,
    stream: &mut S,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut room = buffer.limit(missing);
    // One attempt: a read that is not ready leaves nothing behind.
    pin!(stream.read_buf(&mut room)).poll(cx)
}

fn announced(buffer: &BytesMut) -> Option<i32> {
    buffer.first_chunk::<LENGTH_BYTES>().map(|length| i32::from_be_bytes(*length))
}
