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

/// Wakes one thread at a time. Its pair of sockets is created when a thread first has to wait.
#[derive(Debug, Default)]
pub(crate) struct Wake {
    pair: OnceLock<(UnixStream, UnixStream)>,
    is_waiting: AtomicBool,
}

impl Wake {
    /// Maximum duration of a wait without a pair of sockets, if file descriptors are short.
    const MAX_WAIT_WITHOUT_PAIR: Duration = Duration::from_millis(50);

    /// Announces a wait. Call it while holding the lock of the state that the wait depends on. A later
    /// [`wake`](Self::wake) then ends the wait, even before it has begun.
    pub(crate) fn announce(&self) {
        self.is_waiting.store(true, Ordering::SeqCst);
        if self.pair.get().is_none()
            && let Ok((sender, receiver)) = UnixStream::pair()
            && sender.set_nonblocking(true).and_then(|()| receiver.set_nonblocking(true)).is_ok()
        {
            let _ = self.pair.set((sender, receiver));
        }
    }

    /// Waits until the socket is ready or until a [`wake`](Self::wake). Returns `true` if the socket is ready.
    pub(crate) fn wait(
        &self,
        socket: &Socket,
        events: PollFlags,
        timeout: Option<Duration>,
    ) -> io::Result<bool> {
        let Some((_, receiver)) = self.pair.get() else {
            let timeout = timeout
                .map_or(Self::MAX_WAIT_WITHOUT_PAIR, |timeout| timeout.min(Self::MAX_WAIT_WITHOUT_PAIR));
            return socket.is_ready(events, Some(timeout));
        };
        let mut fds = [PollFd::new(socket, events), PollFd::new(receiver, PollFlags::IN)];
        let waited = wait(&mut fds, timeout);
        let (is_ready, is_woken) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if !self.is_waiting.swap(false, Ordering::SeqCst) || is_woken {
            // A wake-up was sent or is being sent. If it arrives after this read, it only ends the next wait too
            // early.
            let _ = (&*receiver).read(&mut [0; 8]);
        }
        waited.map(|()| is_ready)
    }

    /// Wakes the waiting thread, if any.
    pub(crate) fn wake(&self) {
        if self.is_waiting.load(Ordering::Relaxed)
            && self.is_waiting.swap(false, Ordering::SeqCst)
            && let Some((sender, _)) = self.pair.get()
        {
            // If the pipe is full, the thread wakes up anyway.
            let _ = (&*sender).write(&[1]);
        }
    }
}
