use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use ws_transport::{Admission, RefusalReason};

/// Counters of the admission of clients to a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionStats {
    /// Maximum number of connections. 0 before the server has bound.
    pub max_connections: usize,
    /// Number of clients in the opening handshake. Clients that receive a page or another response are included.
    pub handshakes: usize,
    /// Number of clients that have received their last byte and have not closed their side yet.
    pub lingering: usize,
    /// Number of clients that were refused because of `max_connections`.
    pub too_many_connections: u64,
    /// Number of clients that were refused because of `max_connections_per_address`.
    pub too_many_from_address: u64,
    /// Number of clients that were refused because of `max_handshakes`.
    pub too_many_handshakes: u64,
    /// Number of clients that were refused because of `max_handshake_rate_per_address`.
    pub handshake_rate: u64,
    /// Number of clients that the admission check of the application refused.
    pub check: u64,
    /// Number of clients that were refused because the operating system had no file descriptor or thread for them.
    pub shortage: u64,
}

impl AdmissionStats {
    /// Returns the name, type, help text and value of each figure for Prometheus.
    pub(super) fn lines(&self) -> [(&'static str, &'static str, &'static str, f64); 9] {
        let gauge = |name, help, value: usize| (name, "gauge", help, value as f64);
        let refused = |name, help, value: u64| (name, "counter", help, value as f64);
        let Self { too_many_connections, too_many_from_address, too_many_handshakes, .. } = *self;
        [
            gauge("max_connections", "Maximum number of connections.", self.max_connections),
            gauge("handshakes", "Opening handshakes in progress.", self.handshakes),
            gauge("lingering", "Clients that have not closed after the end.", self.lingering),
            refused("refused_too_many_connections_total", "Clients beyond the limit.", too_many_connections),
            refused(
                "refused_too_many_from_address_total",
                "Clients beyond that of an address.",
                too_many_from_address,
            ),
            refused(
                "refused_too_many_handshakes_total",
                "Clients beyond that of handshakes.",
                too_many_handshakes,
            ),
            refused(
                "refused_handshake_rate_total",
                "Clients beyond the handshake rate.",
                self.handshake_rate,
            ),
            refused("refused_check_total", "Clients that the admission check refused.", self.check),
            refused("refused_shortage_total", "Clients without descriptor or thread.", self.shortage),
        ]
    }
}

/// The sources of [`AdmissionStats`].
#[derive(Debug, Default)]
pub(super) struct AdmissionCounters {
    /// Numbers of refused clients, in the order of [`RefusalReason`].
    refused: [AtomicU64; RefusalReason::COUNT],
    /// The present numbers of clients.
    admission: OnceLock<Arc<Admission>>,
}

impl AdmissionCounters {
    pub(super) fn observe(&self, admission: &Arc<Admission>) {
        // A server binds once.
        let _ = self.admission.set(admission.clone());
    }

    pub(super) fn count(&self, reason: RefusalReason) {
        self.refused[reason as usize].fetch_add(1, Relaxed);
    }

    pub(super) fn stats(&self) -> AdmissionStats {
        let refused = |reason: RefusalReason| self.refused[reason as usize].load(Relaxed);
        let admission = self.admission.get();
        let counts = admission.map(|admission| admission.counts()).unwrap_or_default();
        AdmissionStats {
            max_connections: admission.map_or(0, |admission| admission.max_connections()),
            handshakes: counts.handshakes,
            lingering: counts.lingering,
            too_many_connections: refused(RefusalReason::TooManyConnections),
            too_many_from_address: refused(RefusalReason::TooManyFromAddress),
            too_many_handshakes: refused(RefusalReason::TooManyHandshakes),
            handshake_rate: refused(RefusalReason::HandshakeRate),
            check: refused(RefusalReason::Check),
            shortage: refused(RefusalReason::Shortage),
        }
    }
}
