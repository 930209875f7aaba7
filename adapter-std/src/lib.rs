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
//! To broadcast, use [`Callbacks`] and [`Sessions`].
//!
//! The crate supports Unix systems only.
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

mod attached;
mod backend;
mod client;
mod duplex;
mod flusher;
mod halves;
mod opening;
mod read_buffer;
mod server;
mod socket;
mod wake;
mod websocket;

pub use client::{CancelHandle, Client, ClientHandle, Reconnecting, ReconnectingClient};
pub use halves::{Receiver, Sender};
pub use server::{HandlerResult, Listener, Route, Server, ServerHandle};
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
    AdmissionCounts, AdmissionLimits, Backlog, ConnectConfig, Error, ListenOptions, Overflow,
    ReconnectAttempt, RefusalReason,
    tls::{Certificates, ClientTls, ClientTlsConfig, ServerTls, ServerTlsConfig, TlsError},
};

/// Connects to a server with default settings. Example of a URL: `ws://127.0.0.1:9001/echo`. Use [`Client`] to set
/// headers, TLS options and timeouts.
///
/// # Errors
///
/// Returns the same errors as [`Client::connect`].
pub fn connect(url: &str) -> Result<WebSocket, Error> {
    Client::new(url).connect()
}

/// The programs of the README, compiled as tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
