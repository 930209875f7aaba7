use std::{
    any::Any,
    fmt, mem,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::SystemTime,
};

use ws_core::{CloseCode, Closure, Message, PreparedMessage, server::Request};
use ws_transport::{Backlog, Driver, Error, Outgoing, OutgoingKind, Payload, SendOutcome, Traffic};

use crate::{Panicked, SessionBackend, SessionStats, Sessions, deferred, excerpt::Excerpt, guard};

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
    traffic: Arc<Traffic>,
    /// The first panic of a callback, if there was one. Only the last callback is called after it.
    panicked: OnceLock<Panicked>,
    state: Mutex<State>,
}

/// Who is on the other end, and what was agreed on.
#[derive(Default)]
pub struct Peer {
    /// The path that was asked for.
    pub path: String,
    /// The request, on a server.
    pub request: Option<Request>,
    /// Its address.
    pub address: Option<SocketAddr>,
    /// The address of this end.
    pub local_address: Option<SocketAddr>,
    /// The subprotocol.
    pub subprotocol: Option<String>,
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("path", &Excerpt(&self.path))
            .field("request", &self.request)
            .field("address", &self.address)
            .field("subprotocol", &self.subprotocol.as_deref().map(Excerpt))
            .finish()
    }
}

struct State {
    backlog: Backlog,
    /// The value of the application and its callback. Either may hold this session. Both are dropped behind the last
    /// callback, because nothing would ever free them otherwise.
    data: Option<Arc<dyn Any + Send + Sync>>,
    on_lagging: Option<Arc<OnLagging>>,
    /// Number of calls of `on_lagging` that run, in threads that send.
    lagging_calls: usize,
    /// The sets that it is in, left when it ends.
    memberships: Vec<Sessions>,
    /// How it ended.
    closure: Option<Closure>,
    last: LastCallback,
}

/// Progress of the last callback of a session. No other callback begins once it is due.
#[derive(Default)]
enum LastCallback {
    #[default]
    NotDue,
    /// It runs behind the calls of `on_lagging` that run in other threads.
    Waiting(Box<dyn FnOnce() + Send>),
    /// It runs, or nothing runs any more.
    Begun,
    /// It has returned.
    Done,
}

impl Session {
    pub(crate) fn new(
        backend: &Arc<dyn SessionBackend>,
        peer: Peer,
        backlog: Backlog,
        on_lagging: Option<Arc<OnLagging>>,
    ) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let mut traffic = Arc::default();
        backend.look(&mut |driver| traffic = driver.traffic().clone());
        let state = State {
            backlog,
            data: None,
            on_lagging,
            lagging_calls: 0,
            memberships: Vec::new(),
            closure: None,
            last: LastCallback::NotDue,
        };
        Self(Arc::new(Inner {
            id: SessionId(NEXT.fetch_add(1, Ordering::Relaxed)),
            backend: Arc::downgrade(backend),
            peer,
            connected_at: SystemTime::now(),
            traffic,
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

    /// Returns the peer's address, also when the peer has gone. `None` for a Unix-domain socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer.address
    }

    /// Returns the address of this end, also when the session has ended. `None` for a Unix-domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.peer.local_address
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

    /// Attaches a value of the application. It replaces the value that was attached before.
    ///
    /// The value is dropped when the session has ended and [`on_disconnect`](crate::Callbacks::on_disconnect) has
    /// returned. So it may hold a handle to its own session. A value that is attached later is dropped at once.
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        let data: Arc<dyn Any + Send + Sync> = Arc::new(data);
        let mut state = self.state();
        let dropped = if state.is_over() { Some(data) } else { state.data.replace(data) };
        // A destructor of the application runs under no lock.
        drop(state);
        drop(dropped);
    }

    /// Returns the value that was attached by [`set_data`](Self::set_data), if it has this type and the session has not
    /// ended.
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
    /// Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. The session stays open
    /// then. [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) cuts a reason whose length the
    /// application does not control, such as the text of an error.
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
        self.look(&mut |driver| open = driver.connection.closure().is_none());
        open
    }

    /// How the session ended, or is ending; `None` while it is open.
    #[must_use]
    pub fn closure(&self) -> Option<Closure> {
        if let Some(closure) = &self.state().closure {
            return Some(closure.clone());
        }
        let mut closure = None;
        self.look(&mut |driver| closure = driver.connection.closure());
        closure
    }

    /// What has been counted so far.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut stats = SessionStats::of(&self.0.traffic);
        self.look(&mut |driver| stats.add_gauges(driver));
        stats
    }

    /// Shows the driver of the connection, while there is one.
    pub(crate) fn look(&self, look: &mut dyn FnMut(&Driver)) {
        if let Some(backend) = self.0.backend.upgrade() {
            backend.look(look);
        }
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.0.traffic
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

    /// Leaves all sets for good, and returns how it ended.
    pub(crate) fn end(&self, closure: Closure) -> Closure {
        let memberships = {
            let mut state = self.state();
            state.closure = Some(closure.clone());
            mem::take(&mut state.memberships)
        };
        for sessions in memberships {
            sessions.forget(self);
        }
        closure
    }

    /// Runs the last callback, behind the calls of `on_lagging` that have begun. Only the first call of this has an effect.
    pub(crate) fn finish(&self, last: impl FnOnce() + Send + 'static) {
        let last = {
            let mut state = self.state();
            if !matches!(state.last, LastCallback::NotDue) {
                return;
            }
            state.last = LastCallback::Waiting(Box::new(last));
            state.take_last()
        };
        self.run_last(last);
    }

    fn run_last(&self, last: Option<Box<dyn FnOnce() + Send>>) {
        let Some(last) = last else { return };
        let session = self.clone();
        // A task can be dropped within a callback of another session.
        deferred::run_later(move || {
            session.call_last(last);
            let mut state = session.state();
            state.last = LastCallback::Done;
            let dropped = (state.data.take(), state.on_lagging.take());
            drop(state);
            drop(dropped);
        });
    }

    /// Calls `on_lagging`, unless the last callback is due.
    fn call_on_lagging(&self, dropped: usize) {
        let on_lagging = {
            let mut state = self.state();
            let may_begin = matches!(state.last, LastCallback::NotDue);
            let Some(on_lagging) = state.on_lagging.clone().filter(|_| may_begin) else { return };
            state.lagging_calls += 1;
            on_lagging
        };
        self.call(|| on_lagging(self, dropped));
        drop(on_lagging);
        let last = {
            let mut state = self.state();
            state.lagging_calls -= 1;
            state.take_last()
        };
        self.run_last(last);
    }

    fn post(&self, payload: Payload<'_>, kind: OutgoingKind) -> Result<(), Error> {
        let backend = self.backend()?;
        let posted = backend.post(Outgoing { payload, backlog: &|| self.state().backlog, kind })?;
        if posted == SendOutcome::default() {
            return Ok(());
        }
        if posted.lagging {
            let session = self.clone();
            deferred::run_later(move || session.call_on_lagging(posted.dropped));
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

impl State {
    /// Takes the last callback if it is due and no other runs.
    fn take_last(&mut self) -> Option<Box<dyn FnOnce() + Send>> {
        if self.lagging_calls > 0 {
            return None;
        }
        match mem::replace(&mut self.last, LastCallback::Begun) {
            LastCallback::Waiting(last) => Some(last),
            other => {
                self.last = other;
                None
            }
        }
    }

    /// Returns `true` if the last callback has returned.
    const fn is_over(&self) -> bool {
        matches!(self.last, LastCallback::Done)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("path", &Excerpt(&self.0.peer.path))
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
