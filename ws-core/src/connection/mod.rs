mod closing;
mod inflate;
mod keepalive;
mod partial;
mod receive;
mod send;
mod state;

use alloc::{borrow::Cow, boxed::Box, string::String, sync::Arc, vec::Vec};
use core::mem;

use bytes::Buf;

pub use self::state::{Role, State};
use self::{
    closing::{Closing, Failure},
    keepalive::{Due, Pings},
    receive::Incoming,
    send::Outgoing,
};
use crate::{
    Cause, CloseCode, CloseFrame, Config, Event, Message, ProtocolError, Side, Timeout, Timestamp, Transmit,
    entropy::Entropy, extension::Agreed, frame::Opcode, utf8,
};

/// One end of a WebSocket connection whose opening handshake is done.
///
/// Three rules hold, whatever the order of the calls:
///
/// 1. Give every received byte to [`receive`](Self::receive), and the end of the stream to
///    [`receive_eof`](Self::receive_eof).
/// 2. Write what [`transmit`](Self::transmit) holds before you wait.
/// 3. Never wait longer than [`poll_timeout`](Self::poll_timeout) says. When you wake, give what was
///    received and then tell the time with [`handle_timeout`](Self::handle_timeout).
///
/// When [`is_finished`](Self::is_finished) says so, drop the transport.
///
/// ```
/// use std::sync::Arc;
/// use bytes::Buf;
/// use ws_core::{Config, Connection, Event, Message, Timestamp};
///
/// let config = Arc::new(Config::default());
/// let mut client = Connection::client(config.clone(), [7; 32], Timestamp::ZERO);
/// let mut server = Connection::server(config, Timestamp::ZERO);
///
/// client.send("Hello")?;
/// let mut wire = vec![0; client.transmit().remaining()];
/// client.transmit().copy_to_slice(&mut wire); // a driver would write to a socket and read from one
///
/// let mut input = &mut wire[..];
/// while let Some(event) = server.receive(&mut input)? {
///     assert_eq!(event, Event::Message(Message::from("Hello")));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    incoming: Incoming,
    outgoing: Outgoing,
    /// `None` while the connection is open.
    closing: Option<Box<Closing>>,
    pings: Pings,
    /// The latest time that the caller told.
    now: Timestamp,
    /// Whether anything was heard since then.
    heard: bool,
    subprotocol: Option<Box<str>>,
    role: Role,
}

/// Constructors. The opening handshakes in [`server`](crate::server) and [`client`](crate::client) call
/// them; they are here for those who upgraded by other means, such as an HTTP library.
impl Connection {
    /// The server's end of a connection that was opened at `now`.
    #[must_use]
    pub fn server(config: Arc<Config>, now: Timestamp) -> Self {
        Self::new(Role::Server, config, Opening { now, ..Opening::default() })
    }

    /// The client's end of a connection that was opened at `now`. The seed of its masking keys must come
    /// from the operating system: they have to be unpredictable (RFC 6455 section 10.3).
    #[must_use]
    pub fn client(config: Arc<Config>, seed: [u8; 32], now: Timestamp) -> Self {
        let masking = Some(Box::new(Entropy::new(seed)));
        Self::new(Role::Client, config, Opening { masking, now, ..Opening::default() })
    }

    pub(crate) fn new(role: Role, config: Arc<Config>, opening: Opening<'_>) -> Self {
        let codecs = opening.extension.map(|agreed| agreed.codecs(role, &config));
        let (compressor, inflater) = codecs.map(|(out, input)| (Box::new(out), Box::new(input))).unzip();
        Self {
            incoming: Incoming::new(role == Role::Server, inflater),
            outgoing: Outgoing::new(opening.masking, compressor, opening.head),
            closing: None,
            pings: Pings::new(config.keepalive.as_ref(), opening.now),
            now: opening.now,
            heard: false,
            subprotocol: opening.subprotocol.map(Box::from),
            role,
            config,
        }
    }
}

/// What an opening handshake leads to.
#[derive(Default)]
pub(crate) struct Opening<'h> {
    pub(crate) now: Timestamp,
    /// Where a client's masking keys come from.
    pub(crate) masking: Option<Box<Entropy>>,
    pub(crate) subprotocol: Option<&'h str>,
    pub(crate) extension: Option<Agreed>,
    /// The server's response, to be sent before anything else.
    pub(crate) head: Vec<u8>,
}

