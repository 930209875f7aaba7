//! The two halves of a WebSocket, for use from different tasks.

use std::{fmt, future::poll_fn, net::SocketAddr, sync::Arc, time::Duration};

use ws_core::{Chunk, CloseCode, CloseInfo, Connection, Event, Message, PreparedMessage, State};
use ws_transport::{ControlObserver, Driver, Error, Observed};

use crate::{
    duplex::{Assembling, Duplex, Wait},
    server::{Attached, AttachedReceiver},
};

/// The receiving half of a [`WebSocket`](crate::WebSocket). Pings and the peer's Close are answered only while it
/// receives, see [dropping](crate::WebSocket#dropping).
pub struct Receiver {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) observer: ControlObserver,
    pub(crate) attached: Option<AttachedReceiver>,
}

impl Receiver {
    /// Receives the next message, like [`WebSocket::receive`](crate::WebSocket::receive).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        let take = |event: Event<'_>, mut assembling: Assembling<'_>| assembling.message(event);
        if self.observer.is_set() {
            return Box::pin(self.receive_observed(take)).await;
        }
        self.duplex.receive(take).await
    }

    /// Receives a message without waiting, like [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::try_receive`](crate::WebSocket::try_receive).
    pub fn try_receive(&mut self) -> Result<Option<Message<'static>>, Error> {
        let mut wait = self.duplex.wait_until_now();
        let mut take = |event: Event<'_>, mut assembling: Assembling<'_>| assembling.message(event);
        if !self.observer.is_set() {
            return self.duplex.try_receive(&mut wait, take);
        }
        let mut take = observed(&mut take);
        loop {
            match self.duplex.try_receive(&mut wait, &mut take)? {
                Some(Observed::Control(event)) => self.observer.observe(&event),
                Some(Observed::Taken(message)) => return Ok(Some(message)),
                None => return Ok(None),
            }
        }
    }

    /// Receives the next chunk of a message, like [`WebSocket::receive_chunk`](crate::WebSocket::receive_chunk).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive_chunk(&mut self) -> Result<Option<Chunk<'static>>, Error> {
        let take = |event: Event<'_>, _: Assembling<'_>| match event {
            Event::Message(message) => Some(Chunk::last(message.into_owned())),
            Event::Chunk(chunk) => Some(chunk.into_owned()),
            _ => None,
        };
        if self.observer.is_set() {
            return Box::pin(self.receive_observed(take)).await;
        }
        self.duplex.receive(take).await
    }

    /// Receives data, and passes control frames to the observer.
    async fn receive_observed<T>(
        &mut self,
        mut take: impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let (mut wait, mut take) = (Wait::default(), observed(&mut take));
        loop {
            match poll_fn(|cx| self.duplex.poll_receive(cx, &mut wait, &mut take)).await? {
                Some(Observed::Control(event)) => self.observer.observe(&event),
                Some(Observed::Taken(taken)) => return Ok(Some(taken)),
                None => return Ok(None),
            }
        }
    }

    /// Sets an observer of control frames, like [`WebSocket::observe_control`](crate::WebSocket::observe_control).
    pub fn observe_control(&mut self, observer: impl FnMut(&Event<'_>) + Send + Sync + 'static) {
        self.observer.set(observer);
    }

    /// Receives the next event, like [`WebSocket::receive_event`](crate::WebSocket::receive_event).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::receive`](crate::WebSocket::receive).
    pub async fn receive_event(&mut self) -> Result<Option<Event<'static>>, Error> {
        self.duplex.receive(|event, _| Some(event.into_owned())).await
    }

    /// Returns the peer's address, like [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().peer
    }

    /// Returns the local address, like [`WebSocket::local_addr`](crate::WebSocket::local_addr).
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().local
    }

    /// Sets the read timeout, like [`WebSocket::set_read_timeout`](crate::WebSocket::set_read_timeout).
    pub fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.duplex.set_read_timeout(timeout);
    }
}

/// Returns a function that takes data, and also the control frames for an observer.
pub(crate) fn observed<T>(
    take: &mut impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
) -> impl FnMut(Event<'_>, Assembling<'_>) -> Option<Observed<T>> {
    |event, assembling| match event {
        Event::Message(_) | Event::Chunk(_) => take(event, assembling).map(Observed::Taken),
        event => Some(Observed::Control(event.into_owned())),
    }
}

