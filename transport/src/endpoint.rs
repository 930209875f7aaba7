use std::{
    io::{self, IoSlice},
    net::{SocketAddr, ToSocketAddrs},
    path::Path,
    time::Duration,
};

use rustix::{
    io::Errno,
    net::{SendAncillaryBuffer, SendFlags, send, sendmsg},
};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};

use crate::{Deadline, Error};

/// How a client's sockets are made.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// How long to try, all addresses together.
    pub timeout: Duration,
    /// The address to connect from.
    pub local_address: Option<SocketAddr>,
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// `TCP_NOTSENT_LOWAT`.
    pub notsent_lowat: Option<u32>,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        let notsent_lowat = Some(NOTSENT_LOWAT);
        Self { timeout: Duration::from_secs(10), local_address: None, nodelay: true, notsent_lowat }
    }
}

impl ConnectOptions {
    /// A socket that is ready to connect to `address`.
    ///
    /// # Errors
    ///
    /// There are no more sockets, or the local address cannot be had.
    pub fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if let Some(local) = self.local_address {
            socket.bind(&local.into())?;
        }
        socket.set_tcp_nodelay(self.nodelay)?;
        limit_unsent(&socket, self.notsent_lowat);
        Ok(socket)
    }
}

impl ConnectOptions {
    /// Connects to the server that listens on a Unix-domain socket at this path. Blocks while its backlog is full, not
    /// longer than the timeout.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Timeout`] with [`Deadline::Connect`] if the backlog is full until the timeout, and [`Error::Io`]
    /// if the server cannot be reached.
    pub fn connect_unix(&self, path: &Path) -> Result<Socket, Error> {
        let describe = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot connect to {}: {error}", path.display()))
        };
        let address = SockAddr::unix(path).map_err(describe)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        // On Linux, `connect` waits for room in the backlog as long as the send timeout says. Zero would be no limit.
        socket.set_write_timeout(Some(self.timeout.max(Duration::from_millis(1))))?;
        match socket.connect(&address) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(Error::Timeout(Deadline::Connect));
            }
            connected => connected.map_err(describe)?,
        }
        socket.set_write_timeout(None)?;
        Ok(socket)
    }
}

/// Default of `TCP_NOTSENT_LOWAT`, in bytes. Without a limit the operating system takes megabytes ahead of a slow peer and
/// then nothing for many seconds, which hides that the peer reads. With it, a peer that reads 100 KB/s is seen to do so
/// every 4 seconds instead of every 14. With 128 KiB it would be every 2 seconds, for a tenth more CPU time per message of
/// 1 MiB.
const NOTSENT_LOWAT: u32 = 512 << 10;

/// Limits how many bytes a TCP socket takes that it cannot send yet. It is a hint: not all systems and sockets know it.
fn limit_unsent(socket: &Socket, bytes: Option<u32>) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Some(bytes) = bytes {
        // It fails for a Unix-domain socket, which holds little anyway.
        let _ = socket.set_tcp_notsent_lowat(bytes);
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (socket, bytes);
}

/// How a server's listening socket is made.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// How many connections may wait to be accepted; 1,024. The system may allow fewer.
    pub backlog: i32,
    /// Whether an address may be listened on again while connections of an earlier server linger
    /// (`SO_REUSEADDR`); yes by default.
    pub reuse_address: bool,
    /// Whether several servers may share an address, and the system spreads clients over them
    /// (`SO_REUSEPORT`); no by default.
    pub reuse_port: bool,
    /// `TCP_NODELAY` of the connections that are accepted; yes by default.
    pub nodelay: bool,
    /// `TCP_NOTSENT_LOWAT` of the connections that are accepted, on Linux: how many bytes the operating system takes that
    /// it cannot send yet. A small value shows early whether a slow peer reads, and keeps little old data ahead of new
    /// messages; a large one saves wake-ups. `None`: no limit. Default: 512 KiB.
    pub notsent_lowat: Option<u32>,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            nodelay: true,
            notsent_lowat: Some(NOTSENT_LOWAT),
        }
    }
}

impl ListenOptions {
    /// Sets the options of a listening socket that accepted connections inherit on Linux.
    pub fn prepare(&self, listener: &Socket) {
        limit_unsent(listener, self.notsent_lowat);
    }

    /// Listens on the first of the addresses that can be had.
    ///
    /// # Errors
    ///
    /// None can; with the last reason.
    pub fn listen(&self, addresses: impl ToSocketAddrs) -> io::Result<Socket> {
        let mut last_error = io::Error::new(io::ErrorKind::NotFound, "there is no address to listen on");
        for address in addresses.to_socket_addrs()? {
            match self.listen_on(address) {
                Ok(socket) => return Ok(socket),
                Err(error) => {
                    last_error = io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
                }
            }
        }
        Err(last_error)
    }

    fn listen_on(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        socket.listen(self.backlog)?;
        Ok(socket)
    }

    /// Listens on a Unix-domain socket at this path, which must not exist.
    ///
    /// # Errors
    ///
    /// The path exists or cannot be made.
    pub fn listen_unix(&self, path: &Path) -> io::Result<Socket> {
        let describe = |error: io::Error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
        };
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.bind(&SockAddr::unix(path).map_err(describe)?).map_err(describe)?;
        socket.listen(self.backlog)?;
        Ok(socket)
    }
}

/// Begins to connect, without waiting. When the socket can be written to, it has, or has an error to take.
///
/// # Errors
///
/// It cannot even begin.
pub fn begin_connect(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => Ok(()),
        result => result,
    }
}

/// Writes as many of these bytes to a socket as it takes at once. `Ok(None)` means that it takes none.
///
/// # Errors
///
/// Returns an error if the connection is broken. No signal is raised.
pub fn write_now(socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        // The kernel takes one slice faster than a list of one.
        let written = match slices {
            [slice] => send(socket, slice, flags),
            slices => sendmsg(socket, slices, &mut SendAncillaryBuffer::default(), flags),
        };
        match written {
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(None),
            result => return Ok(Some(result?)),
        }
    }
}
