use alloc::{borrow::Cow, string::String};
use core::fmt;

use crate::{ProtocolError, SendError, excerpt::Excerpt};

/// A close code: the reason why a connection closes (RFC 6455 section 7.4).
///
/// ```
/// use ws_core::CloseCode;
/// assert_eq!(CloseCode::new(1000), CloseCode::NORMAL_CLOSURE);
/// assert!(CloseCode::new(4001).is_sendable());
/// assert!(!CloseCode::ABNORMAL_CLOSURE.is_sendable());
/// assert_eq!(CloseCode::GOING_AWAY.to_string(), "1001 going away");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: normal closure. The purpose of the connection is fulfilled.
    pub const NORMAL_CLOSURE: Self = Self(1000);
    /// 1001: going away. A server shuts down, or a browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: protocol error. The peer violated the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: unsupported data. The endpoint does not accept data of this kind.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1005: the Close contained no code. Never sent.
    pub const NO_STATUS_RECEIVED: Self = Self(1005);
    /// 1006: the connection ended without a Close. Never sent.
    pub const ABNORMAL_CLOSURE: Self = Self(1006);
    /// 1007: invalid payload. The content of a message does not match its kind, such as text that is not UTF-8.
    pub const INVALID_FRAME_PAYLOAD_DATA: Self = Self(1007);
    /// 1008: a message violates the endpoint's policy.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is too big to process.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: the server did not negotiate an extension that the client requires.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// 1011: internal error. The server encountered an unexpected condition.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the service restarts. Reconnect after a random delay of a few seconds.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded. Reconnect later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway received an invalid response from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);
    /// 1015: the TLS handshake failed. Never sent.
    pub const TLS_HANDSHAKE: Self = Self(1015);

    /// Creates a code from its number.
    #[must_use]
    pub const fn new(code: u16) -> Self {
        Self(code)
    }

    /// Returns the number of this code.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Returns `true` if a Close may carry this code (RFC 6455 section 7.4 and the registry that it established):
    /// 1000 to 1003, 1007 to 1014, and 3000 to 4999 for libraries and applications.
    #[must_use]
    pub const fn is_sendable(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }

    const fn meaning(self) -> &'static str {
        match self.0 {
            1000 => "normal closure",
            1001 => "going away",
            1002 => "protocol error",
            1003 => "unsupported data",
            1005 => "no status received",
            1006 => "abnormal closure",
            1007 => "invalid frame payload data",
            1008 => "policy violation",
            1009 => "message too big",
            1010 => "mandatory extension",
            1011 => "internal error",
            1012 => "service restart",
            1013 => "try again later",
            1014 => "bad gateway",
            1015 => "TLS handshake",
            3000..=3999 => "registered code",
            4000..=4999 => "private code",
            _ => "unassigned code",
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> Self {
        code.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0, self.meaning())
    }
}

impl fmt::Debug for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The content of a Close: a code, and a reason for the readers of logs (RFC 6455 section 5.5.1).
#[derive(Clone, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The close code.
    pub code: CloseCode,
    /// Reason as text of at most 123 bytes. Often empty.
    pub reason: Cow<'a, str>,
}

impl<'a> CloseFrame<'a> {
    /// Maximum length of a reason in bytes (RFC 6455 section 5.5).
    pub const MAX_REASON: usize = 123;

    /// Returns the longest prefix of `reason` that a Close can carry: at most 123 bytes, cut between two characters.
    ///
    /// [`close`](crate::Connection::close) and [`fail`](crate::Connection::fail) refuse a longer reason. Call this
    /// method for a text of unknown length, such as that of an error.
    ///
    /// ```
    /// use ws_core::{CloseCode, CloseFrame};
    ///
    /// let error = "the database answered: ".repeat(10);
    /// let reason = CloseFrame::truncate_reason(&error);
    /// assert_eq!(reason.len(), 123);
    /// assert!(CloseFrame::new(CloseCode::INTERNAL_ERROR, reason).is_ok());
    /// ```
    #[must_use]
    pub fn truncate_reason(reason: &str) -> &str {
        // A character has at most four bytes, so one of these positions is the end of a character.
        let is_end = |len: &usize| reason.is_char_boundary(*len);
        let len = (0..=reason.len().min(Self::MAX_REASON)).rev().find(is_end).unwrap_or(0);
        reason.get(..len).unwrap_or_default()
    }

