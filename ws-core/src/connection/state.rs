//! Queries of a connection. Their results are not stored. They are computed from the recorded facts.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use super::{
    Connection,
    closing::{Closing, Phase},
};
use crate::{CloseInfo, Config, excerpt::Excerpt};

/// The role of an end of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that requested the connection. It masks its frames, and waits for the server to close the stream.
    Client,
    /// The end that accepted the connection.
    Server,
}

/// The state of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages can be sent and received.
    Open,
    /// A Close was sent or received, the stream has ended or the connection has failed. Output is left to write, or
    /// the connection still waits for the peer.
    Closing,
    /// The connection has ended, and nothing is left to do.
    Closed,
}

/// Getters.
impl Connection {
    /// Returns `true` if the driver should read from the network. Returns `false` after the end of the stream, while
    /// receiving is paused because the peer does not read the replies to its messages (see [`reply`](Self::reply)),
    /// and while the connection keeps input that [`receive`](Self::receive) has not returned.
    #[must_use]
    #[inline]
    pub fn wants_read(&self) -> bool {
        let ended = self.closing.is_some() && (self.has_input_ended() || self.is_finished());
        !ended && !self.incoming.has_enough() && !self.outgoing.is_paused(&self.config)
    }

    /// Returns `true` if [`receive`](Self::receive) may return an event without new input. This is the case when the
    /// connection keeps input that arrived while receiving was paused and the pause is over, or when a compressed
    /// message is not inflated completely.
    #[must_use]
    #[inline]
    pub fn wants_receive(&self) -> bool {
        self.incoming.has_kept_event() && !self.outgoing.is_paused(&self.config)
    }

    /// Returns `true` if this end should close its direction of the transport now, because all output is written and
    /// none will follow. Shut down the writing direction of the socket. With TLS, send `close_notify` before. Then
    /// continue to read until [`is_finished`](Self::is_finished): the connection drops the input that still arrives.
    /// If a transport is closed with unread input, it is reset, and the reset may overtake the Close.
    #[must_use]
    #[inline]
    pub fn wants_shutdown(&self) -> bool {
        let Some(closing) = &self.closing else { return false };
        // RFC 6455 7.1.1: a client waits for the server to close the stream, unless an error occurred.
        let closes_first = self.role() == Role::Server || closing.failure.is_some();
        closes_first && self.phase() == Phase::Draining
    }

    /// Returns `true` if the transport should be dropped now.
    ///
    /// That is the case when the closing handshake is complete, or this end has given up, and the peer's stream has
    /// ended. Each phase takes at most [`close_timeout`](Config::close_timeout).
    #[must_use]
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.closing.is_some() && self.phase() == Phase::Closed
    }

    /// Returns the size in bytes of the memory for received data that [`receive`](Self::receive) has not returned yet:
    /// the message in progress with its decompressor, and the kept input. [`buffered`](Self::buffered) is the
    /// corresponding number for output. A [`MemoryBudget`](crate::MemoryBudget) limits the sum over many connections.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{Config, Connection, Timestamp};
    ///
    /// let mut server = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// assert_eq!(server.input_memory(), 0);
    /// // A masked message of 100 bytes begins.
    /// let mut begun = [&[0x82, 0x80 | 100, 0, 0, 0, 0][..], &[7; 60]].concat();
    /// assert_eq!(server.receive(&mut &mut begun[..])?, None);
    /// assert!((60..=100).contains(&server.input_memory()));
    /// # Ok::<(), ws_core::ProtocolError>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn input_memory(&self) -> usize {
        self.incoming.memory()
    }

    fn has_input_ended(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| closing.eof)
    }

    /// Returns `true` if [`send`](Self::send) would queue a message now.
    #[must_use]
    pub fn can_send(&self) -> bool {
        self.admit_message().is_ok()
    }

    /// Returns the state of the connection.
    #[must_use]
    pub fn state(&self) -> State {
        match self.phase() {
            Phase::Open => State::Open,
            Phase::Closed => State::Closed,
            _ => State::Closing,
        }
    }

    /// Returns the way in which the connection ended or is ending. Returns `None` while it is open. The value is
    /// final once [`is_finished`](Self::is_finished) returns `true`.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        self.closing.as_deref().map(Closing::close_info)
    }

    /// Returns the subprotocol that was negotiated in the opening handshake.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_ref().map(|subprotocol| &*subprotocol.0)
    }

    /// Returns `true` if messages can be compressed, because both ends agreed on permessage-deflate.
    #[must_use]
    pub fn is_compression_negotiated(&self) -> bool {
        self.outgoing.framing.as_ref().is_some_and(|framing| framing.compressor.is_some())
    }

    /// Returns the role of this end of the connection.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.incoming.role()
    }

    /// Returns the configuration that the connection was created with.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// Returns the round-trip time of the last answered keepalive ping. It is as exact as the times passed to
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.pings.latency()
    }
}

/// Omits payloads, both those that wait to be written and those that were received in part.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state())
            .field("close_info", &self.close_info())
            .field("subprotocol", &self.subprotocol().map(|name| Excerpt(name.as_bytes())))
            .field("is_compression_negotiated", &self.is_compression_negotiated())
            .field("buffered", &self.buffered())
            .field("total_written", &self.total_written())
            .field("poll_timeout", &self.poll_timeout())
            .finish_non_exhaustive()
    }
}
