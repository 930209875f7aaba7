//! The client's side of the opening handshake (RFC 6455 section 4.1).
//!
//! ```
//! use std::sync::Arc;
//! use bytes::Buf;
//! use ws_core::{Config, HandshakeConfig, Timestamp, client::{Handshake, Request}};
//!
//! let request = Request::new("ws://example.com/chat".parse()?).subprotocol("chat");
//! let seed = [7; 32]; // 32 random bytes from the operating system
//! let (limits, config) = (HandshakeConfig::default(), Arc::new(Config::default()));
//! let mut handshake = Handshake::new(&request, &limits, config, seed, Timestamp::ZERO)?;
//! assert!(handshake.transmit().chunk().starts_with(b"GET /chat HTTP/1.1\r\nHost: example.com\r\n"));
//! // Write the request, then pass the bytes that you read to `handshake.receive`.
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! If an HTTP library sends the request, use [`Upgrade`].

use alloc::{borrow::Cow, boxed::Box, string::String, sync::Arc, vec::Vec};
use core::{fmt, str, time::Duration};

use bytes::Buf;

pub use super::client_upgrade::Upgrade;
use super::{
    HandshakeError, Headers, Response, Url,
    expected::Expected,
    head::{HeadReader, parse_response},
    headers::{are_subprotocols, belongs_to_handshake, is_secret, write_field},
    host::is_host,
};
use crate::{Config, Connection, HandshakeConfig, Timestamp, Transmit, entropy::Entropy, extension};

pub use super::redirect::Redirects;

/// A client's request for a WebSocket.
#[derive(Clone, Debug)]
pub struct Request {
    url: Url,
    headers: Headers,
    pub(super) subprotocols: Vec<String>,
    unsendable: bool,
}

impl Request {
    /// Creates a request for the WebSocket at this URL.
    #[must_use]
    pub fn new(url: Url) -> Self {
        Self { url, headers: Headers::default(), subprotocols: Vec::new(), unsendable: false }
    }

    /// Adds a header. `Host` and `Authorization` replace the values from the URL. [`Handshake::new`] fails if a
    /// header is invalid, if it belongs to the handshake itself, or if there is a second `Host`, `Origin` or
    /// `Authorization`.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        // RFC 9110 5.3: a sender must not repeat a field that is not a list. Servers refuse a second Host (RFC 9112
        // 3.2).
        const SINGLE_FIELDS: [&str; 3] = ["Host", "Origin", "Authorization"];
        let is_single = SINGLE_FIELDS.iter().any(|single| single.eq_ignore_ascii_case(name));
        let is_second = is_single && self.headers.contains(name);
        let is_invalid = name.eq_ignore_ascii_case("Host") && !is_host(value.trim_matches([' ', '\t']));
        let is_own = belongs_to_handshake(name);
        self.unsendable |= is_own || is_second || is_invalid || !self.headers.push(name, value);
        self
    }

    /// Offers a subprotocol. Offer the preferred one first.
    #[must_use]
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocols.push(name.into());
        self
    }

    /// Returns the URL.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Returns the request for the URL of a redirect. Another origin does not receive the credentials.
    pub(super) fn redirected(&self, url: Url) -> Self {
        let mut headers = Headers::default();
        let is_same = url.is_same_origin(&self.url);
        let is_kept = |name: &str| is_same || !(name.eq_ignore_ascii_case("Host") || is_secret(name));
        for (name, value) in self.headers.iter().filter(|(name, _)| is_kept(name)) {
            // It succeeds as it did before.
            headers.push(name, str::from_utf8(value).unwrap_or_default());
        }
        Self { url, headers, subprotocols: self.subprotocols.clone(), unsendable: self.unsendable }
    }

    /// Returns the host and the port to which the request is sent: the header `Host`, or else the authority of the URL.
    pub(super) fn authority(&self) -> Cow<'_, str> {
        self.headers.get("Host").map_or_else(|| self.url.authority().into(), Cow::Borrowed)
    }

    fn encode(&self, key: &str, config: &Config) -> Result<Vec<u8>, HandshakeError> {
        let mut out = Vec::with_capacity(256);
        out.extend_from_slice(b"GET ");
        out.extend_from_slice(self.url.target().as_bytes());
        out.extend_from_slice(b" HTTP/1.1\r\n");
        self.fields(Some(key), config, |name, value| write_field(&mut out, name, value))?;
        out.extend_from_slice(b"\r\n");
        Ok(out)
    }

    /// Passes all header fields to `field`. Without a key, they are those of an extended CONNECT (RFC 8441 section 5).
    pub(super) fn fields(
        &self,
        key: Option<&str>,
        config: &Config,
        mut field: impl FnMut(&str, &[u8]),
    ) -> Result<(), HandshakeError> {
        if self.unsendable {
            return Err(HandshakeError::UnsendableHeader);
        }
        if !are_subprotocols(self.subprotocols.iter().map(String::as_str)) {
            return Err(HandshakeError::UnsendableSubprotocol);
        }
        if let Some(key) = key {
            if !self.headers.contains("Host") {
                field("Host", self.url.authority().as_bytes());
            }
            field("Upgrade", b"websocket");
            field("Connection", b"Upgrade");
            field("Sec-WebSocket-Key", key.as_bytes());
        }
        field("Sec-WebSocket-Version", b"13");
        if !self.subprotocols.is_empty() {
            field("Sec-WebSocket-Protocol", self.subprotocols.join(", ").as_bytes());
        }
        if let Some(offer) = extension::offer(config) {
            field("Sec-WebSocket-Extensions", offer.as_bytes());
        }
        if let Some(authorization) =
            self.url.authorization().filter(|_| !self.headers.contains("Authorization"))
        {
            field("Authorization", authorization.as_bytes());
        }
        // RFC 9113 8.3.1: `:authority` replaces `Host`.
        let is_sent = |name: &str| key.is_some() || !name.eq_ignore_ascii_case("Host");
        for (name, value) in self.headers.iter().filter(|(name, _)| is_sent(name)) {
            field(name, value);
        }
        Ok(())
    }
}

