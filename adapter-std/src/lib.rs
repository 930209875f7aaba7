#![forbid(unsafe_code)]
//! WebSocket clients and servers (RFC 6455) on blocking sockets and threads.
//!
//! A client:
//!
//! ```no_run
//! use ws_std::CloseCode;
//!
//! let mut ws = ws_std::connect("ws://127.0.0.1:9001/echo")?;
//! ws.send("Hello, WebSocket!")?;
//! if let Some(message) = ws.receive()? {
//!     println!("{message}");
//! }
//! ws.close(CloseCode::NORMAL_CLOSURE, "bye")?;
//! # Ok::<(), ws_std::Error>(())
//! ```
//!
//! A server, with a thread for each connection:
//!
//! ```no_run
//! use ws_std::Server;
//!
//! let server = Server::new().route("/echo", |_request, mut ws| {
//!     while let Some(message) = ws.receive()? {
//!         ws.feed(message)?; // sent in one batch when no more messages are available
//!     }
//!     Ok(())
//! });
//! server.listen("127.0.0.1:9001")?;
//! # Ok::<(), ws_std::Error>(())
//! ```
//!
//! [`WebSocket::split`] splits a connection into a sending and a receiving half for two threads. The sending half can
//! be cloned for more threads. Neither half waits for the other. The protocol with its limits and deadlines is in
//! [`ws_core`]. This crate re-exports the types of `ws_core` that it uses.
//!
//! A WebSocket also runs on a stream that the application has connected or accepted, see [`accept`],
//! [`Client::connect_over`] and [`Server::for_streams`]. It can be used as a stream of bytes, see
//! [`WebSocket::into_byte_stream`].
//!
//! To broadcast, use [`Callbacks`] and [`Sessions`].
//!
//! With tokio, use the crate `ws-smol`, which has the same API for async code, because a blocking call would stop other
//! tasks.
//!
//! If an HTTP library has parsed the request, [`Request::from_parts`] and [`WebSocket::from_upgraded`] open a WebSocket on
//! its socket.
//!
//! The crate supports Unix systems only.
//!
//! The guide in the folder `guide` of the repository teaches this crate by tasks, in English and Japanese. Its page
//! `faq/errors` has an entry for each variant of [`Error`].
//!
//! # Features
//!
//! | feature | default | purpose |
//! |---|---|---|
//! | `deflate` | yes | permessage-deflate (RFC 7692). It is used if a [`Config`] enables it |
//! | `http` | no | conversions from `http::Request` and into `http::Response` |
//! | `ring` | yes | cryptography for TLS by `ring` |
//! | `aws-lc-rs` | no | cryptography for TLS by `aws-lc-rs`. With both, `ring` is used |
//! | `platform-roots` | yes | clients trust the certificate authorities of the operating system |
//! | `webpki-roots` | no | clients trust Mozilla's certificate authorities, compiled in |
//! | `encrypted-keys` | no | private keys that are encrypted with a password (PKCS#8) |
//! | `systemd` | no | listening sockets from a service manager, `inherited_sockets` |
//! | `tracing` | no | log events and a span for each connection, see [Logs](#logs) |
//! | `serde` | no | JSON messages: `WebSocket::send_json` and `WebSocket::receive_json`, by `serde_json` |
//! | `url` | no | `url::Url` as the address of a server |
//! | `testing` | no | for tests: a pair of streams without a network (`testing::duplex`), and [`ws_core`]'s test kit |
//!
//! # Logs
//!
//! With the feature `tracing`, the crate writes events and spans by the crate [`tracing`](https://docs.rs/tracing). An
//! application selects a subscriber, such as that of `tracing-subscriber`. The texts may change. The levels, targets and
//! field names are a contract:
//!
//! | level | target | event | fields |
//! |---|---|---|---|
//! | `error` | `websocket` | a handler returned an error, or code of the application panicked | `kind`, `peer`, `error` |
//! | `warn` | `websocket` | a request was refused, a TLS handshake failed, or the server is full | `kind`, `peer`, `error` |
//! | `warn` | `websocket` | a peer reads too slowly: messages are dropped, or it is disconnected. Once until it catches up | `dropped` |
//! | `info` | `websocket` | a server listens, begins to stop, has stopped | `address`, `connections` |
//! | `debug` | `websocket` | a WebSocket is open, an opening handshake failed, a page was requested, a client left without a request | `encryption` |
//! | `debug` | `websocket` | a connection has ended, or is lost | `code`, `clean`, `cause`, `kind` |
//! | `trace` | `websocket::frame` | a frame was received or queued. `len` is the size of its payload in bytes | `opcode`, `len`, `fin`, `compressed` |
//!
//! Each connection has a span `connection` with its `id`, the `role` of this end (`server` or `client`), the address of the
//! `peer`, the `path` of the request, the `client` behind a trusted proxy, and the number of the `session`. On a server,
//! handlers and callbacks run inside the span, so the events of the application belong to it too. The span has the level
//! `error`, so that it exists with every filter.
//!
//! No event contains a header, a query, the user of a URL, a payload, or the reason of a Close. Texts of the application
//! are written unchanged: errors of handlers, messages of panics, and the bodies of refusals. A subscriber must not use
//! the connection whose event it handles: it would deadlock.

