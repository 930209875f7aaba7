//! Queueing, writing and closing of a connection.

use std::{
    io,
    net::Shutdown,
    sync::{Arc, MutexGuard, TryLockError},
    time::Duration,
};

use bytes::Buf as _;
use rustix::event::PollFlags;
use ws_core::{CloseCode, Connection, Message, PreparedMessage, SendError, State, Transmit};
use ws_transport::{Driver, Error, Step};

use super::{Duplex, lock};
use crate::flusher;

/// The result of a flush that does not wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// No output is left.
    Done,
    /// Another thread is writing, and will also write the remaining output.
    LeftToAnother,
    /// The socket accepts no more bytes for now.
    Blocked,
}

/// The result of writing.
enum Written {
    Flushed(Flushed),
    Failed(io::Error),
}

impl Written {
    /// Ignores an error. The next read reports it, after all input that the peer sent before.
    fn flushed(self) -> Flushed {
        match self {
            Self::Flushed(flushed) => flushed,
            Self::Failed(_) => Flushed::Done,
        }
    }
}

impl Duplex {
    /// Queues a message as soon as there is room for it.
    #[inline]
    pub(crate) fn feed(self: &Arc<Self>, message: Message<'_>) -> Result<(), Error> {
        self.wait_for_room()?.send(message)
    }

    /// Queues output with `send` as soon as there is room for it.
    pub(crate) fn queue<T>(
        self: &Arc<Self>,
        send: impl FnOnce(&mut Driver) -> Result<T, Error>,
    ) -> Result<T, Error> {
        send(&mut *self.wait_for_room()?)
    }

    #[inline]
    fn wait_for_room(self: &Arc<Self>) -> Result<MutexGuard<'_, Driver>, Error> {
        loop {
            let driver = self.driver();
            let connection = &driver.connection;
            let mark = connection.config().write_buffer_size.max(1);
            if connection.buffered() < mark || connection.state() != State::Open {
                return Ok(driver);
            }
            let room = connection.total_written() + (connection.buffered() - mark) as u64 + 1;
            drop(driver);
            self.flush_until(room)?;
        }
    }

    /// Writes the queued output, and waits until the operating system has accepted all of it.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let end = self.driver().end_of_output()?;
        let flushed = self.flush_until(end);
        if let Err(Error::Io(_)) = &flushed {
            // No thread may be receiving, so look for the reason why the connection has ended.
            self.look_now();
        }
        flushed
    }

    /// Writes until the operating system has accepted all output up to the position `end`.
    fn flush_until(self: &Arc<Self>, end: u64) -> Result<(), Error> {
        if self.with_connection(Connection::total_written) >= end {
            return Ok(());
        }
        let mut writing = lock(&self.writing);
        loop {
            let (written, mut driver) = self.write(&mut writing, self.driver());
            let connection = &driver.connection;
            if connection.total_written() >= end {
                drop(writing);
                drop(driver);
                // Other threads may have left more output to this one, which does not wait for it.
                self.watch_if_blocked(written.flushed());
                return Ok(());
            }
            if let Written::Failed(error) = written {
                return Err(error.into());
            }
            if let Written::Flushed(Flushed::Done) = written {
                // The queued output was dropped.
                return Err(driver.lost_output());
            }
            driver.settle();
            if driver.has_excess() {
                drop(self.relieve(driver));
                continue;
            }
            let connection = &driver.connection;
            let due = connection.poll_output_timeout().map(|due| self.clock.until(due));
            self.writer.announce();
            drop(driver);
            self.writer.wait(&self.socket, PollFlags::OUT, due)?;
            driver = self.driver();
            driver.connection.handle_output_timeout(self.clock.now());
            if driver.connection.is_finished() {
                let lost = driver.lost_output();
                drop(driver);
                *writing = Transmit::default();
                drop(writing);
                self.abandon();
                return Err(lost);
            }
        }
    }

    /// Writes the queued output that the socket accepts without waiting. If another thread is writing, leaves the
    /// output to that thread.
    pub(crate) fn flush_without_waiting(&self) -> Flushed {
        self.flush_from(self.driver()).0
    }

    /// Like [`flush_without_waiting`](Self::flush_without_waiting), for a thread that holds the driver before and
    /// after the flush.
    pub(super) fn flush_from<'d>(
        &'d self,
        driver: MutexGuard<'d, Driver>,
    ) -> (Flushed, MutexGuard<'d, Driver>) {
        let mut writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // That thread also writes this output, see the module documentation.
            Err(TryLockError::WouldBlock) => return (Flushed::LeftToAnother, driver),
        };
        if !writing.has_remaining() && !driver.wants_write() {
            return (Flushed::Done, driver);
        }
        let (written, driver) = self.write(&mut writing, driver);
        (written.flushed(), driver)
    }

    /// Like [`flush_without_waiting`](Self::flush_without_waiting), but waits for another thread that is writing. Use
    /// it only if no writing thread waits for the peer.
    pub(crate) fn flush_in_turn(&self) -> Flushed {
        let mut writing = lock(&self.writing);
        let (written, _driver) = self.write(&mut writing, self.driver());
        drop(writing);
        written.flushed()
    }

    /// Leaves the remaining output to the flusher if the socket accepts no more.
    pub(crate) fn watch_if_blocked(self: &Arc<Self>, flushed: Flushed) {
        if flushed == Flushed::Blocked {
            flusher::watch(self);
        }
    }

    /// Writes a broadcast message without queueing it, which is possible most of the time. Bytes that the socket does
    /// not accept are written next.
    ///
    /// Returns `None` if the message has to be queued. In this case, flush even if queueing fails.
    pub(crate) fn write_through(&self, message: &PreparedMessage) -> Option<Flushed> {
        let mut writing = self.writing.try_lock().ok()?;
        let mut driver = self.driver();
        let frame = if writing.has_remaining() { None } else { driver.take_prepared(message) };
        let Some(mut frame) = frame else {
            // Release in this order, because another thread may have left its output to this one. The caller flushes
            // it.
            drop(writing);
            drop(driver);
            return None;
        };
        drop(driver);
        // The next write returns an error again.
        let count = self.socket.write(&frame).ok().flatten().unwrap_or(0);
        frame.advance(count);
        writing.push(frame);
        let mut driver = self.driver();
        driver.written(count);
        let (written, _driver) = self.write(&mut writing, driver);
        drop(writing);
        Some(written.flushed())
    }

    /// Writes the output of `writing` and of the driver until none is left or the socket accepts no more. Returns with
    /// `driver` locked. Keep it locked until `writing` is released.
    fn write<'d>(
        &'d self,
        writing: &mut Transmit,
        mut driver: MutexGuard<'d, Driver>,
    ) -> (Written, MutexGuard<'d, Driver>) {
        loop {
            if !writing.has_remaining() {
                driver.take_output(writing);
                if !writing.has_remaining() {
                    return (Written::Flushed(Flushed::Done), driver);
                }
            }
            drop(driver);
            let written = self.socket.write(writing);
            driver = self.driver();
            match written {
                Ok(Some(count)) => {
                    writing.advance(count);
                    driver.written(count);
                    self.receiver.wake();
                }
                Ok(None) => return (Written::Flushed(Flushed::Blocked), driver),
                Err(error) => {
                    *writing = Transmit::default();
                    driver.fail_output();
                    return (Written::Failed(error), driver);
                }
            }
        }
    }
}

