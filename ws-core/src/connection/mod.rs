mod blocked;
mod closing;
mod direct;
mod events;
mod framing;
mod inflate;
mod keepalive;
mod kept;
mod opening;
mod outgoing;
mod output;
mod partial;
mod progress;
mod receive;
mod send;
mod state;

use alloc::{borrow::Cow, boxed::Box, sync::Arc};
use core::mem;

pub(crate) use self::opening::HandshakeOutcome;
pub use self::state::{Role, State};
use self::{
    closing::Closing,
    keepalive::{Due, Look, Pings},
    outgoing::OutputQueue,
    receive::Incoming,
};
use crate::{
    Cause, CloseCode, CloseFrame, Config, Event, Message, ProtocolError, Side, TimeoutKind, Timestamp,
    extension::Quota, frame::Opcode, utf8,
};

/// One end of a WebSocket connection after the opening handshake.
///
/// A driver follows these rules, in any order of calls:
///
/// 1. **Read** while [`wants_read`](Self::wants_read). Pass all bytes to [`receive`](Self::receive) until it returns
///    `None`, and the end of the stream to [`receive_eof`](Self::receive_eof). Answer messages with
///    [`reply`](Self::reply).
/// 2. **Write** while [`wants_write`](Self::wants_write), as much as the transport accepts, before you wait. See
///    [`transmit`](Self::transmit). If the transport is broken, call [`discard_output`](Self::discard_output). After
///    writing, call `receive` again while [`wants_receive`](Self::wants_receive).
/// 3. **Wait** for input, for room to write, and at most until [`poll_timeout`](Self::poll_timeout). Call that method
///    after writing. After waiting, pass on the input that arrived, then call
///    [`handle_timeout`](Self::handle_timeout) with the current time.
/// 4. **End**: shut down the writing direction once when [`wants_shutdown`](Self::wants_shutdown) returns `true`, and
///    drop the transport when [`is_finished`](Self::is_finished) returns `true`.
///
/// The [crate documentation](crate#driving-a-connection) contains a complete driver.
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
/// client.transmit().copy_to_slice(&mut wire); // a driver writes to a socket and reads from one
///
/// let mut input = &mut wire[..];
/// while let Some(event) = server.receive(&mut input)? {
///     assert_eq!(event, Event::Message(Message::from("Hello")));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Connection {
    config: Arc<Config>,
    incoming: Incoming,
    outgoing: OutputQueue,
    /// Record of the end. `None` while the connection is open.
    closing: Option<Box<Closing>>,
    pings: Pings,
    /// Latest time that the driver has reported.
    now: Timestamp,
    subprotocol: Option<Box<Subprotocol>>,
}

/// The subprotocol of a connection. It is boxed twice because most connections have none, and takes one word in them.
struct Subprotocol(Box<str>);

