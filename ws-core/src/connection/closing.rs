//! The closing handshake and every other way to end, as recorded facts (RFC 6455 section 7).

use alloc::{
    borrow::{Cow, ToOwned},
    boxed::Box,
    string::String,
    vec::Vec,
};

use super::Connection;
use crate::{Cause, CloseCode, CloseFrame, Closure, SendError, Side, Timeout, Timestamp, frame::Opcode};

/// What has happened since the connection stopped being open.
#[derive(Debug)]
pub(super) struct Closing {
    /// Who began.
    initiator: Side,
    /// What this end failed the connection for, if it did.
    pub(super) failure: Option<Failure>,
    /// Whether a Close was put on its way.
    pub(super) sent: bool,
    /// The peer's Close, and what it said.
    received: Option<Option<CloseFrame<'static>>>,
    /// Whether the peer's stream has ended.
    pub(super) eof: bool,
    /// When the rest must be over; counted from the first time that was told since it began.
    pub(super) deadline: Option<Timestamp>,
    /// Whether it was not.
    pub(super) expired: bool,
}

#[derive(Debug)]
pub(super) struct Failure {
    pub(super) cause: Cause,
    pub(super) code: CloseCode,
    pub(super) reason: String,
}

impl Closing {
    pub(super) fn new(initiator: Side) -> Self {
        Self {
            initiator,
            failure: None,
            sent: false,
            received: None,
            eof: false,
            deadline: None,
            expired: false,
        }
    }

    pub(super) fn record_received(&mut self, frame: Option<&CloseFrame<'_>>) {
        self.received = Some(frame.cloned().map(CloseFrame::into_owned));
    }

    /// Whether whatever the peer still sends has no meaning any more.
    pub(super) fn is_deaf(&self) -> bool {
        self.failure.is_some() || self.received.is_some()
    }

    /// Whether what still comes is dropped unseen.
    pub(super) fn ignores_input(&self) -> bool {
        self.is_deaf() || self.eof || self.expired
    }

    /// Whether both ends sent a Close.
    pub(super) fn is_clean(&self) -> bool {
        self.sent && self.received.is_some() && self.failure.is_none()
    }

    /// Whether nothing that the peer could do would change anything, apart from closing its stream.
    pub(super) fn is_settled(&self) -> bool {
        self.is_clean() || self.failure.is_some()
    }

    pub(super) fn closure(&self) -> Closure {
        let (code, reason) = match (&self.received, &self.failure) {
            (Some(Some(frame)), _) => (frame.code, frame.reason.clone().into_owned()),
            (Some(None), _) => (CloseCode::NO_STATUS_RECEIVED, String::new()),
            (None, Some(failure)) => (failure.code, failure.reason.to_owned()),
            (None, None) => (CloseCode::ABNORMAL_CLOSURE, String::new()),
        };
        let cause = match &self.failure {
            Some(failure) => failure.cause,
            None if self.expired && !self.is_clean() => Cause::Timeout(Timeout::Close),
            None if self.sent || self.received.is_some() => Cause::Close,
            None => Cause::Eof,
        };
        Closure { code, reason, clean: self.is_clean(), initiator: self.initiator, cause }
    }
}

/// Commands that end the connection.
impl Connection {
    /// Begins the closing handshake (RFC 6455 section 7.1.2): nothing more can be sent, but what the peer
    /// sends until its own Close arrives is still received.
    ///
    /// # Errors
    ///
    /// [`Closed`](SendError::Closed) if the connection is closing already, or a code or reason that a
    /// Close cannot carry.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        self.begin_closing(Side::Local);
        self.send_close(Some(&frame));
        Ok(())
    }

    /// Fails the connection (RFC 6455 section 7.1.7): sends a Close, unless one was sent, and receives
    /// nothing more. For peers that break the rules of the application's own protocol.
    ///
    /// # Errors
    ///
    /// A code or reason that a Close cannot carry. Failing a connection that is closing is no error.
    pub fn fail(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        CloseFrame::new(code, reason)?;
        self.fail_with(Cause::Application, code, reason);
        Ok(())
    }
}

impl Connection {
    /// The record of the end, begun by `initiator` if it has not begun before.
    pub(super) fn begin_closing(&mut self, initiator: Side) -> &mut Closing {
        self.closing.get_or_insert_with(|| Box::new(Closing::new(initiator)))
    }

    pub(super) fn fail_with(&mut self, cause: Cause, code: CloseCode, reason: &str) {
        let closing = self.begin_closing(Side::Local);
        if closing.is_settled() || closing.eof || closing.expired {
            return;
        }
        closing.failure = Some(Failure { cause, code, reason: String::from(reason) });
        self.incoming.abandon();
        self.send_close(Some(&CloseFrame { code, reason: Cow::Borrowed(reason) }));
    }

    /// Puts a Close on its way, unless one is or the stream has ended. A ping that came before is answered.
    pub(super) fn send_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.sent) else { return };
        closing.sent = true;
        let mut payload = Vec::new();
        if let Some(frame) = frame {
            payload.extend_from_slice(&frame.code.get().to_be_bytes());
            payload.extend_from_slice(frame.reason.as_bytes());
        }
        self.outgoing.push_waiting_pong();
        self.outgoing.push(Opcode::Close, &payload);
    }
}
