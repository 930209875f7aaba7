use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread, ThreadId},
    time::{Duration, Instant},
};

use ws_core::Message;
use ws_sessions::{Callbacks, ReconnectControl, ReconnectRun, Session, WhileDisconnected};
use ws_transport::Error;

use super::{CancelHandle, Reconnecting, handle::attend};

/// A client whose callbacks run in a separate thread, and that connects again by itself. [`Reconnecting::start`] creates it. Clones
/// are handles to the same client. Dropping them does not stop it.
#[derive(Clone, Debug)]
pub struct ReconnectingClient {
    control: Arc<ReconnectControl>,
    cancel: CancelHandle,
    thread: Arc<OnceLock<ThreadId>>,
}

impl ReconnectingClient {
    pub(super) fn new(cancel: CancelHandle, while_disconnected: WhileDisconnected) -> Self {
        let control = Arc::new(ReconnectControl::new(while_disconnected));
        Self { control, cancel, thread: Arc::default() }
    }

    /// Returns the session of the present connection. `None` while the client is not connected.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.control.session()
    }

    /// Sends a message on the present connection, see [`Session::send`]. While the client is not connected, it follows
    /// [`WhileDisconnected`], but in a callback it does not wait.
    ///
    /// The message goes to one connection. If that connection breaks, the message may be lost, and it is not sent again.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] with [`NotConnected`](std::io::ErrorKind::NotConnected) if the client is not connected for as long as
    ///   [`WhileDisconnected`] permits, or if it has ended.
    /// - Returns the errors of [`Session::send`] that leave the connection unchanged.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let (message, mut refused) = (message.into(), None);
        let timeout = if self.is_in_callback() { Duration::ZERO } else { self.control.send_timeout() };
        let sent = block(Some(timeout), |cx| self.control.poll_send(cx, &message, &mut refused));
        sent.unwrap_or_else(|| Err(ReconnectControl::send_timed_out()))
    }

    /// Waits until the client has ended and the last callback has returned. Inside a callback of this client, it returns at once.
    ///
    /// # Errors
    ///
    /// Returns the error with which the client has ended, to the first caller: one that is not
    /// [transient](Error::is_transient), the last one that the policy permits, or the panic of a callback.
    pub fn wait(&self) -> Result<(), Error> {
        if self.is_in_callback() {
            return Ok(());
        }
        block(None, |cx| self.control.poll_ended(cx));
        self.control.result()
    }

    /// Ends the client at once if it waits or connects. If it is connected, closes the connection with 1000, and waits for at most
    /// `timeout`. Then aborts the connection. Returns `true` if the last callback has returned in time.
    ///
    /// Inside a callback of this client, this only begins to close, and returns `false`.
    pub fn stop(&self, timeout: Duration) -> bool {
        self.begin_stop();
        if self.is_in_callback() {
            return false;
        }
        let in_time = block(Some(timeout), |cx| self.control.poll_ended(cx)).is_some();
        if !in_time {
            self.control.abort();
        }
        in_time
    }

    /// Begins to end the client like [`stop`](Self::stop), and does not wait.
    pub fn begin_stop(&self) {
        self.control.begin_stop();
        self.cancel.cancel();
    }

    /// Runs one connection after the other.
    pub(super) fn run(&self, mut connections: Reconnecting, callbacks: &Arc<Callbacks>) {
        let run = ReconnectRun::new(self.control.clone());
        let _ = self.thread.set(thread::current().id());
        let error = loop {
            let (ws, response, path) = match connections.connect() {
                Some(Ok(connected)) => connected,
                Some(Err(error)) => break Some(error),
                None => break None,
            };
            let (mut attendance, duplex) = attend(ws, path, callbacks.clone());
            run.attend(&attendance);
            attendance.connect(Some(&response));
            let ended = duplex.receive_each(|event| attendance.handle(event));
            if let Err(panicked) = run.finish(attendance, ended) {
                break Some(panicked);
            }
        };
        // The functions of the application are dropped before the end is visible.
        drop(connections);
        run.end(error);
    }

    fn is_in_callback(&self) -> bool {
        self.thread.get() == Some(&thread::current().id())
    }
}

/// Blocks until `poll` is ready. Returns `None` after `timeout`.
fn block<T>(timeout: Option<Duration>, mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Option<T> {
    let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(value) = poll(&mut Context::from_waker(&waker)) {
            return Some(value);
        }
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(Duration::ZERO) => return None,
            Some(left) => thread::park_timeout(left),
            None => thread::park(),
        }
    }
}

/// Wakes a thread that blocks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
