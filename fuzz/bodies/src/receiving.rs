use std::sync::Arc;

use ws_core::{
    CloseInfo, Config, Connection, Event, ProtocolError, Role,
    testing::{self, Frame, assembled, receive_pieces, reference, wire},
};

use crate::settings::{self, split_first};

/// Checks that a server decodes any input of a client like the reference decoder.
pub fn receive_server(data: &[u8]) {
    receive(Role::Server, data);
}

/// Checks that a client decodes any input of a server like the reference decoder.
pub fn receive_client(data: &[u8]) {
    receive(Role::Client, data);
}

fn receive(role: Role, data: &[u8]) {
    let (byte, stream) = split_first(data);
    let config = Arc::new(settings::config(byte));
    let (events, code) = reference::decode(stream, role, &config);

    let mut connection = testing::connect(role, config.clone());
    let received = testing::receive(&mut connection, stream);
    assert_eq!(assembled(received.events), events);
    assert_eq!(received.error.map(|error| error.close_code().get()), code);
    stays(&mut connection, received.error);
    answers(&mut connection, &events, code);
    costs(role, config, stream);
}

/// Checks that a failed connection stays failed on any further input.
fn stays(connection: &mut Connection, error: Option<ProtocolError>) {
    if let Some(error) = error {
        let close_info = connection.close_info();
        for more in [&b"\x81\x00"[..], &b"\x88\x80\0\0\0\0"[..], &[0xFF; 20]] {
            assert_eq!(connection.receive(&mut &mut more.to_vec()[..]), Err(error));
        }
        assert_eq!(connection.close_info(), close_info);
    }
}

/// Checks the replies: pongs come in order, for all pings while little output waits and otherwise at least for the
/// latest ping. Then one Close follows if it must, and nothing else.
fn answers(connection: &mut Connection, events: &[Event<'_>], code: Option<u16>) {
    assert!(connection.buffered() <= 4096 + 3 * (2 + 4 + 125), "a flood of pings costs memory");
    let written = testing::written(connection);
    let mut output = wire::frames(&written).unwrap();
    assert!(output.iter().all(|frame| frame.key.is_some() == (connection.role() == Role::Client)));
    output.iter_mut().for_each(|frame| frame.key = None);

    let close = match (code, events.last()) {
        (Some(code), _) => Some(Some(code)),
        (None, Some(Event::Close(frame))) => Some(frame.as_ref().map(|frame| frame.code.get())),
        _ => None,
    };
    if let Some(code) = close {
        let frame = output.pop().expect("a Close");
        assert_eq!(frame.opcode, wire::CLOSE);
        assert_eq!(frame.payload.get(..2), code.map(u16::to_be_bytes).as_ref().map(|code| &code[..]));
    }
    let pings: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Ping(payload) => Some(Frame::pong(payload.to_vec())),
            _ => None,
        })
        .collect();
    assert_eq!(output.last(), pings.last(), "the latest ping is answered");
    let first = output.len().saturating_sub(1);
    assert_eq!(output[..first], pings[..first], "the first pings are answered");
    assert!(output.len() == pings.len() || written.len() >= 4096, "all are, where there are few");
}

/// Checks that memory and the number of allocations are bounded by the received bytes.
fn costs(role: Role, config: Arc<Config>, stream: &[u8]) {
    let mut bytes = stream.to_vec();
    let costs = allocation_counter::measure(|| {
        let mut connection = testing::connect(role, config);
        let mut input = &mut bytes[..];
        while connection.receive(&mut input).is_ok_and(|event| event.is_some() || connection.wants_receive())
        {
        }
    });
    let len = stream.len() as u64;
    // A growing block exists twice for a moment.
    assert!(costs.bytes_max <= 4 * len + 20_000, "{} bytes for {len}", costs.bytes_max);
    assert!(costs.count_total <= 2 * len + 40, "{} allocations for {len} bytes", costs.count_total);
}

/// Checks that the division of the bytes into reads has no effect, with and without compression.
pub fn split(data: &[u8]) {
    let (byte, rest) = split_first(data);
    let role = if byte & 64 == 0 { Role::Server } else { Role::Client };
    let (sizes, stream) = settings::sizes(rest);
    let seen = |sizes: &[usize]| seen(role, byte, stream, sizes);
    let whole = seen(&[usize::MAX]);
    assert_eq!(seen(&sizes), whole, "cut into {sizes:?}");
    assert_eq!(seen(&[1]), whole, "cut into single bytes");
}

/// All observable results of a connection.
type Seen = (Vec<Event<'static>>, Option<ProtocolError>, Option<CloseInfo>, Vec<u8>);

fn seen(role: Role, byte: u8, stream: &[u8], sizes: &[usize]) -> Seen {
    let config = settings::config(byte);
    let mut connection = if byte & 128 == 0 {
        testing::connect(role, Arc::new(config))
    } else {
        settings::compressed(role, settings::compressing(config, |_| {}))
    };
    let received = receive_pieces(&mut connection, stream, sizes);
    (assembled(received.events), received.error, connection.close_info(), testing::written(&mut connection))
}
