use core::time::Duration;
use std::sync::Arc;

use bytes::Buf;

use super::{End, Link, Opening, ROLES, Transcript, connect_at, link::Loss, other};
use crate::{Config, Connection, Event, HandshakeError, Role, Timestamp, client, server};

/// A client and a server, connected by a network in memory with a virtual clock.
///
/// Each end is driven by the rules of [`Connection`]. There are three ways to proceed, which can be mixed. A test
/// that answers uses [`next_event`](Self::next_event). A test that checks the result uses [`run_until_idle`](Self::run_until_idle)
/// and [`advance`](Self::advance). A test that controls the schedule uses single steps: [`write`](Self::write),
/// [`read`](Self::read) and [`advance_to`](Self::advance_to).
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use ws_core::{Cause, Config, Event, Message, Role, TimeoutKind, testing::Pair};
///
/// let mut pair = Pair::open(Arc::new(Config::default()));
/// pair.client().send("Are you there?").unwrap();
/// pair.run_until_idle();
/// assert_eq!(pair.end(Role::Server).take_events(), [Event::Message(Message::from("Are you there?"))]);
///
/// // From here on, no bytes from the server arrive. The keepalive of the client detects this.
/// pair.link(Role::Server).silence_after(0);
/// pair.advance(Duration::from_secs(60));
/// assert_eq!(pair.client().close_info().unwrap().cause, Cause::Timeout(TimeoutKind::Keepalive));
/// ```
#[derive(Debug)]
pub struct Pair {
    client: End,
    server: End,
    now: Timestamp,
    transcript: Transcript,
}

/// Constructors.
impl Pair {
    /// Creates two ends with the same configuration, without an opening handshake.
    #[must_use]
    pub fn open(config: Arc<Config>) -> Self {
        Self::open_at(config, Timestamp::ZERO)
    }

    /// Creates two ends with the same configuration, which were opened at `now` without an opening handshake.
    #[must_use]
    pub fn open_at(config: Arc<Config>, now: Timestamp) -> Self {
        let client = connect_at(Role::Client, config.clone(), now);
        Self::new_at(client, connect_at(Role::Server, config, now), now)
    }

    /// Creates a pair of these two ends.
    ///
    /// # Panics
    ///
    /// Panics if the roles of the connections are not client and server, in this order.
    #[must_use]
    pub fn new(client: Connection, server: Connection) -> Self {
        Self::new_at(client, server, Timestamp::ZERO)
    }

    /// Creates a pair of these two ends, with a clock that starts at `now`. Use it to begin at another time than zero,
    /// for example shortly before a limit of a clock.
    ///
    /// # Panics
    ///
    /// Panics if the roles of the connections are not client and server, in this order.
    #[must_use]
    pub fn new_at(client: Connection, server: Connection, now: Timestamp) -> Self {
        assert_eq!((client.role(), server.role()), (Role::Client, Role::Server));
        let [client, server] = [client, server].map(|connection| End::new_on(connection, Link::default()));
        Self::from_ends(client, server, now, Transcript::new())
    }

    pub(super) const fn from_ends(client: End, server: End, now: Timestamp, transcript: Transcript) -> Self {
        Self { client, server, now, transcript }
    }

    /// Creates two ends by an opening handshake, with its results such as the subprotocol and compression. Use
    /// [`Opening`] for a handshake over a network with faults.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, client::Request, server::Accept, testing::Pair};
    ///
    /// let request = Request::new("ws://example.com/chat".parse()?).subprotocol("chat");
    /// let accept = Accept::new().subprotocol("chat");
    /// let config = Arc::new(Config::default());
    /// let mut pair = Pair::handshake(&request, &accept, config.clone(), config)?;
    /// assert_eq!(pair.client().subprotocol(), Some("chat"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the [`HandshakeError`](crate::HandshakeError) of the end that fails.
    pub fn handshake(
        request: &client::Request,
        accept: &server::Accept,
        client: Arc<Config>,
        server: Arc<Config>,
    ) -> Result<Self, HandshakeError> {
        let opening = Opening::new(request.clone()).accept(accept.clone());
        let opening = opening.config(Role::Client, client).config(Role::Server, server);
        // A server that refuses causes a second error at the client.
        opening.run().map_err(|failed| failed.server.or(failed.client).unwrap_or(HandshakeError::Eof))
    }
}

/// Access to the parts.
impl Pair {
    /// Returns the client's connection.
    pub const fn client(&mut self) -> &mut Connection {
        &mut self.client.connection
    }

