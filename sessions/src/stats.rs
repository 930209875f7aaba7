use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use ws_transport::{Driver, Traffic};

use crate::{ConnectionErrorKind, SessionBackend};

/// What a session has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionStats {
    /// Messages received.
    pub messages_received: u64,
    /// Bytes of their payloads, inflated.
    pub bytes_received: u64,
    /// Messages that were taken to be sent, those `dropped` later included.
    pub messages_sent: u64,
    /// Bytes of their payloads, before compression.
    pub bytes_sent: u64,
    /// Pings of the peer that were answered.
    pub pings_received: u64,
    /// Messages that were dropped because the peer read too slowly.
    pub dropped: u64,
    /// How many times the peer fell so far behind that messages were dropped.
    pub lagged: u64,
    /// How many bytes wait to be written now.
    pub buffered: usize,
    /// How long the last answered keepalive ping took; the longest, where sessions are summed up.
    pub latency: Option<Duration>,
}

impl SessionStats {
    /// Returns the counters of a connection.
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

    /// Adds counters.
    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    /// Adds the figures that are no counters.
    pub(crate) fn add_gauges(&mut self, driver: &Driver) {
        self.buffered += driver.buffered();
        self.latency = self.latency.max(driver.connection.latency());
    }

    /// Takes off what was counted before; what is added later is more, so that it may wrap meanwhile.
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

/// What a set of sessions has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// How many sessions there are.
    pub open: usize,
    /// How many there have ever been.
    pub opened: u64,
    /// The sums over all of them.
    pub sum: SessionStats,
}

/// What a server has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerStats {
    /// How many connections there are, those with callbacks and those without, handshakes included.
    pub connections: u64,
    /// How many WebSockets were opened.
    pub accepted: u64,
    /// Number of requests that were refused, see [`ConnectionErrorKind::Refused`].
    pub refused: u64,
    /// Number of TLS handshakes that failed.
    pub tls_errors: u64,
    /// Number of handlers that returned an error.
    pub handler_errors: u64,
    /// Number of panics in code of the application.
    pub panics: u64,
    /// Number of peers that broke a rule of the protocol.
    pub protocol_errors: u64,
    /// Number of peers that were lost: broken streams, missed deadlines, Closes with a code such as 1011.
    pub disconnected: u64,
    /// Number of requests that were answered without an attempt to open a WebSocket, such as those for a page.
    pub pages: u64,
    /// Number of clients that left before any byte of a request had come, in the middle of the TLS handshake for instance.
    /// Port scans and TCP health checks do so, and browsers that connect ahead of need.
    pub abandoned: u64,
    /// Sums of all WebSockets of the server, those of handlers and those of callbacks.
    pub sessions: Stats,
}

impl ServerStats {
    /// The figures in the text format of Prometheus, to be served on `/metrics` as
    /// [`PROMETHEUS`](Self::PROMETHEUS).
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        let sum = &self.sessions.sum;
        let mut text = String::new();
        let mut write = |name: &str, kind: &str, help: &str, value: f64| {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP websocket_{name} {help}\n# TYPE websocket_{name} {kind}\n");
            let _ = writeln!(text, "websocket_{name} {value}");
        };
        let count = |value: u64| value as f64;
        write("connections", "gauge", "Open connections, handshakes included.", count(self.connections));
        write("accepted_total", "counter", "WebSockets opened.", count(self.accepted));
        write("refused_total", "counter", "Requests that were refused.", count(self.refused));
        write("tls_errors_total", "counter", "TLS handshakes that failed.", count(self.tls_errors));
        write("handler_errors_total", "counter", "Handlers that failed.", count(self.handler_errors));
        write("panics_total", "counter", "Panics in code of the application.", count(self.panics));
        let broken = count(self.protocol_errors);
        write("protocol_errors_total", "counter", "Peers that broke a rule of the protocol.", broken);
        write("disconnected_total", "counter", "Peers that were lost.", count(self.disconnected));
        write("pages_total", "counter", "Requests answered without a WebSocket.", count(self.pages));
        write("abandoned_total", "counter", "Clients that left without a request.", count(self.abandoned));
        write("sessions", "gauge", "Open WebSockets.", self.sessions.open as f64);
        write("sessions_total", "counter", "WebSockets handled.", count(self.sessions.opened));
        write("messages_received_total", "counter", "Messages received.", count(sum.messages_received));
        write("received_bytes_total", "counter", "Payload received.", count(sum.bytes_received));
        write("messages_sent_total", "counter", "Messages sent, dropped ones too.", count(sum.messages_sent));
        write("sent_bytes_total", "counter", "Payload sent, dropped too.", count(sum.bytes_sent));
        write("pings_received_total", "counter", "Pings answered.", count(sum.pings_received));
        write("dropped_total", "counter", "Messages dropped for slow peers.", count(sum.dropped));
        write("lagged_total", "counter", "Times that a peer fell behind.", count(sum.lagged));
        write("buffered_bytes", "gauge", "Bytes that wait to be written.", sum.buffered as f64);
        if let Some(latency) = sum.latency {
            write("latency_seconds", "gauge", "The longest latency of a session.", latency.as_secs_f64());
        }
        text
    }

    /// The content type of [`to_prometheus`](Self::to_prometheus).
    pub const PROMETHEUS: &str = "text/plain; version=0.0.4";
}

