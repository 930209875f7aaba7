//! The rules that every driver of a connection follows, without sockets.

mod account;
mod early;
mod output;

use std::{io, mem, sync::Arc};

use ws_core::{Cause, CloseInfo, Connection, Event, ProtocolError, TimeoutKind, Timestamp};

use self::{early::Early, output::Batch};
use crate::{
    ConnectionSpan, EndRecord, Error, ReadSize, RecycledBuffer, Traffic,
    memory::Account,
    outbox::Outbox,
    tls::{TlsError, TlsSession},
};

/// A connection, the messages that wait for its peer to read, and, for `wss://`, the TLS session between the
/// connection and the network. It makes all decisions of an adapter and does no I/O.
///
/// An adapter moves bytes and keeps the clock. In each turn it
///
/// 1. passes input to [`decrypt`](Self::decrypt) and to [`receive`](Self::receive) until it returns no more events, or
///    reports the end of the input with [`end_input`](Self::end_input),
/// 2. calls [`begin_turn`](Self::begin_turn), which may require a non-blocking read first,
/// 3. writes: [`take_output`](Self::take_output) into a buffer of its own, [`written`](Self::written) for each piece
///    that the network has accepted, [`fail_output`](Self::fail_output) if the network is broken,
/// 4. carries out the result of [`next_step`](Self::next_step).
#[derive(Debug)]
pub struct Driver {
    /// The WebSocket.
    pub connection: Connection,
    /// Memory for received messages.
    pub recycled: RecycledBuffer,
    /// Size of the next read.
    pub read_size: ReadSize,
    tls: Option<Box<TlsSession>>,
    traffic: Arc<Traffic>,
    /// The memory of the connection.
    account: Account,
    /// Account of the sealed bytes that the adapter holds. Without TLS it remains empty.
    batch: Batch,
    /// Messages that do not fit into the connection's write buffer.
    outbox: Option<Box<Outbox>>,
    /// The end of the input, until all input before it is received.
    input_end: Option<Box<InputEnd>>,
    /// Events that were received for a sender, until the application receives them.
    early: Option<Box<Early>>,
    /// `true` if the application receives no more. Early events are dropped then.
    discards_early: bool,
    /// Set when the application receives, cleared when it sends.
    received_since_send: bool,
    /// `true` if the adapter has read from the socket since a deadline passed.
    caught_up: bool,
    /// Time that was last reported to the connection.
    updated_at: Timestamp,
    shutdown: Shutdown,
    /// `true` if the error that ended the connection was reported to the application.
    reported: bool,
    /// `true` if the end was logged.
    logged: bool,
    span: ConnectionSpan,
    /// Receives the end of the connection, for a client that connects again.
    end_record: Option<EndRecord>,
}

/// The end of the input.
#[derive(Debug)]
pub enum InputEnd {
    /// The peer's stream has ended.
    Eof,
    /// Reading failed.
    Failed(io::Error),
    /// The peer sent `close_notify`. With TLS, that is the end of its stream (RFC 8446 section 6.1).
    CloseNotify,
    /// The peer caused a TLS error.
    FailedTls(TlsError),
}

/// Progress of shutting down the writing direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shutdown {
    Open,
    /// `close_notify` is queued.
    Notified,
    Done,
    /// The network accepts no more output.
    Failed,
}

/// Beginning of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// A deadline has passed. Read the available input without waiting, and begin the turn again, because input that
    /// has already arrived takes precedence over silence.
    Look,
    /// Write, then call `next_step`.
    Write,
}

/// The next action, after all output that the network accepts was written.
#[derive(Debug)]
pub enum Step {
    /// Receive: the connection has input that it kept.
    Receive,
    /// Write once more, because the last bytes of TLS have to be sent.
    Write,
    /// Shut down the writing direction of the stream. This step is returned once.
    Shutdown,
    /// Wait for input if `read` is set, for room to write if output is left, and at most until `until`.
    Wait {
        /// `true` if the adapter has to read.
        read: bool,
        /// The next deadline.
        until: Option<Timestamp>,
    },
    /// The connection has ended.
    End(Result<(), Error>),
}

/// Records the end of a connection that the application has dropped.
impl Drop for Driver {
    fn drop(&mut self) {
        self.record_end(self.connection.close_info());
    }
}

impl Driver {
    /// Creates a driver of a connection, with an optional TLS session.
    #[must_use]
    pub fn new(connection: Connection, tls: Option<Box<TlsSession>>) -> Self {
        // `close_notify` may have arrived with the last bytes of the opening handshake.
        let closed = tls.as_ref().is_some_and(|tls| tls.is_closed_by_peer());
        let span = ConnectionSpan::current();
        span.opened(tls.is_some());
        Self {
            connection,
            recycled: RecycledBuffer::default(),
            read_size: ReadSize::default(),
            tls,
            traffic: Arc::default(),
            account: Account::default(),
            batch: Batch::default(),
            outbox: None,
            input_end: closed.then(|| Box::new(InputEnd::CloseNotify)),
            early: None,
            discards_early: false,
            received_since_send: false,
            caught_up: false,
            updated_at: Timestamp::ZERO,
            shutdown: Shutdown::Open,
            reported: false,
            logged: false,
            span,
            end_record: None,
        }
    }

