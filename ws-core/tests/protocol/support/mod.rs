//! Shared code of all tests: hand-written frames, connections, virtual time.

pub(crate) mod http;

use std::{sync::Arc, time::Duration};

use bytes::Buf as _;
use proptest::test_runner::Config as ProptestConfig;
pub(crate) use ws_core::testing::{
    Pair, ROLES, SEED, assembled, drained, other, pieces, receive, receive_pieces, reference, strategies,
    wire, written,
};
use ws_core::{
    Cause, CloseCode, CloseFrame, Config, Connection, Event, HandshakeConfig, ProtocolError, Role, Timestamp,
    testing,
};

use self::wire::Frame;

/// Returns the settings of a property: the number of cases, and no files of failed cases in the tree.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(count) }
}

pub(crate) fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

pub(crate) fn limits(change: impl FnOnce(&mut HandshakeConfig)) -> HandshakeConfig {
    let mut limits = HandshakeConfig::default();
    change(&mut limits);
    limits
}

/// Returns a connection with the default configuration, opened at time zero.
pub(crate) fn open(role: Role) -> Connection {
    open_with(role, |_| {})
}

pub(crate) fn open_with(role: Role, change: impl FnOnce(&mut Config)) -> Connection {
    connect(role, &config(change))
}

pub(crate) fn connect(role: Role, config: &Arc<Config>) -> Connection {
    testing::connect(role, config.clone())
}

/// Returns a connection without keepalive, opened at time zero.
pub(crate) fn quiet(role: Role) -> Connection {
    open_with(role, |config| config.keepalive = None)
}

/// Writes up to `count` bytes, limited by the queued output.
pub(crate) fn write(connection: &mut Connection, count: usize) {
    let mut output = connection.transmit();
    let count = count.min(output.remaining());
    output.advance(count);
}

/// Returns the cause of the end, if the connection has ended.
pub(crate) fn cause(connection: &Connection) -> Option<Cause> {
    connection.close_info().map(|close_info| close_info.cause)
}

pub(crate) const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Returns the time this number of milliseconds after the epoch.
pub(crate) fn at_millis(millis: u64) -> Timestamp {
    Timestamp::from(Duration::from_millis(millis))
}

pub(crate) fn at(secs: u64) -> Timestamp {
    at_millis(secs * 1000)
}

/// Returns the events of valid bytes.
pub(crate) fn events(connection: &mut Connection, bytes: &[u8]) -> Vec<Event<'static>> {
    let received = receive(connection, bytes);
    assert_eq!(received.error, None);
    received.events
}

/// Returns the events of these valid frames, sent by a peer of the matching role.
pub(crate) fn hear(connection: &mut Connection, frames: &[Frame]) -> Vec<Event<'static>> {
    let bytes = wire::stream(connection.role(), frames);
    events(connection, &bytes)
}

/// Returns the error that these frames cause.
pub(crate) fn error_of(connection: &mut Connection, frames: &[Frame]) -> Option<ProtocolError> {
    let bytes = wire::stream(connection.role(), frames);
    receive(connection, &bytes).error
}

/// Writes all waiting output, and returns it as frames without their keys.
pub(crate) fn sent(connection: &mut Connection) -> Vec<Frame> {
    let masked = connection.role() == Role::Client;
    let mut frames = wire::frames(&written(connection)).unwrap();
    for frame in &mut frames {
        assert_eq!(frame.key.take().is_some(), masked, "a client masks every frame, a server none");
    }
    frames
}

/// Returns the frames up to the first Close, and those after it.
pub(crate) fn split_at_close(frames: &[Frame]) -> (&[Frame], &[Frame]) {
    let close = frames.iter().position(|frame| frame.opcode == wire::CLOSE);
    frames.split_at(close.map_or(frames.len(), |place| place + 1))
}

/// Asserts that all waiting output is masked.
pub(crate) fn assert_masked(client: &mut Connection) {
    let frames = wire::frames(&written(client)).unwrap();
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

pub(crate) fn closed(code: u16, reason: &str) -> Event<'static> {
    Event::Close(Some(CloseFrame { code: CloseCode::new(code), reason: reason.to_owned().into() }))
}
