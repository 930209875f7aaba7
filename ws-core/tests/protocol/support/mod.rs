//! What all tests share: frames made by hand, connections, virtual time.

pub(crate) mod http;
pub(crate) mod pair;
pub(crate) mod reference;
pub(crate) mod strategies;
pub(crate) mod wire;

use std::{sync::Arc, time::Duration};

use bytes::Buf;
use proptest::test_runner::Config as ProptestConfig;
use ws_core::{Config, Connection, Event, ProtocolError, Role, Timestamp};

use self::wire::Frame;

pub(crate) const ROLES: [Role; 2] = [Role::Client, Role::Server];

/// The seed of every client whose keys do not matter.
pub(crate) const SEED: [u8; 32] = [7; 32];

/// Settings of a property: how many cases, and no files of failed cases in the tree.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

/// A connection with the default configuration, opened at time zero.
pub(crate) fn open(role: Role) -> Connection {
    open_with(role, |_| {})
}

pub(crate) fn open_with(role: Role, change: impl FnOnce(&mut Config)) -> Connection {
    connect(role, &config(change))
}

pub(crate) fn connect(role: Role, config: &Arc<Config>) -> Connection {
    match role {
        Role::Client => Connection::client(config.clone(), SEED, Timestamp::ZERO),
        Role::Server => Connection::server(config.clone(), Timestamp::ZERO),
    }
}

pub(crate) fn other(role: Role) -> Role {
    match role {
        Role::Client => Role::Server,
        Role::Server => Role::Client,
    }
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The time so many milliseconds after the epoch.
pub(crate) fn at_millis(millis: u64) -> Timestamp {
    Timestamp::from(Duration::from_millis(millis))
}

pub(crate) fn at(secs: u64) -> Timestamp {
    at_millis(secs * 1000)
}

/// What came out of giving bytes to a connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Received {
    pub(crate) events: Vec<Event<'static>>,
    pub(crate) error: Option<ProtocolError>,
}

/// Gives all bytes at once.
pub(crate) fn receive(connection: &mut Connection, bytes: &[u8]) -> Received {
    receive_pieces(connection, bytes, &[usize::MAX])
}

/// Gives the bytes in pieces of these sizes, over and over.
pub(crate) fn receive_pieces(connection: &mut Connection, bytes: &[u8], sizes: &[usize]) -> Received {
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

/// The events of bytes that break no rule.
pub(crate) fn events(connection: &mut Connection, bytes: &[u8]) -> Vec<Event<'static>> {
    let received = receive(connection, bytes);
    assert_eq!(received.error, None);
    received.events
}

/// The events of these frames, which break no rule, sent by a peer of the fitting role.
pub(crate) fn hear(connection: &mut Connection, frames: &[Frame]) -> Vec<Event<'static>> {
    let bytes = wire::stream(connection.role(), frames);
    events(connection, &bytes)
}

/// The error that these frames cause.
pub(crate) fn error_of(connection: &mut Connection, frames: &[Frame]) -> Option<ProtocolError> {
    let bytes = wire::stream(connection.role(), frames);
    receive(connection, &bytes).error
}

pub(crate) fn pieces<'b>(bytes: &'b [u8], sizes: &[usize]) -> Vec<&'b [u8]> {
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

/// Writes everything that waits.
pub(crate) fn written(connection: &mut Connection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while connection.wants_write() {
        bytes.extend_from_slice(&drained(&mut connection.transmit()));
    }
    bytes
}

/// Takes all bytes out of a buffer.
pub(crate) fn drained(buffer: &mut impl Buf) -> Vec<u8> {
    let mut bytes = vec![0; buffer.remaining()];
    buffer.copy_to_slice(&mut bytes);
    bytes
}

/// Writes everything that waits, and shows it as frames without their keys.
pub(crate) fn sent(connection: &mut Connection) -> Vec<Frame> {
    let masked = connection.role() == Role::Client;
    let mut frames = wire::frames(&written(connection));
    for frame in &mut frames {
        assert_eq!(frame.key.take().is_some(), masked, "a client masks every frame, a server none");
    }
    frames
}

/// Asserts that whatever waits to be written is masked.
pub(crate) fn assert_masked(client: &mut Connection) {
    let frames = wire::frames(&written(client));
    assert!(!frames.is_empty() && frames.iter().all(|frame| frame.key.is_some()));
}

pub(crate) fn text(text: &str) -> Event<'static> {
    Event::Message(text.to_owned().into())
}

pub(crate) fn binary(bytes: &[u8]) -> Event<'static> {
    Event::Message(bytes.to_vec().into())
}

pub(crate) fn ping(payload: &[u8]) -> Event<'static> {
    Event::Ping(payload.to_vec().into())
}

pub(crate) fn pong(payload: &[u8]) -> Event<'static> {
    Event::Pong(payload.to_vec().into())
}
