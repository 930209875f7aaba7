use std::{error, fmt, io};

use ws_core::{
    Cause, Closure, HandshakeError, ProtocolError, RouteError, SendError, Side, Timeout, UrlError,
};

use crate::tls::TlsError;

/// An error of a WebSocket connection, client or server.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system returned an error while resolving, connecting, listening, reading or writing.
    Io(io::Error),
    /// The text is not a WebSocket URL.
    Url(UrlError),
    /// A route cannot be added.
    Route(RouteError),
    /// The opening handshake failed. [`HandshakeError::Refused`] contains the server's response.
    Handshake(HandshakeError),
    /// The peer violated the protocol. A Close with the reason was sent, and the connection is closed.
    Protocol(ProtocolError),
    /// The message cannot be sent. The connection is unchanged.
    Send(SendError),
    /// The connection is closing or closed. For a sender, no more messages can be sent. For a receiver, the end is
    /// not [normal](Closure::is_normal), because the peer sent a Close with a code such as 1011, or because this
    /// application has failed the connection.
    Closed(Closure),
    /// The connection ended without a complete closing handshake: the stream broke off, or the peer stopped
    /// answering.
    Disconnected(Closure),
    /// A deadline passed.
    Timeout(Deadline),
    /// TLS could not be set up, or the peer caused a TLS error.
    Tls(TlsError),
}

/// The deadlines that the adapter checks, in addition to those of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// No connection was established within the connect timeout.
    Connect,
    /// No message arrived within the read timeout. The connection is unchanged.
    Read,
    /// The peer did not accept the output within the write timeout. The connection is closed.
    Write,
}

impl Error {
    /// Returns the error for a connection that did not end [normally](Closure::is_normal).
    #[must_use]
    pub fn of_end(closure: Closure) -> Self {
        match (closure.cause, closure.initiator) {
            (Cause::Protocol(error), _) => Self::Protocol(error),
            (Cause::Close, Side::Remote) | (Cause::Application, _) => Self::Closed(closure),
            _ => Self::Disconnected(closure),
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
            Err(Self::Disconnected(closure))
                if matches!(closure.cause, Cause::Close | Cause::Timeout(Timeout::Close)) =>
            {
                Ok(())
            }
            ended => ended,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Url(error) => error.fmt(f),
            Self::Route(error) => error.fmt(f),
            Self::Handshake(error) => write!(f, "the opening handshake failed: {error}"),
            Self::Protocol(error) => write!(f, "the connection was failed: {error}"),
            Self::Send(error) => error.fmt(f),
            Self::Closed(closure) | Self::Disconnected(closure) => write!(f, "the connection was {closure}"),
            Self::Timeout(Deadline::Connect) => {
                f.write_str("no connection was made within the connect timeout")
            }
            Self::Timeout(Deadline::Read) => f.write_str("no message came within the read timeout"),
            Self::Timeout(Deadline::Write) => {
                f.write_str("the peer did not take what was sent within the write timeout")
            }
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            Self::Url(error) => Some(error),
            Self::Route(error) => Some(error),
            Self::Handshake(error) => Some(error),
            Self::Protocol(error) => Some(error),
            Self::Tls(error) => Some(error),
            Self::Send(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
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

impl From<TlsError> for Error {
    fn from(error: TlsError) -> Self {
        Self::Tls(error)
    }
}
