//! A connection as sessions use it: sent to from any task or thread, by none that waits.

use std::{
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Buf as _;
use ws_core::{CloseCode, Closure};
use ws_sessions::Link;
use ws_transport::{Error, Payload, Post, Posted, Wire};

use crate::duplex::{Duplex, Inner};

impl Duplex {
    /// Writes as much as goes at once, and leaves the rest to the task that receives.
    fn flush_soon(self: &Arc<Self>, inner: &mut Inner) {
        if !inner.blocked {
            // If it fails, the task that receives will see.
            let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        }
    }
}

impl Inner {
    /// Writes a message to many without queueing it, as is possible most of the time; tells whether it did.
    fn write_through(&mut self, post: &Post<'_>) -> bool {
        let Payload::Prepared(message) = post.payload else { return false };
        if self.output.has_remaining() || post.answer {
            return false;
        }
        let Some(frame) = self.wire.ready_frame(message) else { return false };
        match self.stream.write_now(&frame) {
            Some(written) if written == frame.len() => true,
            Some(written) => {
                self.wire.posted_partly(message, written);
                true
            }
            None => false,
        }
    }
}

impl Link for Duplex {
    fn post(self: Arc<Self>, post: Post<'_>) -> Result<Posted, Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.write_through(&post) {
            if inner.wire.wants_write() {
                self.flush_soon(inner);
            }
            return Ok(Posted::default());
        }
        let answer = post.answer;
        if inner.wire.is_backed_up() {
            self.flush_soon(inner);
        }
        let posted = inner.wire.post(post, inner.blocked)?;
        if posted.disconnected {
            self.tell_time(inner);
        }
        if !answer {
            self.flush_soon(inner);
        }
        Ok(posted)
    }

    fn ping(self: Arc<Self>, payload: &[u8]) -> Result<(), Error> {
        let mut inner = self.lock();
        inner.wire.queue(|connection| connection.ping(payload))?;
        self.flush_soon(&mut inner);
        Ok(())
    }

    fn close(self: Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)
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
        look(&self.lock().wire);
    }

    fn unwritten(&self) -> usize {
        self.lock().unwritten()
    }
}
