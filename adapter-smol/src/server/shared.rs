//! The connections of a server, shared by its listener and its handles, and their shutdown.

use std::{
    fmt,
    future::poll_fn,
    mem,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Poll, Waker},
    time::{Duration, Instant},
};

use async_io::{Async, Timer};
use futures_lite::future;
use slab::Slab;
use ws_core::{CloseCode, Response};
use ws_transport::{AdmittedClient, ListeningSocket};

use super::{BoundServer, accepting::Listeners, signals::Signals};
use crate::{
    current::{self, Key},
    duplex::Duplex,
};

/// Maximum number of refused clients that are answered at the same time.
const MAX_REFUSED: usize = 64;
/// Maximum time in which connected clients may send their request after a stop has started.
const HANDSHAKE_GRACE: Duration = Duration::from_secs(1);

/// An accepted client and its address.
pub(super) type AcceptedClient = (socket2::Socket, Option<SocketAddr>);

/// State that the listener, the connections and the handles of a server share.
pub(super) struct Shared {
    pub(super) server: BoundServer,
    pub(super) listeners: Listeners,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    begun: Slab<Entry>,
    refused: usize,
    stop: Option<Stop>,
    /// Clients that were already connected when the listening socket was closed.
    late: Vec<AcceptedClient>,
    /// `true` if some connections had not ended at the deadline and were aborted.
    aborted: bool,
    /// Tasks that wait for a change of this state.
    waiting: Vec<Waker>,
}

/// A stop that has started.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    /// Time until which clients may send their request.
    handshakes_until: Instant,
    /// Time at which all connections must have ended. `None` means no limit.
    until: Option<Instant>,
}

struct Entry {
    signals: Arc<Signals>,
    stage: Stage,
}

/// Progress of a connection.
#[derive(Clone)]
enum Stage {
    /// No request has been received yet.
    Handshake,
    /// A request is being answered without a WebSocket.
    Answering,
    Open(Weak<Duplex>),
}

/// Decision about a client that has connected.
pub(super) enum Place {
    Served(Registration),
    /// The client receives this response.
    Refused(RefusalSlot, Response),
    /// The client receives this response, and the server does not wait until it is read.
    Dismissed(Response),
    None,
}

/// A place among the refused clients that receive a response. Dropping it releases the place.
pub(super) struct RefusalSlot {
    shared: Arc<Shared>,
    _counted: AdmittedClient,
}

impl RefusalSlot {
    pub(super) fn server(&self) -> &BoundServer {
        &self.shared.server
    }
}

impl Drop for RefusalSlot {
    fn drop(&mut self) {
        self.shared.change(|connections| connections.refused -= 1);
    }
}

/// Accepting.
impl Shared {
    pub(super) fn new(server: BoundServer, listeners: Vec<Async<ListeningSocket>>) -> Self {
        let listeners = Listeners::new(listeners, server.settings.listen.nodelay);
        Self { server, listeners, connections: Mutex::default() }
    }

    /// Returns the clients that were already connected when the listening socket was closed.
    pub(super) fn take_late_clients(&self) -> Vec<AcceptedClient> {
        mem::take(&mut self.connections().late)
    }

    /// Admits a client, and registers its connection, so that a stop includes it.
    pub(super) fn register(self: &Arc<Self>, peer: Option<SocketAddr>) -> Place {
        let BoundServer { gate, reporter, .. } = &self.server;
        match gate.admit(peer, reporter) {
            Ok(client) => {
                let signals = Arc::new(Signals::default());
                let entry = Entry { signals: signals.clone(), stage: Stage::Handshake };
                let id = self.connections().begun.insert(entry);
                reporter.monitor().count_begun();
                Place::Served(Registration { id, signals, client, shared: self.clone() })
            }
            // A client that expects TLS cannot read a plain-text response.
            Err(Some(response)) if self.server.tls_config.is_none() => self.refuse(response),
            Err(_) => Place::None,
        }
    }

    fn refuse(self: &Arc<Self>, response: Response) -> Place {
        let Some(counted) = self.server.gate.admission().linger() else { return Place::Dismissed(response) };
        let mut connections = self.connections();
        if connections.refused == MAX_REFUSED {
            return Place::Dismissed(response);
        }
        connections.refused += 1;
        drop(connections);
        Place::Refused(RefusalSlot { shared: self.clone(), _counted: counted }, response)
    }

    /// Returns the number of connections.
    pub(super) fn len(&self) -> usize {
        self.connections().begun.len()
    }
}

/// Stopping.
impl Shared {
    /// Closes the listening socket and starts to close the connections.
    pub(super) fn begin_stop(&self, timeout: Duration) {
        self.server.reporter.stopping();
        let now = Instant::now();
        let until = now.checked_add(timeout);
        let listeners = self.listeners.stopping();
        let late = listeners.accept_waiting();
        let mut connections = self.connections();
        let stop = connections.stop.get_or_insert(Stop { handshakes_until: now + HANDSHAKE_GRACE, until });
        // The earliest of several deadlines applies.
        stop.until = stop.until.into_iter().chain(until).min();
        connections.late.extend(late);
        let waiting = mem::take(&mut connections.waiting);
        drop(connections);
        listeners.close();
        waiting.into_iter().for_each(Waker::wake);
        // Checks that wait end now.
        for (signals, _) in self.entries(|stage| matches!(stage, Stage::Answering)) {
            signals.wake();
        }
        for (_, stage) in self.entries(|stage| matches!(stage, Stage::Open(_))) {
            if let Some(duplex) = stage.duplex() {
                // This cannot fail, because the code and the reason are valid.
                let _ = duplex.begin_close(CloseCode::GOING_AWAY, "the server stops");
            }
        }
    }

