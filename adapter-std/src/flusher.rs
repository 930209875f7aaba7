//! Writes for connections whose peers read too slowly, so that no sender has to wait. And keeps the
//! deadlines of connections that one thread closes while another one is parked in a read, which only data or the end of
//! the socket can wake. And receives in the place of handlers that have dropped their connections and run on.
//!
//! One thread does it for the whole process, and only while there is such a connection.

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
};

/// How long the thread stays when nothing is left to write.
const IDLE: Duration = Duration::from_secs(1);

static FLUSHER: Mutex<Option<Flusher>> = Mutex::new(None);

/// The thread, as those see it who have work for it.
struct Flusher {
    new: Vec<Arc<Duplex>>,
    new_closing: Vec<Weak<Duplex>>,
    /// Connections that handlers have dropped, and when to take them over.
    new_dropped: Vec<(Instant, Weak<Duplex>)>,
    /// The thread wakes up for a dropped connection anyway, before any new one is to be taken over.
    expects_dropped: bool,
    /// Wakes it.
    wake: UnixStream,
}

/// Whether a connection is in the flusher's care.
#[derive(Debug, Default)]
pub(crate) struct Blocked(AtomicBool);

impl Blocked {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Writes what the connection has to say as soon as its peer reads.
pub(crate) fn watch(duplex: &Arc<Duplex>) {
    if duplex.blocked.0.swap(true, Ordering::SeqCst) {
        return;
    }
    let add = |flusher: &mut Flusher| {
        flusher.new.push(duplex.clone());
        true
    };
    if !hand_over(add) {
        // The thread that receives writes too, though later.
        duplex.blocked.0.store(false, Ordering::SeqCst);
    }
}

/// Ends a connection that is closing when its peer misses the deadline. The connection is held weakly: it may end before.
pub(crate) fn watch_closing(duplex: &Arc<Duplex>) {
    // Without a thread, the one that receives still keeps the deadlines that it knew when it began to wait.
    hand_over(|flusher| {
        flusher.new_closing.push(Arc::downgrade(duplex));
        true
    });
}

/// Receives in the place of a handler that has dropped the receiving half of its connection, and closes the connection if
/// no handle is left; unless the handler returns soon.
pub(crate) fn watch_dropped(duplex: &Arc<Duplex>) {
    // Without a thread, all that waits until the handler returns.
    hand_over(|flusher| {
        flusher.new_dropped.push((Instant::now() + DROP_GRACE, Arc::downgrade(duplex)));
        !mem::replace(&mut flusher.expects_dropped, true)
    });
}

/// Hands something over to the thread, which is started for it, and wakes the thread if `add` returns `true`. Returns
/// `false` if there can be no thread.
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
        // If it is full, the thread wakes up anyway.
        let _ = flusher.wake.write(&[1]);
    }
    true
}

fn start() -> io::Result<UnixStream> {
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    thread::Builder::new().name("ws-flusher".into()).spawn(move || run(&woken))?;
    Ok(wake)
}

