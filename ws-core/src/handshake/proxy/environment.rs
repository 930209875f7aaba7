//! Proxies in environment variables, with the rules of curl.

use alloc::{string::String, vec::Vec};
use core::{fmt, net::IpAddr};

use super::{Proxy, ProxyError, ip, normalized};
use crate::Url;

/// The proxies that environment variables name, with the rules of curl:
///
/// - For `ws://`, the first of `ws_proxy`, `WS_PROXY`, `http_proxy`, `all_proxy` and `ALL_PROXY` that is set. `HTTP_PROXY`
///   is ignored, because a web server that runs the process by CGI sets it from a header of the client.
/// - For `wss://`, the first of `wss_proxy`, `WSS_PROXY`, `https_proxy`, `HTTPS_PROXY`, `all_proxy` and `ALL_PROXY`.
/// - `no_proxy`, or else `NO_PROXY`, lists hosts that are reached without a proxy, separated by commas or spaces. An entry
///   is a name, which includes its subdomains (`example.com` and `.example.com` are the same), an IP address, or a range
///   such as `10.0.0.0/8`. A single `*` means all hosts.
///
/// An empty variable counts as not set.
///
/// ```
/// use ws_core::proxy::Environment;
///
/// let variables = [("https_proxy", "http://proxy.example:3128"), ("no_proxy", "localhost,.example.org")];
/// let environment = Environment::new(|name| {
///     variables.iter().find(|(set, _)| *set == name).map(|(_, value)| (*value).into())
/// });
/// let proxy_for = |url: &str| environment.proxy_for(&url.parse().unwrap());
/// assert_eq!(proxy_for("wss://example.com/")?.unwrap().host(), "proxy.example");
/// assert_eq!(proxy_for("ws://example.com/")?, None);
/// assert_eq!(proxy_for("wss://chat.example.org/")?, None);
/// # Ok::<(), ws_core::proxy::ProxyError>(())
/// ```
#[derive(Clone)]
pub struct Environment {
    plain: Option<String>,
    secure: Option<String>,
    exceptions: Exceptions,
}

impl Environment {
    /// Creates the settings from a function that returns the value of an environment variable, such as
    /// `|name| std::env::var(name).ok()`.
    pub fn new(variable: impl Fn(&str) -> Option<String>) -> Self {
        const PLAIN: [&str; 5] = ["ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"];
        const SECURE: [&str; 6] =
            ["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];
        let first =
            |names: &[&str]| names.iter().find_map(|name| variable(name).filter(|value| !value.is_empty()));
        let exceptions = Exceptions::parse(&first(&["no_proxy", "NO_PROXY"]).unwrap_or_default());
        Self { plain: first(&PLAIN), secure: first(&SECURE), exceptions }
    }

    /// Returns the proxy for this URL, or `None` for a direct connection.
    ///
    /// # Errors
    ///
    /// Returns [`ProxyError::InvalidUrl`] if the variable for this URL is not the URL of a proxy.
    pub fn proxy_for(&self, url: &Url) -> Result<Option<Proxy>, ProxyError> {
        let proxy = if url.is_secure() { &self.secure } else { &self.plain };
        match proxy {
            Some(proxy) if !self.exceptions.contain(url.server_name()) => proxy.parse().map(Some),
            _ => Ok(None),
        }
    }
}

/// Shows the variables that are set without their values, because they may contain credentials.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment")
            .field("for_ws", &self.plain.is_some())
            .field("for_wss", &self.secure.is_some())
            .field("exceptions", &self.exceptions)
            .finish()
    }
}

/// The hosts that are reached without a proxy.
#[derive(Clone, Debug)]
enum Exceptions {
    All,
    Some(Vec<Exception>),
}

#[derive(Clone, Debug)]
enum Exception {
    /// A name and its subdomains.
    Name(String),
    /// The addresses with the first bits of this one.
    Range(IpAddr, u32),
}

impl Exceptions {
    fn parse(list: &str) -> Self {
        if list.trim() == "*" {
            return Self::All;
        }
        let entries = list.split([',', ' ', '\t']).filter(|entry| !entry.is_empty());
        Self::Some(entries.filter_map(Exception::parse).collect())
    }

    fn contain(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(exceptions) => {
                let (host, ip) = (normalized(host), ip(host));
                exceptions.iter().any(|exception| exception.matches(&host, ip))
            }
        }
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        let (address, bits) = match entry.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (entry, None),
        };
        let address = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        if let Some(address) = ip(address) {
            let width = if address.is_ipv4() { 32 } else { 128 };
            let bits = bits.unwrap_or(width);
            return (bits <= width).then_some(Self::Range(address, bits));
        }
        let name = normalized(entry.strip_prefix('.').unwrap_or(entry));
        (bits.is_none() && !name.is_empty()).then_some(Self::Name(name))
    }

    fn matches(&self, host: &str, host_ip: Option<IpAddr>) -> bool {
        match (self, host_ip) {
            (Self::Name(name), None) => {
                host.strip_suffix(&**name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
            }
            (Self::Range(IpAddr::V4(range), bits), Some(IpAddr::V4(host))) => have_same_beginning(
                range.to_bits().into(),
                host.to_bits().into(),
                32_u32.saturating_sub(*bits),
            ),
            (Self::Range(IpAddr::V6(range), bits), Some(IpAddr::V6(host))) => {
                have_same_beginning(range.to_bits(), host.to_bits(), 128_u32.saturating_sub(*bits))
            }
            _ => false,
        }
    }
}

/// Returns `true` if the numbers are equal without their last `rest` bits.
fn have_same_beginning(one: u128, other: u128, rest: u32) -> bool {
    (one ^ other).checked_shr(rest).unwrap_or(0) == 0
}
