//! Queueing, writing and closing.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

use bytes::Buf;
use ws_core::{Chunk, CloseCode, Message, SendError, State, Transmit};
use ws_transport::{
    Driver, Error,
    work::{self, DeferredWrites, Work},
};

use super::{Duplex, Inner, Locked};
use crate::{stream::Stream, waker_set::WakerSet};

/// Maximum number of slices per write.
const MAX_SLICES: usize = 16;
/// Maximum capacity in bytes of an output block that is freed as soon as it is written.
const SMALL_BLOCK: usize = 1024;
/// How many bytes are written before other tasks get their turn.
const WRITTEN_IN_TURN: usize = 512 << 10;

/// Queueing.
impl Duplex {
    /// Queues a message once there is room for it.
    #[inline]
    pub(crate) fn feed<'m>(
        self: &Arc<Self>,
        message: Message<'m>,
    ) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        poll_fn(move |cx| {
            let mut inner = ready!(self.poll_room(cx))?;
            let Some(message) = message.take() else { return Poll::Ready(Ok(())) };
            Poll::Ready(inner.driver.send(message))
        })
    }

    /// Queues output by `send` once there is room for it.
    pub(crate) fn poll_queue<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Driver) -> Result<T, Error>,
    ) -> Poll<Result<T, Error>> {
        Poll::Ready(send(&mut ready!(self.poll_room(cx))?.driver))
    }

    /// Queues a chunk once there is room for it.
    pub(crate) fn poll_send_chunk(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        chunk: &mut Option<Chunk<'_>>,
    ) -> Poll<Result<(), Error>> {
        let Some(waiting) = chunk else { return Poll::Ready(Ok(())) };
        let mut inner = match self.poll_room(cx)? {
            Poll::Ready(inner) => inner,
            Poll::Pending => {
                // Report the chunk to the connection. If this future is dropped now and another chunk is sent
                // instead, the message would have a gap, which the connection must detect.
                let attempt = Chunk { payload: waiting.payload.as_borrowed(), last: waiting.last };
                let _ = self.lock().driver.connection.send_chunk(attempt);
                return Poll::Pending;
            }
        };
        let Some(chunk) = chunk.take() else { return Poll::Ready(Ok(())) };
        Poll::Ready(inner.driver.send_chunk(chunk))
    }

    /// Aborts the message that is being sent in chunks, which closes the connection.
    pub(crate) fn abort_message(self: &Arc<Self>) {
        let inner = &mut *self.lock();
        inner.driver.connection.abort_message();
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        self.report_time(inner);
    }

    /// Waits until there is room to queue something.
    #[inline]
    fn poll_room(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<Locked<'_>, Error>> {
        let mut inner = self.lock();
        if inner.is_full() {
            inner.settle_blocked();
            // A failed flush also makes room, because it discards the output.
            let polled = self.poll_flush_in_time(&mut inner, cx);
            if inner.is_full() {
                ready!(polled)?;
            }
        }
        Poll::Ready(Ok(inner))
    }

    /// Queues a message, even if the send queue is full.
    #[cfg(feature = "sink")]
    pub(crate) fn send_now(&self, message: Message<'_>) -> Result<(), Error> {
        self.lock().driver.send(message)
    }

    /// Queues a message if there is room for it now.
    pub(crate) fn try_send(self: &Arc<Self>, message: Message<'_>) -> Result<(), Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let cx = &mut Context::from_waker(Waker::noop());
        if inner.is_full() {
            // The peer may have read in the meantime, unnoticed by any task.
            let _ = self.poll_flush(inner, cx);
        }
        if inner.is_full() {
            return Err(Error::Send(SendError::BufferFull));
        }
        let queued = inner.driver.send(message);
        let _ = self.poll_flush(inner, cx);
        queued
    }
}

/// Writing.
impl Duplex {
    /// Writes until the stream has accepted all output that is queued at the time of the call.
    pub(crate) async fn flush(self: &Arc<Self>) -> Result<(), Error> {
        let end = self.lock().driver.end_of_output()?;
        poll_fn(|cx| self.poll_flush_until(cx, end)).await.inspect_err(|error| {
            if let Error::Io(_) = error {
                // There may be no task that receives and detects the end of the connection.
                self.look_now(&mut self.lock());
            }
        })
    }