/// Input from the network and the clock.
impl Connection {
    /// Takes received bytes from the front of `input` and returns the next event in them.
    ///
    /// Call this method until it returns `None`. At that point `input` is empty, and the connection keeps a frame or
    /// message that was cut. An event borrows from `input` and not from the connection, so you can answer it at once
    /// with [`reply`](Self::reply). Payloads are unmasked in place.
    ///
    /// Receiving pauses while the unwritten replies have reached
    /// [`write_buffer_size`](crate::Config::write_buffer_size). During the pause this method returns `None`, and the
    /// connection keeps the rest of the input. It returns the events in that input after replies are written: call it
    /// with an empty input, or with the next one, while [`wants_receive`](Self::wants_receive) returns `true`.
    ///
    /// One call inflates at most about 256 KiB of a compressed message, so that its duration is bounded. If the message
    /// continues, this method returns `None`, and the connection keeps the rest of the input in the same way. A driver
    /// of many connections can serve the others before it calls this method again.
    ///
    /// After the peer's Close is received or the connection has failed, all further input is dropped.
    ///
    /// # Errors
    ///
    /// Returns a [`ProtocolError`] if the peer violates the protocol. Every further call returns the same error. A
    /// Close with the code of the error is queued.
    // Inline this into the caller's loop. The event then stays in registers, which saves a third of the time of a
    // short message.
    #[inline(always)]
    pub fn receive<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        if self.closing.is_none()
            && let Some((opcode, payload)) = self.incoming.whole_message(input, &self.config)
        {
            self.incoming.received = true;
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

    /// Works as [`receive`](Self::receive), for all input except a whole message.
    #[inline(never)]
    fn receive_any<'a>(&mut self, input: &mut &'a mut [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        // Most calls find that the input is drained.
        if input.is_empty() && self.closing.is_none() && self.incoming.is_quiet() {
            return Ok(None);
        }
        let mut quota = Quota::new();
        loop {
            if self.ignores_input() {
                *input = &mut [];
                return self.drop_kept_input();
            }
            if self.outgoing.is_paused(&self.config) {
                return self.hold(input);
            }
            if self.incoming.is_at_held_end() {
                self.end_input();
                continue;
            }
            let is_held = self.incoming.is_holding();
            if !is_held && input.is_empty() && !self.incoming.has_event_without_input() {
                return Ok(None);
            }
            self.incoming.received = true;
            let event = if is_held {
                self.incoming.next_held(&self.config, &mut quota)
            } else {
                self.incoming.next(input, &self.config, &mut quota)
            };
            match event {
                Ok(Some(event @ (Event::Message(_) | Event::Chunk(_)))) => return Ok(Some(event)),
                Ok(Some(event)) => {
                    if self.react(&event) {
                        return Ok(Some(event));
                    }
                }
                Ok(None) if self.incoming.is_deferred() => return self.hold(input),
                Ok(None) if is_held => {}
                Ok(None) => return Ok(None),
                Err(error) => return Err(self.refuse(input, error)),
            }
        }
    }

    /// Keeps the rest of the input. Without memory for it, the connection fails.
    fn hold<T>(&mut self, input: &mut &mut [u8]) -> Result<Option<T>, ProtocolError> {
        match self.incoming.hold(input) {
            Ok(()) => Ok(None),
            Err(error) => Err(self.refuse(input, error)),
        }
    }

    /// Fails the connection because of an error of the peer.
    #[cold]
    fn refuse(&mut self, input: &mut &mut [u8], error: ProtocolError) -> ProtocolError {
        *input = &mut [];
        self.fail_with(Cause::Protocol(error), error.close_code(), error.reason());
        error
    }

    /// Reports that the peer's stream has ended and that no more input will arrive. Output that was queued before is
    /// still written.
    ///
    /// If the connection keeps input because receiving is paused, the end of the stream stays behind it. The
    /// connection remains open until [`receive`](Self::receive) has returned the events in that input.
    pub fn receive_eof(&mut self) {
        if self.incoming.has_kept_event() && !self.ignores_input() {
            self.incoming.hold_end();
        } else {
            self.end_input();
        }
    }

    /// Reports the current time. This call is cheap enough to make each time the driver wakes. It is required when
    /// the time that [`poll_timeout`](Self::poll_timeout) returned has come. Time does not run backwards: an earlier
    /// `now` counts as the latest one.
    ///
    /// Before this call, pass on all input that was received until `now`, and report all bytes that were written. The
    /// connection decides that a peer is silent from the input that it has seen. A driver that has been away reads
    /// from its socket first.
    #[inline]
    pub fn handle_timeout(&mut self, now: Timestamp) {
        let latest = self.now.max(now);
        let before = mem::replace(&mut self.now, latest);
        let is_quiet = self.outgoing.is_quiet() && self.incoming.is_quiet() && self.pings.is_quiet(self.now);
        if is_quiet && self.closing.is_none() {
            self.outgoing.note_look();
            self.incoming.received = false;
        } else {
            self.handle_any_timeout(before);
        }
    }

    /// Works as [`handle_timeout`](Self::handle_timeout), for a connection that waits for something.
    #[inline(never)]
    fn handle_any_timeout(&mut self, before: Timestamp) {
        self.look_at_output(before);
        let now = self.now;
        let received = mem::take(&mut self.incoming.received);
        // While this end does not read, the peer is not responsible for the silence.
        let was_paused = mem::replace(&mut self.incoming.was_paused, self.outgoing.is_paused(&self.config));
        let listens = self.wants_read() && !was_paused;
        self.incoming.note_progress(now, listens);
        let alive = mem::take(&mut self.outgoing.progressed) || received || !listens;
        if self.closing.is_some() {
            return;
        }
        if self.stall_deadline().is_some_and(|deadline| now >= deadline) {
            let cause = Cause::Timeout(TimeoutKind::Stall);
            self.fail_with(cause, CloseCode::POLICY_VIOLATION, "message begun and not continued");
            return;
        }
        let look = Look { alive, ..self.look() };
        let Some(keepalive) = &self.config.keepalive else { return };
        match self.pings.handle_timeout(keepalive, look) {
            Due::Nothing => {}
            Due::Ping(payload) => {
                self.outgoing.push(Opcode::Ping, &payload);
                self.pings.sent(now, self.outgoing.end());
                self.shrink_to_fit();
            }
            Due::Dead => self.give_up(TimeoutKind::Keepalive),
        }
    }

    /// Reports the current time for the deadlines of output and closing only. It serves a thread that waits to write
    /// while another thread receives. It does not judge a silent peer, because this driver may not have read.
    #[inline]
    pub fn handle_output_timeout(&mut self, now: Timestamp) {
        let latest = self.now.max(now);
        let before = mem::replace(&mut self.now, latest);
        self.look_at_output(before);
    }

    fn look_at_output(&mut self, before: Timestamp) {
        let now = self.now;
        self.outgoing.look(before, now);
        let phase = self.phase();
        if let Some(closing) = &mut self.closing {
            closing.report_time(phase, now, &self.outgoing, self.config.close_timeout);
            if closing.expired {
                self.drop_output();
            }
        } else if let (Some(since), Some(timeout)) =
            (self.outgoing.refused_since(), self.config.write_timeout)
            && now >= since + timeout
        {
            self.give_up(TimeoutKind::Write);
        }
        self.outgoing.accepted = false;
    }
}

/// Deadlines and memory.
impl Connection {
    /// Returns the latest time at which [`handle_timeout`](Self::handle_timeout) has to be called. Receiving,
    /// queueing, closing and writing can make it earlier, because for example the deadline of a ping begins when the
    /// ping is written. So call this method again before each wait.
    #[must_use]
    #[inline]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        if self.closing.is_none() && self.outgoing.unwritten() == 0 && self.incoming.is_quiet() {
            return self.pings.due(self.look());
        }
        self.poll_any_timeout()
    }

    #[inline(never)]
    fn poll_any_timeout(&self) -> Option<Timestamp> {
        let output = self.poll_output_timeout();
        if self.closing.is_some() {
            return output;
        }
        let ping = self.pings.due(self.look());
        [output, self.stall_deadline(), ping].into_iter().flatten().min()
    }

    /// Frees memory that only a busy connection needs. The next message gets memory only as its bytes arrive. The
    /// connection does this with every keepalive ping. A driver without keepalive may call it when a connection has been
    /// idle for some time.
    pub fn shrink_to_fit(&mut self) {
        self.outgoing.release();
        self.incoming.release();
    }
}