    /// Returns the server's connection.
    pub const fn server(&mut self) -> &mut Connection {
        &mut self.server.connection
    }

    /// Returns the end of this role.
    pub const fn end(&mut self, role: Role) -> &mut End {
        match role {
            Role::Client => &mut self.client,
            Role::Server => &mut self.server,
        }
    }

    /// Returns the link that carries the output of this end.
    pub const fn link(&mut self, from: Role) -> &mut Link {
        &mut self.end(from).link
    }

    /// Returns the client's connection and the server's, without the network between them.
    #[must_use]
    pub fn into_connections(self) -> (Connection, Connection) {
        (self.client.connection, self.server.connection)
    }

    /// Returns the time of the virtual clock, which started at [`Timestamp::ZERO`] or at the time of
    /// [`open_at`](Self::open_at), [`new_at`](Self::new_at) or [`Opening::begin_at`].
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns the record of the conversation, which is printed when a test fails.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }
}

/// Automatic progress.
impl Pair {
    /// Returns the next event at either end, in the order of arrival. Moves bytes and advances the clock until there
    /// is an event. Returns `None` when no bytes are in transit and no output waits. After that only time can cause
    /// events. See [`advance`](Self::advance).
    ///
    /// This method handles the deadlines of the connections, and advances the clock beyond deadlines of the application.
    /// If the application has deadlines, use [`next_event_before`](Self::next_event_before).
    pub fn next_event(&mut self) -> Option<(Role, Event<'static>)> {
        loop {
            if let Some(event) = self.take_event() {
                return Some(event);
            }
            if !self.step() {
                return None;
            }
        }
    }

    /// Returns the next event at either end that occurs before `time` or at that time. Returns `None` if there is none,
    /// and then the clock has reached `time`. So an application handles its own deadline there:
    ///
    /// ```
    /// use std::{sync::Arc, time::Duration};
    /// use ws_core::{Config, Role, testing::Pair};
    ///
    /// let mut pair = Pair::open(Arc::new(Config::default()));
    /// pair.link(Role::Client).delay(Duration::from_secs(8));
    /// pair.client().send("Are you there?").unwrap();
    /// // The application gives up after 5 seconds, although the message arrives after 8.
    /// let deadline = pair.now() + Duration::from_secs(5);
    /// assert_eq!(pair.next_event_before(deadline), None);
    /// assert_eq!(pair.now(), deadline);
    /// ```
    pub fn next_event_before(&mut self, time: Timestamp) -> Option<(Role, Event<'static>)> {
        loop {
            if let Some(event) = self.take_event() {
                return Some(event);
            }
            if self.move_bytes() {
                continue;
            }
            match self.next_arrival().into_iter().chain(self.next_timeout()).min() {
                Some(next) if next <= time => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = self.now.max(time);
        None
    }

    fn take_event(&mut self) -> Option<(Role, Event<'static>)> {
        ROLES.into_iter().find_map(|role| Some((role, self.end(role).events.pop_front()?)))
    }

    /// Moves bytes until no more bytes move, and advances the clock only when they require it. Without delays no time
    /// passes. If bytes are always in transit, because keepalive pings take longer than their interval, this method
    /// does not return. Use [`advance`](Self::advance) in that case.
    pub fn run_until_idle(&mut self) {
        while self.step() {}
    }

    /// Advances the clock by `time`. All events until then occur at their own time.
    pub fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        loop {
            while self.move_bytes() {}
            match self.next_arrival().into_iter().chain(self.next_timeout()).min() {
                Some(next) if next <= end => self.now = self.now.max(next),
                _ => break,
            }
        }
        self.now = end;
        while self.move_bytes() {}
    }

    /// Returns the next time at which one of the ends has to receive the time.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Timestamp> {
        let ends = [&self.client, &self.server];
        ends.into_iter().filter_map(|end| end.connection.poll_timeout()).min()
    }

    /// Carries out all steps that are possible now, or otherwise advances the clock to the next possible step.
    /// Returns `true` if a step was carried out.
    fn step(&mut self) -> bool {
        if self.move_bytes() {
            return true;
        }
        let Some(arrival) = self.next_arrival() else { return false };
        // A deadline before the arrival is handled at its own time.
        self.now = self.next_timeout().map_or(arrival, |due| due.min(arrival)).max(self.now);
        true
    }

    /// Reads, reports the time and writes at both ends. Returns `true` if any byte moved.
    fn move_bytes(&mut self) -> bool {
        let mut moved = false;
        for role in ROLES {
            moved |= self.read(role, usize::MAX);
            self.advance_to(role);
            moved |= self.write(role, usize::MAX);
        }
        moved
    }