/// Counts the connections of a server; a handle to what is counted.
#[derive(Clone, Debug, Default)]
pub struct Monitor(Arc<Connections>);

#[derive(Debug, Default)]
struct Connections {
    begun: AtomicU64,
    ended: AtomicU64,
    accepted: AtomicU64,
    refused: AtomicU64,
    tls_errors: AtomicU64,
    handler_errors: AtomicU64,
    panics: AtomicU64,
    protocol_errors: AtomicU64,
    disconnected: AtomicU64,
    pages: AtomicU64,
    abandoned: AtomicU64,
    open: Mutex<Open>,
}

/// The WebSockets of a server.
#[derive(Debug, Default)]
struct Open {
    by_number: HashMap<u64, (Weak<dyn SessionBackend>, Arc<Traffic>)>,
    /// Sums of those that have ended.
    ended: Stats,
}

/// A WebSocket of a server, whose traffic is counted until this is dropped.
#[derive(Debug)]
pub struct CountedConnection {
    monitor: Monitor,
    number: u64,
}

impl Drop for CountedConnection {
    fn drop(&mut self) {
        let open = &mut *self.monitor.open();
        if let Some((_, traffic)) = open.by_number.remove(&self.number) {
            // Under the same lock, so that no total is smaller than the one before.
            open.ended.sum.add(&SessionStats::of(&traffic));
        }
    }
}

/// A client that has not sent a request yet. Dropped before it has, it counts as [`ServerStats::abandoned`].
#[derive(Debug)]
pub struct AwaitedRequest(Option<Monitor>);

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
        }
    }
}

impl Monitor {
    /// Returns the counters of the server. No counter is ever smaller than in an earlier answer.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        // Read in this order, no more have ended than begun.
        let ended = self.0.ended.load(Relaxed);
        ServerStats {
            connections: self.0.begun.load(Relaxed).saturating_sub(ended),
            accepted: self.0.accepted.load(Relaxed),
            refused: self.0.refused.load(Relaxed),
            tls_errors: self.0.tls_errors.load(Relaxed),
            handler_errors: self.0.handler_errors.load(Relaxed),
            panics: self.0.panics.load(Relaxed),
            protocol_errors: self.0.protocol_errors.load(Relaxed),
            disconnected: self.0.disconnected.load(Relaxed),
            pages: self.0.pages.load(Relaxed),
            abandoned: self.0.abandoned.load(Relaxed),
            sessions: self.sessions(),
        }
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
        // Without the lock: another thread may hold that of the connection.
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

    /// Counts a client that sends no request.
    #[must_use]
    pub fn await_request(&self) -> AwaitedRequest {
        AwaitedRequest(Some(self.clone()))
    }

    /// Counts a request that was answered without an attempt to open a WebSocket.
    pub fn count_page(&self) {
        self.0.pages.fetch_add(1, Relaxed);
    }

    /// A client has connected.
    pub fn count_begun(&self) {
        self.0.begun.fetch_add(1, Relaxed);
    }

    /// A connection has ended, whatever had become of it.
    pub fn count_ended(&self) {
        self.0.ended.fetch_add(1, Relaxed);
    }

    /// A WebSocket was opened.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_figure_has_its_line_for_prometheus() {
        let mut stats = ServerStats { connections: 3, refused: 7, panics: 2, ..ServerStats::default() };
        stats.sessions.sum.latency = Some(Duration::from_millis(1500));
        let text = stats.to_prometheus();
        for line in [
            "websocket_connections 3",
            "websocket_refused_total 7",
            "websocket_panics_total 2",
            "websocket_disconnected_total 0",
            "websocket_latency_seconds 1.5",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is not in\n{text}");
        }
        let kinds = text.lines().filter(|line| line.starts_with("# TYPE")).count();
        let values = text.lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(kinds, values);
    }
}
