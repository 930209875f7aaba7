use std::{fmt, future::poll_fn, io, net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use futures_lite::{AsyncRead, AsyncWrite};
use ws_core::{Chunk, CloseCode, CloseInfo, Connection, Event, Message, PreparedMessage, Role};
use ws_sessions::SessionStats;
use ws_transport::{Addresses, ClientOpening, Clock, ConnectionSpan, ControlObserver, Driver, Error};

use crate::{
    Receiver, Sender,
    client::{exchange_in, websocket},
    duplex::Duplex,
    halves::describe,
    input::Input,
    lazy_timer::LazyTimer,
    server::{Attached, AttachedReceiver, Signals},
    stream::Stream,
};

/// An open WebSocket of a client or a server.
///
/// [`send`](Self::send) sends a message immediately. [`feed`](Self::feed) only queues a message. The queued messages
/// are sent together, at the latest when [`receive`](Self::receive) has no more messages to return and waits. A loop
/// that answers with `feed` therefore sends the answers to all available messages in one write.
///
/// To use a WebSocket from several tasks, call [`split`](Self::split), or create a [`Sender`] with
/// [`sender`](Self::sender). It implements [`Stream`](futures_core::Stream) and, with the feature `sink`,
/// [`Sink`](Self#impl-Sink<Message<'m>>-for-WebSocket), which the combinators of `futures` use:
///
#[cfg_attr(feature = "sink", doc = " ```no_run")]
#[cfg_attr(not(feature = "sink"), doc = " ```ignore")]
/// # async fn run() -> Result<(), ws_smol::Error> {
/// use futures_util::{StreamExt as _, TryStreamExt as _};
/// use ws_smol::Message;
///
/// let ws = ws_smol::connect("ws://127.0.0.1:9001/echo").await?;
/// let (sink, stream) = ws.split();
/// // Answers each message with its length.
/// stream.map_ok(|message| Message::from(message.len().to_string())).forward(sink).await?;
/// # Ok(())
/// # }
/// ```
///
/// Every future can be dropped at any point without losing data. Received data stays
/// available for the next `receive`, and a message is queued completely or not at all.
///
/// # Dropping
///
/// A client that drops its WebSocket without [`close`](Self::close) aborts the connection. The peer reports close
/// code 1006.
///
/// A server's handler may drop its WebSocket, or both halves of it, and continue to run. The library then closes the
/// connection with 1000 after 50 ms, waits for the peer's Close, and answers pings in the meantime. If the handler
/// returns earlier, its result determines the close code.
///
/// If the handler drops only the [`Receiver`], the connection stays open for its [`Sender`]s. The library receives in
/// place of the handler: it discards messages, and answers pings and the peer's Close. After the peer's Close,
/// [`send`](Sender::send) fails. If the handler drops only the senders, the connection stays open for the receiver.
///
/// On a client, no pings are answered without a receiver. A client must therefore keep receiving.
pub struct WebSocket {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

impl WebSocket {
    /// Creates a WebSocket from a stream whose opening handshake is complete, for example in an HTTP server, and from
    /// the resulting [`Connection`]. `read` contains the bytes that were read after the handshake, because the first
    /// messages may have arrived with it. `clock` is the clock that was used to open the connection.
    ///
    /// A byte counts as written when the stream has been flushed.
    ///
    /// Call [`close`](Self::close) before you drop the server's end of a connection, even if [`receive`](Self::receive)
    /// has returned `None`. It waits until the client has closed its side of the stream. Otherwise a reset may overtake
    /// the last messages and the Close. A client may wait for the end of the stream itself, so `poll_close` of the stream
    /// has to close its writing direction. That of `async_io::Async` does not, so convert such a stream into one of
    /// `async-net`. With `Async`, `close` of a server's end takes up to
    /// [`close_timeout`](ws_core::Config::close_timeout).
    ///
    /// ```
    /// use std::sync::Arc;
    /// use futures_lite::{AsyncRead, AsyncWrite};
    /// use ws_smol::{Accept, Clock, CloseCode, Config, Error, OriginPolicy, Request, Response, WebSocket};
    ///
    /// /// Answers a request that an HTTP library has parsed. `send` sends the response, and returns the stream behind it.
    /// async fn upgrade<S: AsyncRead + AsyncWrite + Send + 'static>(
    ///     target: &str,
    ///     headers: &[(&str, &[u8])],
    ///     send: impl AsyncFnOnce(Response) -> S,
    /// ) -> Result<(), Error> {
    ///     let request = Request::from_parts("GET", target, headers.iter().copied())?;
    ///     let (clock, config) = (Clock::start(), Arc::new(Config::default()));
    ///     let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
    ///     let (connection, response) = upgrade.accept_parts(&Accept::new(), config, clock.now())?;
    ///     let mut ws = WebSocket::from_upgraded(send(response).await, connection, clock, []);
    ///     while let Some(message) = ws.receive().await? {
    ///         ws.send(message).await?;
    ///     }
    ///     ws.close(CloseCode::NORMAL_CLOSURE, "").await
    /// }
    /// ```
    #[must_use]
    pub fn from_upgraded(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        connection: Connection,
        clock: Clock,
        read: impl Into<Vec<u8>>,
    ) -> Self {
        let stream = Stream::other(stream);
        let driver = Driver::new(connection, None);
        Self::new(
            Duplex::new(
                stream,
                Addresses::default(),
                clock,
                Input::new(read.into()),
                LazyTimer::default(),
                driver,
            ),
            None,
        )
    }

    /// Opens a WebSocket on any stream that is connected to a server, from the parts of the core.
    /// [`Client::connect_over`](crate::Client::connect_over) is shorter, and also supports TLS.
    ///
    /// ```no_run
    /// # async fn over(stream: impl futures_lite::AsyncRead + futures_lite::AsyncWrite + Send + 'static)
    /// # -> Result<(), ws_smol::Error> {
    /// use ws_smol::{Config, HandshakeConfig, WebSocket, ws_core::client::Request};
    ///
    /// let request = Request::new("ws://example.com/chat".parse()?);
    /// let limits = HandshakeConfig::default();
    /// let mut ws = WebSocket::client(stream, &request, &limits, Config::default()).await?;
    /// ws.send("Hello").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Handshake`] if the opening handshake failed.
    /// - Returns [`Error::Io`] if the stream failed.
    pub async fn client(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        request: &ws_core::client::Request,
        limits: &ws_core::HandshakeConfig,
        config: ws_core::Config,
    ) -> Result<Self, Error> {
        let clock = Clock::start();
        let span = ConnectionSpan::client(None, request.url().target());
        let opening = ClientOpening::plain(request, limits, config, clock.now());
        let open = exchange_in(&span, opening, Stream::other(stream), None, clock).await;
        Ok(websocket(open.inspect_err(|_| span.failed())?, None).0)
    }

    pub(crate) fn new(duplex: Arc<Duplex>, read_timeout: Option<Duration>) -> Self {
        duplex.set_read_timeout(read_timeout);
        let sender = Sender { duplex: duplex.clone(), attached: None };
        Self { sender, receiver: Receiver { duplex, observer: ControlObserver::default(), attached: None } }
    }

    /// Creates the WebSocket of a server's handler. The connection is closed when the last handle is dropped.
    pub(crate) fn attached(
        duplex: Arc<Duplex>,
        read_timeout: Option<Duration>,
        signals: &Arc<Signals>,
    ) -> Self {
        let mut ws = Self::new(duplex, read_timeout);
        let (sender, receiver) = Attached::new(signals.clone());
        (ws.sender.attached, ws.receiver.attached) = (Some(sender), Some(receiver));
        ws
    }

    /// Returns the connection and the token that keeps it open while a server's handler runs.
    pub(crate) fn into_parts(mut self) -> (Arc<Duplex>, Option<AttachedReceiver>) {
        (self.receiver.duplex.clone(), self.receiver.attached.take())
    }

    /// Waits for the next message. Returns `None` if the connection has ended [normally](CloseInfo::is_normal): the
    /// peer closed it with 1000, with 1001 or without a code, or answered the Close of this end.
    ///
    /// During the wait, it answers pings, sends keepalive pings and enforces deadlines.
    ///
    /// # Errors
    ///
    /// Every other end of the connection is an error, which is returned once. Later calls return `None`.
    ///
    /// - Returns [`Error::Closed`] if the peer closed the connection with another code, such as 1011, or if this
    ///   application has failed it.
    /// - Returns [`Error::Disconnected`] if the stream ended without a Close, or if the peer missed a deadline.
    /// - Returns [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the peer violated the protocol or the
    ///   network failed.
    /// - Returns [`Error::Timeout`] if no message arrived within the read timeout. The connection is unchanged.
    pub async fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        if self.receiver.observer.is_set() {
            return Box::pin(self.receiver.receive()).await;
        }
        self.receiver.duplex.receive(|event, mut assembling| assembling.message(event)).await
    }

    /// Returns the next message if it has already arrived, and does not wait. Call it from a loop that also does
    /// other work, such as the frame loop of a game.
    ///
    /// Like [`receive`](Self::receive), this answers pings, writes queued output and enforces deadlines.
    ///
    /// ```no_run
    /// use ws_smol::{TimeoutKind, Error, WebSocket};
    ///
    /// fn poll(ws: &mut WebSocket) -> Result<(), Error> {
    ///     match ws.try_receive() {
    ///         Ok(Some(message)) => println!("{message}"),
    ///         Ok(None) => println!("the connection has ended"),
    ///         Err(Error::Timeout(TimeoutKind::Read)) => {} // no message has come yet
    ///         Err(error) => return Err(error),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive). Returns [`Error::Timeout`] with
    /// [`TimeoutKind::Read`](crate::TimeoutKind::Read) if no message has arrived. The connection is then unchanged.
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receiver.try_receive()
    }

    /// Waits for the next chunk of a message. With [`Delivery::Chunks`](ws_core::Delivery::Chunks), it returns chunks
    /// as they arrive, so that a message of any size takes little memory. Otherwise each message is one chunk.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub async fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.receiver.receive_chunk().await
    }

    /// Waits for the next event: a message, a ping, a pong, or the peer's Close.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`receive`](Self::receive).
    pub async fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.receiver.receive_event().await
    }

    /// Sets an observer of control frames: pings and pongs that the peer sends, and its Close. The methods that receive
    /// messages and chunks call it before they return, without holding a lock, so it may use a
    /// [`Sender`](crate::Sender). It replaces an earlier observer. Default: none, which costs nothing.
    ///
    /// The observer does not have to answer: pings are answered in any case. Answers to keepalive pings are not passed to
    /// it, see [`latency`](Self::latency). [`receive_event`](Self::receive_event) returns control frames itself.
    ///
    /// ```no_run
    /// use ws_smol::{Error, Event, WebSocket};
    ///
    /// async fn echo(mut ws: WebSocket) -> Result<(), Error> {
    ///     ws.observe_control(|event| {
    ///         if let Event::Ping(payload) = event {
    ///             println!("a ping with {} bytes", payload.len());
    ///         }
    ///     });
    ///     while let Some(message) = ws.receive().await? {
    ///         ws.send(message).await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn observe_control(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        self.receiver.observe_control(observer);
    }

    /// Sends a message, and waits until the operating system has accepted it.
    ///
    /// An application must also receive, because [`receive`](Self::receive) answers pings, enforces deadlines and
    /// detects the end of the connection. If no task receives, `send` checks the input at most every 10 ms, and
    /// reports that the peer has closed the connection or is lost. Events found by this check are kept for `receive`.
    /// The check stops when 64 events or 64 KiB are waiting. After that, the end of the connection is not detected
    /// until the application receives.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Closed`] if the connection is closing or has ended, and this end has detected it.
    /// - Returns [`Error::Io`] if the network fails.
    /// - Returns [`Error::Timeout`] if the peer accepts no output within the write timeout.
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.send(message).await
    }

    /// Sends a message if there is room for it, without waiting for the peer to read.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send). Returns [`Error::Send`] with
    /// [`SendError::BufferFull`](ws_core::SendError::BufferFull) if too much output is already queued.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.try_send(message)
    }

    /// Queues a message. The next [`flush`](Self::flush), [`send`](Self::send) or wait in [`receive`](Self::receive)
    /// sends it. Waits only while the send queue is full.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub async fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.duplex.feed(message.into()).await
    }

    /// Sends the queued messages, and waits until the operating system has accepted them.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] if the network fails.
    /// - Returns [`Error::Timeout`] if the peer accepts no output within the write timeout.
    pub async fn flush(&self) -> Result<(), Error> {
        self.sender.flush().await
    }

    /// Sends a chunk of a message. The last chunk completes the message.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send). Returns [`Error::Send`] if the type of the chunk does not
    /// match the message.
    pub async fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.sender.send_chunk(chunk).await
    }

    /// Aborts the message that is being sent in chunks. WebSocket cannot cancel a message, so this closes the
    /// connection with 1011. The peer never receives a partial message as a complete one. Does nothing if no message
    /// is being sent in chunks.
    pub fn abort_message(&self) {
        self.sender.abort_message();
    }

    /// Sends a message that is already encoded.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.send_prepared(message).await
    }

    /// Sends a ping with a payload of at most 125 bytes. [`receive_event`](Self::receive_event) returns the pong.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send). Returns [`Error::Send`] if the payload is longer than 125
    /// bytes.
    pub async fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.sender.ping(payload).await
    }

    /// Closes the connection: sends a Close, discards further messages of the peer, and waits for the peer's Close,
    /// for at most [`close_timeout`](ws_core::Config::close_timeout). [`close_info`](Self::close_info) returns the result.
    /// It is not an error if the connection has already ended, if the peer closes it at the same time, or if the peer
    /// does not answer in time.
    ///
    /// A server's end from [`from_upgraded`](Self::from_upgraded) then waits until the client has closed its side of
    /// the stream, for at most `close_timeout`.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Send`] if the code cannot be sent, or if the reason is longer than 123 bytes. The
    ///   connection stays open. Use [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) for a
    ///   reason whose length the application does not control.
    /// - Returns [`Error::Disconnected`], [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the connection ends
    ///   in another way in the meantime.
    pub async fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason).await?;
        let duplex = &self.receiver.duplex;
        let closed = Error::of_close(duplex.receive_to_end().await);
        // The task of a server drains its connections itself, when the handler has returned.
        if self.receiver.attached.is_none() && duplex.with_connection(Connection::role) == Role::Server {
            poll_fn(|cx| duplex.poll_drain(cx)).await;
        }
        closed
    }

    /// Splits the WebSocket into a sending half and a receiving half, for different tasks.
    ///
    /// Use both halves. A [`Sender`] alone answers pings and detects the end of the connection only when it sends,
    /// see [`send`](Self::send). Without a [`Receiver`], each send discards the messages of the peer.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Creates another sending handle, for use from any task.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Turns compression of later messages on or off, if it was negotiated. See [`Deflate`](ws_core::Deflate) about
    /// messages that combine secrets with data chosen by others.
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.sender.set_compression(enabled);
    }

    /// Sets the maximum time for which [`receive`](Self::receive) waits for a message. `None` means no limit. With
    /// zero, `receive` returns only a message that has already arrived, see [`try_receive`](Self::try_receive).
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
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.sender.is_open()
    }

    /// Returns the reason for the end of the connection, or `None` while the connection is open.
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

    /// Returns the peer's address, even after the peer has disconnected. Returns `None` for a Unix-domain socket and
    /// for a stream of the application.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.sender.peer_addr()
    }

    /// Returns another handle for the socket, for example to read or set its options. Returns `None` for a stream of the
    /// application. The socket is in non-blocking mode. Do not read from the handle or write to it, because that would corrupt
    /// the stream. The socket stays open until the handle is dropped.
    ///
    /// # Errors
    ///
    /// Returns an error if file descriptors are short.
    pub fn try_clone_socket(&self) -> io::Result<Option<OwnedFd>> {
        self.sender.duplex.try_clone_socket()
    }

    /// Returns the address of this end. Returns `None` in the same cases as [`peer_addr`](Self::peer_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.sender.local_addr()
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "WebSocket", &self.sender.duplex)
    }
}
