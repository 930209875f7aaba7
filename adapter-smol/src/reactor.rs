//! Watches many sockets with one epoll instance, which `async-io` watches.
//!
//! A socket that `async-io` watches directly needs a system call to arm it for every wait, and an entry in a table of
//! the whole process. A socket that is watched here is armed only once (edge-triggered), and one system call returns
//! the events of many sockets. The sockets of connections that a server runs itself, all on one thread, are watched
//! in this way.

use std::{
    io,
    mem::{self, MaybeUninit},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker, ready},
};

use async_io::Async;
use futures_lite::future;
use rustix::{
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::Errno,
};
use slab::Slab;
use socket2::Socket;

/// Events for which a socket is always watched.
const READING: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
/// Events after which the socket is always ready.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
/// Maximum number of events per call of `epoll_wait`.
const MAX_EVENTS: usize = 256;
/// Maximum number of calls of `epoll_wait` per turn. After them, `async-io` handles its timers and its other sockets.
const POLLS_IN_TURN: usize = 16;

/// Watches sockets while [`drive`](Self::drive) is polled.
#[derive(Debug)]
pub(crate) struct Reactor {
    epoll: Async<OwnedFd>,
    /// The watched sockets. Each event contains the index of its socket.
    slots: Mutex<Slab<Arc<Source>>>,
}

/// Readiness of one socket, and the tasks that wait for it.
#[derive(Debug, Default)]
struct Source {
    /// `true` if input has arrived since the last read started.
    readable: AtomicBool,
    /// `true` if the peer has ended its stream or the connection has failed. The next read reports the reason.
    ended: AtomicBool,
    tasks: Mutex<Tasks>,
}

/// The wakers are kept from one wait to the next, because they rarely change.
#[derive(Debug, Default)]
struct Tasks {
    reader: Option<Waker>,
    reader_waits: bool,
    writer: Option<Waker>,
    writer_waits: bool,
}

/// A socket that is being watched.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: Socket,
    source: Arc<Source>,
    number: usize,
    reactor: Arc<Reactor>,
}

impl Reactor {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Async::new(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self { epoll, slots: Mutex::default() })
    }

    /// Starts to watch a non-blocking socket.
    pub(crate) fn add(self: Arc<Self>, socket: Socket) -> io::Result<Watched> {
        let source = Arc::new(Source::default());
        let number = self.slots().insert(source.clone());
        let watched = Watched { socket, source, number, reactor: self };
        // If this fails, dropping `watched` releases the slot.
        let data = EventData::new_u64(number as u64);
        epoll::add(&watched.reactor.epoll, &watched.socket, data, READING)?;
        Ok(watched)
    }

    /// Wakes the tasks that wait for a socket. It ends only with an error.
    pub(crate) async fn drive(self: Arc<Self>) -> io::Result<()> {
        let mut wakers = Vec::new();
        loop {
            self.epoll.readable().await?;
            for _ in 0..POLLS_IN_TURN {
                if self.collect_wakers(&mut wakers)? == 0 {
                    break;
                }
                // Hold no lock here: a waker may run its task immediately.
                wakers.drain(..).for_each(Waker::wake);
                // Let the woken tasks run. More events may have arrived afterwards.
                future::yield_now().await;
            }
        }
    }

    /// Wakes the tasks whose sockets have new events. Returns `true` if there are any.
    pub(crate) fn wake_ready(&self) -> bool {
        let mut wakers = Vec::new();
        // The next wait on the epoll returns the error again.
        let _ = self.collect_wakers(&mut wakers);
        let is_any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        is_any
    }

    /// Appends the wakers of the tasks whose sockets have new events. Returns the number of sockets with events.
    fn collect_wakers(&self, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        let mut events = [const { MaybeUninit::uninit() }; MAX_EVENTS];
        // Lock before `epoll_wait`, so that no slot is reused between the event and its lookup.
        let slots = self.slots();
        let (events, _) = match epoll::wait(&self.epoll, &mut events, Some(&Timespec::default())) {
            Err(Errno::INTR) => return Ok(0),
            events => events?,
        };
        for event in &*events {
            if let Some(source) = slots.get(event.data.u64() as usize) {
                source.note(event.flags, wakers);
            }
        }
        Ok(events.len())
    }

    fn slots(&self) -> MutexGuard<'_, Slab<Arc<Source>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    /// Records the events of this socket, and appends the wakers of the tasks that wait for them.
    fn note(&self, happened: EventFlags, wakers: &mut Vec<Waker>) {
        let ended = happened.intersects(ENDED);
        let mut tasks = self.tasks();
        if ended {
            self.ended.store(true, Ordering::SeqCst);
        }
        if ended || happened.contains(EventFlags::IN) {
            self.readable.store(true, Ordering::SeqCst);
            if mem::take(&mut tasks.reader_waits) {
                wakers.extend(tasks.reader.clone());
            }
        }
        if (ended || happened.contains(EventFlags::OUT)) && mem::take(&mut tasks.writer_waits) {
            wakers.extend(tasks.writer.clone());
        }
    }

    fn is_readable(&self) -> bool {
        self.readable.load(Ordering::SeqCst)
    }

    fn tasks(&self) -> MutexGuard<'_, Tasks> {
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    pub(crate) const fn get_ref(&self) -> &Socket {
        &self.socket
    }

    /// Waits until a read may find input.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.source.ended.load(Ordering::SeqCst) { Poll::Ready(()) } else { self.poll_newly_readable(cx) }
    }

    /// Waits until input arrives after the last read.
    fn poll_newly_readable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.source.is_readable() {
            return Poll::Ready(());
        }
        let mut tasks = self.source.tasks();
        // Check again under the lock, because `note` sets the flag while it holds the lock.
        if self.source.is_readable() {
            return Poll::Ready(());
        }
        set(&mut tasks.reader, cx);
        tasks.reader_waits = true;
        Poll::Pending
    }

    /// Reads at most `most` bytes with `read`.
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        most: usize,
        mut read: impl FnMut(&Socket) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // Clear the flag before the read, so that input that arrives after the read counts as new.
            self.source.readable.swap(false, Ordering::SeqCst);
            match read(&self.socket) {
                Ok(read) => {
                    if read == most {
                        // There may be more input, for which an edge-triggered epoll reports no further event.
                        self.source.readable.store(true, Ordering::SeqCst);
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) => ready!(self.poll_newly_readable(cx)),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Waits until a write may succeed, after a write that would have blocked. The socket is watched for this event
    /// only after such a write.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut tasks = self.source.tasks();
        set(&mut tasks.writer, cx);
        if !mem::replace(&mut tasks.writer_waits, true) {
            // If the socket is already writable, epoll reports that immediately.
            let data = EventData::new_u64(self.number as u64);
            epoll::modify(&self.reactor.epoll, &self.socket, data, READING | EventFlags::OUT)?;
        }
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Closing the socket also removes it from the epoll instance, but at a higher cost, and possibly after
        // another socket has reused the index.
        let mut slots = self.reactor.slots();
        let _ = epoll::delete(&self.reactor.epoll, &self.socket);
        slots.remove(self.number);
    }
}

fn set(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}
