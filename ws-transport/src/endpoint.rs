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

use crate::{AddressFailures, Error, ListeningSocket, SocketOptions};

/// Options of a client's sockets.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// Local address to connect from.
    pub local_address: Option<SocketAddr>,
    /// `TCP_NODELAY`.
    pub nodelay: bool,
    /// `TCP_NOTSENT_LOWAT`.
    pub notsent_lowat: Option<u32>,
    /// Further options.
    pub socket: SocketOptions,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        let notsent_lowat = Some(NOTSENT_LOWAT);
        let socket = SocketOptions::default();
        Self { local_address: None, nodelay: true, notsent_lowat, socket }
    }
}

impl ConnectOptions {
    /// Creates a socket that is ready to connect to `address`.
    ///
    /// # Errors
    ///
    /// Returns an error if no more sockets are available, if an option excludes the address or cannot be set, or if the
    /// local address is of the other address family or is not available.
    pub fn socket(&self, address: SocketAddr) -> io::Result<Socket> {
        let other_family = |local: &SocketAddr| local.is_ipv4() != address.is_ipv4();
        if let Some(local) = self.local_address.filter(other_family) {
            let text = format!("the client's local address {local} is of the other family (IPv4 or IPv6)");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        self.socket.prepare(&socket, address)?;
        if let Some(local) = self.local_address {
            socket.bind(&local.into())?;
        }
        socket.set_tcp_nodelay(self.nodelay)?;
        limit_unsent(&socket, self.notsent_lowat);
        Ok(socket)
    }
}

/// Connects to the server that listens on a Unix-domain socket at this path. Blocks while its backlog is full. Calls
/// `is_over` every 50 milliseconds in the meantime, and returns `Ok(None)` when it returns `true`.
///
/// # Errors
///
/// Returns the error of [`Error::of_connect`] if the server cannot be reached.
pub fn connect_unix(path: &Path, is_over: impl Fn() -> bool) -> Result<Option<Socket>, Error> {
    const SLICE: Duration = Duration::from_millis(50);
    let describe = |error: io::Error| Error::of_connect(path.display(), &error);
    let address = SockAddr::unix(path).map_err(describe)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // On Linux, `connect` waits for room in the backlog until the send timeout. The socket cannot be polled for it.
    socket.set_write_timeout(Some(SLICE))?;
    while !is_over() {
        match socket.connect(&address) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            connected => {
                connected.map_err(describe)?;
                socket.set_write_timeout(None)?;
                return Ok(Some(socket));
            }
        }
    }
    Ok(None)
}

/// Default of `TCP_NOTSENT_LOWAT`, in bytes. Without a limit the operating system accepts megabytes ahead of a slow
/// peer and then nothing for many seconds, which hides that the peer reads. With the limit, progress of a peer that
/// reads 100 KB/s shows every 4 seconds instead of every 14. With 128 KiB it would show every 2 seconds, for a tenth
/// more CPU time per message of 1 MiB.
const NOTSENT_LOWAT: u32 = 512 << 10;

/// Limits the number of unsent bytes that a TCP socket accepts. It is a hint, because not all systems and sockets
/// support it.
pub fn limit_unsent(socket: &Socket, bytes: Option<u32>) {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    if let Some(bytes) = bytes {
        // It fails for a Unix-domain socket, which has a small buffer anyway.
        let _ = socket.set_tcp_notsent_lowat(bytes);
    }
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    let _ = (socket, bytes);
}

/// Number of free ports that are tried if a server listens on several addresses with port 0.
const PORT_ATTEMPTS: usize = 16;

/// The reason why a server cannot listen on several addresses.
#[derive(PartialEq, Eq)]
enum IsTaken {
    /// The port that the operating system has chosen for one address is in use on another one.
    OfFreePort,
    Other,
}

/// Options of a server's listening socket.
#[derive(Clone, Debug)]
pub struct ListenOptions {
    /// Maximum number of connections that wait to be accepted, 1 or more. The operating system may allow fewer. Default:
    /// 1,024.
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
    /// Further options of the listening socket and of accepted connections.
    pub socket: SocketOptions,
}

impl Default for ListenOptions {
    fn default() -> Self {
        Self {
            backlog: 1024,
            reuse_address: true,
            reuse_port: false,
            nodelay: true,
            notsent_lowat: Some(NOTSENT_LOWAT),
            socket: SocketOptions::default(),
        }
    }
}

