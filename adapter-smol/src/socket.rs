#[cfg(target_os = "linux")]
use std::sync::Arc;
use std::{
    io,
    net::SocketAddr,
    task::{Context, Poll, ready},
};

use async_io::Async;
use rustix::{
    buffer::spare_capacity,
    io::Errno,
    net::{RecvFlags, recv},
};

#[cfg(target_os = "linux")]
use crate::reactor::{Reactor, Watched};
use crate::relay::Relay;

/// Number of bytes that one read appends to a message that has much more capacity.
const APPENDED_IN_TURN: usize = 512 << 10;

/// A TCP or Unix-domain socket, and the source of its readiness events.
#[derive(Debug)]
pub(crate) enum Socket {
    /// `async-io` reports readiness, with any executor.
    Single(Single),
    /// The epoll instance of a server reports readiness. The server runs its own connections.
    #[cfg(target_os = "linux")]
    Watched(Watched),
}

/// A socket on the reactor of `async-io`.
#[derive(Debug)]
pub(crate) struct Single {
    socket: Async<socket2::Socket>,
    /// Wakes the task that waits for input.
    reader: Relay,
    /// Wakes the task that waits for room.
    writer: Relay,
}

impl From<Async<socket2::Socket>> for Socket {
    fn from(socket: Async<socket2::Socket>) -> Self {
        Self::Single(Single { socket, reader: Relay::new(), writer: Relay::new() })
    }
}

impl Single {
    fn poll_readable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.reader.poll(cx, |cx| self.socket.poll_readable(cx))
    }

    fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        self.writer.poll(cx, |cx| self.socket.poll_writable(cx))
    }
}

impl Socket {
    pub(crate) fn get_ref(&self) -> &socket2::Socket {
        match self {
            Self::Single(single) => single.socket.get_ref(),
            #[cfg(target_os = "linux")]
            Self::Watched(socket) => socket.get_ref(),
        }
    }

    /// Waits until a read may find input.
    pub(crate) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Single(single) => single.poll_readable(cx),
            #[cfg(target_os = "linux")]
            Self::Watched(socket) => socket.poll_readable(cx).map(Ok),
        }
    }

    /// Waits until a write may succeed, after a write that would have blocked.
    pub(crate) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Single(single) => single.poll_writable(cx),
            #[cfg(target_os = "linux")]
            Self::Watched(socket) => socket.poll_writable(cx),
        }
    }

    pub(crate) fn poll_read(&self, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_by(cx, buffer.len(), |socket| Ok(recv(socket, &mut *buffer, RecvFlags::empty())?.0))
    }

    /// Returns the maximum number of bytes that [`poll_append`](Self::poll_append) appends: the spare capacity,
    /// but not many more bytes than a turn should read. The kernel can keep tens of megabytes for a socket.
    pub(crate) const fn most_appended(bytes: &Vec<u8>) -> usize {
        let spare = bytes.capacity() - bytes.len();
        if spare > 2 * APPENDED_IN_TURN { APPENDED_IN_TURN } else { spare }
    }

    /// Reads the available input into the spare capacity of `bytes`, at most [`most_appended`](Self::most_appended) bytes.
    pub(crate) fn poll_append(&self, cx: &mut Context<'_>, bytes: &mut Vec<u8>) -> Poll<io::Result<usize>> {
        let (before, most) = (bytes.len(), Self::most_appended(bytes));
        if most == bytes.capacity() - before {
            return self.poll_read_by(cx, most, |socket| {
                Ok(recv(socket, spare_capacity(bytes), RecvFlags::empty())?.1)
            });
        }
        // Only initialized bytes can be a part of the capacity.
        bytes.resize(before + most, 0);
        let read = self
            .poll_read_by(cx, most, |socket| Ok(recv(socket, &mut bytes[before..], RecvFlags::empty())?.0));
        let appended = if let Poll::Ready(Ok(read)) = read { read } else { 0 };
        bytes.truncate(before + appended);
        read
    }

    fn poll_read_by(
        &self,
        cx: &mut Context<'_>,
        most: usize,
        mut read: impl FnMut(&socket2::Socket) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        let single = match self {
            Self::Single(single) => single,
            #[cfg(target_os = "linux")]
            Self::Watched(socket) => return socket.poll_read(cx, most, read),
        };
        loop {
            match read(single.socket.get_ref()) {
                Err(Errno::AGAIN) => ready!(single.poll_readable(cx))?,
                Err(Errno::INTR) => {}
                result => return Poll::Ready(Ok(result?)),
            }
        }
    }
}

/// Prepares a listening socket, so that its connections have the options that [`accept`] promises.
pub(crate) fn prepare_listener(listener: &socket2::Socket, nodelay: bool) {
    // On Linux, connections inherit the option, which saves a system call for each of them. A Unix-domain socket does
    // not need it.
    if cfg!(target_os = "linux") {
        let _ = listener.set_tcp_nodelay(nodelay);
    }
}

/// Accepts a non-blocking connection with the requested `TCP_NODELAY` setting. Returns the socket and the peer's
/// address.
pub(crate) fn accept(
    listener: &socket2::Socket,
    nodelay: bool,
) -> io::Result<(socket2::Socket, Option<SocketAddr>)> {
    #[cfg(target_os = "linux")]
    {
        use rustix::net::{SocketFlags, acceptfrom_with};
        let _ = nodelay;
        let (socket, peer) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        Ok((socket.into(), peer.and_then(|peer| peer.try_into().ok())))
    }
    #[cfg(not(target_os = "linux"))]
    {
        let (socket, peer) = listener.accept()?;
        socket.set_nonblocking(true)?;
        // This fails for a client that has already disconnected. The first read reports that.
        let _ = socket.set_tcp_nodelay(nodelay);
        Ok((socket, peer.as_socket()))
    }
}

/// The sockets of a server that runs its own connections.
#[derive(Debug)]
pub(crate) struct Sockets {
    #[cfg(target_os = "linux")]
    watch: Arc<Reactor>,
}

#[cfg(target_os = "linux")]
impl Sockets {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { watch: Arc::new(Reactor::new()?) })
    }

    /// Adds a socket to the watched sockets.
    pub(crate) fn watch(&self, socket: socket2::Socket) -> io::Result<Socket> {
        self.watch.clone().add(socket).map(Socket::Watched)
    }

    /// Returns the future that wakes the tasks that wait for a socket. It must run, and it ends only with an error.
    pub(crate) fn driver(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        self.watch.clone().drive()
    }

    /// Wakes the tasks whose sockets are ready now. Returns `true` if there is any.
    pub(crate) fn wake_ready(&self) -> bool {
        self.watch.wake_ready()
    }
}

#[cfg(not(target_os = "linux"))]
impl Sockets {
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    /// Creates a socket that `async-io` watches.
    pub(crate) fn watch(&self, socket: socket2::Socket) -> io::Result<Socket> {
        Async::new(socket).map(Socket::from)
    }

    /// Returns a future that never ends, because `async-io` wakes the tasks.
    pub(crate) fn driver(&self) -> impl Future<Output = io::Result<()>> + Send + use<> {
        std::future::pending()
    }

    /// Here the reactor of `async-io` wakes all tasks.
    pub(crate) const fn wake_ready(&self) -> bool {
        false
    }
}
