//! A WebSocket in two halves, for different tasks.

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use ws_core::{Chunk, CloseCode, Closure, Connection, Event, Message, PreparedMessage, State};
use ws_transport::{Driver, Error};

use crate::{
    duplex::{Assembling, Duplex},
    server::{Attached, AttachedReceiver},
};

/// The half of a [`WebSocket`](crate::WebSocket) that receives. Pings and the peer's Close are answered only while it
/// receives, see [dropping](crate::WebSocket#dropping).
pub struct Receiver {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) attached: Option<AttachedReceiver>,
}

impl Receiver {
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.duplex.receive(|event, mut assembling| assembling.message(event)).await
    }

    /// As [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        self.duplex.try_receive(|event, mut assembling| assembling.message(event))
    }

    /// As [`WebSocket::receive_chunk`](crate::WebSocket::receive_chunk).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        let take = |event: Event<'_>, _: Assembling<'_>| match event {
            Event::Message(message) => Some(Chunk::last(message.into_owned())),
            Event::Chunk(chunk) => Some(chunk.into_owned()),
            _ => None,
        };
        self.duplex.receive(take).await
    }

    /// As [`WebSocket::receive_event`](crate::WebSocket::receive_event).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.duplex.receive(|event, _| Some(event.into_owned())).await
    }

    /// As [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().peer
    }

    /// As [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().local
    }

    /// As [`WebSocket::set_read_timeout`](crate::WebSocket::set_read_timeout).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.duplex.set_read_timeout(timeout);
    }
}

/// The half of a [`WebSocket`](crate::WebSocket) that sends. Clones send to the same connection, from any task; messages
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
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.feed(message).await?;
        self.duplex.flush().await
    }

    /// As [`WebSocket::try_send`](crate::WebSocket::try_send).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::try_send`](crate::WebSocket::try_send).
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.try_send(message.into())
    }

    /// As [`WebSocket::feed`](crate::WebSocket::feed), but flushed only by this or another [`Sender`], or by the task that
    /// receives when something wakes it.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send`](crate::WebSocket::send).
    pub async fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.feed(message.into()).await
    }

    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::flush`](crate::WebSocket::flush).
    pub async fn flush(&self) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.flush().await
    }

    /// As [`WebSocket::send_chunk`](crate::WebSocket::send_chunk). Between the pieces of one sender's message no other sender can send
    /// one.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::send_chunk`](crate::WebSocket::send_chunk).
    pub async fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.duplex.look();
        let mut chunk = Some(chunk);
        poll_fn(|cx| self.duplex.poll_send_chunk(cx, &mut chunk)).await?;
        self.duplex.flush().await
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
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.duplex.look();
        self.queue(|driver| driver.send_prepared(message)).await?;
        self.duplex.flush().await
    }

    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    ///
    /// As [`WebSocket::ping`](crate::WebSocket::ping).
    pub async fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.duplex.look();
        self.queue(|driver| driver.queue(|connection| connection.ping(payload))).await?;
        self.duplex.flush().await
    }

    /// Sends a Close and returns. The task that receives sees the closing handshake through.
    ///
    /// # Errors
    ///
    /// As [`WebSocket::close`](crate::WebSocket::close).
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.duplex.begin_close(code, reason)?;
        // A broken connection has nothing left to close.
        let _ = self.flush().await;
        Ok(())
    }

    async fn queue(&self, mut send: impl FnMut(&mut Driver) -> Result<(), Error>) -> Result<(), Error> {
        poll_fn(|cx| self.duplex.poll_queue(cx, &mut send)).await
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
        self.duplex.addresses().peer
    }

    /// As [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().local
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
