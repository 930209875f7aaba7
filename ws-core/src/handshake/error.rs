use alloc::{boxed::Box, string::ToString};
use core::{error::Error, fmt};

use super::{RedirectProblem, Response};

/// The reason why an opening handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The head of the peer's request or response is not valid HTTP/1.x. Contains the reason.
    MalformedHead(&'static str),
    /// The peer sent a TLS record instead of HTTP: one end uses TLS and the other does not.
    TlsRecord,
    /// The server answered with a protocol other than HTTP.
    NotHttp {
        /// The first line. A long line is cut.
        beginning: Box<str>,
    },
    /// The first line alone exceeds [`max_head_size`](crate::HandshakeConfig::max_head_size).
    FirstLineTooLong {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head exceeds [`max_head_size`](crate::HandshakeConfig::max_head_size).
    HeadTooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The head has more header fields than [`max_headers`](crate::HandshakeConfig::max_headers).
    TooManyHeaders {
        /// The maximum number of fields.
        limit: usize,
    },
    /// The peer did not send this header.
    MissingHeader(&'static str),
    /// The peer sent this header more than once.
    DuplicateHeader(&'static str),
    /// The peer sent this header with an invalid value.
    InvalidHeader(&'static str),
    /// A trusted proxy sent no valid header of the PROXY protocol. Contains the reason.
    MalformedProxyHeader(&'static str),
    /// The handshake was not complete after [`open_timeout`](crate::HandshakeConfig::open_timeout).
    Timeout,
    /// The peer's stream ended or was reset before the handshake was complete. A client that sends while the server
    /// closes receives one or the other, by chance.
    Eof,
    /// A client used a method other than GET.
    MethodNotAllowed,
    /// A client made a request that does not ask for a WebSocket.
    NotAnUpgrade,
    /// A client requested a WebSocket in HTTP/1.0, which cannot upgrade. The usual cause is a proxy that uses
    /// HTTP/1.0 to the server.
    UpgradeInHttp10,
    /// A client requested a WebSocket version other than 13.
    UnsupportedVersion,
    /// A client sent an extended CONNECT (RFC 8441) for a protocol other than `websocket`.
    UnsupportedProtocol,
    /// A client announced a body with its request.
    UnexpectedBody,
    /// A client sent an `Origin` that [`OriginPolicy`](crate::OriginPolicy) does not allow.
    OriginRefused {
        /// The origin. A long one is cut.
        origin: Box<str>,
        /// The address that the client requested: the value of `Host` if there is one, preceded by the scheme if the
        /// policy demands one.
        target: Box<str>,
    },
    /// A server answered with a status other than 101. Contains the response.
    Refused(Box<Response>),
    /// A server redirected the client, which follows redirects but not this one.
    Redirect {
        /// The last response.
        response: Box<Response>,
        /// The reason why the redirect was not followed.
        problem: RedirectProblem,
    },
    /// A server chose a subprotocol that the client did not offer.
    UnofferedSubprotocol,
    /// A server chose an extension that the client did not offer.
    UnofferedExtension,
    /// A server chose permessage-deflate with a parameter that does not match the offer, or without a required
    /// parameter.
    ExtensionParameter {
        /// Value of the server's `Sec-WebSocket-Extensions`. A long value is cut.
        value: Box<str>,
        /// Name of the parameter.
        parameter: Box<str>,
        /// The problem, such as "is unknown".
        problem: &'static str,
    },
    /// A server sent too many interim responses (1xx).
    TooManyInterimResponses,
    /// The application set a header that cannot be sent. Its name is not a token or belongs to the handshake itself,
    /// its value contains control characters or is not a valid `Host`, or it appears twice and may appear only once.
    UnsendableHeader,
    /// The application set a subprotocol that is not a token, or the same one twice.
    UnsendableSubprotocol,
    /// The application accepted a subprotocol that the client did not offer.
    SubprotocolNotOffered,
}

impl HandshakeError {
    /// Returns `true` if a client that tries again later may succeed without any change:
    ///
    /// - [`Timeout`](Self::Timeout),
    /// - [`Eof`](Self::Eof),
    /// - [`Refused`](Self::Refused) with the status 500, 502, 503 or 504.
    ///
    /// ```
    /// use ws_core::HandshakeError;
    ///
    /// assert!(HandshakeError::Eof.is_transient());
    /// assert!(!HandshakeError::UnofferedSubprotocol.is_transient());
    /// ```
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        // Without a wildcard, so that each new error is decided.
        match self {
            Self::Timeout | Self::Eof => true,
            Self::Refused(response) => matches!(response.status(), 500 | 502 | 503 | 504),
            Self::MalformedHead(_)
            | Self::TlsRecord
            | Self::NotHttp { .. }
            | Self::FirstLineTooLong { .. }
            | Self::HeadTooLarge { .. }
            | Self::TooManyHeaders { .. }
            | Self::MissingHeader(_)
            | Self::DuplicateHeader(_)
            | Self::InvalidHeader(_)
            | Self::MalformedProxyHeader(_)
            | Self::MethodNotAllowed
            | Self::NotAnUpgrade
            | Self::UpgradeInHttp10
            | Self::UnsupportedVersion
            | Self::UnsupportedProtocol
            | Self::UnexpectedBody
            | Self::OriginRefused { .. }
            | Self::Redirect { .. }
            | Self::UnofferedSubprotocol
            | Self::UnofferedExtension
            | Self::ExtensionParameter { .. }
            | Self::TooManyInterimResponses
            | Self::UnsendableHeader
            | Self::UnsendableSubprotocol
            | Self::SubprotocolNotOffered => false,
        }
    }

    /// Returns the HTTP status with which a server answers this error.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::FirstLineTooLong { .. } => 414,
            Self::HeadTooLarge { .. } | Self::TooManyHeaders { .. } => 431,
            Self::Timeout => 408,
            Self::MethodNotAllowed => 405,
            Self::NotAnUpgrade | Self::UpgradeInHttp10 | Self::UnsupportedVersion => 426,
            Self::OriginRefused { .. } => 403,
            Self::UnsendableHeader | Self::UnsendableSubprotocol | Self::SubprotocolNotOffered => 500,
            // RFC 9220 3: "a server SHOULD respond to the request with a 501 (Not Implemented) status code".
            Self::UnsupportedProtocol => 501,
            _ => 400,
        }
    }

    /// Returns the HTTP response with which a server answers this error.
    #[must_use]
    pub fn response(&self) -> Response {
        let response = Response::new(self.status());
        let response = match self {
            Self::MethodNotAllowed => response.header("Allow", "GET"),
            // RFC 6455 4.4 and RFC 9110 15.5.22.
            Self::NotAnUpgrade | Self::UpgradeInHttp10 | Self::UnsupportedVersion => {
                response.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13")
            }
            _ => response,
        };
        match self {
            Self::NotAnUpgrade => {
                response.text(
                    "This is a WebSocket endpoint: connect to it with ws:// or wss://. A proxy in front of it has to \
                     forward the headers Upgrade and Connection.\n",
                )
            }
            // Details of internal errors belong in the server's own log.
            _ if self.status() == 500 => response.text("The server failed to answer this request.\n"),
            _ => {
                let mut text = self.to_string();
                text.push_str(".\n");
                response.text(text)
            }
        }
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MalformedHead(what) => write!(f, "the peer's HTTP head is malformed: {what}"),
            Self::TlsRecord => f.write_str(
                "the peer speaks TLS where HTTP without TLS was expected: connect with wss:// to a server with TLS, and \
                 with ws:// to one without",
            ),
            Self::NotHttp { beginning } => write!(
                f,
                "the server does not speak HTTP, it answered {beginning:?}: the port in the URL is that of another service"
            ),
            Self::FirstLineTooLong { limit } => write!(
                f,
                "the first line of the peer's HTTP head exceeds the {limit} bytes that max_head_size allows"
            ),
            Self::HeadTooLarge { limit } => {
                write!(f, "the peer's HTTP head exceeds the {limit} bytes that max_head_size allows")
            }
            Self::TooManyHeaders { limit } => {
                write!(f, "the peer sent more than the {limit} header fields that max_headers allows")
            }
            Self::MissingHeader(name) => write!(f, "the peer did not send the header {name}"),
            Self::DuplicateHeader(name) => write!(f, "the peer sent the header {name} more than once"),
            Self::InvalidHeader(name) => write!(f, "the peer sent the header {name} with an invalid value"),
            Self::MalformedProxyHeader(reason) => write!(
                f,
                "the trusted proxy sent no valid header of the PROXY protocol: {reason}. Enable the protocol in the proxy \
                 (send-proxy-v2), or do not require it for this address"
            ),
            Self::Timeout => {
                f.write_str("the peer did not finish the opening handshake within open_timeout")
            }
            Self::Eof => f.write_str("the peer closed the stream during the opening handshake"),
            Self::MethodNotAllowed => {
                f.write_str("the client's request is not a GET, the only method that opens a WebSocket")
            }
            Self::NotAnUpgrade => f.write_str(
                "the client did not ask for a WebSocket: it has to connect with ws:// or wss://, and a proxy in between \
                 has to forward the headers Upgrade and Connection",
            ),
            Self::UpgradeInHttp10 => f.write_str(
                "the client asked for a WebSocket in HTTP/1.0, which cannot upgrade; probably a proxy in between speaks \
                 HTTP/1.0 to this server and has to be set to HTTP/1.1 (nginx: proxy_http_version 1.1)",
            ),
            Self::UnsupportedVersion => f.write_str("the client asked for a WebSocket version other than 13"),
            Self::UnsupportedProtocol => {
                f.write_str("the client asked for a protocol other than websocket with an extended CONNECT")
            }
            Self::UnexpectedBody => f.write_str("the client announced a body with its request for a WebSocket"),
            Self::OriginRefused { origin, target } => write!(
                f,
                "pages of the origin {origin:?} may not connect to {target:?}: to allow them, the server needs \
                 OriginPolicy::OneOf with this origin; a proxy in between has to forward the browser's Host with its port, \
                 and one that terminates TLS needs OriginPolicy::SameOrigin"
            ),
            Self::Refused(response) => fmt_refused(f, response),
            Self::Redirect { response, problem } => {
                write!(f, "the server redirected the client, which does not follow: {problem}; the last answer was {response}")?;
                fmt_location(f, response)
            }
            Self::UnofferedSubprotocol => f.write_str("the server chose a subprotocol that was not offered"),
            Self::UnofferedExtension => f.write_str("the server chose an extension that was not offered"),
            Self::ExtensionParameter { value, parameter, problem } => write!(
                f,
                "the server chose the extension {value:?}, but the parameter {parameter} {problem}: disable compression \
                 or change the settings of Deflate"
            ),
            Self::TooManyInterimResponses => f.write_str("the server sent too many interim responses"),
            Self::UnsendableHeader => f.write_str(
                "this application has set a header that cannot be sent: its name is not a token or belongs to the \
                 handshake, its value contains control characters or is not a valid Host, or it is set twice and may be \
                 sent once",
            ),
            Self::UnsendableSubprotocol => f.write_str(
                "this application has set a subprotocol that cannot be offered: it is not a token, or it is set twice",
            ),
            Self::SubprotocolNotOffered => {
                f.write_str("this application accepted a subprotocol that the client did not offer")
            }
        }
    }
}

/// Writes the error of a client that its server answered with `response`, and the remedy where the status implies one.
fn fmt_refused(f: &mut fmt::Formatter<'_>, response: &Response) -> fmt::Result {
    write!(f, "the server refused the WebSocket and answered {response}")?;
    let location = response.header_value("Location");
    let remedy = match (response.status(), location) {
        (300..=399, Some(_)) => {
            fmt_location(f, response)?;
            ": connect to that address if it is the right one, because redirects are not followed"
        }
        (401, _) => ": send credentials that it accepts, such as a header Authorization",
        (407, _) => ": a proxy in between requires credentials",
        (403, _) => ": it does not allow this client, or pages of the Origin that was sent",
        (404 | 410, _) => ": check the host and the path of the URL",
        (429, _) => ": connect less often",
        (500 | 502 | 503 | 504, _) => ": try again later",
        _ => "",
    };
    f.write_str(remedy)
}

/// Writes the location of a redirect.
fn fmt_location(f: &mut fmt::Formatter<'_>, response: &Response) -> fmt::Result {
    /// Number of characters that are shown.
    const MAX_SHOWN: usize = 200;
    let Some(location) = response.header_value("Location") else { return Ok(()) };
    // A query may hold a token.
    let shown = location.split(['?', '#']).next().unwrap_or_default();
    let end = shown.char_indices().nth(MAX_SHOWN).map_or(shown.len(), |(end, _)| end);
    let shown = shown.get(..end).unwrap_or_default();
    let rest = if shown.len() < location.len() { ".." } else { "" };
    write!(f, " with the location {shown:?}{rest}")
}

impl Error for HandshakeError {}
