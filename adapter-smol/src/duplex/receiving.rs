//! Receiving: reads input, passes the time to the driver, and writes waiting output in the meantime.

use std::{
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use futures_lite::Future;
use ws_core::{Event, State, TimeoutKind, Timestamp};
use ws_transport::{
    Driver, Error, InputEnd, Step, Turn,
    work::{self, LastLooks, Work},
};

use super::{Assembling, Duplex, Inner};
use crate::stream::Stream;

/// Result of a turn.
#[derive(Debug)]
enum Turned {
    /// There may be events, in the input or in the connection.
    Received,
    Ended(Result<(), Error>),
}

/// Action after a step of the driver.
enum Next {
    /// The turn is complete.
    Turned(Turned),
    /// Start another turn.
    Turn,
    /// Wait for input or for a deadline.
    Wait { read: bool, until: Option<Timestamp> },
}

/// Goal of a task that takes turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goal {
    /// Events, or the end of the connection.
    Receive,
    /// The end of the peer's stream.
    Drain,
}

/// Time limit of a task that waits to receive. The time starts when there is nothing to receive.
#[derive(Debug, Default)]
pub(crate) struct Wait {
    until: Option<Option<Timestamp>>,
    /// Reads after the deadline.
    looks: LastLooks,
    /// `true` if the last of these reads is known to have found nothing.
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
    /// Returns the wait that started with the first call after the last [`end_stream_wait`](Self::end_stream_wait).
    pub(crate) fn stream_wait(&self) -> Wait {
        let inner = &mut *self.lock();
        let deadline = inner
            .read_timeout
            .map(|timeout| *inner.stream_deadline.get_or_insert_with(|| self.clock.now() + timeout));
        Wait::until(deadline)
    }

    /// Returns the wait for input that has already arrived.
    pub(crate) fn wait_until_now(&self) -> Wait {
        Wait::until(Some(self.clock.now()))
    }

    pub(crate) fn end_stream_wait(&self) {
        self.lock().stream_deadline = None;
    }

