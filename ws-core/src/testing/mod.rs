//! A test kit for protocols on top of this crate, without sockets, threads or real waiting time.
//!
//! - A [`Pair`] connects a client and a server by a simulated network. You control the delay of bytes, the boundaries
//!   at which they are split, and the loss of the connection. Its clock is virtual.
//! - A [`Peer`] plays the other end of one connection by hand. It sends frames that a correct peer never sends, and
//!   checks the frames that it receives.
//! - An [`Opening`] is an opening handshake over such a network, with faults.
//! - A [`Transcript`] shows the frames of both directions with their times. A test that fails prints it.
//! - With the feature `proptest`, the module `strategies` creates frames, messages, heads of handshakes, whole streams
//!   and ways to close. With the feature `arbitrary`, the same types implement `Arbitrary` for fuzzers.
//! - [`wire`] and [`reference`](mod@reference) are an independent implementation of RFC 6455, which shares no code
//!   with the core.
//!
//! To test your own protocol, request events from a pair until no more bytes are in transit:
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use ws_core::{Config, Event, Message, Role, testing::Pair};
//!
//! /// The server's side of the protocol: it adds the numbers that it receives.
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
//! A protocol with deadlines of its own uses [`Pair::next_event_before`], which does not advance the clock beyond them.
//!
//! The example `testing_a_protocol` does this for requests and responses with numbers and deadlines.
//!
//! The functions of this module panic when a test would fail: for invalid arguments, or when the expected input does
//! not arrive.

#![allow(
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::panic,
    clippy::arithmetic_side_effects,
    clippy::std_instead_of_core,
    clippy::std_instead_of_alloc,
    reason = "a test reports a failure by a panic, and this module is never part of a program"
)]

#[cfg(feature = "arbitrary")]
mod arbitrary;
mod end;
mod ending;
mod head;
mod link;
mod opening;
mod pair;
mod peer;
pub mod reference;
#[cfg(feature = "proptest")]
pub mod strategies;
mod transcript;
pub mod wire;

use std::{fmt, sync::Arc};

use bytes::Buf;

pub use self::{
    end::End,
    ending::Ending,
    head::Head,
    link::Link,
    opening::{Opening, OpeningFailure},
    pair::Pair,
    peer::Peer,
    transcript::Transcript,
    wire::Frame,
};
use crate::{Chunk, Config, Connection, Event, Message, ProtocolError, Role, Timestamp, excerpt::Beginning};

/// Both ends.
pub const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// The seed for clients in tests. It is fixed, so that tests are reproducible.
pub const SEED: [u8; 32] = [7; 32];

/// Returns the role of the other end.
#[must_use]
pub const fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

/// Creates a connection that was opened at [`Timestamp::ZERO`]. A client uses [`SEED`].
#[must_use]
pub fn connect(role: Role, config: Arc<Config>) -> Connection {
    connect_at(role, config, Timestamp::ZERO)
}

/// Creates a connection that was opened at `now`. A client uses [`SEED`].
#[must_use]
pub fn connect_at(role: Role, config: Arc<Config>, now: Timestamp) -> Connection {
    match role {
        Role::Client => Connection::client(config, SEED, now),
        Role::Server => Connection::server(config, now),
    }
}

/// The result of passing bytes to a connection.
#[derive(Clone, PartialEq)]
pub struct Received {
    /// The events, in order.
    pub events: Vec<Event<'static>>,
    /// The protocol error, if there was one.
    pub error: Option<ProtocolError>,
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = Beginning(&self.events);
        f.debug_struct("Received").field("events", &events).field("error", &self.error).finish()
    }
}

/// Passes all bytes to the connection at once.
pub fn receive(connection: &mut Connection, bytes: &[u8]) -> Received {
    receive_pieces(connection, bytes, &[usize::MAX])
}

/// Passes the bytes to the connection in pieces of these sizes, used in a cycle.
///
/// # Panics
///
/// Panics if the connection asks for more input before it has taken all bytes.
pub fn receive_pieces(connection: &mut Connection, bytes: &[u8], sizes: &[usize]) -> Received {
    let mut events = Vec::new();
    for piece in pieces(bytes, sizes) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match connection.receive(&mut input) {
                Ok(Some(event)) => events.push(event.into_owned()),
                Ok(None) if connection.wants_receive() => {}
                Ok(None) => break,
                Err(error) => return Received { events, error: Some(error) },
            }
        }
        assert!(input.is_empty(), "a connection that asks for more has taken all input");
    }
    Received { events, error: None }
}

/// Splits bytes into non-empty pieces of these sizes, used in a cycle.
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

/// Assembles the chunks of [`Delivery::Chunks`](crate::Delivery::Chunks) into messages. Each message takes the
/// position of its last chunk. An incomplete message is omitted.
///
/// # Panics
///
/// Panics if a chunk that is not the last one is empty, or if a message has chunks of two kinds.
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

/// Writes and returns all waiting output.
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
