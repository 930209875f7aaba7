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

/// Options of a client's sockets.
#[derive(Clone, Copy, Debug)]
pub struct ConnectOptions {
    /// Maximum duration of connecting, for all addresses together.
    pub timeout: Duration,
    /// Local address to connect from.
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
    /// Creates a socket that is ready to connect to `address`.
    ///
    /// # Errors
    ///
    /// Returns an error if no more sockets are available, or if the local address is not available.
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

/// Default of `TCP_NOTSENT_LOWAT`, in bytes. Without a limit the operating system accepts megabytes ahead of a slow
/// peer and then nothing for many seconds, which hides that the peer reads. With the limit, progress of a peer that
/// reads 100 KB/s shows every 4 seconds instead of every 14. With 128 KiB it would show every 2 seconds, for a tenth
/// more CPU time per message of 1 MiB.
const NOTSENT_LOWAT: u32 = 512 << 10;

/// Limits the number of unsent bytes that a TCP socket accepts. It is a hint, because not all systems and sockets
/// support it.
fn limit_unsent(socket: &Socket, bytes: Option<u32>) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Some(bytes) = bytes {
        // It fails for a Unix-domain socket, which has a small buffer anyway.
        let _ = socket.set_tcp_notsent_lowat(bytes);
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (socket, bytes);
}

/// Options of a server's listening socket.
#[derive(Clone, Copy, Debug)]
pub struct ListenOptions {
    /// Maximum number of connections that wait to be accepted. The operating system may allow fewer. Default: 1,024.
    pub backlog: i32,
    /// `SO_REUSEADDR`: if `true`, a server can listen on an address while connections of an earlier server linger.
    /// Default: `true`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`: if `true`, several servers can share an address, and the operating system distributes clients
    /// over them. Default: `false`.
    pub reuse_port: bool,
    /// `TCP_NODELAY` of accepted connections. Default: `true`.
    pub nodelay: bool,
    /// `TCP_NOTSENT_LOWAT` of accepted connections on Linux: maximum number of unsent bytes that the operating system
    /// accepts. A small value shows early that a slow peer reads, and keeps little old data ahead of new messages. A
    /// large value saves wake-ups. `None`: no limit. Default: 512 KiB.
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

    /// Listens on the first available address.
    ///
    /// # Errors
    ///
    /// Returns the error of the last address if none is available.
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
    /// Returns an error if the path exists or cannot be created.
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

/// Makes the operating system ignore attempts to connect to a listening TCP socket from now on, on Linux. Call it before
/// the last `accept` calls and the close of the socket.
///
/// Closing a listening socket resets the connections that wait to be accepted. Without this call, a client that connects
/// between the last `accept` and the close is reset. An ignored client sends its SYN again after a second (RFC 6298,
/// section 2) and reaches the next server of the address, or is refused. Handshakes that have begun still complete.
pub fn ignore_new_connections(listener: &Socket) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    {
        use socket2::SockFilter;

        // A classic BPF program. The kernel runs it on each segment for the listening socket, from the TCP header on.
        const IGNORE_SYN: [SockFilter; 4] = [
            // Load the byte of flags (RFC 9293, section 3.1).
            SockFilter::new(0x30, 0, 0, 13),
            // If SYN is set, continue, else skip one instruction.
            SockFilter::new(0x45, 0, 1, 0x02),
            // Drop the segment.
            SockFilter::new(0x06, 0, 0, 0),
            // Keep all of the segment.
            SockFilter::new(0x06, 0, 0, u32::MAX),
        ];
        // The segments of other sockets have another format.
        let is_tcp = listener.local_addr().is_ok_and(|address| address.is_ipv4() || address.is_ipv6());
        if is_tcp {
            // If the system does not allow filters, a client may be reset as without this call.
            let _ = listener.attach_filter(&IGNORE_SYN);
        }
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = listener;
}

/// Begins to connect, without waiting. The attempt is complete when the socket is writable: it is connected, or has a
/// pending error.
///
/// # Errors
///
/// Returns an error if the attempt cannot begin.
pub fn begin_connect(socket: &Socket, address: &SockAddr) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    match socket.connect(address) {
        Err(error) if Errno::from_io_error(&error) == Some(Errno::INPROGRESS) => Ok(()),
        result => result,
    }
}

/// Writes as many of these bytes to a socket as it accepts at once. Returns `Ok(None)` if it accepts none.
///
/// # Errors
///
/// Returns an error if the connection is broken. No signal is raised.
pub fn write_now(socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    loop {
        // The kernel handles one slice faster than a list of one slice.
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
