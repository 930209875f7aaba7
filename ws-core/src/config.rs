use alloc::{string::String, vec::Vec};
use core::time::Duration;

/// The limits, deadlines and habits of a connection that is open. Every field has a default that is safe on the open
/// internet. A limit of `usize::MAX` is no limit, and zero is zero. The opening handshake has its own limits in
/// [`HandshakeConfig`].
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use ws_core::{Config, Keepalive};
///
/// let mut config = Config::default();
/// config.max_message_size = 64 * 1024 * 1024;
/// config.keepalive = Some(Keepalive { interval: Duration::from_secs(15), ..Keepalive::default() });
/// let config = Arc::new(config); // one for all connections
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// The largest message to receive, in bytes; 1 MiB. A larger one fails the connection with 1009 as
    /// soon as a header announces it. It holds for [`Delivery::Chunks`] too.
    pub max_message_size: usize,
    /// The largest payload of one frame to receive, in bytes; no limit but the message's.
    pub max_frame_size: usize,
    /// Maximum number of frames of a message that is assembled. More fail the connection with 1008. It does not apply to
    /// [`Delivery::Chunks`], which assembles nothing. Default: 1,024.
    pub max_fragments: usize,
    /// Whether messages come whole or in chunks; whole.
    pub delivery: Delivery,
    /// Number of unwritten bytes from which on [`send`](crate::Connection::send) returns
    /// [`BufferFull`](crate::SendError::BufferFull). The message that crosses the mark still fits, so the bound is this
    /// plus the largest message sent. [`reply`](crate::Connection::reply) is never refused: from so many unwritten bytes
    /// of replies on, [`receive`](crate::Connection::receive) pauses. Default: 64 KiB.
    pub write_buffer_size: usize,
    /// Maximum duration of each phase of closing: each pause while queued output is written (and this plus one second
    /// for each 256 bytes of it as a whole), the wait for the peer's Close, and the wait for the end of its stream.
    /// A server also waits no longer for the end of a client's stream after a response that opens no WebSocket.
    /// Default: 5 seconds.
    pub close_timeout: Duration,
    /// Maximum pause while output waits and the transport accepts none of it. Then the peer counts as lost, and the
    /// connection ends without a Close. `None`: no limit. Default: 30 seconds.
    pub write_timeout: Option<Duration>,
    /// How long nothing may come of a begun message; 30 s. Whatever else comes counts too. `None` waits for ever, which a peer needs that
    /// sends a message's fragments far apart.
    pub stall_timeout: Option<Duration>,
    /// Whether and how to ping the peer; every 20 s, dead 20 s later.
    pub keepalive: Option<Keepalive>,
    /// Whether and how to compress messages, if the peer agrees; not at all.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::Deflate>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 1 << 20,
            max_frame_size: usize::MAX,
            max_fragments: 1024,
            delivery: Delivery::Messages,
            write_buffer_size: 64 << 10,
            close_timeout: Duration::from_secs(5),
            write_timeout: Some(Duration::from_secs(30)),
            stall_timeout: Some(Duration::from_secs(30)),
            keepalive: Some(Keepalive::default()),
            #[cfg(feature = "deflate")]
            deflate: None,
        }
    }
}

/// Limits of the opening handshake, of a client or a server. They hold before a server knows the path of a request, so
/// that they are the same for all its routes.
///
/// ```
/// use std::time::Duration;
/// use ws_core::{HandshakeConfig, Timestamp, server::Handshake};
///
/// let mut config = HandshakeConfig::default();
/// config.open_timeout = Some(Duration::from_secs(3));
/// let handshake = Handshake::new(&config, Timestamp::ZERO);
/// assert_eq!(handshake.poll_timeout(), Some(Timestamp::ZERO + Duration::from_secs(3)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HandshakeConfig {
    /// Maximum size of the head of a request or response, in bytes. Default: 16 KiB.
    pub max_head_size: usize,
    /// Maximum number of header fields of a request or response. Default: 128.
    pub max_headers: usize,
    /// Maximum duration of the opening handshake as a whole, from the first byte to the response. `None`: no limit.
    /// Default: 10 seconds.
    pub open_timeout: Option<Duration>,
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self { max_head_size: 16 << 10, max_headers: 128, open_timeout: Some(Duration::from_secs(10)) }
    }
}

/// Regular pings that detect a dead peer and measure the latency of a living one.
///
/// A ping is sent every `interval`, one at a time. It is missed if the peer shows no sign of life for `timeout` after
/// the ping was written, or after it was queued if the transport accepts nothing. Then the next ping follows at once.
/// So a peer that vanishes is detected after at most `interval + timeout * max_missed`.
///
/// A sign of life is any received byte, and any byte that the transport accepts after it had refused some. A byte that
/// goes straight into the operating system's send buffer is none. While this end does not read, because replies wait to
/// be written, silence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// The time between two pings; 20 s.
    pub interval: Duration,
    /// Maximum time without a sign of life after a ping. Default: 20 seconds.
    pub timeout: Duration,
    /// How many pings in a row the peer may miss before it counts as dead: the one of this number decides;
    /// 1. Zero counts as 1.
    pub max_missed: u32,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20), timeout: Duration::from_secs(20), max_missed: 1 }
    }
}

/// How messages are handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As [`Event::Message`](crate::Event::Message), each as a whole.
    #[default]
    Messages,
    /// As [`Event::Chunk`](crate::Event::Chunk), piece by piece as they arrive, in memory that does not
    /// grow with the message. Raise [`max_message_size`](Config::max_message_size) to suit.
    Chunks,
}

/// Which pages a browser may connect from (RFC 6455 section 10.2).
///
/// Browsers send the page's origin with every opening handshake, and, on the user's behalf, the cookies
/// of the server that is asked. A server that heeds cookies must therefore heed origins. Requests without
/// an `Origin` header do not come from pages and pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// Only pages of the host and port that the request's `Host` header names, by `http` or `https`. Over TLS, only
    /// `https`: a page that came without TLS may have been changed on its way. (`ws-std` and `ws-smol` know whether a
    /// connection uses TLS. Other drivers call [`Request::set_scheme`](crate::server::Request::set_scheme).)
    ///
    /// Behind a proxy, that has to forward the `Host` header of the browser with its port. If the proxy terminates TLS,
    /// use [`SameOrigin`](Self::SameOrigin).
    #[default]
    SameHost,
    /// Only pages of the host and port that the request's `Host` header names, by this scheme. For a server without TLS
    /// behind a proxy that terminates it: `OriginPolicy::SameOrigin(Scheme::Https)`.
    SameOrigin(Scheme),
    /// Only pages of these origins, each such as `https://example.com`.
    OneOf(Vec<String>),
    /// All pages. For a server that gives the same to every client.
    Any,
}

/// The scheme of a page's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS: `http://`, and `ws://` for WebSockets.
    Http,
    /// With TLS: `https://`, and `wss://` for WebSockets.
    Https,
}
