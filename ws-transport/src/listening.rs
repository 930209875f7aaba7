//! Listening sockets, and the socket files of Unix-domain listeners.

use std::{
    fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    ops::Deref,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{self, Path, PathBuf},
};

use rustix::io::Errno;
use socket2::{Domain, SockAddr, Socket, Type};

use crate::begin_connect;

/// A listening socket. If it was bound to a path, its file is removed when the socket is closed.
#[derive(Debug)]
pub struct ListeningSocket {
    /// Dropped before the socket. While the socket still listens, no other server takes over the path, so this never
    /// removes another server's file.
    _file: Option<SocketFile>,
    socket: Socket,
    /// `true` if other processes may also hold the socket.
    is_adopted: bool,
}

impl ListeningSocket {
    /// Takes over a socket that already listens. If it is bound to a path, its file is not removed, because it belongs
    /// to the process that created the socket.
    ///
    /// # Errors
    ///
    /// Returns an error if the socket is not a listening stream socket of TCP or of the Unix domain.
    pub fn adopt(socket: OwnedFd) -> io::Result<Self> {
        let socket = Socket::from(socket);
        expect_listening(&socket)?;
        Ok(Self { _file: None, socket, is_adopted: true })
    }

    pub(crate) const fn new(socket: Socket) -> Self {
        Self { _file: None, socket, is_adopted: false }
    }

    /// Binds a socket to a path and listens. Replaces a stale socket file, on which no process listens.
    pub(crate) fn bind_path(path: &Path, backlog: i32) -> io::Result<Self> {
        let address = SockAddr::unix(path)?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        match socket.bind(&address) {
            Err(error) if Errno::from_io_error(&error) == Some(Errno::ADDRINUSE) => {
                remove_stale_file(path, &address)?;
                socket.bind(&address)?;
            }
            bound => bound?,
        }
        let file = SocketFile::of(path);
        socket.listen(backlog)?;
        Ok(Self { _file: file, socket, is_adopted: false })
    }

    /// Makes the operating system ignore new connection attempts, for TCP on Linux. Call it before the last `accept`
    /// calls and the close of the socket.
    ///
    /// Closing a listening socket resets the connections that wait to be accepted. Without this call, a client that
    /// connects between the last `accept` and the close is reset. With it, such a client repeats its SYN after one
    /// second (RFC 6298 section 2). It then reaches the next server on the address, or is refused. TCP handshakes that
    /// have already begun still complete.
    ///
    /// It has no effect on an [adopted](Self::adopt) socket, because other processes may use that socket later.
    pub fn ignore_new_connections(&self) {
        #[cfg(any(target_os = "android", target_os = "linux"))]
        {
            use socket2::SockFilter;

            // A classic BPF program. The kernel runs it on each segment for the listening socket, starting at the TCP
            // header.
            const IGNORE_SYN: [SockFilter; 4] = [
                // Load the flags byte (RFC 9293 section 3.1).
                SockFilter::new(0x30, 0, 0, 13),
                // If SYN is set, continue. Otherwise skip one instruction.
                SockFilter::new(0x45, 0, 1, 0x02),
                // Drop the segment.
                SockFilter::new(0x06, 0, 0, 0),
                // Accept the whole segment.
                SockFilter::new(0x06, 0, 0, u32::MAX),
            ];
            // Unix-domain sockets have no segments.
            let is_tcp = self.socket.local_addr().is_ok_and(|address| !address.is_unix());
            if is_tcp && !self.is_adopted {
                // If the system does not allow filters, a client may still be reset.
                let _ = self.socket.attach_filter(&IGNORE_SYN);
            }
        }
    }

    /// Returns the address. `None` for a Unix-domain socket.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system cannot return the address.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        Ok(self.socket.local_addr()?.as_socket())
    }
}

impl Deref for ListeningSocket {
    type Target = Socket;

    fn deref(&self) -> &Socket {
        &self.socket
    }
}

impl AsFd for ListeningSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Returns the reason if `accept` can never succeed again after this error. `None` for a temporary error: the client
/// has disconnected, or file descriptors or memory are short.
#[must_use]
pub fn accept_failure(error: &io::Error) -> Option<io::Error> {
    let is_final = matches!(Errno::from_io_error(error), Some(Errno::INVAL | Errno::BADF | Errno::NOTSOCK));
    is_final.then(|| {
        let text =
            format!("the server's socket does not listen any more, so that no client can connect: {error}");
        io::Error::new(error.kind(), text)
    })
}

fn expect_listening(socket: &Socket) -> io::Result<()> {
    let invalid = |problem: &str| {
        let text = format!(
            "the server was started with {problem}: pass a stream socket of TCP or of the Unix domain on which \
             `listen` was called"
        );
        Err(io::Error::new(ErrorKind::InvalidInput, text))
    };
    match socket.r#type() {
        Ok(Type::STREAM) => {}
        Ok(_) => return invalid("a socket that is no stream socket"),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::NOTSOCK) => {
            return invalid("a file descriptor that is no socket");
        }
        Err(error) => return Err(error),
    }
    let address = socket.local_addr()?;
    if !(address.is_ipv4() || address.is_ipv6() || address.is_unix()) {
        return invalid("a socket of another address family");
    }
    // Apple's systems do not have this option. There the first `accept` fails instead.
    #[cfg(not(target_vendor = "apple"))]
    if !rustix::net::sockopt::socket_acceptconn(socket)? {
        return invalid("a socket that does not listen");
    }
    Ok(())
}

/// The file of a Unix-domain listener. Dropping it removes the file, unless another file has replaced it.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    id: FileId,
}

/// Device and inode of a file. The kernel does not reuse an inode while a socket is bound to it.
type FileId = (u64, u64);

impl SocketFile {
    /// Returns `None` if the address is not a file, for example in Linux's abstract namespace.
    fn of(path: &Path) -> Option<Self> {
        // The process may change its working directory later.
        let path = path::absolute(path).ok()?;
        let id = file_id(&fs::symlink_metadata(&path).ok()?);
        Some(Self { path, id })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| file_id(&found) == self.id) {
            // If this fails, the next server on the path finds a stale file and replaces it.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_id(metadata: &fs::Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

/// Removes a socket file on which no process listens.
fn remove_stale_file(path: &Path, address: &SockAddr) -> io::Result<()> {
    let is_taken = |problem| Err(io::Error::new(ErrorKind::AddrInUse, problem));
    let Ok(found) = fs::symlink_metadata(path) else {
        return is_taken("another server listens there");
    };
    if !found.file_type().is_socket() {
        return is_taken("there is a file that is no socket. Remove it or choose another path");
    }
    // Non-blocking: a server with a full accept queue would block the probe.
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let is_refused = |error| Errno::from_io_error(&error) == Some(Errno::CONNREFUSED);
    if !begin_connect(&probe, address).is_err_and(is_refused) {
        return is_taken("another process listens there. Stop it or choose another path");
    }
    // Another server may have replaced the file since the first check.
    if fs::symlink_metadata(path).is_ok_and(|now| file_id(&now) == file_id(&found)) {
        fs::remove_file(path)?;
    }
    Ok(())
}