/// From the network and the clock.
impl Connection {
    /// Takes received bytes off `input` and gives the next event in them.
    ///
    /// Call it until it gives `None`: then the input is drained, and a frame or message that it cut is
    /// kept here. An event borrows from the input, not from the connection, so it can be answered at
    /// once. Payloads are unmasked in place.
    ///
    /// Once the peer's Close was received or the connection has failed, whatever comes is dropped.
    ///
    /// # Errors
    ///
    /// The peer broke a rule. The error stays: every further call returns it.
    // Into every caller's loop: the event then stays in registers, which takes a third off a short message.
    #[inline(always)]
    pub fn receive<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        if self.closing.is_none()
            && let Some((opcode, payload)) = self.incoming.whole_message(input, &self.config)
        {
            self.heard = true;
            if opcode == Opcode::Binary {
                return Ok(Some(Event::Message(Message::Binary(Cow::Borrowed(payload)))));
            }
            return match utf8::validate(payload) {
                Ok(text) => Ok(Some(Event::Message(Message::Text(Cow::Borrowed(text))))),
                Err(error) => Err(self.refuse(input, error)),
            };
        }
        self.receive_any(input)
    }

    /// [`receive`](Self::receive), whatever comes.
    #[inline(never)]
    fn receive_any<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            if let Some(closing) = self.closing.as_deref().filter(|closing| closing.ignores_input()) {
                *input = &mut [];
                return match closing.failure.as_ref().map(|failure| failure.cause) {
                    Some(Cause::Protocol(error)) => Err(error),
                    _ => Ok(None),
                };
            }
            if input.is_empty() && !self.incoming.is_frame_complete() {
                return Ok(None);
            }
            self.heard = true;
            match self.incoming.next(input, &self.config) {
                Ok(Some(event @ (Event::Message(_) | Event::Chunk(_)))) => return Ok(Some(event)),
                Ok(Some(event)) => {
                    if self.react(&event) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.refuse(input, error)),
            }
        }
    }

    /// Lets a driver read a large message to where it is put together, which spares a copy. `read` gets the
    /// payload so far and may append what it reads from the network, as much as the vector has capacity for;
    /// more than that is dropped, and who takes bytes away spoils the message. Then
    /// [`receive`](Self::receive) gives the message if that was its end.
    ///
    /// It is not called, and this gives `None`, unless the next bytes to come belong to a binary message that
    /// is delivered as a whole, and are not few: those after the first 64 KiB, or all of a message that follows
    /// one as large. So what was received before has to be drained.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use ws_core::{Config, Connection, Event, Message, Timestamp};
    /// use std::io::Read;
    ///
    /// # let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// # let header = [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    /// # let bytes = [&header[..], &[7; 65_536]].concat();
    /// # let mut socket = &bytes[..];
    /// let mut buffer = [0; 4096];
    /// let message = loop {
    ///     let read = server.receive_in_place(|payload| {
    ///         let room = payload.capacity() - payload.len();
    ///         socket.by_ref().take(room as u64).read_to_end(payload)
    ///     });
    ///     let mut input = match read {
    ///         Some(read) => &mut buffer[..read.map(|_| 0)?],
    ///         None => {
    ///             let read = socket.read(&mut buffer)?;
    ///             &mut buffer[..read]
    ///         }
    ///     };
    ///     if let Some(Event::Message(message)) = server.receive(&mut input)? {
    ///         break message.into_owned();
    ///     }
    /// };
    /// assert_eq!(message, Message::from(vec![7; 65_536]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn receive_in_place<R>(&mut self, read: impl FnOnce(&mut Vec<u8>) -> R) -> Option<R> {
        if self.closing.as_deref().is_some_and(Closing::ignores_input) {
            return None;
        }
        let (result, came) = self.incoming.read_payload(&self.config, read)?;
        self.heard |= came;
        Some(result)
    }

    /// Fails the connection for what the peer did.
    #[cold]
    fn refuse(&mut self, input: &mut &mut [u8], error: ProtocolError) -> ProtocolError {
        *input = &mut [];
        self.fail_with(Cause::Protocol(error), error.close_code(), error.reason());
        error
    }

    /// Tells that the peer's stream has ended: it will send nothing more.
    pub fn receive_eof(&mut self) {
        self.begin_closing(Side::Remote).eof = true;
        self.incoming.abandon();
    }

    /// Tells the time. Cheap enough for every time that the driver wakes; necessary when the time that
    /// [`poll_timeout`](Self::poll_timeout) gave has come. Time does not run backwards: an earlier `now`
    /// counts as the latest.
    ///
    /// What was received until `now` should have been given before: a peer is called silent for what this
    /// connection has not seen. A driver that was away looks at its socket first.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        self.now = self.now.max(now);
        let now = self.now;
        let heard = mem::take(&mut self.heard);
        // While this end does not read, silence is not the peer's fault.
        if heard || !self.wants_read() {
            self.incoming.note_heard(now);
        }
        let finished = self.is_finished();
        if let Some(closing) = &mut self.closing {
            let deadline = *closing.deadline.get_or_insert(now + self.config.close_timeout);
            closing.expired |= !finished && now >= deadline;
            return;
        }
        if self.stall_deadline().is_some_and(|deadline| now >= deadline) {
            let cause = Cause::Timeout(Timeout::Stall);
            self.fail_with(cause, CloseCode::POLICY_VIOLATION, "message begun and not continued");
            return;
        }
        let Some(keepalive) = &self.config.keepalive else { return };
        match self.pings.handle_timeout(keepalive, now, heard) {
            Due::Nothing => {}
            Due::Ping(payload) => {
                self.outgoing.push(Opcode::Ping, &payload);
                self.release();
            }
            Due::Dead => {
                // Nobody is there to read a Close, so none is sent and nothing is waited for.
                let closing = self.begin_closing(Side::Local);
                closing.failure = Some(Failure {
                    cause: Cause::Timeout(Timeout::Keepalive),
                    code: CloseCode::ABNORMAL_CLOSURE,
                    reason: String::new(),
                });
                closing.expired = true;
            }
        }
    }
}

