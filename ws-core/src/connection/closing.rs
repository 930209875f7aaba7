//! The closing handshake and every other way to end, as recorded facts (RFC 6455 section 7).

use alloc::{
    borrow::{Cow, ToOwned},
    boxed::Box,
    string::String,
    vec::Vec,
};
use core::time::Duration;

use super::{Connection, outgoing::Outgoing};
use crate::{Cause, CloseCode, CloseFrame, Closure, SendError, Side, Timeout, Timestamp, frame::Opcode};

/// What has happened since the connection stopped being open.
#[derive(Debug)]
pub(super) struct Closing {
    /// Who began.
    initiator: Side,
    /// What this end failed the connection for, if it did.
    pub(super) failure: Option<Failure>,
    /// Position in the output at which this end's Close ends, if one was queued.
    pub(super) sent: Option<u64>,
    /// The peer's Close, and what it said.
    received: Option<Option<CloseFrame<'static>>>,
    /// Whether the peer's stream has ended.
    pub(super) eof: bool,
    /// Whether the transport accepts no more output.
    pub(super) broken: bool,
    /// Deadline of the phase, counted from the first time told in it.
    timer: Option<Timer>,
    /// Whether a deadline has passed. Nothing is waited for any more.
    pub(super) expired: bool,
}

/// What a closing connection waits for. It follows from what has happened and is never stored as a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Messages can be sent and received.
    Open,
    /// Output is to be written, the Close at its end.
    Flushing,
    /// The Close was written, and the peer's is missing. Pongs for pings that cross the Close may still be written. They
    /// do not prolong the wait.
    AwaitingClose,
    /// Nothing is left to say on either side. What the peer still sends is dropped until its stream ends, so that no
    /// reset overtakes the last bytes that were written.
    Draining,
    /// The transport can be dropped.
    Closed,
}

/// The deadline of a phase.
#[derive(Clone, Copy, Debug)]
struct Timer {
    phase: Phase,
    /// Time of the last progress.
    since: Timestamp,
    /// Latest end of the phase, whatever the progress.
    end: Timestamp,
}

impl Timer {
    /// A peer that reads more slowly than this, in bytes per second, does not keep a closing connection for long.
    const MIN_RATE: u64 = 256;
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
            sent: None,
            received: None,
            eof: false,
            broken: false,
            timer: None,
            expired: false,
        }
    }

    pub(super) fn record_received(&mut self, frame: Option<&CloseFrame<'_>>) {
        self.received = Some(frame.cloned().map(CloseFrame::into_owned));
    }

    /// Returns `true` if what the peer still sends has no meaning any more.
    fn is_deaf(&self) -> bool {
        self.failure.is_some() || self.received.is_some()
    }

    /// Returns `true` if what still comes is dropped unseen.
    pub(super) fn ignores_input(&self) -> bool {
        self.is_deaf() || self.eof || self.expired
    }

    /// Returns `true` if both ends sent a Close.
    pub(super) fn is_clean(&self) -> bool {
        self.sent.is_some() && self.received.is_some() && self.failure.is_none()
    }

    /// Returns `true` if nothing that the peer could send would change anything. Only the end of its stream would.
    pub(super) fn is_settled(&self) -> bool {
        // Where nothing can be written, the peer's Close stays without an answer.
        self.is_clean() || self.failure.is_some() || (self.broken && self.received.is_some())
    }

    /// Returns the time at which [`tell_time`](Self::tell_time) has to be called. A phase whose deadline does not count
    /// yet, or has moved by progress, has to be told the time at once.
    pub(super) fn deadline(
        &self,
        phase: Phase,
        now: Timestamp,
        output: &Outgoing,
        timeout: Duration,
    ) -> Option<Timestamp> {
        let has_progressed = phase == Phase::Flushing && output.accepted;
        match self.timer.filter(|timer| timer.phase == phase && !has_progressed) {
            _ if phase == Phase::Closed => None,
            Some(timer) => Some(timer.end.min(timer.since + timeout)),
            None => Some(now),
        }
    }

    /// Counts the deadline of a phase. `close_timeout` is the longest pause while output is flushed, and the longest
    /// duration of each other phase.
    pub(super) fn tell_time(&mut self, phase: Phase, now: Timestamp, output: &Outgoing, timeout: Duration) {
        match &mut self.timer {
            _ if phase == Phase::Closed => {}
            Some(timer) if timer.phase == phase => {
                if phase == Phase::Flushing && output.accepted {
                    timer.since = now;
                }
                self.expired = now >= timer.end.min(timer.since + timeout);
            }
            timer => {
                let seconds = (output.unwritten() as u64).div_ceil(Timer::MIN_RATE);
                let end = now + timeout + Duration::from_secs(seconds);
                *timer = Some(Timer { phase, since: now, end });
            }
        }
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
            None if self.broken && self.received.is_none() => Cause::Eof,
            None if self.expired && !self.is_clean() => Cause::Timeout(Timeout::Close),
            None if self.sent.is_some() || self.received.is_some() => Cause::Close,
            None => Cause::Eof,
        };
        Closure { code, reason, clean: self.is_clean(), initiator: self.initiator, cause }
    }
}

