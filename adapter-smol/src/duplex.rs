//! One connection, shared by the task that receives and those that send.
//!
//! All that there is lies behind one lock that is held while a task is polled, which never waits. So every
//! future of this crate can be dropped at any point: what was read, and what is to be written, stays here.

use std::{
    io::IoSlice,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker, ready},
    time::Duration,
};

use async_io::Timer;
use bytes::Buf;
use futures_lite::Future;
use ws_core::{
    Chunk, CloseCode, Closure, Connection, Event, Message, ProtocolError, SendError, State, Timestamp,
    Transmit,
};
use ws_transport::{Clock, Deadline, Error, Joiner, Wire};

use crate::{
    input::Input,
    stream::Stream,
    stuck::{Stuck, WRITE_TIMEOUT},
    waiting::Waiting,
};

/// How many slices one write takes.
const SLICES: usize = 16;
/// Up to which capacity a block of output is given back as soon as it is written, in bytes.
const SMALL_BLOCK: usize = 1024;
/// How many reads a task may make before others get their turn.
pub(crate) const READS_IN_TURN: u8 = 4;

#[derive(Debug)]
pub(crate) struct Duplex {
    clock: Clock,
    /// Those who wait for the stream to take more. The stream knows one waker for all of them: this.
    writers: Waiting,
    inner: Mutex<Inner>,
}

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be something in the input.
    Read,
    /// The connection has ended as it should.
    Ended,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) wire: Wire,
    pub(crate) stream: Stream,
    input: Input,
    pub(crate) output: Transmit,
    /// Whether the stream was told to pass on what was written.
    pub(crate) flushed: bool,
    /// Whether the stream takes no more, and will wake the task that receives when it does.
    pub(crate) blocked: bool,
    /// The task that receives, while it waits.
    receiver: Option<Waker>,
    /// Made when first needed, and set again only when it is to be earlier or has fired.
    timer: Option<Timer>,
    timer_due: Option<Timestamp>,
    /// Whether the stream was looked at since the time was told last.
    looked: bool,
    reads: u8,
    read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// Made when somebody who sends finds that the stream takes nothing; gone when it takes something.
    pub(crate) stuck: Option<Box<Stuck>>,
    /// When the wait of a [`Stream`](futures_core::Stream) ends.
    stream_deadline: Option<Timestamp>,
    /// The chunks so far of the message that is received.
    joiner: Option<Box<Joiner>>,
}

impl Duplex {
    pub(crate) fn new(stream: Stream, clock: Clock, input: Input, wire: Wire) -> Arc<Self> {
        let inner = Inner {
            wire,
            stream,
            input,
            output: Transmit::default(),
            flushed: true,
            blocked: false,
            receiver: None,
            timer: None,
            timer_due: None,
            looked: true,
            reads: 0,
            read_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            stuck: None,
            stream_deadline: None,
            joiner: None,
        };
        Arc::new(Self { clock, writers: Waiting::default(), inner: Mutex::new(inner) })
    }

