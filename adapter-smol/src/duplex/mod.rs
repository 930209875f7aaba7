//! One connection, shared by the task that receives and those that send.
//!
//! All that there is lies behind one lock that is held while a task is polled, which never waits. So every
//! future of this crate can be dropped at any point: what was read, and what is to be written, stays here.

mod receiving;
mod sending;

use std::{
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    task::{Context, Waker},
    time::Duration,
};

use ws_core::{Closure, Connection, Timestamp, Transmit};
use ws_transport::{Clock, Joiner, Wire};

pub(crate) use self::receiving::{Joining, Wait};
use crate::{
    alarm::Alarm,
    input::{self, Input},
    stream::Stream,
    stuck::{Stuck, WRITE_TIMEOUT},
    waiting::Waiting,
};

/// How many bytes a task may read before others get their turn: what one read takes at most.
const BYTES_IN_TURN: usize = input::SIZE;
/// How many messages or other events a task may take before others get their turn.
const EVENTS_IN_TURN: usize = 256;
/// As how many bytes a read counts at least.
const LEAST_OF_READ: usize = BYTES_IN_TURN / 4;

#[derive(Debug)]
pub(crate) struct Duplex {
    clock: Clock,
    /// Those who wait for the stream to take more, since the first had to. The stream knows one waker for all of
    /// them: this, which does not keep the connection alive.
    writers: OnceLock<Arc<Waiting>>,
    inner: Mutex<Inner>,
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
    /// What the stream has said of its end.
    end: End,
    /// The task that receives, while it waits.
    receiver: Option<Waker>,
    alarm: Alarm,
    /// Whether the stream was looked at since the time was told last.
    looked: bool,
    /// How many bytes were read in this turn.
    came: usize,
    /// How many events were taken in this turn.
    taken: usize,
    read_timeout: Option<Duration>,
    pub(crate) write_timeout: Option<Duration>,
    /// Made when somebody who sends finds that the stream takes nothing; gone when it takes something.
    pub(crate) stuck: Option<Box<Stuck>>,
    /// When the wait of a [`Stream`](futures_core::Stream) ends.
    stream_deadline: Option<Timestamp>,
    /// The chunks so far of the message that is received.
    joiner: Option<Box<Joiner>>,
}

/// How far a stream has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    None,
    /// The peer sends nothing more.
    Eof,
    /// And hears nothing more.
    Broken,
}

impl Duplex {
    pub(crate) fn new(stream: Stream, clock: Clock, input: Input, alarm: Alarm, wire: Wire) -> Arc<Self> {
        let inner = Inner {
            wire,
            stream,
            input,
            output: Transmit::default(),
            flushed: true,
            blocked: false,
            end: End::None,
            receiver: None,
            alarm,
            looked: true,
            came: 0,
            taken: 0,
            read_timeout: None,
            write_timeout: Some(WRITE_TIMEOUT),
            stuck: None,
            stream_deadline: None,
            joiner: None,
        };
        Arc::new(Self { clock, writers: OnceLock::new(), inner: Mutex::new(inner) })
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

    pub(crate) fn closure(&self) -> Option<Closure> {
        self.ask(Connection::closure)
    }

    /// What the stream wakes when it takes more.
    pub(crate) fn writers(&self) -> &Arc<Waiting> {
        self.writers.get_or_init(Arc::default)
    }

    fn wake_writers(&self) {
        if let Some(writers) = self.writers.get() {
            writers.wake_all();
        }
    }

    /// Leaves the rest of the turn to others, if this task has had its share.
    fn yields(&self, inner: &mut Inner, cx: &Context<'_>) -> bool {
        let yields = inner.taken >= EVENTS_IN_TURN;
        if yields {
            inner.taken = 0;
            cx.waker().wake_by_ref();
        }
        yields
    }

    /// No code of the application runs under this lock, so that a poisoned one is as good as new.
    #[inline]
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
