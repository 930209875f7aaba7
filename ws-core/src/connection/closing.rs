//! The closing handshake and all other ways to end a connection, as recorded facts (RFC 6455 section 7).

use alloc::{
    borrow::{Cow, ToOwned},
    boxed::Box,
    string::String,
    vec::Vec,
};
use core::time::Duration;

use super::{Connection, outgoing::OutputQueue};
use crate::{
    Cause, CloseCode, CloseFrame, CloseInfo, SendError, Side, TimeoutKind, Timestamp, frame::Opcode,
};

/// Facts recorded since the connection stopped being open.
#[derive(Debug)]
pub(super) struct Closing {
    /// The side that began to close.
    initiator: Side,
    /// Reason for which this end failed the connection, if it did.
    pub(super) failure: Option<Failure>,
    /// Position in the output at which this end's Close ends, if one was queued.
    pub(super) sent: Option<u64>,
    /// The peer's Close and its code and reason, if it has any.
    received: Option<Option<CloseFrame<'static>>>,
    /// `true` if the peer's stream has ended.
    pub(super) eof: bool,
    /// `true` if the transport accepts no more output.
    pub(super) broken: bool,
    /// `true` if output was dropped that was not written.
    pub(super) has_lost_output: bool,
    /// Deadline of the phase, counted from the first time that was reported in it.
    timer: Option<Timer>,
    /// `true` if a deadline has passed. The connection then waits for nothing more.
    pub(super) expired: bool,
}

/// The next step that a closing connection waits for. It is computed from the recorded facts and never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Messages can be sent and received.
    Open,
    /// Output has to be written, with the Close at its end.
    Flushing,
    /// The Close is written, and the peer's Close has not arrived. Pongs for pings that cross the Close may still be
    /// written. They do not prolong the wait.
    AwaitingClose,
    /// Neither side has anything left to send. Bytes that the peer still sends are dropped until its stream ends, so
    /// that no reset overtakes the last written bytes.
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
    /// Latest end of the phase, regardless of progress.
    end: Timestamp,
}

impl Timer {
    /// Minimum read rate of the peer in bytes per second. A slower peer does not keep a closing connection for long.
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
            has_lost_output: false,
            timer: None,
            expired: false,
        }
    }

    pub(super) fn record_received(&mut self, frame: Option<&CloseFrame<'_>>) {
        self.received = Some(frame.cloned().map(CloseFrame::into_owned));
    }

    /// Returns `true` if input from the peer no longer has any meaning.
    fn has_stopped_receiving(&self) -> bool {
        self.failure.is_some() || self.received.is_some()
    }

    /// Returns `true` if further input is dropped without being parsed.
    pub(super) fn ignores_input(&self) -> bool {
        self.has_stopped_receiving() || self.eof || self.expired
    }

    /// Returns `true` if both ends sent a Close.
    pub(super) fn is_clean(&self) -> bool {
        self.sent.is_some() && self.received.is_some() && self.failure.is_none()
    }

    /// Returns `true` if no input from the peer can change the result. Only the end of its stream can.
    pub(super) fn is_settled(&self) -> bool {
        // If no output can be written, the peer's Close stays unanswered.
        self.is_clean() || self.failure.is_some() || (self.broken && self.received.is_some())
    }

    /// Returns the time at which [`report_time`](Self::report_time) has to be called. It is the present time if the
    /// deadline of a phase has not started, or if progress has moved it.
    pub(super) fn deadline(
        &self,
        phase: Phase,
        now: Timestamp,
        output: &OutputQueue,
        timeout: Duration,
    ) -> Option<Timestamp> {
        let has_progressed = phase == Phase::Flushing && output.accepted;
        match self.timer.filter(|timer| timer.phase == phase && !has_progressed) {
            _ if phase == Phase::Closed => None,
            Some(timer) => Some(timer.end.min(timer.since + timeout)),
            None => Some(now),
        }
    }

    /// Starts, extends or checks the deadline of a phase. `close_timeout` is the longest pause while output is
    /// flushed, and the longest duration of each other phase.
    pub(super) fn report_time(
        &mut self,
        phase: Phase,
        now: Timestamp,
        output: &OutputQueue,
        timeout: Duration,
    ) {
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

    pub(super) fn close_info(&self) -> CloseInfo {
        let (code, reason) = match (&self.received, &self.failure) {
            (Some(Some(frame)), _) => (frame.code, frame.reason.clone().into_owned()),
            (Some(None), _) => (CloseCode::NO_STATUS_RECEIVED, String::new()),
            (None, Some(failure)) => (failure.code, failure.reason.to_owned()),
            (None, None) => (CloseCode::ABNORMAL_CLOSURE, String::new()),
        };
        let cause = match &self.failure {
            Some(failure) => failure.cause,
            None if self.broken && self.received.is_none() => Cause::Eof,
            None if self.expired && !self.is_clean() => Cause::Timeout(TimeoutKind::Close),
            None if self.sent.is_some() || self.received.is_some() => Cause::Close,
            None => Cause::Eof,
        };
        CloseInfo { code, reason, was_clean: self.is_clean(), initiator: self.initiator, cause }
    }
}

