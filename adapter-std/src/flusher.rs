//! The flusher: one background thread for the whole process. It runs only while a connection needs it. It has three
//! duties:
//!
//! - It writes for connections with slow peers, so that no sender has to wait.
//! - It enforces the deadlines of closing connections. A thread may close a connection while another one is parked in
//!   a read, and only input or the end of the socket can wake that thread.
//! - It receives in the place of handlers that have dropped their connections and continue to run.

use std::{
    collections::{BTreeMap, VecDeque},
    io::{self, Read as _, Write as _},
    mem,
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags};
use ws_transport::DROP_GRACE;

use crate::{
    duplex::{Duplex, Flushed, Wants},
    socket::wait,
    threads,
};

/// Time that the thread stays without work.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

static FLUSHER: Mutex<Option<Flusher>> = Mutex::new(None);

/// The part of the flusher that other threads hand work to.
struct Flusher {
    new: Vec<Arc<Duplex>>,
    new_closing: Vec<Weak<Duplex>>,
    /// Connections that handlers have dropped, with the time to take each one over.
    new_dropped: Vec<(Instant, Weak<Duplex>)>,
    /// `true` if the thread will wake up for a dropped connection anyway, before it has to take over a new one.
    expects_dropped: bool,
    /// Wakes the thread.
    wake: UnixStream,
}

/// `true` while the flusher writes for a connection.
#[derive(Debug, Default)]
pub(crate) struct FlusherFlag(AtomicBool);

impl FlusherFlag {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Writes the output of the connection as soon as its peer reads.
pub(crate) fn watch(duplex: &Arc<Duplex>) {
    if duplex.blocked.0.swap(true, Ordering::SeqCst) {
        return;
    }
    let add = |flusher: &mut Flusher| {
        flusher.new.push(duplex.clone());
        true
    };
    if !hand_over(add) {
        // The receiving thread also writes, but later.
        duplex.blocked.0.store(false, Ordering::SeqCst);
    }
}

/// Ends a closing connection if its peer misses the deadline. The reference is weak, because the connection may end
/// before.
pub(crate) fn watch_closing(duplex: &Arc<Duplex>) {
    // Without a thread, the receiving thread still enforces the deadlines that were known when it began to wait.
    hand_over(|flusher| {
        flusher.new_closing.push(Arc::downgrade(duplex));
        true
    });
}

/// Receives in the place of a handler that has dropped the receiving half of its connection. Closes the connection if
/// no handle is left. Does nothing if the handler returns soon.
pub(crate) fn watch_dropped(duplex: &Arc<Duplex>) {
    // Without a thread, these duties wait until the handler returns.
    hand_over(|flusher| {
        flusher.new_dropped.push((Instant::now() + DROP_GRACE, Arc::downgrade(duplex)));
        !mem::replace(&mut flusher.expects_dropped, true)
    });
}

/// Hands work to the thread by `add`, and starts the thread if necessary. Wakes the thread if `add` returns `true`.
/// Returns `false` if no thread can be started.
fn hand_over(add: impl FnOnce(&mut Flusher) -> bool) -> bool {
    let mut flusher = flusher();
    if flusher.is_none() {
        let Ok(wake) = start() else { return false };
        *flusher = Some(Flusher {
            new: Vec::new(),
            new_closing: Vec::new(),
            new_dropped: Vec::new(),
            expects_dropped: false,
            wake,
        });
    }
    if let Some(flusher) = &mut *flusher
        && add(flusher)
    {
        // If the pipe is full, the thread wakes up anyway.
        let _ = flusher.wake.write(&[1]);
    }
    true
}

fn start() -> io::Result<UnixStream> {
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    threads::start("ws-flusher", move || run(&woken))?;
    Ok(wake)
}

fn run(woken: &UnixStream) {
    let (mut blocked, mut closing, mut dropped) =
        (Vec::new(), ClosingDeadlines::default(), Dropped::default());
    loop {
        dropped.take_over();
        let new_closing = match &mut *flusher() {
            Some(flusher) => {
                blocked.append(&mut flusher.new);
                dropped.recent.extend(flusher.new_dropped.drain(..));
                flusher.expects_dropped = !dropped.recent.is_empty();
                mem::take(&mut flusher.new_closing)
            }
            None => Vec::new(),
        };
        new_closing.into_iter().for_each(|duplex| closing.keep(duplex));
        let due = blocked.iter().filter_map(|duplex: &Arc<Duplex>| duplex.keep_output_deadline()).min();
        let due = due.into_iter().chain(closing.keep_deadlines()).chain(dropped.due()).min();
        let idle = blocked.is_empty() && closing.0.is_empty() && dropped.is_empty();
        let sockets = blocked.iter().map(|duplex| (duplex, PollFlags::OUT)).chain(dropped.sockets());
        let ready = wait_for(woken, sockets, if idle { Some(IDLE_TIMEOUT) } else { due });
        // The pipe rarely contains more. Remaining bytes cause one more wake-up.
        let _ = (&*woken).read(&mut [0; 64]);
        let mut ready = ready.into_iter();
        blocked.retain(|duplex| {
            let is_flushed = ready.next().unwrap_or(false) && flush(duplex);
            if is_flushed {
                // If the connection is closing, it now waits for the peer's Close.
                closing.keep(Arc::downgrade(duplex));
            }
            !is_flushed
        });
        dropped.receive_ready(ready);
        if idle && blocked.is_empty() {
            let mut flusher = flusher();
            let is_new = |flusher: &Flusher| {
                let Flusher { new, new_closing, new_dropped, .. } = flusher;
                !(new.is_empty() && new_closing.is_empty() && new_dropped.is_empty())
            };
            if !flusher.as_ref().is_some_and(is_new) {
                *flusher = None;
                return;
            }
        }
    }
}

/// Closing connections, ordered by their next deadline.
#[derive(Default)]
struct ClosingDeadlines(BTreeMap<Instant, Vec<Weak<Duplex>>>);

impl ClosingDeadlines {
    /// Ends the connection if its deadline has passed. Otherwise stores it until its next deadline.
    fn keep(&mut self, duplex: Weak<Duplex>) {
        let due = duplex.upgrade().and_then(|duplex| duplex.keep_closing_deadline());
        if let Some(at) = due.and_then(|due| Instant::now().checked_add(due)) {
            self.0.entry(at).or_default().push(duplex);
        }
    }

