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
//!
//! If an HTTP library has parsed the request, use [`Request::from_parts`] and [`Upgrade::accept_parts`]:
//!
//! ```
//! use std::sync::Arc;
//! use ws_core::{Config, OriginPolicy, Timestamp, server::{Accept, Request}};
//!
//! let headers = [
//!     ("host", "example.com"),
//!     ("upgrade", "websocket"),
//!     ("connection", "Upgrade"),
//!     ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
//!     ("sec-websocket-version", "13"),
//! ];
//! let request = Request::from_parts("GET", "/chat", headers)?;
//! let upgrade = request.upgrade(&OriginPolicy::SameHost)?;
//! let config = Arc::new(Config::default());
//! let (connection, response) = upgrade.accept_parts(&Accept::new(), config, Timestamp::ZERO)?;
//! assert_eq!(response.status(), 101);
//! assert_eq!(response.header_value("Sec-WebSocket-Accept"), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
//! # Ok::<(), ws_core::HandshakeError>(())
//! ```

use alloc::{boxed::Box, sync::Arc};
use core::{any::Any, fmt, ops::Range};

use super::{
    HandshakeError, Headers, Response,
    details::Link,
    head::{HeadReader, RequestHead, Version, parse_request},
    headers::{MAX_EMPTY_ELEMENTS, are_subprotocols, single},
    host::is_host,
    is_key,
    response::Content,
    target::TargetParts,
    upgrade::Protocol,
    values::Values,
};
pub use super::{
    accept::Accept,
    proxy_header::{ProxyHeader, ProxyHeaderReader},
    router::{Refusal, RouteMatch, RouteOptions, Router, RouterBuilder},
    upgrade::Upgrade,
};
use crate::{HandshakeConfig, OriginPolicy, Parameters, Timestamp, Transmit, excerpt::Excerpt};

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
        self.head.receive(input, &self.config)?.map(|head| Request::new(parse_request(head)?)).transpose()
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
    pub(super) headers: Headers,
    method: Range<usize>,
    target: Range<usize>,
    path: Range<usize>,
    pub(super) version: Version,
    /// Value of the pseudo-header `:protocol`.
    pub(super) protocol: Option<Protocol>,
    pub(super) parameters: Parameters,
    /// Pattern of the route.
    pub(super) route: Option<Arc<str>>,
    pub(super) link: Link,
    pub(super) values: Values,
    /// Result of the check before all routes, without its values.
    pub(super) accepted: Option<Box<Accept>>,
}

impl Request {
    pub(super) fn new(head: RequestHead) -> Result<Self, HandshakeError> {
        let RequestHead { method, target, version, mut headers } = head;
        let parts = TargetParts::parse(headers.text(&target), target.start);
        let has_authority = parts.as_ref().is_ok_and(|parts| parts.authority.is_some());
        match single(&headers, "Host") {
            Ok(host) if is_host(host) => {}
            Ok(_) => return Err(HandshakeError::InvalidHeader("Host")),
            // RFC 9112 3.2: only a request in HTTP/1.1 must have one. RFC 9113 8.3.1: `:authority` replaces it.
            Err(HandshakeError::MissingHeader(_)) if version == Version::Http10 => {}
            Err(HandshakeError::MissingHeader(_)) if version == Version::Http2 && has_authority => {}
            Err(error) => return Err(error),
        }
        let parts = parts.map_err(HandshakeError::MalformedHead)?;
        // RFC 9112 3.2.2: a server "MUST ignore the received Host header field (if any) and instead use the host
        // information of the request-target".
        if let Some(authority) = parts.authority {
            headers.set("Host", authority);
        }
        let path = parts.path;
        let (parameters, values, link) = Default::default();
        let (protocol, route, accepted) = (None, None, None);
        Ok(Self {
            headers,
            method,
            target,
            path,
            version,
            protocol,
            parameters,
            route,
            link,
            values,
            accepted,
        })
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

    /// Returns the text after the question mark unchanged, if there is one. See
    /// [`query_parameter`](Self::query_parameter) for decoded values.
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
        self.protocol == Some(Protocol::WebSocket)
            || self.headers.list_contains("Upgrade", "websocket")
            || self.headers.contains("Sec-WebSocket-Key")
    }

    /// Checks the request against RFC 6455 section 4.2.1 and the origin policy, or against RFC 8441 section 5 if it is
    /// an [extended CONNECT](Self::set_protocol).
    ///
    /// # Errors
    ///
    /// Returns the [`HandshakeError`] for an invalid or refused request. Answer with [`HandshakeError::response`], or with
    /// [`refusal`](Self::refusal) if the request may have come in HTTP/2, and close the stream.
    pub fn upgrade(&self, origin: &OriginPolicy) -> Result<Upgrade<'_>, HandshakeError> {
        match self.protocol {
            Some(protocol) => self.check_connect(protocol)?,
            None => self.check_get()?,
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
        // RFC 8441 5: an extended CONNECT does "not do the processing of the Sec-WebSocket-Key" header.
        let key = match self.protocol {
            Some(_) => None,
            None => Some(single(&self.headers, "Sec-WebSocket-Key")?),
        };
        if !key.is_none_or(is_key) {
            return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Key"));
        }
        origin.check(&self.headers, self.link.scheme)?;
        if !self.offers_subprotocols_legally() {
            return Err(HandshakeError::InvalidHeader("Sec-WebSocket-Protocol"));
        }
        Ok(Upgrade { request: self, key })
    }

    /// Checks that this is a GET with the headers of an upgrade.
    fn check_get(&self) -> Result<(), HandshakeError> {
        // RFC 9110 7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request."
        if self.version == Version::Http10 && self.is_upgrade() {
            return Err(HandshakeError::UpgradeInHttp10);
        }
        // RFC 9113 8.6: HTTP/2 has no upgrade.
        if self.version == Version::Http2 || !self.headers.list_contains("Upgrade", "websocket") {
            return Err(HandshakeError::NotAnUpgrade);
        }
        if self.method() != "GET" {
            return Err(HandshakeError::MethodNotAllowed);
        }
        if !self.headers.list_contains("Connection", "Upgrade") {
            return Err(HandshakeError::InvalidHeader("Connection"));
        }
        Ok(())
    }

    /// Checks that this is an extended CONNECT for a WebSocket (RFC 8441 section 4).
    fn check_connect(&self, protocol: Protocol) -> Result<(), HandshakeError> {
        if self.method() != "CONNECT" {
            return Err(HandshakeError::MalformedHead(
                "only the method CONNECT may have the pseudo-header :protocol",
            ));
        }
        match protocol {
            Protocol::WebSocket => Ok(()),
            Protocol::Other => Err(HandshakeError::UnsupportedProtocol),
        }
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
            .field("peer_addr", &self.link.peer_addr)
            .finish_non_exhaustive()
    }
}
