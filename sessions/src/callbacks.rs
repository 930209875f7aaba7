use std::{error, fmt, mem, sync::Arc};

use ws_core::{Chunk, Closure, Event, Message, Response};
use ws_transport::{Backlog, Error, MessageAssembler};

use crate::{
    Session, SessionBackend, Sessions,
    session::{OnLagging, Peer},
};

/// What to do when sessions begin, say something and end: the callback style of a server or client.
///
/// Callbacks run in the thread or task of their connection, one at a time for each session, and must not
/// block where that is a task. Sending never waits, so they can do it freely. One that panics ends its own
/// session with 1011. Callbacks never nest: a callback that another one causes on the same thread runs after it.
///
/// ```
/// use ws_sessions::{Callbacks, Sessions};
///
/// let everyone = Sessions::new();
/// let (met, left) = (everyone.clone(), everyone.clone());
/// let callbacks = Callbacks::new()
///     .sessions(&everyone)
///     .on_connect(move |session| {
///         met.broadcast(format!("{} joined, {} online", session.id(), met.len()));
///     })
///     .on_message(|session, message| {
///         let _ = session.feed(message); // it has gone meanwhile, as `on_disconnect` will tell
///     })
///     .on_disconnect(move |session, closure| {
///         left.broadcast(format!("{} left: {closure}", session.id()));
///     })
///     .on_error(|session, error| eprintln!("{}: {error}", session.id()));
/// ```
#[derive(Default)]
#[must_use = "callbacks do nothing before a server or client has them"]
pub struct Callbacks {
    on_connect: Option<Box<OnConnect>>,
    on_connected: Option<Box<OnConnected>>,
    on_message: Option<Box<OnMessage>>,
    on_disconnect: Option<Box<OnDisconnect>>,
    on_error: Option<Box<OnError>>,
    on_lagging: Option<Arc<OnLagging>>,
    sessions: Sessions,
    backlog: Backlog,
}

type OnConnect = dyn Fn(&Session) + Send + Sync;
type OnConnected = dyn Fn(&Session, &Response) + Send + Sync;
type OnMessage = dyn Fn(&Session, Message<'_>) + Send + Sync;
type OnDisconnect = dyn Fn(&Session, &Closure) + Send + Sync;
type OnError = dyn Fn(&Session, &Error) + Send + Sync;

impl Callbacks {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// A connection was opened; its session is in the [set](Self::sessions) already, and this is the first
    /// that is called for it.
    pub fn on_connect(mut self, callback: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Box::new(callback));
        self
    }

    /// A client's connection was opened by this response. Called right before
    /// [`on_connect`](Self::on_connect), and never on a server.
    pub fn on_connected(mut self, callback: impl Fn(&Session, &Response) + Send + Sync + 'static) -> Self {
        self.on_connected = Some(Box::new(callback));
        self
    }

    /// A message came. It is lent: what has to outlive the call is copied, by [`Message::into_owned`].
    pub fn on_message(mut self, callback: impl Fn(&Session, Message<'_>) + Send + Sync + 'static) -> Self {
        self.on_message = Some(Box::new(callback));
        self
    }

    /// A connection has ended: cleanly, broken off, given up, or by a panic. Called exactly once for each
    /// session that was opened, after everything else. The session has left all its sets by then.
    /// [`Closure::is_normal`] returns `true` if nothing went wrong.
    pub fn on_disconnect(mut self, callback: impl Fn(&Session, &Closure) + Send + Sync + 'static) -> Self {
        self.on_disconnect = Some(Box::new(callback));
        self
    }

    /// A connection did not end [normally](Closure::is_normal): the peer broke a rule, closed with a code such as 1011,
    /// or vanished, or the network failed. [`on_disconnect`](Self::on_disconnect) follows.
    pub fn on_error(mut self, callback: impl Fn(&Session, &Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(callback));
        self
    }

    /// Called for a session whose peer reads too slowly, with the number of messages that were dropped, for the first
    /// of them since the peer last kept up. It runs on the thread that sends, after the send or broadcast that dropped
    /// the message, and after the callback that sent it. So it may broadcast itself. It is not called once
    /// [`on_disconnect`](Self::on_disconnect) is due, which runs after the calls that have begun.
    pub fn on_lagging(mut self, callback: impl Fn(&Session, usize) + Send + Sync + 'static) -> Self {
        self.on_lagging = Some(Arc::new(callback));
        self
    }

    /// The set that the sessions are in while they are connected; one of its own without this.
    pub fn sessions(mut self, sessions: &Sessions) -> Self {
        self.sessions = sessions.clone();
        self
    }

    /// How much may wait for each session that reads slowly.
    pub fn backlog(mut self, backlog: Backlog) -> Self {
        self.backlog = backlog;
        self
    }
}

impl fmt::Debug for Callbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Callbacks")
            .field("sessions", &self.sessions)
            .field("backlog", &self.backlog)
            .finish_non_exhaustive()
    }
}

