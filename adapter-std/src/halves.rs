//! A WebSocket in two halves for different threads.

use std::{
    fmt,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use ws_core::{Chunk, CloseCode, CloseInfo, Connection, Event, Message, PreparedMessage, State};
use ws_transport::{ControlObserver, Error, MessageAssembler, Observed, SkippedRest};

use crate::{
    attached::{Attached, AttachedReceiver},
    duplex::{Duplex, Owner, Wait},
};

/// The receiving half of a [`WebSocket`](crate::WebSocket). Pings and the peer's Close are answered only while it
/// receives, see [dropping](crate::WebSocket#dropping).
pub struct Receiver {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) assembler: MessageAssembler,
    /// The rest of a message whose reader was dropped.
    pub(crate) skipped: SkippedRest,
    pub(crate) observer: ControlObserver,
    pub(crate) attached: Option<AttachedReceiver>,
}

impl Receiver {
    /// Waits for the next message, see [`WebSocket::receive`](crate::WebSocket::receive).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receive_within(self.read_timeout)
    }

    /// Returns the next message if it has already arrived, see
    /// [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receive_within(Some(Duration::ZERO))
    }

    fn receive_within(&mut self, timeout: Option<Duration>) -> Result<Option<Message<'static>>, Error> {
        let Self { duplex, assembler, skipped, observer, .. } = self;
        let mut wait = Wait::new(timeout);
        if observer.is_set() {
            let take = |event: Event<'_>, owner: Owner<'_>| message(assembler, skipped, event, owner);
            return receive_observed(duplex, observer, wait, take);
        }
        duplex.receive(&mut wait, |event, owner| message(assembler, skipped, event, owner))
    }

    /// Waits for the next chunk of a message, see [`WebSocket::receive_chunk`](crate::WebSocket::receive_chunk).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        let Self { duplex, skipped, observer, read_timeout, .. } = self;
        let mut wait = Wait::new(*read_timeout);
        if observer.is_set() {
            let take = |event: Event<'_>, owner: Owner<'_>| chunk(skipped, event, owner);
            return receive_observed(duplex, observer, wait, take);
        }
        duplex.receive(&mut wait, |event, owner| chunk(skipped, event, owner))
    }

    /// Waits for the next event, see [`WebSocket::receive_event`](crate::WebSocket::receive_event).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        let skipped = &mut self.skipped;
        self.duplex.receive(&mut Wait::new(self.read_timeout), |event, owner| {
            if skipped.contains(&event) { None } else { Some(owner.event(event)) }
        })
    }

    /// Sets an observer of control frames, see [`WebSocket::observe_control`](crate::WebSocket::observe_control).
    pub fn observe_control(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        self.observer.set(observer);
    }

    /// Returns the peer's address, see [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().peer
    }

    /// Returns the address of this end, see [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().local
    }

    /// Sets the maximum time to wait for a message, see
    /// [`WebSocket::set_read_timeout`](crate::WebSocket::set_read_timeout).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }
}

/// Returns the message that an event contains or completes. It is inlined into each loop that receives, because a loop
/// with an observer must not slow down the ordinary one.
#[inline(always)]
fn message(
    assembler: &mut MessageAssembler,
    skipped: &mut SkippedRest,
    event: Event<'_>,
    owner: Owner<'_>,
) -> Option<Message<'static>> {
    match event {
        event if skipped.contains(&event) => None,
        Event::Message(message) => Some(owner.message(message)),
        Event::Chunk(chunk) => owner.assemble(assembler, chunk),
        _ => None,
    }
}

/// Returns the chunk that an event contains.
#[inline(always)]
fn chunk(skipped: &mut SkippedRest, event: Event<'_>, owner: Owner<'_>) -> Option<Chunk<'static>> {
    match event {
        event if skipped.contains(&event) => None,
        Event::Message(message) => Some(Chunk::last(owner.message(message))),
        Event::Chunk(chunk) => Some(owner.chunk(chunk)),
        _ => None,
    }
}