/// Closing.
impl Duplex {
    /// Queues a Close and writes it, and waits at most for the close timeout. Does nothing if a Close was already
    /// sent.
    pub(crate) fn close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)?;
        // If the flush fails, the connection is broken and needs no close.
        let _ = self.flush();
        self.watch_end(Flushed::Done);
        Ok(())
    }

    /// Queues a Close and writes it without waiting. Does nothing if a Close was already sent.
    pub(crate) fn close_without_waiting(
        self: &Arc<Self>,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Error> {
        self.begin_close(code, reason)?;
        self.watch_end(self.flush_without_waiting());
        Ok(())
    }

    /// Aborts the message that is being sent in chunks, which closes the connection.
    pub(crate) fn abort_message(self: &Arc<Self>) {
        let mut driver = self.driver();
        driver.connection.abort_message();
        let is_closing = driver.connection.state() != State::Open;
        self.report_time(&mut driver);
        drop(driver);
        let flushed = self.flush_without_waiting();
        if is_closing {
            self.watch_end(flushed);
        }
    }

    /// Leaves two duties of a closing connection to the flusher: to write the remaining output, and to end the
    /// connection at its deadline. No other thread may do it in time, because a thread that is parked in a read cannot
    /// be woken. If the flusher already receives, it has to check the new deadline.
    pub(crate) fn watch_end(self: &Arc<Self>, flushed: Flushed) {
        self.watch_if_blocked(flushed);
        if self.handler.is_taken_over() || matches!(self.reading.try_lock(), Err(TryLockError::WouldBlock)) {
            flusher::watch_closing(self);
        }
    }

    fn begin_close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut driver = self.driver();
        match driver.close(code, reason) {
            Err(SendError::Closed) => return Ok(()),
            result => result?,
        }
        self.report_time(&mut driver);
        Ok(())
    }

    /// Passes the current time to a connection that begins to close. Wakes the waiting threads, because they have a
    /// new deadline.
    pub(crate) fn report_time(&self, driver: &mut Driver) {
        driver.connection.handle_output_timeout(self.clock.now());
        self.wake_all();
    }

    /// Ends the connection if a deadline of its output has passed. Returns the time until the next deadline.
    pub(crate) fn keep_output_deadline(&self) -> Option<Duration> {
        let mut driver = self.driver();
        driver.connection.handle_output_timeout(self.clock.now());
        let (is_finished, due) = (driver.connection.is_finished(), driver.connection.poll_output_timeout());
        drop(driver);
        if is_finished {
            self.abandon();
        }
        due.map(|due| self.clock.until(due))
    }

    /// Like [`keep_output_deadline`](Self::keep_output_deadline), for a closing connection. Returns `None` if the
    /// connection is not closing.
    pub(crate) fn keep_closing_deadline(&self) -> Option<Duration> {
        let is_closing = self.with_connection(Connection::state) == State::Closing;
        is_closing.then(|| self.keep_output_deadline()).flatten()
    }

    /// Writes the remaining output without waiting, and then shuts down the writing direction.
    pub(super) fn end_writing(&self) {
        loop {
            self.flush_without_waiting();
            match self.driver().next_shutdown_step() {
                Some(Step::Write) => {}
                Some(Step::Shutdown) => return self.socket.shutdown(Shutdown::Write),
                _ => return,
            }
        }
    }

    /// Ends the connection at once, and wakes all threads that wait for it.
    pub(crate) fn abandon(&self) {
        {
            let mut driver = self.driver();
            driver.connection.receive_eof();
            driver.fail_output();
        }
        self.socket.shutdown(Shutdown::Both);
        self.wake_all();
    }

    /// Wakes the threads that wait, because the state of the connection has changed.
    fn wake_all(&self) {
        self.receiver.wake();
        self.writer.wake();
    }
}