fn run(woken: &UnixStream) {
    let (mut blocked, mut closing, mut dropped) = (Vec::new(), Closing::default(), Dropped::default());
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
        let ready = wait_for(woken, sockets, if idle { Some(IDLE) } else { due });
        // Not much is ever there; what is left wakes it once more.
        let _ = (&*woken).read(&mut [0; 64]);
        let mut ready = ready.into_iter();
        blocked.retain(|duplex| {
            let is_flushed = ready.next().unwrap_or(false) && flush(duplex);
            if is_flushed {
                // If it is closing, it waits for the peer's Close from now on.
                closing.keep(Arc::downgrade(duplex));
            }
            !is_flushed
        });
        dropped.attend(ready);
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

/// Connections that are closing, by their next deadlines.
#[derive(Default)]
struct Closing(BTreeMap<Instant, Vec<Weak<Duplex>>>);

impl Closing {
    /// Ends the connection if its deadline has passed, and keeps it until its next one.
    fn keep(&mut self, duplex: Weak<Duplex>) {
        let due = duplex.upgrade().and_then(|duplex| duplex.keep_closing_deadline());
        if let Some(at) = due.and_then(|due| Instant::now().checked_add(due)) {
            self.0.entry(at).or_default().push(duplex);
        }
    }

    /// Ends the connections whose deadlines have passed. Returns how long it is until the next.
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
    /// Those whose handlers may be about to return, by the time at which they are taken over. The pause is always the
    /// same, so that later ones come later.
    recent: VecDeque<(Instant, Weak<Duplex>)>,
    /// Those from which this thread receives.
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

    /// Takes over the connections whose handlers have not returned in time.
    fn take_over(&mut self) {
        let now = Instant::now();
        let passed = self.recent.partition_point(|(at, _)| *at <= now);
        for (_, duplex) in self.recent.drain(..passed) {
            let Some(duplex) = duplex.upgrade() else { continue };
            if duplex.handler.has_returned() {
                continue;
            }
            if !duplex.handler.take_over() {
                // It receives already, and the application has dropped the last handle since.
                self.taken_over.retain(|taken| !Arc::ptr_eq(&taken.duplex, &duplex));
            }
            if let Some(wants) = duplex.attend() {
                self.taken_over.push(TakenOver::new(duplex, wants));
            }
        }
    }

    /// Returns how long it is until there is something to do without any input.
    fn due(&self) -> Option<Duration> {
        let untils = self.taken_over.iter().filter_map(|taken| taken.until);
        let next = self.recent.front().map(|(at, _)| *at).into_iter().chain(untils).min();
        next.map(|at| at.saturating_duration_since(Instant::now()))
    }

    fn sockets(&self) -> impl Iterator<Item = (&Arc<Duplex>, PollFlags)> {
        self.taken_over.iter().map(|taken| (&taken.duplex, taken.events))
    }

    /// Receives from the connections that are ready, or have a deadline that has passed.
    fn attend(&mut self, mut ready: impl Iterator<Item = bool>) {
        let now = Instant::now();
        let mut waiting = Vec::with_capacity(self.taken_over.len());
        for taken in self.taken_over.drain(..) {
            let is_ready = ready.next().unwrap_or(false);
            if !is_ready && taken.until.is_none_or(|until| now < until) {
                waiting.push(taken);
            } else if let Some(wants) = taken.duplex.attend() {
                waiting.push(TakenOver::new(taken.duplex, wants));
            }
        }
        self.taken_over = waiting;
    }
}

/// Waits until there is something to do. Returns which connections are ready, or have ended.
fn wait_for<'d>(
    woken: &UnixStream,
    sockets: impl Iterator<Item = (&'d Arc<Duplex>, PollFlags)>,
    timeout: Option<Duration>,
) -> Vec<bool> {
    let mut fds = vec![PollFd::new(woken, PollFlags::IN)];
    fds.extend(sockets.map(|(duplex, events)| PollFd::new(duplex.socket(), events)));
    if wait(&mut fds, timeout).is_err() {
        // Memory is short, which passes; meanwhile each is tried.
        thread::yield_now();
        return vec![true; fds.len() - 1];
    }
    fds[1..].iter().map(|fd| !fd.revents().is_empty()).collect()
}

/// Writes as much as goes. Returns `true` if that was all.
fn flush(duplex: &Duplex) -> bool {
    loop {
        if duplex.flush_without_waiting() != Flushed::Done {
            return false;
        }
        duplex.blocked.0.store(false, Ordering::SeqCst);
        // Who posted until now has left it to this thread, and so has a thread that was refused by the socket.
        if duplex.driver().is_written() {
            return true;
        }
        if duplex.blocked.0.swap(true, Ordering::SeqCst) {
            // Somebody has handed it over anew.
            return true;
        }
    }
}

fn flusher() -> MutexGuard<'static, Option<Flusher>> {
    FLUSHER.lock().unwrap_or_else(PoisonError::into_inner)
}