    /// Sets the record of the end of the connection.
    #[must_use]
    pub fn with_end_record(mut self, record: Option<EndRecord>) -> Self {
        self.end_record = record;
        self
    }

    /// Records the end of the connection. Only the first call has an effect.
    fn record_end(&self, ended: Option<CloseInfo>) {
        if let Some(record) = &self.end_record {
            let _ = record.set(ended);
        }
    }

    /// Returns `true` if input has to be decrypted.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Returns the counters of the connection.
    #[must_use]
    pub const fn traffic(&self) -> &Arc<Traffic> {
        &self.traffic
    }
}

/// Turns.
impl Driver {
    /// Receives from `input`, as [`Connection::receive`] does, and counts the event.
    ///
    /// # Errors
    ///
    /// As [`Connection::receive`]. The turns that follow write the rest of the output, with the Close at its end, and
    /// return the error.
    #[inline]
    pub fn receive<'i>(&mut self, input: &mut &'i mut [u8]) -> Result<Option<Event<'i>>, ProtocolError> {
        if let Some(early) = &mut self.early
            && let Some(event) = early.pop()
        {
            if early.is_empty() {
                self.early = None;
            }
            return Ok(Some(event));
        }
        let event = self.connection.receive(input)?;
        if let Some(event) = &event {
            self.traffic.received(event);
            self.received_since_send = true;
        }
        Ok(event)
    }

    /// Appends the plaintext of received bytes to `plain`. An end of the input in these bytes takes effect behind
    /// that plaintext.
    pub fn decrypt(&mut self, received: &[u8], plain: &mut Vec<u8>) {
        let Some(tls) = &mut self.tls else { return };
        match tls.decrypt(received, plain) {
            Err(error) => self.end_input(InputEnd::FailedTls(error)),
            Ok(()) if tls.is_closed_by_peer() => self.end_input(InputEnd::CloseNotify),
            Ok(()) => {}
        }
    }

    /// Reports the end of the input. Only the first report counts, and it takes effect when all input before it is
    /// received.
    pub fn end_input(&mut self, end: InputEnd) {
        self.input_end.get_or_insert_with(|| Box::new(end));
    }

    /// Returns `true` if there may be more to read. An open connection is read even if output waits. Otherwise two
    /// peers that each wait for the other to read would wait for ever.
    #[must_use]
    pub fn wants_read(&self) -> bool {
        self.input_end.is_none() && self.connection.wants_read()
    }

    /// Begins a turn. The connection must have received all input that was read before.
    ///
    /// # Errors
    ///
    /// Returns the error that broke the connection, when it is detected. A TLS alert may wait to be written.
    pub fn begin_turn(&mut self, now: Timestamp) -> Result<Turn, Error> {
        self.settle_turn();
        if !self.has_early()
            && let Some(end) = self.input_end.take()
            && let Err(error) = self.apply_input_end(*end)
        {
            self.report(error)?;
        }
        if !self.caught_up && self.wants_read() && self.is_overdue(now) {
            self.caught_up = true;
            return Ok(Turn::Look);
        }
        self.caught_up = false;
        self.updated_at = now;
        self.connection.handle_timeout(now);
        Ok(Turn::Write)
    }

    /// Returns `true` if a deadline has passed. A connection that only needs the current time, for example because a
    /// ping was written, returns the last reported time as its deadline.
    fn is_overdue(&self, now: Timestamp) -> bool {
        self.connection.poll_timeout().is_some_and(|due| self.updated_at < due && due <= now)
    }

    fn apply_input_end(&mut self, end: InputEnd) -> Result<(), Error> {
        self.connection.receive_eof();
        let close_info = self.connection.close_info();
        let cause = close_info.as_ref().map(|close_info| close_info.cause);
        // A connection that has failed for another reason ends with that reason. See `ended`.
        let has_failed = matches!(cause, Some(Cause::Protocol(_)));
        match end {
            // Without a Close the connection is disconnected, with TLS as without: `close_notify` makes no
            // difference, because a truncated message is not delivered.
            InputEnd::Eof | InputEnd::CloseNotify => Ok(()),
            // A TLS stream of the application reports an end without `close_notify` by this kind.
            InputEnd::Failed(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
            InputEnd::Failed(error) => {
                self.fail_output();
                // After a Close it is only the end of the stream.
                if has_failed || cause == Some(Cause::Close) { Ok(()) } else { Err(error.into()) }
            }
            InputEnd::FailedTls(error) => {
                // The session still has an alert to send, which informs the peer of the reason.
                self.connection.discard_output();
                let was_clean = close_info.is_some_and(|close_info| close_info.was_clean);
                if has_failed || was_clean { Ok(()) } else { Err(error.into()) }
            }
        }
    }

    /// Returns the next step, after all output that the network accepts was written. An error in [`Step::End`] is
    /// returned once.
    pub fn next_step(&mut self) -> Step {
        match self.next_step_before_end() {
            Some(step) => step,
            None => {
                self.log_end();
                self.record_end(self.connection.close_info());
                Step::End(self.ended())
            }
        }
    }

    /// Returns the next step, or `None` if the application does not have to wait any longer.
    fn next_step_before_end(&mut self) -> Option<Step> {
        // After its output was written, a connection needs the time once more, and that does not require a turn.
        if self.connection.poll_timeout().is_some_and(|due| due <= self.updated_at) {
            self.connection.handle_timeout(self.updated_at);
        }
        if self.connection.wants_receive() || self.has_early() {
            return Some(Step::Receive);
        }
        if let Some(step) = self.next_shutdown_step() {
            return Some(step);
        }
        // A server's application does not have to wait until the client has closed its side. See `next_drain_step`.
        let nothing_left = self.shutdown != Shutdown::Open && self.connection.wants_shutdown();
        if nothing_left || self.connection.is_finished() {
            return None;
        }
        Some(Step::Wait { read: self.wants_read(), until: self.connection.poll_timeout() })
    }

    /// Works as [`next_step`](Self::next_step), after the application has received the end of the connection. It
    /// waits until the peer has closed its side, so that no reset overtakes the last written bytes. Input that still
    /// arrives is dropped, and no error is reported.
    pub fn next_drain_step(&mut self) -> Step {
        match self.next_step_before_end() {
            Some(step) => step,
            None if !self.connection.is_finished() && self.wants_read() => {
                Step::Wait { read: true, until: self.connection.poll_timeout() }
            }
            None => {
                self.log_end();
                Step::End(Ok(()))
            }
        }
    }

    /// Logs the end of the connection, once.
    fn log_end(&mut self) {
        if !mem::replace(&mut self.logged, true)
            && let Some(close_info) = self.connection.close_info()
        {
            self.span.closed(&close_info);
        }
    }

    /// Returns the next step of shutting down the writing direction, if there is one: [`Step::Write`],
    /// [`Step::Shutdown`], or [`Step::Wait`] for the last bytes of TLS.
    pub fn next_shutdown_step(&mut self) -> Option<Step> {
        let finished = self.connection.is_finished();
        let is_over = matches!(self.shutdown, Shutdown::Done | Shutdown::Failed);
        if is_over || !(finished || self.connection.wants_shutdown()) {
            return None;
        }
        if let (Some(tls), Shutdown::Open) = (&mut self.tls, self.shutdown) {
            tls.close();
            self.shutdown = Shutdown::Notified;
            return Some(Step::Write);
        }
        // When the connection waits for nothing more, it does not wait for room to write either.
        let is_written = self.batch.is_written() && self.tls.as_ref().is_none_or(|tls| !tls.wants_write());
        if !finished && !is_written {
            return Some(Step::Wait { read: self.wants_read(), until: self.connection.poll_timeout() });
        }
        self.shutdown = Shutdown::Done;
        Some(Step::Shutdown)
    }

    /// Returns the error for the sender of dropped output.
    #[must_use]
    pub fn lost_output(&self) -> Error {
        let Some(close_info) = self.connection.close_info() else {
            return Error::Timeout(TimeoutKind::Write);
        };
        match close_info.cause {
            Cause::Timeout(TimeoutKind::Write) => Error::Timeout(TimeoutKind::Write),
            Cause::Eof | Cause::Timeout(TimeoutKind::Keepalive | TimeoutKind::Stall) => {
                Error::Disconnected(close_info)
            }
            _ => Error::Closed(close_info),
        }
    }

    /// Returns the end of the connection as a result for the application that waits for a message. This method is the
    /// only place with the rule: the end is not an error if it is [normal](ws_core::CloseInfo::is_normal). An error is
    /// returned once.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Protocol`] if the peer violated the protocol.
    /// - Returns [`Error::Closed`] if one of both applications ended the connection in an abnormal way, such as by a
    ///   Close with 1011.
    /// - Returns [`Error::Disconnected`] for every other abnormal end.
    pub fn ended(&mut self) -> Result<(), Error> {
        match self.connection.close_info() {
            Some(close_info) if !close_info.is_normal() => self.report(Error::of_end(close_info)),
            _ => Ok(()),
        }
    }

    /// Passes on the error that has ended the connection. The error is reported to the application once, so that a
    /// loop that ignores errors ends.
    ///
    /// # Errors
    ///
    /// Returns `error` at the first call, and no error at any later call.
    pub fn report(&mut self, error: Error) -> Result<(), Error> {
        if mem::replace(&mut self.reported, true) { Ok(()) } else { Err(error) }
    }
}
