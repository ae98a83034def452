//! Frames into a socket, written from where they lie.

use afluente_protocol::rope::Records;
use bytes::{Buf, Bytes};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::AsyncWrite;

/// Pieces that wait for the socket, in order.
#[derive(Default)]
pub(super) struct Output {
    pieces: VecDeque<Bytes>,
    len: usize,
    needs_flush: bool,
}

/// How many pieces one system call takes.
const PIECES_PER_WRITE: usize = 64;

impl Output {
    pub(super) fn push(&mut self, frame: Records) {
        self.len += frame.len();
        self.pieces.extend(frame.into_pieces());
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes until nothing is left.
    pub(super) fn poll_flush<S: AsyncWrite + Unpin>(
        &mut self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.pieces.is_empty() {
            let count = ready!(self.poll_write(stream, context))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.needs_flush = true;
            self.consume(count);
        }
        if self.needs_flush {
            ready!(Pin::new(stream).poll_flush(context))?;
            self.needs_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_write<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if self.pieces.len() == 1 {
            return Pin::new(stream).poll_write(context, &self.pieces[0]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_PER_WRITE];
        let mut used = 0;
        for (slice, piece) in slices.iter_mut().zip(&self.pieces) {
            *slice = IoSlice::new(piece);
            used += 1;
        }
        Pin::new(stream).poll_write_vectored(context, &slices[..used])
    }

    fn consume(&mut self, mut count: usize) {
        self.len -= count;
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
