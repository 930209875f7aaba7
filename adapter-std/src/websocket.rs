use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use ws_core::{Chunk, CloseCode, CloseInfo, Event, Message, PreparedMessage};
use ws_sessions::SessionStats;
use ws_transport::{Error, MessageAssembler};

use crate::{
    Receiver, Sender,
    attached::{Attached, AttachedReceiver},
    duplex::Duplex,
    halves::describe,
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
    sender: Sender,
    receiver: Receiver,
}

impl WebSocket {
    pub(crate) fn new(duplex: Arc<Duplex>, read_timeout: Option<Duration>) -> Self {
        let assembler = MessageAssembler::default();
        Self {
            sender: Sender { duplex: duplex.clone(), attached: None },
            receiver: Receiver { duplex, read_timeout, assembler, attached: None },
        }
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
    /// # Errors
    ///
    /// - Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. In this case
    ///   the connection stays open. [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) cuts a
    ///   reason if the application does not control its length.
    /// - Returns [`Error::Disconnected`], [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the connection ends
    ///   in another way before the handshake is complete.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason)?;
        Error::of_close(self.receiver.duplex.receive_to_end())
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

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "WebSocket", &self.sender.duplex)
    }
}
