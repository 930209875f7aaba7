//! Streams of the application on which a WebSocket runs.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, TcpStream},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use rustix::{
    io::Errno,
    net::{SendFlags, send},
};

use crate::{socket::Socket, threads};

/// A stream on which a WebSocket can run: a connected socket, or any other stream behind a [`Relay`].
///
/// Sockets are used directly: `TcpStream`, `UnixStream`, or the `OwnedFd` of a connected stream socket. They become
/// blocking, and their other options stay as they are. For small messages without delay, call `set_nodelay(true)` on a
/// `TcpStream` first.
///
/// A WebSocket waits for several events at once: input, room for output, deadlines and other threads. Only the operating
/// system can do that, and only for file descriptors. So other streams need a [`Relay`].
pub trait IntoSocket {
    /// Converts the stream into a connected stream socket.
    ///
    /// # Errors
    ///
    /// Returns an error if the operating system cannot provide a socket or a thread.
    fn into_socket(self) -> io::Result<OwnedFd>;
}

impl IntoSocket for TcpStream {
    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.into())
    }
}

impl IntoSocket for UnixStream {
    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self.into())
    }
}

impl IntoSocket for OwnedFd {
    fn into_socket(self) -> io::Result<OwnedFd> {
        Ok(self)
    }
}

/// Takes over the stream of an application.
pub(crate) fn adopt(stream: impl IntoSocket) -> io::Result<Socket> {
    let socket = socket2::Socket::from(stream.into_socket()?);
    if socket.r#type()? != socket2::Type::STREAM {
        return Err(io::Error::new(ErrorKind::InvalidInput, "the WebSocket's socket is not a stream socket"));
    }
    Socket::new(socket, None)
}

/// Connects a stream that is not a socket to a WebSocket, by two threads and a pair of sockets. The reader and the writer
/// are the two directions of the stream, such as the ends of two pipes, a serial line, or a TLS library of your own.
///
/// ```
/// use std::{io::pipe, thread};
/// use ws_std::{Client, Relay};
///
/// let (to_server, to_client) = (pipe()?, pipe()?);
/// let serving = thread::spawn(move || {
///     let mut ws = ws_std::accept(Relay::new(to_server.0, to_client.1))?;
///     while let Some(message) = ws.receive()? {
///         ws.send(message)?;
///     }
///     Ok::<(), ws_std::Error>(())
/// });
/// let stream = Relay::new(to_client.0, to_server.1);
/// let mut ws = Client::new("ws://localhost/").connect_over(stream)?;
/// ws.send("over pipes")?;
/// assert_eq!(ws.receive()?.unwrap(), "over pipes");
/// ws.close(ws_std::CloseCode::NORMAL_CLOSURE, "")?;
/// serving.join().unwrap()?;
/// # Ok::<(), ws_std::Error>(())
/// ```
///
/// # Limitations
///
/// - Each connection has two more threads, and each byte is copied once more.
/// - `Ok` from [`send`](crate::WebSocket::send) and [`flush`](crate::WebSocket::flush) means that the relay has accepted the
///   message. The stream may not have accepted it yet.
/// - An error of the reader or the writer is reported as the end of the stream: its reason is lost.
/// - The reading thread ends when the reader returns. A reader that never returns keeps its thread after the WebSocket has
///   been dropped. Drop or shut down the other end of the stream to end it.
/// - [`peer_addr`](crate::WebSocket::peer_addr) and [`local_addr`](crate::WebSocket::local_addr) return `None`.
pub struct Relay<R, W> {
    reader: R,
    writer: W,
}

impl<R, W> Relay<R, W>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    /// Creates a relay for the two directions of a stream. `writer` is dropped after the last output, which has to end
    /// the stream for the peer.
    pub const fn new(reader: R, writer: W) -> Self {
        Self { reader, writer }
    }
}

impl<R, W> IntoSocket for Relay<R, W>
where
    R: Read + Send + 'static,
    W: Write + Send + 'static,
{
    fn into_socket(self) -> io::Result<OwnedFd> {
        let (ours, theirs) = UnixStream::pair()?;
        let output = ours.try_clone()?;
        let Self { reader, writer } = self;
        threads::start("ws-relay-in", move || relay_input(reader, &ours))?;
        // If this fails, both ends of the pair are closed, so that the first thread ends.
        threads::start("ws-relay-out", move || relay_output(writer, output))?;
        Ok(theirs.into())
    }
}

/// Passes input to the WebSocket until the stream ends or the WebSocket has been dropped.
fn relay_input(mut reader: impl Read, socket: &UnixStream) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match reader.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => break,
            Ok(read) => {
                let mut bytes = &buffer[..read];
                while !bytes.is_empty() {
                    match send(socket, bytes, SendFlags::NOSIGNAL) {
                        Ok(sent) => bytes = &bytes[sent..],
                        Err(Errno::INTR) => {}
                        Err(_) => return,
                    }
                }
            }
        }
    }
    // It fails only if the WebSocket no longer exists.
    let _ = socket.shutdown(Shutdown::Write);
}

/// Passes output of the WebSocket to the stream until the WebSocket has shut down its output.
fn relay_output(mut writer: impl Write, mut socket: UnixStream) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        match socket.read(&mut buffer) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
            Ok(read) => {
                if writer.write_all(&buffer[..read]).and_then(|()| writer.flush()).is_err() {
                    // The WebSocket finds the end of its stream, and its next write fails.
                    let _ = socket.shutdown(Shutdown::Both);
                    return;
                }
            }
        }
    }
}

impl<R, W> fmt::Debug for Relay<R, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay").finish_non_exhaustive()
    }
}
