//! Clients with callbacks that connect again by themselves.

use std::{io, time::Duration};

use ws_transport::Error;

use crate::{Session, SessionId};

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
#[derive(Debug, Default)]
pub struct ReconnectState {
    session: Option<Session>,
    is_stopping: bool,
    has_ended: bool,
    error: Option<Error>,
}

impl ReconnectState {
    /// Sets the session of the present connection. Returns `false` if it has to be closed, because the application has stopped the
    /// client.
    pub fn connected(&mut self, session: &Session) -> bool {
        self.session = Some(session.clone());
        !self.is_stopping
    }

    /// Records the end of the present connection.
    pub fn disconnected(&mut self) {
        self.session = None;
    }

    /// Stops the client. Returns the session that has to be closed.
    pub fn stop(&mut self) -> Option<Session> {
        self.is_stopping = true;
        self.session.clone()
    }

    /// Records that no connection and no callback follows. Only the first call has an effect.
    pub fn end(&mut self, error: Option<Error>) {
        if !self.has_ended {
            (self.has_ended, self.session, self.error) = (true, None, error);
        }
    }

    /// Returns the present session.
    #[must_use]
    pub fn session(&self) -> Option<Session> {
        self.session.clone()
    }

    /// Returns `true` if the application has stopped the client.
    #[must_use]
    pub const fn is_stopping(&self) -> bool {
        self.is_stopping
    }

    /// Returns `true` if no connection and no callback follows.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.has_ended
    }

    /// Returns the end of the client, with its error for the first caller. `None` before the end.
    pub fn ended(&mut self) -> Option<Result<(), Error>> {
        self.has_ended.then(|| self.error.take().map_or(Ok(()), Err))
    }

    /// Returns the session for a message that the session `refused` did not take, because it has ended. `None`: wait.
    #[must_use]
    pub fn session_after(&self, refused: Option<SessionId>) -> Option<Result<Session, Error>> {
        if self.has_ended || self.is_stopping {
            return Some(Err(disconnected("the client has ended and does not connect again")));
        }
        self.session.as_ref().filter(|session| Some(session.id()) != refused).cloned().map(Ok)
    }

    /// Returns the error of a message that was to be sent while the client was not connected.
    #[must_use]
    pub fn disconnected_error() -> Error {
        disconnected("the client is not connected, and connects again later")
    }
}

fn disconnected(text: &str) -> Error {
    Error::Io(io::Error::new(io::ErrorKind::NotConnected, text))
}

/// Returns `true` if a session has not taken a message because it has ended.
#[must_use]
pub fn is_refused_at_end(error: &Error) -> bool {
    match error {
        Error::Closed(_) | Error::Disconnected(_) => true,
        Error::Io(error) => error.kind() == io::ErrorKind::NotConnected,
        _ => false,
    }
}
