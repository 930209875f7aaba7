//! One connection, shared by the thread that receives and the threads that send.
//!
//! There are four locks. A thread that needs several of them acquires them in this order:
//!
//! - `look_lock` is held by a sender that takes `reading` for a moment, to look at the input without waiting.
//! - `reading` is held by the thread that receives.
//! - `writing` is held by the thread that writes.
//! - `driver` is held by any thread, but only while bytes move in memory, or move from a socket that has input into a
//!   large message.
//!
//! Only `reading` and `writing` are held during a system call that may block. So a receiving thread that is parked in a read
//! does not block senders. A sending thread that waits for the peer to read does not block the receiver.
//!
//! A thread may leave its output to the holder of `writing`, because of this rule: the holder checks for remaining
//! output before it releases `writing`, and it holds `driver` during the check and the release. If output remains, it
//! flushes once more, waits for room in the socket, or leaves the output to the flusher.

mod looking;
mod memory;
mod owner;
mod sending;
mod unattended;

use std::{
    io,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use ws_core::{CloseInfo, Connection, Event, State, TimeoutKind, Transmit};
use ws_transport::{
    Clock, Driver, Error, InputEnd, Step, Turn,
    work::{self, DeferredWrites, LastLooks, Work},
};

pub(crate) use self::{owner::Owner, sending::Flushed, unattended::Wants};
use crate::{
    attached::HandlerState, flusher::FlusherFlag, read_buffer::ReadBuffer, socket::Socket, wake::Wake,
};

#[derive(Debug)]
pub(crate) struct Duplex {
    socket: Arc<Socket>,
    clock: Clock,
    reading: Mutex<ReadBuffer>,
    /// Held by a sender that takes `reading` for a look at the input. See [`Duplex::try_receive`].
    look_lock: Mutex<()>,
    /// Output that was taken from the driver and is not written yet.
    writing: Mutex<Transmit>,
    driver: Mutex<Driver>,
    /// `true` if input has to be decrypted.
    secure: bool,
    /// Set while the peer reads too slowly for senders that do not wait.
    pub(crate) blocked: FlusherFlag,
    /// State of the handler, on a server.
    pub(crate) handler: HandlerState,
    /// Wakes the receiving thread if it waits for more than input.
    receiver: Wake,
    /// Wakes the thread that waits for room in the socket.
    writer: Wake,
}

/// Limits of the wait for a message. Default: no deadline.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    deadline: Option<Instant>,
    looks: LastLooks,
}

impl Wait {
    /// Creates limits for a wait of this duration from now on. `None`: no deadline.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { deadline, ..Self::default() }
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    /// Returns `true` if there may be one more read after the deadline.
    fn may_look(&mut self) -> bool {
        let late_by = self.deadline.map_or(Duration::ZERO, |deadline| deadline.elapsed());
        self.looks.may_look(late_by)
    }
}

/// The purpose of a thread's turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Receive events, or the end of the connection.
    Receive,
    /// Wait for the end of the peer's stream.
    Drain,
}

/// The result of a turn.
enum Turned {
    /// Events may be available, in the input or in the connection.
    Received,
    Ended(Result<(), Error>),
}

impl Duplex {
    pub(crate) fn new(socket: Arc<Socket>, clock: Clock, buffer: ReadBuffer, driver: Driver) -> Self {
        Self {
            secure: driver.is_secure(),
            socket,
            clock,
            reading: Mutex::new(buffer),
            look_lock: Mutex::new(()),
            writing: Mutex::default(),
            driver: Mutex::new(driver),
            blocked: FlusherFlag::default(),
            handler: HandlerState::default(),
            receiver: Wake::default(),
            writer: Wake::default(),
        }
    }

    /// Returns the result of `question` for the connection.
    pub(crate) fn with_connection<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.driver().connection)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn set_compression(&self, enabled: bool) {
        self.driver().connection.set_compression(enabled);
    }

    #[inline]
    pub(crate) fn driver(&self) -> MutexGuard<'_, Driver> {
        lock(&self.driver)
    }

    pub(crate) fn socket(&self) -> &Socket {
        &self.socket
    }

    pub(crate) fn close_info(&self) -> Option<CloseInfo> {
        self.with_connection(Connection::close_info)
    }
}

