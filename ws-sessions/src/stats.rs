mod admission;
mod prometheus;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ws_transport::{Admission, Driver, RefusalReason, ServerMemory, Traffic};

use self::admission::AdmissionCounters;
use crate::{ConnectionErrorKind, SessionBackend, log};

pub use admission::AdmissionStats;

/// Counters of a session, or of the connection of a handler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Number of messages received.
    pub messages_received: u64,
    /// Payload bytes received, after decompression.
    pub bytes_received: u64,
    /// Number of messages accepted for sending. Messages that were `dropped` later are included.
    pub messages_sent: u64,
    /// Payload bytes of these messages, before compression.
    pub bytes_sent: u64,
    /// Number of the peer's pings that were answered.
    pub pings_received: u64,
    /// Number of messages that were dropped because the peer read too slowly.
    pub dropped: u64,
    /// Number of times that the peer fell so far behind that messages were dropped.
    pub lagged: u64,
    /// Number of bytes that wait to be written now.
    pub buffered: usize,
    /// Round-trip time of the last answered keepalive ping. In a sum, the longest of all sessions.
    pub latency: Option<Duration>,
}

impl SessionStats {
    /// Returns the counters and gauges of a connection.
    #[must_use]
    pub fn of_connection(connection: &impl SessionBackend) -> Self {
        let mut stats = Self::default();
        connection.look(&mut |driver| {
            stats = Self::of(driver.traffic());
            stats.add_gauges(driver);
        });
        stats
    }

    /// Returns the counters of a connection. The gauges are empty.
    pub(crate) fn of(traffic: &Traffic) -> Self {
        Self {
            messages_received: traffic.messages_received.get(),
            bytes_received: traffic.bytes_received.get(),
            messages_sent: traffic.messages_sent.get(),
            bytes_sent: traffic.bytes_sent.get(),
            pings_received: traffic.pings_received.get(),
            dropped: traffic.dropped.get(),
            lagged: traffic.lagged.get(),
            buffered: 0,
            latency: None,
        }
    }

    /// Adds the counters of `other`.
    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    /// Adds the gauges of a connection, which can also decrease.
    pub(crate) fn add_gauges(&mut self, driver: &Driver) {
        self.buffered += driver.buffered();
        self.latency = self.latency.max(driver.connection.latency());
    }

    /// Subtracts an earlier state of the same counters. The result may wrap around until a later state is added, which
    /// is at least as large.
    pub(crate) fn subtract(&mut self, before: &Self) {
        self.combine(before, u64::wrapping_sub);
    }

    fn combine(&mut self, other: &Self, combine: fn(u64, u64) -> u64) {
        for (mine, theirs) in [
            (&mut self.messages_received, other.messages_received),
            (&mut self.bytes_received, other.bytes_received),
            (&mut self.messages_sent, other.messages_sent),
            (&mut self.bytes_sent, other.bytes_sent),
            (&mut self.pings_received, other.pings_received),
            (&mut self.dropped, other.dropped),
            (&mut self.lagged, other.lagged),
        ] {
            *mine = combine(*mine, theirs);
        }
    }
}

/// Counters of a set of sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Number of current sessions.
    pub open: usize,
    /// Number of sessions so far, including those that have ended or left.
    pub opened: u64,
    /// Sums over all these sessions.
    pub sum: SessionStats,
}

