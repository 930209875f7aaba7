#![forbid(unsafe_code)]
//! WebSocket clients and servers (RFC 6455) on async sockets, for smol and any other executor.
//!
//! A client:
//!
//! ```no_run
//! use ws_smol::CloseCode;
//!
//! # async fn run() -> Result<(), ws_smol::Error> {
//! let mut ws = ws_smol::connect("ws://127.0.0.1:9001/echo").await?;
//! ws.send("Hello, WebSocket!").await?;
//! if let Some(message) = ws.receive().await? {
//!     println!("{message}");
//! }
//! ws.close(CloseCode::NORMAL_CLOSURE, "bye").await?;
//! # Ok(())
//! # }
//! ```
//!
//! A server, with a task for each connection:
//!
//! ```no_run
//! use ws_smol::Server;
//!
//! # async fn run() -> Result<(), ws_smol::Error> {
//! let server = Server::new().route("/echo", |_request, mut ws| async move {
//!     while let Some(message) = ws.receive().await? {
//!         ws.feed(message).await?; // sent in one batch when no more messages are available
//!     }
//!     Ok(())
//! });
//! server.listen("127.0.0.1:9001").await?;
//! # Ok(())
//! # }
//! ```
//!
//! [`WebSocket::split`] splits a connection into two halves for two tasks. The sending half can be cloned for more
//! tasks. Neither half ever waits for the other. Every future can be dropped at any point without losing data. The
//! crate [`ws_core`] contains the protocol with its limits and deadlines, and this crate re-exports the types that
//! both share.
//!
//! Sockets and timers come from `async-io`, which works with any executor. Other streams are supported too:
//! [`WebSocket::client`] and [`WebSocket::from_upgraded`] accept any `AsyncRead + AsyncWrite`.
//!
//! # Features
//!
//! | feature | default | purpose |
//! |---|---|---|
//! | `deflate` | yes | permessage-deflate (RFC 7692). It is used if a [`Config`] enables it |
//! | `ring` | yes | cryptography for TLS by `ring` |
//! | `aws-lc-rs` | no | cryptography for TLS by `aws-lc-rs`. With both, `ring` is used |
//! | `platform-roots` | yes | clients trust the certificate authorities of the operating system |
//! | `webpki-roots` | no | clients trust Mozilla's certificate authorities, compiled in |
//! | `encrypted-keys` | no | private keys that are encrypted with a password (PKCS#8) |
//! | `systemd` | no | listening sockets from a service manager, `inherited_sockets` |
//! | `tracing` | no | log events and a span for each connection, see [Logs](#logs) |
//! | `sink` | no | `futures_sink::Sink` for [`WebSocket`] and [`Sender`] |
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

mod backend;
mod client;
mod current;
mod duplex;
mod futures;
mod halves;
mod input;
mod lazy_timer;
mod opening;
#[cfg(target_os = "linux")]
mod reactor;
mod relay;
mod server;
mod socket;
mod stream;
mod turns;
mod waker_set;
mod websocket;

pub use client::{Client, ClientHandle};
pub use halves::{Receiver, Sender};
pub use server::{HandlerResult, Listener, Route, Server, ServerHandle, Task};
pub use websocket::WebSocket;
#[cfg(feature = "deflate")]
pub use ws_core::Deflate;
pub use ws_core::{
    self, Chunk, CloseCode, CloseInfo, Config, Delivery, Event, ForwardedHeaders, HandshakeConfig,
    HandshakeError, Keepalive, Message, OriginPolicy, PreparedMessage, ProtocolError, Response, Scheme,
    SendError, State, TimeoutKind, TrustedProxies, UrlError,
    server::{Accept, Request},
};
pub use ws_sessions::{
    Callbacks, ConnectionError, ConnectionErrorKind, Panicked, Rooms, ServerMetrics, ServerStats, Session,
    SessionId, SessionStats, Sessions, Stats,
};
#[cfg(feature = "systemd")]
pub use ws_transport::inherited_sockets;
pub use ws_transport::{
    AddressFamily, Backlog, Clock, Error, ListenOptions, Overflow, SocketOptions,
    tls::{Certificates, ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError},
};

/// Connects to a server such as `ws://127.0.0.1:9001/echo` with default settings. Use [`Client`] to set headers, TLS
/// options and timeouts.
///
/// # Errors
///
/// - Returns [`Error::Url`] if the URL is invalid.
/// - Returns [`Error::Io`] if the host cannot be resolved or reached.
/// - Returns [`Error::Timeout`] if no connection was established within the connect timeout.
/// - Returns [`Error::Tls`] if the TLS handshake failed.
/// - Returns [`Error::Handshake`] if the opening handshake failed.
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    Client::new(url).connect().await
}

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
