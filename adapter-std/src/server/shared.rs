//! The connections of a server, shared by its listener and its handles, and the stop of the server.

use std::{
    collections::HashMap,
    fmt,
    io::{ErrorKind, Write as _},
    mem,
    net::{Shutdown, SocketAddr},
    os::unix::net::UnixStream,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use ws_core::CloseCode;
use ws_transport::ListeningSocket;

use super::{BoundServer, pool::ThreadPool};
use crate::{duplex::Duplex, socket::Socket};

/// Maximum time for connected clients to send their request after a stop has begun.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);
/// Maximum time that a stop waits for the accepting thread to close the listening socket.
const LISTENER_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// An accepted client and its address.
pub(super) type AcceptedClient = (socket2::Socket, Option<SocketAddr>);

/// State of a server that the listener, its connections and its handles share.
pub(super) struct Shared {
    pub(super) server: BoundServer,
    pub(super) pool: Arc<ThreadPool>,
    connections: Mutex<Connections>,
    listener_closed: Condvar,
    /// Wakes the accepting thread.
    wake: UnixStream,
}

#[derive(Default)]
struct Connections {
    /// The listening socket. `None` after a thread has begun to serve it, or after the server has stopped.
    listener: Option<ListeningSocket>,
    next_id: u64,
    by_id: HashMap<u64, Entry>,
    /// The accepting thread.
    accepting: Option<ThreadId>,
    stop: Option<Stop>,
    /// Clients that had connected when the listening socket was closed, if there was no accepting thread.
    late: Vec<AcceptedClient>,
    /// `true` if some connections had not ended at the deadline and were aborted.
    aborted: bool,
}

/// A stop that has begun.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// The time until which clients may send their request.
    pub(super) handshakes_until: Instant,
    /// The time at which all connections must have ended. `None`: no limit.
    pub(super) until: Option<Instant>,
}

struct Entry {
    socket: Arc<Socket>,
    stage: Stage,
}

/// The stage of a connection.
enum Stage {
    /// No request was received yet.
    Handshake,
    /// A request is answered without a WebSocket.
    Answering,
    Open(Weak<Duplex>),
}

impl Shared {
    pub(super) fn new(mut server: BoundServer, listener: ListeningSocket, wake: UnixStream) -> Self {
        let connections = Connections { listener: Some(listener), ..Connections::default() };
        Self {
            pool: ThreadPool::new(&server.settings.threads, server.spawner.take()),
            server,
            connections: Mutex::new(connections),
            listener_closed: Condvar::new(),
            wake,
        }
    }

    /// Registers a connection, so that a stop includes it.
    pub(super) fn register(self: &Arc<Self>, socket: &Arc<Socket>) -> Registration {
        let mut connections = self.connections();
        let id = connections.next_id;
        connections.next_id += 1;
        connections.by_id.insert(id, Entry { socket: socket.clone(), stage: Stage::Handshake });
        self.server.reporter.monitor().count_begun();
        Registration { id, shared: self.clone() }
    }

    /// Returns the listening socket, and makes this thread the accepting one. Returns `None` if the server has already
    /// stopped.
    pub(super) fn begin_accepting(&self) -> Option<ListeningSocket> {
        let mut connections = self.connections();
        let listener = connections.listener.take();
        connections.accepting = listener.is_some().then(|| thread::current().id());
        listener
    }

    /// Closes the listening socket if no thread serves it. This is necessary because handles may outlive the listener.
    pub(super) fn drop_listener(&self) {
        let listener = self.connections().listener.take();
        drop(listener);
    }

    /// Reports that the listening socket is closed.
    pub(super) fn end_accepting(&self) {
        self.connections().accepting = None;
        self.listener_closed.notify_all();
    }

    /// Returns the clients that had connected when the listening socket was closed, if there was no accepting thread.
    pub(super) fn take_late_clients(&self) -> Vec<AcceptedClient> {
        mem::take(&mut self.connections().late)
    }

    pub(super) fn stop(&self) -> Option<Stop> {
        self.connections().stop
    }

    /// Returns the number of connections.
    pub(super) fn len(&self) -> usize {
        self.connections().by_id.len()
    }

