//! Many sockets watched by one epoll, which itself is watched by `async-io`.
//!
//! A socket that `async-io` watches is armed anew by a system call for every wait, and has a place in a table of
//! the whole process. One that is watched here is armed once for all, edge-triggered, and what has happened to
//! any of them is learnt at once. So it is for the connections that a server runs itself, all on one thread.

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

/// What a socket is always watched for.
const READING: EventFlags = EventFlags::IN.union(EventFlags::RDHUP).union(EventFlags::ET);
/// After which nothing is waited for any more.
const ENDED: EventFlags = EventFlags::RDHUP.union(EventFlags::HUP).union(EventFlags::ERR);
/// How much is learnt at once.
const EVENTS: usize = 256;
/// How often in turn the epoll is asked before `async-io` is, which has timers and others to look after.
const ASKED_IN_TURN: usize = 16;

/// Watches sockets while [`drive`](Self::drive) is polled.
#[derive(Debug)]
pub(crate) struct Watch {
    epoll: Async<OwnedFd>,
    /// What events are about, by the number that they carry.
    slots: Mutex<Slab<Arc<Slot>>>,
}

/// What is known of one socket, and who wants to know it.
#[derive(Debug, Default)]
struct Slot {
    /// Whether something came since the last read began.
    readable: AtomicBool,
    /// Whether the peer has ended its stream or the connection is broken, which a read will tell.
    ended: AtomicBool,
    tasks: Mutex<Tasks>,
}

/// Wakers stay here from one wait to the next, because they mostly are the same.
#[derive(Debug, Default)]
struct Tasks {
    reader: Option<Waker>,
    reader_waits: bool,
    writer: Option<Waker>,
    writer_waits: bool,
}

/// A socket that is watched.
#[derive(Debug)]
pub(crate) struct Watched {
    socket: Socket,
    slot: Arc<Slot>,
    number: usize,
    watch: Arc<Watch>,
}

impl Watch {
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = Async::new(epoll::create(CreateFlags::CLOEXEC)?)?;
        Ok(Self { epoll, slots: Mutex::default() })
    }

    /// Watches a non-blocking socket from now on.
    pub(crate) fn add(self: Arc<Self>, socket: Socket) -> io::Result<Watched> {
        let slot = Arc::new(Slot::default());
        let number = self.slots().insert(slot.clone());
        let watched = Watched { socket, slot, number, watch: self };
        // If it fails, the place is given back.
        let data = EventData::new_u64(number as u64);
        epoll::add(&watched.watch.epoll, &watched.socket, data, READING)?;
        Ok(watched)
    }

    /// Wakes those who wait for a socket. Ends with an error only.
    pub(crate) async fn drive(self: Arc<Self>) -> io::Result<()> {
        let mut wakers = Vec::new();
        loop {
            self.epoll.readable().await?;
            for _ in 0..ASKED_IN_TURN {
                if self.learn(&mut wakers)? == 0 {
                    break;
                }
                // No lock is held: a waker may run its task at once.
                wakers.drain(..).for_each(Waker::wake);
                // Those who were woken have their turn. By then more may have happened.
                future::yield_now().await;
            }
        }
    }

    /// Wakes the tasks to whose sockets something has happened by now. Returns `true` if there is any.
    pub(crate) fn wake_ready(&self) -> bool {
        let mut wakers = Vec::new();
        // An error comes again when the epoll is asked next.
        let _ = self.learn(&mut wakers);
        let is_any = !wakers.is_empty();
        wakers.into_iter().for_each(Waker::wake);
        is_any
    }

    /// Appends the wakers of tasks to whose sockets something has happened. Returns how many sockets there are.
    fn learn(&self, wakers: &mut Vec<Waker>) -> io::Result<usize> {
        let mut events = [const { MaybeUninit::uninit() }; EVENTS];
        // Before the epoll is asked: what it says is about those that are here now.
        let slots = self.slots();
        let (events, _) = match epoll::wait(&self.epoll, &mut events, Some(&Timespec::default())) {
            Err(Errno::INTR) => return Ok(0),
            events => events?,
        };
        for event in &*events {
            if let Some(slot) = slots.get(event.data.u64() as usize) {
                slot.note(event.flags, wakers);
            }
        }
        Ok(events.len())
    }

    fn slots(&self) -> MutexGuard<'_, Slab<Arc<Slot>>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slot {
    /// Notes what has happened, and appends the wakers of tasks that wait for it.
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

    /// Waits until a read may find something.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.slot.ended.load(Ordering::SeqCst) { Poll::Ready(()) } else { self.poll_newly_readable(cx) }
    }

    /// Waits until something comes, after the last read.
    fn poll_newly_readable(&self, cx: &Context<'_>) -> Poll<()> {
        if self.slot.is_readable() {
            return Poll::Ready(());
        }
        let mut tasks = self.slot.tasks();
        // Whoever says so holds the lock.
        if self.slot.is_readable() {
            return Poll::Ready(());
        }
        set(&mut tasks.reader, cx);
        tasks.reader_waits = true;
        Poll::Pending
    }

    /// Reads by `read` at most so many bytes.
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        most: usize,
        mut read: impl FnMut(&Socket) -> Result<usize, Errno>,
    ) -> Poll<io::Result<usize>> {
        loop {
            // Before the read: whatever comes after it counts as new.
            self.slot.readable.swap(false, Ordering::SeqCst);
            match read(&self.socket) {
                Ok(read) => {
                    if read == most {
                        // There may be more, and nobody would tell.
                        self.slot.readable.store(true, Ordering::SeqCst);
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(Errno::AGAIN) => ready!(self.poll_newly_readable(cx)),
                Err(Errno::INTR) => {}
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
    }

    /// Waits until a write may succeed, after one that did not: the socket is watched for it only then.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut tasks = self.slot.tasks();
        set(&mut tasks.writer, cx);
        if !mem::replace(&mut tasks.writer_waits, true) {
            // What is so already is told at once.
            let data = EventData::new_u64(self.number as u64);
            epoll::modify(&self.watch.epoll, &self.socket, data, READING | EventFlags::OUT)?;
        }
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Closing the socket would do it too, but after the number may belong to another; and it costs more.
        let mut slots = self.watch.slots();
        let _ = epoll::delete(&self.watch.epoll, &self.socket);
        slots.remove(self.number);
    }
}

fn set(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}
