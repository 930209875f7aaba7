//! Writes for connections whose peers read too slowly, so that nobody who sends to them has to wait.
//!
//! One thread does it for the whole process, and only while there is such a connection.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
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
    let mut flusher = flusher();
    if let Some(flusher) = &mut *flusher {
        flusher.new.push(duplex.clone());
        // If it is full, the thread wakes up anyway.
        let _ = flusher.wake.write(&[1]);
        return;
    }
    match start() {
        Ok(wake) => *flusher = Some(Flusher { new: vec![duplex.clone()], wake }),
        // The thread that receives writes too, though later.
        Err(_) => duplex.blocked.0.store(false, Ordering::SeqCst),
    }
}

fn start() -> io::Result<UnixStream> {
    let (wake, woken) = UnixStream::pair()?;
    wake.set_nonblocking(true)?;
    woken.set_nonblocking(true)?;
    thread::Builder::new().name("ws-flusher".into()).spawn(move || run(&woken))?;
    Ok(wake)
}

fn run(woken: &UnixStream) {
    let mut blocked = Vec::new();
    loop {
        let idle = {
            if let Some(flusher) = &mut *flusher() {
                blocked.append(&mut flusher.new);
            }
            blocked.is_empty()
        };
        let due = blocked.iter().filter_map(|duplex: &Arc<Duplex>| duplex.keep_output_deadline()).min();
        let ready = wait_for(woken, &blocked, if idle { Some(IDLE) } else { due });
        // Not much is ever there; what is left wakes it once more.
        let _ = (&*woken).read(&mut [0; 64]);
        let mut ready = ready.into_iter();
        blocked.retain(|duplex| !ready.next().unwrap_or(false) || !flush(duplex));
        if idle && blocked.is_empty() {
            let mut flusher = flusher();
            if flusher.as_ref().is_none_or(|flusher| flusher.new.is_empty()) {
                *flusher = None;
                return;
            }
        }
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
