//! The client's side of an opening handshake through an HTTP library.

use alloc::{boxed::Box, format, string::String, sync::Arc};
use core::fmt;

use super::{HandshakeError, Headers, Response, client::Request, expected::Expected};
use crate::{Config, Connection, Timestamp, entropy::Entropy};

/// A client's request for a WebSocket as method, target and headers, to be sent by an HTTP library.
/// [`accept`](Self::accept) checks the response and opens the connection.
///
/// ```
/// use std::sync::Arc;
/// use ws_core::{Config, Timestamp, client::{Request, Upgrade}};
///
/// let request = Request::new("ws://example.com/chat".parse()?).subprotocol("chat");
/// let seed = [7; 32]; // 32 random bytes from the operating system
/// let upgrade = Upgrade::new(&request, Arc::new(Config::default()), seed)?;
/// assert_eq!((upgrade.method(), upgrade.target()), ("GET", "/chat"));
/// assert_eq!(upgrade.headers().get("Sec-WebSocket-Protocol"), Some("chat"));
/// # let key = ws_core::accept_key(upgrade.headers().get("Sec-WebSocket-Key").unwrap());
/// # let received = [("upgrade", "websocket"), ("connection", "Upgrade"), ("sec-websocket-accept", key.as_str())];
///
/// // Send the request, and pass on the status and the headers of the response.
/// let (connection, _response) = upgrade.accept(101, received, Timestamp::ZERO)?;
/// assert_eq!(connection.subprotocol(), None);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Upgrade {
    target: String,
    headers: Headers,
    expected: Expected,
}

impl Upgrade {
    /// Creates the request to upgrade a stream of HTTP/1.1. `seed` is used for the nonce and the masking keys, and must
    /// come from the operating system (RFC 6455 section 10.3).
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::UnsendableHeader`] if the request has an invalid header.
    /// - Returns [`HandshakeError::UnsendableSubprotocol`] if a subprotocol is not a token or is offered twice.
    pub fn new(request: &Request, config: Arc<Config>, seed: [u8; 32]) -> Result<Self, HandshakeError> {
        let mut entropy = Box::new(Entropy::new(seed));
        let key = entropy.nonce();
        let mut headers = Headers::default();
        request.fields(Some(&key), &config, |name, value| {
            headers.push_bytes(name, value);
        })?;
        let target = request.url().target().into();
        let expected =
            Expected { key: Some(key), subprotocols: request.subprotocols.clone(), config, entropy };
        Ok(Self { target, headers, expected })
    }

    /// Creates an extended CONNECT, the request for a WebSocket on a stream of HTTP/2 or HTTP/3 (RFC 8441 and RFC 9220).
    /// Send it with `websocket` as the value of the pseudo-header `:protocol`, and only if the server has announced
    /// `SETTINGS_ENABLE_CONNECT_PROTOCOL`. The names of the headers are in lower case, as HTTP/2 requires. `seed` is
    /// used for the masking keys, and must come from the operating system.
    ///
    /// # Errors
    ///
    /// Returns the same errors as [`new`](Self::new).
    pub fn extended_connect(
        request: &Request,
        config: Arc<Config>,
        seed: [u8; 32],
    ) -> Result<Self, HandshakeError> {
        let mut headers = Headers::default();
        request.fields(None, &config, |name, value| {
            headers.push_bytes(&name.to_ascii_lowercase(), value);
        })?;
        let scheme = if request.url().is_secure() { "https" } else { "http" };
        let target = format!("{scheme}://{}{}", request.authority(), request.url().target());
        let entropy = Box::new(Entropy::new(seed));
        let expected = Expected { key: None, subprotocols: request.subprotocols.clone(), config, entropy };
        Ok(Self { target, headers, expected })
    }

    /// Returns the method: GET, or CONNECT for an extended CONNECT.
    #[must_use]
    pub const fn method(&self) -> &'static str {
        if self.expected.key.is_some() { "GET" } else { "CONNECT" }
    }

    /// Returns the path and the query. For an extended CONNECT it is an absolute URI. Its parts are the pseudo-headers
    /// `:scheme`, `:authority` and `:path`.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// Returns the header fields of the request.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Checks the status and the header fields of the server's response, and opens the connection at `now`. The
    /// connection begins behind the response: it has to receive the bytes that the HTTP library has already read there.
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::Refused`] if the status is not 101, or not 2xx for an extended CONNECT. It contains
    ///   the response without its body.
    /// - Returns another [`HandshakeError`] if the response violates RFC 6455 section 4.1 or RFC 8441 section 5.
    pub fn accept<N: AsRef<str>, V: AsRef<[u8]>>(
        self,
        status: u16,
        headers: impl IntoIterator<Item = (N, V)>,
        now: Timestamp,
    ) -> Result<(Connection, Response), HandshakeError> {
        let mut received = Headers::default();
        received.extend(headers)?;
        // RFC 9110 9.3.6: "Any 2xx (Successful) response indicates" that a CONNECT has succeeded.
        let is_accepted = match self.expected.key {
            Some(_) => status == 101,
            None => matches!(status, 200..=299),
        };
        if !is_accepted {
            return Err(HandshakeError::Refused(Box::new(Response::received(status, received))));
        }
        self.expected.accept(status, received, now)
    }
}

/// Omits the key.
impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("method", &self.method())
            .field("target", &self.target)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}