    /// Writes everything that is queued.
    pub(crate) fn poll_flush_all(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let end = self.lock().driver.end_of_output()?;
        self.poll_flush_until(cx, end)
    }

    fn poll_flush_until(self: &Arc<Self>, cx: &mut Context<'_>, end: u64) -> Poll<Result<(), Error>> {
        let inner = &mut *self.lock();
        if inner.has_written(end) {
            return Poll::Ready(Ok(()));
        }
        let polled = self.poll_flush_in_time(inner, cx);
        if inner.has_written(end) {
            return Poll::Ready(Ok(()));
        }
        ready!(polled)?;
        // The queued output was discarded.
        Poll::Ready(Err(inner.driver.lost_output()))
    }

    /// Like [`poll_flush`](Self::poll_flush), but for a task that waits for the result. It enforces the output
    /// deadlines, because there may be no task that receives.
    fn poll_flush_in_time(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        loop {
            if let Poll::Ready(flushed) = self.poll_flush(inner, cx) {
                return Poll::Ready(flushed);
            }
            let Inner { driver, write_timer, .. } = inner;
            // The timer stores one waker for all waiting tasks, the waker set.
            let waker = Waker::from(self.writers().clone());
            let due = driver.connection.poll_output_timeout();
            let timer = write_timer.get_or_insert_default();
            ready!(timer.poll(due, self.clock, &mut Context::from_waker(&waker)));
            driver.connection.handle_output_timeout(self.clock.now());
            if driver.connection.is_finished() {
                let lost = driver.lost_output();
                inner.discard_output();
                self.wake_all(inner);
                return Poll::Ready(Err(lost));
            }
        }
    }

    /// Writes the queued output. If the stream is blocked, this task and the task that receives are woken when it
    /// accepts more output.
    pub(crate) fn poll_flush(
        self: &Arc<Self>,
        inner: &mut Inner,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        inner.writes = DeferredWrites::default();
        if inner.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        if !inner.blocked {
            // The stream usually accepts everything, and then no task has to be woken later.
            let written = inner.poll_write_out(&mut Context::from_waker(Waker::noop()));
            if written.is_ready() {
                return written;
            }
        }
        // Register this task before the write, because the stream may wake the set immediately.
        self.writers().add(cx.waker());
        let waker = Waker::from(self.writers().clone());
        let (written, woken) = self.writers().hold(|| inner.poll_write_out(&mut Context::from_waker(&waker)));
        if let Some(wakers) = woken {
            inner.wakers.extend(wakers);
        }
        inner.blocked = written.is_pending();
        if inner.blocked {
            // Make the task that receives wait for the stream too. This task may be dropped and never polled again.
            if inner.receiver.as_ref().is_some_and(|waker| !waker.will_wake(cx.waker())) {
                inner.wake_receiver();
            }
        } else {
            // Wake the waiting senders: there is room now, or an error to report.
            self.wake_writers(inner);
        }
        written
    }
}

/// Closing.
impl Duplex {
    /// Queues a Close and writes as much as the stream accepts at once. Does nothing if a Close was already sent.
    pub(crate) fn begin_close(self: &Arc<Self>, code: CloseCode, reason: &str) -> Result<(), Error> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        match inner.driver.close(code, reason) {
            Err(SendError::Closed) => return Ok(()),
            result => result?,
        }
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        self.report_time(inner);
        Ok(())
    }

    /// Passes the current time to a connection that has started to close. Wakes all waiting tasks, because they have
    /// a new deadline.
    pub(crate) fn report_time(&self, inner: &mut Inner) {
        inner.driver.connection.handle_output_timeout(self.clock.now());
        self.wake_all(inner);
    }

    /// Aborts the connection. All tasks that wait for it wake up.
    pub(crate) fn abandon(&self) {
        let inner = &mut *self.lock();
        inner.driver.connection.receive_eof();
        inner.discard_output();
        if let Stream::Socket(socket) = &inner.stream {
            let _ = socket.get_ref().shutdown(std::net::Shutdown::Both);
        }
        self.wake_all(inner);
    }
}

