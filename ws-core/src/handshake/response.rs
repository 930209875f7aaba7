use alloc::{borrow::Cow, format, string::String, vec, vec::Vec};
use core::fmt;

use bytes::{Buf as _, Bytes};

use super::{Headers, headers::write_field};
use crate::{Transmit, excerpt::Excerpt};

/// An HTTP response. A server sends it instead of opening a WebSocket, and a client receives it when a server
/// refuses.
///
/// ```
/// use ws_core::Response;
///
/// let response = Response::new(401).header("WWW-Authenticate", "Bearer").text("Who are you?");
/// assert_eq!(response.header_value("www-authenticate"), Some("Bearer"));
/// assert_eq!(response.to_string(), "401 Unauthorized (\"Who are you?\")");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: Headers,
    /// The body, shared by all clones.
    body: Bytes,
    /// `true` if an invalid header was set.
    unsendable: bool,
}

impl Response {
    /// Creates an empty response with this status, such as 404. A status that is not a final one (RFC 9110 section
    /// 15: below 200, or with more than three digits) becomes 500. An interim response would leave the client
    /// waiting, and only [`Upgrade::accept`](crate::server::Upgrade::accept) sends a 101.
    #[must_use]
    pub fn new(status: u16) -> Self {
        let unsendable = !matches!(status, 200..=999);
        let status = if unsendable { 500 } else { status };
        Self { status, headers: Headers::default(), body: Bytes::new(), unsendable }
    }

    /// Adds a header. The headers `Connection` and `Content-Length` are added automatically. An invalid header (a
    /// name that is not a token, control characters in a value, or one of those two headers) turns the response into
    /// a 500 when it is sent.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.unsendable |= frames_the_response(name) || !self.headers.push(name, value);
        self
    }

    /// Sets the body. Clones of the response share the body: a page that is built once and cloned for each request is
    /// in memory once, regardless of the number of clients that read it.
    #[must_use]
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Bytes::from(body.into());
        self
    }

    /// Sets the body to plain text, and replaces the header `Content-Type`.
    #[must_use]
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content("text/plain; charset=utf-8", text.into())
    }

    /// Sets the body to an HTML page, and replaces the header `Content-Type`.
    #[must_use]
    pub fn html(self, page: impl Into<String>) -> Self {
        self.content("text/html; charset=utf-8", page.into())
    }

    fn content(mut self, kind: &str, body: String) -> Self {
        self.headers.remove("Content-Type");
        self.header("Content-Type", kind).body(body)
    }

    /// Appends header fields. With `unsendable`, one of them is invalid.
    pub(super) fn append(&mut self, headers: &Headers, unsendable: bool) {
        self.headers.append_all(headers);
        self.unsendable |= unsendable;
    }

    /// Returns the status code.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Returns the header fields.
    #[must_use]
    pub const fn headers(&self) -> &Headers {
        &self.headers
    }

    /// Returns the value of the first header of this name.
    #[must_use]
    pub fn header_value(&self, name: &str) -> Option<&str> {
        self.headers.get(name)
    }

    /// Returns the cookies that the server sets, as names and values without their attributes (RFC 6265 section 5.2). The
    /// order is that of the headers `Set-Cookie`. Headers without a name, or that are not UTF-8, are skipped.
    ///
    /// ```
    /// use ws_core::Response;
    ///
    /// let response = Response::new(401).header("Set-Cookie", "session=1a2b; Path=/; HttpOnly");
    /// assert_eq!(response.cookies().collect::<Vec<_>>(), [("session", "1a2b")]);
    /// ```
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.get_all("Set-Cookie").filter_map(|cookie| {
            let pair = cookie.split(';').next().unwrap_or_default();
            let (name, value) = pair.split_once('=')?;
            Some((name.trim_matches([' ', '\t']), value.trim_matches([' ', '\t'])))
                .filter(|(name, _)| !name.is_empty())
        })
    }

    /// Returns the body. Of a response that a server sent instead of a WebSocket, it is the first 4 KiB.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// Returns the bytes of this response. Write them and close the stream. If the request is available, use
    /// [`respond`](crate::server::Request::respond) instead, which omits the body in an answer to HEAD.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut encoded = self.encode(Content::Included);
        let mut bytes = vec![0; encoded.remaining()];
        encoded.copy_to_slice(&mut bytes);
        bytes
    }

    /// Returns status, headers and body for an HTTP library.
    #[cfg(feature = "http")]
    pub(super) fn into_sendable_parts(mut self) -> (u16, Headers, Bytes) {
        if self.unsendable {
            return Self::failure().into_sendable_parts();
        }
        // RFC 9110 7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
        if self.headers.contains("Upgrade") && !self.headers.contains("Connection") {
            self.headers.push("Connection", "Upgrade");
        }
        (self.status, self.headers, self.body)
    }

    fn failure() -> Self {
        Self::new(500).text("The server failed to answer this request.\n")
    }

    /// Returns this response for a version of HTTP without upgrades.
    pub(super) fn without_upgrade(mut self) -> Self {
        if self.status == 426 {
            self.status = 400;
        }
        let mut headers = Headers::default();
        for (name, value) in self.headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Upgrade")) {
            headers.push_bytes(&name.to_ascii_lowercase(), value);
        }
        self.headers = headers;
        self
    }

    pub(super) fn received(status: u16, headers: Headers) -> Self {
        Self { status, headers, body: Bytes::new(), unsendable: false }
    }

    /// Returns the bytes to write, without the body for an answer to HEAD.
    pub(super) fn encode(&self, content: Content) -> Transmit {
        /// Maximum size in bytes of a body that is copied behind the head, so that one write sends both.
        const MAX_COPIED: usize = 4096;

        // A received response may be a 101.
        if self.unsendable || self.status < 200 {
            return Self::failure().encode(content);
        }
        let mut out = Vec::new();
        let status_line = format!("HTTP/1.1 {} {}\r\n", self.status, reason_phrase(self.status));
        out.extend_from_slice(status_line.as_bytes());
        // A received response has fields about its own stream.
        for (name, value) in self.headers.iter().filter(|(name, _)| !frames_the_response(name)) {
            write_field(&mut out, name, value);
        }
        // RFC 9110 15.5.22: "The server MUST send an Upgrade header field in a 426 response".
        let upgrades = self.headers.contains("Upgrade");
        if self.status == 426 && !upgrades {
            write_field(&mut out, "Upgrade", b"websocket");
        }
        // Bytes that follow on this stream were sent for a WebSocket, and must not be parsed as a request. RFC 9110
        // 7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option".
        let options: &[u8] = if upgrades || self.status == 426 { b"close, Upgrade" } else { b"close" };
        write_field(&mut out, "Connection", options);
        let body = match self.status {
            // RFC 9110 8.6 and 15.4.5: the response has no content and no `Content-Length`.
            204 | 304 => None,
            // RFC 9110 15.3.6: "a server MUST NOT generate content in a 205 response".
            205 => Some(Bytes::new()),
            _ => Some(self.body.clone()),
        };
        if let Some(body) = &body {
            write_field(&mut out, "Content-Length", format!("{}", body.len()).as_bytes());
        }
        out.extend_from_slice(b"\r\n");
        let body = body.filter(|_| content == Content::Included).unwrap_or_default();
        let mut encoded = Transmit::default();
        encoded.extend_from_slice(&out);
        if body.len() <= MAX_COPIED {
            encoded.extend_from_slice(&body);
        } else {
            encoded.push(body);
        }
        encoded
    }
}