impl ListenOptions {
    /// Sets the options of a listening socket that accepted connections inherit on Linux.
    pub fn prepare(&self, listener: &Socket) {
        limit_unsent(listener, self.notsent_lowat);
    }

    /// Listens on all of these addresses, for example on both addresses of the name `localhost`. With port 0, all of
    /// them have the same free port.
    ///
    /// Addresses that this machine does not have are left out, for example IPv6 addresses without IPv6. If a port is in
    /// use on one of several addresses, the server listens on none of them, because its clients could reach another
    /// server. A list may also contain alternatives with other ports. Those that are in use are left out.
    ///
    /// # Errors
    ///
    /// Returns an error with the reason for each address if no port is available, or if an option is invalid.
    pub fn listen(&self, addresses: impl ToSocketAddrs) -> io::Result<Vec<ListeningSocket>> {
        self.check()?;
        let mut distinct: Vec<SocketAddr> = Vec::new();
        for address in addresses.to_socket_addrs()? {
            if !distinct.contains(&address) {
                distinct.push(address);
            }
        }
        let mut attempts = PORT_ATTEMPTS;
        loop {
            attempts -= 1;
            match self.listen_on_all(&distinct) {
                // Another socket has the free port on another address.
                Err((_, IsTaken::OfFreePort)) if attempts > 0 => {}
                listening => return listening.map_err(|(error, _)| error),
            }
        }
    }

    fn listen_on_all(&self, addresses: &[SocketAddr]) -> Result<Vec<ListeningSocket>, (io::Error, IsTaken)> {
        let mut failures = AddressFailures::new("listen on");
        let mut sockets: Vec<ListeningSocket> = Vec::new();
        // The ports on which the server listens, as requested. A port that is in use must not be one of them.
        let (mut ports, mut taken, mut free_port) = (Vec::new(), Vec::new(), 0);
        for &requested in addresses {
            let mut address = requested;
            if requested.port() == 0 {
                address.set_port(free_port);
            }
            match self.listen_on(address, addresses) {
                Ok(socket) => {
                    if requested.port() == 0 && free_port == 0 {
                        let bound = socket.local_addr().ok().and_then(|bound| bound.as_socket());
                        free_port = bound.map_or(0, |bound| bound.port());
                    }
                    ports.push(requested.port());
                    sockets.push(ListeningSocket::new(socket));
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::AddrInUse {
                        taken.push(requested.port());
                    }
                    failures.add(address, &error);
                }
            }
        }
        let shared = taken.into_iter().find(|port| ports.contains(port));
        let kind = if shared == Some(0) { IsTaken::OfFreePort } else { IsTaken::Other };
        if sockets.is_empty() || shared.is_some() {
            return Err((failures.into_error(|| "the server has no address to listen on".into()), kind));
        }
        Ok(sockets)
    }

    /// Returns an error if no server can mean these options.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `InvalidInput` that names the option.
    pub fn check(&self) -> io::Result<()> {
        let invalid = |text: String| Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        if self.backlog < 1 {
            return invalid(format!("the server's backlog is {}: it must be 1 or more", self.backlog));
        }
        if self.notsent_lowat == Some(0) {
            return invalid("the server's notsent_lowat is 0 bytes: set it to `None` for no limit".into());
        }
        Ok(())
    }

    fn listen_on(&self, address: SocketAddr, all: &[SocketAddr]) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // Otherwise `[::]` includes all IPv4 addresses, which have sockets of their own.
        if address.is_ipv6() && all.iter().any(SocketAddr::is_ipv4) {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(self.reuse_address)?;
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        self.socket.prepare(&socket, address)?;
        socket.bind(&address.into())?;
        socket.listen(self.backlog)?;
        Ok(socket)
    }

    /// Listens on a Unix-domain socket at this path. The file is removed when the socket is closed. A stale file, the
    /// socket of a process that has ended, is replaced.
    ///
    /// # Errors
    ///
    /// Returns an error if another process listens on the path, if the path names a file that is not a socket, or if
    /// the file cannot be created.
    pub fn listen_unix(&self, path: &Path) -> io::Result<ListeningSocket> {
        self.check()?;
        ListeningSocket::bind_path(path, self.backlog).map_err(|error| {
            io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
        })
    }
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
