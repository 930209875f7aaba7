//! Clients with callbacks that connect again by themselves.

use std::{
    fmt, io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, Waker},
    time::Duration,
};

use ws_core::{CloseCode, Message};
use ws_transport::Error;

use crate::{Panicked, Session, SessionBackend, SessionGuard, SessionId};

/// Behaviour of a client with callbacks that connects again, if a message is to be sent while it is not connected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhileDisconnected {
    /// The call fails at once.
    #[default]
    Fail,
    /// The call waits for the next connection, at most for this time. No message is queued meanwhile.
    Wait(Duration),
}

/// The state of a client with callbacks that connects again, on behalf of an adapter.
#[derive(Default)]
pub struct ReconnectControl {
    while_disconnected: WhileDisconnected,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    session: Option<Session>,
    backend: Option<Weak<dyn SessionBackend>>,
    is_stopping: bool,
    has_ended: bool,
    error: Option<Error>,
    /// Wakers of the calls that wait for a change.
    wakers: Vec<Waker>,
}

impl ReconnectControl {
    /// Creates the state of a client that is not connected.
    #[must_use]
    pub fn new(while_disconnected: WhileDisconnected) -> Self {
        Self { while_disconnected, state: Mutex::default() }
    }

    /// Returns the session of the present connection.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.state().session.clone()
    }

    /// Returns the time for which a send may wait.
    #[must_use]
    pub const fn send_timeout(&self) -> Duration {
        match self.while_disconnected {
            WhileDisconnected::Fail => Duration::ZERO,
            WhileDisconnected::Wait(timeout) => timeout,
        }
    }

    /// Sends a message once there is a session that takes it. `refused` is a session that has ended before it took the message,
    /// and `None` at first.
    pub fn poll_send(
        &self,
        cx: &mut Context<'_>,
        message: &Message<'_>,
        refused: &mut Option<SessionId>,
    ) -> Poll<Result<(), Error>> {
        loop {
            let session = self.poll_state(cx, |state| {
                if state.has_ended || state.is_stopping {
                    return Some(Err(disconnected("the client has ended and does not connect again")));
                }
                state.session.as_ref().filter(|session| Some(session.id()) != *refused).cloned().map(Ok)
            });
            let Poll::Ready(session) = session? else { return Poll::Pending };
            match session.send(message.as_borrowed()) {
                Err(error) if is_refused_at_end(&error) => *refused = Some(session.id()),
                sent => return Poll::Ready(sent),
            }
        }
    }

    /// Returns the error of a send that has waited for its time.
    #[must_use]
    pub fn send_timed_out() -> Error {
        disconnected("the client is not connected, and connects again later")
    }

    /// Stops the client. Closes its present connection with 1000.
    pub fn begin_stop(&self) {
        let session = self.change(|state| {
            state.is_stopping = true;
            state.session.clone()
        });
        if let Some(session) = session {
            // It cannot fail: this code and reason can be sent.
            let _ = session.close(CloseCode::NORMAL_CLOSURE, "");
        }
    }

    /// Aborts the present connection.
    pub fn abort(&self) {
        let backend = self.state().backend.as_ref().and_then(Weak::upgrade);
        if let Some(backend) = backend {
            backend.abort();
        }
    }

    /// Waits until the application stops the client.
    pub fn poll_stopping(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| state.is_stopping.then_some(()))
    }

    /// Waits until no connection and no callback follows.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.poll_state(cx, |state| state.has_ended.then_some(()))
    }

    /// Returns the error with which the client has ended, to the first caller.
    ///
    /// # Errors
    ///
    /// Returns this error.
    pub fn result(&self) -> Result<(), Error> {
        self.state().error.take().map_or(Ok(()), Err)
    }

    fn poll_state<T>(&self, cx: &mut Context<'_>, check: impl FnOnce(&State) -> Option<T>) -> Poll<T> {
        let mut state = self.state();
        if let Some(value) = check(&state) {
            return Poll::Ready(value);
        }
        if !state.wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.wakers.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (changed, wakers) = {
            let mut state = self.state();
            (change(&mut state), mem::take(&mut state.wakers))
        };
        wakers.into_iter().for_each(Waker::wake);
        changed
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for ReconnectControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReconnectControl").field("session", &self.session()).finish_non_exhaustive()
    }
}

/// The connections of a client that connects again. When it is dropped, the client has ended, even if a function of the application
/// has panicked.
#[derive(Debug)]
pub struct ReconnectRun(Arc<ReconnectControl>);

impl ReconnectRun {
    /// Begins the first connection.
    #[must_use]
    pub const fn new(control: Arc<ReconnectControl>) -> Self {
        Self(control)
    }

    /// Makes a session the present one. Closes it if the application has stopped the client meanwhile.
    pub fn attend(&self, attendance: &SessionGuard) {
        let is_stopping = self.0.change(|state| {
            state.session = Some(attendance.session().clone());
            state.backend = Some(attendance.backend());
            state.is_stopping
        });
        if is_stopping {
            self.0.begin_stop();
        }
    }

    /// Ends the present session.
    ///
    /// # Errors
    ///
    /// Returns the panic of a callback. The callbacks have already received other errors.
    pub fn finish(&self, attendance: SessionGuard, ended: Result<(), Error>) -> Result<(), Error> {
        self.0.change(|state| state.session = None);
        match attendance.finish(ended) {
            Err(error) if error.is::<Panicked>() => Err(Error::Io(io::Error::other(error))),
            _ => Ok(()),
        }
    }

    /// Ends the client with this error, if any.
    pub fn end(self, error: Option<Error>) {
        self.0.state().error = error;
    }
}

impl Drop for ReconnectRun {
    fn drop(&mut self) {
        self.0.change(|state| (state.has_ended, state.session) = (true, None));
    }
}

fn disconnected(text: &str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, text))
}

/// Returns `true` if a session has not taken a message because it has ended.
fn is_refused_at_end(error: &Error) -> bool {
    match error {
        Error::Closed(_) | Error::Disconnected(_) => true,
        Error::Io(error) => error.kind() == io::ErrorKind::NotConnected,
        _ => false,
    }
}
