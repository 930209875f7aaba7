use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use ws_core::{Chunk, CloseCode, Closure, Event, Message, PreparedMessage};
use ws_transport::{Error, MessageAssembler};

use crate::{
    Receiver, Sender,
    attached::{Attached, AttachedReceiver},
    duplex::Duplex,
    halves::describe,
};

/// An open WebSocket, of a client or of a server.
///
/// Messages given to [`send`](Self::send) are on their way when it returns. Messages given to
/// [`feed`](Self::feed) wait for each other and leave together, at the latest when
/// [`receive`](Self::receive) has nothing more to give and waits; so a loop that answers with `feed`
/// answers all that came at once by one write.
///
/// For use from several threads, [`split`](Self::split) it, or keep a [`Sender`] from
/// [`sender`](Self::sender).
///
/// # Dropping
///
/// A client that drops its WebSocket without [`close`](Self::close) breaks the connection off, which the peer sees as 1006.
///
/// A server's handler may drop its WebSocket, or both halves of it, and run on: the library then closes the connection with
/// 1000 after 50 ms, waits for the peer's Close and answers pings meanwhile. If the handler returns before, its result
/// decides. If the handler drops only the [`Receiver`], the connection stays open for its [`Sender`]s. The library receives
/// in the handler's place: it drops messages, and answers pings and the peer's Close, after which
/// [`send`](Sender::send) fails. If it drops only the senders, the connection stays open for the receiver. On a client no
/// pings are answered without a receiver, so keep receiving there.
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

    /// Creates the WebSocket of a server's handler. The connection is closed when its last handle is dropped.
    pub(crate) fn attached(duplex: &Arc<Duplex>, read_timeout: Option<Duration>) -> Self {
        let mut ws = Self::new(duplex.clone(), read_timeout);
        let (sender, receiver) = Attached::new(duplex.clone());
        (ws.sender.attached, ws.receiver.attached) = (Some(sender), Some(receiver));
        ws
    }

    /// Returns the connection, and the token that keeps it open while a server's handler runs.
    pub(crate) fn into_parts(mut self) -> (Arc<Duplex>, Option<AttachedReceiver>) {
        (self.receiver.duplex.clone(), self.receiver.attached.take())
    }

    /// Waits for the next message. Returns `None` if the connection has ended [normally](Closure::is_normal): the peer
    /// closed it with 1000, with 1001 or without a code, or answered the Close of this end.
    ///
    /// While it waits, pings are answered, keepalive pings sent and deadlines kept.
    ///
    /// # Errors
    ///
    /// Every other end of the connection is an error, which is returned once. Later calls return `None`.
    ///
    /// - Returns [`Error::Closed`] if the peer closed the connection with another code, such as 1011, or if this
    ///   application has failed it.
    /// - Returns [`Error::Disconnected`] if the stream ended without a Close, or if the peer missed a deadline.
    /// - Returns [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the peer broke a rule or the network failed.
    /// - Returns [`Error::Timeout`] if no message came within the read timeout. The connection is as it was.
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receiver.receive()
    }

    /// Returns the next message if it has come already, and does not wait. Call it from a loop that also does something
    /// else, such as the frame loop of a game.
    ///
    /// Like [`receive`](Self::receive), this answers pings, writes what is queued and keeps deadlines.
    ///
    /// ```no_run
    /// use ws_std::{Deadline, Error, WebSocket};
    ///
    /// fn poll(ws: &mut WebSocket) -> Result<(), Error> {
    ///     match ws.try_receive() {
    ///         Ok(Some(message)) => println!("{message}"),
    ///         Ok(None) => println!("the connection has ended"),
    ///         Err(Error::Timeout(Deadline::Read)) => {} // no message has come yet
    ///         Err(error) => return Err(error),
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive). Returns [`Error::Timeout`] with [`Deadline::Read`](crate::Deadline::Read) if no
    /// message has come. The connection is as it was.
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receiver.try_receive()
    }

    /// Waits for the next piece of a message. With [`Delivery::Chunks`](ws_core::Delivery::Chunks) pieces
    /// come as they arrive, so that a message of any size takes little memory; otherwise each message is
    /// one piece.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.receiver.receive_chunk()
    }

    /// Waits for whatever comes next: messages, pings, pongs, the peer's Close.
    ///
    /// # Errors
    ///
    /// As [`receive`](Self::receive).
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.receiver.receive_event()
    }

    /// Sends a message, and waits until the operating system has taken it.
    ///
    /// An application has to receive, too: [`receive`](Self::receive) answers pings, keeps deadlines and finds the end of the
    /// connection. While no thread receives, `send` looks at the input, at most every 10 ms, to report that the peer has
    /// closed the connection or is lost. The events that it finds wait for `receive`. It looks no further once 64 events
    /// or 64 KiB wait: then the end of the connection stays unknown until the application receives.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Closed`] if the connection is known to be closing or to have ended.
    /// - Returns [`Error::Io`] if the network fails.
    /// - Returns [`Error::Timeout`] if the peer does not read within the write timeout.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.send(message)
    }

    /// Queues a message, to be sent with the next [`flush`](Self::flush), [`send`](Self::send) or wait in
    /// [`receive`](Self::receive). Waits only if very much is queued already.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.sender.feed(message)
    }

    /// Sends what is queued, and waits until the operating system has taken it.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], or [`Error::Timeout`] if the peer does not read.
    pub fn flush(&self) -> Result<(), Error> {
        self.sender.flush()
    }

    /// Sends a piece of a message; the last piece ends it.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Error::Send`] for a piece of the wrong kind.
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.sender.send_chunk(chunk)
    }

    /// Gives up the message that is being sent in chunks. WebSocket has no way to take a message back, so this closes the
    /// connection with 1011, and the peer never sees a part of the message as a whole one. Does nothing if no message is
    /// being sent in chunks.
    pub fn abort_message(&self) {
        self.sender.abort_message();
    }

    /// Sends a message that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.sender.send_prepared(message)
    }

    /// Sends a ping with at most 125 bytes. [`receive_event`](Self::receive_event) shows the pong.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send); [`Error::Send`] for a longer payload.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.sender.ping(payload)
    }

    /// Closes the connection: sends a Close, drops what the peer still sends, and waits for its Close, not
    /// longer than [`close_timeout`](ws_core::Config::close_timeout). [`closure`](Self::closure) returns how
    /// it went. It is no error if the connection has ended already, if the peer closes it at the same time, or if the
    /// peer does not answer in time.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. The connection stays
    /// open then, and [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) cuts a reason whose length the
    /// application does not control. Returns [`Error::Disconnected`],
    /// [`Error::Protocol`], [`Error::Io`] or [`Error::Tls`] if the connection ends in another way meanwhile.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.sender.close(code, reason)?;
        Error::of_close(self.receiver.duplex.receive_to_end())
    }

    /// Splits the WebSocket into a half that sends and a half that receives, for different threads.
    ///
    /// Use both halves. A [`Sender`] alone answers pings and finds the end of the connection only when it sends, see
    /// [`send`](Self::send). Without a [`Receiver`], messages of the peer are dropped at each send.
    #[must_use]
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Another handle to send with, for any thread.
    #[must_use]
    pub fn sender(&self) -> Sender {
        self.sender.clone()
    }

    /// Whether messages from now on are compressed, where that was agreed on. For messages that hold secrets
    /// beside what others chose, see [`Deflate`](ws_core::Deflate).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.sender.set_compression(enabled);
    }

    /// Sets how long [`receive`](Self::receive) waits for a message. `None`: without end. Zero: it returns a message that
    /// has come already, see [`try_receive`](Self::try_receive).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.receiver.set_read_timeout(timeout);
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.sender.subprotocol()
    }

    /// How the connection ended, or is ending; `None` while it is open.
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        self.sender.closure()
    }

    /// How long the last answered keepalive ping took.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.sender.latency()
    }

    /// Returns the peer's address, also when the peer has gone. `None` for a Unix-domain socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.sender.peer_addr()
    }

    /// Returns the address of this end. `None` as for [`peer_addr`](Self::peer_addr).
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
