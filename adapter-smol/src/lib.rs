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
//! | `sink` | no | `futures_sink::Sink` for [`WebSocket`] and [`Sender`] |

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

pub use client::{Client, ClientHandle, Reconnecting, ReconnectingClient};
pub use halves::{Receiver, Sender};
pub use server::{HandlerResult, Listener, Route, Server, ServerHandle, Task};
pub use websocket::WebSocket;
#[cfg(feature = "deflate")]
pub use ws_core::Deflate;
pub use ws_core::{
    self, Chunk, CloseCode, CloseInfo, Config, Delivery, Event, HandshakeConfig, HandshakeError, Keepalive,
    Message, OriginPolicy, PreparedMessage, ProtocolError, ReconnectPolicy, RedirectProblem, Response,
    Scheme, SendError, State, TimeoutKind, UrlError,
    proxy::ProxyError,
    server::{Accept, Request},
};
pub use ws_sessions::{
    AdmissionDecision, AdmissionStats, Arrival, Callbacks, ConnectionError, ConnectionErrorKind, Panicked,
    Rooms, ServerMetrics, ServerStats, Session, SessionId, SessionStats, Sessions, Stats, WhileDisconnected,
};
pub use ws_transport::{
    AdmissionCounts, AdmissionLimits, Backlog, Clock, ConnectConfig, Error, ListenOptions, Overflow,
    ReconnectAttempt, RefusalReason,
    tls::{Certificates, ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError},
};

/// Connects to a server such as `ws://127.0.0.1:9001/echo` with default settings. Use [`Client`] to set headers, TLS
/// options and timeouts.
///
/// # Errors
///
/// Returns the same errors as [`Client::connect`].
pub async fn connect(url: &str) -> Result<WebSocket, Error> {
    Client::new(url).connect().await
}

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