/// Commands that end the connection.
impl Connection {
    /// Begins the closing handshake (RFC 6455 section 7.1.2). No more messages can be sent. Messages that the peer
    /// sends before its own Close are still received, and its pings are answered.
    ///
    /// A reason has at most 123 bytes. Use [`CloseFrame::truncate_reason`] to cut a text of unknown length, such as
    /// that of an error.
    ///
    /// # Errors
    ///
    /// On an error, the connection is unchanged.
    /// - Returns [`SendError::Closed`] if the connection is already closing.
    /// - Returns [`SendError::InvalidCloseCode`] if a Close must not carry the code.
    /// - Returns [`SendError::CloseReasonTooLong`] if the reason has more than 123 bytes.
    pub fn close(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        let frame = CloseFrame::new(code, reason)?;
        if self.closing.is_some() {
            return Err(SendError::Closed);
        }
        self.begin_closing(Side::Local);
        self.send_close(Some(&frame));
        Ok(())
    }

    /// Fails the connection (RFC 6455 section 7.1.7) because the peer breaks the rules of the application's own
    /// protocol. Sends a Close, unless one was already sent, and receives nothing more. A connection that is already
    /// closing can fail too.
    ///
    /// A reason has at most 123 bytes. See [`close`](Self::close).
    ///
    /// # Errors
    ///
    /// On an error, the connection is unchanged.
    /// - Returns [`SendError::InvalidCloseCode`] if a Close must not carry the code.
    /// - Returns [`SendError::CloseReasonTooLong`] if the reason has more than 123 bytes.
    ///   [`CloseFrame::truncate_reason`] cuts it.
    pub fn fail(&mut self, code: CloseCode, reason: &str) -> Result<(), SendError> {
        CloseFrame::new(code, reason)?;
        self.fail_with(Cause::Application, code, reason);
        Ok(())
    }
}

impl Connection {
    /// Returns the phase of the connection.
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

    /// Ends the connection because the peer is gone. It sends no Close and waits for nothing.
    #[cold]
    pub(super) fn give_up(&mut self, timeout: TimeoutKind) {
        let closing = self.begin_closing(Side::Local);
        closing.failure = Some(Failure {
            cause: Cause::Timeout(timeout),
            code: CloseCode::ABNORMAL_CLOSURE,
            reason: String::new(),
        });
        closing.expired = true;
        self.incoming.abandon();
        self.drop_output();
    }

    /// Drops the output that is not written. A connection that has such output and drops it is closing.
    pub(super) fn drop_output(&mut self) {
        let is_lost = self.outgoing.unwritten() > 0;
        self.outgoing.discard();
        if let Some(closing) = &mut self.closing {
            closing.has_lost_output |= is_lost;
        }
    }

    /// Returns the record of the end, and creates it with `initiator` if the connection was still open.
    pub(super) fn begin_closing(&mut self, initiator: Side) -> &mut Closing {
        self.closing.get_or_insert_with(|| Box::new(Closing::new(initiator)))
    }

    pub(super) fn fail_with(&mut self, cause: Cause, code: CloseCode, reason: &str) {
        let closing = self.closing.get_or_insert_with(|| Box::new(Closing::new(Side::Local)));
        if closing.is_settled() || closing.eof || closing.expired {
            return;
        }
        closing.failure = Some(Failure { cause, code, reason: String::from(reason) });
        // Input that has lost its meaning no longer delays the end of the stream.
        closing.eof |= self.incoming.has_held_end();
        self.incoming.abandon();
        self.send_close(Some(&CloseFrame { code, reason: Cow::Borrowed(reason) }));
    }

    /// Queues a Close, unless one was queued before or it could not be written. A ping that came before is answered
    /// first.
    pub(super) fn send_close(&mut self, frame: Option<&CloseFrame<'_>>) {
        let Some(closing) = self.closing.as_deref_mut().filter(|closing| !closing.broken) else { return };
        // Queue it now, so that the connection does not end with output left to write.
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