impl Connection {
    fn ignores_input(&self) -> bool {
        self.closing.as_deref().is_some_and(Closing::ignores_input)
    }

    /// Ends the input of the connection: the peer sends nothing more.
    fn end_input(&mut self) {
        self.begin_closing(Side::Remote).eof = true;
        // Queue it now, so that the connection is not finished with output left to write.
        self.outgoing.push_waiting_pong();
        self.incoming.abandon();
    }

    /// Drops the kept input, which no longer has any meaning, and returns the permanent error.
    #[cold]
    fn drop_kept_input<T>(&mut self) -> Result<Option<T>, ProtocolError> {
        if self.incoming.has_held_end() {
            self.end_input();
        }
        if self.incoming.is_holding() {
            self.incoming.abandon();
        }
        match self
            .closing
            .as_deref()
            .and_then(|closing| closing.failure.as_ref())
            .map(|failure| failure.cause)
        {
            Some(Cause::Protocol(error)) => Err(error),
            _ => Ok(None),
        }
    }

    /// Carries out the reaction that an event requires. Returns `true` if the application should see the event.
    fn react(&mut self, event: &Event<'_>) -> bool {
        match event {
            // RFC 6455 5.5.2: "MUST send a Pong frame in response, unless it already received a Close frame". After
            // its own Close an endpoint may not send "any more data frames" (5.5.1), but a pong is a control frame.
            Event::Ping(payload) if !self.closing.as_deref().is_some_and(|closing| closing.broken) => {
                self.outgoing.answer(payload);
            }
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

    /// Returns the present state for the keepalive, without a sign of life.
    #[inline]
    fn look(&self) -> Look {
        Look { now: self.now, alive: false, written: self.outgoing.written }
    }

    /// Returns the time at which the message in progress counts as stalled. While this end does not read, the peer is
    /// not responsible for the delay.
    fn stall_deadline(&self) -> Option<Timestamp> {
        let timeout = self.config.stall_timeout.filter(|_| self.incoming.has_begun() && self.wants_read())?;
        Some(self.incoming.received_at().unwrap_or(self.now) + timeout)
    }
}
