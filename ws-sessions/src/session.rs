mod ending;
mod peer_info;

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

use ws_core::{CloseCode, CloseInfo, Message, PreparedMessage, server::Request};
use ws_transport::{
    Backlog, ConnectionSpan, Driver, Error, Outgoing, OutgoingKind, OutgoingPayload, Overflow, SendOutcome,
    Traffic,
};

use self::ending::LastCallback;
pub use self::peer_info::PeerInfo;
use crate::{Panicked, SessionBackend, SessionStats, Sessions, deferred, excerpt::TextExcerpt};

/// A handle to a connection for callbacks, to send and close from any thread or task. The application can keep it as
/// long as it needs it. Clones are handles to the same session.
///
/// No method waits for the peer. If a peer reads slowly, its messages wait in a send queue that is bounded by a
/// [`Backlog`].
///
/// ```no_run
/// # fn example(session: &ws_sessions::Session) -> Result<(), ws_transport::Error> {
/// session.send(format!("welcome to {}, {}", session.path(), session.id()))?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Session(Arc<SessionInner>);

/// The number of a session. It is unique within the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

pub(crate) type OnLagging = dyn Fn(&Session, usize) + Send + Sync;

struct SessionInner {
    id: SessionId,
    /// Weak, because handles of the application must not keep the connection alive.
    backend: Weak<dyn SessionBackend>,
    peer: PeerInfo,
    connected_at: SystemTime,
    traffic: Arc<Traffic>,
    /// The first panic of a callback. After a panic, only the last callback runs.
    panicked: OnceLock<Panicked>,
    state: Mutex<SessionState>,
}

/// Maximum number of unsent bytes in the operating system, if only the latest message matters. The peer reads them before
/// the latest message.
const MAX_STALE: u32 = 4 << 10;

/// Keeps little old data ahead of the latest message, if only that matters.
fn limit_stale(backend: &dyn SessionBackend, backlog: Backlog) {
    if backlog.overflow == Overflow::KeepLatest {
        backend.limit_unsent(MAX_STALE);
    }
}

struct SessionState {
    backlog: Backlog,
    /// The application's value and callback. Either may contain a handle to this session, and such a cycle would never
    /// be freed. So both are dropped after the last callback.
    data: Option<Arc<dyn Any + Send + Sync>>,
    on_lagging: Option<Arc<OnLagging>>,
    /// Number of calls of `on_lagging` that run now, on threads that send.
    lagging_calls: usize,
    /// The sets that contain the session. The session leaves them when it ends.
    memberships: Vec<Sessions>,
    /// The way the session ended. `None` while it is open.
    close_info: Option<CloseInfo>,
    last: LastCallback,
}

impl Session {
    pub(crate) fn new(
        backend: &Arc<dyn SessionBackend>,
        peer: PeerInfo,
        backlog: Backlog,
        on_lagging: Option<Arc<OnLagging>>,
    ) -> Self {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let mut traffic = Arc::default();
        backend.look(&mut |driver| traffic = driver.traffic().clone());
        let state = SessionState {
            backlog,
            data: None,
            on_lagging,
            lagging_calls: 0,
            memberships: Vec::new(),
            close_info: None,
            last: LastCallback::NotDue,
        };
        limit_stale(&**backend, backlog);
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        ConnectionSpan::record_session(id);
        Self(Arc::new(SessionInner {
            id: SessionId(id),
            backend: Arc::downgrade(backend),
            peer,
            connected_at: SystemTime::now(),
            traffic,
            panicked: OnceLock::new(),
            state: Mutex::new(state),
        }))
    }

