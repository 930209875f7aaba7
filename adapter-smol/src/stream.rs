use std::{
    any::Any,
    fmt,
    io::{self, IoSlice},
    net::{Shutdown, SocketAddr, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
    pin::Pin,
    task::{Context, Poll, ready},
};

use async_io::Async;
use futures_lite::{AsyncRead, AsyncWrite};
use ws_transport::{Addresses, write_now};

use crate::socket::Socket;

/// The transport of a WebSocket: a socket of the operating system, or a stream of the application.
pub(crate) enum Stream {
    Socket(Socket),
    Other(Pin<Box<dyn Io>>),
}

/// A stream that the application provides.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Io for S {}

impl Stream {
    /// Takes over a stream of the application.
    pub(crate) fn other(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let mut stream = Some(stream);
        let any: &mut dyn Any = &mut stream;
        if let Some(socket) = any.downcast_mut().and_then(Option::take) {
            return Self::Other(Box::pin(AsyncSocket::<TcpStream>(socket)));
        }
        if let Some(socket) = any.downcast_mut().and_then(Option::take) {
            return Self::Other(Box::pin(AsyncSocket::<UnixStream>(socket)));
        }
        Self::Other(Box::pin(stream.expect("it was not taken")))
    }

    /// Returns another handle for the socket. Returns `None` for a stream of the application.
    pub(crate) fn try_clone_socket(&self) -> io::Result<Option<OwnedFd>> {
        match self {
            Self::Socket(socket) => Ok(Some(socket.get_ref().try_clone()?.into())),
            Self::Other(_) => Ok(None),
        }
    }

    /// Waits until a read may find input. For sockets, this avoids a read that would find nothing.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_readable(cx),
            Self::Other(_) => Poll::Ready(Ok(())),
        }
    }

    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => socket.poll_read(cx, buffer),
            Self::Other(stream) => stream.as_mut().poll_read(cx, buffer),
        }
    }

    pub(crate) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let socket = match self {
            Self::Socket(socket) => socket,
            Self::Other(stream) => return stream.as_mut().poll_write_vectored(cx, slices),
        };
        loop {
            match write_now(socket.get_ref(), slices)? {
                Some(written) => return Poll::Ready(Ok(written)),
                None => ready!(socket.poll_writable(cx))?,
            }
        }
    }

    /// Writes as much as the stream accepts at once. Returns the number of bytes written.
    pub(crate) fn write_now(&mut self, bytes: &[u8]) -> usize {
        match self {
            Self::Socket(socket) => {
                // The next write returns the error again and reports it.
                write_now(socket.get_ref(), &[IoSlice::new(bytes)]).ok().flatten().unwrap_or(0)
            }
            Self::Other(_) => 0,
        }
    }

    /// Returns `true` if the stream may buffer accepted bytes until it is flushed.
    pub(crate) const fn buffers(&self) -> bool {
        matches!(self, Self::Other(_))
    }

    /// Flushes the buffered output of the stream.
    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(_) => Poll::Ready(Ok(())),
            Self::Other(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    /// Closes the writing direction.
    pub(crate) fn poll_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => Poll::Ready(socket.get_ref().shutdown(Shutdown::Write)),
            Self::Other(stream) => stream.as_mut().poll_close(cx),
        }
    }

    /// Returns the addresses of both ends. `peer` is the peer's address, if it is already known.
    pub(crate) fn addresses(&self, peer: Option<SocketAddr>) -> Addresses {
        match self {
            Self::Socket(socket) => Addresses::of(socket.get_ref(), peer),
            Self::Other(_) => Addresses::default(),
        }
    }
}

/// A socket of `async-io`. Its own `poll_close` does not end the stream, so that both ends would wait for each other.
struct AsyncSocket<S>(Async<S>);

/// A socket that can shut down its writing direction.
trait Shut: Send + Unpin {
    fn shut(&self) -> io::Result<()>;
}

impl Shut for TcpStream {
    fn shut(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl Shut for UnixStream {
    fn shut(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }
}

impl<S: Shut> AsyncRead for AsyncSocket<S>
where
    Async<S>: AsyncRead,
{
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl<S: Shut> AsyncWrite for AsyncSocket<S>
where
    Async<S>: AsyncWrite,
{
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.get_ref().shut())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(socket) => socket.fmt(f),
            Self::Other(_) => f.write_str("Other(..)"),
        }
    }
}