    /// Creates the content of a Close to be sent.
    ///
    /// # Errors
    ///
    /// - Returns [`SendError::InvalidCloseCode`] if the code must not be sent.
    /// - Returns [`SendError::CloseReasonTooLong`] if the reason has more than 123 bytes. It is not cut here, because
    ///   a part can have another meaning. See [`truncate_reason`](Self::truncate_reason).
    pub fn new(code: CloseCode, reason: impl Into<Cow<'a, str>>) -> Result<Self, SendError> {
        let reason = reason.into();
        if !code.is_sendable() {
            return Err(SendError::InvalidCloseCode(code));
        }
        if reason.len() > Self::MAX_REASON {
            return Err(SendError::CloseReasonTooLong(reason.len()));
        }
        Ok(Self { code, reason })
    }

    /// Parses the payload of a received Close.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Option<Self>, ProtocolError> {
        let Some((&code, reason)) = payload.split_first_chunk() else {
            // RFC 6455 5.5.1: "If there is a body, the first two bytes of the body MUST be" the code.
            return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::ClosePayloadTooShort) };
        };
        let code = CloseCode(u16::from_be_bytes(code));
        if !code.is_sendable() {
            return Err(ProtocolError::InvalidCloseCode(code));
        }
        let reason = core::str::from_utf8(reason).map_err(|_| ProtocolError::InvalidCloseReason)?;
        Ok(Some(Self { code, reason: Cow::Borrowed(reason) }))
    }

    /// Converts into a frame that owns its reason.
    #[must_use]
    pub fn into_owned(self) -> CloseFrame<'static> {
        CloseFrame { code: self.code, reason: Cow::Owned(self.reason.into_owned()) }
    }
}

impl fmt::Display for CloseFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason.escape_debug())?;
        }
        Ok(())
    }
}

impl fmt::Debug for CloseFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The reason can contain any text.
        let reason = Excerpt(self.reason.as_bytes());
        f.debug_struct("CloseFrame").field("code", &self.code).field("reason", &reason).finish()
    }
}

/// One of the two ends of a connection, from the local point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// This end.
    Local,
    /// The peer.
    Remote,
}

/// A deadline that was missed.
///
/// The core reports [`Keepalive`](Self::Keepalive), [`Stall`](Self::Stall), [`Close`](Self::Close) and
/// [`Write`](Self::Write). Adapters also report [`Read`](Self::Read), and, for a client that connects,
/// [`Resolve`](Self::Resolve), [`Connect`](Self::Connect), [`Proxy`](Self::Proxy), [`Tls`](Self::Tls) and
/// [`Total`](Self::Total).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TimeoutKind {
    /// The name of the host was not resolved within the resolve timeout or the connect timeout of a client.
    Resolve,
    /// No connection was established within the connect timeout of a client.
    Connect,
    /// The proxy did not connect to the server within the proxy timeout of a client.
    Proxy,
    /// The TLS handshake with the server took longer than the TLS timeout of a client.
    Tls,
    /// A client did not open the WebSocket within its total timeout, which includes redirects.
    Total,
    /// No message arrived within the read timeout of the application. The connection is unchanged.
    Read,
    /// The peer accepted no output of this end for [`write_timeout`](crate::Config::write_timeout). The connection is closed.
    Write,
    /// The pings of [`Keepalive`](crate::Keepalive) remained unanswered.
    Keepalive,
    /// A message in progress made no progress for [`stall_timeout`](crate::Config::stall_timeout).
    Stall,
    /// A phase of the closing handshake took longer than [`close_timeout`](crate::Config::close_timeout).
    Close,
}

