//! permessage-deflate (RFC 7692): negotiation, round trips, hostile input, memory.

mod cuts;
mod hostile;
mod negotiation;
mod pool;
mod round_trip;
mod sent_frames;
mod turns;

use std::sync::Arc;

use ws_core::{
    Config, Connection, Deflate, Event, HandshakeConfig, HandshakeError, OriginPolicy, ProtocolError,
    Timestamp, client,
    frame::{Header, Opcode, apply_mask},
    server,
    testing::drained as drain,
};

/// Creates a configuration with compression, and applies a change to it.
fn compressing(change: impl FnOnce(&mut Config, &mut Deflate)) -> Arc<Config> {
    let mut config = Config::default();
    let mut deflate = Deflate::default();
    deflate.threshold = 0;
    change(&mut config, &mut deflate);
    config.deflate = Some(deflate);
    Arc::new(config)
}

/// Returns both ends after their opening handshake, and the value of `Sec-WebSocket-Extensions` in the response.
fn open(
    client: &Arc<Config>,
    server: &Arc<Config>,
) -> Result<(Connection, Connection, Option<String>), HandshakeError> {
    let now = Timestamp::ZERO;
    let request = client::Request::new("ws://host/".parse().unwrap());
    let mut handshake =
        client::Handshake::new(&request, &HandshakeConfig::default(), client.clone(), [7; 32], now)?;
    let mut bytes = drain(&mut handshake.transmit());
    let mut accepting = server::Handshake::new(&HandshakeConfig::default(), now);
    let request = accepting.receive(&mut &mut bytes[..])?.unwrap();
    let upgrade = request.upgrade(&OriginPolicy::default())?;
    let mut accepted = upgrade.accept(&server::Accept::new(), server.clone(), now)?;
    let mut bytes = drain(&mut accepted.transmit());
    let (connected, response) = handshake.receive(&mut &mut bytes[..])?.unwrap();
    let extension = response.header_value("Sec-WebSocket-Extensions").map(str::to_owned);
    Ok((connected, accepted, extension))
}

/// Returns the server's end of a connection with a client that made this offer.
fn server_for_offer(offer: &str, config: &Arc<Config>) -> (Connection, Option<String>) {
    let mut request = format!(
        "GET / HTTP/1.1\r\nHost: host\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Extensions: {offer}\r\n\r\n"
    )
    .into_bytes();
    let mut handshake = server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut &mut request[..]).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    let mut connection = upgrade.accept(&server::Accept::new(), config.clone(), Timestamp::ZERO).unwrap();
    let head = String::from_utf8(drain(&mut connection.transmit())).unwrap();
    let response = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    (connection, response.map(str::to_owned))
}

/// Returns all events in these bytes, passed in pieces of this size.
fn receive(
    connection: &mut Connection,
    bytes: &[u8],
    piece: usize,
) -> Result<Vec<Event<'static>>, ProtocolError> {
    let mut events = Vec::new();
    let mut bytes = bytes.to_vec();
    for piece in bytes.chunks_mut(piece) {
        let mut input = piece;
        loop {
            match connection.receive(&mut input)? {
                Some(event) => events.push(event.into_owned()),
                None if connection.wants_receive() => {}
                None => break,
            }
        }
    }
    Ok(events)
}

/// Returns a masked frame from a client, with this RSV1 bit.
fn masked(opcode: Opcode, fin: bool, rsv1: bool, payload: &[u8]) -> Vec<u8> {
    let key = [0x37, 0xfa, 0x21, 0x3d];
    let header = Header { fin, rsv1, masking_key: Some(key), ..Header::new(opcode, payload.len() as u64) };
    let mut payload = payload.to_vec();
    apply_mask(&mut payload, key);
    [&header.encode()[..], &payload].concat()
}
