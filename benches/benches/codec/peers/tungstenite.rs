//! `tungstenite`.

use std::hint::black_box;

use tungstenite::{Message, WebSocket, protocol};
use ws_core::{Role, frame::Opcode};

use super::Peer;
use crate::support::{Shape, Wire};

pub(super) struct Tungstenite(WebSocket<Wire>);

impl Peer for Tungstenite {
    const NAME: &'static str = "tungstenite";

    type Message = Message;

    fn new(role: Role, wire: Wire) -> Self {
        let role = match role {
            Role::Client => protocol::Role::Client,
            Role::Server => protocol::Role::Server,
        };
        Self(WebSocket::from_raw_socket(wire, role, None))
    }

    fn message(shape: &Shape) -> Message {
        match shape.opcode {
            Opcode::Text => Message::text(shape.text()),
            _ => Message::binary(shape.payload.clone()),
        }
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..count {
            black_box(self.0.read().unwrap());
        }
    }

    fn send(&mut self, message: &Message, count: usize) {
        for _ in 0..count {
            self.0.send(message.clone()).unwrap();
        }
    }

    fn echo(&mut self, count: usize) {
        for _ in 0..count {
            let message = self.0.read().unwrap();
            self.0.send(message).unwrap();
        }
    }
}
