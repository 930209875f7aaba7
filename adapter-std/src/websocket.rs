use std::{
    fmt,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
    time::Duration,
};

use ws_core::{Chunk, CloseCode, CloseInfo, Connection, Event, Message, PreparedMessage, Role};
use ws_sessions::SessionStats;
use ws_transport::{Clock, ControlObserver, Driver, Error, MessageAssembler, SkippedRest};

use crate::{
    Receiver, Sender,
    attached::{Attached, AttachedReceiver},
    duplex::Duplex,
    halves::describe,
    read_buffer::ReadBuffer,
    socket::Socket,
};

/// An open WebSocket of a client or of a server.
///
/// [`send`](Self::send) writes a message at once. [`feed`](Self::feed) queues messages, which are written together, at
/// the latest when [`receive`](Self::receive) has no further message and waits. So a loop that replies with `feed`
/// writes all replies to the messages of one read at once.
///
/// To use it from several threads, [`split`](Self::split) it, or clone a [`Sender`] from [`sender`](Self::sender).
///
/// # Dropping
///
/// If a client drops its WebSocket without [`close`](Self::close), the connection is aborted. The peer reports close
/// code 1006.
///
/// A handler of a server may drop its handles and continue to run:
///
/// - If it drops its WebSocket, or both halves, the library closes the connection with 1000 after 50 ms. It waits for
///   the peer's Close and answers pings meanwhile. If the handler returns within the 50 ms, its result determines the
///   close code.
/// - If it drops only the [`Receiver`], the connection stays open for its [`Sender`]s. The library receives in the
///   handler's place: it drops messages, and answers pings and the peer's Close. After the peer's Close,
///   [`send`](Sender::send) fails.
/// - If it drops only the senders, the connection stays open for the receiver.
///
/// On a client, pings are answered only while a receiver receives, so keep receiving.
pub struct WebSocket {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

impl WebSocket {
    pub(crate) fn new(duplex: Arc<Duplex>, read_timeout: Option<Duration>) -> Self {
        let assembler = MessageAssembler::default();
        Self {
            sender: Sender { duplex: duplex.clone(), attached: None },
            receiver: Receiver {
                duplex,
                read_timeout,
                assembler,
                observer: ControlObserver::default(),
                skipped: SkippedRest::default(),
                attached: None,
            },
        }
    }

    /// Creates a WebSocket from a socket whose opening handshake is complete, for example in an HTTP server, and from the
    /// resulting [`Connection`]. The socket is a [`TcpStream`](std::net::TcpStream), a
    /// [`UnixStream`](std::os::unix::net::UnixStream) or another connected stream socket. `read` contains the bytes that
    /// were read behind the handshake, because the first messages may have arrived with it. `clock` is the clock that was
    /// used to open the connection.
    ///
    /// Call [`close`](Self::close) before you drop the server's end of a connection, even if [`receive`](Self::receive)
    /// has returned `None`. It waits until the client has closed its side of the stream. Otherwise a reset may overtake
    /// the last messages and the Close.
    ///
    /// ```no_run
    /// use std::{io::Write as _, net::TcpStream, sync::Arc};
    /// use ws_std::{Accept, Clock, Config, Error, OriginPolicy, Request, WebSocket};
    ///
    /// /// Answers a request that an HTTP server has parsed. `rest` are the bytes behind its head.
    /// fn upgrade(
    ///     mut stream: TcpStream,
    ///     target: &str,
    ///     headers: &[(&str, &[u8])],
    ///     rest: &[u8],
    /// ) -> Result<WebSocket, Error> {
    ///     let request = Request::from_parts("GET", target, headers.iter().copied())?;
    ///     let (clock, config) = (Clock::start(), Arc::new(Config::default()));
    ///     let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
    ///     let (connection, response) = upgrade.accept_parts(&Accept::new(), config, clock.now())?;
    ///     write!(stream, "HTTP/1.1 {} Switching Protocols\r\n", response.status())?;
    ///     for (name, value) in response.headers().iter() {
    ///         stream.write_all(&[name.as_bytes(), b": ", value, b"\r\n"].concat())?;
    ///     }
    ///     stream.write_all(b"\r\n")?;
    ///     WebSocket::from_upgraded(stream, connection, clock, rest)
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if the socket cannot be set to blocking mode.
    pub fn from_upgraded(
        stream: impl Into<OwnedFd>,
        connection: Connection,
        clock: Clock,
        read: impl Into<Vec<u8>>,
    ) -> Result<Self, Error> {
        let socket = Arc::new(Socket::new(stream.into().into(), None)?);
        let driver = Driver::new(connection, None);
        let duplex = Duplex::new(socket, clock, ReadBuffer::new(read.into()), driver);
        Ok(Self::new(Arc::new(duplex), None))
    }

