use std::{error, fmt, io};

use ws_core::{
    Cause, CloseCode, CloseInfo, HandshakeError, ProtocolError, RouteError, SendError, Side, TimeoutKind,
    UrlError, proxy::ProxyError,
};

use crate::tls::TlsError;

/// An error of a WebSocket connection, client or server.
///
/// The page `faq/errors` of the guide has an entry for each variant, with the remedy.
///
/// The same cause is the same variant in both adapters. Displayed, an error is one complete line: the problem, the side
/// that caused it, and the remedy. [`source`](error::Error::source) therefore returns only a cause whose text is not in
/// that line.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system returned an error while resolving, connecting, listening, reading or writing.
    ///
    /// Guide: `faq/errors.md#io`.
    Io(io::Error),
    /// The text is not a WebSocket URL.
    ///
    /// Guide: `faq/errors.md#url`.
    Url(UrlError),
    /// A route cannot be added.
    ///
    /// Guide: `faq/errors.md#route`.
    Route(RouteError),
    /// The opening handshake failed. [`HandshakeError::Refused`] contains the server's response.
    ///
    /// Guide: `faq/errors.md#handshake`.
    Handshake(HandshakeError),
    /// The peer violated the protocol. A Close with the reason was sent, and the connection is closed.
    ///
    /// Guide: `faq/errors.md#protocol`.
    Protocol(ProtocolError),
    /// The message cannot be sent. The connection is unchanged.
    ///
    /// Guide: `faq/errors.md#send`.
    Send(SendError),
    /// The connection is closing or closed. For a sender, no more messages can be sent. For a receiver, the end is
    /// not [normal](CloseInfo::is_normal), because the peer sent a Close with a code such as 1011, or because this
    /// application has failed the connection.
    ///
    /// Guide: `faq/errors.md#closed`.
    Closed(CloseInfo),
    /// The connection ended without a complete closing handshake: the stream broke off, or the peer stopped answering.
    /// Over TLS, a missing `close_notify` makes no difference: a truncated message is never delivered, and the missing
    /// Close shows that more messages may be missing.
    ///
    /// Guide: `faq/errors.md#disconnected`.
    Disconnected(CloseInfo),
    /// A deadline passed.
    ///
    /// Guide: `faq/errors.md#timeout`.
    Timeout(TimeoutKind),
    /// TLS could not be set up, or the peer caused a TLS error.
    ///
    /// Guide: `faq/errors.md#tls`.
    Tls(TlsError),
    /// The proxy of a client refused, or cannot be used.
    ///
    /// Guide: `faq/errors.md#proxy`.
    Proxy(ProxyError),
    /// TLS to the proxy of a client could not be set up, or the proxy caused a TLS error.
    ///
    /// Guide: `faq/errors.md#proxy-tls`.
    ProxyTls(TlsError),
    /// The application cancelled connecting.
    ///
    /// Guide: `faq/errors.md#cancelled`.
    Cancelled,
    /// A value cannot be written as JSON, or a message of the peer is not the expected JSON. The connection is unchanged.
    ///
    /// Guide: `faq/errors.md#json`.
    #[cfg(feature = "serde")]
    Json(ws_core::JsonError),
}

impl Error {
    /// Returns `true` if a client that connects again later may succeed without any change:
    ///
    /// - [`Io`](Self::Io): any error of the operating system, such as a refused connection or a host name that cannot be
    ///   resolved,
    /// - [`Timeout`](Self::Timeout),
    /// - [`Disconnected`](Self::Disconnected),
    /// - [`Handshake`](Self::Handshake), if [`HandshakeError::is_transient`] returns `true`: a timeout, an early end of the
    ///   stream, or HTTP 500, 502, 503 or 504,
    /// - [`Proxy`](Self::Proxy), if [`ProxyError::is_transient`] returns `true`,
    /// - [`Closed`](Self::Closed) by the peer with a code of the same meaning: 1001 (going away), 1011 (internal error), 1012
    ///   (service restart), 1013 (try again later) or 1014 (bad gateway).
    ///
    /// ```
    /// use ws_transport::Error;
    ///
    /// assert!(Error::Timeout(ws_core::TimeoutKind::Connect).is_transient());
    /// assert!(!Error::Url(ws_core::UrlError::Scheme).is_transient());
    /// ```
    #[must_use]
    pub fn is_transient(&self) -> bool {
        // Without a wildcard, so that each new error is decided.
        match self {
            Self::Io(_) | Self::Timeout(_) | Self::Disconnected(_) => true,
            Self::Handshake(error) => error.is_transient(),
            Self::Proxy(error) => error.is_transient(),
            Self::Closed(close_info) => is_transient_close(close_info),
            Self::Url(_) | Self::Route(_) | Self::Protocol(_) | Self::Send(_) => false,
            Self::Tls(_) | Self::ProxyTls(_) | Self::Cancelled => false,
            #[cfg(feature = "serde")]
            Self::Json(_) => false,
        }
    }

