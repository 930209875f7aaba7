use core::fmt;
use std::collections::VecDeque;

use bytes::Buf;

use super::{Link, receive};
use crate::{Connection, Event, ProtocolError, Transmit};

/// One end of a [`Pair`](super::Pair): a connection, its received events and its output.
pub struct End {
    /// The connection itself.
    pub connection: Connection,
    /// The link to the other end.
    pub(super) link: Link,
    pub(super) events: VecDeque<Event<'static>>,
    pub(super) error: Option<ProtocolError>,
    pub(super) output: Vec<u8>,
    /// Output that was taken and not written: the second buffer of a driver.
    pub(super) taken: Transmit,
}

impl End {
    pub(super) fn new_on(connection: Connection, link: Link) -> Self {
        Self {
            connection,
            link,
            events: VecDeque::new(),
            error: None,
            output: Vec::new(),
            taken: Transmit::default(),
        }
    }

    pub(super) fn receive_bytes(&mut self, bytes: &[u8]) {
        let received = receive(&mut self.connection, bytes);
        self.events.extend(received.events);
        self.error = self.error.or(received.error);
    }

    /// Returns the number of bytes that were [taken](super::Pair::take) and not written.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.taken.remaining()
    }

    /// Receives the input that the connection kept while receiving was paused. Returns `true` if there was any.
    pub(super) fn receive_kept(&mut self) -> bool {
        let keeps = self.connection.wants_receive();
        while self.connection.wants_receive() {
            match self.connection.receive(&mut &mut [][..]) {
                Ok(event) => self.events.extend(event.map(Event::into_owned)),
                Err(error) => self.error = self.error.or(Some(error)),
            }
        }
        keeps
    }

    /// Returns the events that were received and not taken, oldest first.
    pub fn events(&mut self) -> &[Event<'static>] {
        self.events.make_contiguous()
    }

    /// Takes and returns the received events.
    pub fn take_events(&mut self) -> Vec<Event<'static>> {
        self.events.drain(..).collect()
    }

    /// Returns the protocol error of the other end, if there was one.
    #[must_use]
    pub const fn error(&self) -> Option<ProtocolError> {
        self.error
    }

    /// Returns all bytes that this end has written. [`wire::frames`](super::wire::frames) parses them.
    #[must_use]
    pub fn output(&self) -> &[u8] {
        &self.output
    }
}

impl fmt::Debug for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("End")
            .field("connection", &self.connection)
            .field("link", &self.link)
            .field("events", &self.events.len())
            .field("error", &self.error)
            .field("output", &self.output.len())
            .field("taken", &self.taken)
            .finish()
    }
}
