//! One connection, shared by the thread that receives and the threads that send.
//!
//! Three locks, waited for in this order, each held only by threads that need it: `reading` by the one that receives,
//! `writing` by the one that writes, `driver` by all for as long as it takes to move bytes in memory, or to a large
//! message from a socket that has some. Only the first two are held during a system call that may wait. So a receiving
//! thread that is parked in a read holds up no sender, and a sending thread that waits for the peer to read holds up no
//! receiver.
//!
//! A thread that leaves its output to the holder of `writing` relies on this rule: `writing` is released while `driver`
//! is held, after a look at what is left. Either nothing is, or the holder flushes once more, or it waits for the socket
//! to take more, or it leaves that to the flusher.

mod sending;
mod unattended;

use std::{
    io,
    net::Shutdown,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rustix::event::PollFlags;
use ws_core::{Chunk, Closure, Connection, Event, Message, State, Transmit};
use ws_transport::{Clock, Deadline, Driver, Error, InputEnd, RecycledBuffer, Step, Turn};

pub(crate) use self::{sending::Flushed, unattended::Wants};
use crate::{attached::HandlerState, flusher::Blocked, read_buffer::ReadBuffer, socket::Socket, wake::Wake};

#[derive(Debug)]
pub(crate) struct Duplex {
    socket: Arc<Socket>,
    clock: Clock,
    reading: Mutex<ReadBuffer>,
    /// Held by a sender that takes `reading` for a look at the input. See [`Duplex::try_receive`].
    looking: Mutex<()>,
    /// Output that was taken from the driver and not written.
    writing: Mutex<Transmit>,
    driver: Mutex<Driver>,
    /// Whether input has to be decrypted.
    secure: bool,
    /// Whether the peer reads too slowly for senders that do not wait.
    pub(crate) blocked: Blocked,
    /// The part of the connection that a server's handler has left to the library.
    pub(crate) handler: HandlerState,
    /// Wakes the receiving thread where it waits for more than input.
    receiver: Wake,
    /// Wakes the thread that waits for room to write.
    writer: Wake,
}

/// How long a thread waits for a message.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Option<Instant>,
    looks: usize,
}

impl Default for Patience {
    /// Waits without end.
    fn default() -> Self {
        Self { deadline: None, looks: Self::LOOKS }
    }
}

impl Patience {
    /// How many reads may follow the deadline, for a message that lies in the socket, before a peer that sends all the
    /// time and never a message makes no difference any more.
    const LOOKS: usize = 64;

    /// Waits as long as this from now on, or without end.
    pub(crate) fn new(timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        Self { deadline, ..Self::default() }
    }

    fn left(&self) -> Option<Duration> {
        self.deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()))
    }

    fn may_look(&mut self) -> bool {
        self.looks = self.looks.saturating_sub(1);
        self.looks > 0
    }
}

/// What a thread that takes turns waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Events, or the end of the connection.
    Receive,
    /// The end of the peer's stream.
    Drain,
}

/// How a turn ended.
enum Turned {
    /// There may be events: in the input, or kept by the connection.
    Received,
    Ended(Result<(), Error>),
}

/// Copies what lies in a read buffer.
pub(crate) struct Owner<'d>(MutexGuard<'d, Driver>);

