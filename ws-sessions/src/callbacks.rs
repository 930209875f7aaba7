use std::{
    error, fmt, mem,
    sync::{Arc, Weak},
};

use ws_core::{CloseInfo, Event, Message, Response};
use ws_transport::{Backlog, Error, MessageAssembler};

use crate::{
    Session, SessionBackend, Sessions,
    session::{OnLagging, PeerInfo},
};

/// Callbacks for the events of sessions: connect, message, ping, pong, disconnect, error. This is the callback style of a server
/// or client.
///
/// Callbacks run in the thread or task of their connection, one at a time for each session. A callback that runs in a
/// task must not block. Sending never waits, so callbacks can always send. A callback that panics ends only its own
/// session, with 1011. Callbacks never nest: if one callback causes another on the same thread, the second one runs
/// after the first.
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
///         let _ = session.feed(message); // if it fails, `on_disconnect` follows
///     })
///     .on_disconnect(move |session, close_info| {
///         left.broadcast(format!("{} left: {close_info}", session.id()));
///     })
///     .on_error(|session, error| eprintln!("{}: {error}", session.id()));
/// ```
#[derive(Default)]
#[must_use = "callbacks do nothing before a server or client has them"]
pub struct Callbacks {
    on_connect: Option<Box<OnConnect>>,
    on_connected: Option<Box<OnConnected>>,
    on_message: Option<Box<OnMessage>>,
    on_ping: Option<Box<OnControl>>,
    on_pong: Option<Box<OnControl>>,
    on_disconnect: Option<Box<OnDisconnect>>,
    on_error: Option<Box<OnError>>,
    on_lagging: Option<Arc<OnLagging>>,
    sessions: Sessions,
    backlog: Backlog,
}

type OnConnect = dyn Fn(&Session) + Send + Sync;
type OnConnected = dyn Fn(&Session, &Response) + Send + Sync;
type OnMessage = dyn Fn(&Session, Message<'_>) + Send + Sync;
type OnControl = dyn Fn(&Session, &[u8]) + Send + Sync;
type OnDisconnect = dyn Fn(&Session, &CloseInfo) + Send + Sync;
type OnError = dyn Fn(&Session, &Error) + Send + Sync;

impl Callbacks {
    /// Creates an empty set of callbacks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the callback for an opened connection. It runs before the other callbacks of the session. The session is
    /// already in the [set](Self::sessions).
    pub fn on_connect(mut self, callback: impl Fn(&Session) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Box::new(callback));
        self
    }

    /// Sets the callback for an opened connection of a client, with the response of the server. It runs right before
    /// [`on_connect`](Self::on_connect), and never on a server.
    pub fn on_connected(mut self, callback: impl Fn(&Session, &Response) + Send + Sync + 'static) -> Self {
        self.on_connected = Some(Box::new(callback));
        self
    }

    /// Sets the callback for a received message. The message is borrowed. To keep it after the call, copy it with
    /// [`Message::into_owned`].
    pub fn on_message(mut self, callback: impl Fn(&Session, Message<'_>) + Send + Sync + 'static) -> Self {
        self.on_message = Some(Box::new(callback));
        self
    }

    /// Sets the callback for a ping of the peer and its payload of at most 125 bytes. The pong is already queued.
    pub fn on_ping(mut self, callback: impl Fn(&Session, &[u8]) + Send + Sync + 'static) -> Self {
        self.on_ping = Some(Box::new(callback));
        self
    }

    /// Sets the callback for a pong and its payload of at most 125 bytes: the answer to [`Session::ping`], or an
    /// unsolicited pong (RFC 6455 section 5.5.3). It does not run for the answers to keepalive pings, which the
    /// [latency](crate::SessionStats::latency) is computed from.
    pub fn on_pong(mut self, callback: impl Fn(&Session, &[u8]) + Send + Sync + 'static) -> Self {
        self.on_pong = Some(Box::new(callback));
        self
    }

    /// Sets the callback for the end of a connection: by a closing handshake, a broken stream, a missed
    /// deadline or a panic. It runs exactly once for each opened session, after all other callbacks. At that time the
    /// session has left all its sets. [`CloseInfo::is_normal`] returns `true` if no error occurred.
    pub fn on_disconnect(mut self, callback: impl Fn(&Session, &CloseInfo) + Send + Sync + 'static) -> Self {
        self.on_disconnect = Some(Box::new(callback));
        self
    }

    /// Sets the callback for a connection that did not end [normally](CloseInfo::is_normal): the peer violated the
    /// protocol, closed with a code such as 1011 or vanished, or the network failed.
    /// [`on_disconnect`](Self::on_disconnect) follows.
    pub fn on_error(mut self, callback: impl Fn(&Session, &Error) + Send + Sync + 'static) -> Self {
        self.on_error = Some(Box::new(callback));
        self
    }

    /// Sets the callback for a session with a slow peer. Its argument is the number of dropped messages.
    ///
    /// It runs for the first message that is dropped since the peer last kept up. It runs on the sending thread, after
    /// the send or broadcast that dropped the message, and after the callback that sent it. So it may broadcast
    /// itself. It does not begin after [`on_disconnect`](Self::on_disconnect) is due. `on_disconnect` waits for calls
    /// that have already begun.
    pub fn on_lagging(mut self, callback: impl Fn(&Session, usize) + Send + Sync + 'static) -> Self {
        self.on_lagging = Some(Arc::new(callback));
        self
    }

    /// Sets the set that contains the sessions while they are connected. Default: a new set for these callbacks.
    pub fn sessions(mut self, sessions: &Sessions) -> Self {
        self.sessions = sessions.clone();
        self
    }

    /// Sets the bounds of the send queue of each session, and the policy for a slow peer. Default:
    /// [`Backlog::default`].
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

/// Runs the callbacks of a session from the first to the last, on behalf of an adapter. When it is dropped, the
/// session ends and its last callback runs, even if the driver has failed.
pub struct SessionGuard {
    callbacks: Arc<Callbacks>,
    session: Session,
    backend: Arc<dyn SessionBackend>,
    /// `true` if the session has begun. Only then does its last callback run.
    begun: bool,
    assembler: MessageAssembler,
}

impl fmt::Debug for SessionGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionGuard")
            .field("session", &self.session)
            .field("begun", &self.begun)
            .finish_non_exhaustive()
    }
}

