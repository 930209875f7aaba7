//! Both adapters behind one blocking interface, so that tests of both are written once.
//!
//! The calling thread drives a connection of `ws-smol`: the connection makes no progress between two calls.

/// Applies the same expression to either adapter.
macro_rules! either {
    ($value:expr, $inner:pat => $body:expr, async $async_body:expr) => {
        match $value {
            Self::Std($inner) => $body,
            Self::Smol($inner) => smol::block_on($async_body),
        }
    };
    ($value:expr, $inner:pat => $body:expr) => {
        match $value {
            Self::Std($inner) => $body,
            Self::Smol($inner) => $body,
        }
    };
    (self $value:expr, $inner:pat => $body:expr) => {
        match $value {
            Self::Std($inner) => Self::Std($body),
            Self::Smol($inner) => Self::Smol($body),
        }
    };
}

mod bytes;
mod client;
mod connecting;
mod hooks;
mod pairing;
mod reconnecting;
mod running;
mod server;
mod streams;
mod websocket;

pub use bytes::ByteStream;
pub use client::{Client, ClientHandle};
pub use pairing::Pairing;
pub use reconnecting::{Reconnecting, ReconnectingClient};
pub use running::{Handle, Running};
pub use server::{Handed, Route, Server, answer_each_message};
pub use streams::StreamServer;
pub use websocket::{Receiver, Sender, WebSocket};

/// One of the two adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// `ws-std`.
    Std,
    /// `ws-smol`.
    Smol,
}
