//! The connection of a session: any thread sends, and none waits for the peer.

use std::sync::Arc;

use ws_core::{Chunk, CloseCode, CloseInfo, Message, State};
use ws_sessions::SessionBackend;
use ws_transport::{
    Driver, Error, MessageAssembler, Network, Outgoing, OutgoingKind, OutgoingPayload, SendOutcome,
    limit_unsent,
};

use crate::duplex::{Duplex, Flushed};

impl Duplex {
    /// Writes the output that the socket accepts without waiting, and leaves the rest to the flusher.
    fn flush_soon(self: &Arc<Self>) {
        self.flush_or_watch(Self::flush_without_waiting);
    }

    /// Writes queued output to make room. Another thread may be about to write it but be delayed. This output must not
    /// count as a backlog of the peer.
    fn make_room(self: &Arc<Self>) {
        let full = {
            let driver = self.driver();
            driver.is_backed_up() && driver.connection.state() == State::Open
        };
        if full {
            self.flush_or_watch(Self::flush_in_turn);
        }
    }

    fn flush_or_watch(self: &Arc<Self>, flush: fn(&Self) -> Flushed) {
        if !self.blocked.get() {
            self.watch_if_blocked(flush(self));
        }
    }
}

impl SessionBackend for Duplex {
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error> {
        let is_reply = outgoing.kind == OutgoingKind::Reply;
        if let OutgoingPayload::Prepared(message) = outgoing.payload
            && !is_reply
            && let Some(flushed) = self.write_through(message)
        {
            self.watch_if_blocked(flushed);
            return Ok(SendOutcome::default());
        }
        self.make_room();
        let outcome = {
            let network = if self.blocked.get() { Network::Refuses } else { Network::Accepts };
            let mut driver = self.driver();
            let outcome = driver.post(outgoing, network);
            if outcome.as_ref().is_ok_and(|outcome| outcome.disconnected) {
                self.report_time(&mut driver);
            }
            if driver.has_excess() {
                drop(self.relieve(driver));
            }
            outcome
        };
        // Flush even if the message was refused, because another thread may have left its output to `write_through`.
        if !is_reply {
            self.flush_soon();
        }
        if outcome.as_ref().is_ok_and(|outcome| outcome.disconnected) {
            self.watch_end(Flushed::Done);
        }
        outcome
    }

    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error> {
        self.driver().queue(|connection| connection.ping(payload))?;
        self.flush_soon();
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.close_without_waiting(code, reason)
    }

    fn end(&self) -> CloseInfo {
        loop {
            match self.close_info() {
                Some(close_info) => return close_info,
                None => self.abandon(),
            }
        }
    }

    fn assemble(&self, assembler: &mut MessageAssembler, chunk: Chunk<'_>) -> Option<Message<'static>> {
        self.driver().assemble(assembler, chunk)
    }

    fn abort(&self) {
        self.abandon();
    }

    fn look(&self, look: &mut dyn FnMut(&Driver)) {
        look(&self.driver());
    }

    fn limit_unsent(&self, bytes: u32) {
        limit_unsent(self.socket().get_ref(), Some(bytes));
    }
}
