//! The network of a turmoil simulation, which also passes bytes in pieces of any size: a reader
//! that believes in whole messages is found out.

use super::{Listener, ListenerKind, Stream, StreamKind};
use crate::rng::Rng;
use crate::sim::Trace;
use std::fmt;
use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How often a transfer is cut short.
const SHORT_TRANSFERS: f64 = 0.1;

/// The network as one simulated machine sees it.
#[derive(Clone)]
pub struct SimNet {
    rng: Rng,
    trace: Trace,
}

impl SimNet {
    /// For a machine whose short transfers `rng` decides.
    #[must_use]
    pub fn new(rng: Rng, trace: Trace) -> Self {
        Self { rng, trace }
    }

    pub(super) async fn listen(&self, address: SocketAddr) -> io::Result<Listener> {
        // A simulated machine has one address, and only "any" and loopback can be bound.
        let ip = match address.ip() {
            ip if ip.is_loopback() => ip,
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let listener = turmoil::net::TcpListener::bind((ip, address.port())).await?;
        self.trace.note(format_args!("net: listening on {}", listener.local_addr()?));
        Ok(Listener(ListenerKind::Sim(SimListener { inner: listener, net: self.clone() })))
    }

    pub(super) async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        let connected = turmoil::net::TcpStream::connect((host, port)).await;
        let shown = connected.as_ref().map(|_| ()).map_err(io::Error::kind);
        self.trace.note(format_args!("net: connect to {host}:{port}: {shown:?}"));
        Ok(self.wrap(connected?))
    }

    fn wrap(&self, inner: turmoil::net::TcpStream) -> Stream {
        Stream(StreamKind::Sim(Simulated { inner, net: self.clone() }))
    }

    /// How much of a transfer of `len` bytes is done at once.
    fn shorten(&self, len: usize) -> usize {
        if len > 1 && self.rng.chance(SHORT_TRANSFERS) { 1 + self.rng.index(len) } else { len }
    }
}

impl fmt::Debug for SimNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimNet")
    }
}

/// A listener of turmoil's.
pub(super) struct SimListener {
    inner: turmoil::net::TcpListener,
    net: SimNet,
}

impl SimListener {
    pub(super) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (inner, peer) = self.inner.accept().await?;
        self.net.trace.note(format_args!("net: {} accepts {peer}", inner.local_addr()?));
        Ok((self.net.wrap(inner), peer))
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

impl fmt::Debug for SimListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SimListener({:?})", self.local_addr())
    }
}

/// One of turmoil's streams or halves, made to cut transfers short and to leave a trace.
#[derive(Debug)]
pub(super) struct Simulated<T> {
    pub(super) inner: T,
    pub(super) net: SimNet,
}

impl<T: AsyncRead + Unpin> AsyncRead for Simulated<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let len = self.net.shorten(buf.remaining());
        let mut part = ReadBuf::new(buf.initialize_unfilled_to(len));
        ready!(Pin::new(&mut self.inner).poll_read(context, &mut part))?;
        let read = part.filled();
        let (read, sum) = (read.len(), afluente_stdx::crc32c::crc32c(read));
        buf.advance(read);
        self.net.trace.note(format_args!("net: read {read} bytes {sum:08x}"));
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Simulated<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let buf = &buf[..self.net.shorten(buf.len())];
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, buf))?;
        let sum = afluente_stdx::crc32c::crc32c(&buf[..written]);
        self.net.trace.note(format_args!("net: wrote {written} bytes {sum:08x}"));
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // One segment for all, as the real network would send them.
        let all: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        self.poll_write(context, &all)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
