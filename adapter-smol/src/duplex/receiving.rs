//! Waiting for events: reading, telling the time, and writing what waits meanwhile.

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_lite::Future;
use ws_core::{Event, Timestamp};
use ws_transport::{
    Deadline, Driver, Error, InputEnd, Step, Turn,
    work::{self, LastLooks, Work},
};

use super::{Assembling, Duplex, Inner};
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
    /// The reads that have followed the deadline.
    looks: LastLooks,
    /// Whether the last of them has found nothing, as far as is known.
    has_looked: bool,
}

impl Wait {
    pub(crate) fn forever() -> Self {
        Self::until(None)
    }

    fn until(deadline: Option<Timestamp>) -> Self {
        Self { until: Some(deadline), ..Self::default() }
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
        inner.resume();
        let mut registered = false;
        loop {
            while !inner.input.is_empty() {
                if work::is_turn_over() {
                    return self.poll_yield(inner, cx, wait).map(Err);
                }
                let Inner { driver, input, assembler, .. } = inner;
                let taken = input.consume(|input| {
                    let Driver { connection, recycled, read_size, .. } = driver;
                    // After an error, the turns that follow write what is left, the Close at its end, and return it.
                    let event = connection.receive(input).ok()??;
                    work::spend(Work::of(&event));
                    take(event, Assembling { assembler, recycled, read_size })
                });
                if taken.is_some() {
                    if inner.driver.connection.wants_receive() {
                        inner.input.receive_again();
                    }
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
        let (mut registered, mut forever) = (false, Wait::forever());
        self.lock().resume();
        loop {
            // No other task receives, so that the input can be lent without the lock.
            let mut input = mem::take(&mut self.lock().input);
            let is_over = input.consume(|input| {
                // A callback may take long, and it may write to many other connections.
                while !work::is_turn_over() {
                    let event = self.lock().driver.connection.receive(input);
                    // The turns that follow return an error, as in `poll_receive`.
                    let Ok(Some(event)) = event else { return false };
                    work::spend(Work::of(&event));
                    handle(event);
                }
                true
            });
            let mut guard = self.lock();
            let inner = &mut *guard;
            inner.input = input;
            if is_over {
                // The connection may keep input that this turn has not received.
                inner.input.receive_again();
                return self.poll_yield(inner, cx, &mut forever).map(Err);
            }
            let turned = self.poll_turn(inner, cx, Goal::Receive, &mut forever, &mut registered);
            if let Turned::Ended(ended) = ready!(turned)? {
                return Poll::Ready(ended);
            }
        }
    }

    /// Waits for the peer to close its side, so that no reset overtakes the last bytes that were written. What it sends
    /// is dropped.
    pub(crate) fn poll_drain(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.resume();
        let (mut registered, mut forever) = (false, Wait::forever());
        loop {
            let Inner { driver, input, .. } = inner;
            let is_over = input.consume(|input| {
                while !work::is_turn_over() {
                    let Ok(Some(event)) = driver.connection.receive(input) else { return false };
                    work::spend(Work::of(&event));
                }
                true
            });
            if is_over {
                inner.input.receive_again();
                return self.poll_yield(inner, cx, &mut forever).map(|_| ());
            }
            match ready!(self.poll_turn(inner, cx, Goal::Drain, &mut forever, &mut registered)) {
                Ok(Turned::Ended(_)) => return Poll::Ready(()),
                // The next turn finds the end.
                Ok(Turned::Received) | Err(_) => {}
            }
        }
    }

    /// Leaves the thread to other tasks although there is input. The deadlines that do not depend on this input are kept.
    fn poll_yield(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Error> {
        let now = self.clock.now();
        inner.driver.connection.handle_output_timeout(now);
        // If it fails, the next read reports that.
        let _ = self.poll_flush(inner, cx);
        let deadline = wait.deadline(inner.read_timeout, now).filter(|deadline| *deadline <= now);
        if deadline.is_some_and(|deadline| !wait.looks.may_look(now.saturating_duration_since(deadline))) {
            return Poll::Ready(Error::Timeout(Deadline::Read));
        }
        inner.yield_turn(cx);
        Poll::Pending
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
            let budget_spent = work::is_spent();
            if listens && !*registered && !budget_spent && self.poll_input(inner, cx).is_ready() {
                wait.has_looked = false;
                return Poll::Ready(Ok(Turned::Received));
            }
            *registered |= listens && !budget_spent;

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
            let late_by = deadline.filter(|deadline| *deadline <= now);
            let late_by = late_by.map(|deadline| now.saturating_duration_since(deadline));
            if let Some(late_by) = late_by
                && (!read || mem::replace(&mut wait.has_looked, true) || !wait.looks.may_look(late_by))
            {
                return Poll::Ready(Err(Error::Timeout(Deadline::Read)));
            }
            if budget_spent {
                // What is due has not waited for the peer to fall silent.
                inner.yield_turn(cx);
                return Poll::Pending;
            }
            if late_by.is_some() {
                // What has come by now is received.
                inner.input.likely_more = true;
                *registered = false;
                continue;
            }
            let due = until.into_iter().chain(deadline).min();
            // Whatever this thread does next is not part of this turn.
            work::begin_turn(None);
            ready!(self.poll_deadline(inner, cx, due, now));
            // Time has passed without a message.
            inner.driver.recycled.release();
        }
    }

    /// Reads once, if there may be something.
    fn poll_input(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>) -> Poll<()> {
        if inner.input.likely_more || inner.stream.poll_readable(cx).is_ready() {
            if let Poll::Ready(read) = self.poll_read(inner, cx) {
                work::spend(Work::Read(read));
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
                work::spend(Work::Inflating);
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
