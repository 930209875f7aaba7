//! What can be asked of a connection. Nothing of it is stored for that: it follows from what has happened.

use alloc::sync::Arc;
use core::{fmt, time::Duration};

use super::{
    Connection,
    closing::{Closing, Phase},
};
use crate::{Closure, Config, excerpt::Excerpt};

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The end that asked for the connection. It masks what it sends, and waits for the server to close
    /// the stream.
    Client,
    /// The end that accepted it.
    Server,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Messages can be sent and received.
    Open,
    /// A Close was sent or received, the stream ended or the connection failed, and something is left
    /// to write or to wait for.
    Closing,
    /// Nothing is left to do.
    Closed,
}

/// Getters.
impl Connection {
    /// Returns `true` if the driver should read from the network. It is `false` after the end of the stream, and while
    /// receiving is paused because the peer does not read the replies to its messages, see [`reply`](Self::reply).
    #[must_use]
    #[inline]
    pub fn wants_read(&self) -> bool {
        let ended = self.closing.is_some() && (self.has_input_ended() || self.is_finished());
        !ended && !self.incoming.has_held_end() && !self.outgoing.is_paused(&self.config)
    }

    /// Returns `true` if [`receive`](Self::receive) may return an event without new input, because the connection keeps
    /// input that it was given while receiving was paused, and the pause is over.
    #[must_use]
    #[inline]
    pub fn wants_receive(&self) -> bool {
        self.incoming.has_kept_event() && !self.outgoing.is_paused(&self.config)
    }

    /// Returns `true` if this end should close its direction of the transport now: everything is written, and nothing
    /// will follow. Shut down the writing direction of the socket, and with TLS send `close_notify` before. Then go on
    /// reading until [`is_finished`](Self::is_finished): the connection drops what still comes. A transport that is
    /// closed while input lies unread is reset, and the reset may overtake the Close.
    #[must_use]
    #[inline]
    pub fn wants_shutdown(&self) -> bool {
        let Some(closing) = &self.closing else { return false };
        // RFC 6455 7.1.1: a client waits for the server to close the stream, unless something is wrong.
        let closes_first = self.role() == Role::Server || closing.failure.is_some();
        closes_first && self.phase() == Phase::Draining
    }

    /// Returns `true` if the transport should be dropped now.
    ///
    /// Before that, the closing handshake is done, or this end has given up, and the peer's stream has ended. Each
    /// phase takes at most [`close_timeout`](Config::close_timeout).
    #[must_use]
    #[inline]
    pub fn is_finished(&self) -> bool {
        self.closing.is_some() && self.phase() == Phase::Closed
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

    /// How the connection ended or is ending; `None` while it is open. Final once
    /// [`is_finished`](Self::is_finished).
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        self.closing.as_deref().map(Closing::closure)
    }

    /// The subprotocol that the opening handshake agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_ref().map(|subprotocol| &*subprotocol.0)
    }

    /// Whether messages can be compressed: both ends agreed on permessage-deflate.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.outgoing.compressor.is_some()
    }

    /// Returns which end of the connection this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.incoming.role()
    }

    /// The configuration that the connection was made with.
    #[must_use]
    pub const fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// How long the last answered keepalive ping took; as exact as the times told by
    /// [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn latency(&self) -> Option<Duration> {
        self.pings.latency()
    }
}

/// Without payloads: neither those that wait to be written nor those that were received in part.
impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("role", &self.role())
            .field("state", &self.state())
            .field("closure", &self.closure())
            .field("subprotocol", &self.subprotocol().map(|name| Excerpt(name.as_bytes())))
            .field("is_compressed", &self.is_compressed())
            .field("buffered", &self.buffered())
            .field("total_written", &self.total_written())
            .field("poll_timeout", &self.poll_timeout())
            .finish_non_exhaustive()
    }
}
