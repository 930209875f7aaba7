use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{excerpt::Excerpt, handshake::accept_value};

/// The head of a request or response, line by line. It may be invalid in any way.
///
/// ```
/// use ws_core::{HandshakeConfig, HandshakeError, OriginPolicy, Timestamp, server, testing::Head};
///
/// let mut request = Head::request().set("Sec-WebSocket-Version", "8").bytes();
/// let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
/// let request = handshake.receive(&mut &mut request[..])?.unwrap();
/// let upgrade = request.upgrade(&OriginPolicy::default());
/// assert_eq!(upgrade.unwrap_err(), HandshakeError::UnsupportedVersion);
/// # Ok::<(), HandshakeError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Head(Vec<Vec<u8>>);

/// Shows the first line and the number of lines.
impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = self.0.first().map(|line| Excerpt(line));
        f.debug_struct("Head").field("first_line", &first).field("lines", &self.0.len()).finish()
    }
}

impl Head {
    /// Creates a head of these lines. The lines do not include their line ends.
    pub fn new<L: AsRef<[u8]>>(lines: impl IntoIterator<Item = L>) -> Self {
        Self(lines.into_iter().map(|line| line.as_ref().to_vec()).collect())
    }

    /// Creates a head from its bytes on the wire.
    ///
    /// ```
    /// use ws_core::testing::Head;
    ///
    /// let head = Head::from_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
    /// assert_eq!(head, Head::new(["HTTP/1.1 200 OK", "Content-Length: 0"]));
    /// ```
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let (mut lines, mut rest) = (Vec::new(), bytes.strip_suffix(b"\r\n\r\n").unwrap_or(bytes));
        while let Some(end) = rest.windows(2).position(|end| end == b"\r\n") {
            lines.push(rest[..end].to_vec());
            rest = &rest[end + 2..];
        }
        lines.push(rest.to_vec());
        Self(lines)
    }

    /// Creates a valid request for a WebSocket. Its key is that of RFC 6455 section 1.3.
    #[must_use]
    pub fn request() -> Self {
        Self::new([
            "GET /chat HTTP/1.1",
            "Host: server.example.com",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
        ])
    }

    /// Creates the response that accepts this request.
    ///
    /// # Panics
    ///
    /// Panics if the request has no line with a `Sec-WebSocket-Key`.
    #[must_use]
    pub fn response_to(request: &[u8]) -> Self {
        let request = String::from_utf8_lossy(request);
        let mut lines = request.split("\r\n");
        let key = lines.find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key to answer");
        Self::new([
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            &format!("Sec-WebSocket-Accept: {}", accept_value(key).escape_ascii()),
        ])
    }

    /// Returns the `Sec-WebSocket-Key` of a client with this nonce.
    #[must_use]
    pub fn key(nonce: [u8; 16]) -> String {
        STANDARD.encode(nonce)
    }

    /// Replaces the first line.
    #[must_use]
    pub fn first_line(mut self, line: impl AsRef<[u8]>) -> Self {
        self.0[0] = line.as_ref().to_vec();
        self
    }

    /// Appends a line.
    #[must_use]
    pub fn with(mut self, line: impl AsRef<[u8]>) -> Self {
        self.0.push(line.as_ref().to_vec());
        self
    }

    /// Removes all fields of this name.
    ///
    /// # Panics
    ///
    /// Panics if the head has no such fields.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        let prefix = format!("{name}:");
        let before = self.0.len();
        self.0.retain(|line| !line.starts_with(prefix.as_bytes()));
        assert!(self.0.len() < before, "there was no {name}");
        self
    }

    /// Replaces the value of a field.
    ///
    /// # Panics
    ///
    /// Panics if the head has no such field.
    #[must_use]
    pub fn set(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let line = [name.as_bytes(), b": ", value.as_ref()].concat();
        self.without(name).with(line)
    }

    /// Returns the bytes on the wire, with the blank line.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        [&self.0.join(&b"\r\n"[..]), &b"\r\n\r\n"[..]].concat()
    }

    /// Returns the lines without their line ends.
    #[must_use]
    pub fn into_lines(self) -> Vec<Vec<u8>> {
        self.0
    }
}