/// Receiving.
impl Duplex {
    /// Returns the first `Some` that `take` returns for an event. Returns `None` if the connection has ended normally,
    /// or if an earlier call has returned the error that ended it.
    #[inline]
    pub(crate) fn receive<T>(
        &self,
        wait: &mut Wait,
        mut take: impl FnMut(Event<'_>, Owner<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut reading = lock(&self.reading);
        loop {
            while !reading.is_empty() {
                let mut keeps_input = false;
                let taken = reading.consume(|input| {
                    let mut driver = self.driver();
                    // After an error, the following turns write the remaining output, including the Close, and return
                    // the error.
                    let event = driver.receive(input).ok()??;
                    keeps_input = driver.connection.wants_receive();
                    take(event, Owner::new(driver))
                });
                if taken.is_some() {
                    if keeps_input {
                        reading.receive_again();
                    }
                    return Ok(taken);
                }
            }
            if let Turned::Ended(ended) = self.turn(&mut reading, Goal::Receive, wait)? {
                return ended.map(|()| None);
            }
        }
    }

    /// Passes each event to `handle` until the connection has ended normally.
    pub(crate) fn receive_each(&self, mut handle: impl FnMut(Event<'_>)) -> Result<(), Error> {
        let mut reading = lock(&self.reading);
        let mut writes = DeferredWrites::default();
        loop {
            work::begin_turn(None);
            let is_over = reading.consume(|input| {
                // A callback may take long, and it may write to many other connections.
                while !writes.is_turn_over() {
                    let event = self.driver().receive(input);
                    // The following turns return the error, as in `receive`.
                    let Ok(Some(event)) = event else { return false };
                    work::spend(Work::of(&event));
                    handle(event);
                }
                true
            });
            if is_over {
                // The connection may keep input that was not received.
                reading.receive_again();
                self.keep_output_going(&mut writes);
                continue;
            }
            writes = DeferredWrites::default();
            let turned = self.turn(&mut reading, Goal::Receive, &mut Wait::default())?;
            if let Turned::Ended(ended) = turned {
                return ended;
            }
        }
    }

    /// Writes output and checks its deadlines before all input is received, because callbacks may take long for the input.
    fn keep_output_going(&self, writes: &mut DeferredWrites) {
        let mut driver = self.driver();
        driver.connection.handle_output_timeout(self.clock.now());
        if writes.end_turn() {
            let _ = self.flush_from(driver);
        }
    }

    /// Receives and drops all events until the connection has ended.
    pub(crate) fn receive_to_end(&self) -> Result<(), Error> {
        while self.receive(&mut Wait::default(), |_, _| Some(()))?.is_some() {}
        Ok(())
    }

    /// Records that the application no longer receives.
    pub(crate) fn discard_input(&self) {
        self.driver().discard_early();
    }

    /// Runs one turn: advances the clock of the connection, writes, waits and reads.
    fn turn(&self, reading: &mut ReadBuffer, goal: Goal, wait: &mut Wait) -> Result<Turned, Error> {
        let now = self.clock.now();
        let mut driver = self.driver();
        if let Some(memory) = reading.changed_memory() {
            driver.set_input_buffers(memory);
        }
        let begun = driver.begin_turn(now);
        if driver.has_excess() {
            driver = self.relieve(driver);
        }
        match begun {
            Ok(Turn::Write) => {}
            Ok(Turn::Look) => {
                drop(driver);
                self.read(reading, Some(Duration::ZERO));
                return Ok(Turned::Received);
            }
            Err(error) => {
                drop(driver);
                self.end_writing();
                return Err(error);
            }
        }
        let (flushed, mut driver) = self.flush_from(driver);
        let step = match goal {
            Goal::Receive => driver.next_step(),
            Goal::Drain => driver.next_drain_step(),
        };
        let (read, until) = match step {
            Step::Receive => {
                reading.receive_again();
                return Ok(Turned::Received);
            }
            Step::Write => return Ok(Turned::Received),
            Step::Shutdown => {
                self.socket.shutdown(Shutdown::Write);
                return Ok(Turned::Received);
            }
            Step::End(ended) => return Ok(Turned::Ended(ended)),
            Step::Wait { read, until } => (read, until),
        };
        // The `close` of another thread shortens the wait, but it cannot wake a thread that is parked in a read. It
        // leaves the new deadline to the flusher.
        let due = until.map(|due| due.saturating_duration_since(now));
        let left = wait.left();
        if left == Some(Duration::ZERO) {
            drop(driver);
            // Receive the input that has already arrived.
            let has_come = read && wait.may_look() && self.read(reading, left);
            return if has_come { Ok(Turned::Received) } else { Err(Error::Timeout(TimeoutKind::Read)) };
        }
        self.park(reading, driver, flushed, read, (due, left))?;
        Ok(Turned::Received)
    }

    /// Waits for room to write, for other threads that write, and for input if `read` is `true`. Then reads the input.
    fn park(
        &self,
        reading: &mut ReadBuffer,
        driver: MutexGuard<'_, Driver>,
        flushed: Flushed,
        read: bool,
        (due, left): (Option<Duration>, Option<Duration>),
    ) -> Result<(), Error> {
        // Only input can end the wait, except on a closing connection with output: another thread may write it.
        let is_written = driver.connection.state() == State::Open || driver.is_written();
        if read && flushed != Flushed::Blocked && is_written {
            drop(driver);
            return self.wait_for_input(reading, due, left).map_err(Error::Io);
        }
        // Other events than input can end this wait: room to write, or another thread that writes.
        self.receiver.announce();
        drop(driver);
        let mut events = PollFlags::empty();
        events.set(PollFlags::IN, read);
        events.set(PollFlags::OUT, flushed == Flushed::Blocked);
        if self.receiver.wait(&self.socket, events, due.into_iter().chain(left).min())? && read {
            self.read(reading, Some(Duration::ZERO));
        }
        Ok(())
    }

    /// Waits for input until a deadline is `due`, or until the application's remaining time `left` has passed.
    fn wait_for_input(
        &self,
        reading: &mut ReadBuffer,
        due: Option<Duration>,
        left: Option<Duration>,
    ) -> io::Result<()> {
        /// The kernel rounds socket timeouts up. So an exact wait ends with a poll of at most this duration.
        const MAX_POLL: Duration = Duration::from_millis(20);
        let kept =
            |due: Option<Duration>| due.map_or(ReadBuffer::MAX_IDLE, |due| due.min(ReadBuffer::MAX_IDLE));
        let due = if reading.is_large() { Some(kept(due)) } else { due };
        match left.filter(|left| due.is_none_or(|due| *left < due)) {
            None => self.read(reading, due),
            // The socket's timeout may be longer than this by a sixth, which is still too early.
            Some(left) if left > MAX_POLL => self.read(reading, Some(left / 4 * 3)),
            Some(left) => {
                self.socket.is_ready(PollFlags::IN, Some(left))? && self.read(reading, Some(Duration::ZERO))
            }
        };
        Ok(())
    }

    /// Reads once. Returns `false` if no bytes arrived in time.
    fn read(&self, reading: &mut ReadBuffer, timeout: Option<Duration>) -> bool {
        let read = if self.secure {
            reading.fill_sealed(&self.socket, timeout, |sealed, plain| self.driver().decrypt(sealed, plain))
        } else {
            self.fill(reading, timeout)
        };
        let has_come = !matches!(read, Ok(None));
        match read {
            Ok(Some(0)) => self.driver().end_input(InputEnd::Eof),
            Ok(Some(_)) => {}
            Ok(None) => {
                reading.release();
                self.driver().release_idle();
            }
            Err(error) => self.driver().end_input(InputEnd::Failed(error)),
        }
        has_come
    }

    /// Reads once. For a large message, this reads the available bytes directly into the message. Otherwise it reads
    /// into the buffer.
    fn fill(&self, reading: &mut ReadBuffer, timeout: Option<Duration>) -> io::Result<Option<usize>> {
        let most = if reading.awaits_rest {
            // Read only little, so that most of the rest can be read in place.
            ReadBuffer::MIN_LEN
        } else {
            let Driver { connection, read_size, .. } = &mut *self.driver();
            let in_place = connection.receive_in_place(|message| reading.append(&self.socket, message));
            if let Some(read) = in_place {
                read_size.read_in_place();
                if let Some(read) = read? {
                    return Ok(Some(read));
                }
            }
            let most = read_size.most(ReadBuffer::MAX_LEN);
            read_size.read();
            most
        };
        reading.fill(&self.socket, most, timeout)
    }
}

/// Locks a mutex, poisoned or not. No code of the application runs under these locks, so a poisoned one is still
/// valid.
#[inline]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