impl Inner {
    /// Returns `true` if there is nothing to write.
    fn is_flushed(&self) -> bool {
        self.unflushed == 0 && !self.output.has_remaining() && !self.driver.wants_write()
    }

    fn has_written(&self, end: u64) -> bool {
        self.driver.connection.total_written() >= end
    }

    /// Returns `true` if the next message has to wait for room.
    #[inline]
    fn is_full(&self) -> bool {
        let connection = &self.driver.connection;
        connection.buffered() >= connection.config().write_buffer_size.max(1)
            && connection.state() == State::Open
    }

    /// Writes until nothing is left, the stream accepts no more, or a large share is written: a peer that reads as fast
    /// as this end writes must not keep the thread from others.
    fn poll_write_out(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let mut left = WRITTEN_IN_TURN;
        loop {
            if !self.output.has_remaining() && (self.unflushed == 0 || !self.driver.is_secure()) {
                self.driver.take_output(&mut self.output);
            }
            if !self.output.has_remaining() {
                if self.unflushed == 0 {
                    self.release();
                    return Poll::Ready(Ok(()));
                }
                match ready!(self.stream.poll_flush(cx)) {
                    Ok(()) => {
                        let flushed = std::mem::take(&mut self.unflushed);
                        self.driver.written(flushed);
                        continue;
                    }
                    Err(error) => return Poll::Ready(Err(self.fail_output(error))),
                }
            }
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = self.output.chunks_vectored(&mut slices);
            match ready!(self.stream.poll_write(cx, &slices[..filled])) {
                Ok(0) => return Poll::Ready(Err(self.fail_output(io::ErrorKind::WriteZero.into()))),
                Ok(written) => {
                    work::spend(Work::Write(written));
                    self.output.advance(written);
                    if self.stream.buffers() {
                        self.unflushed += written;
                        self.driver.connection.note_progress();
                    } else {
                        self.driver.written(written);
                    }
                    left = left.saturating_sub(written);
                    if left == 0 && self.output.has_remaining() {
                        cx.waker().wake_by_ref();
                        return Poll::Pending;
                    }
                }
                Err(error) => return Poll::Ready(Err(self.fail_output(error))),
            }
        }
    }

    #[cold]
    fn fail_output(&mut self, error: io::Error) -> Error {
        self.discard_output();
        error.into()
    }

    /// Discards all output, because the peer is gone.
    fn discard_output(&mut self) {
        self.output = Transmit::default();
        self.unflushed = 0;
        self.blocked = false;
        self.driver.fail_output();
    }

    /// Continues to close the writing direction of the stream.
    pub(super) fn poll_close_stream(&mut self, writers: &Arc<WakerSet>) {
        let waker = Waker::from(writers.clone());
        let (closed, woken) = writers.hold(|| self.stream.poll_close(&mut Context::from_waker(&waker)));
        if let Some(wakers) = woken {
            self.wakers.extend(wakers);
        }
        self.closing_stream &= closed.is_pending();
    }

    /// Continues to close the writing direction of the stream, for a task that waits for it. Returns `true` if
    /// closing takes longer. A stream with a buffer may still have to send its last bytes, such as `close_notify`.
    pub(super) fn keeps_closing_stream(&mut self, cx: &Context<'_>, writers: &Arc<WakerSet>) -> bool {
        if self.closing_stream {
            writers.add(cx.waker());
            self.poll_close_stream(writers);
        }
        self.closing_stream && !self.driver.connection.is_finished()
    }

    /// Frees a small output block. It is cheap to allocate again, and an idle connection does not need it. A large
    /// block stays until the connection has been idle for a while.
    fn release(&mut self) {
        if self.output.capacity() <= SMALL_BLOCK {
            self.output = Transmit::default();
        }
    }
}
