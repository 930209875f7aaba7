use std::{
    fmt::Write as _,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use crate::{ConnectionErrorKind, Sessions};

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
    /// Adds counters.
    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, u64::wrapping_add);
    }

    /// Adds the figures that are no counters.
    pub(crate) fn add_gauges(&mut self, other: &Self) {
        self.buffered += other.buffered;
        self.latency = self.latency.max(other.latency);
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
    /// What sessions counted.
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
        write("sessions", "gauge", "Open sessions.", self.sessions.open as f64);
        write("sessions_total", "counter", "Sessions opened.", count(self.sessions.opened));
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
}

impl Monitor {
    /// What the server has counted, and these sessions.
    #[must_use]
    pub fn stats(&self, sessions: &Sessions) -> ServerStats {
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
            sessions: sessions.stats(),
        }
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

/// The counters of one session.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    messages_received: AtomicU64,
    bytes_received: AtomicU64,
    messages_sent: AtomicU64,
    bytes_sent: AtomicU64,
    pings_received: AtomicU64,
    dropped: AtomicU64,
    lagged: AtomicU64,
}

impl Counters {
    pub(crate) fn received(&self, bytes: usize) {
        self.messages_received.fetch_add(1, Relaxed);
        self.bytes_received.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.messages_sent.fetch_add(1, Relaxed);
        self.bytes_sent.fetch_add(bytes as u64, Relaxed);
    }

    pub(crate) fn pinged(&self) {
        self.pings_received.fetch_add(1, Relaxed);
    }

    pub(crate) fn dropped(&self, messages: usize, lagged: bool) {
        self.dropped.fetch_add(messages as u64, Relaxed);
        self.lagged.fetch_add(u64::from(lagged), Relaxed);
    }

    pub(crate) fn read(&self) -> SessionStats {
        SessionStats {
            messages_received: self.messages_received.load(Relaxed),
            bytes_received: self.bytes_received.load(Relaxed),
            messages_sent: self.messages_sent.load(Relaxed),
            bytes_sent: self.bytes_sent.load(Relaxed),
            pings_received: self.pings_received.load(Relaxed),
            dropped: self.dropped.load(Relaxed),
            lagged: self.lagged.load(Relaxed),
            buffered: 0,
            latency: None,
        }
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
