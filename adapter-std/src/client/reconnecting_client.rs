use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use ws_core::{CloseCode, Message, Response};
use ws_sessions::{Callbacks, Panicked, ReconnectState, Session, WhileDisconnected, is_refused_at_end};
use ws_transport::Error;

use super::{CancelHandle, Reconnecting, handle::attend};
use crate::{WebSocket, duplex::Duplex};

/// A client whose callbacks run in a separate thread, and that connects again by itself. [`Reconnecting::start`] creates it. Clones
/// are handles to the same client. Dropping them does not stop it.
#[derive(Clone)]
pub struct ReconnectingClient(Arc<Inner>);

struct Inner {
    state: Mutex<ReconnectState>,
    changed: Condvar,
    duplex: Mutex<Weak<Duplex>>,
    cancel: CancelHandle,
    while_disconnected: WhileDisconnected,
    thread: OnceLock<ThreadId>,
}

/// Marks the client as ended when dropped, even if a function of the application has panicked.
struct EndGuard<'a>(&'a ReconnectingClient);

impl ReconnectingClient {
    pub(super) fn new(cancel: CancelHandle, while_disconnected: WhileDisconnected) -> Self {
        Self(Arc::new(Inner {
            state: Mutex::default(),
            changed: Condvar::new(),
            duplex: Mutex::default(),
            cancel,
            while_disconnected,
            thread: OnceLock::new(),
        }))
    }

    /// Returns the session of the present connection. `None` while the client is not connected.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.state().session()
    }

    /// Sends a message on the present connection, see [`Session::send`]. While the client is not connected, it follows
    /// [`WhileDisconnected`], but in a callback it does not wait.
    ///
    /// The message goes to one connection. If that connection breaks, the message may be lost, and it is not sent again.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Io`] with [`NotConnected`](io::ErrorKind::NotConnected) if the client is not connected for as long as
    ///   [`WhileDisconnected`] permits, or if it has ended.
    /// - Returns the errors of [`Session::send`] that leave the connection unchanged.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        let message = message.into();
        let wait = match self.0.while_disconnected {
            WhileDisconnected::Wait(wait) if !self.is_in_callback() => wait,
            _ => Duration::ZERO,
        };
        let (until, mut refused) = (Instant::now().checked_add(wait), None);
        loop {
            let session = self.until(until, |state| state.session_after(refused));
            let session = session.unwrap_or_else(|| Err(ReconnectState::disconnected_error()))?;
            match session.send(message.as_borrowed()) {
                Err(error) if is_refused_at_end(&error) => refused = Some(session.id()),
                sent => return sent,
            }
        }
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
        self.until(None, ReconnectState::ended).unwrap_or(Ok(()))
    }

    /// Ends the client at once if it waits or connects. If it is connected, closes the connection with 1000, and waits for at most
    /// `timeout`. Then aborts the connection. Returns `true` if the last callback has returned in time.
    ///
    /// Inside a callback of this client, this only begins to close, and returns `false`.
    pub fn stop(&self, timeout: Duration) -> bool {
        self.begin_stop();
        let has_ended = |state: &mut ReconnectState| state.has_ended().then_some(());
        if self.is_in_callback() {
            return false;
        }
        if self.until(Instant::now().checked_add(timeout), has_ended).is_some() {
            return true;
        }
        let duplex = self.0.duplex.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        duplex.inspect(|duplex| duplex.abandon());
        false
    }

    /// Begins to end the client like [`stop`](Self::stop), and does not wait.
    pub fn begin_stop(&self) {
        let session = self.state().stop();
        self.0.changed.notify_all();
        self.0.cancel.cancel();
        // It cannot fail: this code and reason can be sent.
        session.inspect(|session| drop(session.close(CloseCode::NORMAL_CLOSURE, "")));
    }

    /// Runs the connections until there are no more.
    pub(super) fn run(&self, mut connections: Reconnecting, callbacks: &Arc<Callbacks>) {
        let _end = EndGuard(self);
        let _ = self.0.thread.set(thread::current().id());
        let error = loop {
            match connections.connect() {
                Some(Ok((ws, response, path))) => {
                    if let Err(panicked) = self.run_one(ws, &response, path, callbacks.clone()) {
                        break Some(panicked);
                    }
                }
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        // The functions of the application are dropped before the end is visible.
        drop(connections);
        self.state().end(error);
    }

    /// Runs one connection to its end. Returns the panic of a callback.
    fn run_one(
        &self,
        ws: WebSocket,
        response: &Response,
        path: String,
        callbacks: Arc<Callbacks>,
    ) -> Result<(), Error> {
        let (mut attendance, duplex) = attend(ws, path, callbacks);
        *self.0.duplex.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&duplex);
        if !self.state().connected(attendance.session()) {
            self.begin_stop();
        }
        self.0.changed.notify_all();
        attendance.connect(Some(response));
        let ended = duplex.receive_each(|event| attendance.handle(event));
        self.state().disconnected();
        match attendance.finish(ended) {
            // The callbacks have already received other errors.
            Err(error) if error.is::<Panicked>() => Err(Error::Io(io::Error::other(error))),
            _ => Ok(()),
        }
    }

    /// Waits until `check` returns a value. Returns `None` at `until`.
    fn until<T>(
        &self,
        until: Option<Instant>,
        mut check: impl FnMut(&mut ReconnectState) -> Option<T>,
    ) -> Option<T> {
        let mut state = self.state();
        loop {
            if let Some(value) = check(&mut state) {
                return Some(value);
            }
            state = match until.map(|until| until.saturating_duration_since(Instant::now())) {
                Some(Duration::ZERO) => return None,
                Some(left) => {
                    self.0.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
                }
                None => self.0.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn is_in_callback(&self) -> bool {
        self.0.thread.get() == Some(&thread::current().id())
    }

    fn state(&self) -> MutexGuard<'_, ReconnectState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        self.0.state().end(None);
        self.0.0.changed.notify_all();
    }
}

impl fmt::Debug for ReconnectingClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectingClient").field("session", &self.session()).finish_non_exhaustive()
    }
}
