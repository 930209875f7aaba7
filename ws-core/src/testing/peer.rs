use core::{fmt, time::Duration};
use std::sync::Arc;

use super::{Frame, Transcript, connect_at, other, receive, wire, written};
use crate::{Config, Connection, Event, ProtocolError, Role, Timestamp, excerpt::Beginning};

/// The other end of a connection, controlled by hand. It sends any frames that a test requests, valid or not, and
/// checks the frames that the test expects from the connection.
///
/// ```
/// use ws_core::{Config, Event, Message, Role, testing::{Frame, Peer}};
///
/// let mut server = Peer::for_role(Role::Server, Config::default());
/// server.send(Frame::text("Hello, ").unfinished());
/// server.send(Frame::ping("still there?"));
/// server.expect(Frame::pong("still there?"));
/// server.send(Frame::continuation("WebSocket!"));
/// assert_eq!(server.take_events().last(), Some(&Event::Message(Message::from("Hello, WebSocket!"))));
///
/// server.send(Frame::continuation("of nothing"));
/// server.expect_close(1002);
/// server.close_stream();
/// assert!(server.connection.is_finished());
/// ```
pub struct Peer {
    /// The connection to this peer.
    pub connection: Connection,
    now: Timestamp,
    events: Vec<Event<'static>>,
    error: Option<ProtocolError>,
    /// Output of the connection that no call has expected yet.
    received: Vec<u8>,
    transcript: Transcript,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("connection", &self.connection)
            .field("now", &self.now)
            .field("events", &Beginning(&self.events))
            .field("error", &self.error)
            .field("received", &self.received.len())
            .finish()
    }
}

impl Peer {
    /// Creates the peer of this connection.
    #[must_use]
    pub const fn new(connection: Connection) -> Self {
        Self::new_at(connection, Timestamp::ZERO)
    }

    /// Creates the peer of this connection, with a clock that starts at `now`.
    #[must_use]
    pub const fn new_at(connection: Connection, now: Timestamp) -> Self {
        Self {
            connection,
            now,
            events: Vec::new(),
            error: None,
            received: Vec::new(),
            transcript: Transcript::new(),
        }
    }

    /// Creates the peer of a connection of this role, which was opened without a handshake.
    #[must_use]
    pub fn for_role(role: Role, config: Config) -> Self {
        Self::for_role_at(role, config, Timestamp::ZERO)
    }

    /// Creates the peer of a connection of this role, which was opened at `now` without a handshake.
    #[must_use]
    pub fn for_role_at(role: Role, config: Config, now: Timestamp) -> Self {
        Self::new_at(connect_at(role, Arc::new(config), now), now)
    }

    /// Sends a frame. A frame with its own key is masked with that key. Other frames are masked if the connection is
    /// a server.
    pub fn send(&mut self, frame: impl AsRef<Frame>) -> &mut Self {
        let frame = frame.as_ref();
        let bytes = match frame.key {
            Some(_) => frame.encode(),
            None => frame.encode_for(self.connection.role()),
        };
        self.send_bytes(&bytes)
    }

    /// Sends bytes.
    pub fn send_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.take_output();
        self.transcript.add_frames(self.now, other(self.connection.role()), bytes);
        let received = receive(&mut self.connection, bytes);
        self.events.extend(received.events);
        self.error = self.error.or(received.error);
        self.advance_to();
        self
    }

    /// Advances the clock, and reports the time to the connection at each of its deadlines.
    pub fn advance(&mut self, time: Duration) -> &mut Self {
        let end = self.now + time;
        while let Some(due) = self.connection.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.advance_to();
        }
        self.now = end;
        self.advance_to();
        self
    }

    /// Ends the stream.
    pub fn close_stream(&mut self) -> &mut Self {
        self.take_output();
        self.transcript.note(self.now, other(self.connection.role()), "ends its stream");
        self.connection.receive_eof();
        self.advance_to();
        self
    }

    /// Expects this frame next, with any key.
    ///
    /// # Panics
    ///
    /// Panics if another frame arrives, or none.
    #[track_caller]
    pub fn expect(&mut self, frame: impl AsRef<Frame>) -> &mut Self {
        let mut expected = frame.as_ref().clone();
        let mut received =
            self.next_frame().unwrap_or_else(|| panic!("expected {expected:?}, and nothing came"));
        assert_eq!(received.key.take().is_some(), self.connection.role() == Role::Client, "masked or not");
        expected.key = None;
        assert_eq!(received, expected);
        self
    }

    /// Expects a Close with this code next, with any reason.
    ///
    /// # Panics
    ///
    /// Panics if other output arrives, or none.
    #[track_caller]
    pub fn expect_close(&mut self, code: u16) -> &mut Self {
        let received = self.next_frame().unwrap_or_else(|| panic!("expected a Close, and nothing came"));
        assert_eq!(received.opcode, wire::CLOSE, "{received:?}");
        assert_eq!(received.payload.get(..2), Some(&code.to_be_bytes()[..]), "{received:?}");
        self
    }

    /// Expects that no output is left.
    ///
    /// # Panics
    ///
    /// Panics if there is output.
    #[track_caller]
    pub fn expect_silence(&mut self) -> &mut Self {
        self.take_output();
        assert!(self.received.is_empty(), "unexpected: {:?}", wire::frames(&self.received));
        self
    }

    /// Expects these bytes next, such as the response in a server's opening handshake.
    ///
    /// # Panics
    ///
    /// Panics if other bytes arrive, or too few.
    #[track_caller]
    pub fn expect_bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.take_output();
        let len = bytes.len().min(self.received.len());
        let received: Vec<u8> = self.received.drain(..len).collect();
        assert_eq!(received, bytes);
        self
    }

    /// Returns the next frame that the connection has sent.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.take_output();
        let (frame, rest) = wire::split_frame(&self.received)?;
        self.received = rest.to_vec();
        Some(frame)
    }

    /// Returns the events that the connection has returned since the last call.
    pub fn take_events(&mut self) -> Vec<Event<'static>> {
        std::mem::take(&mut self.events)
    }

    /// Returns the protocol error that the connection has reported, if any.
    #[must_use]
    pub const fn error(&self) -> Option<ProtocolError> {
        self.error
    }

    /// Returns the record of the conversation. It contains the output of the connection that was expected or looked at.
    #[must_use]
    pub const fn transcript(&self) -> &Transcript {
        &self.transcript
    }

    /// Returns the time of the virtual clock.
    #[must_use]
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    fn take_output(&mut self) {
        let written = written(&mut self.connection);
        self.transcript.add_frames(self.now, self.connection.role(), &written);
        self.received.extend(written);
    }

    fn advance_to(&mut self) {
        self.connection.handle_timeout(self.now);
    }
}