/// A session from its first callback to its last, for an adapter to drive. Whatever becomes of the driver,
/// when this is dropped the session has ended and its last callback is called.
pub struct Attendance {
    callbacks: Arc<Callbacks>,
    session: Session,
    backend: Arc<dyn SessionBackend>,
    /// Whether it has begun, and so has to end.
    begun: bool,
    assembler: MessageAssembler,
}

impl fmt::Debug for Attendance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attendance")
            .field("session", &self.session)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl Attendance {
    /// Begins a session for a connection that was opened.
    #[must_use]
    pub fn new(callbacks: Arc<Callbacks>, backend: Arc<dyn SessionBackend>, peer: Peer) -> Self {
        let session = Session::new(&backend, peer, callbacks.backlog, callbacks.on_lagging.clone());
        callbacks.sessions.insert(&session);
        Self { callbacks, session, backend, begun: false, assembler: MessageAssembler::default() }
    }

    /// The session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    /// Tells that the session has begun; by which response, on a client.
    pub fn connect(&mut self, response: Option<&Response>) {
        self.begun = true;
        self.call(|callbacks, session| {
            if let (Some(response), Some(on_connected)) = (response, &callbacks.on_connected) {
                on_connected(session, response);
            }
            if let Some(on_connect) = &callbacks.on_connect {
                on_connect(session);
            }
        });
    }

    /// Tells what came.
    pub fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Message(message) => self.receive(message),
            Event::Chunk(chunk) => {
                let chunk = Chunk { payload: chunk.payload.into_owned(), last: chunk.last };
                if let Some(message) = self.assembler.add(chunk) {
                    self.receive(message);
                }
            }
            _ => {}
        }
    }

    fn receive(&mut self, message: Message<'_>) {
        self.call(|callbacks, session| {
            if let Some(on_message) = &callbacks.on_message {
                on_message(session, message);
            }
        });
    }

    /// Ends the session: reports the error that has ended it, if there is one, and calls its last callback.
    ///
    /// # Errors
    ///
    /// Returns the first panic of a callback as [`Panicked`](crate::Panicked), or else the error in `ended`.
    pub fn finish(mut self, ended: Result<(), Error>) -> Result<(), Box<dyn error::Error + Send + Sync>> {
        if let Err(error) = &ended {
            self.fail(error);
        }
        self.end();
        match self.session.panicked() {
            Some(panicked) => Err(panicked.clone().into()),
            None => Ok(ended?),
        }
    }

    fn fail(&self, error: &Error) {
        self.call(|callbacks, session| {
            if let Some(on_error) = &callbacks.on_error {
                on_error(session, error);
            }
        });
    }

    fn call(&self, callback: impl FnOnce(&Callbacks, &Session)) {
        self.session.call(|| callback(&self.callbacks, &self.session));
    }

    fn end(&mut self) {
        let closure = self.session.end(self.backend.end());
        let has_begun = mem::take(&mut self.begun);
        let (callbacks, session) = (self.callbacks.clone(), self.session.clone());
        self.session.finish(move || {
            if let (true, Some(on_disconnect)) = (has_begun, &callbacks.on_disconnect) {
                on_disconnect(&session, &closure);
            }
        });
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        self.end();
    }
}
