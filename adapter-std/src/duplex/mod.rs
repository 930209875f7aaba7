//! One connection, shared by the thread that receives and those that send.
//!
//! Three locks, waited for in this order and each taken only by those who need it: `reading` by the one thread
//! that receives, `writing` by the one that writes, `wire` by everybody for as long as it takes to move bytes
//! in memory, encrypted or not, or to a large message from a socket that has some. No lock but the first two is
//! held during a system call that may wait; so the receiving thread, parked in a read, keeps nobody from sending,
//! and a sending thread, parked in a write, keeps nobody from receiving.

mod sending;

use std::{
    io,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicUsize},
    time::{Duration, Instant},
};

use ws_core::{
    Cause, Chunk, CloseCode, Closure, Connection, Event, Message, ProtocolError, SendError, State, Transmit,
};
use ws_transport::{Clock, Deadline, Error, Spare, Wire};

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
    #[inline]
    pub(crate) fn message(mut self, message: Message<'_>) -> Message<'static> {
        self.0.appetite.received(&message);
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

    #[inline]
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
    #[inline]
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
            self.fill(reading, timeout).map_err(Error::Io)
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

    /// Reads once: of a large message what is there to where it is put together, or else what comes next.
    fn fill(&self, reading: &mut ReadBuffer, timeout: Option<Duration>) -> io::Result<Option<usize>> {
        let most = if reading.awaits_rest {
            // Little, so that most of it is still there to be read in place.
            ReadBuffer::SMALLEST
        } else {
            let Wire { connection, appetite, .. } = &mut *self.wire();
            let in_place = connection.receive_in_place(|message| reading.append(&self.socket, message));
            if let Some(read) = in_place {
                appetite.read_in_place();
                if let Some(read) = read? {
                    return Ok(Some(read));
                }
            }
            let most = appetite.most(ReadBuffer::LARGEST);
            appetite.read();
            most
        };
        reading.fill(&self.socket, most, timeout)
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
#[inline]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