    /// Creates the WebSocket of a server's handler. The connection is closed when the last handle is dropped.
    pub(crate) fn attached(duplex: &Arc<Duplex>, read_timeout: Option<Duration>) -> Self {
        let mut ws = Self::new(duplex.clone(), read_timeout);
        let (sender, receiver) = Attached::new(duplex.clone());
        (ws.sender.attached, ws.receiver.attached) = (Some(sender), Some(receiver));
        ws
    }

    /// Returns the connection, and the token that keeps it open while a handler of a server runs.
    pub(crate) fn into_parts(mut self) -> (Arc<Duplex>, Option<AttachedReceiver>) {
        (self.receiver.duplex.clone(), self.receiver.attached.take())
    }

    /// Waits for the next message. Returns `None` if the connection has ended [normally](CloseInfo::is_normal): the peer
    /// closed it with 1000, with 1001 or without a code, or answered the Close of this end.
    ///
    /// While it waits, this method answers pings, sends keepalive pings and enforces deadlines.
    ///
    /// # Errors
    ///
    /// Any other end of the connection is an error. It is returned once, and later calls return `None`.
    ///
    /// - Returns [`Error::Closed`] if the peer closed the connection with another code, such as 1011, or if this
    ///   application has failed the connection.
    /// - Returns [`Error::Disconnected`] if the stream ended without a Close, or if the peer missed a deadline.
    /// - Returns [`Error::Protocol`] if the peer violated the protocol.
    /// - Returns [`Error::Io`] or [`Error::Tls`] if the network or TLS failed.
    /// - Returns [`Error::Timeout`] if no message arrived within the read timeout. The connection is unchanged.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receiver.receive()
    }