/// Commands that end the connection.
impl Connection {
    /// Begins the closing handshake (RFC 6455 section 7.1.2). No more messages can be sent. What the peer sends until its
    /// own Close arrives is still received, and its pings are answered.
    ///
    /// A reason has at most 123 bytes. Cut a text whose length the application does not control, such as that of an
    /// error, with [`CloseFrame::truncate_reason`].
    ///
    /// # Errors
    ///
    /// The connection is as before then. Returns
    /// - [`SendError::Closed`] if the connection is closing already,
    /// - [`SendError::InvalidCloseCode`] if a Close must not carry the code,
    /// - [`SendError::CloseReasonTooLong`] if the reason has more than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        self.begin_closing(Side::Local);
        self.send_close(Some(&frame));
        Ok(())
    }

    /// Fails the connection (RFC 6455 section 7.1.7) because the peer breaks the rules of the application's own protocol:
    /// sends a Close, unless one was sent, and receives nothing more. A connection that is closing can fail too.
    ///
    /// A reason has at most 123 bytes, see [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// The connection is as before then. Returns
    /// - [`SendError::InvalidCloseCode`] if a Close must not carry the code,
    /// - [`SendError::CloseReasonTooLong`] if the reason has more than 123 bytes. [`CloseFrame::truncate_reason`] cuts it.
    pub fn fail(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        CloseFrame::new(code, reason)?;
        self.fail_with(Cause::Application, code, reason);
        Ok(())
    }
}

impl Connection {
    /// Returns what the connection waits for.
    #[inline]
    pub(super) fn phase(&self) -> Phase {
        let Some(closing) = &self.closing else { return Phase::Open };
        let is_close_written = closing.sent.is_some_and(|end| self.outgoing.written >= end);
        if closing.expired {
            Phase::Closed
        } else if is_close_written && !closing.eof && !closing.is_settled() {
            Phase::AwaitingClose
        } else if self.outgoing.unwritten() > 0 {
            Phase::Flushing
        } else if closing.eof {
            Phase::Closed
        } else if closing.is_settled() {
            Phase::Draining
        } else {
            Phase::AwaitingClose
        }
    }

    /// Ends the connection because the peer is gone: no Close is sent, and nothing is waited for.
    #[cold]
    pub(super) fn give_up(&mut self, timeout: Timeout) {
        let closing = self.begin_closing(Side::Local);
        closing.failure = Some(Failure {
            cause: Cause::Timeout(timeout),
            code: CloseCode::ABNORMAL_CLOSURE,
            reason: String::new(),
        });
        closing.expired = true;
        self.incoming.abandon();
        self.outgoing.discard();
    }

    /// The record of the end, begun by `initiator` if it has not begun before.
    pub(super) fn begin_closing(&mut self, initiator: Side) -> &mut Closing {
        self.closing.get_or_insert_with(|| Box::new(Closing::new(initiator)))
    }

    pub(super) fn fail_with(&mut self, cause: Cause, code: CloseCode, reason: &str) {
        let closing = self.closing.get_or_insert_with(|| Box::new(Closing::new(Side::Local)));
        if closing.is_settled() || closing.eof || closing.expired {
            return;
        }
        closing.failure = Some(Failure { cause, code, reason: String::from(reason) });
        // The end of the stream waits no longer behind input that has lost its meaning.
        closing.eof |= self.incoming.has_held_end();
        self.incoming.abandon();
        self.send_close(Some(&CloseFrame { code, reason: Cow::Borrowed(reason) }));
    }

    /// Queues a Close, unless one was or it could not be written. A ping that came before is answered first.
    pub(super) fn send_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.broken) else { return };
        // Queued now, so that the connection does not end while it has something to write.
        self.outgoing.push_waiting_pong();
        if closing.sent.is_some() {
            return;
        }
        let mut payload = Vec::new();
        if let Some(frame) = frame {
            payload.extend_from_slice(&frame.code.get().to_be_bytes());
            payload.extend_from_slice(frame.reason.as_bytes());
        }
        self.outgoing.push(Opcode::Close, &payload);
        closing.sent = Some(self.outgoing.end());
    }
}