/// The content of an encoded response: included, or omitted because the request is HEAD (RFC 9110 section 9.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Content {
    Included,
    Omitted,
}

/// Returns `true` for headers that control the end of a response and the reuse of its stream.
fn frames_the_response(name: &str) -> bool {
    const RESERVED_HEADERS: [&str; 3] = ["Connection", "Content-Length", "Transfer-Encoding"];
    RESERVED_HEADERS.iter().any(|own| own.eq_ignore_ascii_case(name))
}

/// Shows the status, and the beginning of the body if it is text, as one line.
impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_SHOWN: usize = 120;
        write!(f, "{} {}", self.status, reason_phrase(self.status))?;
        let text = String::from_utf8_lossy(&self.body);
        let mut line = text.trim();
        if line.is_empty() || line.starts_with('<') {
            return Ok(());
        }
        if let Some((cut, _)) = line.char_indices().nth(MAX_SHOWN) {
            line = line.get(..cut).unwrap_or_default();
        }
        let shown: Cow<'_, str> = line.lines().next().unwrap_or_default().into();
        write!(f, " ({shown:?})")
    }
}

/// Shows the status, the headers without secrets, and the beginning of the body.
impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body", &Excerpt(&self.body))
            .finish_non_exhaustive()
    }
}

/// Returns the reason phrase of the status (RFC 9110 section 15). It is informative, so it may be empty for an
/// unknown status.
const fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        205 => "Reset Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        413 => "Content Too Large",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        _ => "",
    }
}
