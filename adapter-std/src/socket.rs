//! A connected socket. One thread reads it, and others write it.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, recv},
};
use ws_transport::{
    Addresses, Evict,
    work::{self, Work},
    write_now,
};

/// Maximum number of slices in one write.
const MAX_SLICES: usize = 16;

#[derive(Debug)]
pub(crate) struct Socket {
    socket: socket2::Socket,
    addresses: Addresses,
}

/// The current read timeout of the socket. It is stored so that the socket option is set only when it changes.
#[derive(Debug, Default)]
pub(crate) struct ReadTimeout(Option<Duration>);

impl ReadTimeout {
    /// Returns `true` if the current timeout is equal to `timeout` or a little longer.
    fn serves(&self, timeout: Option<Duration>) -> bool {
        match (self.0, timeout) {
            (Some(set), Some(timeout)) => {
                timeout < set && set - timeout <= set / 8 + Duration::from_millis(1)
            }
            (set, timeout) => set == timeout,
        }
    }
}

impl Socket {
    /// Returns the socket of the operating system.
    pub(crate) const fn get_ref(&self) -> &socket2::Socket {
        &self.socket
    }

    /// Takes over a connected socket. `peer` is the peer's address if it is already known.
    pub(crate) fn new(socket: socket2::Socket, peer: Option<SocketAddr>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        let addresses = Addresses::of(&socket, peer);
        Ok(Self { socket, addresses })
    }

    /// Reads available bytes, or waits for them. A timeout of zero does not wait. `Ok(None)` means that no bytes
    /// arrived in time.
    pub(crate) fn read(
        &self,
        buffer: &mut [u8],
        timeout: Option<Duration>,
        current: &mut ReadTimeout,
    ) -> io::Result<Option<usize>> {
        let mut flags = RecvFlags::empty();
        if timeout == Some(Duration::ZERO) {
            flags = RecvFlags::DONTWAIT;
        } else if !current.serves(timeout) {
            current.0 = timeout.map(longer);
            self.socket.set_read_timeout(current.0)?;
        }
        match recv(&self.socket, buffer, flags) {
            Ok((read, _)) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Appends available bytes up to the capacity of `bytes`. `Ok(None)` means that none are available.
    pub(crate) fn read_now(&self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        match recv(&self.socket, spare_capacity(bytes), RecvFlags::DONTWAIT) {
            Ok((_, read)) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes with one system call, without waiting. `Ok(None)` means that the socket accepts no bytes for now.
    pub(crate) fn write(&self, bytes: &impl bytes::Buf) -> io::Result<Option<usize>> {
        let first = bytes.chunk();
        let written = if first.len() == bytes.remaining() {
            write_now(&self.socket, &[IoSlice::new(first)])?
        } else {
            let mut slices = [IoSlice::new(&[]); MAX_SLICES];
            let filled = bytes.chunks_vectored(&mut slices);
            write_now(&self.socket, &slices[..filled])?
        };
        work::spend(Work::Write(written.unwrap_or(0)));
        Ok(written)
    }

    /// Writes all of `bytes`. Returns `false` if the socket accepts none for `pause`, or not all until `deadline`.
    pub(crate) fn write_all(
        &self,
        bytes: &mut impl bytes::Buf,
        pause: Option<Duration>,
        deadline: Option<Instant>,
    ) -> io::Result<bool> {
        while bytes.has_remaining() {
            if let Some(written) = self.write(bytes)? {
                bytes.advance(written);
                continue;
            }
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !self.is_ready(PollFlags::OUT, pause.into_iter().chain(left).min())? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Waits until the socket is ready for one of these events. Returns `false` after the timeout.
    pub(crate) fn is_ready(&self, events: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, events)];
        wait(&mut fds, timeout)?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Shuts down one direction or both. Threads that wait for this direction wake up.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        // This fails only if the connection is already gone.
        let _ = self.socket.shutdown(how);
    }

    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }
}

/// Cuts a response.
impl Evict for Socket {
    fn evict(self: Arc<Self>) {
        self.shutdown(Shutdown::Both);
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for one of these events. An interruption counts as an event.
pub(crate) fn wait(fds: &mut [PollFd<'_>], timeout: Option<Duration>) -> io::Result<()> {
    let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
    match poll(fds, timeout.as_ref()) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// Returns a slightly longer timeout. So the socket option changes only now and then, and not before each read, while
/// a deadline comes nearer or is postponed.
fn longer(timeout: Duration) -> Duration {
    /// Longer than any real wait, and short enough for every operating system.
    const MAX_TIMEOUT: Duration = Duration::from_secs(1 << 30);
    timeout.min(MAX_TIMEOUT) * 17 / 16 + Duration::from_millis(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_never_shorter_and_at_most_an_eighth_longer() {
        let mut current = ReadTimeout(Some(Duration::from_millis(1)));
        for millis in (0..2000).chain((2000..100_000).step_by(77)).chain((0..100_000).rev()) {
            let timeout = Duration::from_millis(millis);
            if !current.serves(Some(timeout)) {
                current.0 = Some(longer(timeout));
            }
            let set = current.0.unwrap();
            assert!(
                set > timeout && set <= timeout * 8 / 7 + Duration::from_millis(2),
                "{timeout:?}: {set:?}"
            );
        }
        assert!(longer(Duration::MAX) > Duration::from_secs(1 << 30));
    }

    #[test]
    fn a_deadline_that_draws_nearer_or_is_put_off_changes_the_timeout_seldom() {
        let (mut current, mut changes) = (ReadTimeout::default(), 0);
        let waits = (1..20_000).rev().chain((0..10_000).map(|at| 20_000 - at % 100));
        for timeout in waits.map(Duration::from_millis) {
            if !current.serves(Some(timeout)) {
                (current.0, changes) = (Some(longer(timeout)), changes + 1);
            }
        }
        assert!(changes < 200, "{changes} changes");
        assert!(!current.serves(None) && ReadTimeout::default().serves(None));
    }
}
