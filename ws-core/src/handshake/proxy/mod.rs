//! Proxies of a client: HTTP `CONNECT` (RFC 9110 section 9.3.6) and SOCKS5 (RFC 1928, RFC 1929), without I/O.
//!
//! ```
//! use bytes::Buf;
//! use ws_core::{HandshakeConfig, proxy::{Handshake, Proxy}};
//!
//! let proxy: Proxy = "http://user:secret@proxy.example:3128".parse()?;
//! let mut handshake = Handshake::new(&proxy, "example.com", 443, &HandshakeConfig::default())?;
//! assert!(handshake.transmit().chunk().starts_with(b"CONNECT example.com:443 HTTP/1.1\r\n"));
//! // Write the request, then pass the bytes that you read.
//! let mut read = *b"HTTP/1.1 200 Connection established\r\n\r\nfrom the server";
//! let mut input = &mut read[..];
//! assert!(handshake.receive(&mut input)?.is_some()); // now the stream leads to the server
//! assert_eq!(input, b"from the server");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod environment;
mod error;
mod socks;

use alloc::{borrow::ToOwned, boxed::Box, format, string::String, vec::Vec};
use core::{fmt, net::IpAddr, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Buf;
use percent_encoding::percent_decode_str;

use self::socks::Socks;
use super::{
    head::{HeadReader, parse_response},
    headers::write_field,
    url::{parse_host, with_escaped_zone},
};
use crate::{HandshakeConfig, Transmit};

pub use environment::Environment;
pub use error::ProxyError;

/// A proxy: its address, protocol and credentials.
///
/// It is parsed from a URL such as `http://user:password@proxy.example:3128`, with the scheme of a [`Protocol`]. User and
/// password may be percent-encoded. Without a scheme, it is an HTTP proxy. The default port is 80 for `http`, 443 for
/// `https` and 1080 for `socks5` and `socks5h`.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    protocol: Protocol,
    host: String,
    port: u16,
    credentials: Option<Credentials>,
}

/// The protocol between a client and its proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// `http`: HTTP `CONNECT`.
    Http,
    /// `https`: HTTP `CONNECT` over TLS to the proxy.
    Https,
    /// `socks5`: SOCKS5. The client resolves the name of the server.
    Socks5,
    /// `socks5h`: SOCKS5. The proxy resolves the name of the server.
    Socks5h,
}

#[derive(Clone, PartialEq, Eq)]
struct Credentials {
    user: Vec<u8>,
    password: Vec<u8>,
}

impl Proxy {
    /// Returns the protocol.
    #[must_use]
    pub const fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Returns the host to connect to, as [`Url::host`](crate::Url::host) does.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Returns the host without the zone of an IPv6 address. The TLS certificate of an `https` proxy has to be valid for
    /// this name.
    #[must_use]
    pub fn server_name(&self) -> &str {
        self.host.split_once('%').map_or(&self.host, |(address, _)| address)
    }

    /// Returns the port to connect to.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for Proxy {
    type Err = ProxyError;

    fn from_str(url: &str) -> Result<Self, ProxyError> {
        if url.chars().any(|char| char.is_control() || char == ' ') {
            return Err(ProxyError::InvalidUrl("contains a space or a control character"));
        }
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let (protocol, default_port) = match &*scheme.to_ascii_lowercase() {
            "http" => (Protocol::Http, 80),
            "https" => (Protocol::Https, 443),
            "socks5" => (Protocol::Socks5, 1080),
            "socks5h" => (Protocol::Socks5h, 1080),
            _ => {
                return Err(ProxyError::InvalidUrl(
                    "does not begin with http://, https://, socks5:// or socks5h://",
                ));
            }
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        let (host, port) = parse_host(host)
            .map_err(|_| ProxyError::InvalidUrl("has no valid host, an invalid port or a path"))?;
        Ok(Self {
            protocol,
            host,
            port: port.unwrap_or(default_port),
            credentials: user.filter(|user| !matches!(*user, "" | ":")).map(Credentials::parse),
        })
    }
}

impl Credentials {
    fn parse(text: &str) -> Self {
        let (user, password) = text.split_once(':').unwrap_or((text, ""));
        Self { user: percent_decode_str(user).collect(), password: percent_decode_str(password).collect() }
    }
}

/// Shows the URL without user and password.
impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Http => "http",
            Protocol::Https => "https",
            Protocol::Socks5 => "socks5",
            Protocol::Socks5h => "socks5h",
        };
        write!(f, "{scheme}://{}", authority(&with_escaped_zone(&self.host), self.port))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Returns the host and port as in a URL.
