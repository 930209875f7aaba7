//! The server's side of the opening handshake (RFC 6455 section 4.2).
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Buf;
//! use ws_core::{Config, HandshakeConfig, OriginPolicy, Timestamp, server::{Accept, Handshake}};
//!
//! let now = Timestamp::ZERO;
//! let mut handshake = Handshake::new(&HandshakeConfig::default(), now);
//! let mut received = *b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";
//! let mut input = &mut received[..];
//!
//! let request = handshake.receive(&mut input)?.expect("the whole head was there");
//! assert_eq!(request.path(), "/chat");
//! let accept = Accept::new().subprotocol("chat");
//! let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
//! let mut connection = upgrade.accept(&accept, Arc::new(Config::default()), now)?;
//! assert!(connection.transmit().chunk().starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), ws_core::HandshakeError>(())
//! ```

use alloc::{collections::BTreeSet, sync::Arc, vec::Vec};
use core::{any::Any, fmt, net::SocketAddr, ops::Range};

use super::{
    HandshakeError, Headers, Response, accept_value,
    head::{HeadReader, RawHead, RequestHead, parse_request},
    headers::{MAX_EMPTY_ELEMENTS, is_token, write_field},
    host::is_host,
    is_key,
    response::Content,
    target::TargetParts,
    values::Values,
};
pub use super::{
    accept::Accept,
    proxy_header::{ProxyHeader, ProxyHeaderReader},
    router::{Refusal, RouteMatch, RouteOptions, Router, RouterBuilder},
};
use crate::{
    Config, Connection, HandshakeConfig, OriginPolicy, Parameters, Role, Scheme, Timestamp, Transmit,
    connection::HandshakeOutcome, excerpt::Excerpt, extension,
};

/// Receives a client's request.
#[derive(Debug)]
pub struct Handshake {
    config: HandshakeConfig,
    head: HeadReader,
    deadline: Option<Timestamp>,
}

impl Handshake {
    /// Creates a handshake with a client that connected at `now`.
    #[must_use]
    pub fn new(config: &HandshakeConfig, now: Timestamp) -> Self {
        let deadline = config.open_timeout.map(|timeout| now + timeout);
        Self { config: config.clone(), head: HeadReader::for_request(), deadline }
    }

    /// Takes received bytes off `input`, up to the end of the request's head. Returns `None` if more bytes are
    /// needed. Bytes behind the head stay in the input and belong to the connection.
    ///
    /// # Errors
    ///
    /// Returns a [`HandshakeError`] if the bytes are not a request or exceed the limits. Answer with
    /// [`HandshakeError::response`] and close the stream.
    pub fn receive(&mut self, input: &mut &mut [u8]) -> Result<Option<Request>, HandshakeError> {
        self.head.receive(input, &self.config)?.map(Request::parse).transpose()
    }

    /// Reports the current time.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError::Timeout`] if the client took too long.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), HandshakeError> {
        if self.deadline.is_some_and(|deadline| now >= deadline) {
            Err(HandshakeError::Timeout)
        } else {
            Ok(())
        }
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has to be called.
    #[must_use]
    pub const fn poll_timeout(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// Returns `true` if any byte of a request has arrived. If the stream ends earlier, that is not an error.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.head.has_begun()
    }
}

/// An HTTP request from a client, for a WebSocket or for another resource.
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    headers: Headers,
    method: Range<usize>,
    target: Range<usize>,
    path: Range<usize>,
    /// 0 or 1, for HTTP/1.0 or HTTP/1.1.
    minor_version: u8,
    pub(super) parameters: Parameters,
    peer_addr: Option<SocketAddr>,
    scheme: Option<Scheme>,
    pub(super) values: Values,
}

impl Request {
    fn parse(head: RawHead) -> Result<Self, HandshakeError> {
        let RequestHead { method, target, minor_version, mut headers } = parse_request(head)?;
        match single(&headers, "Host") {
            Ok(host) if is_host(host) => {}
            Ok(_) => return Err(HandshakeError::InvalidHeader("Host")),
            // RFC 9112 3.2: only a request in HTTP/1.1 must have one.
            Err(HandshakeError::MissingHeader(_)) if minor_version == 0 => {}
            Err(error) => return Err(error),
        }
        let parts =
            TargetParts::parse(headers.text(&target), target.start).map_err(HandshakeError::MalformedHead)?;
        // RFC 9112 3.2.2: a server "MUST ignore the received Host header field (if any) and instead use the host
        // information of the request-target".
        if let Some(authority) = parts.authority {
            headers.set("Host", authority);
        }
        let path = parts.path;
        let (parameters, values) = (Parameters::default(), Values::default());
        let (peer_addr, scheme) = (None, None);
        Ok(Self { headers, method, target, path, minor_version, parameters, peer_addr, scheme, values })
    }

    /// Returns the method, such as `GET`.
    #[must_use]
    pub fn method(&self) -> &str {
        self.headers.text(&self.method)
    }