    /// Returns the error of a host name that cannot be resolved.
    #[must_use]
    pub fn of_resolve(host: &str, error: &io::Error) -> Self {
        io::Error::new(error.kind(), format!("cannot resolve the host {host:?} of the URL: {error}")).into()
    }

    /// Returns the error of a proxy whose host name cannot be resolved.
    #[must_use]
    pub fn of_resolve_proxy(host: &str, error: &io::Error) -> Self {
        io::Error::new(error.kind(), format!("cannot resolve the host {host:?} of the proxy: {error}")).into()
    }

    /// Returns the error of a host name that has no address.
    #[must_use]
    pub fn of_no_address(host: &str) -> Self {
        io::Error::new(io::ErrorKind::NotFound, format!("the host {host:?} of the URL has no address")).into()
    }

    /// Returns the error of an address, or the path of a Unix-domain socket, that cannot be connected to. If the operating
    /// system has given up waiting, that is a connect timeout too. A connection that is reset was accepted before, so that
    /// its stream has ended during the opening handshake.
    #[must_use]
    pub fn of_connect(address: impl fmt::Display, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout(TimeoutKind::Connect),
            _ if is_end_of_stream(error.kind()) => Self::Handshake(HandshakeError::Eof),
            kind => io::Error::new(kind, format!("cannot connect to {address}: {error}")).into(),
        }
    }

    /// Returns the error of an opening handshake whose stream failed with `failed`, where `at_end` is the error that an end
    /// of the stream would be there. A server that closes while the client sends resets the stream, and a server that
    /// refuses may not wait for the whole request, so that a reset is the end of the stream.
    #[must_use]
    pub fn of_opening(failed: Self, at_end: HandshakeError) -> Self {
        match (failed, at_end) {
            (Self::Io(error), HandshakeError::Eof) if !is_end_of_stream(error.kind()) => Self::Io(error),
            (Self::Io(_), at_end) => Self::Handshake(at_end),
            (failed, _) => failed,
        }
    }

    /// Returns the error for a connection that did not end [normally](CloseInfo::is_normal).
    #[must_use]
    pub fn of_end(close_info: CloseInfo) -> Self {
        match (close_info.cause, close_info.initiator) {
            (Cause::Protocol(error), _) => Self::Protocol(error),
            (Cause::Close, Side::Remote) | (Cause::Application, _) => Self::Closed(close_info),
            _ => Self::Disconnected(close_info),
        }
    }

    /// Returns the result of `close`, from the result of receiving until the end. It is not an error of `close` if
    /// the peer has closed too, or does not answer in time.
    ///
    /// # Errors
    ///
    /// Returns any other error of `ended`.
    pub fn of_close(ended: Result<(), Self>) -> Result<(), Self> {
        match ended {
            Err(Self::Closed(_)) => Ok(()),
            Err(Self::Disconnected(close_info))
                if matches!(close_info.cause, Cause::Close | Cause::Timeout(TimeoutKind::Close)) =>
            {
                Ok(())
            }
            ended => ended,
        }
    }
}

/// Returns `true` if the peer has closed because of a state that may pass.
fn is_transient_close(close_info: &CloseInfo) -> bool {
    const TRANSIENT_CODES: [CloseCode; 5] = [
        CloseCode::GOING_AWAY,
        CloseCode::INTERNAL_ERROR,
        CloseCode::SERVICE_RESTART,
        CloseCode::TRY_AGAIN_LATER,
        CloseCode::BAD_GATEWAY,
    ];
    close_info.cause == Cause::Close
        && close_info.initiator == Side::Remote
        && TRANSIENT_CODES.contains(&close_info.code)
}

