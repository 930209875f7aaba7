use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::SystemTime,
};

use ws_core::{
    Cause, CloseInfo, HandshakeError, ReconnectHint, ReconnectPolicy, ReconnectSchedule, Side, TimeoutKind,
    Timestamp, proxy::ProxyError,
};

use crate::{Clock, Error, seed};

/// An attempt of a client to connect.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReconnectAttempt<'a> {
    /// The number of this attempt since the client was last connected, from 1.
    pub number: u32,
    /// The error of the attempt before, or the end of the last connection. `None` for the first attempt, and after a connection
    /// that the application dropped while it was open.
    pub error: Option<&'a Error>,
}

/// The end of a connection, for a client that connects again. Its [`Driver`](crate::Driver) sets it. `None` stands for an end that
/// neither side has meant as one: the application dropped the connection while it was open, or the peer read too slowly.
pub type EndRecord = Arc<OnceLock<Option<CloseInfo>>>;

/// Decides when a client connects again, without I/O.
///
/// An adapter carries out each [`next_step`](Self::next_step), and calls it again when the application asks for another
/// connection. `C` is its client, and `H` the result of the hook before each attempt: a client, or a future of it.
pub struct Reconnector<C, H> {
    /// The client, without the changes of the hook.
    pub client: C,
    before_attempt: Box<BeforeAttempt<C, H>>,
    schedule: ReconnectSchedule,
    clock: Clock,
    retry_if: Box<dyn FnMut(&Error) -> bool + Send>,
    attempts: u32,
    error: Option<Error>,
    state: State,
}

type BeforeAttempt<C, H> = dyn FnMut(C, &ReconnectAttempt<'_>) -> H + Send;

#[derive(Debug)]
enum State {
    Due,
    Waiting(Timestamp),
    Connected(EndRecord),
    Over,
}

/// The next action of an adapter for a client that connects again.
#[derive(Debug)]
pub enum ReconnectStep {
    /// Wait until this time.
    Wait(Timestamp),
    /// Connect, with the end of the connection in this record, and pass the result to [`Reconnector::connected`] or
    /// [`Reconnector::failed`].
    Connect(EndRecord),
    /// The last connection has ended, with this error or normally.
    End(Option<Error>),
}

impl<C: Clone, H> Reconnector<C, H> {
    /// Creates a client that connects at once, with a hook that changes nothing.
    pub fn new(
        client: C,
        policy: ReconnectPolicy,
        hook: impl FnMut(C, &ReconnectAttempt<'_>) -> H + Send + 'static,
    ) -> Self {
        // Without random bytes, no client connects.
        let seed = seed().unwrap_or_default();
        Self {
            client,
            before_attempt: Box::new(hook),
            schedule: ReconnectSchedule::new(policy, seed),
            clock: Clock::start(),
            retry_if: Box::new(Error::is_transient),
            attempts: 0,
            error: None,
            state: State::Due,
        }
    }

    /// Sets the function that decides about each error.
    pub fn retry_if(&mut self, decide: impl FnMut(&Error) -> bool + Send + 'static) {
        self.retry_if = Box::new(decide);
    }

    /// Sets the function that may change the client before each attempt.
    pub fn before_attempt(&mut self, hook: impl FnMut(C, &ReconnectAttempt<'_>) -> H + Send + 'static) {
        self.before_attempt = Box::new(hook);
    }

    /// Returns the clock of the steps.
    #[must_use]
    pub const fn clock(&self) -> Clock {
        self.clock
    }

    /// Returns the next action.
    pub fn next_step(&mut self) -> ReconnectStep {
        if let State::Connected(record) = &self.state {
            let ended = record.get().cloned().flatten();
            if ended.as_ref().is_some_and(is_own_close) {
                self.state = State::Over;
            } else {
                self.retry(ended.map(of_ended));
            }
        }
        match self.state {
            State::Waiting(at) if self.clock.now() < at => ReconnectStep::Wait(at),
            State::Over => ReconnectStep::End(self.error.take()),
            _ => ReconnectStep::Connect(EndRecord::default()),
        }
    }

    /// Counts an attempt, and calls the hook.
    pub fn begin_attempt(&mut self) -> H {
        self.attempts = self.attempts.saturating_add(1);
        let attempt = ReconnectAttempt { number: self.attempts, error: self.error.as_ref() };
        (self.before_attempt)(self.client.clone(), &attempt)
    }

    /// Reports that the client has connected.
    pub fn connected(&mut self, record: EndRecord) {
        self.schedule.connected(self.clock.now());
        (self.attempts, self.error) = (0, None);
        self.state = State::Connected(record);
    }

    /// Reports that an attempt has failed.
    pub fn failed(&mut self, error: Error) {
        match error {
            Error::Cancelled => self.stop(),
            error => self.retry(Some(error)),
        }
    }

    /// Ends the client. No connection follows.
    pub fn stop(&mut self) {
        (self.state, self.error) = (State::Over, None);
    }

    fn retry(&mut self, error: Option<Error>) {
        let retries = error.as_ref().is_none_or(|error| (self.retry_if)(error));
        let hint = error.as_ref().map_or(ReconnectHint::None, hint_of);
        self.error = error;
        self.state = State::Over;
        if !retries {
            // The peer has closed with 1000, for example. The application does not expect an error then.
            self.error = self.error.take_if(|error| !is_normal_end(error));
            return;
        }
        let now = self.clock.now();
        self.state = self.schedule.retry_at(hint, now).map_or(State::Over, State::Waiting);
    }
}

impl<C: fmt::Debug, H> fmt::Debug for Reconnector<C, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reconnector")
            .field("client", &self.client)
            .field("schedule", &self.schedule)
            .field("attempts", &self.attempts)
            .field("error", &self.error)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Returns `true` if this end has begun the closing handshake, and the peer has answered or not.
fn is_own_close(ended: &CloseInfo) -> bool {
    ended.initiator == Side::Local && matches!(ended.cause, Cause::Close | Cause::Timeout(TimeoutKind::Close))
}

/// Returns the error of a connection that this end did not close.
fn of_ended(ended: CloseInfo) -> Error {
    if ended.cause == Cause::Close { Error::Closed(ended) } else { Error::of_end(ended) }
}

fn is_normal_end(error: &Error) -> bool {
    matches!(error, Error::Closed(ended) if ended.is_normal())
}

/// Returns the request of the server in an error.
fn hint_of(error: &Error) -> ReconnectHint {
    match error {
        Error::Handshake(HandshakeError::Refused(response)) | Error::Proxy(ProxyError::Refused(response)) => {
            let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
            ReconnectHint::of_response(response, since_epoch)
        }
        Error::Closed(ended) => ReconnectHint::of_close(ended.code),
        _ => ReconnectHint::None,
    }
}
