use alloc::{boxed::Box, string::ToString};
use core::{error::Error, fmt};

use super::Response;

/// Why an opening handshake failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer's head is not a head of HTTP/1.x, with the reason.
    MalformedHead(&'static str),
    /// The peer sent a TLS record in place of HTTP: one end uses TLS and the other does not.
    TlsRecord,
    /// The server answered by another protocol than HTTP.
    NotHttp {
        /// The first line, or its beginning.
        beginning: Box<str>,
    },
    /// The first line alone exceeds [`max_head_size`](crate::HandshakeConfig::max_head_size).
    FirstLineTooLong {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The head exceeds [`max_head_size`](crate::HandshakeConfig::max_head_size).
    HeadTooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// There are more header fields than [`max_headers`](crate::HandshakeConfig::max_headers).
    TooManyHeaders {
        /// The limit.
        limit: usize,
    },
    /// The peer left out this header.
    MissingHeader(&'static str),
    /// The peer sent this header more than once.
    DuplicateHeader(&'static str),
    /// The peer sent this header with a value that it must not have.
    InvalidHeader(&'static str),
    /// The handshake was not over after [`open_timeout`](crate::HandshakeConfig::open_timeout).
    Timeout,
    /// The peer's stream ended before the handshake was over.
    Eof,
    /// A client asked with another method than GET.
    MethodNotAllowed,
    /// A client asked for something else than a WebSocket.
    NotAnUpgrade,
    /// A client asked for a WebSocket in HTTP/1.0, which cannot upgrade. The usual cause is a proxy that speaks HTTP/1.0
    /// to the server.
    UpgradeInHttp10,
    /// A client asked for another version than 13.
    UnsupportedVersion,
    /// A client announced a body with its request.
    UnexpectedBody,
    /// A client sent an `Origin` that [`OriginPolicy`](crate::OriginPolicy) does not allow.
    OriginRefused {
        /// The origin. Of a long one, the beginning.
        origin: Box<str>,
        /// The address that the client asked, as far as it is known: the value of `Host`, and the scheme before it if the
        /// policy demands one.
        asked: Box<str>,
    },
    /// A server answered with something else than 101: this.
    Refused(Box<Response>),
    /// A server chose a subprotocol that it was not offered.
    UnofferedSubprotocol,
    /// A server chose an extension that it was not offered.
    UnofferedExtension,
    /// A server chose permessage-deflate with a parameter that does not fit what was offered, or without one that was
    /// demanded.
    ExtensionParameter {
        /// Value of the server's `Sec-WebSocket-Extensions`; of a long one, the beginning.
        value: Box<str>,
        /// Name of the parameter.
        parameter: Box<str>,
        /// The problem, such as "is unknown".
        problem: &'static str,
    },
    /// A server sent one interim response (1xx) after the other.
    TooManyInterimResponses,
    /// The application gave a header that cannot be sent: its name is not a token or belongs to the handshake
    /// itself, its value holds control characters or is no valid `Host`, or it may be there once and is there twice.
    UnsendableHeader,
    /// The application gave a subprotocol that is not a token, or the same one twice.
    UnsendableSubprotocol,
    /// The application accepted a subprotocol that the client did not offer.
    SubprotocolNotOffered,
}

impl HandshakeError {
    /// The HTTP status that a server answers this error with.
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
            _ => 400,
        }
    }

    /// The HTTP response that a server answers this error with.
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
            // What went wrong inside the server is for its own log.
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
                "the peer speaks TLS where HTTP without TLS was expected: a server with TLS is asked with wss://, and one \
                 without with ws://",
            ),
            Self::NotHttp { beginning } => write!(
                f,
                "the server does not speak HTTP, it answered {beginning:?}: the port in the URL is that of another service"
            ),
            Self::FirstLineTooLong { limit } => {
                write!(f, "the first line of the peer's HTTP head exceeds the limit of {limit} bytes")
            }
            Self::HeadTooLarge { limit } => write!(f, "the peer's HTTP head exceeds the limit of {limit} bytes"),
            Self::TooManyHeaders { limit } => write!(f, "the peer sent more than {limit} header fields"),
            Self::MissingHeader(name) => write!(f, "the peer did not send the header {name}"),
            Self::DuplicateHeader(name) => write!(f, "the peer sent the header {name} more than once"),
            Self::InvalidHeader(name) => write!(f, "the peer sent the header {name} with an invalid value"),
            Self::Timeout => f.write_str("the peer did not finish the opening handshake in time"),
            Self::Eof => f.write_str("the peer closed the stream during the opening handshake"),
            Self::MethodNotAllowed => f.write_str("the client's request is not a GET"),
            Self::NotAnUpgrade => f.write_str("the client did not ask for a WebSocket"),
            Self::UpgradeInHttp10 => f.write_str(
                "the client asked for a WebSocket in HTTP/1.0, which cannot upgrade; probably a proxy in between speaks \
                 HTTP/1.0 to this server and has to be set to HTTP/1.1 (nginx: proxy_http_version 1.1)",
            ),
            Self::UnsupportedVersion => f.write_str("the client asked for a WebSocket version other than 13"),
            Self::UnexpectedBody => f.write_str("the client announced a body with its request for a WebSocket"),
            Self::OriginRefused { origin, asked } => write!(
                f,
                "pages of the origin {origin:?} may not connect to {asked:?}: to allow them, the server needs \
                 OriginPolicy::OneOf with this origin; a proxy in between has to forward the browser's Host with its port, \
                 and one that terminates TLS needs OriginPolicy::SameOrigin"
            ),
            Self::Refused(response) => write!(f, "the server refused the WebSocket and answered {response}"),
            Self::UnofferedSubprotocol => f.write_str("the server chose a subprotocol that was not offered"),
            Self::UnofferedExtension => f.write_str("the server chose an extension that was not offered"),
            Self::ExtensionParameter { value, parameter, problem } => write!(
                f,
                "the server chose the extension {value:?}, but the parameter {parameter} {problem}; compression can be \
                 switched off or asked for with other settings"
            ),
            Self::TooManyInterimResponses => f.write_str("the server sent too many interim responses"),
            Self::UnsendableHeader => f.write_str(
                "a header cannot be sent: its name is no token or belongs to the handshake, its value holds control \
                 characters or is no valid Host, or it may be there once and is there twice",
            ),
            Self::UnsendableSubprotocol => f.write_str("a subprotocol cannot be offered: it is no token or there twice"),
            Self::SubprotocolNotOffered => f.write_str("a subprotocol was accepted that the client did not offer"),
        }
    }
}

impl Error for HandshakeError {}