/// The sending half of a [`WebSocket`](crate::WebSocket). Clones send on the same connection from any task. Messages
/// of different senders never interleave.
#[derive(Clone)]
pub struct Sender {
    pub(crate) duplex: Arc<Duplex>,
    pub(crate) attached: Option<Arc<Attached>>,
}

impl Sender {
    /// Sends a message, like [`WebSocket::send`](crate::WebSocket::send).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub async fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.feed(message).await?;
        self.duplex.flush().await
    }

    /// Sends a message without waiting, like [`WebSocket::try_send`](crate::WebSocket::try_send).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::try_send`](crate::WebSocket::try_send).
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.try_send(message.into())
    }

    /// Queues a message, like [`WebSocket::feed`](crate::WebSocket::feed). It is flushed only by this or another
    /// [`Sender`], or when an event wakes the task that receives.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub async fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.duplex.feed(message.into()).await
    }

    /// Sends the queued messages, like [`WebSocket::flush`](crate::WebSocket::flush).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::flush`](crate::WebSocket::flush).
    pub async fn flush(&self) -> Result<(), Error> {
        self.duplex.look();
        self.duplex.flush().await
    }

    /// Sends a chunk of a message, like [`WebSocket::send_chunk`](crate::WebSocket::send_chunk). Other senders cannot
    /// send a chunk until the message is complete.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send_chunk`](crate::WebSocket::send_chunk).
    pub async fn send_chunk(&self, chunk: Chunk<'_>) -> Result<(), Error> {
        self.duplex.look();
        let mut chunk = Some(chunk);
        poll_fn(|cx| self.duplex.poll_send_chunk(cx, &mut chunk)).await?;
        self.duplex.flush().await
    }

    /// Aborts a message that is being sent in chunks, like
    /// [`WebSocket::abort_message`](crate::WebSocket::abort_message).
    pub fn abort_message(&self) {
        self.duplex.abort_message();
    }

    /// Sends an encoded message, like [`WebSocket::send_prepared`](crate::WebSocket::send_prepared).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::send`](crate::WebSocket::send).
    pub async fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.duplex.look();
        self.queue(|driver| driver.send_prepared(message)).await?;
        self.duplex.flush().await
    }

    /// Sends a ping, like [`WebSocket::ping`](crate::WebSocket::ping).
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::ping`](crate::WebSocket::ping).
    pub async fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.duplex.look();
        self.queue(|driver| driver.queue(|connection| connection.ping(payload))).await?;
        self.duplex.flush().await
    }

    /// Sends a Close and returns. The task that receives completes the closing handshake.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`WebSocket::close`](crate::WebSocket::close).
    pub async fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.duplex.begin_close(code, reason)?;
        // A failed connection does not need to be closed.
        let _ = self.flush().await;
        Ok(())
    }

    async fn queue(&self, mut send: impl FnMut(&mut Driver) -> Result<(), Error>) -> Result<(), Error> {
        poll_fn(|cx| self.duplex.poll_queue(cx, &mut send)).await
    }

    /// Turns compression on or off, like [`WebSocket::set_compression`](crate::WebSocket::set_compression).
    #[cfg(feature = "deflate")]
    pub fn set_compression(&self, enabled: bool) {
        self.duplex.set_compression(enabled);
    }

    /// Returns `true` while messages can be sent, like [`WebSocket::is_open`](crate::WebSocket::is_open).
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

    /// Returns the reason for the end of the connection, or `None` while the connection is open.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.duplex.close_info()
    }

    /// Returns the round-trip time of the last answered keepalive ping.
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.duplex.with_connection(Connection::latency)
    }

    /// Returns the peer's address, like [`WebSocket::peer_addr`](crate::WebSocket::peer_addr).
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.duplex.addresses().peer
    }

    /// Returns the local address, like [`WebSocket::local_addr`](crate::WebSocket::local_addr).
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

/// Formats a connection for logs, without payloads.
pub(crate) fn describe(f: &mut fmt::Formatter<'_>, name: &str, duplex: &Duplex) -> fmt::Result {
    let (role, state, buffered) =
        duplex.with_connection(|connection| (connection.role(), connection.state(), connection.buffered()));
    f.debug_struct(name)
        .field("role", &role)
        .field("state", &state)
        .field("buffered", &buffered)
        .finish_non_exhaustive()
}
