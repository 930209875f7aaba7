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
use ws_transport::{AdmittedClient, ListeningSocket};

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
    /// A connection has ended.
    ended: Condvar,
    /// Wakes the accepting thread.
    wake: UnixStream,
}

#[derive(Default)]
struct Connections {
    /// The listening sockets. `None` after a thread has begun to serve them, or after the server has stopped.
    listeners: Option<Vec<ListeningSocket>>,
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
    /// The thread that serves the connection.
    thread: ThreadId,
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
    pub(super) fn new(mut server: BoundServer, listeners: Vec<ListeningSocket>, wake: UnixStream) -> Self {
        let connections = Connections { listeners: Some(listeners), ..Connections::default() };
        let admission = server.gate.admission();
        let most = admission.max_connections().saturating_add(admission.max_lingering());
        Self {
            pool: ThreadPool::new(&(server.settings.min_threads..=most), server.spawner.take()),
            server,
            connections: Mutex::new(connections),
            listener_closed: Condvar::new(),
            ended: Condvar::new(),
            wake,
        }
    }

    /// Registers a connection, so that a stop includes it.
    pub(super) fn register(self: &Arc<Self>, socket: &Arc<Socket>, client: AdmittedClient) -> Registration {
        let mut connections = self.connections();
        let id = connections.next_id;
        connections.next_id += 1;
        let (socket, thread) = (socket.clone(), thread::current().id());
        connections.by_id.insert(id, Entry { socket, thread, stage: Stage::Handshake });
        self.server.reporter.monitor().count_begun();
        Registration { id, client, shared: self.clone() }
    }

    /// Returns the listening sockets, and makes this thread the accepting one. Returns `None` if the server has already
    /// stopped.
    pub(super) fn begin_accepting(&self) -> Option<Vec<ListeningSocket>> {
        let mut connections = self.connections();
        let listeners = connections.listeners.take();
        connections.accepting = listeners.is_some().then(|| thread::current().id());
        listeners
    }

    /// Closes the listening sockets if no thread serves them. This is necessary because handles may outlive the listener.
    pub(super) fn drop_listener(&self) {
        let listeners = self.connections().listeners.take();
        drop(listeners);
    }

    /// Reports that the listening sockets are closed.
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
            if let Some(listeners) = connections.listeners.take() {
                accept_waiting(&listeners, |client| connections.late.push(client));
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
        if self.wait_for_end(Some(handshakes_until)) {
            return self.have_all_ended();
        }
        self.break_off(|stage| matches!(stage, Stage::Handshake));
        if !self.wait_for_end(stop.until) {
            self.connections().aborted = true;
            self.break_off(|_| true);
        }
        self.have_all_ended()
    }

    /// Waits until all connections except those of this thread have ended. Returns `false` at the deadline.
    fn wait_for_end(&self, deadline: Option<Instant>) -> bool {
        if !self.pool.close(deadline) {
            return false;
        }
        // The remaining connections run on threads of the application.
        let me = thread::current().id();
        let are_running =
            |connections: &mut Connections| connections.by_id.values().any(|it| it.thread != me);
        let connections = self.connections();
        let Some(deadline) = deadline else {
            drop(self.ended.wait_while(connections, are_running).unwrap_or_else(PoisonError::into_inner));
            return true;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        let waited = self.ended.wait_timeout_while(connections, left, are_running);
        !waited.unwrap_or_else(PoisonError::into_inner).1.timed_out()
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

/// Accepts the clients that have already connected. Closing the listening sockets would reset them.
pub(super) fn accept_waiting(listeners: &[ListeningSocket], mut admit: impl FnMut(AcceptedClient)) {
    for listener in listeners {
        listener.ignore_new_connections();
        loop {
            match listener.accept() {
                Ok((socket, peer)) => admit((socket, peer.as_socket())),
                // The client has disconnected.
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
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
    client: AdmittedClient,
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
        self.client.open();
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.by_id.get_mut(&self.id) {
            entry.stage = Stage::Open(Arc::downgrade(duplex));
        }
        connections.stop.is_none()
    }

    /// Reports that only the end of the client's stream is awaited, so that another client can be admitted. Returns
    /// `false` if the stream must be closed at once.
    pub(super) fn linger(&self) -> bool {
        self.client.linger()
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // First, so that a server without connections admits clients.
        self.client.end();
        self.shared.connections().by_id.remove(&self.id);
        self.shared.server.reporter.monitor().count_ended();
        self.shared.ended.notify_all();
    }
}