impl SessionGuard {
    /// Creates a session for an opened connection.
    #[must_use]
    pub fn new(callbacks: Arc<Callbacks>, backend: Arc<dyn SessionBackend>, peer: PeerInfo) -> Self {
        let session = Session::new(&backend, peer, callbacks.backlog, callbacks.on_lagging.clone());
        callbacks.sessions.insert(&session);
        Self { callbacks, session, backend, begun: false, assembler: MessageAssembler::default() }
    }

    /// Returns the session.
    #[must_use]
    pub const fn session(&self) -> &Session {
        &self.session
    }

    pub(crate) fn backend(&self) -> Weak<dyn SessionBackend> {
        Arc::downgrade(&self.backend)
    }

    /// Runs the callbacks for the beginning of the session. On a client, `response` is the response of the server.
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

    /// Passes an event of the connection to the callbacks.
    pub fn handle(&mut self, event: Event<'_>) {
        match event {
            Event::Message(message) => self.receive(message),
            Event::Chunk(chunk) => {
                if chunk.last && self.assembler.is_empty() {
                    return self.receive(chunk.payload);
                }
                if let Some(message) = self.backend.assemble(&mut self.assembler, chunk) {
                    self.receive(message);
                }
            }
            Event::Ping(payload) => self.control(self.callbacks.on_ping.as_deref(), &payload),
            Event::Pong(payload) => self.control(self.callbacks.on_pong.as_deref(), &payload),
            _ => {}
        }
    }

    fn control(&self, callback: Option<&OnControl>, payload: &[u8]) {
        if let Some(callback) = callback {
            self.call(|_, session| callback(session, payload));
        }
    }

    fn receive(&mut self, message: Message<'_>) {
        self.call(|callbacks, session| {
            if let Some(on_message) = &callbacks.on_message {
                on_message(session, message);
            }
        });
    }

    /// Ends the session. Reports the error that has ended it, if any, and runs its last callback.
    ///
    /// # Errors
    ///
    /// Returns the first panic of a callback as [`Panicked`](crate::Panicked). Without a panic, returns the error in
    /// `ended`.
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
        let close_info = self.session.end(self.backend.end());
        let has_begun = mem::take(&mut self.begun);
        let (callbacks, session) = (self.callbacks.clone(), self.session.clone());
        self.session.finish(move || {
            if let (true, Some(on_disconnect)) = (has_begun, &callbacks.on_disconnect) {
                on_disconnect(&session, &close_info);
            }
        });
    }
}

impl Drop for SessionGuard {
    fn drop(&mut self) {
        self.end();
    }
}
