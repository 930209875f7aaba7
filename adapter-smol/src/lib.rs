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
//! Sockets and timers come from `async-io`, which works with any executor. Any other stream that implements `AsyncRead` and
//! `AsyncWrite` is supported too, see [`accept`], [`Client::connect_over`] and [`Server::for_streams`], and
//! [`WebSocket::from_upgraded`] for a stream whose opening handshake is complete. A WebSocket can be used as a stream of
//! bytes, see [`WebSocket::into_byte_stream`], and with the combinators of `futures`, see [`WebSocket`].
//!
//! # With tokio, hyper and axum
//!
//! The crate runs under `#[tokio::main]` without any adjustment:
//!
//! - A [`Server`] without a [spawner](Server::spawner) serves all connections inside the future of
//!   [`listen`](Server::listen), which can be one task of tokio.
//! - With `.spawner(|task| drop(tokio::spawn(task)))`, each connection is a task of tokio, and connections run on all
//!   threads of its runtime.
//! - A WebSocket on a stream of tokio, such as the upgraded stream of hyper or axum, needs the `compat()` of `tokio-util`
//!   and [`WebSocket::from_upgraded`]. With the feature `http`, a [`Request`] is created from an `http::Request`, and the
//!   response is converted into an `http::Response`.
//!
//! The first and the third way cost no more CPU time than the same server under smol. In the second way, the sockets belong
//! to `async-io`, and its thread wakes the tasks. A message of 20 bytes then takes 1.8 times the CPU time with 100
//! connections, and 2.1 times with 16 messages in flight on each of ten connections. Timers belong to `async-io` in all
//! three ways. It starts its thread when it is first used.
//!
//! The folders `examples/tokio`, `examples/hyper` and `examples/axum` of the repository contain programs. This crate does
//! not depend on tokio.
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
//! | `sink` | no | `futures_sink::Sink` for [`WebSocket`] and [`Sender`] |
//! | `serde` | no | JSON messages: `WebSocket::send_json` and `WebSocket::receive_json`, by `serde_json` |
//! | `url` | no | `url::Url` as the address of a server |
//! | `testing` | no | for tests: a stream in memory (`testing::duplex`), and [`ws_core`]'s test kit |
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
mod backend;
mod byte_stream;
mod client;
mod current;
mod duplex;
mod futures;
mod halves;
mod input;
#[cfg(feature = "serde")]
mod json;
mod lazy_timer;
mod message_stream;
mod opening;
#[cfg(target_os = "linux")]
mod reactor;
mod relay;
mod server;
mod socket;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod turns;
mod waker_set;
mod websocket;

pub use accept::accept;
pub use byte_stream::{ByteReader, ByteStream, ByteWriter};
pub use client::{Client, ClientHandle, Reconnecting, ReconnectingClient};
pub use halves::{Receiver, Sender};
pub use message_stream::{MessageReader, MessageWriter};
pub use server::{HandlerResult, Listener, Route, Server, ServerHandle, StreamServer, Task};
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

/// Connects to a server such as `ws://127.0.0.1:9001/echo` with default settings. Use [`Client`] to set headers, TLS
/// options and timeouts.
///
/// # Errors
///
/// Returns the same errors as [`Client::connect`].
pub async fn connect<U>(url: U) -> Result<WebSocket, Error>
where
    U: TryInto<Url, Error: Into<UrlError>>,
{
    Client::new(url).connect().await
}

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
