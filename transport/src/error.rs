use std::{error, fmt, io};

use ws_core::{
    Cause, Closure, HandshakeError, ProtocolError, RouteError, SendError, Side, Timeout, UrlError,
};

use crate::tls::TlsError;

/// What can go wrong with a WebSocket.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused: to resolve, connect, listen, read or write.
    Io(io::Error),
    /// The text is not the address of a WebSocket.
    Url(UrlError),
    /// A route cannot be added.
    Route(RouteError),
    /// The opening handshake failed. [`HandshakeError::Refused`] holds the server's response.
    Handshake(HandshakeError),
    /// The peer broke a rule of the protocol; it was told so, and the connection is closed.
    Protocol(ProtocolError),
    /// What was to be sent cannot be sent; the connection is as it was.
    Send(SendError),
    /// The connection is closing or closed. For a sender: nothing can be sent. For a receiver: the end is not
    /// [normal](Closure::is_normal), because the peer sent a Close with a code such as 1011, or because this application
    /// has failed the connection.
    Closed(Closure),
    /// The connection ended without a complete closing handshake: the stream broke off, or the peer fell silent.
    Disconnected(Closure),
    /// A deadline passed.
    Timeout(Deadline),
    /// TLS could not be set up, or the peer failed it.
    Tls(TlsError),
}

/// The deadlines that the adapter keeps, beside those of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Deadline {
    /// No connection was made within the connect timeout.
    Connect,
    /// No message came within the read timeout. The connection is as it was.
    Read,
    /// The peer did not take what was written within the write timeout. The connection is closed.
    Write,
}

impl Error {
    /// Returns the error for a connection whose end is not [normal](Closure::is_normal).
    #[must_use]
    pub fn of_end(closure: Closure) -> Self {
        match (closure.cause, closure.initiator) {
            (Cause::Protocol(error), _) => Self::Protocol(error),
            (Cause::Close, Side::Remote) | (Cause::Application, _) => Self::Closed(closure),
            _ => Self::Disconnected(closure),
        }
    }

    /// Returns the result of `close`, from the result of receiving to the end. That the peer has closed too, or does not
    /// answer in time, is no error of `close`.
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
