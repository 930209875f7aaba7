//! One connection, shared by the thread that receives and those that send.
//!
//! Three locks, waited for in this order and each taken only by those who need it: `reading` by the one thread
//! that receives, `writing` by the one that writes, `wire` by everybody for as long as it takes to move bytes
//! in memory, encrypted or not. No lock but the first two is held during a system call; so the receiving thread,
//! parked in a read, keeps nobody from sending, and a sending thread, parked in a write, keeps nobody from
//! receiving.

use std::{
    borrow::Cow,
    net::Shutdown,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Buf;
use ws_core::{
    Cause, Chunk, CloseCode, Closure, Connection, Event, Message, PreparedMessage, ProtocolError, SendError,
    State, Transmit,
};
use ws_transport::{Clock, Deadline, Error, Patience, Spare, Wire};

use crate::{flusher::Blocked, read_buffer::ReadBuffer, socket::Socket};

#[derive(Debug)]
pub(crate) struct Duplex {
    socket: Arc<Socket>,
    clock: Clock,
    reading: Mutex<ReadBuffer>,
    writing: Mutex<Transmit>,
    wire: Mutex<Wire>,
    /// Whether what is read has to be decrypted.
    secure: bool,
    /// How many bytes are left in `writing` since it was last written from.
    unwritten: AtomicUsize,
    /// Whether the peer reads too slowly for those who do not wait.
    pub(crate) blocked: Blocked,
}

/// How a flush without waiting ended.
pub(crate) enum Flushed {
    /// Nothing is left, or another thread writes and will see what is.
    Done,
    /// The socket takes no more for the moment.
    Blocked,
}

/// Copies what lies in a read buffer.
pub(crate) struct Owner<'w>(MutexGuard<'w, Wire>);

