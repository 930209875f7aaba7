//! Admission of clients: limits for all clients and per address, and the counts that they apply to.

mod limits;
mod table;

use std::{
    error, fmt,
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Instant,
};

pub use limits::{AdmissionLimits, descriptor_limit};

use self::table::Table;

/// The reason why a server refused a client before it read a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The server has [`max_connections`](AdmissionLimits::max_connections).
    TooManyConnections,
    /// The client's address has [`max_connections_per_address`](AdmissionLimits::max_connections_per_address).
    TooManyFromAddress,
    /// The server has [`max_handshakes`](AdmissionLimits::max_handshakes).
    TooManyHandshakes,
    /// The client's address exceeds [`max_handshake_rate_per_address`](AdmissionLimits::max_handshake_rate_per_address).
    HandshakeRate,
    /// The admission check of the application refused the client.
    Check,
    /// The operating system has no file descriptor or thread for the client.
    Shortage,
}

impl RefusalReason {
    /// Number of reasons.
    pub const COUNT: usize = Self::Shortage as usize + 1;

    /// Returns the value of `Retry-After` in the response, in seconds.
    #[must_use]
    pub const fn retry_after(self) -> &'static str {
        match self {
            Self::HandshakeRate => "1",
            _ => "5",
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooManyConnections => "the server has as many connections as `max_connections` allows",
            Self::TooManyFromAddress => {
                "the client's address has as many connections as `max_connections_per_address` allows"
            }
            Self::TooManyHandshakes => {
                "the server has as many opening handshakes in progress as `max_handshakes` allows"
            }
            Self::HandshakeRate => {
                "the client's address begins more handshakes per second than `max_handshake_rate_per_address` allows"
            }
            Self::Check => "the admission check of the application refused the client",
            Self::Shortage => {
                "the operating system has no file descriptor or thread for the client: raise its limits (`ulimit -n`, \
                 `ulimit -u`) or lower `max_connections`"
            }
        })
    }
}

impl error::Error for RefusalReason {}

/// The numbers of clients that a server has at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionCounts {
    /// Number of clients in the opening handshake. Clients that receive a page or another response are included.
    pub handshakes: usize,
    /// Number of open WebSockets. Those in the closing handshake are included.
    pub open: usize,
    /// Number of clients that have received their last byte and have not closed their side yet. They count against no
    /// limit of connections.
    pub lingering: usize,
}

/// The clients of one server, counted by stage and by address.
///
/// It reads no clock and opens no socket.
#[derive(Debug)]
pub struct Admission {
    limits: AdmissionLimits,
    max_connections: usize,
    max_lingering: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    counts: AdmissionCounts,
    addresses: Table,
}

/// The stage of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Stage {
    Handshake,
    Open,
    Lingering,
    Ended,
}

impl Admission {
    /// Counts the connections of each address even if no limit needs them.
    /// [`connections_from`](Self::connections_from) returns them.
    #[must_use]
    pub fn counting_addresses(self) -> Self {
        self.state().addresses.use_always();
        self
    }

    /// Counts a client that has just connected. `peer` is its IP address, if it has one.
    ///
    /// # Errors
    ///
    /// Returns the first limit that refuses the client. A refused client changes no count.
    pub fn admit(
        self: &Arc<Self>,
        peer: Option<IpAddr>,
        now: Instant,
    ) -> Result<AdmittedClient, RefusalReason> {
        let mut state = self.state();
        let AdmissionCounts { handshakes, open, .. } = state.counts;
        if handshakes + open >= self.max_connections {
            return Err(RefusalReason::TooManyConnections);
        }
        if self.limits.max_handshakes.is_some_and(|max| handshakes >= max) {
            return Err(RefusalReason::TooManyHandshakes);
        }
        let network = peer.map(|peer| table::network(peer, self.limits.ipv6_prefix));
        if let Some(network) = network {
            state.addresses.admit(network, now)?;
        }
        state.counts.handshakes += 1;
        drop(state);
        Ok(AdmittedClient::new(self, network, Stage::Handshake))
    }

