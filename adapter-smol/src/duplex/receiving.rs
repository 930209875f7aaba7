//! Waiting for events: reading, telling the time, and writing what waits meanwhile.

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_lite::Future;
use ws_core::{Event, State, Timestamp};
use ws_transport::{Deadline, Driver, Error, InputEnd, Step, Turn};

use super::{Assembling, BYTES_IN_TURN, Duplex, EVENTS_IN_TURN, Inner, MIN_READ};
use crate::stream::Stream;

/// How a turn ended.
#[derive(Debug)]
enum Turned {
    /// There may be events: in the input, or kept by the connection.
    Received,
    Ended(Result<(), Error>),
}

/// What to do after a step of the driver.
enum Next {
    /// The turn has ended.
    Turned(Turned),
    /// One more turn.
    Turn,
    /// Wait.
    Wait { read: bool, until: Option<Timestamp> },
}

/// What a task that takes turns waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Events, or the end of the connection.
    Receive,
    /// The end of the peer's stream.
    Drain,
}

/// How long a task waits to receive. It counts from the moment when there is nothing to receive.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    until: Option<Option<Timestamp>>,
    /// How many reads have followed the deadline.
    looks: usize,
    /// Whether the last of them has found nothing, as far as is known.
    has_looked: bool,
}

impl Wait {
    /// How many reads may follow the deadline, for a message that lies in the socket, before a peer that sends all the
    /// time and never a message makes no difference any more.
    const LOOKS: usize = 64;

    pub(crate) const fn forever() -> Self {
        Self::until(None)
    }

    const fn until(deadline: Option<Timestamp>) -> Self {
        Self { until: Some(deadline), looks: 0, has_looked: false }
    }

    /// Returns `true` if there may be one more read after the deadline.
    fn may_look(&mut self) -> bool {
        self.looks += 1;
        self.looks < Self::LOOKS
    }

    fn deadline(&mut self, timeout: Option<Duration>, now: Timestamp) -> Option<Timestamp> {
        *self.until.get_or_insert_with(|| timeout.map(|timeout| now + timeout))
    }
}

impl Duplex {
    /// Returns the wait that began with the first call since the last
    /// [`end_stream_wait`](Self::end_stream_wait).
    pub(crate) fn stream_wait(&self) -> Wait {
        let inner = &mut *self.lock();
        let deadline = inner
            .read_timeout
            .map(|timeout| *inner.stream_deadline.get_or_insert_with(|| self.clock.now() + timeout));
        Wait::until(deadline)
    }

    pub(crate) fn end_stream_wait(&self) {
        self.lock().stream_deadline = None;
    }

    /// Waits for what `take` makes of an event, not longer than the read timeout. Returns `None` when the connection has
    /// ended normally or the error that ended it was returned before.
    #[inline]
    pub(crate) fn receive<T>(
        self: &Arc<Self>,
        mut take: impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> impl Future<Output = Result<Option<T>, Error>> {
        let mut wait = Wait::default();
        poll_fn(move |cx| self.poll_receive(cx, &mut wait, &mut take))
    }

    /// As [`receive`](Self::receive), without waiting.
    pub(crate) fn try_receive<T>(
        self: &Arc<Self>,
        mut take: impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        let mut wait = Wait::until(Some(self.clock.now()));
        loop {
            let cx = &mut Context::from_waker(Waker::noop());
            // It is pending only to leave other tasks their turn.
            if let Poll::Ready(received) = self.poll_receive(cx, &mut wait, &mut take) {
                return received;
            }
        }
    }

    /// As [`receive`](Self::receive). Everything that lies ready is received under one lock.
    pub(crate) fn poll_receive<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        wait: &mut Wait,
        take: &mut impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> Poll<Result<Option<T>, Error>> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        if inner.yields(cx) {
            return Poll::Pending;
        }
        let mut registered = false;
        loop {
            while !inner.input.is_empty() {
                let Inner { driver, input, assembler, .. } = inner;
                let taken = input.consume(|input| {
                    // After an error, the turns that follow write what is left, the Close at its end, and return it.
                    let event = driver.receive(input).ok()??;
                    let Driver { recycled, read_size, .. } = driver;
                    take(event, Assembling { assembler, recycled, read_size })
                });
                if taken.is_some() {
                    inner.events_this_turn += 1;
                    return Poll::Ready(Ok(taken));
                }
            }
            let turned = self.poll_turn(inner, cx, Goal::Receive, wait, &mut registered);
            if let Turned::Ended(ended) = ready!(turned)? {
                return Poll::Ready(ended.map(|()| None));
            }
        }
    }