impl fmt::Display for TimeoutKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => {
                "the name of the host was not resolved within resolve_timeout, or within connect_timeout, which \
                 includes it"
            }
            Self::Proxy => "the proxy did not connect to the server within proxy_timeout",
            Self::Tls => "the server did not finish the TLS handshake within tls_timeout",
            Self::Total => "the WebSocket was not open within total_timeout",
            Self::Connect => "the server did not accept the connection within connect_timeout",
            Self::Read => "the peer sent no message within read_timeout",
            Self::Write => "the peer did not read the sent bytes within write_timeout",
            Self::Keepalive => "the peer did not answer the pings of keepalive in time",
            Self::Stall => "the peer began a message and sent no more of it within stall_timeout",
            Self::Close => "the peer did not finish the closing handshake within close_timeout",
        })
    }
}

/// The event that ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cause {
    /// A Close was sent or received, as the protocol requires.
    Close,
    /// The peer violated the protocol, and this end failed the connection.
    Protocol(ProtocolError),
    /// The application failed the connection.
    Application,
    /// The peer missed a deadline.
    Timeout(TimeoutKind),
    /// The stream ended without a Close from the peer.
    Eof,
}

/// A record of the way in which a connection ended or is ending.
///
/// Its `Display` output is one sentence for a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CloseInfo {
    /// The close code: that of the peer's Close if one arrived (1005 if it contained no code), otherwise the code
    /// with which this end failed the connection, otherwise 1006.
    pub code: CloseCode,
    /// The reason that belongs to the code. Often empty.
    pub reason: String,
    /// `true` if both ends sent a Close (RFC 6455 section 7.1.4).
    pub was_clean: bool,
    /// The side that ended the connection: it sent the first Close or broke off.
    pub initiator: Side,
    /// The event that ended the connection.
    pub cause: Cause,
}

impl CloseInfo {
    /// Returns `true` if the connection ended normally. That is the case if the peer closed it with 1000, with 1001
    /// or without a code, and also if the peer answered the Close of this end, regardless of the code.
    ///
    /// All other ends are abnormal: a Close of the peer with another code, such as 1011, a stream that ended without
    /// a Close, a missed deadline, or a connection that this end has failed.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use ws_core::{CloseCode, Config, Connection, Timestamp};
    ///
    /// let mut connection = Connection::server(Arc::new(Config::default()), Timestamp::ZERO);
    /// connection.close(CloseCode::NORMAL_CLOSURE, "")?;
    /// connection.receive_eof();
    /// let close_info = connection.close_info().unwrap();
    /// assert!(!close_info.is_normal(), "the peer did not answer the Close");
    /// # Ok::<(), ws_core::SendError>(())
    /// ```
    #[must_use]
    pub fn is_normal(&self) -> bool {
        const NORMAL: [CloseCode; 3] =
            [CloseCode::NORMAL_CLOSURE, CloseCode::GOING_AWAY, CloseCode::NO_STATUS_RECEIVED];
        self.cause == Cause::Close
            && match self.initiator {
                Side::Local => self.was_clean,
                Side::Remote => NORMAL.contains(&self.code),
            }
    }
}

impl fmt::Display for CloseInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.cause, self.initiator) {
            (Cause::Close, Side::Local) => f.write_str("closed by this end")?,
            (Cause::Close, Side::Remote) => f.write_str("closed by the peer")?,
            (Cause::Protocol(error), _) => write!(f, "failed by this end because {error}")?,
            (Cause::Application, _) => f.write_str("failed by this end")?,
            (Cause::Timeout(kind), _) => write!(f, "given up: {kind}")?,
            (Cause::Eof, _) => f.write_str("broken off: the peer's stream ended without a Close")?,
        }
        write!(f, ", code {}", self.code)?;
        if !self.reason.is_empty() {
            write!(f, " ({})", self.reason.escape_debug())?;
        }
        if matches!(self.cause, Cause::Close) && !self.was_clean {
            f.write_str(", the other side's Close is missing")?;
        }
        Ok(())
    }
}
