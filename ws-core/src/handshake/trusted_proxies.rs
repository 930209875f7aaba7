use alloc::{sync::Arc, vec::Vec};
use core::{
    error::Error,
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

/// The proxies that a server trusts: networks, or a function of the application.
///
/// Only the information of trusted proxies counts. From any other address, it is ignored, because a client can send the
/// same headers.
///
/// ```
/// use std::net::IpAddr;
/// use ws_core::TrustedProxies;
///
/// let proxies = TrustedProxies::new().network("10.0.0.0/8")?.network("::1")?;
/// assert!(proxies.contains("10.1.2.3".parse()?) && proxies.contains("::1".parse()?));
/// assert!(!proxies.contains(IpAddr::from([192, 0, 2, 1])));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct TrustedProxies {
    networks: Vec<Network>,
    predicate: Option<Arc<Predicate>>,
    unix_sockets: bool,
}

type Predicate = dyn Fn(IpAddr) -> bool + Send + Sync;

impl TrustedProxies {
    /// Creates a list that trusts no proxy.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the proxies in a network such as `10.0.0.0/8`, or at an address such as `::1`.
    ///
    /// # Errors
    ///
    /// Returns [`NetworkError`] if the text is not an IP address with an optional prefix length.
    pub fn network(mut self, network: &str) -> Result<Self, NetworkError> {
        self.networks.push(network.parse()?);
        Ok(self)
    }

    /// Also trusts the proxies for whose address `predicate` returns `true`. It replaces an earlier function.
    #[must_use]
    pub fn matching(mut self, predicate: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Self {
        self.predicate = Some(Arc::new(predicate));
        self
    }

    /// Also trusts all peers on Unix-domain sockets. The permissions of the socket's folder determine these peers. It
    /// applies to all peers without an IP address, such as those of streams that an application passes to a server.
    #[must_use]
    pub const fn unix_sockets(mut self) -> Self {
        self.unix_sockets = true;
        self
    }

    /// Returns `true` if a proxy at this address is trusted. An IPv4 address that is mapped to IPv6 counts as the IPv4
    /// address.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(address))
            || self.predicate.as_ref().is_some_and(|predicate| predicate(address))
    }

    /// Returns `true` if the peer of a socket with this address is trusted. `None`: a Unix-domain socket.
    #[must_use]
    pub fn contains_peer(&self, peer: Option<SocketAddr>) -> bool {
        peer.map_or(self.unix_sockets, |peer| self.contains(peer.ip()))
    }
}

impl fmt::Debug for TrustedProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrustedProxies")
            .field("networks", &self.networks)
            .field("unix_sockets", &self.unix_sockets)
            .finish_non_exhaustive()
    }
}

/// A network: an address, and the number of its leading bits that all members share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    fn contains(&self, other: IpAddr) -> bool {
        match (self.address, other) {
            (IpAddr::V4(mine), IpAddr::V4(other)) => {
                let differing = u32::from(mine) ^ u32::from(other);
                differing.leading_zeros() >= self.prefix
            }
            (IpAddr::V6(mine), IpAddr::V6(other)) => {
                let differing = u128::from(mine) ^ u128::from(other);
                differing.leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) =
            text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
        let address = address.parse::<IpAddr>().map_err(|_| NetworkError)?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => width,
            Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().ok().filter(|&prefix| prefix <= width).ok_or(NetworkError)?
            }
            Some(_) => return Err(NetworkError),
        };
        Ok(Self { address, prefix })
    }
}

/// The error for a text that is not a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetworkError;

impl fmt::Display for NetworkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "not a network: write an IP address with an optional prefix length, such as 10.0.0.0/8 or ::1",
        )
    }
}

impl Error for NetworkError {}
