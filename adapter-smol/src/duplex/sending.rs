//! Queueing, writing and closing.

use std::{
    future::poll_fn,
    io::IoSlice,
    sync::{Arc, MutexGuard},
    task::{Context, Poll, Waker, ready},
};

use bytes::Buf;
use ws_core::{CloseCode, Connection, Message, SendError, State, Transmit};
use ws_transport::Error;

use super::{Duplex, End, Inner};
use crate::stream::Stream;

/// How many slices one write takes.
const SLICES: usize = 16;
/// Up to which capacity a block of output is given back as soon as it is written, in bytes.
const SMALL_BLOCK: usize = 1024;

impl Duplex {
    /// Queues a message, as soon as there is room for it.
    #[inline]
    pub(crate) fn feed<'m>(
        self: &Arc<Self>,
        message: Message<'m>,
    ) -> impl Future<Output = Result<(), Error>> {
        let mut message = Some(message);
        poll_fn(move |cx| {
            let mut inner = ready!(self.poll_room(cx))?;
            let Some(message) = message.take() else { return Poll::Ready(Ok(())) };
            Poll::Ready(inner.wire.send(message))
        })
    }

    /// Queues something to be sent, as soon as there is room for it.
    pub(crate) fn poll_queue<T>(
        self: &Arc<Self>,
        cx: &mut Context<'_>,
        send: impl FnOnce(&mut Connection) -> Result<T, SendError>,
    ) -> Poll<Result<T, Error>> {
        Poll::Ready(ready!(self.poll_room(cx))?.wire.queue(send))
    }

    /// Waits until there is room to queue something.
    #[inline]
    fn poll_room(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<Result<MutexGuard<'_, Inner>, Error>> {
        let mut inner = self.lock();
        if inner.is_full() {
            // When nothing more can be written there will be room.
            let polled = self.poll_flush_patiently(&mut inner, cx);
            if inner.is_full() {
                ready!(polled)?;
            }
        }
        Poll::Ready(Ok(inner))
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
        if inner.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        if !inner.blocked {
            // Mostly the stream takes everything, and nobody has to be woken when it takes more.
            let written = inner.poll_write_out(&mut Context::from_waker(Waker::noop()));
            if written.is_ready() {
                return written;
            }
        }
        // Who waits together with others is noted before the stream is asked to wake them.
        self.writers().add(cx.waker());
        let waker = Waker::from(self.writers().clone());
        let written = inner.poll_write_out(&mut Context::from_waker(&waker));
        inner.blocked = written.is_pending();
        if inner.blocked {
            // The task that receives waits too: this one may be dropped and never look again.
            if let Some(receiver) = inner.receiver.take_if(|waker| !waker.will_wake(cx.waker())) {
                receiver.wake();
            }
        } else {
            // Who waited for room has it, or an error to see.
            self.wake_writers();
        }
        written
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
        self.wake_writers();
    }

    /// Reads and drops what comes until the peer's stream has ended.
    pub(crate) fn poll_drain(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.lock();
        let inner = &mut *guard;
        let _ = self.poll_flush(inner, cx);
        if inner.end != End::None {
            return Poll::Ready(());
        }
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
        self.wake_writers();
    }

    /// Writes what is left, as far as goes at once, and says that nothing more will come.
    pub(super) fn end_writing(self: &Arc<Self>, inner: &mut Inner) {
        inner.wire.end_output();
        let _ = self.poll_flush(inner, &mut Context::from_waker(Waker::noop()));
        if inner.end != End::Broken {
            let _ = inner.stream.poll_close(&mut Context::from_waker(&Waker::from(self.writers().clone())));
        }
    }
}

impl Inner {
    /// Whether there is nothing to write.
    fn is_flushed(&self) -> bool {
        self.flushed && !self.output.has_remaining() && !self.wire.wants_write()
    }

    /// How many bytes were taken to be written and are not.
    #[inline]
    pub(crate) fn unwritten(&self) -> usize {
        self.output.remaining()
    }

    /// Whether what is to be sent next has to wait.
    #[inline]
    fn is_full(&self) -> bool {
        let connection = &self.wire.connection;
        let waiting = connection.buffered().saturating_add(self.unwritten());
        waiting >= connection.config().write_buffer_size.max(1) && connection.state() == State::Open
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
}
