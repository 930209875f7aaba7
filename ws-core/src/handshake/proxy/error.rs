use alloc::boxed::Box;
use core::{error::Error, fmt};

use crate::{HandshakeError, Response};

/// The reason why a proxy could not be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyError {
    /// The URL of the proxy is invalid. Contains the problem.
    InvalidUrl(&'static str),
    /// The request does not fit into the protocol of the proxy. Contains the problem.
    Unsendable(&'static str),
    /// The proxy's stream ended or was reset before it had connected to the server.
    Eof,
    /// The head of the HTTP proxy's response is invalid.
    Head(Box<HandshakeError>),
    /// The HTTP proxy answered with a status other than 2xx. Contains the response without its body.
    Refused(Box<Response>),
    /// The proxy does not answer in SOCKS5.
    NotSocks,
    /// The SOCKS5 proxy sent an invalid reply. Contains the invalid part.
    MalformedReply(&'static str),
    /// The SOCKS5 proxy demands authentication, and the URL of the proxy contains no credentials.
    CredentialsMissing,
    /// The SOCKS5 proxy demands another kind of authentication than user and password.
    NoAcceptableMethod,
    /// The SOCKS5 proxy refused the user and password.
    CredentialsRefused,
    /// The SOCKS5 proxy did not connect to the server. Contains the code of its reply (RFC 1928 section 6).
    SocksRefused(u8),
}

impl ProxyError {
    /// Returns `true` if a client that tries again later may succeed without any change:
    ///
    /// - [`Eof`](Self::Eof),
    /// - [`Refused`](Self::Refused) with the status 500, 502, 503 or 504,
    /// - [`SocksRefused`](Self::SocksRefused), if the server or its network could not be reached (codes 1 and 3 to 6).
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        // Without a wildcard, so that each new error is decided.
        match self {
            Self::Eof => true,
            Self::Refused(response) => matches!(response.status(), 500 | 502 | 503 | 504),
            Self::SocksRefused(code) => matches!(code, 1 | 3..=6),
            Self::InvalidUrl(_)
            | Self::Unsendable(_)
            | Self::Head(_)
            | Self::NotSocks
            | Self::MalformedReply(_)
            | Self::CredentialsMissing
            | Self::NoAcceptableMethod
            | Self::CredentialsRefused => false,
        }
    }
}

impl From<HandshakeError> for ProxyError {
    fn from(error: HandshakeError) -> Self {
        Self::Head(Box::new(error))
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InvalidUrl(problem) => write!(f, "the URL of the proxy {problem}"),
            Self::Unsendable(problem) => write!(f, "the proxy cannot be asked for the server: {problem}"),
            Self::Eof => f.write_str("the proxy closed the stream before it had connected to the server"),
            Self::Head(error) => write!(f, "the response of the proxy cannot be used: {error}"),
            Self::Refused(response) => {
                write!(f, "the proxy refused to connect to the server and answered {response}")?;
                f.write_str(match response.status() {
                    407 => ": set the user and password that it demands in the URL of the proxy",
                    500 | 502 | 503 | 504 => ": it cannot reach the server, try again later",
                    403 | 405 => ": it does not allow connections to this host and port",
                    _ => "",
                })
            }
            Self::NotSocks => {
                f.write_str("the proxy does not speak SOCKS5: check its URL for the scheme and the port")
            }
            Self::MalformedReply(part) => write!(f, "the reply of the SOCKS5 proxy contains {part}"),
            Self::CredentialsMissing => f.write_str(
                "the SOCKS5 proxy demands authentication: set user and password in the URL of the proxy",
            ),
            Self::NoAcceptableMethod => {
                f.write_str("the SOCKS5 proxy demands another authentication than user and password")
            }
            Self::CredentialsRefused => {
                f.write_str("the SOCKS5 proxy refused the user and password in its URL")
            }
            Self::SocksRefused(code) => {
                write!(f, "the SOCKS5 proxy did not connect to the server: {} (reply {code})", meaning(*code))
            }
        }
    }
}

impl Error for ProxyError {}

/// Returns the meaning of a code (RFC 1928 section 6).
const fn meaning(code: u8) -> &'static str {
    match code {
        1 => "general failure",
        2 => "its rules do not allow it",
        3 => "the network is unreachable",
        4 => "the host is unreachable",
        5 => "the connection was refused",
        6 => "the TTL expired",
        7 => "it does not support the command",
        8 => "it does not support this kind of address",
        _ => "unknown reason",
    }
}