/// Work for the caller.
impl Connection {
    /// The bytes to be written, oldest first. [`advance`](Buf::advance) by as many as were written; with
    /// the feature `std`, [`chunks_vectored`](Buf::chunks_vectored) fills slices for a vectored write.
    #[inline]
    pub fn transmit(&mut self) -> impl Buf + '_ {
        self.outgoing.flush_pong();
        &mut self.outgoing.queue
    }

    /// Moves the bytes to be written to the end of `into`; from now on they count as written. For drivers
    /// that share the connection between threads and must not hold it while they write.
    pub fn take_transmit(&mut self, into: &mut Transmit) {
        self.outgoing.flush_pong();
        self.outgoing.queue.drain_into(into);
    }

    /// Lends the connection memory for bytes to be written, if it has none of its own in use. A driver that
    /// serves many connections from one thread owns one `Transmit` for all, lends it before it gives what
    /// was received, and takes it back after the write by [`reclaim_transmit`](Self::reclaim_transmit): then
    /// no idle connection owns memory and no message allocates any.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use bytes::Buf;
    /// use ws_core::{Config, Connection, Timestamp, Transmit};
    ///
    /// let mut connection = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// let mut spare = Transmit::default();
    /// for message in ["one", "two"] {
    ///     connection.lend_transmit(&mut spare);
    ///     connection.send(message)?;
    ///     let waiting = connection.buffered();
    ///     connection.transmit().advance(waiting); // a driver would write them
    ///     connection.reclaim_transmit(&mut spare);
    /// }
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[inline]
    pub fn lend_transmit(&mut self, spare: &mut Transmit) {
        if self.outgoing.queue.is_empty() && spare.is_empty() {
            self.outgoing.queue = mem::take(spare);
        }
    }

    /// Takes back what [`lend_transmit`](Self::lend_transmit) lent, if everything was written. If something
    /// waits, its memory stays until a later call finds that nothing does.
    #[inline]
    pub fn reclaim_transmit(&mut self, spare: &mut Transmit) {
        if self.outgoing.queue.is_empty() {
            let queue = mem::take(&mut self.outgoing.queue);
            if !spare.owns_memory() {
                *spare = queue;
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest. Only
    /// [`close`](Self::close) and [`fail`](Self::fail) and what comes from the network can make it earlier.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if let Some(closing) = &self.closing {
            // Not counted yet: from now on, as soon as somebody says when that is.
            return (!self.is_finished()).then_some(closing.deadline.unwrap_or(self.now));
        }
        match (self.stall_deadline(), self.pings.due()) {
            (Some(stall), Some(ping)) => Some(stall.min(ping)),
            (stall, ping) => stall.or(ping),
        }
    }

    /// Gives back memory that only a busy connection needs. This happens by itself with every keepalive
    /// ping; a driver without keepalive may call it when a connection has been idle for a while.
    pub fn release(&mut self) {
        self.outgoing.release();
    }
}

impl Connection {
    /// Does what an event asks for, and tells whether the application should see it.
    fn react(&mut self, event: &Event<'_>) -> bool {
        match event {
            // RFC 6455 5.5.2: "MUST send a Pong frame in response, unless it already received a Close"; and
            // after its own Close an endpoint sends nothing.
            Event::Ping(payload) if self.closing.is_none() => self.outgoing.answer(payload),
            Event::Pong(payload) => {
                return !self.pings.handle_pong(payload);
            }
            Event::Close(frame) => {
                self.begin_closing(Side::Remote).record_received(frame.as_ref());
                // RFC 6455 5.5.1: "the endpoint typically echos the status code it received".
                let reply =
                    frame.as_ref().map(|frame| CloseFrame { code: frame.code, reason: Cow::Borrowed("") });
                self.send_close(reply.as_ref());
            }
            _ => {}
        }
        true
    }

    /// When the message in progress counts as stalled. While this end does not read, that is not the
    /// peer's fault.
    fn stall_deadline(&self) -> Option<Timestamp> {
        let timeout =
            self.config.stall_timeout.filter(|_| self.incoming.is_partial() && self.wants_read())?;
        let since = self.incoming.heard_at().filter(|_| !self.heard).unwrap_or(self.now);
        Some(since + timeout)
    }
}
