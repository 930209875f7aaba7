//! The backend of sessions. Any task or thread can send on a connection, and sending never waits.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Buf as _;
use ws_core::{Chunk, CloseCode, CloseInfo, Message};
use ws_sessions::SessionBackend;
use ws_transport::{
    Driver, Error, MessageAssembler, Network, Outgoing, OutgoingKind, OutgoingPayload, SendOutcome,
    limit_unsent,
    work::{self, Work},
};

use crate::{
    duplex::{Duplex, Inner},
    stream::Stream,
};

impl Duplex {
    /// Writes as much as the stream accepts at once. The task that receives writes the rest.
    fn flush_soon(self: &Arc<Self>, inner: &mut Inner) {
        if !inner.blocked {
            // The task that receives reports a failure of this write.
            let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        }
    }
}

impl Inner {
    /// Writes a broadcast message without queueing it, which is usually possible. Returns `false` if the message has
    /// to be queued. Bytes that the stream does not accept become the next output.
    fn write_through(&mut self, outgoing: &Outgoing<'_>) -> bool {
        let OutgoingPayload::Prepared(message) = outgoing.payload else { return false };
        if self.output.has_remaining() || outgoing.kind == OutgoingKind::Reply {
            return false;
        }
        let Some(frame) = self.driver.take_prepared(message) else { return false };
        let written = self.stream.write_now(&frame);
        work::spend(Work::Write(written));
        self.driver.written(written);
        self.output.push(frame.slice(written..));
        true
    }
}

impl SessionBackend for Duplex {
    fn post(self: Arc<Self>, outgoing: Outgoing<'_>) -> Result<SendOutcome, Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.write_through(&outgoing) {
            self.flush_soon(inner);
            return Ok(SendOutcome::default());
        }
        let is_reply = outgoing.kind == OutgoingKind::Reply;
        if inner.driver.is_backed_up() {
            self.flush_soon(inner);
        }
        let network = if inner.blocked { Network::Refuses } else { Network::Accepts };
        let outcome = inner.driver.post(outgoing, network);
        if inner.driver.has_excess() {
            inner.relieve();
        }
        let outcome = outcome?;
        if outcome.disconnected {
            self.report_time(inner);
        }
        if !is_reply {
            self.flush_soon(inner);
        }
        Ok(outcome)
    }

    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error> {
        let mut inner = self.lock();
        inner.driver.queue(|connection| connection.ping(payload))?;
        self.flush_soon(&mut inner);
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)
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
        self.lock().driver.assemble(assembler, chunk)
    }

    fn abort(&self) {
        self.abandon();
    }

    fn look(&self, look: &mut dyn FnMut(&Driver)) {
        look(&self.lock().driver);
    }

    fn limit_unsent(&self, bytes: u32) {
        if let Stream::Socket(socket) = &self.lock().stream {
            limit_unsent(socket.get_ref(), Some(bytes));
        }
    }
}
