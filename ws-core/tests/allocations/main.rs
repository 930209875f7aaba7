//! Memory of connections: none per message, little when idle, and never in proportion to a size that a peer only
//! announces. The allocator counts for each thread separately, so that tests do not disturb each other.

mod hostile;
mod idle;
mod steady;

use std::sync::Arc;

use allocation_counter::AllocationInfo;
use bytes::Buf;
use ws_core::{
    Config, Connection, Event, Role, Timestamp,
    frame::{Header, Opcode, apply_mask},
};

const ROLES: [Role; 2] = [Role::Client, Role::Server];
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

fn config(change: impl FnOnce(&mut Config)) -> Arc<Config> {
    let mut config = Config::default();
    change(&mut config);
    Arc::new(config)
}

fn connect(role: Role, config: &Arc<Config>) -> Connection {
    match role {
        Role::Client => Connection::client(config.clone(), [7; 32], Timestamp::ZERO),
        Role::Server => Connection::server(config.clone(), Timestamp::ZERO),
    }
}

/// Returns a header to an endpoint of this role.
fn header(receiver: Role, opcode: Opcode, fin: bool, len: u64) -> Vec<u8> {
    let masking_key = (receiver == Role::Server).then_some(KEY);
    Header { fin, masking_key, ..Header::new(opcode, len) }.encode().to_vec()
}

fn frame(receiver: Role, opcode: Opcode, fin: bool, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(receiver, opcode, fin, payload.len() as u64);
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if receiver == Role::Server {
        apply_mask(&mut bytes[start..], KEY);
    }
    bytes
}

/// Passes all of `bytes` to the connection, unmasks them in place, and sends back each message. Allocates nothing by
/// itself, and returns the number of messages.
fn echo(connection: &mut Connection, mut bytes: &mut [u8]) -> usize {
    let mut count = 0;
    while let Some(event) = connection.receive(&mut bytes).unwrap() {
        if let Event::Message(message) = event {
            connection.send(message).unwrap();
            count += 1;
        }
    }
    count
}

/// Takes and drops all output.
fn write(connection: &mut Connection) {
    let mut buffer = connection.transmit();
    while buffer.has_remaining() {
        let len = buffer.chunk().len();
        buffer.advance(len);
    }
}

/// Returns the number of bytes that are still allocated.
fn kept(info: AllocationInfo) -> usize {
    usize::try_from(info.bytes_current).unwrap_or(0)
}
