//! Waiting for events: reading, telling the time, and writing what waits meanwhile.

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_lite::Future;
use ws_core::{Chunk, Event, Message, ProtocolError, State, Timestamp};
use ws_transport::{Appetite, Deadline, Error, Joiner, Spare, Wire};

use super::{BYTES_IN_TURN, Duplex, EVENTS_IN_TURN, End, Inner, LEAST_OF_READ};
use crate::stream::Stream;

/// What came of waiting.
#[derive(Debug, PartialEq, Eq)]
enum Turn {
    /// There may be something in the input.
    Read,
    /// The connection has ended as it should.
    Ended,
}

/// How long one waits to receive. It counts from when there is nothing to be had.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    until: Option<Option<Timestamp>>,
}

impl Wait {
    pub(crate) const fn forever() -> Self {
        Self { until: Some(None) }
    }

    fn deadline(&mut self, timeout: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        *self.until.get_or_insert_with(|| timeout.map(|timeout| now + timeout))
    }
}

/// What messages are made of.
pub(crate) struct Joining<'i> {
    joiner: &'i mut Option<Box<Joiner>>,
    spare: &'i mut Spare,
    appetite: &'i mut Appetite,
}

impl Joining<'_> {
    /// The message that an event is or ends.
    #[inline]
    pub(crate) fn message(&mut self, event: Event<'_>) -> Option<Message<'static>> {
        match event {
            Event::Message(message) => {
                self.appetite.received(&message);
                Some(self.spare.own(message))
            }
            Event::Chunk(chunk) => self.join(chunk.into_owned()),
            _ => None,
        }
    }

    fn join(&mut self, chunk: Chunk<'static>) -> Option<Message<'static>> {
        if chunk.last && self.joiner.is_none() {
            return Some(chunk.payload);
        }
        let message = self.joiner.get_or_insert_default().add(chunk)?;
        *self.joiner = None;
        Some(message)
    }
}

impl Duplex {
    /// When the wait ends that began with the first call since the last
    /// [`end_stream_wait`](Self::end_stream_wait).
    pub(crate) fn stream_wait(&self) -> Wait {
        let inner = &mut *self.lock();
        let deadline = inner
            .read_timeout
            .map(|timeout| *inner.stream_deadline.get_or_insert_with(|| self.clock.now() + timeout));
        Wait { until: Some(deadline) }
    }

    pub(crate) fn end_stream_wait(&self) {
        self.lock().stream_deadline = None;
    }

    /// Waits for what `take` makes of an event, not longer than the read timeout; `None` when the connection has
    /// ended as it should.
    #[inline]
    pub(crate) fn receive<T>(
        self: &Arc<Self>,
        mut take: impl FnMut(Event<'_>, Joining<'_>) -> Option<T>,
    ) -> impl Future<Output = Result<Option<T>, Error>> {
        let mut wait = Wait::default();
        poll_fn(move |cx| self.poll_receive(cx, &mut wait, &mut take))
    }

    /// As [`receive`](Self::receive). All that lies ready is looked at under one lock.
    pub(crate) fn poll_receive<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        wait: &mut Wait,
        take: &mut impl FnMut(Event<'_>, Joining<'_>) -> Option<T>,
    ) -> Poll<Result<Option<T>, Error>> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if self.yields(inner, cx) {
            return Poll::Pending;
        }
        let mut registered = false;
        loop {
            while !inner.input.is_empty() {
                let Inner { wire, input, joiner, .. } = inner;
                let received = input.consume(|input| {
                    let Wire { connection, spare, appetite, .. } = wire;
                    let event = connection.receive(input)?;
                    Ok(event.and_then(|event| take(event, Joining { joiner, spare, appetite })))
                });
                match received {
                    Ok(Some(taken)) => {
                        inner.taken += 1;
                        return Poll::Ready(Ok(Some(taken)));
                    }
                    Ok(None) => {}
                    Err(error) => return Poll::Ready(Err(self.failed(inner, error))),
                }
            }
            if ready!(self.poll_turn(inner, cx, wait, &mut registered))? == Turn::Ended {
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
                    if inner.wire.is_held_back() || inner.taken >= EVENTS_IN_TURN {
                        return Ok(());
                    }
                    let event = inner.wire.connection.receive(input)?;
                    inner.taken += 1;
                    drop(inner);
                    let Some(event) = event else { return Ok(()) };
                    handle(event);
                }
            });
            let mut guard = self.lock();
            let inner = &mut *guard;
            inner.input = input;
            received.map_err(|error: ProtocolError| self.failed(inner, error))?;
            if self.yields(inner, cx) {
                return Poll::Pending;
            }
            if ready!(self.poll_turn(inner, cx, &mut Wait::forever(), &mut registered))? == Turn::Ended {
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
        wait: &mut Wait,
        registered: &mut bool,
    ) -> Poll<Result<Turn, Error>> {
        loop {
            // After a read that found less than it could take, the next would find nothing: wait at once.
            let connection = &inner.wire.connection;
            let listens = connection.state() == State::Open || connection.wants_read();
            let reads = !*registered && inner.input.is_empty() && listens;
            let tired = inner.came >= BYTES_IN_TURN;
            if reads && !tired && (inner.input.likely_more || inner.stream.poll_readable(cx).is_ready()) {
                match self.poll_read(inner, cx)? {
                    Poll::Ready(read) => {
                        inner.came += read.max(LEAST_OF_READ);
                        return Poll::Ready(Ok(Turn::Read));
                    }
                    Poll::Pending => inner.input.likely_more = false,
                }
            }
            *registered |= inner.input.is_empty() && !tired;
            (inner.came, inner.taken) = (0, 0);

            let now = self.clock.now();
            let overdue = inner.wire.connection.poll_timeout().is_some_and(|due| due <= now);
            if overdue && !inner.looked && !tired && inner.input.is_empty() {
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
            if tired {
                // Others get their turn, and what is due has not waited for the peer to fall silent.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let deadline = wait.deadline(inner.read_timeout, now);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return Poll::Ready(Err(Error::Timeout(Deadline::Read)));
            }
            let due = match (inner.wire.connection.poll_timeout(), deadline) {
                (Some(due), Some(deadline)) => Some(due.min(deadline)),
                (due, deadline) => due.or(deadline),
            };
            let known = inner.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
            // To look at it is needless where it knows this task and it is too early.
            let alarm_waits = known && inner.alarm.is_set(due, now);
            if alarm_waits || inner.alarm.poll(due, self.clock, cx).is_pending() {
                if !known {
                    inner.receiver = Some(cx.waker().clone());
                }
                return Poll::Pending;
            }
            // Time has passed without a message.
            inner.wire.spare.release();
        }
    }

    #[cold]
    fn failed(self: &Arc<Self>, inner: &mut Inner, error: ProtocolError) -> Error {
        self.end_writing(inner);
        error.into()
    }

    /// Reads once, and tells how many bytes came. An error is one only if the connection has not ended before.
    fn poll_read(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>) -> Result<Poll<usize>, Error> {
        let Inner { wire, stream, input, .. } = inner;
        let polled = match stream {
            _ if wire.is_secure() => {
                input.poll_fill_sealed(stream, cx, |sealed, plain| wire.decrypt(sealed, plain))
            }
            Stream::Socket(socket) => {
                let Wire { connection, appetite, .. } = wire;
                connection
                    .receive_in_place(|message| input.poll_append(socket, message, appetite, cx))
                    .unwrap_or_else(|| input.poll_fill_some(stream, appetite, cx))
                    .map_err(Error::Io)
            }
            Stream::Other(_) => input.poll_fill(stream, cx).map_err(Error::Io),
        };
        match polled {
            Poll::Pending => return Ok(Poll::Pending),
            Poll::Ready(Ok(0)) => {
                input.likely_more = false;
                inner.end = End::Eof;
                wire.receive_eof()?;
            }
            Poll::Ready(Ok(read)) => return Ok(Poll::Ready(read)),
            Poll::Ready(Err(Error::Io(error))) => {
                input.likely_more = false;
                inner.end = End::Broken;
                wire.failed(error)?;
            }
            Poll::Ready(Err(error)) => {
                // Tells the peer what it did wrong.
                self.end_writing(inner);
                return Err(error);
            }
        }
        Ok(Poll::Ready(0))
    }
}