    /// Counts a refused client that receives a response, until the result is dropped. Returns `None` if too many
    /// clients linger already. Close this one at once.
    #[must_use]
    pub fn linger(self: &Arc<Self>) -> Option<AdmittedClient> {
        let mut state = self.state();
        if state.counts.lingering >= self.max_lingering {
            return None;
        }
        state.counts.lingering += 1;
        drop(state);
        Some(AdmittedClient::new(self, None, Stage::Lingering))
    }

    /// Returns the present numbers of clients.
    #[must_use]
    pub fn counts(&self) -> AdmissionCounts {
        self.state().counts
    }

    /// Returns the number of connections that count for this address. Lingering clients are not included. The number is
    /// zero if the server has no limit per address and does not [count](Self::counting_addresses) them.
    #[must_use]
    pub fn connections_from(&self, peer: IpAddr) -> usize {
        self.state().addresses.connections(table::network(peer, self.limits.ipv6_prefix))
    }

    /// Returns the number of addresses for which the server keeps a count.
    #[must_use]
    pub fn tracked_addresses(&self) -> usize {
        self.state().addresses.len()
    }

    /// Returns the maximum number of connections, which may depend on the number of file descriptors.
    #[must_use]
    pub const fn max_connections(&self) -> usize {
        self.max_connections
    }

    /// Returns the maximum number of clients that linger.
    #[must_use]
    pub const fn max_lingering(&self) -> usize {
        self.max_lingering
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&mut self, stage: Stage) -> Option<&mut usize> {
        match stage {
            Stage::Handshake => Some(&mut self.counts.handshakes),
            Stage::Open => Some(&mut self.counts.open),
            Stage::Lingering => Some(&mut self.counts.lingering),
            Stage::Ended => None,
        }
    }
}

impl Stage {
    /// Returns `true` if a client in this stage counts as a connection.
    const fn takes_place(self) -> bool {
        matches!(self, Self::Handshake | Self::Open)
    }
}

/// A client that is counted. Dropping it ends the count.
#[derive(Debug)]
pub struct AdmittedClient {
    admission: Arc<Admission>,
    /// The address or IPv6 network, if the client has one and counts there.
    network: Option<IpAddr>,
    /// Only changed under the lock of the counts.
    stage: AtomicU8,
}

impl AdmittedClient {
    fn new(admission: &Arc<Admission>, network: Option<IpAddr>, stage: Stage) -> Self {
        Self { admission: admission.clone(), network, stage: AtomicU8::new(stage as u8) }
    }

    /// Counts the client as an open WebSocket. It no longer counts as an opening handshake.
    pub fn open(&self) {
        self.enter(|_, stage| if stage == Stage::Handshake { Stage::Open } else { stage });
    }

    /// Counts the client as lingering, so that another client can be admitted. Returns `false` if too many clients
    /// linger already. Then close this one at once.
    pub fn linger(&self) -> bool {
        let max = self.admission.max_lingering;
        let entered = self.enter(|counts, stage| match stage {
            Stage::Lingering | Stage::Ended => stage,
            _ if counts.lingering < max => Stage::Lingering,
            _ => Stage::Ended,
        });
        entered == Stage::Lingering
    }

    /// Ends the count.
    pub fn end(&self) {
        self.enter(|_, _| Stage::Ended);
    }

    fn enter(&self, next: impl FnOnce(&AdmissionCounts, Stage) -> Stage) -> Stage {
        let mut state = self.admission.state();
        let before = self.stage();
        let after = next(&state.counts, before);
        if before == after {
            return after;
        }
        if let Some(count) = state.count(before) {
            *count -= 1;
        }
        if let Some(count) = state.count(after) {
            *count += 1;
        }
        if before.takes_place()
            && !after.takes_place()
            && let Some(network) = self.network
        {
            state.addresses.release(network);
        }
        self.stage.store(after as u8, Ordering::Relaxed);
        after
    }

    fn stage(&self) -> Stage {
        match self.stage.load(Ordering::Relaxed) {
            0 => Stage::Handshake,
            1 => Stage::Open,
            2 => Stage::Lingering,
            _ => Stage::Ended,
        }
    }
}

impl Drop for AdmittedClient {
    fn drop(&mut self) {
        self.end();
    }
}