    /// Returns the request target unchanged: path and query.
    #[must_use]
    pub fn target(&self) -> &str {
        self.headers.text(&self.target)
    }

    /// Returns the path unchanged: percent-encoded.
    #[must_use]
    pub fn path(&self) -> &str {
        match self.headers.text(&self.path) {
            "" => "/",
            path => path,
        }
    }

    /// Returns the text after the question mark, if there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().split_once('?').map(|(_, query)| query)
    }

    /// Returns the percent-decoded value of a parameter in the pattern of the route that a [`Router`] found. For
    /// example, `room` is a parameter of `/rooms/:room`.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.get(name)
    }

    /// Returns the value of this type that was attached when the request was [accepted](Accept::with).
    #[must_use]
    pub fn get<T: Any + Send + Sync>(&self) -> Option<&T> {
        self.values.get()
    }

    /// Returns the client's address, if the driver has set it with [`set_peer_addr`](Self::set_peer_addr). Behind a trusted
    /// proxy it is the address that the proxy [reports](Self::apply_forwarded).
    #[must_use]
    pub const fn peer_addr(&self) -> Option<SocketAddr> {
        self.peer_addr
    }

    /// Sets the client's address.
    pub const fn set_peer_addr(&mut self, address: Option<SocketAddr>) {
        self.peer_addr = address;
    }

    /// Sets the scheme of the request: [`Scheme::Https`] over TLS. With `Https`, [`OriginPolicy::SameHost`] refuses
    /// pages that were loaded without TLS.
    pub const fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = Some(scheme);
    }

    /// Replaces the value of `Host`.
    pub(super) fn replace_host(&mut self, host: &str) {
        self.headers.replace("Host", host);
    }

    /// Returns all header fields. If the request target is an absolute URI, `Host` is the host of that URI (RFC 9112
    /// section 3.2.2).
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the value of the first header of this name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Returns the subprotocols that the client offers, in its order of preference.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocol_elements().filter(|name| !name.is_empty())
    }

    pub(super) fn choose_subprotocol<'s>(
        &self,
        supported: impl IntoIterator<Item = &'s str>,
    ) -> Option<&str> {
        let find = |supported| self.subprotocols().find(|&offered| offered == supported);
        supported.into_iter().find_map(find)
    }

    /// Returns the elements of the list of subprotocols, including empty ones.
    fn subprotocol_elements(&self) -> impl Iterator<Item = &str> {
        self.headers
            .get_all("Sec-WebSocket-Protocol")
            .flat_map(|value| value.split(','))
            .map(|name| name.trim_matches([' ', '\t']))
    }

    /// RFC 6455 4.1: the offered subprotocols are tokens, each once. RFC 9110 5.6.1.2: a few elements may be empty.
    fn offers_subprotocols_legally(&self) -> bool {
        let is_text = |value| core::str::from_utf8(value).is_ok();
        let empty = self.subprotocol_elements().filter(|name| name.is_empty()).count();
        self.headers.values("Sec-WebSocket-Protocol").all(is_text)
            && empty <= MAX_EMPTY_ELEMENTS
            && are_subprotocols(self.subprotocols())
    }

    /// Returns `true` if the client requests a WebSocket, even if the request is invalid. Other requests, such as for
    /// a page, can be answered with [`respond`](Self::respond).
    #[must_use]
    pub fn is_upgrade(&self) -> bool {
        self.headers.list_contains("Upgrade", "websocket") || self.headers.contains("Sec-WebSocket-Key")
    }

    /// Checks the request against RFC 6455 section 4.2.1 and the origin policy.
    ///
    /// # Errors
    ///
    /// Returns the [`HandshakeError`] for an invalid or refused request. Answer with [`HandshakeError::response`] and
    /// close the stream.
    pub fn upgrade(&self, origin: &OriginPolicy) -> Result<Upgrade<'_>, HandshakeError> {
        // RFC 9110 7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
        if self.minor_version == 0 && self.is_upgrade() {
            return Err(HandshakeError::UpgradeInHttp10);
        }
        if !self.headers.list_contains("Upgrade", "websocket") {
            return Err(HandshakeError::NotAnUpgrade);
        }
        if self.method() != "GET" {
            return Err(HandshakeError::MethodNotAllowed);
        }
        if !self.headers.list_contains("Connection", "Upgrade") {
            return Err(HandshakeError::InvalidHeader("Connection"));
        }
        // Other software could interpret a body differently from this library, which would read it as frames.
        let announces_body = |value: &[u8]| value != b"0";
        if self.headers.contains("Transfer-Encoding")
            || self.headers.values("Content-Length").any(announces_body)
        {
            return Err(HandshakeError::UnexpectedBody);
        }
        match single(&self.headers, "Sec-WebSocket-Version") {
            Ok("13") => {}
            Err(duplicate @ HandshakeError::DuplicateHeader(_)) => return Err(duplicate),
            _ => return Err(HandshakeError::UnsupportedVersion),
        }
        let key = single(&self.headers, "Sec-WebSocket-Key")?;
        if !is_key(key) {
            return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Key"));
        }
        origin.check(&self.headers, self.scheme)?;
        if !self.offers_subprotocols_legally() {
            return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"));
        }
        Ok(Upgrade { request: self, key })
    }

    /// Returns the bytes of an ordinary HTTP response to this request. Write them and close the stream. A large body
    /// is not copied: it is shared with `response`.
    #[must_use]
    pub fn respond(&self, response: &Response) -> Transmit {
        response.encode(if self.method() == "HEAD" { Content::Omitted } else { Content::Included })
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &Excerpt(self.method().as_bytes()))
            .field("target", &Excerpt(self.target().as_bytes()))
            .field("headers", &self.headers)
            .field("peer_addr", &self.peer_addr)
            .finish_non_exhaustive()
    }
}

