//! A connection as sessions use it: sent to from any thread, by none that waits.

use std::sync::Arc;

use ws_core::{CloseCode, Closure, SendError, State};
use ws_sessions::Link;
use ws_transport::{Error, Payload, Post, Posted, Wire};

use crate::{
    duplex::{Duplex, Flushed},
    flusher,
};

impl Duplex {
    /// Writes as much as goes at once, and leaves the rest to the flusher.
    fn flush_soon(self: &Arc<Self>) {
        self.flush_or_watch(Self::flush_without_waiting);
    }

    /// Makes room by writing. Another thread may be about to do so, and not get to it for a while: what it
    /// would write must not count as the peer's backlog.
    fn make_room(self: &Arc<Self>) {
        let full = {
            let wire = self.wire();
            wire.is_backed_up() && wire.connection.state() == State::Open
        };
        if full {
            self.flush_or_watch(Self::flush_in_turn);
        }
    }

    fn flush_or_watch(self: &Arc<Self>, flush: fn(&Self) -> Flushed) {
        if !self.blocked.get() && matches!(flush(self), Flushed::Blocked) {
            flusher::watch(self);
        }
    }
}

impl Link for Duplex {
    fn post(self: Arc<Self>, post: Post<'_>) -> Result<Posted, Error> {
        let answer = post.answer;
        if let Payload::Prepared(message) = post.payload
            && !answer
            && self.write_through(message)
        {
            self.flush_soon();
            return Ok(Posted::default());
        }
        self.make_room();
        let posted = {
            let wire = &mut *self.wire();
            let posted = wire.post(post, self.blocked.get())?;
            if posted.disconnected {
                self.tell_time(wire);
            }
            posted
        };
        if !answer {
            self.flush_soon();
        }
        Ok(posted)
    }

    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error> {
        self.wire().queue(|connection| connection.ping(payload))?;
        self.flush_soon();
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        {
            let wire = &mut *self.wire();
            match wire.close(code, reason) {
                Err(SendError::Closed) => return Ok(()),
                result => result?,
            }
            self.tell_time(wire);
        }
        self.flush_soon();
        Ok(())
    }

    fn end(&self) -> Closure {
        loop {
            match self.closure() {
                Some(closure) => return closure,
                None => self.abandon(),
            }
        }
    }

    fn look(&self, look: &mut dyn FnMut(&Wire)) {
        look(&self.wire());
    }

    fn unwritten(&self) -> usize {
        Self::unwritten(self)
    }
}