    fn next_arrival(&self) -> Option<Timestamp> {
        let links = [&self.client.link, &self.server.link];
        links.into_iter().filter_map(|link| link.next_arrival(self.now)).min()
    }
}

/// Single steps.
impl Pair {
    /// Sets the clock. The next event or [`advance_to`](Self::advance_to) reports the new time to the ends.
    pub const fn set_now(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Reports the time to this end.
    pub fn advance_to(&mut self, role: Role) {
        let now = self.now;
        self.end(role).connection.handle_timeout(now);
    }

    /// Moves the output of this end into the buffer of its driver. It is in flight until [`write`](Self::write) has
    /// written it.
    pub fn take(&mut self, role: Role) {
        let End { connection, taken, .. } = self.end(role);
        connection.take_transmit(taken);
    }

    /// Breaks the transport for the output of this end. All output that is not written is dropped.
    pub fn discard(&mut self, role: Role) {
        let End { connection, taken, .. } = self.end(role);
        taken.advance(usize::MAX);
        connection.discard_output();
    }

    /// Writes at most `most` bytes of the output of this end, limited by the room in the link. Bytes that were
    /// [taken](Self::take) are written first. Shuts down the stream when the connection requests it. Returns `true`
    /// if anything was written or shut down.
    pub fn write(&mut self, role: Role, most: usize) -> bool {
        let now = self.now;
        let End { connection, link, output, taken, .. } = self.end(role);
        if connection.is_finished() {
            // The transport and its buffer no longer exist.
            taken.advance(usize::MAX);
        }
        let most = most.min(link.room());
        let mut bytes = taken.copy_to_bytes(taken.remaining().min(most)).to_vec();
        connection.written(bytes.len());
        let mut buffer = connection.transmit();
        let rest = buffer.remaining().min(most.saturating_sub(bytes.len()));
        if !taken.has_remaining() {
            bytes.extend_from_slice(&buffer.copy_to_bytes(rest));
        }
        drop(buffer);
        output.extend_from_slice(&bytes);
        link.push(now, &bytes);
        let ends = (connection.wants_shutdown() || connection.is_finished()) && link.ends_at.is_none();
        if ends {
            link.end(now);
        }
        self.transcript.add_frames(now, role, &bytes);
        if ends {
            self.transcript.note(now, role, "ends its stream");
        }
        !bytes.is_empty() || ends
    }

    /// Ends the stream of this end without a Close, behind the written output: a half-close. This end can still
    /// receive.
    pub fn half_close(&mut self, role: Role) {
        let now = self.now;
        self.end(role).link.end(now);
        self.transcript.note(now, role, "ends its stream");
    }

    /// Reads at most `most` bytes that have arrived, and then the end of the stream if it has arrived. Returns `true`
    /// if anything was read.
    pub fn read(&mut self, role: Role, most: usize) -> bool {
        let now = self.now;
        let (to, link) = self.arriving(role);
        let received_kept = to.receive_kept();
        let mut left = most;
        while to.connection.wants_read()
            && let Some(bytes) = link.read(now, left)
        {
            left -= bytes.len();
            to.receive_bytes(&bytes);
        }
        let ends = match link.lost() {
            Some(loss) => {
                link.drop_all();
                return self.lose(role, loss) || left < most || received_kept;
            }
            None => link.has_ended(now) && !link.end_delivered && to.connection.wants_read(),
        };
        if ends {
            link.end_delivered = true;
            to.connection.receive_eof();
        }
        ends || left < most || received_kept
    }

    /// Returns the end of this role, and the link that carries bytes to it.
    const fn arriving(&mut self, role: Role) -> (&mut End, &mut Link) {
        match role {
            Role::Client => (&mut self.client, &mut self.server.link),
            Role::Server => (&mut self.server, &mut self.client.link),
        }
    }

    /// Loses the link to this end. Returns `true` if this reports the loss to an end.
    fn lose(&mut self, role: Role, loss: Loss) -> bool {
        let (mut delivered, now) = (false, self.now);
        if loss == Loss::Reset {
            for role in [role, other(role)] {
                let (to, link) = self.arriving(role);
                link.reset_after(0).drop_all();
                if !link.end_delivered {
                    link.end_delivered = true;
                    to.connection.receive_eof();
                    self.transcript.note(now, role, "loses the connection");
                    delivered = true;
                }
            }
        }
        delivered
    }
}
