//! What can be asked of a connection. Nothing of it is stored for that: it follows from what has happened.

use alloc::sync::Arc;
use core::time::Duration;

use super::{Connection, closing::Closing};
use crate::{Closure, Config};

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
    /// Whether to read from the network: not after its end, and not while too much waits to be written,
    /// so that a peer that sends without reading is held back by its own transport.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        match &self.closing {
            Some(closing) => !closing.eof && !self.is_finished(),
            None => self.buffered() < self.config.write_buffer_size,
        }
    }

    /// Whether [`transmit`](Self::transmit) holds anything.
    #[must_use]
    #[inline]
    pub fn wants_write(&self) -> bool {
        self.outgoing.wants_write()
    }

    /// Whether the transport should be dropped now.
    ///
    /// A client waits for the server to close the stream first; either gives up after
    /// [`close_timeout`](Config::close_timeout). A driver that can do so closes only its writing direction
    /// first and then drops what is still received for a moment, so that the last Close is not lost to a
    /// reset.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        let Some(closing) = &self.closing else { return false };
        if closing.expired || (closing.eof && !closing.is_deaf()) {
            return true;
        }
        let server_closes_first =
            closing.is_settled() && (self.role == Role::Server || closing.failure.is_some());
        !self.wants_write() && (closing.eof || server_closes_first)
    }

    /// How many bytes wait to be written.
    #[must_use]
    #[inline]
    pub fn buffered(&self) -> usize {
        self.outgoing.queue.len()
    }

    /// How far the connection is.
    #[must_use]
    pub fn state(&self) -> State {
        match (&self.closing, self.is_finished()) {
            (None, _) => State::Open,
            (Some(_), false) => State::Closing,
            (Some(_), true) => State::Closed,
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
        self.subprotocol.as_deref()
    }

    /// Whether messages can be compressed: both ends agreed on permessage-deflate.
    #[must_use]
    pub const fn is_compressed(&self) -> bool {
        self.outgoing.compressor.is_some()
    }

    /// Which end this is.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
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
