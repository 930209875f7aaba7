//! `fastwebsockets` without its fragment collector, which these messages do not need.

use std::hint::black_box;

use fastwebsockets::{Frame, OpCode, Payload, WebSocket};
use ws_core::{Role, frame::Opcode};

use super::Peer;
use crate::support::{Shape, Wire, run};

pub(super) struct FastWebSockets(WebSocket<Wire>);

impl Peer for FastWebSockets {
    const NAME: &'static str = "fastwebsockets";

    type Message = (OpCode, Vec<u8>);

    fn new(role: Role, wire: Wire) -> Self {
        let role = match role {
            Role::Client => fastwebsockets::Role::Client,
            Role::Server => fastwebsockets::Role::Server,
        };
        Self(WebSocket::after_handshake(wire, role))
    }

    fn message(shape: &Shape) -> Self::Message {
        let opcode = match shape.opcode {
            Opcode::Text => OpCode::Text,
            _ => OpCode::Binary,
        };
        (opcode, shape.payload.clone())
    }

    fn receive(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                black_box(&*self.0.read_frame().await.unwrap().payload);
            }
        });
    }

    fn send(&mut self, (opcode, payload): &Self::Message, count: usize) {
        run(async {
            for _ in 0..count {
                let frame = Frame::new(true, *opcode, None, Payload::Borrowed(payload));
                self.0.write_frame(frame).await.unwrap();
            }
        });
    }

    fn echo(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                let received = self.0.read_frame().await.unwrap();
                let frame = Frame::new(true, received.opcode, None, received.payload);
                self.0.write_frame(frame).await.unwrap();
            }
        });
    }
}
