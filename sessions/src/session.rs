use std::{
    any::Any,
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use ws_core::{CloseCode, Closure, Message, PreparedMessage, server::Request};
use ws_transport::{Backlog, Error, Outgoing, OutgoingKind, Payload, SendOutcome};

use crate::{Panicked, SessionBackend, SessionStats, Sessions, deferred, guard, stats::Counters};

/// A connection as callbacks see it: a handle to send to and close from any thread or task, for as long as
/// anybody wants to keep it. Clones are handles to the same session.
///
/// None of its methods waits. What a slow peer does not take at once waits in a queue whose bounds
/// [`Backlog`] states.
///
/// ```no_run
/// # fn example(session: &ws_sessions::Session) -> Result<(), ws_transport::Error> {
/// session.send(format!("welcome to {}, {}", session.path(), session.id()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<Inner>);

/// The number of a session, which no other session of the process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

pub(crate) type OnLagging = dyn Fn(&Session, usize) + Send + Sync;

struct Inner {
    id: SessionId,
    /// The connection lives as long as its driver, not as long as somebody keeps a handle.
    backend: Weak<dyn SessionBackend>,
    peer: Peer,
    connected_at: SystemTime,
    counters: Counters,
    on_lagging: Option<Arc<OnLagging>>,
    /// The first panic of a callback, if there was one. Only the last callback is called after it.
    panicked: OnceLock<Panicked>,
    state: Mutex<State>,
}

/// Who is on the other end, and what was agreed on.
#[derive(Debug, Default)]
pub struct Peer {
    /// The path that was asked for.
    pub path: String,
    /// The request, on a server.
    pub request: Option<Request>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The subprotocol.
    pub subprotocol: Option<String>,
}

struct State {
    backlog: Backlog,
    data: Option<Arc<dyn Any + Send + Sync>>,
    /// The sets that it is in, left when it ends.
    memberships: Vec<Sessions>,
    /// How it ended.
    closure: Option<Closure>,
}

impl Session {
    pub(crate) fn new(
        backend: Weak<dyn SessionBackend>,
        peer: Peer,
        backlog: Backlog,
        on_lagging: Option<Arc<OnLagging>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let state = State { backlog, data: None, memberships: Vec::new(), closure: None };
        Self(Arc::new(Inner {
            id: SessionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            backend,
            peer,
            connected_at: SystemTime::now(),
            counters: Counters::default(),
            on_lagging,
            panicked: OnceLock::new(),
            state: Mutex::new(state),
        }))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// The path that was asked for.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.peer.path
    }

    /// The client's request, with its headers; `None` on a client.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.0.peer.request.as_ref()
    }

    /// A parameter of the path, such as `room` of `/rooms/:room`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.request()?.parameter(name)
    }

    /// A header of the client's request.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.request()?.header(name)
    }

    /// Returns the value of this type that the server's check [attached](ws_core::server::Accept::with) to the request,
    /// such as the authenticated user. `None` on a client.
    ///
    /// ```
    /// use ws_sessions::Callbacks;
    ///
    /// struct User(String);
    ///
    /// let callbacks = Callbacks::new().on_connect(|session| {
    ///     if let Some(User(name)) = session.get() {
    ///         println!("{name} has connected");
    ///     }
    /// });
    /// ```
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.request()?.get()
    }

    /// The peer's address.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer.address
    }

    /// The subprotocol that was agreed on.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.peer.subprotocol.as_deref()
    }

    /// Since when it has been connected.
    #[must_use]
    pub fn connected_at(&self) -> SystemTime {
        self.0.connected_at
    }

    /// Attaches a value of the application's, in place of the one before.
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        let before = self.state().data.replace(Arc::new(data));
        // Whatever its destructor does, it does not do it under the lock.
        drop(before);
    }

    /// The value of the application's, if one of this type was attached.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.state().data.clone()?.downcast().ok()
    }

    /// Sends a message, at once as far as the peer takes it.
    ///
    /// # Errors
    ///
    /// The session has ended; or the message did not fit into the queue of a session that
    /// [`Overflow::Disconnect`](ws_transport::Overflow::Disconnect) holds for, which ends it. That a
    /// message was dropped by another policy is no error.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(Payload::Message(message.into()), OutgoingKind::Send)
    }

    /// Sends a message if nothing has to be dropped for it.
    ///
    /// # Errors
    ///
    /// [`SendError::BufferFull`](ws_core::SendError::BufferFull) if something would have to; or the session
    /// has ended.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(Payload::Message(message.into()), OutgoingKind::TrySend)
    }

    /// Sends an answer from `on_message`. Answers leave together, at the latest when all that was read at
    /// once is handled; and where the peer does not read them, nothing more is received from it until it
    /// does. So none is ever dropped. Elsewhere use [`send`](Self::send): here a message might wait long.
    ///
    /// # Errors
    ///
    /// The session has ended.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(Payload::Message(message.into()), OutgoingKind::Reply)
    }

    /// Sends a message that was encoded before.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.post(Payload::Prepared(message), OutgoingKind::Send)
    }

    /// Sends a ping with at most 125 bytes.
    ///
    /// # Errors
    ///
    /// The session has ended, or the payload is longer.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.backend()?.ping(payload)
    }

    /// Closes the session after all that was sent. What the peer still sends is received until its Close
    /// arrives. Closing a session that has ended is no error.
    ///
    /// # Errors
    ///
    /// A code or reason that cannot be sent.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.0.backend.upgrade() {
            Some(backend) => backend.close(code, reason),
            None => Ok(()),
        }
    }

    /// How much may wait for this session from now on.
    pub fn set_backlog(&self, backlog: Backlog) {
        self.state().backlog = backlog;
    }

    /// Whether messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut open = false;
        if let Some(backend) = self.0.backend.upgrade() {
            backend.look(&mut |driver| open = driver.connection.closure().is_none());
        }
        open
    }

    /// How the session ended, or is ending; `None` while it is open.
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        if let Some(closure) = &self.state().closure {
            return Some(closure.clone());
        }
        let mut closure = None;
        self.0.backend.upgrade()?.look(&mut |driver| closure = driver.connection.closure());
        closure
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut stats = self.0.counters.read();
        if let Some(backend) = self.0.backend.upgrade() {
            backend.look(&mut |driver| {
                stats.buffered = driver.buffered();
                stats.latency = driver.connection.latency();
            });
        }
        stats
    }

    pub(crate) fn counters(&self) -> &Counters {
        &self.0.counters
    }

    /// Runs a callback, unless one has panicked. If it panics, the session is closed. Callbacks that it causes run after
    /// it.
    pub(crate) fn call(&self, callback: impl FnOnce()) {
        if self.0.panicked.get().is_none() && !self.call_last(callback) {
            // It cannot fail: this code and reason can be sent.
            let _ = self.close(CloseCode::INTERNAL_ERROR, "the handler failed");
        }
    }

    /// Runs the last callback, whatever happened before. Returns `false` if it has panicked.
    pub(crate) fn call_last(&self, callback: impl FnOnce()) -> bool {
        let called = deferred::scope(|| guard(callback));
        called.map_err(|panicked| self.0.panicked.set(panicked)).is_ok()
    }

    /// Returns the first panic of a callback.
    pub(crate) fn panicked(&self) -> Option<&Panicked> {
        self.0.panicked.get()
    }

    /// Joins a set, unless the session has ended.
    pub(crate) fn enter(&self, sessions: &Sessions, insert: impl FnOnce() -> bool) -> bool {
        let mut state = self.state();
        if state.closure.is_some() {
            return false;
        }
        let new = insert();
        if new {
            state.memberships.push(sessions.clone());
        }
        new
    }

    pub(crate) fn left(&self, sessions: &Sessions) {
        let mut state = self.state();
        if let Some(position) = state.memberships.iter().position(|set| set.is_same(sessions)) {
            state.memberships.swap_remove(position);
        }
    }

    /// Leaves all sets for good, and tells how it ended.
    pub(crate) fn end(&self, closure: Closure) -> Closure {
        let memberships = {
            let mut state = self.state();
            state.closure = Some(closure.clone());
            std::mem::take(&mut state.memberships)
        };
        for sessions in memberships {
            sessions.forget(self);
        }
        closure
    }

    fn post(&self, payload: Payload<'_>, kind: OutgoingKind) -> Result<(), Error> {
        let backend = self.backend()?;
        let bytes = payload.len();
        let posted = backend.post(Outgoing { payload, backlog: &|| self.state().backlog, kind })?;
        self.0.counters.sent(bytes);
        if posted == SendOutcome::default() {
            return Ok(());
        }
        self.0.counters.dropped(posted.dropped, posted.lagging);
        if let (true, Some(on_lagging)) = (posted.lagging, &self.0.on_lagging) {
            let (session, on_lagging) = (self.clone(), on_lagging.clone());
            deferred::run_later(move || session.call(|| on_lagging(&session, posted.dropped)));
        }
        match self.closure() {
            Some(closure) if posted.disconnected => Err(Error::Closed(closure)),
            _ => Ok(()),
        }
    }

    fn backend(&self) -> Result<Arc<dyn SessionBackend>, Error> {
        self.0.backend.upgrade().ok_or_else(|| match &self.state().closure {
            Some(closure) => Error::Closed(closure.clone()),
            None => Error::Io(std::io::ErrorKind::NotConnected.into()),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("path", &self.0.peer.path)
            .field("peer_addr", &self.0.peer.address)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Session {
    fn eq(&self, other: &Self) -> bool {
        self.0.id == other.0.id
    }
}

impl Eq for Session {}

impl SessionId {
    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