impl Owner<'_> {
    /// Returns the same message, with its own payload.
    #[inline]
    pub(crate) fn message(mut self, message: Message<'_>) -> Message<'static> {
        self.0.read_size.received(&message);
        if message.len() <= RecycledBuffer::MAX_LEN {
            return self.0.recycled.own(message);
        }
        // Senders need not wait for the copy.
        drop(self);
        message.into_owned()
    }

    /// Returns the same chunk, with its own payload.
    pub(crate) fn chunk(self, chunk: Chunk<'_>) -> Chunk<'static> {
        drop(self);
        chunk.into_owned()
    }

    /// Returns the same event, with its own payload.
    pub(crate) fn event(self, event: Event<'_>) -> Event<'static> {
        drop(self);
        event.into_owned()
    }
}

impl Duplex {
    pub(crate) fn new(socket: Arc<Socket>, clock: Clock, buffer: ReadBuffer, driver: Driver) -> Self {
        Self {
            secure: driver.is_secure(),
            socket,
            clock,
            reading: Mutex::new(buffer),
            looking: Mutex::new(()),
            writing: Mutex::default(),
            driver: Mutex::new(driver),
            blocked: Blocked::default(),
            handler: HandlerState::default(),
            receiver: Wake::default(),
            writer: Wake::default(),
        }
    }

    /// Returns what `question` finds in the connection.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.driver().connection)
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

    pub(crate) fn closure(&self) -> Option<Closure> {
        self.ask(Connection::closure)
    }
}

/// Receiving.
impl Duplex {
    /// Returns what `take` makes of the next event of which it makes anything, or `None` when the connection has ended
    /// normally or the error that ended it was returned before.
    #[inline]
    pub(crate) fn receive<T>(
        &self,
        mut patience: Patience,
        mut take: impl FnMut(Event<'_>, Owner<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut reading = lock(&self.reading);
        loop {
            while !reading.is_empty() {
                let taken = reading.consume(|input| {
                    let mut driver = self.driver();
                    // After an error, the turns that follow write what is left, the Close at its end, and return it.
                    let event = driver.receive(input).ok()??;
                    take(event, Owner(driver))
                });
                if taken.is_some() {
                    return Ok(taken);
                }
            }
            if let Turned::Ended(ended) = self.turn(&mut reading, Goal::Receive, &mut patience)? {
                return ended.map(|()| None);
            }
        }
    }

    /// Passes each event to `handle`, until the connection has ended as it should.
    pub(crate) fn receive_each(&self, mut handle: impl FnMut(Event<'_>)) -> Result<(), Error> {
        let mut reading = lock(&self.reading);
        loop {
            reading.consume(|input| {
                loop {
                    let mut driver = self.driver();
                    let event = driver.receive(input);
                    drop(driver);
                    // The turns that follow return an error, as in `receive`.
                    let Ok(Some(event)) = event else { return };
                    handle(event);
                }
            });
            let turned = self.turn(&mut reading, Goal::Receive, &mut Patience::default())?;
            if let Turned::Ended(ended) = turned {
                return ended;
            }
        }
    }

    /// Receives, and drops what comes, until the connection has ended.
    pub(crate) fn receive_to_end(&self) -> Result<(), Error> {
        while self.receive(Patience::default(), |_, _| Some(()))?.is_some() {}
        Ok(())
    }

    /// Waits for the peer to close its side, so that no reset overtakes the last bytes that were written. Then ends the
    /// connection for good.
    pub(crate) fn drain(&self) {
        // If another thread receives, this is up to that one.
        if let Some(mut reading) = self.try_receive() {
            loop {
                self.discard_received(&mut reading);
                match self.turn(&mut reading, Goal::Drain, &mut Patience::default()) {
                    Ok(Turned::Ended(_)) => break,
                    // The next turn finds the end.
                    Ok(Turned::Received) | Err(_) => {}
                }
            }
        }
        self.abandon();
    }

    /// Locks the read buffer, or returns `None` if another thread receives. A sender that looks at the input also holds the
    /// buffer, for a moment and without waiting. That does not count.
    fn try_receive(&self) -> Option<MutexGuard<'_, ReadBuffer>> {
        let _no_look = lock(&self.looking);
        self.reading.try_lock().ok()
    }

    /// Receives the bytes that were read, and drops the events.
    fn discard_received(&self, reading: &mut ReadBuffer) {
        reading.consume(|input| while self.driver().receive(input).is_ok_and(|it| it.is_some()) {});
    }

    /// Looks at the input for a thread that sends, if no thread receives and it was not looked at just now.
    pub(crate) fn look(&self) {
        if self.driver().is_look_due(|| self.clock.now()) {
            self.look_now();
        }
    }

    /// Looks at the input for a thread that sends, if no thread receives.
    pub(crate) fn look_now(&self) {
        /// Maximum number of reads in one look, for a peer that sends all the time.
        const READS: usize = 16;
        let Ok(_looking) = self.looking.try_lock() else { return };
        let Ok(mut reading) = self.reading.try_lock() else { return };
        let receive = |reading: &mut ReadBuffer| {
            reading.consume(|input| {
                let mut driver = self.driver();
                driver.receive_early(input);
                driver.can_look()
            })
        };
        let mut reads = 0;
        while receive(&mut reading) && reads < READS && self.read(&mut reading, Some(Duration::ZERO)) {
            reads += 1;
        }
        reading.receive_again();
        let mut driver = self.driver();
        driver.end_look(self.clock.now());
        let is_open = driver.connection.state() == State::Open;
        drop(driver);
        if !is_open {
            self.end_writing();
        }
    }

    /// Notes that the application receives no more.
    pub(crate) fn discard_input(&self) {
        self.driver().discard_early();
    }

    /// Does everything that is due between two looks at the input: tells the time, writes, waits and reads.
    fn turn(&self, reading: &mut ReadBuffer, goal: Goal, patience: &mut Patience) -> Result<Turned, Error> {
        let now = self.clock.now();
        let mut driver = self.driver();
        match driver.begin_turn(now) {
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
        // Another thread's `close` shortens the wait and cannot wake a thread that is parked in a read: it leaves the new
        // deadline to the flusher.
        let due = until.map(|due| due.saturating_duration_since(now));
        let left = patience.left();
        if left == Some(Duration::ZERO) {
            drop(driver);
            // What has come by now is received.
            let has_come = read && patience.may_look() && self.read(reading, left);
            return if has_come { Ok(Turned::Received) } else { Err(Error::Timeout(Deadline::Read)) };
        }
        self.park(reading, driver, flushed, read, (due, left))?;
        Ok(Turned::Received)
    }

    /// Waits for input if `read`, for room to write, and for other threads that write. Reads the input.
    fn park(
        &self,
        reading: &mut ReadBuffer,
        driver: MutexGuard<'_, Driver>,
        flushed: Flushed,
        read: bool,
        (due, left): (Option<Duration>, Option<Duration>),
    ) -> Result<(), Error> {
        // Only input can end the wait, unless another thread writes what a closing connection waits for.
        let is_written = driver.connection.state() == State::Open || driver.is_written();
        if read && flushed != Flushed::Blocked && is_written {
            drop(driver);
            return self.wait_for_input(reading, due, left).map_err(Error::Io);
        }
        // More than input can end this wait: room to write, or another thread that writes.
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

    /// Waits for input until a deadline is `due`, or as long as the application's patience is `left`.
    fn wait_for_input(
        &self,
        reading: &mut ReadBuffer,
        due: Option<Duration>,
        left: Option<Duration>,
    ) -> io::Result<()> {
        /// A timeout of the socket is rounded up by the kernel. The last part of an exact wait is a poll.
        const LAST_PART: Duration = Duration::from_millis(20);
        match left.filter(|left| due.is_none_or(|due| *left < due)) {
            None => self.read(reading, due),
            // The timeout that the socket has may be longer by a sixth, which is still too early.
            Some(left) if left > LAST_PART => self.read(reading, Some(left / 4 * 3)),
            Some(left) => {
                self.socket.is_ready(PollFlags::IN, Some(left))? && self.read(reading, Some(Duration::ZERO))
            }
        };
        Ok(())
    }

    /// Reads once. Returns `false` if nothing came in time.
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
                self.driver().recycled.release();
            }
            Err(error) => self.driver().end_input(InputEnd::Failed(error)),
        }
        has_come
    }

    /// Reads once: of a large message what is there to where it is assembled, or else what comes next.
    fn fill(&self, reading: &mut ReadBuffer, timeout: Option<Duration>) -> io::Result<Option<usize>> {
        let most = if reading.awaits_rest {
            // Little, so that most of it is still there to be read in place.
            ReadBuffer::SMALLEST
        } else {
            let Driver { connection, read_size, .. } = &mut *self.driver();
            let in_place = connection.receive_in_place(|message| reading.append(&self.socket, message));
            if let Some(read) = in_place {
                read_size.read_in_place();
                if let Some(read) = read? {
                    return Ok(Some(read));
                }
            }
            let most = read_size.most(ReadBuffer::LARGEST);
            read_size.read();
            most
        };
        reading.fill(&self.socket, most, timeout)
    }
}

/// No code of the application runs under these locks, so that a poisoned one is as good as new.
#[inline]
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
