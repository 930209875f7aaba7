//! One connection, shared by the task that receives and the tasks that send.
//!
//! One lock protects all state. A task holds the lock while it is polled, and never while it waits. Therefore every
//! future of this crate can be dropped at any point: received input and queued output stay in the connection. Tasks
//! are woken after the lock is released, because a waker may run its task immediately. There is one exception: when
//! receiving moves from one living task to another, `async-io` wakes the replaced waker under the lock.

mod assembling;
mod memory;
mod receiving;
mod sending;

use std::{
    io, mem,
    ops::{Deref, DerefMut},
    os::fd::OwnedFd,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use ws_core::{CloseInfo, Connection, Timestamp, Transmit};
use ws_transport::{
    Addresses, Clock, Driver, MessageAssembler, SkippedRest,
    work::{self, DeferredWrites},
};

pub(crate) use self::{assembling::Assembling, receiving::Wait};
use crate::{
    input::Input,
    lazy_timer::LazyTimer,
    stream::Stream,
    turns,
    waker_set::{WakerSet, Wakers},
};

#[derive(Debug)]
pub(crate) struct Duplex {
    clock: Clock,
    addresses: Addresses,
    /// Tasks that wait until the stream accepts more output. Created when the first task has to wait. The stream
    /// stores one waker for all of them, this set, which does not keep the connection alive.
    writers: OnceLock<Arc<WakerSet>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) driver: Driver,
    pub(crate) stream: Stream,
    input: Input,
    /// Output of the driver that the stream has not accepted yet.
    pub(crate) output: Transmit,
    /// Number of bytes that a stream of the application has accepted but not flushed. They do not count as written
    /// yet.
    unflushed: usize,
    /// `true` while the stream accepts no more output. The stream wakes `writers` when it accepts output again.
    pub(crate) blocked: bool,
    /// `true` while the stream is being closed, which may take several polls.
    closing_stream: bool,
    /// Waker of the task that receives, while it waits.
    receiver: Option<Waker>,
    timer: LazyTimer,
    /// Timer for the output deadlines of tasks that send. Created when the first task has to wait.
    write_timer: Option<Box<LazyTimer>>,
    /// `true` if the task that receives has yielded, so that its next poll begins a turn. Otherwise it might find the
    /// budget spent by another task of the thread, again and again.
    has_yielded: bool,
    writes: DeferredWrites,
    read_timeout: Option<Duration>,
    /// Time at which the current wait of a [`Stream`](futures_core::Stream) ends.
    stream_deadline: Option<Timestamp>,
    /// Chunks of the incomplete message that is being received.
    assembler: Option<Box<MessageAssembler>>,
    /// The rest of a message after its reader was dropped.
    skipped: SkippedRest,
    /// Tasks to wake after the lock is released.
    wakers: Wakers,
}

/// The locked state of a connection. Dropping it releases the lock and then wakes the tasks.
pub(crate) struct Locked<'d>(Option<MutexGuard<'d, Inner>>);

impl Duplex {
    pub(crate) fn new(
        stream: Stream,
        addresses: Addresses,
        clock: Clock,
        input: Input,
        timer: LazyTimer,
        driver: Driver,
    ) -> Arc<Self> {
        let inner = Inner {
            driver,
            stream,
            input,
            output: Transmit::default(),
            unflushed: 0,
            blocked: false,
            closing_stream: false,
            receiver: None,
            timer,
            write_timer: None,
            has_yielded: false,
            writes: DeferredWrites::default(),
            read_timeout: None,
            stream_deadline: None,
            assembler: None,
            skipped: SkippedRest::default(),
            wakers: Wakers::default(),
        };
        Arc::new(Self { clock, addresses, writers: OnceLock::new(), inner: Mutex::new(inner) })
    }

    /// Returns the result of `question` for the protocol state of the connection.
    pub(crate) fn with_connection<T>(&self, read: impl FnOnce(&Connection) -> T) -> T {
        read(&self.lock().driver.connection)
    }

    #[cfg(feature = "deflate")]
    pub(crate) fn set_compression(&self, enabled: bool) {
        self.lock().driver.connection.set_compression(enabled);
    }

    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }

    pub(crate) fn set_read_timeout(&self, timeout: Option<Duration>) {
        self.lock().read_timeout = timeout;
    }

    /// Skips the rest of the message whose chunks are being received.
    pub(crate) fn skip_rest(&self) {
        self.lock().skipped.begin();
    }

    pub(crate) fn try_clone_socket(&self) -> io::Result<Option<OwnedFd>> {
        self.lock().stream.try_clone_socket()
    }

    pub(crate) fn close_info(&self) -> Option<CloseInfo> {
        self.with_connection(Connection::close_info)
    }

    /// Returns the waker set that the stream wakes when it accepts more output.
    fn writers(&self) -> &Arc<WakerSet> {
        self.writers.get_or_init(Arc::default)
    }

    /// Wakes the tasks that send, after the lock is released.
    fn wake_writers(&self, inner: &mut Inner) {
        if let Some(writers) = self.writers.get() {
            inner.wakers.extend(writers.take());
        }
    }

    /// Wakes all tasks that wait for this connection, after the lock is released.
    fn wake_all(&self, inner: &mut Inner) {
        inner.wake_receiver();
        self.wake_writers(inner);
    }

    /// Locks the connection. No application code runs under this lock, so the state behind a poisoned lock is
    /// consistent.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked(Some(self.inner.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Inner {
    /// Begins the turn of the task that receives, if the task has left its last turn to other tasks.
    fn resume(&mut self) {
        if mem::take(&mut self.has_yielded) {
            work::begin_turn(None);
        }
    }

    /// Yields to other tasks of the thread.
    fn yield_turn(&mut self, cx: &Context<'_>) {
        self.has_yielded = true;
        work::begin_turn(None);
        if !turns::leave(cx.waker()) {
            self.wakers.add(cx.waker());
        }
    }

    /// Wakes the task that receives, after the lock is released.
    fn wake_receiver(&mut self) {
        if let Some(receiver) = self.receiver.take() {
            self.wakers.add(&receiver);
        }
    }
}

impl Deref for Locked<'_> {
    type Target = Inner;

    #[inline]
    fn deref(&self) -> &Inner {
        self.0.as_ref().expect(Locked::LOCK_HELD)
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Inner {
        self.0.as_mut().expect(Locked::LOCK_HELD)
    }
}

impl Locked<'_> {
    const LOCK_HELD: &'static str = "the lock is held until it is dropped";
}

impl Drop for Locked<'_> {
    #[inline]
    fn drop(&mut self) {
        if !self.wakers.is_empty() {
            let wakers = mem::take(&mut self.wakers);
            self.0 = None;
            wakers.wake_all();
        }
    }
}
