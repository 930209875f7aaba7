//! The closing handshake and every other way to end, as recorded facts (RFC 6455 section 7).

use alloc::{borrow::ToOwned, string::String};

use crate::{Cause, CloseCode, CloseFrame, Closure, Side, Timeout, Timestamp};

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