/// Returns `true` if the peer has closed the stream, orderly or not.
pub(crate) const fn is_end_of_stream(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected, UnexpectedEof, WriteZero,
    };
    matches!(
        kind,
        BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected | UnexpectedEof | WriteZero
    )
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Url(error) => error.fmt(f),
            Self::Route(error) => error.fmt(f),
            Self::Handshake(error) => write!(f, "the opening handshake failed: {error}"),
            Self::Protocol(error) => write!(f, "this end failed the connection: {error}"),
            Self::Send(error) => error.fmt(f),
            Self::Closed(close_info) | Self::Disconnected(close_info) => {
                write!(f, "the connection was {close_info}")
            }
            Self::Timeout(kind) => kind.fmt(f),
            Self::Tls(error) => error.fmt(f),
            Self::Proxy(error) => error.fmt(f),
            Self::ProxyTls(error) => write!(f, "TLS to the proxy failed: {error}"),
            Self::Cancelled => f.write_str("connecting was cancelled by this application"),
            #[cfg(feature = "serde")]
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        // The text of the inner error is part of this one, and a report of the chain would print it twice.
        match self {
            Self::Io(error) => error.source(),
            Self::Url(error) => error.source(),
            Self::Route(error) => error.source(),
            Self::Handshake(error) => error.source(),
            Self::Protocol(error) => error.source(),
            Self::Tls(error) | Self::ProxyTls(error) => error.source(),
            Self::Proxy(error) => error.source(),
            Self::Send(error) => error.source(),
            #[cfg(feature = "serde")]
            Self::Json(error) => error.source(),
            Self::Closed(_) | Self::Disconnected(_) | Self::Timeout(_) | Self::Cancelled => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Converts an error for a view of a connection as a stream of bytes. Its text and its source stay. The kind is that of
/// [`Error::Io`], or:
///
/// - `TimedOut` for [`Error::Timeout`],
/// - `ConnectionAborted` for [`Error::Closed`],
/// - `UnexpectedEof` for [`Error::Disconnected`],
/// - `InvalidData` for an error of the peer,
/// - `InvalidInput` for an error of this application,
/// - `Other` for [`Error::Proxy`] and [`Error::Cancelled`].
impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        use io::ErrorKind::{ConnectionAborted, InvalidData, InvalidInput, Other, TimedOut, UnexpectedEof};
        let kind = match &error {
            Error::Io(_) => None,
            Error::Timeout(_) => Some(TimedOut),
            Error::Closed(_) => Some(ConnectionAborted),
            Error::Disconnected(_) => Some(UnexpectedEof),
            Error::Url(_) | Error::Route(_) | Error::Send(_) => Some(InvalidInput),
            Error::Handshake(_) | Error::Protocol(_) | Error::Tls(_) | Error::ProxyTls(_) => {
                Some(InvalidData)
            }
            Error::Proxy(_) | Error::Cancelled => Some(Other),
            #[cfg(feature = "serde")]
            Error::Json(error) => Some(if error.side() == Side::Local { InvalidInput } else { InvalidData }),
        };
        match (error, kind) {
            (Error::Io(error), _) => error,
            (error, kind) => Self::new(kind.unwrap_or(Other), error),
        }
    }
}

#[cfg(feature = "serde")]
impl From<ws_core::JsonError> for Error {
    fn from(error: ws_core::JsonError) -> Self {
        Self::Json(error)
    }
}

impl From<UrlError> for Error {
    fn from(error: UrlError) -> Self {
        Self::Url(error)
    }
}

impl From<RouteError> for Error {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl From<HandshakeError> for Error {
    fn from(error: HandshakeError) -> Self {
        Self::Handshake(error)
    }
}

impl From<ProtocolError> for Error {
    fn from(error: ProtocolError) -> Self {
        Self::Protocol(error)
    }
}

impl From<SendError> for Error {
    fn from(error: SendError) -> Self {
        Self::Send(error)
    }
}

impl From<ProxyError> for Error {
    fn from(error: ProxyError) -> Self {
        Self::Proxy(error)
    }
}

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
