//! Writes for connections whose peers read too slowly, so that nobody who sends to them has to wait. And keeps the
//! deadlines of connections that one thread closes while another one is parked in a read, which only data or the end of
//! the socket can wake.
//!
//! One thread does it for the whole process, and only while there is such a connection.

use std::{
    collections::BTreeMap,
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

use crate::{
    duplex::{Duplex, Flushed},
    socket::wait,
};

/// How long the thread stays when nothing is left to write.
const IDLE: Duration = Duration::from_secs(1);

static FLUSHER: Mutex<Option<Flusher>> = Mutex::new(None);

/// The thread, as those see it who have work for it.
struct Flusher {
    new: Vec<Arc<Duplex>>,
    new_closing: Vec<Weak<Duplex>>,
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
    if !hand_over(|flusher| flusher.new.push(duplex.clone())) {
        // The thread that receives writes too, though later.
        duplex.blocked.0.store(false, Ordering::SeqCst);
    }
}

/// Ends a connection that is closing when its peer misses the deadline. The connection is held weakly: it may end before.
pub(crate) fn watch_closing(duplex: &Arc<Duplex>) {
    // Without a thread, the one that receives still keeps the deadlines that it knew when it began to wait.
    hand_over(|flusher| flusher.new_closing.push(Arc::downgrade(duplex)));
}

/// Hands something over to the thread, which is started for it. Returns `false` if there can be none.
fn hand_over(add: impl FnOnce(&mut Flusher)) -> bool {
    let mut flusher = flusher();
    if flusher.is_none() {
        let Ok(wake) = start() else { return false };
        *flusher = Some(Flusher { new: Vec::new(), new_closing: Vec::new(), wake });
    }
    if let Some(flusher) = &mut *flusher {
        add(flusher);
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
    let (mut blocked, mut closing) = (Vec::new(), Closing::default());
    loop {
        let new_closing = match &mut *flusher() {
            Some(flusher) => {
                blocked.append(&mut flusher.new);
                mem::take(&mut flusher.new_closing)
            }
            None => Vec::new(),
        };
        new_closing.into_iter().for_each(|duplex| closing.keep(duplex));
        let due = blocked.iter().filter_map(|duplex: &Arc<Duplex>| duplex.keep_output_deadline()).min();
        let due = due.into_iter().chain(closing.keep_deadlines()).min();
        let idle = blocked.is_empty() && closing.0.is_empty();
        let ready = wait_for(woken, &blocked, if idle { Some(IDLE) } else { due });
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
        if idle && blocked.is_empty() {
            let mut flusher = flusher();
            let is_new = |flusher: &Flusher| !flusher.new.is_empty() || !flusher.new_closing.is_empty();
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

/// Waits until there is something to do. Returns which connections can be written to, or have ended.
fn wait_for(woken: &UnixStream, blocked: &[Arc<Duplex>], timeout: Option<Duration>) -> Vec<bool> {
    let mut fds = vec![PollFd::new(woken, PollFlags::IN)];
    fds.extend(blocked.iter().map(|duplex| PollFd::new(duplex.socket(), PollFlags::OUT)));
    if wait(&mut fds, timeout).is_err() {
        // Memory is short, which passes; meanwhile each is tried.
        thread::yield_now();
        return vec![true; blocked.len()];
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
