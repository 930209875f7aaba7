#![cfg_attr(not(feature = "std"), no_std)]
#![forbid(unsafe_code)]
#![warn(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    clippy::alloc_instead_of_core
)]
//! The WebSocket protocol (RFC 6455) as a pure state machine: bytes in, events and bytes out.
//!
//! This crate is sans-IO: it opens no sockets, reads no clock, generates no random numbers and starts no threads. The
//! driver passes in received bytes, the time and a random seed. So the same core serves blocking sockets (`ws-std`),
//! async sockets (`ws-smol`), your own event loop, a simulation or a fuzzer, and all timeouts are tested without
//! sleeping. With tokio, start from the driver in the folder `examples/tokio` of the repository, or use `ws-smol`.
//!
//! ```text
//!                        ┌──────────────────────────────┐
//!   bytes read ────────► │ receive(&mut input) -> Event │ ────────► your application
//!   end of stream ─────► │ receive_eof()                │
//!                        │                              │
//!   bytes to write ◄──── │ transmit() -> impl Buf       │ ◄──────── reply, send, send_chunk,
//!                        │                              │           send_prepared, ping, close, fail
//!   the clock ─────────► │ handle_timeout(now)          │
//!   next deadline ◄───── │ poll_timeout()               │
//!                        └──────────────────────────────┘
//! ```
//!
//! The guide in the folder `guide` of the repository has pages about this crate: `tour/event-loop`, `cookbook/mio` and
//! `cookbook/testing`.
//!
//! # Driving a connection
//!
//! A driver moves bytes between a [`Connection`] and a transport, and reports the time to it. It follows these rules.
//! The list is complete, and each rule matters for a peer that is slow, silent or hostile:
//!
//! 1. **Read only while [`wants_read`] returns `true`.** It returns `false` while too many replies wait to be written.
//!    A driver that continues to read is correct, but only the peer then limits its memory.
//! 2. **Call [`receive`] until it returns `None` or an error**, after each read, and also without new input while
//!    [`wants_receive`] returns `true`. The connection keeps input that arrives while receiving is paused, and the rest
//!    of a compressed message that takes long to inflate. Write and report the time between such calls.
//! 3. **Answer with [`reply`]**, which is never refused for lack of room. Use [`send`] for messages that are not
//!    answers. It returns `BufferFull` while too much output waits, and the message has to be sent again later.
//! 4. **After an error, continue**: the connection has failed, and its Close has to be written.
//! 5. **Report the end of the stream, and a read error, with [`receive_eof`]**, and continue, because output may still
//!    wait.
//! 6. **Call [`handle_timeout`] after each wait**, once all input that arrived was passed on. Otherwise a peer that has
//!    answered in time may count as dead.
//! 7. **Write while [`wants_write`] returns `true`**, as much as the transport accepts, before you wait. A byte counts
//!    as written when the transport has accepted it. [`advance`] the output by the number of written bytes, or take the
//!    output and report the number with [`written`].
//! 8. **After a write error, call [`discard_output`]**, and continue, because the peer's last messages may still arrive.
//! 9. **Wait for input only while `wants_read`, for room to write only while `wants_write`, and not beyond
//!    [`poll_timeout`].** Call `poll_timeout` after writing, because writing can make it earlier.
//! 10. **When [`wants_shutdown`] returns `true`, close the writing direction once**, and continue to read. The
//!     connection drops the input that still arrives. A socket that is closed with unread input is reset, and the peer
//!     may lose the Close.
//! 11. **Drop the transport when [`is_finished`] returns `true`**, and not before.
//!
//! This is the complete program `examples/driver.rs`. It is tested against slow, silent and hostile peers:
//!
//! ```no_run
#![doc = include_str!("../examples/driver.rs")]
//! ```
//!
//! A connection begins with an opening handshake. [`server::Handshake`] and [`client::Handshake`] receive bytes in the
//! same way and return a [`Connection`]. If an HTTP library parses the requests, they can be negotiated from their method,
//! target and headers, in HTTP/1.1 and HTTP/2: see [`server::Request::from_parts`] and [`client::Upgrade`].
//!
//! [`advance`]: bytes::Buf::advance
//! [`discard_output`]: Connection::discard_output
//! [`handle_timeout`]: Connection::handle_timeout
//! [`is_finished`]: Connection::is_finished
//! [`poll_timeout`]: Connection::poll_timeout
//! [`receive`]: Connection::receive
//! [`receive_eof`]: Connection::receive_eof
//! [`reply`]: Connection::reply
//! [`send`]: Connection::send
//! [`wants_read`]: Connection::wants_read
//! [`wants_receive`]: Connection::wants_receive
//! [`wants_shutdown`]: Connection::wants_shutdown
//! [`wants_write`]: Connection::wants_write
//! [`written`]: Connection::written
//!
//! # Messages
//!
//! A message that lies completely in the input is unmasked in place and *lent*, without a copy or an allocation. The
//! loop can answer it at once, because it borrows from the input and not from the connection. A message that arrives in
//! fragments or in several reads is assembled and returned *owned*. Memory grows with the bytes that arrive, and not
//! with the length that a header announces. A message gets more memory at once only if the message before it was as
//! large. With [`Delivery::Chunks`] messages are not assembled, and a message of any size needs no more memory than the
//! read buffer.
//!
//! Text is validated piece by piece, and the connection fails at the piece that makes it invalid.
//!
//! # Errors
//!
//! - [`ProtocolError`]: the peer violated the protocol. The connection sends a Close with the reason, and returns the
//!   same error from then on.
//! - [`SendError`]: the connection cannot carry out a call of the application. The connection is unchanged.
//! - [`HandshakeError`]: the opening handshake failed. A server answers with [`HandshakeError::response`].
//!
//! The end of a connection is not an error. [`Connection::close_info`] returns a record of it.
//!
//! No input from a peer makes this crate panic, block or exceed the limits of its [`Config`].
//!
//! # Features
//!
//! - `std` (enabled by default): faster validation of UTF-8 by `simdutf8`, and [`chunks_vectored`] for vectored writes.
//!   Without it the crate needs only `alloc`.
//! - `deflate`: compression of messages (RFC 7692), by `flate2` with `zlib-rs`. It is used if a `Config` enables it.
//! - `tracing`: an event of the level `trace` for each frame, with its opcode and length and without its payload. The
//!   target is `websocket::frame`, and the parent is the span in which the connection was opened.
//! - `http`: conversions from `http::Request` and into `http::Response`, the types of hyper, axum and other HTTP libraries.
//! - `serde`: messages that contain JSON, `Message::json` and `Message::parse_json`, by `serde_json`.
//! - `url`: conversions between [`Url`] and `url::Url`.
//! - `testing`: the module `testing`, for tests of protocols that build on this crate. It contains pairs of connections under
//!   virtual time and scripted peers. It has no further dependencies.
//! - `proptest` and `arbitrary`: the feature `testing`, and with it the module `testing::strategies`, or `Arbitrary` for
//!   the types of this crate.
//!
//! [`chunks_vectored`]: bytes::Buf::chunks_vectored