impl Owner<'_> {
    /// The same message, owning its payload.
    pub(crate) fn message(mut self, message: Message<'_>) -> Message<'static> {
        if message.len() <= Spare::MOST {
            return self.0.spare.own(message);
        }
        // Those who send need not wait for it.
        drop(self);
        message.into_owned()
    }

    /// The same piece, owning its payload.
    pub(crate) fn chunk(self, chunk: Chunk<'_>) -> Chunk<'static> {
        drop(self);
        chunk.into_owned()
    }

    /// The same event, owning its payload.
    pub(crate) fn event(self, event: Event<'_>) -> Event<'static> {
        drop(self);
        event.into_owned()
    }
}

impl Duplex {
    pub(crate) fn new(socket: Arc<Socket>, clock: Clock, buffer: ReadBuffer, wire: Wire) -> Self {
        Self {
            secure: wire.is_secure(),
            socket,
            clock,
            reading: Mutex::new(buffer),
            writing: Mutex::new(Transmit::default()),
            wire: Mutex::new(wire),
            unwritten: AtomicUsize::new(0),
            blocked: Blocked::default(),
        }
    }

    /// Asks the connection for something.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.wire().connection)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn set_compression(&self, enabled: bool) {
        self.wire().connection.set_compression(enabled);
    }

    pub(crate) fn wire(&self) -> MutexGuard<'_, Wire> {
        lock(&self.wire)
    }

    /// Tells the connection the time.
    pub(crate) fn tell_time(&self, wire: &mut Wire) {
        wire.connection.handle_timeout(self.clock.now());
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// What `take` makes of the next event of which it makes anything; `None` when the connection has ended
    /// as it should.
    pub(crate) fn receive<T>(
        &self,
        deadline: Option<Instant>,
        mut take: impl FnMut(Event<'_>, Owner<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut reading = lock(&self.reading);
        loop {
            while !reading.is_empty() {
                let received = reading.consume(|input| {
                    let mut wire = self.wire();
                    let event = wire.connection.receive(input)?;
                    Ok(event.and_then(|event| take(event, Owner(wire))))
                });
                match received {
                    Ok(Some(taken)) => return Ok(Some(taken)),
                    Ok(None) => {}
                    Err(error) => return Err(self.failed(error)),
                }
            }
            if let Some(ended) = self.turn(&mut reading, deadline)? {
                return ended.map(|()| None);
            }
        }
    }

    /// Lends every event to `handle`, until the connection has ended as it should.
    pub(crate) fn receive_each(&self, mut handle: impl FnMut(Event<'_>)) -> Result<(), Error> {
        let mut reading = lock(&self.reading);
        loop {
            let received = reading.consume(|input| {
                loop {
                    let mut wire = self.wire();
                    if wire.is_held_back() {
                        return Ok(());
                    }
                    let event = wire.connection.receive(input)?;
                    drop(wire);
                    let Some(event) = event else { return Ok(()) };
                    handle(event);
                }
            });
            received.map_err(|error: ProtocolError| self.failed(error))?;
            if let Some(ended) = self.turn(&mut reading, None)? {
                return ended;
            }
        }
    }

    /// Everything that is due between two looks at the input: tells the time, writes, waits and reads.
    /// Gives the end of the connection, if it has come.
    fn turn(
        &self,
        reading: &mut ReadBuffer,
        deadline: Option<Instant>,
    ) -> Result<Option<Result<(), Error>>, Error> {
        let now = self.clock.now();
        let mut wire = self.wire();
        let overdue = wire.connection.poll_timeout().is_some_and(|due| due <= now);
        if overdue && !reading.looked && reading.is_empty() && self.socket.is_readable()? {
            drop(wire);
            // The application was away. What came meanwhile counts before any silence does.
            reading.looked = true;
            self.read(reading, Some(Duration::ZERO))?;
            return Ok(None);
        }
        reading.looked = false;
        wire.connection.handle_timeout(now);
        let (flushed, wire) = self.flush_from(wire);
        let connection = &wire.connection;
        if connection.is_finished() {
            let ended = wire.ended();
            drop(wire);
            self.end_writing();
            return Ok(Some(ended));
        }
        if !reading.is_empty() && !wire.is_held_back() {
            return Ok(None);
        }
        // An open connection is read whatever waits to be written: those who send are held back by
        // themselves, and two peers that wait for each other to read would wait for ever.
        let reads = (connection.state() == State::Open || connection.wants_read()) && !wire.is_held_back();
        // Another thread's `close` shortens the wait and cannot wake this one, so that it is never longer.
        let longest = connection.config().close_timeout.max(Duration::from_millis(10));
        let due = connection.poll_timeout().map(|due| due.saturating_duration_since(now));
        let mut wait = due.map_or(longest, |due| due.min(longest));
        drop(wire);
        if let Some(deadline) = deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::Timeout(Deadline::Read));
            }
            wait = wait.min(left);
        }
        match flushed {
            Flushed::Done if reads => self.read(reading, Some(wait))?,
            Flushed::Done | Flushed::Blocked => {
                self.socket.wait_writable(reads, Some(wait))?;
                if reads && self.socket.is_readable()? {
                    self.read(reading, Some(Duration::ZERO))?;
                }
            }
        }
        Ok(None)
    }

    #[cold]
    fn failed(&self, error: ProtocolError) -> Error {
        self.end_writing();
        error.into()
    }

    fn read(&self, reading: &mut ReadBuffer, timeout: Option<Duration>) -> Result<(), Error> {
        let read = if self.secure {
            reading.fill_sealed(&self.socket, timeout, |sealed, plain| self.wire().decrypt(sealed, plain))
        } else {
            reading.fill(&self.socket, timeout).map_err(Error::Io)
        };
        match read {
            Ok(Some(0)) => self.wire().receive_eof()?,
            Ok(Some(_)) => {}
            Ok(None) => {
                reading.release();
                self.wire().spare.release();
            }
            Err(Error::Io(error)) => self.wire().failed(error)?,
            Err(error) => {
                // Tells the peer what it did wrong.
                self.end_writing();
                return Err(error);
            }
        }
        Ok(())
    }

    /// Queues a message, as soon as there is room for it.
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
    fn flush_from<'w>(&'w self, mut wire: MutexGuard<'w, Wire>) -> (Flushed, MutexGuard<'w, Wire>) {
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

    /// Queues a Close and writes it as far as goes without waiting. Nothing happens if one was sent.
    pub(crate) fn close_without_waiting(&self, code: CloseCode, reason: &str) {
        {
            let wire = &mut *self.wire();
            if wire.close(code, reason).is_err() {
                return;
            }
            self.tell_time(wire);
        }
        self.flush_without_waiting();
    }

    /// Queues a Close and writes it, not longer than the closing handshake may take.
    pub(crate) fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        {
            let wire = &mut *self.wire();
            match wire.close(code, reason) {
                Err(SendError::Closed) => {}
                result => result?,
            }
            self.tell_time(wire);
        }
        // A thread that waits in a write has its own timeout, and the Close follows what it writes.
        while let Flushed::Blocked = self.flush_without_waiting() {
            let left = {
                let wire = &mut *self.wire();
                self.tell_time(wire);
                if wire.connection.is_finished() {
                    return Ok(());
                }
                wire.connection.poll_timeout().map(|due| self.clock.until(due))
            };
            self.socket.wait_writable(false, left)?;
        }
        Ok(())
    }

    /// Receives, and drops what comes, until the connection has ended.
    pub(crate) fn receive_to_end(&self) -> Result<(), Error> {
        while self.receive(None, |_, _| Some(()))?.is_some() {}
        Ok(())
    }

    /// Waits for the peer to close its side, so that no reset overtakes the last bytes that were written;
    /// not longer than the closing handshake may take. Then ends the connection for good.
    pub(crate) fn linger(&self) {
        let silent = matches!(self.closure(), Some(Closure { cause: Cause::Timeout(_), .. }));
        // If another thread receives, this is up to that one.
        if let (false, Ok(mut reading)) = (silent, self.reading.try_lock()) {
            let deadline = Instant::now() + self.ask(|connection| connection.config().close_timeout);
            reading.drain(&self.socket, deadline);
        }
        self.abandon();
    }

    /// Writes what is left, as far as goes without waiting, and says that nothing more will come.
    fn end_writing(&self) {
        self.wire().end_output();
        self.flush_without_waiting();
        self.socket.shutdown(Shutdown::Write);
    }

    /// Ends the connection without any ceremony. All threads that wait for it wake up.
    pub(crate) fn abandon(&self) {
        self.wire().connection.receive_eof();
        self.socket.shutdown(Shutdown::Both);
    }

    pub(crate) fn closure(&self) -> Option<Closure> {
        self.ask(Connection::closure)
    }
}

/// No code of the application runs under these locks, so that a poisoned one is as good as new.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