    /// Ends the connections that have passed their deadlines. Returns the time until the next deadline.
    fn keep_deadlines(&mut self) -> Option<Duration> {
        let now = Instant::now();
        let later = self.0.split_off(&now);
        let passed = mem::replace(&mut self.0, later);
        passed.into_values().flatten().for_each(|duplex| self.keep(duplex));
        self.0.first_key_value().map(|(at, _)| at.saturating_duration_since(now))
    }
}

/// Connections that handlers have dropped.
#[derive(Default)]
struct Dropped {
    /// Connections whose handlers may return soon, ordered by the time to take them over. The delay is constant, so
    /// new ones are appended.
    recent: VecDeque<(Instant, Weak<Duplex>)>,
    /// Connections from which this thread receives.
    taken_over: Vec<TakenOver>,
}

struct TakenOver {
    duplex: Arc<Duplex>,
    events: PollFlags,
    until: Option<Instant>,
}

impl TakenOver {
    fn new(duplex: Arc<Duplex>, wants: Wants) -> Self {
        Self {
            duplex,
            events: wants.events,
            until: wants.due.and_then(|due| Instant::now().checked_add(due)),
        }
    }
}

impl Dropped {
    fn is_empty(&self) -> bool {
        self.recent.is_empty() && self.taken_over.is_empty()
    }

    /// Takes over the connections after their delay, if their handlers have not returned.
    fn take_over(&mut self) {
        let now = Instant::now();
        let passed = self.recent.partition_point(|(at, _)| *at <= now);
        for (_, duplex) in self.recent.drain(..passed) {
            let Some(duplex) = duplex.upgrade() else { continue };
            if duplex.handler.has_returned() {
                continue;
            }
            if !duplex.handler.take_over() {
                // The thread already receives from it, and now the application has dropped the last handle.
                self.taken_over.retain(|taken| !Arc::ptr_eq(&taken.duplex, &duplex));
            }
            if let Some(wants) = duplex.drive_unattended() {
                self.taken_over.push(TakenOver::new(duplex, wants));
            }
        }
    }

    /// Returns the time until there is work without any input.
    fn due(&self) -> Option<Duration> {
        let untils = self.taken_over.iter().filter_map(|taken| taken.until);
        let next = self.recent.front().map(|(at, _)| *at).into_iter().chain(untils).min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn sockets(&self) -> impl Iterator<Item = (&Arc<Duplex>, PollFlags)> {
        self.taken_over.iter().map(|taken| (&taken.duplex, taken.events))
    }

    /// Receives from the connections that are ready or have a deadline that has passed.
    fn receive_ready(&mut self, mut ready: impl Iterator<Item = bool>) {
        let now = Instant::now();
        let mut waiting = Vec::with_capacity(self.taken_over.len());
        for taken in self.taken_over.drain(..) {
            let is_ready = ready.next().unwrap_or(false);
            if !is_ready && taken.until.is_none_or(|until| now < until) {
                waiting.push(taken);
            } else if let Some(wants) = taken.duplex.drive_unattended() {
                waiting.push(TakenOver::new(taken.duplex, wants));
            }
        }
        self.taken_over = waiting;
    }
}

/// Waits for work. Returns one flag for each connection: `true` if it is ready or has ended.
fn wait_for<'d>(
    woken: &UnixStream,
    sockets: impl Iterator<Item = (&'d Arc<Duplex>, PollFlags)>,
    timeout: Option<Duration>,
) -> Vec<bool> {
    let mut fds = vec![PollFd::new(woken, PollFlags::IN)];
    fds.extend(sockets.map(|(duplex, events)| PollFd::new(duplex.socket(), events)));
    if wait(&mut fds, timeout).is_err() {
        // Memory is short, which is temporary. Meanwhile, try all connections.
        thread::yield_now();
        return vec![true; fds.len() - 1];
    }
    fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect()
}

/// Writes the output that the socket accepts without waiting. Returns `true` if no output is left.
fn flush(duplex: &Duplex) -> bool {
    loop {
        if duplex.flush_without_waiting() != Flushed::Done {
            return false;
        }
        duplex.blocked.0.store(false, Ordering::SeqCst);
        // Until now, senders have left their output to this thread, and so have threads that the socket refused.
        if duplex.driver().is_written() {
            return true;
        }
        if duplex.blocked.0.swap(true, Ordering::SeqCst) {
            // Another thread has handed the connection over again.
            return true;
        }
    }
}

fn flusher() -> MutexGuard<'static, Option<Flusher>> {
    FLUSHER.lock().unwrap_or_else(PoisonError::into_inner)
}
