use std::{
    net::Shutdown,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
    time::Duration,
};

use rustix::event::{PollFd, PollFlags};
use ws_transport::Error;

use crate::socket::wait;

/// A handle that ends a blocking [`connect`](crate::Client::connect) from another thread. It has no effect on connections that
/// are open.
///
/// ```no_run
/// use std::{thread, time::Duration};
/// use ws_std::{CancelHandle, Client, Error};
///
/// let cancel = CancelHandle::new()?;
/// let client = Client::new("ws://example.com/").cancel_with(&cancel);
/// let connecting = thread::spawn(move || client.connect());
/// cancel.cancel();
/// assert!(matches!(connecting.join().unwrap(), Err(Error::Cancelled)));
/// # Ok::<(), ws_std::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct CancelHandle(Arc<[UnixStream; 2]>);

impl CancelHandle {
    /// Creates a handle. It needs two file descriptors.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Io`] if no more file descriptors are available.
    pub fn new() -> Result<Self, Error> {
        let (one, other) = UnixStream::pair()?;
        Ok(Self(Arc::new([one, other])))
    }

    /// Ends all calls of [`connect`](crate::Client::connect) that use this handle, now and later. They return
    /// [`Error::Cancelled`].
    pub fn cancel(&self) {
        // It fails if it was called before.
        let _ = self.0[0].shutdown(Shutdown::Write);
    }

    /// Returns `true` if [`cancel`](Self::cancel) was called.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        let mut fds = [PollFd::new(self, PollFlags::IN)];
        wait(&mut fds, Some(Duration::ZERO)).is_ok() && !fds[0].revents().is_empty()
    }
}

/// Readable after the cancellation.
impl AsFd for CancelHandle {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0[1].as_fd()
    }
}

/// Waits of a client that connects, which end when the client is cancelled.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits(pub(super) Vec<CancelHandle>);

impl Waits {
    /// Waits for one of these events. Returns the indices of the file descriptors that are ready.
    pub(super) fn wait<'fd>(
        &'fd self,
        fds: impl IntoIterator<Item = (BorrowedFd<'fd>, PollFlags)>,
        timeout: Option<Duration>,
    ) -> Result<Vec<usize>, Error> {
        let mut fds: Vec<_> =
            fds.into_iter().map(|(fd, events)| PollFd::from_borrowed_fd(fd, events)).collect();
        let count = fds.len();
        fds.extend(self.0.iter().map(|cancel| PollFd::new(cancel, PollFlags::IN)));
        wait(&mut fds, timeout)?;
        let ready: Vec<_> = (0..fds.len()).filter(|&at| !fds[at].revents().is_empty()).collect();
        if ready.iter().any(|&at| at >= count) { Err(Error::Cancelled) } else { Ok(ready) }
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.iter().any(CancelHandle::is_cancelled)
    }
}