    /// Receives, and drops what comes, until the connection has ended.
    pub(crate) async fn receive_to_end(self: &Arc<Self>) -> Result<(), Error> {
        let mut forever = Wait::forever();
        while poll_fn(|cx| self.poll_receive(cx, &mut forever, &mut |_, _| Some(()))).await?.is_some() {}
        Ok(())
    }

    /// Passes each event to `handle`, until the connection has ended as it should.
    pub(crate) fn poll_receive_each(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(Event<'_>),
    ) -> Poll<Result<(), Error>> {
        let mut registered = false;
        loop {
            // No other task receives, so that the input can be lent without the lock.
            let mut input = mem::take(&mut self.lock().input);
            input.consume(|input| {
                loop {
                    let mut inner = self.lock();
                    if inner.events_this_turn >= EVENTS_IN_TURN {
                        return;
                    }
                    let event = inner.driver.receive(input);
                    inner.events_this_turn += 1;
                    drop(inner);
                    // The turns that follow return an error, as in `poll_receive`.
                    let Ok(Some(event)) = event else { return };
                    handle(event);
                }
            });
            let mut guard = self.lock();
            let inner = &mut *guard;
            inner.input = input;
            if inner.yields(cx) {
                // The connection may keep input that this turn has not received.
                inner.input.receive_again();
                return Poll::Pending;
            }
            let turned = self.poll_turn(inner, cx, Goal::Receive, &mut Wait::forever(), &mut registered);
            if let Turned::Ended(ended) = ready!(turned)? {
                return Poll::Ready(ended);
            }
        }
    }

    /// Looks at the input for a task that sends, if it was not looked at just now.
    pub(crate) fn look(self: &Arc<Self>) {
        let inner = &mut *self.lock();
        if inner.driver.is_look_due(|| self.clock.now()) {
            self.look_now(inner);
        }
    }

    /// Looks at the input for a task that sends.
    pub(super) fn look_now(self: &Arc<Self>, inner: &mut Inner) {
        /// Maximum number of reads in one look, for a peer that sends all the time.
        const READS: usize = 16;
        // The stream goes on to wake the task that receives.
        let receiver = inner.receiver.clone();
        let cx = &mut Context::from_waker(receiver.as_ref().unwrap_or(Waker::noop()));
        for _ in 0..READS {
            let Inner { driver, input, .. } = inner;
            input.consume(|input| driver.receive_early(input));
            if !driver.can_look() || self.poll_read(inner, cx).is_pending() {
                break;
            }
        }
        let Inner { driver, input, .. } = inner;
        input.consume(|input| driver.receive_early(input));
        input.receive_again();
        driver.end_look(self.clock.now());
        let is_open = driver.connection.state() == State::Open;
        if !is_open {
            self.end_writing(inner);
        }
        if !is_open || inner.driver.has_early() {
            inner.wake_receiver();
        }
    }

    /// Notes that the application receives no more.
    pub(crate) fn discard_input(&self) {
        let inner = &mut *self.lock();
        inner.driver.discard_early();
        inner.receiver = None;
    }

    /// Waits for the peer to close its side, so that no reset overtakes the last bytes that were written. What it sends
    /// is dropped.
    pub(crate) fn poll_drain(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let mut registered = false;
        loop {
            let Inner { driver, input, .. } = inner;
            input.consume(|input| while driver.receive(input).is_ok_and(|event| event.is_some()) {});
            match ready!(self.poll_turn(inner, cx, Goal::Drain, &mut Wait::forever(), &mut registered)) {
                Ok(Turned::Ended(_)) => return Poll::Ready(()),
                // The next turn finds the end.
                Ok(Turned::Received) | Err(_) => {}
            }
        }
    }

    /// Does everything that is due between two looks at the input: reads, tells the time, writes. Pending when all that
    /// is left is to wait. `registered` is set while the stream will wake this task when there is something to read.
    fn poll_turn(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        goal: Goal,
        wait: &mut Wait,
        registered: &mut bool,
    ) -> Poll<Result<Turned, Error>> {
        loop {
            // After a read that found less than it could take, the next would find nothing: wait at once.
            let listens = inner.input.is_empty() && inner.driver.wants_read();
            let budget_spent = inner.bytes_this_turn >= BYTES_IN_TURN;
            if listens && !*registered && !budget_spent && self.poll_input(inner, cx).is_ready() {
                wait.has_looked = false;
                return Poll::Ready(Ok(Turned::Received));
            }
            *registered |= listens && !budget_spent;
            (inner.bytes_this_turn, inner.events_this_turn) = (0, 0);

            let now = self.clock.now();
            match inner.driver.begin_turn(now) {
                Ok(Turn::Write) => {}
                Ok(Turn::Look) => {
                    inner.input.likely_more = true;
                    *registered = false;
                    continue;
                }
                Err(error) => {
                    self.end_writing(inner);
                    return Poll::Ready(Err(error));
                }
            }
            // If it fails, the next read reports that, after everything that the peer sent before.
            let _ = self.poll_flush(inner, cx);
            let (read, until) = match self.take_step(inner, cx, goal) {
                Next::Turned(turned) => return Poll::Ready(Ok(turned)),
                Next::Turn => continue,
                Next::Wait { read, until } => (read, until),
            };
            if read && !*registered && !budget_spent {
                // It may read again, because replies were written.
                continue;
            }
            let deadline = wait.deadline(inner.read_timeout, now);
            let is_late = deadline.is_some_and(|deadline| deadline <= now);
            if is_late && (!read || mem::replace(&mut wait.has_looked, true) || !wait.may_look()) {
                return Poll::Ready(Err(Error::Timeout(Deadline::Read)));
            }
            if budget_spent {
                // Other tasks get their turn, and what is due has not waited for the peer to fall silent.
                inner.wakers.add(cx.waker());
                return Poll::Pending;
            }
            if is_late {
                // What has come by now is received.
                inner.input.likely_more = true;
                *registered = false;
                continue;
            }
            let due = until.into_iter().chain(deadline).min();
            ready!(self.poll_deadline(inner, cx, due, now));
            // Time has passed without a message.
            inner.driver.recycled.release();
        }
    }

    /// Reads once, if there may be something.
    fn poll_input(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        if inner.input.likely_more || inner.stream.poll_readable(cx).is_ready() {
            if let Poll::Ready(read) = self.poll_read(inner, cx) {
                inner.bytes_this_turn += read.max(MIN_READ);
                return Poll::Ready(());
            }
            inner.input.likely_more = false;
        }
        Poll::Pending
    }

    /// Takes the next step of the driver.
    fn take_step(self: &Arc<Self>, inner: &mut Inner, cx: &Context<'_>, goal: Goal) -> Next {
        let step = match goal {
            Goal::Receive => inner.driver.next_step(),
            Goal::Drain => inner.driver.next_drain_step(),
        };
        match step {
            Step::Receive => {
                inner.input.receive_again();
                Next::Turned(Turned::Received)
            }
            Step::Write => Next::Turn,
            Step::Shutdown => {
                inner.closing_stream = true;
                inner.poll_close_stream(self.writers());
                Next::Turn
            }
            Step::End(ended) if !inner.keeps_closing_stream(cx, self.writers()) => {
                Next::Turned(Turned::Ended(ended))
            }
            Step::End(_) => {
                Next::Wait { read: inner.driver.wants_read(), until: inner.driver.connection.poll_timeout() }
            }
            Step::Wait { read, until } => {
                let _ = inner.keeps_closing_stream(cx, self.writers());
                Next::Wait { read, until }
            }
        }
    }

    /// Waits until the next deadline is due. Everything else that ends the wait wakes this task, too.
    fn poll_deadline(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Poll<()> {
        let same_waker = inner.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        // The timer need not be polled where it knows this task and it is too early.
        let timer_waits = same_waker && inner.timer.is_set(due, now);
        if timer_waits || inner.timer.poll(due, self.clock, cx).is_pending() {
            if !same_waker {
                inner.receiver = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Reads once. Returns how many bytes were read; how the input ended is noted by the driver.
    fn poll_read(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<usize> {
        let Inner { driver, stream, input, .. } = inner;
        let polled = match stream {
            _ if driver.is_secure() => {
                input.poll_fill_sealed(stream, cx, |sealed, plain| driver.decrypt(sealed, plain))
            }
            Stream::Socket(socket) => {
                let Driver { connection, read_size, .. } = driver;
                connection
                    .receive_in_place(|message| input.poll_append(socket, message, read_size, cx))
                    .unwrap_or_else(|| input.poll_fill_some(stream, read_size, cx))
            }
            Stream::Other(_) => input.poll_fill(stream, cx),
        };
        match ready!(polled) {
            Ok(0) => {
                input.likely_more = false;
                driver.end_input(InputEnd::Eof);
            }
            Ok(read) => return Poll::Ready(read),
            Err(error) => {
                input.likely_more = false;
                driver.end_input(InputEnd::Failed(error));
            }
        }
        Poll::Ready(0)
    }

    /// Writes what is left, as far as goes at once, and shuts the writing direction down behind it.
    fn end_writing(self: &Arc<Self>, inner: &mut Inner) {
        loop {
            let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
            match inner.driver.next_shutdown_step() {
                Some(Step::Write) => {}
                Some(Step::Shutdown) => return inner.poll_close_stream(self.writers()),
                _ => return,
            }
        }
    }
}