/// Receives data, and passes control frames to the observer.
#[cold]
fn receive_observed<T>(
    duplex: &Duplex,
    observer: &mut ControlObserver,
    mut wait: Wait,
    mut take: impl FnMut(Event<'_>, Owner<'_>) -> Option<T>,
) -> Result<Option<T>, Error> {
    loop {
        let received = duplex.receive(&mut wait, |event, owner| match event {
            Event::Message(_) | Event::Chunk(_) => take(event, owner).map(Observed::Taken),
            event => Some(Observed::Control(owner.event(event))),
        });
        match received? {
            Some(Observed::Control(event)) => observer.observe(&event),
            Some(Observed::Taken(taken)) => return Ok(Some(taken)),
            None => return Ok(None),
        }
    }
}

/// The sending half of a [`WebSocket`](crate::WebSocket). Clones send to the same connection from any thread. Messages
/// are never interleaved.
#[derive(Clone)]
pub struct Sender {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) attached: Option<Arc<Attached>>,
}

impl Sender {
    /// Sends a message, see [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.feed(message)?;
        self.duplex.flush()
    }

    /// Queues a message, see [`WebSocket::feed`](crate::WebSocket::feed). The message is written when this or another
    /// [`Sender`] flushes, or when an event wakes the receiving thread.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.feed(message.into())
    }

    /// Writes all queued messages, see [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::flush`](crate::WebSocket::flush).
    pub fn flush(&self) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.flush()
    }

    /// Sends a chunk of a message, see [`WebSocket::send_chunk`](crate::WebSocket::send_chunk). Until the message is
    /// complete, no other sender can send a message.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send_chunk`](crate::WebSocket::send_chunk).
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.send_chunk(chunk))?;
        self.duplex.flush()
    }

    /// Aborts the message that is being sent in chunks, see
    /// [`WebSocket::abort_message`](crate::WebSocket::abort_message).
    pub fn abort_message(&self) {
        self.duplex.abort_message();
    }

    /// Sends a message that is already encoded, see [`WebSocket::send_prepared`](crate::WebSocket::send_prepared).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.send_prepared(message))?;
        self.duplex.flush()
    }

    /// Sends a ping, see [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::ping`](crate::WebSocket::ping).
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.queue(|connection| connection.ping(payload)))?;
        self.duplex.flush()
    }

    /// Sends a Close and returns. The receiving thread completes the closing handshake.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. In this case the
    /// connection stays open.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.duplex.close(code, reason)
    }

    /// Enables or disables compression, see [`WebSocket::set_compression`](crate::WebSocket::set_compression).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.duplex.set_compression(enabled);
    }

    /// Returns `true` while messages can be sent, see [`WebSocket::is_open`](crate::WebSocket::is_open).
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state() == State::Open
    }

    /// Returns the state of the connection.
    #[must_use]
    pub fn state(&self) -> State {
        self.duplex.with_connection(Connection::state)
    }

    /// Returns the negotiated subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.duplex.with_connection(|connection| connection.subprotocol().map(str::to_owned))
    }

    /// Returns the way the connection ended or is ending. `None` while it is open.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.duplex.close_info()
    }

    /// Returns the round-trip time of the last answered keepalive ping.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.duplex.with_connection(Connection::latency)
    }

    /// Returns the peer's address, see [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().peer
    }

    /// Returns the address of this end, see [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().local
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.duplex.discard_input();
    }
}

/// Returns the socket of the connection, see [`WebSocket`](crate::WebSocket#impl-AsFd-for-WebSocket).
impl AsFd for Receiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.duplex.socket().as_fd()
    }
}

/// Returns the socket of the connection, see [`WebSocket`](crate::WebSocket#impl-AsFd-for-WebSocket).
impl AsFd for Sender {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.duplex.socket().as_fd()
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "Receiver", &self.duplex)
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        describe(f, "Sender", &self.duplex)
    }
}

/// Writes the state of a connection for a log, without its payload.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, name: &str, duplex: &Duplex) -> fmt::Result {
    let (role, state, buffered) =
        duplex.with_connection(|connection| (connection.role(), connection.state(), connection.buffered()));
    f.debug_struct(name)
        .field("role", &role)
        .field("state", &state)
        .field("buffered", &buffered)
        .finish_non_exhaustive()
}
