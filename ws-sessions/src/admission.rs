//! The admission of clients to a server: its limits, the check of the application, and the reports about refused clients.

use std::{fmt, net::SocketAddr, sync::Arc, time::Instant};

use ws_core::Response;
use ws_transport::{
    Admission, AdmissionCounts, AdmissionLimits, AdmittedClient, RefusalReason, descriptor_limit,
};

use crate::{ConnectionErrorKind, Origin, Reporter, guard};

/// A client that has just connected and has not sent a byte yet.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Arrival {
    /// The client's address. `None` for a client of a Unix-domain socket.
    pub peer_addr: Option<SocketAddr>,
    /// Number of connections from the same address, with this one. `ipv6_prefix` of the [`AdmissionLimits`] applies.
    /// 0 for a client without an address.
    pub from_address: usize,
    /// The numbers of clients of the server, with this one.
    pub counts: AdmissionCounts,
}

/// The decision of an admission check.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum AdmissionDecision {
    /// Serve the client.
    Admit,
    /// Answer with this short response, such as 503 or 429 with `Retry-After`, and close. Bytes that the socket does not
    /// accept at once may be lost. Over TLS, the connection is closed without a response.
    Refuse(Response),
    /// Close without a response.
    Close,
}

/// The admission check of an application.
#[derive(Default)]
pub struct AdmissionCheck(Option<Box<Check>>);

type Check = dyn Fn(&Arrival) -> AdmissionDecision + Send + Sync;

impl AdmissionCheck {
    /// Creates a check from a function.
    pub fn new(check: impl Fn(&Arrival) -> AdmissionDecision + Send + Sync + 'static) -> Self {
        Self(Some(Box::new(check)))
    }
}

impl fmt::Debug for AdmissionCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "AdmissionCheck(..)" } else { "AdmissionCheck(none)" })
    }
}

/// Admits the clients of a server, or refuses them.
#[derive(Debug)]
pub struct Gate {
    admission: Arc<Admission>,
    check: AdmissionCheck,
}

impl Gate {
    /// Creates the gate of a server that is about to listen. `default` is the maximum number of connections if none is
    /// set. The metrics of the reporter return its counts.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `InvalidInput` if a limit is impossible.
    pub fn new(
        limits: AdmissionLimits,
        default: usize,
        check: AdmissionCheck,
        reporter: &Reporter,
    ) -> std::io::Result<Self> {
        let mut admission = limits.build(default, descriptor_limit())?;
        if check.0.is_some() {
            admission = admission.counting_addresses();
        }
        let admission = Arc::new(admission);
        reporter.monitor().observe(&admission);
        Ok(Self { admission, check })
    }

    /// Returns the counts and limits.
    #[must_use]
    pub const fn admission(&self) -> &Arc<Admission> {
        &self.admission
    }

    /// Admits a client that has just connected, or reports that it is refused. Call it without holding a lock.
    ///
    /// # Errors
    ///
    /// Returns the response to a refused client. With `None`, it receives no response.
    pub fn admit(
        &self,
        peer: Option<SocketAddr>,
        reporter: &Reporter,
    ) -> Result<AdmittedClient, Option<Response>> {
        let admitted = self.admission.admit(peer.map(|peer| peer.ip()), Instant::now());
        let client = admitted.map_err(|reason| Some(refuse(reason, peer, reporter)))?;
        let Some(check) = &self.check.0 else { return Ok(client) };
        let arrival = Arrival {
            peer_addr: peer,
            from_address: peer.map_or(0, |peer| self.admission.connections_from(peer.ip())),
            counts: self.admission.counts(),
        };
        let response = match guard(|| check(&arrival)) {
            Ok(AdmissionDecision::Admit) => return Ok(client),
            Ok(AdmissionDecision::Refuse(response)) => Some(response),
            Ok(AdmissionDecision::Close) => None,
            Err(panicked) => {
                let origin = Origin { peer_addr: peer, path: None };
                reporter.report(ConnectionErrorKind::Panic, Some(&origin), panicked);
                Some(Response::new(500).text("The server failed to admit this client.\n"))
            }
        };
        drop(client);
        refuse(RefusalReason::Check, peer, reporter);
        Err(response)
    }

    /// Reports that a client is refused because the operating system is short of file descriptors or threads, and
    /// returns the response.
    #[must_use]
    pub fn refuse_in_shortage(&self, peer: Option<SocketAddr>, reporter: &Reporter) -> Response {
        refuse(RefusalReason::Shortage, peer, reporter)
    }
}

/// Counts and reports a refused client before it is answered, so that a client that has its answer is counted.
fn refuse(reason: RefusalReason, peer: Option<SocketAddr>, reporter: &Reporter) -> Response {
    reporter.monitor().count_refusal(reason);
    let origin = Origin { peer_addr: peer, path: None };
    reporter.report(ConnectionErrorKind::Refused, Some(&origin), reason);
    Response::new(503)
        .header("Retry-After", reason.retry_after())
        .text("The server is busy; try again later.\n")
}
