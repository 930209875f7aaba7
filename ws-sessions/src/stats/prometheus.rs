//! The counters of a server in the text format of Prometheus.

use std::fmt::Write as _;

use super::ServerStats;

impl ServerStats {
    /// Returns the counters in the Prometheus text format, for a page such as `/metrics`. Its content type is
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
        let normally = count(self.closed_normally);
        write("closed_normally_total", "counter", "WebSockets that ended normally.", normally);
        write("refused_total", "counter", "Requests that were refused.", count(self.refused));
        for (name, kind, help, value) in self.admission.lines() {
            write(name, kind, help, value);
        }
        write("tls_errors_total", "counter", "TLS handshakes that failed.", count(self.tls_errors));
        write("handler_errors_total", "counter", "Handlers that failed.", count(self.handler_errors));
        write("panics_total", "counter", "Panics in code of the application.", count(self.panics));
        let broken = count(self.protocol_errors);
        write("protocol_errors_total", "counter", "Peers that broke a rule of the protocol.", broken);
        write("disconnected_total", "counter", "Peers that were lost.", count(self.disconnected));
        write("pages_total", "counter", "Requests answered without a WebSocket.", count(self.pages));
        write("abandoned_total", "counter", "Clients that left without a request.", count(self.abandoned));
        write("memory_bytes", "gauge", "Memory of messages, output and responses.", self.memory as f64);
        write("evicted_total", "counter", "Connections closed for lack of memory.", count(self.evicted));
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

    /// Content type of [`to_prometheus`](Self::to_prometheus).
    pub const PROMETHEUS: &str = "text/plain; version=0.0.4";
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
