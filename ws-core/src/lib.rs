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
//!   bytes to write ◄──── │ transmit() -> impl Buf       │ ◄──────── reply, send, send_chunk,
//!                        │                              │           send_prepared, ping, close, fail
//!   the clock ─────────► │ handle_timeout(now)          │
//!   wake me at ◄──────── │ poll_timeout()               │
//!                        └──────────────────────────────┘
//! ```
//!
//! # Driving a connection
//!
//! A driver moves bytes between a [`Connection`] and a transport, and tells it the time. It obeys these rules. They are
//! all that there is to know, and each of them matters for a peer that is slow, silent or hostile:
//!
//! 1. **Read only while [`wants_read`].** It is `false` while too many replies wait to be written. A driver that reads
//!    on is correct, but its memory is bounded by the peer alone.
//! 2. **Call [`receive`] until it returns `None` or an error**, after each read, and also without new input while
//!    [`wants_receive`]: the connection keeps input that it was given while receiving was paused.
//! 3. **Answer with [`reply`]**, which is never refused for lack of room. [`send`] is for messages that the application
//!    sends of its own accord. It returns `BufferFull` while too much waits, and the message has to be sent again later.
//! 4. **After an error, go on**: the connection has failed, and its Close has to be written.
//! 5. **Report the end of the stream, and a read error, with [`receive_eof`]**, and go on: output may still wait.
//! 6. **Call [`handle_timeout`] each time you wake**, after everything that came was passed on. Otherwise a peer that
//!    has answered in time may count as dead.
//! 7. **Write while [`wants_write`]**, as much as the transport accepts, before you wait. A byte counts as written when
//!    the transport has accepted it. [`advance`] the output by that, or take it and report with [`written`].
//! 8. **After a write error, call [`discard_output`]**, and go on: the peer's last messages may still come.
//! 9. **Wait for input only while `wants_read`, for room to write only while `wants_write`, and not beyond
//!    [`poll_timeout`].** Ask for it after writing, because writing can make it earlier.
//! 10. **When [`wants_shutdown`], close the writing direction once**, and go on reading. The connection drops what still
//!     comes. A socket that is closed with unread input is reset, and the peer may lose the Close.
//! 11. **Drop the transport when [`is_finished`]**, and not before.
//!
//! This is a whole program, `examples/driver.rs`. It is tested against slow, silent and hostile peers:
//!
//! ```no_run
#![doc = include_str!("../examples/driver.rs")]
//! ```
//!
//! Before the connection come the opening handshakes: [`server::Handshake`] and [`client::Handshake`] take bytes in the
//! same way and end in a [`Connection`]. A connection can also be made without them, after an upgrade by
//! other means.
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
mod excerpt;
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
pub use config::{Config, Delivery, HandshakeConfig, Keepalive, OriginPolicy, Scheme};
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