/// A valid request for a WebSocket, which can be accepted.
#[derive(Clone, Copy, Debug)]
pub struct Upgrade<'r> {
    request: &'r Request,
    key: &'r str,
}

impl<'r> Upgrade<'r> {
    /// Returns the first of these subprotocols that the client offers too.
    ///
    /// ```
    /// # use ws_core::server::Upgrade;
    /// # fn choose(upgrade: &Upgrade<'_>) {
    /// let chosen = upgrade.choose_subprotocol(["v2.chat", "v1.chat"]);
    /// # }
    /// ```
    pub fn choose_subprotocol<'s>(&self, supported: impl IntoIterator<Item = &'s str>) -> Option<&'r str> {
        self.request.choose_subprotocol(supported)
    }

    /// Opens the connection. The response waits in its [`transmit`](Connection::transmit).
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::SubprotocolNotOffered`] if the application selected a subprotocol that the client
    ///   did not offer.
    /// - Returns [`HandshakeError::UnsendableHeader`] if the application added an invalid header.
    pub fn accept(
        &self,
        accept: &Accept,
        config: Arc<Config>,
        now: Timestamp,
    ) -> Result<Connection, HandshakeError> {
        self.request.open(&self.accept_value(), accept, config, now)
    }

    pub(super) fn accept_value(&self) -> AcceptValue {
        accept_value(self.key)
    }
}

/// The value of `Sec-WebSocket-Accept` that answers the key of a request.
pub(super) type AcceptValue = [u8; 28];

impl Request {
    /// Opens the connection.
    pub(super) fn open(
        &self,
        accept_value: &AcceptValue,
        accept: &Accept,
        config: Arc<Config>,
        now: Timestamp,
    ) -> Result<Connection, HandshakeError> {
        if accept.unsendable {
            return Err(HandshakeError::UnsendableHeader);
        }
        let subprotocol = accept.subprotocol.as_deref();
        if subprotocol.is_some_and(|chosen| self.subprotocols().all(|offered| offered != chosen)) {
            return Err(HandshakeError::SubprotocolNotOffered);
        }
        let mut head = Vec::with_capacity(256);
        head.extend_from_slice(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
        );
        write_field(&mut head, "Sec-WebSocket-Accept", accept_value);
        if let Some(chosen) = subprotocol {
            write_field(&mut head, "Sec-WebSocket-Protocol", chosen.as_bytes());
        }
        let (extension, response) = extension::accept(&self.headers, &config)?.unzip();
        if let Some(response) = response {
            write_field(&mut head, "Sec-WebSocket-Extensions", response.as_bytes());
        }
        for (name, value) in accept.headers.iter() {
            write_field(&mut head, name, value);
        }
        head.extend_from_slice(b"\r\n");
        let opening = HandshakeOutcome { now, subprotocol, extension, head, ..HandshakeOutcome::default() };
        Ok(Connection::new(Role::Server, config, opening))
    }
}

/// Returns `true` if only the handshake itself may write this header.
pub(super) fn belongs_to_handshake(name: &str) -> bool {
    const RESERVED_HEADERS: [&str; 4] = ["Upgrade", "Connection", "Content-Length", "Transfer-Encoding"];
    let is_prefix =
        |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    RESERVED_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name)) || is_prefix("Sec-WebSocket-")
}

/// Returns `true` if these are tokens and all different (RFC 6455 section 4.1).
pub(super) fn are_subprotocols<'s>(names: impl IntoIterator<Item = &'s str>) -> bool {
    let mut seen = BTreeSet::new();
    names.into_iter().all(|name| is_token(name) && seen.insert(name))
}

/// Returns the value of a header that must appear exactly once.
pub(super) fn single<'h>(headers: &'h Headers, name: &'static str) -> Result<&'h str, HandshakeError> {
    let mut values = headers.values(name);
    let value = values.next().ok_or(HandshakeError::MissingHeader(name))?;
    if values.next().is_some() {
        return Err(HandshakeError::DuplicateHeader(name));
    }
    core::str::from_utf8(value).map_err(|_| HandshakeError::InvalidHeader(name))
}
