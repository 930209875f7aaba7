//! For tests of what is built on this crate: no sockets, no threads, no waiting.
//!
//! - A [`Pair`] joins two connections, a client's and a server's, by a network that you command: how long bytes
//!   are on their way, how they are cut, whether and where the connection is lost. Its clock is virtual.
//! - A [`Peer`] plays the other end of one connection by hand: it sends frames that a well-behaved peer never
//!   would, and says what it expects.
//! - [`strategies`] make frames, messages, heads of handshakes, whole streams and ways to close for `proptest`; the
//!   same types implement `Arbitrary` for fuzzers that use `arbitrary`.
//! - [`wire`] and [`reference`](mod@reference) are a second opinion about RFC 6455, which shares nothing with the core.
//!
//! A protocol of your own is tested by asking a pair for events until nothing is on its way any more:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use ws_core::{Config, Event, Message, Role, testing::Pair};
//!
//! /// The server's side of the protocol: it adds up whatever numbers it is sent.
//! fn answer(total: &mut u64, message: &Message<'_>) -> String {
//!     match message.as_text().and_then(|text| text.parse::<u64>().ok()) {
//!         Some(number) => {
//!             *total += number;
//!             total.to_string()
//!         }
//!         None => "that is no number".to_owned(),
//!     }
//! }
//!
//! let mut pair = Pair::open(Arc::new(Config::default()));
//! pair.link(Role::Client).delay(Duration::from_millis(40)).pieces([1].into_iter().cycle());
//! for said in ["2", "3", "many"] {
//!     pair.client().send(said).unwrap();
//! }
//! let (mut total, mut heard) = (0, Vec::new());
//! while let Some((role, event)) = pair.next_event() {
//!     let Event::Message(message) = event else { continue };
//!     match role {
//!         Role::Server => pair.server().send(answer(&mut total, &message)).unwrap(),
//!         Role::Client => heard.push(message.to_string()),
//!     }
//! }
//! assert_eq!(heard, ["2", "5", "that is no number"]);
//! assert_eq!(Duration::from(pair.now()), Duration::from_millis(40));
//! ```
//!
//! The example `testing_a_protocol` does so for requests and responses with numbers and deadlines.
//!
//! Everything here panics where a test would: when it is told nonsense, or when what was expected does not come.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test tells by a panic what is wrong, and this is never part of a program"
)]

mod arbitrary;
mod ending;
mod head;
mod link;
mod pair;
mod peer;
pub mod reference;
pub mod strategies;
pub mod wire;

use std::{fmt, sync::Arc};

use bytes::Buf;

pub use self::{
    ending::Ending,
    head::Head,
    link::Link,
    pair::{End, Pair},
    peer::Peer,
    wire::Frame,
};
use crate::{Chunk, Config, Connection, Event, Message, ProtocolError, Role, Timestamp, excerpt::Beginning};

/// Both ends.
pub const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// The seed of a client whose keys do not matter: in a test they should be the same every time.
pub const SEED: [u8; 32] = [7; 32];

/// The end across the wire.
#[must_use]
pub const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// A connection that was opened at [`Timestamp::ZERO`]; a client's with [`SEED`].
#[must_use]
pub fn connect(role: Role, config: Arc<Config>) -> Connection {
    match role {
        Role::Client => Connection::client(config, SEED, Timestamp::ZERO),
        Role::Server => Connection::server(config, Timestamp::ZERO),
    }
}

/// What came out of giving bytes to a connection.
#[derive(Clone, PartialEq)]
pub struct Received {
    /// The events, in order.
    pub events: Vec<Event<'static>>,
    /// The rule that was broken, if one was.
    pub error: Option<ProtocolError>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = Beginning(&self.events);
        f.debug_struct("Received").field("events", &events).field("error", &self.error).finish()
    }
}

/// Gives all bytes at once.
pub fn receive(connection: &mut Connection, bytes: &[u8]) -> Received {
    receive_pieces(connection, bytes, &[usize::MAX])
}

/// Gives the bytes in pieces of these sizes, over and over.
///
/// # Panics
///
/// The connection asks for more input without having taken all.
pub fn receive_pieces(connection: &mut Connection, bytes: &[u8], sizes: &[usize]) -> Received {
    let mut events = Vec::new();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match connection.receive(&mut input) {
                Ok(Some(event)) => events.push(event.into_owned()),
                Ok(None) => break,
                Err(error) => return Received { events, error: Some(error) },
            }
        }
        assert!(input.is_empty(), "a connection that asks for more has taken all input");
    }
    Received { events, error: None }
}

/// Cuts bytes into pieces of these sizes, over and over; none is empty.
#[must_use]
pub fn pieces<'b>(bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
    let mut rest = bytes;
    let mut pieces = Vec::new();
    let mut sizes = sizes.iter().cycle();
    while !rest.is_empty() {
        let size = sizes.next().map_or(usize::MAX, |&size| size.max(1)).min(rest.len());
        let (piece, more) = rest.split_at(size);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

/// Puts the chunks of [`Delivery::Chunks`](crate::Delivery::Chunks) together to messages, each standing where its
/// last chunk did; a message without its end is left out.
///
/// # Panics
///
/// A chunk that is not the last is empty, or a message has chunks of two kinds.
#[must_use]
pub fn assembled(events: Vec<Event<'static>>) -> Vec<Event<'static>> {
    let mut assembled = Vec::new();
    let mut begun: Option<Message<'static>> = None;
    for event in events {
        let Event::Chunk(Chunk { payload, last }) = event else {
            assembled.push(event);
            continue;
        };
        assert!(last || !payload.is_empty(), "only the last chunk may be empty");
        let message = match (begun.take(), payload) {
            (None, payload) => payload,
            (Some(Message::Text(begun)), Message::Text(more)) => Message::from(begun.into_owned() + &more),
            (Some(Message::Binary(begun)), Message::Binary(more)) => {
                Message::from([begun.into_owned(), more.into_owned()].concat())
            }
            (Some(_), _) => panic!("chunks of two kinds in one message"),
        };
        if last {
            assembled.push(Event::Message(message));
        } else {
            begun = Some(message);
        }
    }
    assembled
}

/// Writes everything that waits.
pub fn written(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        bytes.extend_from_slice(&drained(&mut connection.transmit()));
    }
    bytes
}

/// Takes all bytes out of a buffer.
pub fn drained(buffer: &mut impl Buf) -> Vec<u8> {
    let mut bytes = vec![0; buffer.remaining()];
    buffer.copy_to_slice(&mut bytes);
    bytes
}
