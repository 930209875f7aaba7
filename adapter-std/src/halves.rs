//! A WebSocket in two halves, for different threads.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use ws_core::{Chunk, CloseCode, Closure, Connection, Event, Message, PreparedMessage, State};
use ws_transport::{Error, MessageAssembler};

use crate::{
    attached::{Attached, AttachedReceiver},
    duplex::{Duplex, Patience},
};

/// The half of a [`WebSocket`](crate::WebSocket) that receives. Pings and the peer's Close are answered only while it
/// receives, see [dropping](crate::WebSocket#dropping).
pub struct Receiver {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) read_timeout: Option<Duration>,
    pub(crate) assembler: MessageAssembler,
    pub(crate) attached: Option<AttachedReceiver>,
}

impl Receiver {
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receive_within(self.read_timeout)
    }

    /// As [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.receive_within(Some(Duration::ZERO))
    }

    fn receive_within(&mut self, timeout: Option<Duration>) -> Result<Option<Message<'static>>, Error> {
        let assembler = &mut self.assembler;
        self.duplex.receive(Patience::new(timeout), |event, owner| match event {
            Event::Message(message) => Some(owner.message(message)),
            Event::Chunk(chunk) => assembler.add(owner.chunk(chunk)),
            _ => None,
        })
    }

    /// As [`WebSocket::receive_chunk`](crate::WebSocket::receive_chunk).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        self.duplex.receive(Patience::new(self.read_timeout), |event, owner| match event {
            Event::Message(message) => Some(Chunk::last(owner.message(message))),
            Event::Chunk(chunk) => Some(owner.chunk(chunk)),
            _ => None,
        })
    }

    /// As [`WebSocket::receive_event`](crate::WebSocket::receive_event).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.duplex.receive(Patience::new(self.read_timeout), |event, owner| Some(owner.event(event)))
    }

    /// As [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().peer
    }

    /// As [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().local
    }

    /// As [`WebSocket::set_read_timeout`](crate::WebSocket::set_read_timeout).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }
}

/// The half of a [`WebSocket`](crate::WebSocket) that sends. Clones send to the same connection, from any thread; messages
/// are never mixed.
#[derive(Clone)]
pub struct Sender {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) attached: Option<Arc<Attached>>,
}

impl Sender {
    /// As [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.feed(message)?;
        self.duplex.flush()
    }

    /// As [`WebSocket::feed`](crate::WebSocket::feed), but flushed only by this or another [`Sender`], or by the thread that
    /// receives when something wakes it.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.feed(message.into())
    }

    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    pub fn flush(&self) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.flush()
    }

    /// As [`WebSocket::send_chunk`](crate::WebSocket::send_chunk). Between the pieces of one sender's message no other sender can send
    /// one.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_chunk`](crate::WebSocket::send_chunk).
    pub fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.send_chunk(chunk))?;
        self.duplex.flush()
    }

    /// As [`WebSocket::abort_message`](crate::WebSocket::abort_message).
    pub fn abort_message(&self) {
        self.duplex.abort_message();
    }

    /// As [`WebSocket::send_prepared`](crate::WebSocket::send_prepared).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.send_prepared(message))?;
        self.duplex.flush()
    }

    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.queue(|driver| driver.queue(|connection| connection.ping(payload)))?;
        self.duplex.flush()
    }

    /// Sends a Close and returns. The thread that receives sees the closing handshake through.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::close`](crate::WebSocket::close).
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.duplex.close(code, reason)
    }

    /// As [`WebSocket::set_compression`](crate::WebSocket::set_compression).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.duplex.set_compression(enabled);
    }

    /// How far the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        self.duplex.ask(Connection::state)
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<String> {
        self.duplex.ask(|connection| connection.subprotocol().map(str::to_owned))
    }

    /// How the connection ended, or is ending; `None` while it is open.
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        self.duplex.closure()
    }

    /// How long the last answered keepalive ping took.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.duplex.ask(Connection::latency)
    }

    /// As [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.socket().addresses().peer
    }

    /// As [`WebSocket::local_addr`](crate::WebSocket::local_addr).
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

/// What a log should have of a connection; not what it carries.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, name: &str, duplex: &Duplex) -> fmt::Result {
    let (role, state, buffered) =
        duplex.ask(|connection| (connection.role(), connection.state(), connection.buffered()));
    f.debug_struct(name)
        .field("role", &role)
        .field("state", &state)
        .field("buffered", &buffered)
        .finish_non_exhaustive()
}
