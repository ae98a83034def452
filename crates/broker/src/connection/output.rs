//! Answers into a stream of bytes, written from where they lie.

use crate::memory::RequestMemory;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// The writing half of a connection: pieces that wait for the socket, in order.
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    len: usize,
    memory: Arc<RequestMemory>,
}

/// How many pieces one system call takes.
const PIECES_PER_WRITE: usize = 64;

impl Output {
    pub(super) fn new(memory: Arc<RequestMemory>) -> Self {
        Self { pieces: VecDeque::new(), len: 0, memory }
    }

    pub(super) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.memory.add_unsent(piece.len());
            self.pieces.push_back(piece);
        }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Writes until nothing is left. `wrote` is called after each write that moved something.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        cx: &mut Context<'_>,
        mut wrote: impl FnMut(usize),
    ) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let count = ready!(self.poll_write(stream, cx))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.consume(count);
            wrote(count);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.pieces.len() == 1 {
            return Pin::new(stream).poll_write(cx, &self.pieces[0]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        Pin::new(stream).poll_write_vectored(cx, &slices[..used])
    }

    fn consume(&mut self, mut count: usize) {
        self.len -= count;
        self.memory.remove_unsent(count);
        while count > 0 {
            let first = self.pieces.front_mut().expect("no more was written than there was");
            let taken = count.min(first.len());
            first.advance(taken);
            count -= taken;
            if first.is_empty() {
                self.pieces.pop_front();
            }
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.memory.remove_unsent(self.len);
    }
}