    /// Closes the listening socket and begins to close the connections.
    pub(super) fn begin_stop(&self, timeout: Duration) {
        self.server.reporter.stopping();
        let now = Instant::now();
        let until = now.checked_add(timeout);
        {
            let mut connections = self.connections();
            let stop =
                connections.stop.get_or_insert(Stop { handshakes_until: now + HANDSHAKE_GRACE, until });
            // The earliest deadline applies.
            stop.until = stop.until.into_iter().chain(until).min();
            // Under the same lock, so that a thread that begins to serve finds either the socket or all of its
            // clients.
            if let Some(listener) = connections.listener.take() {
                accept_waiting(&listener, |client| connections.late.push(client));
            }
        }
        // This fails if no thread accepts, or if the pipe is full of wake-ups.
        let _ = (&self.wake).write(&[1]);
        self.wait_for_listener(timeout.min(LISTENER_CLOSE_TIMEOUT));
        for duplex in self.open_connections() {
            // It cannot fail: this code and reason can be sent.
            let _ = duplex.close_without_waiting(CloseCode::GOING_AWAY, "the server stops");
        }
    }

    /// Waits until the accepting thread has closed the listening socket. Before that, the thread accepts the clients
    /// that have already connected.
    fn wait_for_listener(&self, timeout: Duration) {
        let me = thread::current().id();
        let is_open = |connections: &mut Connections| connections.accepting.is_some_and(|it| it != me);
        let waited = self.listener_closed.wait_timeout_while(self.connections(), timeout, is_open);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    fn open_connections(&self) -> Vec<Arc<Duplex>> {
        let duplex = |entry: &Entry| match &entry.stage {
            Stage::Open(duplex) => duplex.upgrade(),
            _ => None,
        };
        self.connections().by_id.values().filter_map(duplex).collect()
    }

    /// Waits until all connections except the one of this thread have ended. At the deadline, aborts the remaining
    /// ones. Returns `true` if no connection was aborted.
    pub(super) fn end_all(&self, stop: Stop) -> bool {
        let handshakes_until = stop.until.map_or(stop.handshakes_until, |it| it.min(stop.handshakes_until));
        if self.pool.close(Some(handshakes_until)) {
            return self.have_all_ended();
        }
        self.break_off(|stage| matches!(stage, Stage::Handshake));
        if !self.pool.close(stop.until) {
            self.connections().aborted = true;
            self.break_off(|_| true);
        }
        self.have_all_ended()
    }

    fn break_off(&self, is_meant: impl Fn(&Stage) -> bool) {
        let mut sockets = Vec::new();
        for entry in self.connections().by_id.values().filter(|entry| is_meant(&entry.stage)) {
            sockets.push(entry.socket.clone());
        }
        for socket in sockets {
            socket.shutdown(Shutdown::Both);
        }
    }

    /// Several threads may wait for the end, and another one may have aborted connections.
    fn have_all_ended(&self) -> bool {
        !self.connections().aborted
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts the clients that have already connected. Closing the listening socket would reset them.
pub(super) fn accept_waiting(listener: &ListeningSocket, mut admit: impl FnMut(AcceptedClient)) {
    listener.ignore_new_connections();
    loop {
        match listener.accept() {
            Ok((socket, peer)) => admit((socket, peer.as_socket())),
            // The client has disconnected.
            Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
            Err(_) => return,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("server", &self.server)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

/// A registered connection, which a stop of the server includes. Dropping it removes the connection.
pub(super) struct Registration {
    id: u64,
    shared: Arc<Shared>,
}

impl Registration {
    /// Reports that a request was received. Returns `false` if the server stops, and no WebSocket may be opened.
    pub(super) fn received_request(&self) -> bool {
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.by_id.get_mut(&self.id) {
            entry.stage = Stage::Answering;
        }
        connections.stop.is_none()
    }

    /// Reports that the opening handshake is complete. Returns `false` if the server stops.
    pub(super) fn opened(&self, duplex: &Arc<Duplex>) -> bool {
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.by_id.get_mut(&self.id) {
            entry.stage = Stage::Open(Arc::downgrade(duplex));
        }
        connections.stop.is_none()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.connections().by_id.remove(&self.id);
        self.shared.server.reporter.monitor().count_ended();
    }
}