    /// Returns the number of the session.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.0.id
    }

    /// Returns the path of the request.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.0.peer.path
    }

    /// Returns the client's request with its headers. `None` on a client.
    #[must_use]
    pub fn request(&self) -> Option<&Request> {
        self.0.peer.request.as_ref()
    }

    /// Returns a parameter of the path, such as `room` of `/rooms/:room`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.request()?.parameter(name)
    }

    /// Returns a header of the client's request.
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

    /// Returns the peer's address, even after the peer has disconnected. `None` for a Unix-domain socket.
    #[must_use]
    pub fn peer_addr(&self) -> Option<SocketAddr> {
        self.0.peer.address
    }

    /// Returns the address of this end, even after the session has ended. `None` for a Unix-domain socket.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.0.peer.local_address
    }

    /// Returns the negotiated subprotocol.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.peer.subprotocol.as_deref()
    }

    /// Returns the time at which the session was connected.
    #[must_use]
    pub fn connected_at(&self) -> SystemTime {
        self.0.connected_at
    }

    /// Attaches a value of the application to the session. It replaces the previous value.
    ///
    /// The session drops the value after it has ended and [`on_disconnect`](crate::Callbacks::on_disconnect) has
    /// returned. So the value may contain a handle to its own session. A value that is attached later is dropped at
    /// once.
    pub fn set_data<T: Any + Send + Sync>(&self, data: T) {
        let data: Arc<dyn Any + Send + Sync> = Arc::new(data);
        let mut state = self.state();
        let dropped = if state.is_over() { Some(data) } else { state.data.replace(data) };
        // Drop the value without holding the lock, because its destructor is code of the application.
        drop(state);
        drop(dropped);
    }

    /// Returns the value that [`set_data`](Self::set_data) has attached. `None` if the value has another type, or if
    /// the session has ended.
    #[must_use]
    pub fn data<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.state().data.clone()?.downcast().ok()
    }

    /// Sends a message. If the peer reads slowly, the message waits in the send queue.
    ///
    /// # Errors
    ///
    /// A message that is dropped by the policy of the [`Backlog`] is not an error.
    ///
    /// - Returns [`Error::Closed`] if the session has ended.
    /// - Returns [`Error::Closed`] if the send queue is full and the policy is
    ///   [`Overflow::Disconnect`](ws_transport::Overflow::Disconnect). The session ends then.
    pub fn send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(OutgoingPayload::Message(message.into()), OutgoingKind::Send)
    }

    /// Sends a message if the send queue has room for it without dropping another message.
    ///
    /// # Errors
    ///
    /// - Returns [`SendError::BufferFull`](ws_core::SendError::BufferFull) as [`Error::Send`] if there is no room.
    /// - Returns [`Error::Closed`] if the session has ended.
    pub fn try_send<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(OutgoingPayload::Message(message.into()), OutgoingKind::TrySend)
    }

    /// Sends a reply from `on_message`. Replies are written together, at the latest when all input that was read at
    /// once is handled. If the peer does not read its replies, nothing more is received from it until it does, so a
    /// reply is never dropped. Outside `on_message`, use [`send`](Self::send), because a reply may wait there for a
    /// long time.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Closed`] if the session has ended.
    pub fn feed<'m>(&self, message: impl Into<Message<'m>>) -> Result<(), Error> {
        self.post(OutgoingPayload::Message(message.into()), OutgoingKind::Reply)
    }

    /// Sends a message that is already encoded.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`send`](Self::send).
    pub fn send_prepared(&self, message: &PreparedMessage) -> Result<(), Error> {
        self.post(OutgoingPayload::Prepared(message), OutgoingKind::Send)
    }

    /// Sends a ping with a payload of at most 125 bytes.
    ///
    /// # Errors
    ///
    /// - Returns [`Error::Closed`] if the session has ended.
    /// - Returns [`Error::Send`] if the payload has more than 125 bytes.
    pub fn ping(&self, payload: &[u8]) -> Result<(), Error> {
        self.backend()?.ping(payload)
    }

    /// Closes the session after all messages that were sent before. Messages of the peer are received until its Close
    /// arrives. Closing a session that has ended is not an error.
    ///
    /// # Errors
    ///
    /// Returns [`Error::Send`] if the code cannot be sent, or if the reason has more than 123 bytes. In this case the
    /// session stays open. [`CloseFrame::truncate_reason`](ws_core::CloseFrame::truncate_reason) cuts a reason if the
    /// application does not control its length, such as the text of an error.
    pub fn close(&self, code: CloseCode, reason: &str) -> Result<(), Error> {
        match self.0.backend.upgrade() {
            Some(backend) => backend.close(code, reason),
            None => Ok(()),
        }
    }

    /// Sets the bounds of the send queue from now on, and the policy for a full queue.
    pub fn set_backlog(&self, backlog: Backlog) {
        self.state().backlog = backlog;
        if let Some(backend) = self.0.backend.upgrade() {
            limit_stale(&*backend, backlog);
        }
    }

    /// Returns `true` if messages can be sent.
    #[must_use]
    pub fn is_open(&self) -> bool {
        let mut open = false;
        self.look(&mut |driver| open = driver.connection.close_info().is_none());
        open
    }

    /// Returns the way the session ended or is ending. `None` while it is open.
    #[must_use]
    pub fn close_info(&self) -> Option<CloseInfo> {
        if let Some(close_info) = &self.state().close_info {
            return Some(close_info.clone());
        }
        let mut close_info = None;
        self.look(&mut |driver| close_info = driver.connection.close_info());
        close_info
    }

    /// Returns the counters of the session.
    #[must_use]
    pub fn stats(&self) -> SessionStats {
        let mut stats = SessionStats::of(&self.0.traffic);
        self.look(&mut |driver| stats.add_gauges(driver));
        stats
    }

    /// Calls `look` with the driver of the connection, if it still exists.
    pub(crate) fn look(&self, look: &mut dyn FnMut(&Driver)) {
        if let Some(backend) = self.0.backend.upgrade() {
            backend.look(look);
        }
    }

    pub(crate) fn traffic(&self) -> &Traffic {
        &self.0.traffic
    }

    fn post(&self, payload: OutgoingPayload<'_>, kind: OutgoingKind) -> Result<(), Error> {
        let backend = self.backend()?;
        let posted = backend.post(Outgoing { payload, backlog: &|| self.state().backlog, kind })?;
        if posted == SendOutcome::default() {
            return Ok(());
        }
        if posted.lagging {
            let session = self.clone();
            deferred::run_later(move || session.call_on_lagging(posted.dropped));
        }
        match self.close_info() {
            Some(close_info) if posted.disconnected => Err(Error::Closed(close_info)),
            _ => Ok(()),
        }
    }

    fn backend(&self) -> Result<Arc<dyn SessionBackend>, Error> {
        self.0.backend.upgrade().ok_or_else(|| match &self.state().close_info {
            Some(close_info) => Error::Closed(close_info.clone()),
            None => Error::Io(std::io::ErrorKind::NotConnected.into()),
        })
    }

    fn state(&self) -> MutexGuard<'_, SessionState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id", &self.0.id)
            .field("path", &TextExcerpt(&self.0.peer.path))
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
    /// Returns the number.
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