    /// Waits until a stop has started.
    pub(super) async fn stopped(&self) -> Stop {
        let mut begun = None;
        self.until(|connections| {
            begun = connections.stop;
            begun.is_some()
        })
        .await;
        begun.unwrap_or_else(|| {
            let now = Instant::now();
            Stop { handshakes_until: now, until: Some(now) }
        })
    }

    /// Waits for all connections to end, except the one that polls this future. At the deadline it aborts the
    /// remaining connections. Returns `true` if no connection was aborted.
    pub(super) async fn end_all(&self, stop: Stop) -> bool {
        let own = current::number(self.owner());
        let handshakes_until = stop.until.map_or(stop.handshakes_until, |it| it.min(stop.handshakes_until));
        if !self.have_ended_by(own, Some(handshakes_until)).await {
            self.cancel(|stage| matches!(stage, Stage::Handshake));
            if !self.have_ended_by(own, stop.until).await {
                self.connections().aborted = true;
                self.cancel(|_| true);
            }
        }
        // A handle and the listener may both wait here, and the other one may have aborted connections first.
        !self.connections().aborted
    }

    /// Waits until all connections have ended, or until `deadline`. Returns `true` if all have ended.
    async fn have_ended_by(&self, own: Option<usize>, deadline: Option<Instant>) -> bool {
        let have_ended = async {
            self.until(|connections| {
                let is_own = own.is_some_and(|own| connections.begun.contains(own));
                connections.begun.len() == usize::from(is_own)
            })
            .await;
            true
        };
        let is_late = async {
            deadline.map_or_else(Timer::never, Timer::at).await;
            false
        };
        future::or(have_ended, is_late).await
    }

    /// Waits until all connections have ended and all refused clients have received their response, for at most
    /// `timeout`.
    pub(super) async fn wait_until_quiet(&self, timeout: Duration) {
        let is_quiet = self.until(|connections| connections.begun.is_empty() && connections.refused == 0);
        future::or(is_quiet, async {
            Timer::after(timeout).await;
        })
        .await;
    }

    fn cancel(&self, is_meant: impl Fn(&Stage) -> bool) {
        for (signals, stage) in self.entries(is_meant) {
            signals.cancel();
            if let Some(duplex) = stage.duplex() {
                duplex.abandon();
            }
        }
    }

    fn entries(&self, is_meant: impl Fn(&Stage) -> bool) -> Vec<(Arc<Signals>, Stage)> {
        let connections = self.connections();
        let meant = connections.begun.iter().filter(|(_, entry)| is_meant(&entry.stage));
        meant.map(|(_, entry)| (entry.signals.clone(), entry.stage.clone())).collect()
    }

    /// Waits until the connections satisfy a condition.
    async fn until(&self, mut condition: impl FnMut(&Connections) -> bool) {
        poll_fn(|cx| {
            let mut connections = self.connections();
            if condition(&connections) {
                return Poll::Ready(());
            }
            if !connections.waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                connections.waiting.push(cx.waker().clone());
            }
            Poll::Pending
        })
        .await;
    }

    /// Applies a change and wakes the waiting tasks after the lock is released.
    fn change<T>(&self, change: impl FnOnce(&mut Connections) -> T) -> T {
        let mut connections = self.connections();
        let changed = change(&mut connections);
        let waiting =
            if connections.stop.is_some() { mem::take(&mut connections.waiting) } else { Vec::new() };
        drop(connections);
        waiting.into_iter().for_each(Waker::wake);
        changed
    }

    /// Returns a number that is unique among all servers that currently exist.
    fn owner(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stage {
    fn duplex(&self) -> Option<Arc<Duplex>> {
        match self {
            Self::Open(duplex) => duplex.upgrade(),
            _ => None,
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("server", &self.server).finish_non_exhaustive()
    }
}

/// The entry of a connection in the list of connections to stop. Dropping it removes the entry.
pub(super) struct Registration {
    id: usize,
    signals: Arc<Signals>,
    client: AdmittedClient,
    shared: Arc<Shared>,
}

impl Registration {
    pub(super) fn server(&self) -> &BoundServer {
        &self.shared.server
    }

    /// Returns the key that identifies the task of this connection while it is polled.
    pub(super) fn key(&self) -> Key {
        (self.shared.owner(), self.id)
    }

    /// Records that a request was received. Returns `false` if the server is stopping, so that no WebSocket may be
    /// opened.
    pub(super) fn received_request(&self) -> bool {
        self.enter(Stage::Answering)
    }

    /// Records that the opening handshake is complete. Returns `false` if the server is stopping.
    pub(super) fn opened(&self, duplex: &Arc<Duplex>) -> bool {
        self.client.open();
        self.enter(Stage::Open(Arc::downgrade(duplex)))
    }

    fn enter(&self, stage: Stage) -> bool {
        let mut connections = self.shared.connections();
        if let Some(entry) = connections.begun.get_mut(self.id) {
            entry.stage = stage;
        }
        connections.stop.is_none()
    }

    /// Reports that only the end of the client's stream is awaited, so that another client can be admitted. Returns
    /// `false` if the stream must be closed at once.
    pub(super) fn linger(&self) -> bool {
        self.client.linger()
    }

    /// Waits until the server is to stop.
    pub(super) async fn stopping(&self) {
        self.signals.until(|| self.shared.connections().stop.is_some()).await;
    }

    /// Returns the signals for the task of this connection.
    pub(super) const fn signals(&self) -> &Arc<Signals> {
        &self.signals
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        // First, so that a server without connections admits clients.
        self.client.end();
        self.shared.server.reporter.monitor().count_ended();
        drop(self.shared.change(|connections| connections.begun.try_remove(self.id)));
    }
}