/// Counters of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// Number of current connections, with handlers and with callbacks. Opening handshakes and clients that
    /// [linger](AdmissionStats::lingering) after their connection are included.
    pub connections: u64,
    /// Number of WebSockets opened.
    pub accepted: u64,
    /// Number of opened WebSockets that have ended [normally](ws_core::CloseInfo::is_normal).
    pub closed_normally: u64,
    /// Number of requests that were refused, with the refused clients of `admission`. See
    /// [`ConnectionErrorKind::Refused`].
    pub refused: u64,
    /// Counters of the admission of clients.
    pub admission: AdmissionStats,
    /// Number of TLS handshakes that failed.
    pub tls_errors: u64,
    /// Number of handlers that returned an error.
    pub handler_errors: u64,
    /// Number of panics in code of the application.
    pub panics: u64,
    /// Number of peers that violated the WebSocket protocol.
    pub protocol_errors: u64,
    /// Number of peers that were lost: broken streams, missed deadlines, and close codes such as 1011.
    pub disconnected: u64,
    /// Number of requests that were answered without an attempt to open a WebSocket, such as requests for a page.
    pub pages: u64,
    /// Number of clients that left before the first byte of a request arrived, for example during the TLS handshake.
    /// Port scanners and TCP health checks do this, and so do browsers that connect in advance.
    pub abandoned: u64,
    /// Memory in bytes of messages that are being received, of unwritten output and of responses. It counts in steps of
    /// 16 KiB, and connections with less than one step do not count. See `Server::memory_limit`.
    pub memory: usize,
    /// Number of connections that were closed with 1013, and of responses that were cut, because the server exceeded its
    /// memory limit.
    pub evicted: u64,
    /// Sums over all WebSockets of the server, with handlers and with callbacks.
    pub sessions: Stats,
}

/// A handle to the counters of a server.
#[derive(Clone, Debug, Default)]
pub struct ServerMetrics(Arc<ConnectionCounts>);

#[derive(Debug, Default)]
struct ConnectionCounts {
    begun: AtomicU64,
    ended: AtomicU64,
    accepted: AtomicU64,
    closed_normally: AtomicU64,
    refused: AtomicU64,
    admission: AdmissionCounters,
    tls_errors: AtomicU64,
    handler_errors: AtomicU64,
    panics: AtomicU64,
    protocol_errors: AtomicU64,
    disconnected: AtomicU64,
    pages: AtomicU64,
    abandoned: AtomicU64,
    memory: Arc<ServerMemory>,
    open: Mutex<Open>,
}

/// The WebSockets of a server.
#[derive(Debug, Default)]
struct Open {
    by_number: HashMap<u64, (Weak<dyn SessionBackend>, Arc<Traffic>)>,
    /// Sums over the WebSockets that have ended.
    ended: Stats,
}

/// A WebSocket of a server. Its traffic is counted until this is dropped.
#[derive(Debug)]
pub struct CountedConnection {
    monitor: ServerMetrics,
    number: u64,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let open = &mut *self.monitor.open();
        if let Some((_, traffic)) = open.by_number.remove(&self.number) {
            // Both changes happen under one lock, so that no sum decreases.
            open.ended.sum.add(&SessionStats::of(&traffic));
        }
    }
}

/// A client that has not sent a request yet. If it is dropped in this state, it counts as [`ServerStats::abandoned`].
#[derive(Debug)]
pub struct AwaitedRequest(Option<ServerMetrics>);

impl AwaitedRequest {
    /// Reports that a request was received or refused.
    pub fn received(mut self) {
        self.0 = None;
    }
}

impl Drop for AwaitedRequest {
    fn drop(&mut self) {
        if let Some(monitor) = &self.0 {
            monitor.0.abandoned.fetch_add(1, Relaxed);
            log::abandoned();
        }
    }
}

