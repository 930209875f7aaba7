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
//! This crate opens no socket, reads no clock, rolls no dice, starts no thread. What it needs of those it
//! is given: received bytes, the time, a seed. So one and the same core serves blocking sockets
//! (`ws-std`), async sockets, an event loop of your own, a simulation or a fuzzer, and each of its
//! timeouts is tested without sleeping.
//!
//! ```text
//!                        ┌──────────────────────────────┐
//!   bytes read ────────► │ receive(&mut input) -> Event │ ────────► your application
//!   end of stream ─────► │ receive_eof()                │
//!                        │                              │
//!   bytes to write ◄──── │ transmit() -> impl Buf       │ ◄──────── send, send_chunk, send_prepared,
//!                        │                              │           ping, close, fail
//!   the clock ─────────► │ handle_timeout(now)          │
//!   wake me at ◄──────── │ poll_timeout()               │
//!                        └──────────────────────────────┘
//! ```
//!
//! # Driving a connection
//!
//! Three rules are all there is to know; see [`Connection`]. This is a whole driver, for a server's end of
//! a connection that echoes, on a blocking socket:
//!
//! ```no_run
//! use std::{io::{self, ErrorKind, Read, Write}, net::TcpStream, time::{Duration, Instant}};
//! use bytes::Buf;
//! use ws_core::{Connection, Event, Timestamp};
//!
//! fn echo(connection: &mut Connection, socket: &mut TcpStream, epoch: Instant) -> io::Result<()> {
//!     let now = || Timestamp::from(epoch.elapsed());
//!     let mut buffer = vec![0; 64 * 1024]; // can be shared by all connections of a thread
//!     loop {
//!         connection.handle_timeout(now());
//!         while connection.wants_write() {
//!             let mut output = connection.transmit();
//!             let written = socket.write(output.chunk())?;
//!             output.advance(written);
//!         }
//!         if connection.is_finished() {
//!             return Ok(());
//!         }
//!         let wait = connection.poll_timeout().map(|due| due.saturating_duration_since(now()));
//!         socket.set_read_timeout(wait.map(|wait| wait.max(Duration::from_millis(1))))?;
//!         match socket.read(&mut buffer) {
//!             Ok(0) => connection.receive_eof(),
//!             Ok(read) => {
//!                 let mut input = &mut buffer[..read];
//!                 // After an error there is nothing more to receive, but a Close to be written.
//!                 while let Ok(Some(event)) = connection.receive(&mut input) {
//!                     if let Event::Message(message) = event {
//!                         connection.send(message).map_err(io::Error::other)?;
//!                     }
//!                 }
//!             }
//!             Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
//!             Err(error) => return Err(error),
//!         }
//!     }
//! }
//! ```
//!
//! Before it come the opening handshakes: [`server::Handshake`] and [`client::Handshake`] take bytes in the
//! same way and end in a [`Connection`]. A connection can also be made without them, after an upgrade by
//! other means.
//!
//! # Messages
//!
//! A message that lies whole in the input is unmasked in place and *lent*: no copy, no allocation, and the
//! loop can answer it at once, because it borrows from the input and not from the connection. A message
//! that came in fragments or in several reads is put together and handed out *owned*. Memory follows the
//! bytes that arrived, never the length that a header claims: a message gets more at once only if the one
//! before it filled as much. With [`Delivery::Chunks`] messages are not
//! put together at all, and one of any size takes no more memory than the read buffer.
//!
//! Text is checked piece by piece, and the connection fails in the piece that makes it invalid.
//!
//! # What can go wrong
//!
//! [`ProtocolError`]: the peer broke a rule; it is told so by a Close, and the error stays. [`SendError`]:
//! the application asked for what cannot be done; nothing has changed. [`HandshakeError`]: no connection
//! came about; a server answers it with [`HandshakeError::response`]. A connection that ends is no error:
//! [`Connection::closure`] tells how it did.
//!
//! Nothing that a peer sends makes this crate panic, wait or grow beyond its [`Config`].
//!
//! # Features
//!
//! `std`, on by default: faster checks of UTF-8 by `simdutf8`, and [`chunks_vectored`] for vectored writes.
//! Without it the crate needs `alloc` alone.
//!
//! `deflate`: compression of messages (RFC 7692), by `flate2` with `zlib-rs`; used where a `Config` asks for it.
//!
//! `testing`: the module `testing`, for tests of protocols on top of this one: pairs of connections under virtual
//! time, scripted peers, strategies for `proptest` and `arbitrary`.
//!
//! [`chunks_vectored`]: bytes::Buf::chunks_vectored

extern crate alloc;

mod close;
mod config;
mod connection;
mod entropy;
mod error;
mod extension;
pub mod frame;
mod handshake;
mod message;
mod prepared;
mod route;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
mod transmit;
mod utf8;

pub use close::{Cause, CloseCode, CloseFrame, Closure, Side, Timeout};
pub use config::{Config, Delivery, Keepalive, OriginPolicy};
pub use connection::{Connection, Role, State};
pub use error::{ProtocolError, SendError};
#[cfg(feature = "deflate")]
pub use extension::Deflate;
pub use handshake::{HandshakeError, Headers, Response, Url, UrlError, client, server};
pub use message::{Chunk, Event, Message};
pub use prepared::PreparedMessage;
pub use route::{Parameters, RouteError, Routes};
pub use time::Timestamp;
pub use transmit::Transmit;
pub use utf8::Utf8Decoder;

/// The README's programs, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