    /// Returns the next message if it has already arrived, and does not wait. Use it in a loop with other work, such
    /// as the frame loop of a game.
    ///
    /// Like [`receive`](Self::receive), this method answers pings, writes queued messages and enforces deadlines.
    ///
    /// ```no_run
    /// use ws_std::{TimeoutKind, Error, WebSocket};
    ///
    /// fn poll(ws: &mut WebSocket) -> Result<(), Error> {
    ///     match ws.try_receive() {
    ///         Ok(Some(message)) => println!("{message}"),
    ///         Ok(None) => println!("the connection has ended"),
    ///         Err(Error::Timeout(TimeoutKind::Read)) => {} // no message has arrived yet
    ///         Err(error) => return Err(error),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive). Returns [`Error::Timeout`] with
    /// [`TimeoutKind::Read`](crate::TimeoutKind::Read) if no message has arrived. In this case the connection is unchanged.
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receiver.try_receive()
    }

    /// Waits for the next chunk of a message. With [`Delivery::Chunks`](ws_core::Delivery::Chunks), chunks are
    /// returned as they arrive, so that a message of any size needs little memory. Otherwise each message is one
    /// chunk.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.receiver.receive_chunk()
    }

    /// Waits for the next event: a message, a ping, a pong, or the peer's Close.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.receiver.receive_event()
    }

    /// Sets an observer of control frames: pings and pongs that the peer sends, and its Close. The methods that receive
    /// messages and chunks call it before they return, without holding a lock, so it may use a
    /// [`Sender`](crate::Sender). It replaces an earlier observer. Default: none, which costs nothing.
    ///
    /// The observer does not have to answer: pings are answered in any case. Answers to keepalive pings are not passed to
    /// it, see [`latency`](Self::latency). [`receive_event`](Self::receive_event) returns control frames itself.
    ///
    /// ```no_run
    /// use ws_std::{Error, Event, WebSocket};
    ///
    /// fn echo(mut ws: WebSocket) -> Result<(), Error> {
    ///     ws.observe_control(|event| {
    ///         if let Event::Ping(payload) = event {
    ///             println!("a ping with {} bytes", payload.len());
    ///         }
    ///     });
    ///     while let Some(message) = ws.receive()? {
    ///         ws.send(message)?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn observe_control(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        self.receiver.observe_control(observer);
    }

    /// Sends a message, and waits until the operating system has accepted it.
    ///
    /// An application also has to receive: [`receive`](Self::receive) answers pings, enforces deadlines and detects
    /// the end of the connection. While no thread receives, `send` looks at the input, at most every 10 ms, to report
    /// that the peer has closed the connection or is lost. The events that it finds wait for `receive`. It stops
    /// looking when 64 events or 64 KiB wait. From then on, only `receive` detects the end of the connection.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Closed`] if the connection is closing or has ended, and this was detected.
    /// - Returns [`Error::Io`] if the network fails.
    /// - Returns [`Error::Timeout`] if the peer does not read within the write timeout.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.send(message)
    }

    /// Queues a message. The next [`flush`](Self::flush), [`send`](Self::send) or wait in [`receive`](Self::receive)
    /// writes it. This method waits only if [`write_buffer_size`](ws_core::Config::write_buffer_size) bytes or more are
    /// queued.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.feed(message)
    }

    /// Writes all queued messages, and waits until the operating system has accepted them.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] if the network fails.
    /// - Returns [`Error::Timeout`] if the peer does not read within the write timeout.
    pub fn flush(&self) -> Result<(), Error> {
        self.sender.flush()
    }

    /// Sends a chunk of a message. A chunk with `last` set completes the message.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`send`](Self::send).
    /// - Returns [`Error::Send`] if the chunk is not of the kind of the message.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.sender.send_chunk(chunk)
    }

    /// Aborts the message that is being sent in chunks. WebSocket cannot cancel a message, so this closes the
    /// connection with 1011, and the peer never receives the part as a complete message. Does nothing if no message is
    /// being sent in chunks.
    pub fn abort_message(&self) {
        self.sender.abort_message();
    }

    /// Sends a message that is already encoded.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.send_prepared(message)
    }

    /// Sends a ping with a payload of at most 125 bytes. [`receive_event`](Self::receive_event) returns the pong.
    ///
    /// # Errors
    ///
    /// - Returns the same errors as [`send`](Self::send).
    /// - Returns [`Error::Send`] if the payload has more than 125 bytes.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.sender.ping(payload)
    }

    /// Closes the connection with a closing handshake. Sends a Close, drops further messages of the peer, and waits
    /// for its Close for at most [`close_timeout`](ws_core::Config::close_timeout). [`close_info`](Self::close_info) then
    /// returns the result. It is not an error if the connection has already ended, if the peer closes it at the same
    /// time, or if the peer does not answer in time.
    ///
    /// A server's end from [`from_upgraded`](Self::from_upgraded) then waits until the client has closed its side of
    /// the stream, for at most `close_timeout`.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. In this case
    ///   the connection stays open. [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) cuts a
    ///   reason if the application does not control its length.
    /// - Returns [`Error::Disconnected`], [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the connection ends
    ///   in another way before the handshake is complete.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason)?;
        let duplex = &self.receiver.duplex;
        let closed = Error::of_close(duplex.receive_to_end());
        // The thread of a server drains its connections itself, when the handler has returned.
        if self.receiver.attached.is_none() && duplex.with_connection(Connection::role) == Role::Server {
            duplex.drain();
        }
        closed
    }

    /// Splits the WebSocket into a sending and a receiving half for different threads.
    ///
    /// Use both halves. A [`Sender`] alone answers pings and detects the end of the connection only when it sends, see
    /// [`send`](Self::send). Without a [`Receiver`], each send drops the messages of the peer.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Returns another handle for sending. Any thread can use it.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Enables or disables compression of further messages, if compression was negotiated. Disable it for messages
    /// that contain secrets together with text that others chose, see [`Deflate`](ws_core::Deflate).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.sender.set_compression(enabled);
    }

    /// Sets the maximum time that [`receive`](Self::receive) waits for a message. `None`: no limit. With zero, it
    /// returns only a message that has already arrived, see [`try_receive`](Self::try_receive).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.receiver.set_read_timeout(timeout);
    }

    /// Returns the negotiated subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.sender.subprotocol()
    }

    /// Returns `true` while messages can be sent: no Close was sent or received, and the end of the connection was not
    /// detected. Receiving detects it.
    ///
    /// ```no_run
    /// use ws_std::{Error, WebSocket};
    ///
    /// fn echo(mut ws: WebSocket) -> Result<(), Error> {
    ///     while ws.is_open() {
    ///         if let Some(message) = ws.receive()? {
    ///             ws.send(message)?;
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.is_open()
    }

    /// Returns the way the connection ended or is ending. `None` while it is open.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.sender.close_info()
    }

    /// Returns the round-trip time of the last answered keepalive ping.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.sender.latency()
    }

    /// Returns the counters of the connection: messages and bytes in both directions, and the round-trip time.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        SessionStats::of_connection(&*self.sender.duplex)
    }

    /// Returns the peer's address, even after the peer has disconnected. `None` for a Unix-domain socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.sender.peer_addr()
    }

    /// Returns the address of this end. `None` for a Unix-domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.sender.local_addr()
    }
}

/// Returns the socket of the connection, for example to read or set its options. It is in blocking mode. Do not read from
/// it or write to it, because that would corrupt the stream. If it becomes readable, a message may have arrived, or only a
/// part of one: [`try_receive`](WebSocket::try_receive) does not wait. Messages that were read together with an earlier one
/// do not make it readable, so call `try_receive` until it returns no message before you wait for the socket.
///
/// With a [`Relay`](crate::Relay), it is the socket to the relay.
impl AsFd for WebSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.sender.as_fd()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "WebSocket", &self.sender.duplex)
    }
}
