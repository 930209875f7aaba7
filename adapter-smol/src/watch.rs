//! Many sockets watched by one epoll, which itself is watched by `async-io`.
//!
//! A socket that `async-io` watches is armed anew by a system call for every wait, and has a place in a table of
//! the whole process. One that is watched here is armed once for all, edge-triggered, and what has happened to
//! any of them is learnt at once. So it is for the connections that a server runs itself, all on one thread.

use std::{
    io::{self, ErrorKind, Read as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use async_io::Async;
use futures_lite::future;
use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, CreateFlags, EventData, EventFlags},
    },
    fd::OwnedFd,
    io::Errno,
};
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
    slots: Mutex<Slots>,
}

/// What events are about, by the number that they carry.
#[derive(Debug, Default)]
struct Slots {
    used: Vec<Option<Arc<Slot>>>,
    free: Vec<usize>,
}

/// What is known of one socket.
#[derive(Debug, Default)]
struct Slot(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Whether something came since the last read began.
    readable: bool,
    /// Whether the peer has ended its stream or the connection is broken, which a read will tell.
    ended: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
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

    /// Watches a socket from now on.
    pub(crate) fn add(self: Arc<Self>, socket: Socket) -> io::Result<Watched> {
        socket.set_nonblocking(true)?;
        let slot = Arc::new(Slot::default());
        let number = self.slots().insert(slot.clone());
        let watched = Watched { socket, slot, number, watch: self };
        // If it fails, the place is given back.
        let data = EventData::new_u64(number as u64);
        epoll::add(&watched.watch.epoll, &watched.socket, data, READING)?;
        Ok(watched)
    }

    /// Wakes those who wait for a socket. Ends with an error only.
    pub(crate) async fn drive(&self) -> io::Result<()> {
        let mut events = Vec::with_capacity(EVENTS);
        loop {
            self.epoll.readable().await?;
            for _ in 0..ASKED_IN_TURN {
                events.clear();
                match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&Timespec::default())) {
                    Ok(0) => break,
                    Ok(_) => {}
                    Err(Errno::INTR) => continue,
                    Err(error) => return Err(error.into()),
                }
                for event in &events {
                    let slot = self.slots().used.get(event.data.u64() as usize).cloned().flatten();
                    // The socket may have gone since.
                    if let Some(slot) = slot {
                        slot.tell(event.flags);
                    }
                }
                // Those who were woken have their turn. By then more may have happened.
                future::yield_now().await;
            }
        }
    }

    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slots {
    fn insert(&mut self, slot: Arc<Slot>) -> usize {
        let number = self.free.pop().unwrap_or_else(|| {
            self.used.push(None);
            self.used.len() - 1
        });
        self.used[number] = Some(slot);
        number
    }
}

impl Slot {
    /// Notes what has happened, and wakes those who waited for it.
    fn tell(&self, happened: EventFlags) {
        let mut known = self.known();
        known.ended |= happened.intersects(ENDED);
        let reads = known.ended || happened.contains(EventFlags::IN);
        known.readable |= reads;
        let reader = known.reader.take_if(|_| reads);
        let writes = known.ended || happened.contains(EventFlags::OUT);
        let writer = known.writer.take_if(|_| writes);
        drop(known);
        reader.into_iter().chain(writer).for_each(Waker::wake);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watched {
    pub(crate) const fn get_ref(&self) -> &Socket {
        &self.socket
    }

    /// Waits until a read may find something.
    pub(crate) fn poll_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut known = self.slot.known();
        if known.readable || known.ended {
            return Poll::Ready(());
        }
        set(&mut known.reader, cx);
        Poll::Pending
    }

    pub(crate) fn poll_read(&self, cx: &Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        loop {
            // Before the read: whatever comes after it counts as new.
            self.slot.known().readable = false;
            match (&self.socket).read(buffer) {
                Ok(read) => {
                    if read == buffer.len() {
                        // There may be more, and nobody would tell.
                        self.slot.known().readable = true;
                    }
                    return Poll::Ready(Ok(read));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    if self.poll_newly_readable(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// As [`poll_readable`](Self::poll_readable), after a read that found nothing.
    fn poll_newly_readable(&self, cx: &Context<'_>) -> Poll<()> {
        let mut known = self.slot.known();
        if known.readable {
            return Poll::Ready(());
        }
        set(&mut known.reader, cx);
        Poll::Pending
    }

    /// Waits until a write may succeed, after one that did not: the socket is watched for it only then.
    pub(crate) fn poll_writable(&self, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let mut known = self.slot.known();
        if !known.writer.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            known.writer = Some(cx.waker().clone());
            // What is so already is told at once.
            let data = EventData::new_u64(self.number as u64);
            epoll::modify(&self.watch.epoll, &self.socket, data, READING | EventFlags::OUT)?;
        }
        Poll::Pending
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Closing the socket takes it out of the epoll.
        let mut slots = self.watch.slots();
        slots.used[self.number] = None;
        slots.free.push(self.number);
    }
}

fn set(waiting: &mut Option<Waker>, cx: &Context<'_>) {
    match waiting {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waiting = Some(cx.waker().clone()),
    }
}
