//! One connection, shared by the task that receives and the tasks that send.
//!
//! Everything lies behind one lock, which is held while a task is polled and never while it waits. So each future of this
//! crate can be dropped at any point: what was read, and what is to be written, stays here. Tasks are woken when the lock
//! has been released, because a waker may run its task at once. One exception is left: where receiving moves from one
//! living task to another, `async-io` wakes the waker that is replaced, under the lock.

mod assembling;
mod receiving;
mod sending;

use std::{
    mem,
    ops::{Deref, DerefMut},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use ws_core::{Closure, Connection, Timestamp, Transmit};
use ws_transport::{Addresses, Clock, Driver, MessageAssembler};

pub(crate) use self::assembling::Assembling;
use crate::{
    input::{self, Input},
    lazy_timer::LazyTimer,
    stream::Stream,
    waker_set::{WakerSet, Wakers},
};

/// How many bytes a task may read before other tasks get their turn: what one read takes at most.
const BYTES_IN_TURN: usize = input::SIZE;
/// How many messages or other events a task may receive before other tasks get their turn.
const EVENTS_IN_TURN: usize = 256;
/// A read counts as at least so many bytes.
const MIN_READ: usize = BYTES_IN_TURN / 4;

#[derive(Debug)]
pub(crate) struct Duplex {
    clock: Clock,
    addresses: Addresses,
    /// Tasks that wait for the stream to accept more, since the first had to. The stream knows one waker for all of
    /// them: this, which does not keep the connection alive.
    writers: OnceLock<Arc<WakerSet>>,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) driver: Driver,
    pub(crate) stream: Stream,
    input: Input,
    /// Output that was taken from the driver and not accepted by the stream.
    pub(crate) output: Transmit,
    /// Bytes that a stream of the application has accepted and not flushed: they are not written yet.
    unflushed: usize,
    /// Whether the stream accepts no more, and wakes `writers` when it does.
    pub(crate) blocked: bool,
    /// Whether the stream is being closed, which may take several polls.
    closing_stream: bool,
    /// The task that receives, while it waits.
    receiver: Option<Waker>,
    timer: LazyTimer,
    /// Keeps the deadlines of output for tasks that send. Created when one has to wait.
    write_timer: Option<Box<LazyTimer>>,
    bytes_this_turn: usize,
    events_this_turn: usize,
    read_timeout: Option<Duration>,
    /// When the wait of a [`Stream`](futures_core::Stream) ends.
    stream_deadline: Option<Timestamp>,
    /// The chunks so far of the message that is received.
    assembler: Option<Box<MessageAssembler>>,
    /// Tasks to be woken when the lock is released.
    wakers: Wakers,
}

/// The lock of a connection. Tasks are woken when it has been released.
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
            bytes_this_turn: 0,
            events_this_turn: 0,
            read_timeout: None,
            stream_deadline: None,
            assembler: None,
            wakers: Wakers::default(),
        };
        Arc::new(Self { clock, addresses, writers: OnceLock::new(), inner: Mutex::new(inner) })
    }

    /// Returns what `question` finds in the connection.
    pub(crate) fn ask<T>(&self, question: impl FnOnce(&Connection) -> T) -> T {
        question(&self.lock().driver.connection)
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

    pub(crate) fn closure(&self) -> Option<Closure> {
        self.ask(Connection::closure)
    }

    /// What the stream wakes when it accepts more.
    fn writers(&self) -> &Arc<WakerSet> {
        self.writers.get_or_init(Arc::default)
    }

    /// Wakes the tasks that send, when the lock is released.
    fn wake_writers(&self, inner: &mut Inner) {
        if let Some(writers) = self.writers.get() {
            inner.wakers.extend(writers.take());
        }
    }

    /// Wakes all tasks that wait for anything, when the lock is released.
    fn wake_all(&self, inner: &mut Inner) {
        inner.wake_receiver();
        self.wake_writers(inner);
    }

    /// No code of the application runs under this lock, so that a poisoned one is as good as new.
    #[inline]
    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked(Some(self.inner.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Inner {
    /// Leaves the rest of the turn to other tasks if this one has had its share. Returns `true` then.
    fn yields(&mut self, cx: &Context<'_>) -> bool {
        let yields = self.events_this_turn >= EVENTS_IN_TURN;
        if yields {
            self.events_this_turn = 0;
            self.wakers.add(cx.waker());
        }
        yields
    }

    /// Wakes the task that receives, when the lock is released.
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
        self.0.as_ref().expect(Locked::HELD)
    }
}

impl DerefMut for Locked<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut Inner {
        self.0.as_mut().expect(Locked::HELD)
    }
}

impl Locked<'_> {
    const HELD: &'static str = "the lock is held until it is dropped";
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
