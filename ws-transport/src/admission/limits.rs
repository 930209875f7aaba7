use std::{io, sync::Mutex};

use rustix::process::{Resource, getrlimit};

use super::{Admission, State, table::Table};

/// File descriptors that the admission of clients leaves to the application: files, databases, outgoing connections.
const FOR_APPLICATION: usize = 64;
/// Number of lingering clients that are always possible.
const MIN_LINGERING: usize = 64;
/// Maximum number of lingering clients.
const MAX_LINGERING: usize = 1024;

/// Limits for the clients that a server admits. `bind` returns an error if a limit is impossible or can have no effect.
///
/// A refused client receives a 503 response with `Retry-After`. Over TLS, its connection is closed before the TLS
/// handshake, which is the expensive part of a connection. The counters of the server count refused clients by reason.
///
/// A client lingers after the server has sent its last byte and ended its direction of the stream, until the client closes
/// its side, at most for [`close_timeout`](ws_core::Config::close_timeout). Lingering clients count against none of these
/// limits. A server waits for 64 of them or more, up to 1,024 if `max_connections` and the file descriptors allow it.
/// Beyond that it closes at once, which may cut off the last bytes for a client that still sends.
///
/// Clients of a Unix-domain socket have no address, so the limits per address do not apply to them. Behind a reverse proxy,
/// all clients have the address of the proxy. Set the limits per address in the proxy instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AdmissionLimits {
    /// Maximum number of connections, with those in the opening and the closing handshake. With 0, every client is
    /// refused. A number beyond the file descriptors that the process may open (`RLIMIT_NOFILE` minus 64) is an error.
    /// Several servers in one process share the descriptors, and each is checked alone. `None`: as many as the descriptors
    /// allow (`RLIMIT_NOFILE` minus 128), but at most 4,096 in `ws-std` and 65,536 in `ws-smol`. Default: `None`.
    pub max_connections: Option<usize>,
    /// Maximum number of connections from one address. `None`: no limit. Default: `None`.
    pub max_connections_per_address: Option<usize>,
    /// Length of the IPv6 prefix that counts as one address in the limits per address, 1 to 128 bits. A network of 64
    /// bits usually belongs to one customer. An IPv4 address counts alone, also as an IPv4-mapped IPv6 address.
    /// Default: 64.
    pub ipv6_prefix: u8,
    /// Maximum number of opening handshakes in progress. Clients that receive a page or another response count too.
    /// `None`: no limit other than `max_connections`. Default: `None`.
    pub max_handshakes: Option<usize>,
    /// Maximum number of opening handshakes that one address may begin per second. An address that has paused for a
    /// second may begin as many at once (a token bucket). The rate counts per address, so that no client can use up
    /// the rate of another. `None`: no limit. Default: `None`.
    pub max_handshake_rate_per_address: Option<u32>,
}

impl Default for AdmissionLimits {
    fn default() -> Self {
        Self {
            max_connections: None,
            max_connections_per_address: None,
            ipv6_prefix: 64,
            max_handshakes: None,
            max_handshake_rate_per_address: None,
        }
    }
}

impl AdmissionLimits {
    /// Creates the admission of a server. `default` is the maximum number of connections if none is set, and
    /// `descriptors` is the maximum number of file descriptors of the process. `None` means no limit.
    ///
    /// # Errors
    ///
    /// Returns an error of the kind `InvalidInput` if a limit is impossible, or if it can never have an effect.
    pub fn build(self, default: usize, descriptors: Option<u64>) -> io::Result<Admission> {
        self.check()?;
        let possible = Possible::of(descriptors);
        let max_connections = match self.max_connections {
            None => possible.connections.saturating_sub(MIN_LINGERING).clamp(1, default.max(1)),
            Some(max) if max > possible.connections => return Err(possible.error(max)),
            Some(max) => max,
        };
        let left = possible.connections.saturating_sub(max_connections);
        let max_lingering = left.min(max_connections).clamp(MIN_LINGERING, MAX_LINGERING);
        let state = Mutex::new(State { addresses: Table::new(self), ..State::default() });
        Ok(Admission { limits: self, max_connections, max_lingering, state })
    }

    fn check(&self) -> io::Result<()> {
        if !(1..=128).contains(&self.ipv6_prefix) {
            return invalid(format!(
                "the server's `ipv6_prefix` is {}: it must be 1 to 128 bits",
                self.ipv6_prefix
            ));
        }
        let rate = self.max_handshake_rate_per_address.map(|rate| rate as usize);
        let numbers = [
            ("max_connections_per_address", self.max_connections_per_address),
            ("max_handshakes", self.max_handshakes),
            ("max_handshake_rate_per_address", rate),
        ];
        for (name, number) in numbers {
            if number == Some(0) {
                let text = format!(
                    "the server's `{name}` is 0, which refuses every client: set it to `None` for no limit"
                );
                return invalid(text);
            }
        }
        let Some(max) = self.max_connections else { return Ok(()) };
        for (name, number) in &numbers[..2] {
            if let Some(number) = number.filter(|&number| number > max) {
                return invalid(format!(
                    "the server's `{name}` is {number}, which has no effect because `max_connections` is {max}: \
                     lower it, raise `max_connections`, or set it to `None`"
                ));
            }
        }
        Ok(())
    }
}

/// The numbers that the file descriptors of the process allow.
struct Possible {
    descriptors: Option<u64>,
    connections: usize,
}

impl Possible {
    fn of(descriptors: Option<u64>) -> Self {
        let limit = descriptors.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        Self { descriptors, connections: limit.saturating_sub(FOR_APPLICATION) }
    }

    fn error(&self, max_connections: usize) -> io::Error {
        let descriptors = self.descriptors.unwrap_or(u64::MAX);
        let text = format!(
            "the server's `max_connections` is {max_connections}, but the process may open only {descriptors} file \
             descriptors, and {FOR_APPLICATION} of them are left to the application: raise the limit of the process \
             (`ulimit -n`, or `LimitNOFILE` of systemd), or set `max_connections` to {} or less",
            self.connections
        );
        io::Error::new(io::ErrorKind::InvalidInput, text)
    }
}

fn invalid(text: String) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// Returns the maximum number of file descriptors of the process (the soft limit of `RLIMIT_NOFILE`). `None` means no
/// limit.
#[must_use]
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}
