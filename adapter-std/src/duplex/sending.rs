//! Queueing and writing.

use std::{
    borrow::Cow,
    sync::{MutexGuard, TryLockError, atomic::Ordering},
};

use bytes::Buf;
use ws_core::{Connection, Message, PreparedMessage, SendError, State, Transmit};
use ws_transport::{Deadline, Error, Patience, Wire};

use super::{Duplex, Flushed, lock};

impl Duplex {
    /// Queues a message, as soon as there is room for it.
    #[inline]
    pub(crate) fn feed(&self, message: Message<'_>) -> Result<(), Error> {
        self.wait_for_room()?.send(message)
    }

    /// Queues something to be sent, as soon as there is room for it.
    pub(crate) fn queue<T>(
        &self,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Result<T, Error> {
        self.wait_for_room()?.queue(send)
    }

    #[inline]
    fn wait_for_room(&self) -> Result<MutexGuard<'_, Wire>, Error> {
        loop {
            let wire = self.wire();
            let connection = &wire.connection;
            let full = connection.buffered() >= connection.config().write_buffer_size.max(1);
            if !full || connection.state() != State::Open {
                return Ok(wire);
            }
            drop(wire);
            self.flush()?;
        }
    }

    /// Writes what is queued, and waits for the peer to take it.
    pub(crate) fn flush(&self) -> Result<(), Error> {
        loop {
            let mut writing = lock(&self.writing);
            if !self.write(&mut writing, self.wire(), Patience::Wait)? {
                drop(writing);
                self.abandon();
                return Err(Error::Timeout(Deadline::Write));
            }
            drop(writing);
            // What was queued while this thread held the lock, its own thread may have left to this one.
            if !self.wire().wants_write() {
                return Ok(());
            }
        }
    }

    /// Writes what is queued as far as the socket takes it at once; if another thread is writing, leaves it
    /// to that. An error is left for the next read to tell, after what the peer said before.
    pub(crate) fn flush_without_waiting(&self) -> Flushed {
        self.flush_from(self.wire()).0
    }

    /// As [`flush_without_waiting`](Self::flush_without_waiting), for one who looks at the connection before and
    /// after.
    pub(super) fn flush_from<'w>(
        &'w self,
        mut wire: MutexGuard<'w, Wire>,
    ) -> (Flushed, MutexGuard<'w, Wire>) {
        loop {
            let mut writing = match self.writing.try_lock() {
                Ok(writing) => writing,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return (Flushed::Done, wire),
            };
            if !writing.has_remaining() && !wire.wants_write() {
                return (Flushed::Done, wire);
            }
            let written = self.write(&mut writing, wire, Patience::Never);
            drop(writing);
            wire = self.wire();
            if let Ok(false) = written {
                return (Flushed::Blocked, wire);
            }
            if !wire.wants_write() {
                return (Flushed::Done, wire);
            }
        }
    }

    /// As [`flush_without_waiting`](Self::flush_without_waiting), but after another thread that is writing:
    /// for a connection on which none waits for the peer meanwhile.
    pub(crate) fn flush_in_turn(&self) -> Flushed {
        loop {
            let written = self.write(&mut lock(&self.writing), self.wire(), Patience::Never);
            if let Ok(false) = written {
                return Flushed::Blocked;
            }
            if !self.wire().wants_write() {
                return Flushed::Done;
            }
        }
    }

    /// Writes a message to many without queueing it, as is possible most of the time; tells whether it did.
    /// What the socket does not take waits to be written next.
    pub(crate) fn write_through(&self, message: &PreparedMessage) -> bool {
        let Ok(mut writing) = self.writing.try_lock() else { return false };
        if writing.has_remaining() {
            return false;
        }
        let Some(mut frame) = self.wire().ready_frame(message).map(Cow::into_owned) else { return false };
        let written = self.socket.write_all(&mut frame, Patience::Never).is_ok();
        if written {
            writing.block().extend_from_slice(&frame);
            self.unwritten.store(frame.len(), Ordering::Relaxed);
        }
        written
    }

    /// Writes what was taken to be written before, or else what the connection has to say, and tells whether all
    /// of it was.
    fn write(
        &self,
        writing: &mut Transmit,
        mut wire: MutexGuard<'_, Wire>,
        patience: Patience,
    ) -> Result<bool, Error> {
        if !writing.has_remaining() {
            wire.take_output(writing);
        }
        drop(wire);
        let written = self.socket.write_all(writing, patience);
        if written.is_err() {
            // Nobody is there to read it.
            writing.advance(usize::MAX);
        }
        self.unwritten.store(writing.remaining(), Ordering::Relaxed);
        written.or_else(|error| {
            let mut wire = self.wire();
            wire.drop_output();
            if wire.connection.closure().is_some() { Ok(true) } else { Err(error.into()) }
        })
    }

    /// How many bytes were taken to be written and are not, for the last that wrote.
    pub(crate) fn unwritten(&self) -> usize {
        self.unwritten.load(Ordering::Relaxed)
    }
}
