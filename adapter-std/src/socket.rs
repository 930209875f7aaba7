//! A connected socket, read by one thread and written by others.

use std::{
    io::{self, ErrorKind, IoSlice, Read as _},
    net::{Shutdown, SocketAddr},
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use ws_transport::{Patience, write};

/// How many slices one write takes.
const SLICES: usize = 16;

#[derive(Debug)]
pub(crate) struct Socket {
    socket: socket2::Socket,
}

/// The timeout that the socket's reads have at the moment, so that it is set only when it changes.
#[derive(Debug, Default)]
pub(crate) struct ReadTimeout(Option<Duration>);

impl Socket {
    pub(crate) fn new(socket: socket2::Socket, write_timeout: Option<Duration>) -> io::Result<Self> {
        socket.set_nonblocking(false)?;
        if let Some(timeout) = write_timeout {
            socket.set_write_timeout(Some(timeout.max(Duration::from_millis(1))))?;
        }
        Ok(Self { socket })
    }

    /// Reads what is there, or waits for it. `Ok(None)` means that nothing came in time.
    pub(crate) fn read(
        &self,
        buffer: &mut [u8],
        timeout: Option<Duration>,
        current: &mut ReadTimeout,
    ) -> io::Result<Option<usize>> {
        let timeout = timeout.map(coarse);
        if timeout != current.0 {
            self.socket.set_read_timeout(timeout)?;
            current.0 = timeout;
        }
        match (&self.socket).read(buffer) {
            Err(error) if is_timeout(&error) || error.kind() == ErrorKind::Interrupted => Ok(None),
            result => result.map(Some),
        }
    }

    /// Writes all that `bytes` holds, or as much as goes without waiting; tells whether that was all.
    pub(crate) fn write_all(&self, bytes: &mut impl bytes::Buf, patience: Patience) -> io::Result<bool> {
        while bytes.has_remaining() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let filled = bytes.chunks_vectored(&mut slices);
            match write(&self.socket, &slices[..filled], patience)? {
                Some(written) => bytes.advance(written),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Waits until the socket can be written to or, if asked for, read from.
    pub(crate) fn wait_writable(&self, or_readable: bool, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = PollFlags::OUT;
        if or_readable {
            events |= PollFlags::IN;
        }
        wait(&mut [PollFd::new(&self.socket, events)], timeout)
    }

    /// Whether something, be it the end, can be read at once.
    pub(crate) fn is_readable(&self) -> io::Result<bool> {
        let mut fds = [PollFd::new(&self.socket, PollFlags::IN)];
        wait(&mut fds, Some(Duration::ZERO))?;
        Ok(!fds[0].revents().is_empty())
    }

    /// Ends one direction or both. Threads that are waiting in it wake up.
    pub(crate) fn shutdown(&self, how: Shutdown) {
        // It fails where the peer was faster, and then there is nothing left to do.
        let _ = self.socket.shutdown(how);
    }

    pub(crate) fn peer_addr(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()?.as_socket()
    }

    pub(crate) fn local_addr(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
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
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

pub(crate) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// A timeout that is up to an eighth longer, so that a deadline that draws nearer is told to the socket a
/// few times and not before every read.
fn coarse(timeout: Duration) -> Duration {
    let millis = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).saturating_add(1).min(1 << 40);
    let step = (millis / 8).next_power_of_two().max(2) / 2;
    Duration::from_millis(millis.div_ceil(step) * step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_coarse_timeout_is_never_shorter_and_at_most_an_eighth_longer() {
        for millis in (0..2000).chain((2000..100_000).step_by(77)) {
            let coarse = coarse(Duration::from_millis(millis)).as_millis() as u64;
            assert!(coarse > millis && coarse <= millis + 2 + millis / 8, "{millis} became {coarse}");
        }
        assert!(coarse(Duration::MAX) > Duration::from_secs(1 << 20));
    }

    #[test]
    fn a_deadline_that_draws_nearer_changes_the_timeout_seldom() {
        let mut values: Vec<_> = (1..20_000).map(|millis| coarse(Duration::from_millis(millis))).collect();
        values.dedup();
        assert!(values.len() < 200, "{} changes in 20 s", values.len());
    }
}