fn authority(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// Asks a proxy for a connection to a server. It receives at most one reply of the proxy for each request, and each reply
/// is limited: that of HTTP by [`HandshakeConfig`], those of SOCKS5 by the protocol (262 bytes).
///
/// It has no timeout of its own. The driver limits the time.
pub struct Handshake {
    queue: Transmit,
    state: State,
}

enum State {
    Http(Box<Http>),
    Socks(Socks),
}

struct Http {
    head: HeadReader,
    limits: HandshakeConfig,
    interim_responses: u8,
}

/// The proxy has connected the stream to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connected(());

impl Connected {
    const fn new() -> Self {
        Self(())
    }
}

impl Handshake {
    /// Maximum number of interim responses (1xx) that are skipped.
    const MAX_INTERIM: u8 = 4;

    /// Creates a request for a connection to this host, which is a name or an IP address, and port. For
    /// [`Protocol::Socks5`], pass an IP address.
    ///
    /// # Errors
    ///
    /// Returns [`ProxyError::Unsendable`] if the host or the credentials do not fit into the protocol.
    pub fn new(proxy: &Proxy, host: &str, port: u16, limits: &HandshakeConfig) -> Result<Self, ProxyError> {
        let mut queue = Transmit::default();
        let state = match proxy.protocol {
            Protocol::Http | Protocol::Https => {
                queue.extend_from_slice(&connect_request(proxy, host, port));
                let head = HeadReader::for_response();
                State::Http(Box::new(Http { head, limits: limits.clone(), interim_responses: 0 }))
            }
            Protocol::Socks5 | Protocol::Socks5h => {
                State::Socks(Socks::new(proxy.credentials.as_ref(), host, port, &mut queue)?)
            }
        };
        Ok(Self { queue, state })
    }

    /// Returns the bytes to be written.
    pub fn transmit(&mut self) -> impl Buf + '_ {
        &mut self.queue
    }

    /// Takes received bytes off `input`, up to the end of the proxy's last reply. Returns `None` if more bytes are needed,
    /// or if [`transmit`](Self::transmit) has bytes for the next reply. Bytes behind the last reply stay in the input. They
    /// come from the server.
    ///
    /// # Errors
    ///
    /// Returns a [`ProxyError`] if the proxy refuses or violates its protocol.
    pub fn receive(&mut self, input: &mut &mut [u8]) -> Result<Option<Connected>, ProxyError> {
        match &mut self.state {
            State::Http(http) => http.receive(input),
            State::Socks(socks) => socks.receive(input, &mut self.queue),
        }
    }

    /// Reports that the proxy's stream has ended. Returns the resulting error.
    #[must_use]
    pub fn receive_eof(&self) -> ProxyError {
        match &self.state {
            State::Http(http) => http
                .head
                .foreign_protocol()
                .map_or(ProxyError::Eof, |error| ProxyError::Head(Box::new(error))),
            State::Socks(_) => ProxyError::Eof,
        }
    }
}

impl Http {
    fn receive(&mut self, input: &mut &mut [u8]) -> Result<Option<Connected>, ProxyError> {
        loop {
            let Some(head) = self.head.receive(input, &self.limits)? else { return Ok(None) };
            let (status, headers) = parse_response(head)?;
            match status {
                // RFC 9110 9.3.6: any 2xx means that the sender "will switch to tunnel mode immediately after the
                // response header section", and a client ignores Content-Length and Transfer-Encoding.
                200..=299 => return Ok(Some(Connected::new())),
                100 | 102..=199 if self.interim_responses < Handshake::MAX_INTERIM => {
                    self.interim_responses = self.interim_responses.saturating_add(1);
                }
                _ => {
                    let response = super::Response::received(status, headers);
                    return Err(ProxyError::Refused(Box::new(response)));
                }
            }
        }
    }
}

/// Shows sizes and states only, because the bytes may contain credentials.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state: &dyn fmt::Debug = match &self.state {
            State::Http(http) => &http.head,
            State::Socks(socks) => socks,
        };
        f.debug_struct("Handshake")
            .field("to_write", &self.queue.remaining())
            .field("received", state)
            .finish()
    }
}

/// Returns a request of HTTP `CONNECT`.
fn connect_request(proxy: &Proxy, host: &str, port: u16) -> Vec<u8> {
    let authority = authority(host, port);
    let mut out = format!("CONNECT {authority} HTTP/1.1\r\n").into_bytes();
    write_field(&mut out, "Host", authority.as_bytes());
    if let Some(Credentials { user, password }) = &proxy.credentials {
        let basic = STANDARD.encode([user, &b":"[..], password].concat());
        write_field(&mut out, "Proxy-Authorization", format!("Basic {basic}").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Returns the IP address if the host is one.
fn ip(host: &str) -> Option<IpAddr> {
    host.parse().ok()
}

/// Returns the host in lower case without a trailing dot.
fn normalized(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_owned().to_ascii_lowercase()
}
