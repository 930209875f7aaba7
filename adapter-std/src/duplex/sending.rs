//! Queueing, writing and closing.

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

/// How a flush without waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flushed {
    /// Nothing is left to write.
    Done,
    /// Another thread writes, and will see what is left.
    LeftToAnother,
    /// The socket takes no more for the moment.
    Blocked,
}

/// How writing ended.
enum Written {
    Flushed(Flushed),
    Failed(io::Error),
}

impl Written {
    /// An error is left to the next read, which reports it after everything that the peer sent before.
    fn flushed(self) -> Flushed {
        match self {
            Self::Flushed(flushed) => flushed,
            Self::Failed(_) => Flushed::Done,
        }
    }
}

impl Duplex {
    /// Queues a message, as soon as there is room for it.
    #[inline]
    pub(crate) fn feed(self: &Arc<Self>, message: Message<'_>) -> Result<(), Error> {
        self.wait_for_room()?.send(message)
    }

    /// Queues something to be sent, as soon as there is room for it.
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

    /// Writes what is queued, and waits until the operating system has all of it.
    pub(crate) fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let end = self.ask(Connection::total_queued);
        let flushed = self.flush_until(end);
        if let Err(Error::Io(_)) = &flushed {
            // No thread may receive, and find how the connection has ended.
            self.look_now();
        }
        flushed
    }

    /// Writes until the operating system has all output up to this position.
    fn flush_until(self: &Arc<Self>, end: u64) -> Result<(), Error> {
        if self.ask(Connection::total_written) >= end {
            return Ok(());
        }
        let mut writing = lock(&self.writing);
        loop {
            let (written, mut driver) = self.write(&mut writing, self.driver());
            let connection = &driver.connection;
            if connection.total_written() >= end {
                drop(writing);
                drop(driver);
                // Other threads may have left more to this one, which does not wait for it.
                self.watch_if_blocked(written.flushed());
                return Ok(());
            }
            if let Written::Failed(error) = written {
                return Err(error.into());
            }
            if let Written::Flushed(Flushed::Done) = written {
                // What was queued was dropped.
                return Err(driver.lost_output());
            }
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

    /// Writes what is queued as far as the socket takes it at once. If another thread is writing, leaves it to that.
    pub(crate) fn flush_without_waiting(&self) -> Flushed {
        self.flush_from(self.driver()).0
    }

    /// As [`flush_without_waiting`](Self::flush_without_waiting), for a thread that looks at the connection before and
    /// after.
    pub(super) fn flush_from<'d>(
        &'d self,
        driver: MutexGuard<'d, Driver>,
    ) -> (Flushed, MutexGuard<'d, Driver>) {
        let mut writing = match self.writing.try_lock() {
            Ok(writing) => writing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // It sees what was queued, see the documentation of this module.
            Err(TryLockError::WouldBlock) => return (Flushed::LeftToAnother, driver),
        };
        if !writing.has_remaining() && !driver.wants_write() {
            return (Flushed::Done, driver);
        }
        let (written, driver) = self.write(&mut writing, driver);
        (written.flushed(), driver)
    }

    /// As [`flush_without_waiting`](Self::flush_without_waiting), but after another thread that is writing: for a
    /// connection on which no thread waits for the peer meanwhile.
    pub(crate) fn flush_in_turn(&self) -> Flushed {
        let mut writing = lock(&self.writing);
        let (written, _driver) = self.write(&mut writing, self.driver());
        drop(writing);
        written.flushed()
    }

    /// Leaves the rest to the flusher if the socket takes no more.
    pub(crate) fn watch_if_blocked(self: &Arc<Self>, flushed: Flushed) {
        if flushed == Flushed::Blocked {
            flusher::watch(self);
        }
    }

    /// Writes a message for many connections without queueing it, which is possible most of the time. Returns `None` if
    /// it has to be queued; flush then in any case. What the socket does not take is written next.
    pub(crate) fn write_through(&self, message: &PreparedMessage) -> Option<Flushed> {
        let mut writing = self.writing.try_lock().ok()?;
        let mut driver = self.driver();
        let frame = if writing.has_remaining() { None } else { driver.take_prepared(message) };
        let Some(mut frame) = frame else {
            // In this order: another thread may have left its output to this one. The caller flushes.
            drop(writing);
            drop(driver);
            return None;
        };
        drop(driver);
        // An error comes again with the next write.
        let count = self.socket.write(&frame).ok().flatten().unwrap_or(0);
        frame.advance(count);
        writing.push(frame);
        let mut driver = self.driver();
        driver.written(count);
        let (written, _driver) = self.write(&mut writing, driver);
        drop(writing);
        Some(written.flushed())
    }

    /// Writes what was taken before, and what the driver has, until nothing is left or the socket takes no more. Only
    /// then `driver` is held again; hold it until `writing` is released.
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
    /// Queues a Close and writes it, not longer than the closing handshake may take. Does nothing if one was sent.
    pub(crate) fn close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        self.begin_close(code, reason)?;
        // A broken connection has nothing left to close.
        let _ = self.flush();
        self.watch_end(Flushed::Done);
        Ok(())
    }

    /// Queues a Close and writes it as far as goes without waiting. Does nothing if one was sent.
    pub(crate) fn close_without_waiting(
        self: &Arc<Self>,
        code: CloseCode,
        reason: &str,
    ) -> Result<(), Error> {
        self.begin_close(code, reason)?;
        self.watch_end(self.flush_without_waiting());
        Ok(())
    }

    /// Gives up the message that is being sent in chunks, which closes the connection.
    pub(crate) fn abort_message(self: &Arc<Self>) {
        let mut driver = self.driver();
        driver.connection.abort_message();
        let is_closing = driver.connection.state() != State::Open;
        self.tell_time(&mut driver);
        drop(driver);
        let flushed = self.flush_without_waiting();
        if is_closing {
            self.watch_end(flushed);
        }
    }

    /// Leaves to the flusher what no other thread may do in time for a connection that is closing: to write the rest, and
    /// to end the connection at its deadline. A thread that is parked in a read cannot be woken to do it, and if the flusher
    /// receives, it has to look at the new deadline.
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
        self.tell_time(&mut driver);
        Ok(())
    }

    /// Tells a connection that is closing from now on the time. Threads that wait have a new deadline to keep.
    pub(crate) fn tell_time(&self, driver: &mut Driver) {
        driver.connection.handle_output_timeout(self.clock.now());
        self.wake_all();
    }

    /// Ends the connection if a deadline of its output has passed. Returns how long it is until the next.
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

    /// As [`keep_output_deadline`](Self::keep_output_deadline), for a connection that is closing. Returns `None` if it is
    /// not.
    pub(crate) fn keep_closing_deadline(&self) -> Option<Duration> {
        let is_closing = self.ask(Connection::state) == State::Closing;
        is_closing.then(|| self.keep_output_deadline()).flatten()
    }

    /// Writes what is left, as far as goes without waiting, and shuts the writing direction down behind it.
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

    /// Ends the connection at once. All threads that wait for it wake up.
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