    /// Asks the connection for something.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.lock().wire.connection)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn set_compression(&self, enabled: bool) {
        self.lock().wire.connection.set_compression(enabled);
    }

    pub(crate) fn ask_stream<T>(&self, question: impl FnOnce(&Stream) -> T) -> T {
        question(&self.lock().stream)
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.lock().read_timeout = timeout;
    }

    pub(crate) fn set_write_timeout(&self, timeout: Option<Duration>) {
        self.lock().write_timeout = timeout;
    }

    pub(crate) const fn clock(&self) -> Clock {
        self.clock
    }

    /// When a wait that begins now ends.
    pub(crate) fn read_deadline(&self) -> Option<Timestamp> {
        self.lock().read_timeout.map(|timeout| self.clock.now() + timeout)
    }

    /// When the wait ends that began with the first call since the last
    /// [`end_stream_wait`](Self::end_stream_wait).
    pub(crate) fn stream_deadline(&self) -> Option<Timestamp> {
        let inner = &mut *self.lock();
        let timeout = inner.read_timeout?;
        Some(*inner.stream_deadline.get_or_insert_with(|| self.clock.now() + timeout))
    }

    pub(crate) fn end_stream_wait(&self) {
        self.lock().stream_deadline = None;
    }

    /// Adds a chunk to those of its message, and gives that if it is whole.
    pub(crate) fn join(&self, chunk: Chunk<'static>) -> Option<Message<'static>> {
        let inner = &mut *self.lock();
        if chunk.last && inner.joiner.is_none() {
            return Some(chunk.payload);
        }
        let message = inner.joiner.get_or_insert_default().add(chunk)?;
        inner.joiner = None;
        Some(message)
    }

    /// The next event; `None` when the connection has ended as it should.
    pub(crate) fn poll_receive(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        deadline: Option<Timestamp>,
    ) -> Poll<Result<Option<Event<'static>>, Error>> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let mut registered = false;
        loop {
            if let Some(event) = self.next_event(inner)? {
                return Poll::Ready(Ok(Some(event)));
            }
            if ready!(self.poll_turn(inner, cx, deadline, &mut registered))? == Turn::Ended {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// Lends every event to `handle`, until the connection has ended as it should.
    pub(crate) fn poll_receive_each(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(Event<'_>),
    ) -> Poll<Result<(), Error>> {
        let mut registered = false;
        loop {
            // Nobody else looks at the input, so that it can be lent without the lock.
            let mut input = mem::take(&mut self.lock().input);
            let received = input.consume(|input| {
                loop {
                    let mut inner = self.lock();
                    if inner.wire.is_held_back() {
                        return Ok(());
                    }
                    let event = inner.wire.connection.receive(input)?;
                    drop(inner);
                    let Some(event) = event else { return Ok(()) };
                    handle(event);
                }
            });
            let mut guard = self.lock();
            let inner = &mut *guard;
            inner.input = input;
            received.inspect_err(|_: &ProtocolError| self.end_writing(inner))?;
            if ready!(self.poll_turn(inner, cx, None, &mut registered))? == Turn::Ended {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// Everything that is due between two looks at the input: reads, tells the time, writes. Pending when
    /// all that is left is to wait. `registered` tells whether the stream will wake this task when there is
    /// something to read.
    fn poll_turn(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        deadline: Option<Timestamp>,
        registered: &mut bool,
    ) -> Poll<Result<Turn, Error>> {
        loop {
            // After a read that found less than it could take, the next would find nothing: wait at once.
            let reads = !*registered && inner.input.is_empty();
            if reads && (inner.input.likely_more || inner.stream.poll_readable(cx).is_ready()) {
                if inner.reads >= READS_IN_TURN {
                    inner.reads = 0;
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                match self.poll_read(inner, cx)? {
                    Poll::Ready(()) => {
                        inner.reads += 1;
                        return Poll::Ready(Ok(Turn::Read));
                    }
                    Poll::Pending => inner.input.likely_more = false,
                }
            }
            *registered |= inner.input.is_empty();
            inner.reads = 0;

            let now = self.clock.now();
            let overdue = inner.wire.connection.poll_timeout().is_some_and(|due| due <= now);
            if overdue && !inner.looked && inner.input.is_empty() {
                // The application was away. What came meanwhile counts before any silence does.
                inner.looked = true;
                inner.input.likely_more = true;
                *registered = false;
                continue;
            }
            inner.looked = false;
            inner.wire.connection.handle_timeout(now);
            // If it fails, the next read will tell, after what the peer said before.
            let _ = self.poll_flush(inner, cx);
            if inner.wire.connection.is_finished() {
                let ended = inner.wire.ended();
                self.end_writing(inner);
                return Poll::Ready(ended.map(|()| Turn::Ended));
            }
            if !inner.input.is_empty() && !inner.wire.is_held_back() {
                return Poll::Ready(Ok(Turn::Read));
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Err(Error::Timeout(Deadline::Read)));
            }
            let due = match (inner.wire.connection.poll_timeout(), deadline) {
                (Some(due), Some(deadline)) => Some(due.min(deadline)),
                (due, deadline) => due.or(deadline),
            };
            if inner.poll_timer(due, self.clock, cx).is_pending() {
                if !inner.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
                    inner.receiver = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
        }
    }

    fn next_event(self: &Arc<Self>, inner: &mut Inner) -> Result<Option<Event<'static>>, Error> {
        if inner.input.is_empty() {
            return Ok(None);
        }
        let connection = &mut inner.wire.connection;
        let received =
            inner.input.consume(|input| connection.receive(input).map(|event| event.map(Event::into_owned)));
        received.map_err(|error| {
            self.end_writing(inner);
            error.into()
        })
    }

    /// Reads once. An error is one only if the connection has not ended before.
    fn poll_read(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>) -> Result<Poll<()>, Error> {
        let Inner { wire, stream, input, .. } = inner;
        let polled = if wire.is_secure() {
            input.poll_fill_sealed(stream, cx, |sealed, plain| wire.decrypt(sealed, plain))
        } else {
            input.poll_fill(stream, cx).map_err(Error::Io)
        };
        match polled {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => {
                input.likely_more = false;
                wire.receive_eof()?;
            }
            Poll::Ready(Ok(_)) => {}
            Poll::Ready(Err(Error::Io(error))) => {
                input.likely_more = false;
                wire.failed(error)?;
            }
            Poll::Ready(Err(error)) => {
                // Tells the peer what it did wrong.
                self.end_writing(inner);
                return Err(error);
            }
        }
        Ok(Poll::Ready(()))
    }

    /// Queues something to be sent, as soon as there is room for it.
    pub(crate) fn poll_queue<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Poll<Result<T, Error>> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.is_full() {
            // When nothing more can be written there will be room.
            let polled = self.poll_flush_patiently(inner, cx);
            if inner.is_full() {
                ready!(polled)?;
            }
        }
        Poll::Ready(inner.wire.queue(send))
    }

    /// Queues something to be sent, room or not.
    #[cfg(feature = "sink")]
    pub(crate) fn queue_now<T>(
        &self,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Result<T, Error> {
        self.lock().wire.queue(send)
    }

    /// Queues something to be sent, if there is room for it now.
    pub(crate) fn try_queue<T>(
        self: &Arc<Self>,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Result<T, Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.is_full() {
            return Err(Error::Send(SendError::BufferFull));
        }
        let queued = inner.wire.queue(send);
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        queued
    }

    /// Writes what is queued.
    pub(crate) fn poll_flush_all(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.poll_flush_patiently(&mut self.lock(), cx)
    }

    pub(crate) fn poll_flush(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        let mut waiting = false;
        if inner.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        let waker = Waker::from(self.clone());
        loop {
            match inner.poll_write_out(&mut Context::from_waker(&waker)) {
                // Waits together with others, then looks again: it may have been ready in between.
                Poll::Pending if !waiting => {
                    self.writers.add(cx.waker());
                    waiting = true;
                }
                Poll::Pending => {
                    inner.blocked = true;
                    // The task that receives waits too: this one may be dropped and never look again.
                    if let Some(receiver) = inner.receiver.take_if(|waker| !waker.will_wake(cx.waker())) {
                        receiver.wake();
                    }
                    return Poll::Pending;
                }
                Poll::Ready(written) => {
                    inner.blocked = false;
                    // Who waited for room has it, or an error to see.
                    self.writers.wake_all();
                    return Poll::Ready(written);
                }
            }
        }
    }

    /// Queues a Close and writes as much as the stream takes at once. Nothing happens if one was sent.
    pub(crate) fn begin_close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        match inner.wire.close(code, reason) {
            Err(SendError::Closed) => return Ok(()),
            result => result?,
        }
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        self.tell_time(inner);
        Ok(())
    }

    /// Tells a connection that is closing from now on the time. The task that receives has a new deadline to
    /// keep.
    pub(crate) fn tell_time(&self, inner: &mut Inner) {
        inner.wire.connection.handle_timeout(self.clock.now());
        if let Some(receiver) = inner.receiver.take() {
            receiver.wake();
        }
    }

    /// Wakes all who wait for anything.
    pub(crate) fn wake_all(&self, inner: &mut Inner) {
        if let Some(receiver) = inner.receiver.take() {
            receiver.wake();
        }
        self.writers.wake_all();
    }

    /// Reads and drops what comes until the peer's stream has ended.
    pub(crate) fn poll_drain(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let _ = self.poll_flush(inner, cx);
        inner.input.poll_drain(&mut inner.stream, cx)
    }

    /// Ends the connection without any ceremony. All tasks that wait for it wake up.
    pub(crate) fn abandon(&self) {
        let mut inner = self.lock();
        inner.wire.connection.receive_eof();
        if let Stream::Socket(socket) = &inner.stream {
            let _ = socket.get_ref().shutdown(std::net::Shutdown::Both);
        }
        let receiver = inner.receiver.take();
        drop(inner);
        if let Some(receiver) = receiver {
            receiver.wake();
        }
        self.writers.wake_all();
    }

    /// Writes what is left, as far as goes at once, and says that nothing more will come.
    fn end_writing(self: &Arc<Self>, inner: &mut Inner) {
        inner.wire.end_output();
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        let _ = inner.stream.poll_close(&mut Context::from_waker(&Waker::from(self.clone())));
    }

    pub(crate) fn closure(&self) -> Option<Closure> {
        self.ask(Connection::closure)
    }

    /// No code of the application runs under this lock, so that a poisoned one is as good as new.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The stream takes more.
impl Wake for Duplex {
    fn wake(self: Arc<Self>) {
        self.writers.wake_all();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.writers.wake_all();
    }
}

impl Inner {
    /// Whether there is nothing to write.
    fn is_flushed(&self) -> bool {
        self.flushed && !self.output.has_remaining() && !self.wire.wants_write()
    }

    /// Whether what is to be sent next has to wait.
    fn is_full(&self) -> bool {
        let connection = &self.wire.connection;
        let waiting = connection.buffered().saturating_add(self.output.remaining());
        connection.state() == State::Open && waiting >= connection.config().write_buffer_size.max(1)
    }

    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        loop {
            if !self.output.has_remaining() {
                self.wire.take_output(&mut self.output);
                if !self.output.has_remaining() {
                    if !self.flushed {
                        ready!(self.stream.poll_flush(cx))?;
                        self.flushed = true;
                    }
                    self.release();
                    return Poll::Ready(Ok(()));
                }
            }
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = self.output.chunks_vectored(&mut slices);
            match ready!(self.stream.poll_write(cx, &slices[..filled])) {
                Ok(written) => {
                    self.flushed = false;
                    self.stuck = None;
                    self.output.advance(written);
                }
                Err(error) => {
                    self.discard_output();
                    let ended = self.wire.connection.closure().is_some();
                    return Poll::Ready(if ended { Ok(()) } else { Err(error.into()) });
                }
            }
        }
    }

    /// Gives back a small block: it is as easily had again, and an idle connection has no use for it. One
    /// that carried much stays until the connection has been idle for a while.
    fn release(&mut self) {
        if self.output.block().capacity() <= SMALL_BLOCK {
            self.output = Transmit::default();
        }
    }

    /// Ready when it is time. The timer is left alone while it is set early enough.
    fn poll_timer(&mut self, due: Option<Timestamp>, clock: Clock, cx: &mut Context<'_>) -> Poll<()> {
        let Some(due) = due else { return Poll::Pending };
        let Some(at) = clock.instant(due) else { return Poll::Pending };
        if self.timer_due.is_none_or(|set| due < set) {
            self.timer.get_or_insert_with(Timer::never).set_at(at);
            self.timer_due = Some(due);
        }
        let Some(timer) = &mut self.timer else { return Poll::Pending };
        ready!(Pin::new(timer).poll(cx));
        self.timer_due = None;
        Poll::Ready(())
    }
}
