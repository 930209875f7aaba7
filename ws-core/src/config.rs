use alloc::{string::String, vec::Vec};
use core::time::Duration;

/// Limits, deadlines and other settings of an open connection. Each field has a default that is safe on the open
/// internet. A limit of `usize::MAX` means no limit. A limit of zero means zero. [`HandshakeConfig`] has the limits of the
/// opening handshake.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use ws_core::{Config, Keepalive};
///
/// let mut config = Config::default();
/// config.max_message_size = 64 * 1024 * 1024;
/// config.keepalive = Some(Keepalive { interval: Duration::from_secs(15), ..Keepalive::default() });
/// let config = Arc::new(config); // shared by all connections
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Maximum size of a received message in bytes. A larger message fails the connection with 1009 as soon as a
    /// header announces it. The limit also applies to [`Delivery::Chunks`]. Default: 1 MiB.
    pub max_message_size: usize,
    /// Maximum payload size of one received frame in bytes. Default: no limit except
    /// [`max_message_size`](Self::max_message_size).
    pub max_frame_size: usize,
    /// Maximum number of frames in a message that is assembled. A larger number fails the connection with 1008. The
    /// limit does not apply to [`Delivery::Chunks`], which does not assemble messages. Default: 1,024.
    pub max_fragments: usize,
    /// Maximum payload size of one sent frame in bytes. A larger message is sent as several frames (RFC 6455 section
    /// 5.4). With compression, the limit applies to the compressed message. Use it for peers and proxies that limit the
    /// size of a frame. Zero counts as 1. Default: no limit, so that each message is one frame.
    pub max_sent_frame_size: usize,
    /// Delivery of received messages as a whole or in chunks. Default: as a whole.
    pub delivery: Delivery,
    /// Limit of unwritten output in bytes. At this limit, [`send`](crate::Connection::send) returns
    /// [`BufferFull`](crate::SendError::BufferFull). The message that crosses the limit still fits, so memory is
    /// bounded by the limit plus the largest message sent. [`reply`](crate::Connection::reply) is never refused: when
    /// the unwritten replies reach this size, [`receive`](crate::Connection::receive) pauses. Default: 64 KiB.
    pub write_buffer_size: usize,
    /// Maximum duration of each phase of closing. The phases are each pause while queued output is written, the wait
    /// for the peer's Close, and the wait for the end of its stream. All pauses of writing together may also take at
    /// most this duration plus one second for each 256 bytes of queued output. A server also waits at most this long for
    /// the end of a client's stream after a response that opens no WebSocket. Default: 5 seconds.
    pub close_timeout: Duration,
    /// Maximum pause while output waits and the transport accepts none of it. After this pause the peer counts as
    /// lost, and the connection ends without a Close. `None`: no limit. Default: 30 seconds.
    pub write_timeout: Option<Duration>,
    /// Maximum pause while a message is being received. Only bytes of this message count as progress, and control frames
    /// between its fragments do not. `None`: no limit, which is necessary if the peer sends the fragments of a message
    /// with long pauses. Default: 30 seconds.
    pub stall_timeout: Option<Duration>,
    /// Keepalive pings. `None`: no pings. Default: a ping every 20 seconds, and a timeout of 20 seconds.
    pub keepalive: Option<Keepalive>,
    /// Compression of messages with permessage-deflate, if the peer agrees. Default: no compression.
    #[cfg(feature = "deflate")]
    pub deflate: Option<crate::Deflate>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_message_size: 1 << 20,
            max_frame_size: usize::MAX,
            max_fragments: 1024,
            max_sent_frame_size: usize::MAX,
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

/// Limits of the opening handshake, of a client or a server. On a server they apply before the path of a request is
/// known, so they are the same for all routes.
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
    /// Maximum size in bytes of the head of a request or response. Default: 16 KiB.
    pub max_head_size: usize,
    /// Maximum number of header fields of a request or response. Default: 128.
    pub max_headers: usize,
    /// Maximum duration of the whole opening handshake, from the first byte to the response. `None`: no limit. Default:
    /// 10 seconds.
    pub open_timeout: Option<Duration>,
}

impl Default for HandshakeConfig {
    fn default() -> Self {
        Self { max_head_size: 16 << 10, max_headers: 128, open_timeout: Some(Duration::from_secs(10)) }
    }
}

/// Keepalive pings, which detect a dead peer and measure the latency of a live one.
///
/// A ping is sent every `interval`, one at a time. It counts as missed if the peer shows no sign of life for
/// `timeout` after the ping was written. If the transport accepts nothing, the timeout starts when the ping is
/// queued. After a missed ping the next one is sent at once. So a peer that vanishes is detected after at most
/// `interval + timeout * max_missed`.
///
/// Without `max_missed`, pings are sent every `interval` and never end the connection. They keep a path through proxies
/// open and measure the latency. An unwritten ping is not followed by another one.
///
/// Signs of life are received bytes, and bytes that the transport accepts after it had refused some. A byte that goes
/// straight into the operating system's send buffer is not a sign of life. While this end does not read, because
/// replies wait to be written, silence proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    /// Time between two pings. Zero disables pings, as [`Config::keepalive`] without a value does. Default: 20 seconds.
    pub interval: Duration,
    /// Maximum time without a sign of life after a ping. Default: 20 seconds.
    pub timeout: Duration,
    /// Number of consecutive pings that the peer has to miss to count as dead. Zero counts as 1. `None`: missed pings
    /// have no effect. Default: 1.
    pub max_missed: Option<u32>,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self { interval: Duration::from_secs(20), timeout: Duration::from_secs(20), max_missed: Some(1) }
    }
}

/// The form in which received messages are delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delivery {
    /// As [`Event::Message`](crate::Event::Message), each message as a whole.
    #[default]
    Messages,
    /// As [`Event::Chunk`](crate::Event::Chunk), piece by piece as they arrive, in memory that does not grow with the
    /// message. Increase [`max_message_size`](Config::max_message_size) if necessary.
    Chunks,
}

/// Origin check: the web pages from which a browser may connect (RFC 6455 section 10.2).
///
/// Browsers send the origin of the page with every opening handshake. On the user's behalf, they also send the
/// cookies that belong to the requested server. So a server that uses cookies must also check origins. Requests
/// without an `Origin` header do not come from web pages and are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OriginPolicy {
    /// Only pages of the host and port in the `Host` header of the request, by `http` or `https`. Over TLS only
    /// `https` is accepted, because a page that was transferred without TLS may have been modified. `ws-std` and
    /// `ws-smol` detect TLS connections. Other drivers call
    /// [`Request::set_scheme`](crate::server::Request::set_scheme).
    ///
    /// A reverse proxy has to forward the browser's `Host` header with its port. If the proxy terminates TLS, use
    /// [`SameOrigin`](Self::SameOrigin).
    #[default]
    SameHost,
    /// Only pages of the host and port in the `Host` header of the request, by this scheme. Use it for a server
    /// without TLS behind a proxy that terminates TLS: `OriginPolicy::SameOrigin(Scheme::Https)`.
    SameOrigin(Scheme),
    /// Only pages of these origins. Example of an origin: `https://example.com`.
    OneOf(Vec<String>),
    /// All pages. Use it for a server that sends the same data to all clients.
    Any,
}

/// The scheme of a page's URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS: `http://`, and `ws://` for WebSockets.
    Http,
    /// With TLS: `https://`, and `wss://` for WebSockets.
    Https,
}