extern crate alloc;

mod close;
mod config;
mod connection;
mod entropy;
mod error;
mod excerpt;
mod extension;
pub mod frame;
mod handshake;
#[cfg(feature = "serde")]
mod json;
mod log;
mod memory;
mod message;
mod prepared;
mod race;
mod reconnect;
mod route;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod transmit;
mod utf8;

pub use close::{Cause, CloseCode, CloseFrame, CloseInfo, Side, TimeoutKind};
pub use config::{Config, Delivery, HandshakeConfig, Keepalive, OriginPolicy, Scheme};
pub use connection::{Connection, Role, State};
pub use error::{ProtocolError, SendError};
#[cfg(feature = "deflate")]
pub use extension::Deflate;
pub use handshake::{
    ForwardedHeaders, HandshakeError, Headers, NetworkError, QueryError, RedirectProblem, Response,
    TrustedProxies, Url, UrlError, accept_key, client, proxy, server,
};
#[cfg(feature = "serde")]
pub use json::JsonError;
pub use memory::{MemoryBudget, MemoryShare};
pub use message::{Chunk, Event, Message};
pub use prepared::PreparedMessage;
pub use race::AddressRace;
pub use reconnect::{ReconnectHint, ReconnectPolicy, ReconnectSchedule};
pub use route::{Parameters, PathRouter, RouteError};
pub use time::Timestamp;
pub use transmit::Transmit;
pub use utf8::Utf8Decoder;

/// Compiles the programs in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
