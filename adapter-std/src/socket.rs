//! A connected socket, read by one thread and written by others.

use std::{
    io::{self, ErrorKind, IoSlice},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{RecvFlags, recv},
};
use ws_transport::{Addresses, write_now};

/// How many slices one write takes.
const SLICES: usize = 16;

#[derive(Debug)]
pub(crate) struct Socket {
    socket: socket2::Socket,
    addresses: Addresses,
}

/// The timeout that the socket's reads have at the moment, so that it is set only when it changes.
#[derive(Debug, Default)]
pub(crate) struct ReadTimeout(Option<Duration>);

impl ReadTimeout {
    /// Whether it is a little longer than this.
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
    /// Takes a connected socket. `peer` is the peer's address as far as it is known already.
    pub(crate) fn new(socket: socket2::Socket, peer: Option<SocketAddr>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        let addresses = Addresses::of(&socket, peer);
        Ok(Self { socket, addresses })
    }

    /// Reads what is there, or waits for it; a timeout of zero does not wait. `Ok(None)` means that nothing came in
    /// time.
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

    /// Appends what is there, as much as there is capacity for. `Ok(None)` means that nothing is.
    pub(crate) fn read_now(&self, bytes: &mut Vec<u8>) -> io::Result<Option<usize>> {
        match recv(&self.socket, spare_capacity(bytes), RecvFlags::DONTWAIT) {
            Ok((_, read)) => Ok(Some(read)),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes as much of `bytes` as the socket takes at once, with one system call. `Ok(None)` means that it takes none.
    pub(crate) fn write(&self, bytes: &impl bytes::Buf) -> io::Result<Option<usize>> {
        let first = bytes.chunk();
        if first.len() == bytes.remaining() {
            return write_now(&self.socket, &[IoSlice::new(first)]);
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let filled = bytes.chunks_vectored(&mut slices);
        write_now(&self.socket, &slices[..filled])
    }

    /// Writes all of `bytes`. Returns `false` if the socket takes none for `pause`, or not all until `deadline`.
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

    /// Waits until the socket is ready for one of these. Returns `false` if it is not in time.
    pub(crate) fn is_ready(&self, events: PollFlags, timeout: Option<Duration>) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, events)];
        wait(&mut fds, timeout)?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Ends one direction or both. Threads that are waiting in it wake up.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        // It fails where the peer was faster, and then there is nothing left to do.
        let _ = self.socket.shutdown(how);
    }

    pub(crate) const fn addresses(&self) -> Addresses {
        self.addresses
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Waits for one of these events; being interrupted counts as one.
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

/// A timeout that is a little longer, so that a deadline that draws nearer or is put off is told to the socket
/// now and then and not before every read.
fn longer(timeout: Duration) -> Duration {
    /// Longer than anybody waits, and short enough for every system.
    const LONGEST: Duration = Duration::from_secs(1 << 30);
    timeout.min(LONGEST) * 17 / 16 + Duration::from_millis(1)
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