impl ServerMetrics {
    /// Returns the counters of the server. A counter is never smaller than in an earlier result.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        // This order ensures that the number of ended connections does not exceed the number of begun ones.
        let ended = self.0.ended.load(Relaxed);
        ServerStats {
            connections: self.0.begun.load(Relaxed).saturating_sub(ended),
            accepted: self.0.accepted.load(Relaxed),
            closed_normally: self.0.closed_normally.load(Relaxed),
            refused: self.0.refused.load(Relaxed),
            admission: self.0.admission.stats(),
            tls_errors: self.0.tls_errors.load(Relaxed),
            handler_errors: self.0.handler_errors.load(Relaxed),
            panics: self.0.panics.load(Relaxed),
            protocol_errors: self.0.protocol_errors.load(Relaxed),
            disconnected: self.0.disconnected.load(Relaxed),
            pages: self.0.pages.load(Relaxed),
            abandoned: self.0.abandoned.load(Relaxed),
            memory: self.0.memory.budget().used(),
            evicted: self.0.memory.evicted(),
            sessions: self.sessions(),
        }
    }

    /// Reports the numbers of clients of this admission from now on.
    pub fn observe(&self, admission: &Arc<Admission>) {
        self.0.admission.observe(admission);
    }

    /// Counts a client that was refused before it sent a request.
    pub fn count_refusal(&self, reason: RefusalReason) {
        self.0.admission.count(reason);
    }

    /// Returns the memory of the server's connections.
    #[must_use]
    pub fn memory(&self) -> &Arc<ServerMemory> {
        &self.0.memory
    }

    fn sessions(&self) -> Stats {
        let (backends, mut stats) = {
            let open = self.open();
            let mut stats = open.ended.clone();
            stats.open = open.by_number.len();
            for (_, traffic) in open.by_number.values() {
                stats.sum.add(&SessionStats::of(traffic));
            }
            (open.by_number.values().map(|(backend, _)| backend.clone()).collect::<Vec<_>>(), stats)
        };
        // The lock is released here, because another thread may hold the lock of the connection.
        for backend in backends.iter().filter_map(Weak::upgrade) {
            backend.look(&mut |driver| stats.sum.add_gauges(driver));
        }
        stats
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the traffic of a WebSocket that was opened.
    #[must_use]
    pub fn count_open<B: SessionBackend + 'static>(&self, backend: &Arc<B>) -> CountedConnection {
        let mut traffic = Arc::default();
        backend.look(&mut |driver| traffic = driver.traffic().clone());
        let open = &mut *self.open();
        let number = open.ended.opened;
        open.ended.opened += 1;
        let backend: Weak<dyn SessionBackend> = Arc::<B>::downgrade(backend);
        open.by_number.insert(number, (backend, traffic));
        CountedConnection { monitor: self.clone(), number }
    }

    /// Begins to wait for the request of a client. Until it arrives, the client may count as abandoned.
    #[must_use]
    pub fn await_request(&self) -> AwaitedRequest {
        AwaitedRequest(Some(self.clone()))
    }

    /// Counts a request that was answered without an attempt to open a WebSocket.
    pub fn count_page(&self) {
        self.0.pages.fetch_add(1, Relaxed);
    }

    /// Counts a client that has connected.
    pub fn count_begun(&self) {
        self.0.begun.fetch_add(1, Relaxed);
    }

    /// Counts a connection that has ended in any way.
    pub fn count_ended(&self) {
        self.0.ended.fetch_add(1, Relaxed);
    }

    /// Returns the number of current connections.
    pub(crate) fn connections(&self) -> u64 {
        let ended = self.0.ended.load(Relaxed);
        self.0.begun.load(Relaxed).saturating_sub(ended)
    }

    /// Counts the end of a WebSocket that was opened.
    pub(crate) fn count_end(&self, is_normal: bool) {
        self.0.closed_normally.fetch_add(u64::from(is_normal), Relaxed);
    }

    /// Counts an opened WebSocket.
    pub fn count_accepted(&self) {
        self.0.accepted.fetch_add(1, Relaxed);
    }

    /// Counts an error.
    pub fn count_error(&self, kind: ConnectionErrorKind) {
        let counter = match kind {
            ConnectionErrorKind::Tls => &self.0.tls_errors,
            ConnectionErrorKind::Refused => &self.0.refused,
            ConnectionErrorKind::Handler => &self.0.handler_errors,
            ConnectionErrorKind::Panic => &self.0.panics,
            ConnectionErrorKind::Protocol => &self.0.protocol_errors,
            ConnectionErrorKind::Disconnected => &self.0.disconnected,
        };
        counter.fetch_add(1, Relaxed);
    }
}
