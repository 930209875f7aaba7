//! Requests that an HTTP library has parsed.

use super::{
    HandshakeError, Headers, Request, Response,
    head::{RequestHead, Version},
    headers::is_token,
    upgrade::Protocol,
};

/// Requests that an HTTP library has parsed. All checks of a request that [`Handshake`](super::server::Handshake)
/// receives apply to them too. The limits of [`HandshakeConfig`](crate::HandshakeConfig) do not: the HTTP library has its
/// own.
impl Request {
    /// Creates a request from its method, its target and its header fields. The target is a path with a query, or an
    /// absolute URI. The authority of a URI replaces the header `Host`.
    ///
    /// If the method is CONNECT, this is an extended CONNECT of HTTP/2 or HTTP/3 (RFC 8441 and RFC 9220). Call
    /// [`set_protocol`](Self::set_protocol) then. Other methods are those of HTTP/1.1.
    ///
    /// ```
    /// use ws_core::{OriginPolicy, server::Request};
    ///
    /// let headers = [("sec-websocket-version", "13"), ("origin", "https://example.com")];
    /// let mut request = Request::from_parts("CONNECT", "https://example.com/chat?room=1", headers)?;
    /// request.set_protocol("websocket");
    /// assert_eq!((request.path(), request.header("Host")), ("/chat", Some("example.com")));
    /// assert!(request.upgrade(&OriginPolicy::SameHost).is_ok());
    /// # Ok::<(), ws_core::HandshakeError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::MalformedHead`] if the method, the target or a header is invalid.
    /// - Returns [`HandshakeError::MissingHeader`], [`HandshakeError::DuplicateHeader`] or
    ///   [`HandshakeError::InvalidHeader`] for `Host`.
    pub fn from_parts<N: AsRef<str>, V: AsRef<[u8]>>(
        method: &str,
        target: &str,
        headers: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, HandshakeError> {
        let version = if method == "CONNECT" { Version::Http2 } else { Version::Http11 };
        Self::from_parts_of(version, method, target, headers)
    }

    pub(super) fn from_parts_of<N: AsRef<str>, V: AsRef<[u8]>>(
        version: Version,
        method: &str,
        target: &str,
        fields: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, HandshakeError> {
        if !is_token(method) {
            return Err(HandshakeError::MalformedHead("the method is invalid"));
        }
        if !target.bytes().all(|byte| byte > b' ' && byte != 0x7F) {
            return Err(HandshakeError::MalformedHead("the request target is invalid"));
        }
        let mut headers = Headers::default();
        let method = headers.append(method.as_bytes());
        let target = headers.append(target.as_bytes());
        headers.extend(fields)?;
        Self::new(RequestHead { method, target, version, headers })
    }

    /// Sets the value of the pseudo-header `:protocol`, which makes a CONNECT in HTTP/2 or HTTP/3 an extended CONNECT
    /// (RFC 8441 section 4). With `websocket`, it is a request for a WebSocket: it has no key, and
    /// [`Upgrade::accept_parts`](super::server::Upgrade::accept_parts) answers it with 200.
    ///
    /// HTTP libraries keep this value beside the headers. For example, in hyper it is the extension
    /// `hyper::ext::Protocol` of the request.
    pub fn set_protocol(&mut self, protocol: &str) {
        let is_websocket = protocol.eq_ignore_ascii_case("websocket");
        self.protocol = Some(if is_websocket { Protocol::WebSocket } else { Protocol::Other });
        self.version = Version::Http2;
    }

    /// Returns the response that refuses this request because of `error`. It is [`HandshakeError::response`], except
    /// that a response in HTTP/2 has no header `Upgrade` (RFC 9113 section 8.2.2), and the status 400 in place of 426.
    #[must_use]
    pub fn refusal(&self, error: &HandshakeError) -> Response {
        let response = error.response();
        if self.version == Version::Http2 { response.without_upgrade() } else { response }
    }
}
