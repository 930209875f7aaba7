//! Wakes a thread that waits for a socket.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::event::{PollFd, PollFlags};

use crate::socket::{Socket, wait};

/// Wakes one thread at a time. It has a pair of sockets only once a thread had to wait in this way.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pair: OnceLock<(UnixStream, UnixStream)>,
    is_waiting: AtomicBool,
}

impl Wake {
    /// The longest wait where no pair of sockets can be had, because descriptors are short.
    const WITHOUT_PAIR: Duration = Duration::from_millis(50);

    /// Announces a wait. Call it under the lock of the state that the wait depends on: a later
    /// [`wake`](Self::wake) then ends it, even before it has begun.
    pub(crate) fn announce(&self) {
        self.is_waiting.store(true, Ordering::SeqCst);
        if self.pair.get().is_none()
            && let Ok((sender, receiver)) = UnixStream::pair()
            && sender.set_nonblocking(true).and_then(|()| receiver.set_nonblocking(true)).is_ok()
        {
            let _ = self.pair.set((sender, receiver));
        }
    }

    /// Waits until the socket is ready, or until this is woken. Returns `true` if the socket is ready.
    pub(crate) fn wait(
        &self,
        socket: &Socket,
        events: PollFlags,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        let Some((_, receiver)) = self.pair.get() else {
            let timeout = timeout.map_or(Self::WITHOUT_PAIR, |timeout| timeout.min(Self::WITHOUT_PAIR));
            return socket.is_ready(events, Some(timeout));
        };
        let mut fds = [PollFd::new(socket, events), PollFd::new(receiver, PollFlags::IN)];
        let waited = wait(&mut fds, timeout);
        let (is_ready, is_woken) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if !self.is_waiting.swap(false, Ordering::SeqCst) || is_woken {
            // A wake-up was sent, or is being sent. One that comes after this ends the next wait too early, at worst.
            let _ = (&*receiver).read(&mut [0; 8]);
        }
        waited.map(|()| is_ready)
    }

    /// Wakes the thread that waits, if there is one.
    pub(crate) fn wake(&self) {
        if self.is_waiting.load(Ordering::Relaxed)
            && self.is_waiting.swap(false, Ordering::SeqCst)
            && let Some((sender, _)) = self.pair.get()
        {
            // If it is full, the thread wakes up anyway.
            let _ = (&*sender).write(&[1]);
        }
    }
}