/// Sends a request and validates the response.
pub struct Handshake {
    limits: HandshakeConfig,
    queue: Transmit,
    head: HeadReader,
    deadline: Option<Timestamp>,
    now: Timestamp,
    /// `None` after the response.
    expected: Option<Expected>,
    interim_responses: u8,
    refusal: Option<RefusedResponse>,
}

/// A response other than 101, before its body has arrived completely.
struct RefusedResponse {
    response: Response,
    body: Vec<u8>,
    /// Number of bytes of the body to wait for.
    wanted: usize,
    chunked: bool,
    /// First time that was reported after the last bytes arrived. `None` until then.
    quiet_since: Option<Timestamp>,
}

impl Handshake {
    /// Maximum number of interim responses (1xx) that are skipped.
    const MAX_INTERIM: u8 = 4;
    /// Maximum number of bytes that are kept of the body of a refusal.
    const MAX_BODY: usize = 4096;
    /// Maximum pause in the body of a refusal. The refusal is already known, and the body never ends if the server
    /// keeps the stream open without a length.
    const BODY_PAUSE: Duration = Duration::from_secs(1);

    /// Creates a handshake that begins at `now` and opens a connection with this `config`. `seed` is used for the nonce
    /// and the masking keys, and must come from the operating system (RFC 6455 section 10.3).
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::UnsendableHeader`] if the request has an invalid header.
    /// - Returns [`HandshakeError::UnsendableSubprotocol`] if a subprotocol is not a token or is offered twice.
    pub fn new(
        request: &Request,
        limits: &HandshakeConfig,
        config: Arc<Config>,
        seed: [u8; 32],
        now: Timestamp,
    ) -> Result<Self, HandshakeError> {
        let mut entropy = Box::new(Entropy::new(seed));
        let key = entropy.nonce();
        let mut queue = Transmit::default();
        *queue.block() = request.encode(&key, &config)?;
        let subprotocols = request.subprotocols.clone();
        Ok(Self {
            deadline: limits.open_timeout.map(|timeout| now + timeout),
            limits: limits.clone(),
            queue,
            head: HeadReader::for_response(),
            now,
            expected: Some(Expected { key: Some(key), subprotocols, config, entropy }),
            interim_responses: 0,
            refusal: None,
        })
    }

    /// Returns the bytes to be written.
    pub fn transmit(&mut self) -> impl Buf + '_ {
        &mut self.queue
    }

    /// Takes received bytes off `input`, up to the end of the response. Returns `None` if more bytes are needed.
    /// Bytes behind the response stay in the input and belong to the connection.
    ///
    /// # Errors
    ///
    /// Returns [`HandshakeError::Refused`] with the server's response if the server refused, or another
    /// [`HandshakeError`] if the response violates RFC 6455 section 4.1.
    pub fn receive(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<(Connection, Response)>, HandshakeError> {
        while self.refusal.is_none() {
            let Some(head) = self.head.receive(input, &self.limits)? else { return Ok(None) };
            let (status, headers) = parse_response(head)?;
            match status {
                101 => {
                    let Some(expected) = self.expected.take() else { return Err(HandshakeError::Eof) };
                    return expected.accept(status, headers, self.now).map(Some);
                }
                100..=199 if self.interim_responses >= Self::MAX_INTERIM => {
                    return Err(HandshakeError::TooManyInterimResponses);
                }
                100..=199 => self.interim_responses = self.interim_responses.saturating_add(1),
                _ => self.refusal = Some(RefusedResponse::new(status, headers)),
            }
        }
        self.receive_body(input)
    }

    /// Reports that the server's stream has ended. Returns the resulting error.
    pub fn receive_eof(&mut self) -> HandshakeError {
        match self.refusal.take() {
            Some(refusal) => refusal.into_error(),
            None => self.head.foreign_protocol().unwrap_or(HandshakeError::Eof),
        }
    }

    /// Reports the current time.
    ///
    /// # Errors
    ///
    /// - Returns [`HandshakeError::Timeout`] if the server took longer than
    ///   [`open_timeout`](crate::HandshakeConfig::open_timeout).
    /// - Returns [`HandshakeError::Refused`] if the head of a refusal has arrived and its body pauses for one second.
    pub fn handle_timeout(&mut self, now: Timestamp) -> Result<(), HandshakeError> {
        self.now = self.now.max(now);
        if let Some(refusal) = &mut self.refusal {
            refusal.quiet_since.get_or_insert(self.now);
        }
        if self.poll_timeout().is_none_or(|due| self.now < due) {
            return Ok(());
        }
        Err(match self.refusal.take() {
            Some(refusal) => refusal.into_error(),
            None => self.head.foreign_protocol().unwrap_or(HandshakeError::Timeout),
        })
    }

    /// Returns the time at which [`handle_timeout`](Self::handle_timeout) has to be called. Receiving can make it
    /// earlier, so call this method again before each wait.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let body = self
            .refusal
            .as_ref()
            .map(|refusal| refusal.quiet_since.map_or(self.now, |since| since + Self::BODY_PAUSE));
        self.deadline.into_iter().chain(body).min()
    }

    fn receive_body(
        &mut self,
        input: &mut &mut [u8],
    ) -> Result<Option<(Connection, Response)>, HandshakeError> {
        if let Some(refusal) = &mut self.refusal {
            let space = refusal.wanted.saturating_sub(refusal.body.len());
            if !input.is_empty() {
                refusal.quiet_since = None;
            }
            refusal.body.extend(input.iter().take(space));
            *input = &mut [];
            if refusal.is_complete()
                && let Some(refusal) = self.refusal.take()
            {
                return Err(refusal.into_error());
            }
        }
        Ok(None)
    }
}

/// Omits the request that waits to be written, because it may contain cookies and credentials.
impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let refusal = self.refusal.as_ref().map(|refusal| &refusal.response);
        f.debug_struct("Handshake")
            .field("to_write", &self.queue.remaining())
            .field("received", &self.head)
            .field("refusal", &refusal)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

impl RefusedResponse {
    fn new(status: u16, headers: Headers) -> Self {
        let chunked = headers.list_contains("Transfer-Encoding", "chunked");
        let length = headers.get("Content-Length").and_then(|length| length.parse().ok());
        let wanted = if status == 204 || status == 304 {
            0
        } else {
            length.filter(|_| !chunked).unwrap_or(usize::MAX)
        };
        Self {
            response: Response::received(status, headers),
            body: Vec::new(),
            wanted: wanted.min(Handshake::MAX_BODY),
            chunked,
            quiet_since: None,
        }
    }

    fn is_complete(&self) -> bool {
        self.body.len() >= self.wanted || (self.chunked && unchunk(&self.body).1)
    }

    fn into_error(self) -> HandshakeError {
        let body = if self.chunked { unchunk(&self.body).0 } else { self.body };
        HandshakeError::Refused(Box::new(self.response.body(body)))
    }
}

/// Returns the payload of a body in chunks (RFC 9112 section 7.1) that has arrived, and `true` if it is complete.
fn unchunk(mut body: &[u8]) -> (Vec<u8>, bool) {
    let mut payload = Vec::new();
    let mut ended = false;
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(body) {
        let rest = body.get(start..).unwrap_or_default();
        let len = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        payload.extend_from_slice(rest.get(..len).unwrap_or_default());
        body = rest.get(len.saturating_add(2)..).unwrap_or_default();
        if size == 0 {
            // Trailers, if any, and a blank line.
            ended = rest.starts_with(b"\r\n") || rest.windows(4).any(|window| window == b"\r\n\r\n");
            break;
        }
        if body.is_empty() {
            break;
        }
    }
    (payload, ended)
}
