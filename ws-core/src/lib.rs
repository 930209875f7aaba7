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
//! todo
extern crate alloc;

mod close;
mod config;
mod connection;
mod entropy;
mod error;
pub mod frame;
mod handshake;
mod message;
mod prepared;
mod route;
mod time;
mod transmit;
mod utf8;

pub use close::{Cause, CloseCode, CloseFrame, Closure, Side, Timeout};
pub use config::{Config, Delivery, Keepalive, OriginPolicy};
pub use connection::{Connection, Role, State};
pub use error::{ProtocolError, SendError};
pub use handshake::{HandshakeError, Headers, Response, Url, UrlError, client, server};
pub use message::{Chunk, Event, Message};
pub use prepared::PreparedMessage;
pub use route::{Parameters, RouteError, Routes};
pub use time::Timestamp;
pub use transmit::Transmit;
pub use utf8::Utf8Decoder;