mod accept;
mod attached;
mod backend;
mod byte_stream;
mod client;
mod duplex;
mod flusher;
mod halves;
#[cfg(feature = "serde")]
mod json;
mod message_stream;
mod opening;
mod read_buffer;
mod server;
mod socket;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod threads;
mod wake;
mod websocket;

pub use accept::accept;
pub use byte_stream::{ByteReader, ByteStream, ByteWriter};
pub use client::{CancelHandle, Client, ClientHandle, Reconnecting, ReconnectingClient};
pub use halves::{Receiver, Sender};
pub use message_stream::{MessageReader, MessageWriter};
pub use server::{HandlerResult, Job, Listener, Route, Server, ServerHandle, StreamServer};
pub use stream::{IntoSocket, Relay};
pub use websocket::WebSocket;
#[cfg(feature = "deflate")]
pub use ws_core::Deflate;
#[cfg(feature = "serde")]
pub use ws_core::JsonError;
pub use ws_core::{
    self, Chunk, CloseCode, CloseInfo, Config, Delivery, Event, ForwardedHeaders, HandshakeConfig,
    HandshakeError, Keepalive, Message, OriginPolicy, PreparedMessage, ProtocolError, QueryError,
    ReconnectPolicy, RedirectProblem, Response, Scheme, SendError, State, TimeoutKind, TrustedProxies, Url,
    UrlError,
    proxy::ProxyError,
    server::{Accept, Request},
};
pub use ws_sessions::{
    AdmissionDecision, AdmissionStats, Arrival, Callbacks, ConnectionError, ConnectionErrorKind, Panicked,
    Rooms, ServerMetrics, ServerStats, Session, SessionId, SessionStats, Sessions, Stats, WhileDisconnected,
};
#[cfg(feature = "systemd")]
pub use ws_transport::inherited_sockets;
pub use ws_transport::{
    AddressFamily, AdmissionCounts, AdmissionLimits, Backlog, Clock, ConnectConfig, Error, ListenOptions,
    Overflow, ReconnectAttempt, RefusalReason, SocketOptions,
    tls::{Certificates, ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError},
};

/// Connects to a server with default settings. Example of a URL: `ws://127.0.0.1:9001/echo`. Use [`Client`] to set
/// headers, TLS options and timeouts.
///
/// # Errors
///
/// Returns the same errors as [`Client::connect`].
pub fn connect<U>(url: U) -> Result<WebSocket, Error>
where
    U: TryInto<Url, Error: Into<UrlError>>,
{
    Client::new(url).connect()
}

/// The programs of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
