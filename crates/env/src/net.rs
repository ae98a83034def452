//! The network: TCP, listening and connecting, names to addresses.
//!
//! A [`Stream`] is a thin wrapper: one `match` above tokio's own type in the real world. In a
//! simulation it is turmoil's, whose links delay, lose and cut, and which passes bytes in pieces of
//! any size.
#![allow(clippy::disallowed_methods, reason = "this is the door to sockets")]

#[cfg(feature = "sim")]
mod sim;

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, tcp};

#[cfg(feature = "sim")]
pub use sim::SimNet;
#[cfg(feature = "sim")]
use sim::Simulated;

/// Where connections are made. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Net(Kind);

#[derive(Debug, Clone)]
enum Kind {
    Real,
    #[cfg(feature = "sim")]
    Sim(SimNet),
}

/// How to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenOptions {
    /// Connections that may wait to be accepted.
    pub backlog: u32,
    /// Of each connection, in bytes; `None` leaves it to the system, which then adapts it.
    pub send_buffer_bytes: Option<u32>,
    /// Of each connection, in bytes; `None` leaves it to the system, which then adapts it.
    pub receive_buffer_bytes: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self { backlog: 128, send_buffer_bytes: None, receive_buffer_bytes: None }
    }
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listener(ListenerKind);

#[derive(Debug)]
enum ListenerKind {
    Real(TcpListener),
    #[cfg(feature = "sim")]
    Sim(sim::SimListener),
}

/// A TCP connection, with Nagle's delay switched off.
#[derive(Debug)]
pub struct Stream(StreamKind);

#[derive(Debug)]
enum StreamKind {
    Real(TcpStream),
    #[cfg(feature = "sim")]
    Sim(Simulated<turmoil::net::TcpStream>),
}

/// The half of a [`Stream`] that reads.
#[derive(Debug)]
pub struct ReadHalf(ReadKind);

#[derive(Debug)]
enum ReadKind {
    Real(tcp::OwnedReadHalf),
    #[cfg(feature = "sim")]
    Sim(Simulated<turmoil::net::tcp::OwnedReadHalf>),
}

/// The half of a [`Stream`] that writes. Dropping it tells the peer that nothing more comes.
#[derive(Debug)]
pub struct WriteHalf(WriteKind);

#[derive(Debug)]
enum WriteKind {
    Real(tcp::OwnedWriteHalf),
    #[cfg(feature = "sim")]
    Sim(Simulated<turmoil::net::tcp::OwnedWriteHalf>),
}

impl Net {
    /// The network of this machine.
    #[must_use]
    pub fn real() -> Self {
        Self(Kind::Real)
    }

    /// The network of a turmoil simulation.
    #[cfg(feature = "sim")]
    #[must_use]
    pub fn simulated(net: SimNet) -> Self {
        Self(Kind::Sim(net))
    }

    /// Listens on `address`; port 0 lets the system choose one.
    ///
    /// # Errors
    /// What the system says: the address is in use, is not ours, or is forbidden.
    pub async fn listen(
        &self,
        address: SocketAddr,
        options: ListenOptions,
    ) -> io::Result<Listener> {
        match &self.0 {
            Kind::Real => listen(address, options).map(ListenerKind::Real).map(Listener),
            #[cfg(feature = "sim")]
            Kind::Sim(net) => net.listen(address).await,
        }
    }

    /// Connects to `port` of `host`, a name or an address; several addresses are tried in turn.
    ///
    /// # Errors
    /// What the system says of the last address, or of the name.
    pub async fn connect(&self, host: &str, port: u16) -> io::Result<Stream> {
        match &self.0 {
            Kind::Real => {
                let stream = TcpStream::connect((host, port)).await?;
                stream.set_nodelay(true)?;
                Ok(Stream(StreamKind::Real(stream)))
            }
            #[cfg(feature = "sim")]
            Kind::Sim(net) => net.connect(host, port).await,
        }
    }

    /// The addresses of `host`, in the order in which to try them.
    ///
    /// # Errors
    /// When the name cannot be resolved.
    pub async fn lookup(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Kind::Real => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
            #[cfg(feature = "sim")]
            Kind::Sim(_) => Ok(turmoil::net::lookup_host((host, port)).await?.collect()),
        }
    }
}

fn listen(address: SocketAddr, options: ListenOptions) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // A restarted server gets its port back though old connections linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    // These three are inherited by each accepted connection. A peer that vanished without a word
    // is found in the end.
    socket.set_keepalive(true)?;
    if let Some(bytes) = options.send_buffer_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = options.receive_buffer_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.bind(address)?;
    socket.listen(options.backlog)
}

impl Listener {
    /// The next connection, and who it is from.
    ///
    /// # Errors
    /// What went wrong with one connection (it was gone again before it was accepted), or with
    /// this process (too many open files). The listener goes on.
    pub async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        match &self.0 {
            ListenerKind::Real(listener) => {
                let (stream, peer) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok((Stream(StreamKind::Real(stream)), peer))
            }
            #[cfg(feature = "sim")]
            ListenerKind::Sim(listener) => listener.accept().await,
        }
    }

    /// The address that it listens on.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            ListenerKind::Real(listener) => listener.local_addr(),
            #[cfg(feature = "sim")]
            ListenerKind::Sim(listener) => listener.local_addr(),
        }
    }
}