    /// Waits until `take` returns a value for an event, for at most the read timeout. Returns `None` if the
    /// connection has ended normally, or if the error that ended it has already been returned.
    #[inline]
    pub(crate) fn receive<T>(
        self: &Arc<Self>,
        mut take: impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> impl Future<Output = Result<Option<T>, Error>> {
        let mut wait = Wait::default();
        poll_fn(move |cx| self.poll_receive(cx, &mut wait, &mut take))
    }

    /// Like [`receive`](Self::receive), but does not wait. `wait` comes from [`wait_until_now`](Self::wait_until_now).
    pub(crate) fn try_receive<T>(
        self: &Arc<Self>,
        wait: &mut Wait,
        mut take: impl FnMut(Event<'_>, Assembling<'_>) -> Option<T>,
    ) -> Result<Option<T>, Error> {
        loop {
            let cx = &mut Context::from_waker(Waker::noop());
            // With this deadline, the poll is pending only in order to yield to other tasks.
            if let Poll::Ready(received) = self.poll_receive(cx, wait, &mut take) {
                return received;
            }
        }
    }

    /// Like [`receive`](Self::receive). All available input is received under one lock.
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
                if inner.writes.is_turn_over() {
                    return self.poll_yield(inner, cx, wait).map(Err);
                }
                let Inner { driver, input, assembler, skipped, .. } = inner;
                let taken = input.consume(|input| {
                    // After an error, the next turns write the remaining output, which ends with the Close, and then
                    // return the error.
                    let event = driver.receive(input).ok()??;
                    work::spend(Work::of(&event));
                    if skipped.contains(&event) {
                        return None;
                    }
                    take(event, Assembling { assembler, driver })
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

    /// Receives and discards all events until the connection has ended.
    pub(crate) async fn receive_to_end(self: &Arc<Self>) -> Result<(), Error> {
        let mut forever = Wait::forever();
        while poll_fn(|cx| self.poll_receive(cx, &mut forever, &mut |_, _| Some(()))).await?.is_some() {}
        Ok(())
    }

    /// Passes each event to `handle` until the connection has ended normally.
    pub(crate) fn poll_receive_each(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        mut handle: impl FnMut(Event<'_>),
    ) -> Poll<Result<(), Error>> {
        let (mut registered, mut forever) = (false, Wait::forever());
        self.lock().resume();
        loop {
            // Take the input out of the lock. This is possible because no other task receives.
            let (mut input, writes) = {
                let inner = &mut *self.lock();
                (mem::take(&mut inner.input), inner.writes)
            };
            let is_over = input.consume(|input| {
                // A callback may take long, and it may write to many other connections.
                while !writes.is_turn_over() {
                    let event = self.lock().driver.receive(input);
                    // The next turns return the error, as in `poll_receive`.
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
                // The connection may contain input that this turn has not received.
                inner.input.receive_again();
                return self.poll_yield(inner, cx, &mut forever).map(Err);
            }
            let turned = self.poll_turn(inner, cx, Goal::Receive, &mut forever, &mut registered);
            if let Turned::Ended(ended) = ready!(turned)? {
                return Poll::Ready(ended);
            }
        }
    }

    /// Checks the input on behalf of a task that sends, unless it was checked a moment ago.
    pub(crate) fn look(self: &Arc<Self>) {
        let inner = &mut *self.lock();
        if inner.driver.is_look_due(|| self.clock.now()) {
            self.look_now(inner);
        }
    }

    /// Checks the input on behalf of a task that sends.
    pub(super) fn look_now(self: &Arc<Self>, inner: &mut Inner) {
        /// Maximum number of reads per check. It stops a peer that always sends data.
        const MAX_READS: usize = 16;
        // Keep the waker of the task that receives registered with the stream.
        let receiver = inner.receiver.clone();
        let cx = &mut Context::from_waker(receiver.as_ref().unwrap_or(Waker::noop()));
        for _ in 0..MAX_READS {
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

    /// Records that the application does not receive any more.
    pub(crate) fn discard_input(&self) {
        let inner = &mut *self.lock();
        inner.driver.discard_early();
        inner.receiver = None;
    }

    /// Waits until the peer closes its side, so that no reset overtakes the last output. Input of the peer is
    /// discarded.
    pub(crate) fn poll_drain(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        inner.resume();
        let (mut registered, mut forever) = (false, Wait::forever());
        loop {
            let Inner { driver, input, .. } = inner;
            let is_over = input.consume(|input| {
                while !work::is_turn_over() {
                    let Ok(Some(event)) = driver.receive(input) else { return false };
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
                // The next turn detects the end.
                Ok(Turned::Received) | Err(_) => {}
            }
        }
    }

    /// Yields to other tasks although input is left. Deadlines that do not depend on this input are kept.
    fn poll_yield(self: &Arc<Self>, inner: &mut Inner, cx: &mut Context<'_>, wait: &mut Wait) -> Poll<Error> {
        let now = self.clock.now();
        inner.driver.connection.handle_output_timeout(now);
        if inner.writes.end_turn() {
            // If it fails, the next read reports that.
            let _ = self.poll_flush(inner, cx);
        }
        let deadline = wait.deadline(inner.read_timeout, now).filter(|deadline| *deadline <= now);
        if deadline.is_some_and(|deadline| !wait.looks.may_look(now.saturating_duration_since(deadline))) {
            return Poll::Ready(Error::Timeout(TimeoutKind::Read));
        }
        inner.yield_turn(cx);
        Poll::Pending
    }

    /// Does all work that is due between two checks of the input: reads, passes the time to the driver, and writes.
    /// Pending if nothing is left except to wait. `registered` is `true` while the stream wakes this task for new
    /// input.
    fn poll_turn(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        goal: Goal,
        wait: &mut Wait,
        registered: &mut bool,
    ) -> Poll<Result<Turned, Error>> {
        loop {
            // A read that did not fill its buffer has emptied the socket. Wait without another read.
            let listens = inner.input.is_empty() && inner.driver.wants_read();
            let budget_spent = work::is_spent();
            if listens && !*registered && !budget_spent && self.poll_input(inner, cx).is_ready() {
                wait.has_looked = false;
                return Poll::Ready(Ok(Turned::Received));
            }
            *registered |= listens && !budget_spent;

            let now = self.clock.now();
            let begun = inner.driver.begin_turn(now);
            if inner.driver.has_excess() {
                inner.relieve();
            }
            match begun {
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
            // If this fails, a later read reports the failure, after all input that the peer sent earlier.
            let _ = self.poll_flush(inner, cx);
            let (read, until) = match self.take_step(inner, cx, goal) {
                Next::Turned(turned) => return Poll::Ready(Ok(turned)),
                Next::Turn => continue,
                Next::Wait { read, until } => (read, until),
            };
            if read && !*registered && !budget_spent {
                // The connection may read again, because replies have been written.
                continue;
            }
            let deadline = wait.deadline(inner.read_timeout, now);
            let late_by = deadline.filter(|deadline| *deadline <= now);
            let late_by = late_by.map(|deadline| now.saturating_duration_since(deadline));
            if let Some(late_by) = late_by
                && (!read || mem::replace(&mut wait.has_looked, true) || !wait.looks.may_look(late_by))
            {
                return Poll::Ready(Err(Error::Timeout(TimeoutKind::Read)));
            }
            if budget_spent {
                // Due work has been done although the peer never pauses.
                inner.yield_turn(cx);
                return Poll::Pending;
            }
            if late_by.is_some() {
                // Read the input that has arrived before the deadline takes effect.
                inner.input.likely_more = true;
                *registered = false;
                continue;
            }
            let due = until.into_iter().chain(deadline).min();
            // Whatever this thread does next is not part of this turn.
            work::begin_turn(None);
            ready!(self.poll_deadline(inner, cx, due, now));
            // Some time has passed without a message.
            inner.driver.release_idle();
        }
    }

    /// Reads once if there may be input.
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

    /// Performs the next step of the driver.
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

    /// Waits until the next deadline. All other events that end the wait also wake this task.
    fn poll_deadline(
        &self,
        inner: &mut Inner,
        cx: &mut Context<'_>,
        due: Option<Timestamp>,
        now: Timestamp,
    ) -> Poll<()> {
        let same_waker = inner.receiver.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()));
        // Skip the poll of the timer if it has the waker of this task and cannot be due yet.
        let timer_waits = same_waker && inner.timer.is_set(due, now);
        if timer_waits || inner.timer.poll(due, self.clock, cx).is_pending() {
            if !same_waker {
                inner.receiver = Some(cx.waker().clone());
            }
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Reads once. Returns the number of bytes read. The driver records the end of the input.
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

    /// Writes as much of the remaining output as the stream accepts at once, and then shuts down the writing
    /// direction.
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