impl Stream {
    /// Our address.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            StreamKind::Real(stream) => stream.local_addr(),
            #[cfg(feature = "sim")]
            StreamKind::Sim(stream) => stream.inner.local_addr(),
        }
    }

    /// The other side's address.
    ///
    /// # Errors
    /// When it is not connected any more.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        match &self.0 {
            StreamKind::Real(stream) => stream.peer_addr(),
            #[cfg(feature = "sim")]
            StreamKind::Sim(stream) => stream.inner.peer_addr(),
        }
    }

    /// Two halves, which two tasks may use.
    #[must_use]
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        match self.0 {
            StreamKind::Real(stream) => {
                let (read, write) = stream.into_split();
                (ReadHalf(ReadKind::Real(read)), WriteHalf(WriteKind::Real(write)))
            }
            #[cfg(feature = "sim")]
            StreamKind::Sim(stream) => {
                let (read, write) = stream.inner.into_split();
                let net = stream.net;
                (
                    ReadHalf(ReadKind::Sim(Simulated { inner: read, net: net.clone() })),
                    WriteHalf(WriteKind::Sim(Simulated { inner: write, net })),
                )
            }
        }
    }

    /// Takes a connection away from the runtime that it was accepted on, so that it can be given
    /// to another one. In a simulation there is only one.
    pub(crate) fn detach(self) -> io::Result<Detached> {
        match self.0 {
            StreamKind::Real(stream) => stream.into_std().map(Detached::Real),
            #[cfg(feature = "sim")]
            StreamKind::Sim(_) => Ok(Detached::Attached(self)),
        }
    }
}

/// A connection between two runtimes.
pub(crate) enum Detached {
    Real(std::net::TcpStream),
    #[cfg(feature = "sim")]
    Attached(Stream),
}

impl Detached {
    /// Gives the connection to the present runtime.
    pub(crate) fn attach(self) -> io::Result<Stream> {
        match self {
            Self::Real(stream) => {
                TcpStream::from_std(stream).map(|stream| Stream(StreamKind::Real(stream)))
            }
            #[cfg(feature = "sim")]
            Self::Attached(stream) => Ok(stream),
        }
    }
}

/// Passes reading on to the one that is inside.
macro_rules! read_through {
    ($outer:ident, $kind:ident) => {
        impl AsyncRead for $outer {
            fn poll_read(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &mut ReadBuf<'_>,
            ) -> Poll<io::Result<()>> {
                match &mut self.0 {
                    $kind::Real(inner) => Pin::new(inner).poll_read(context, buf),
                    #[cfg(feature = "sim")]
                    $kind::Sim(inner) => Pin::new(inner).poll_read(context, buf),
                }
            }
        }
    };
}

/// Passes writing on to the one that is inside.
macro_rules! write_through {
    ($outer:ident, $kind:ident) => {
        impl AsyncWrite for $outer {
            fn poll_write(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                buf: &[u8],
            ) -> Poll<io::Result<usize>> {
                match &mut self.0 {
                    $kind::Real(inner) => Pin::new(inner).poll_write(context, buf),
                    #[cfg(feature = "sim")]
                    $kind::Sim(inner) => Pin::new(inner).poll_write(context, buf),
                }
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
                bufs: &[IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                match &mut self.0 {
                    $kind::Real(inner) => Pin::new(inner).poll_write_vectored(context, bufs),
                    #[cfg(feature = "sim")]
                    $kind::Sim(inner) => Pin::new(inner).poll_write_vectored(context, bufs),
                }
            }

            fn is_write_vectored(&self) -> bool {
                true
            }

            fn poll_flush(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match &mut self.0 {
                    $kind::Real(inner) => Pin::new(inner).poll_flush(context),
                    #[cfg(feature = "sim")]
                    $kind::Sim(inner) => Pin::new(inner).poll_flush(context),
                }
            }

            fn poll_shutdown(
                mut self: Pin<&mut Self>,
                context: &mut Context<'_>,
            ) -> Poll<io::Result<()>> {
                match &mut self.0 {
                    $kind::Real(inner) => Pin::new(inner).poll_shutdown(context),
                    #[cfg(feature = "sim")]
                    $kind::Sim(inner) => Pin::new(inner).poll_shutdown(context),
                }
            }
        }
    };
}

read_through!(Stream, StreamKind);
read_through!(ReadHalf, ReadKind);
write_through!(Stream, StreamKind);
write_through!(WriteHalf, WriteKind);

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.local_addr() {
            Ok(address) => write!(f, "{address}"),
            Err(error) => write!(f, "an unknown address ({error})"),
        }
    }
}

#[cfg(test)]
mod tests;
