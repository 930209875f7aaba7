//! `yawc`.

use std::hint::black_box;

use futures_util::SinkExt as _;
use ws_core::{Role, frame::Opcode};
use yawc::{Frame, Options, WebSocket};

use super::Peer;
use crate::support::{Shape, Wire, run};

pub(super) struct Yawc(WebSocket<Wire>);

impl Peer for Yawc {
    const NAME: &'static str = "yawc";

    type Message = Frame;

    fn new(role: Role, wire: Wire) -> Self {
        let role = match role {
            Role::Client => yawc::Role::Client,
            Role::Server => yawc::Role::Server,
        };
        // The defaults limit messages to less than 1 MiB and do not validate text.
        let options = Options::default().with_limits(64 << 20, 64 << 20).with_utf8();
        Self(WebSocket::from_stream(wire, role, options).unwrap())
    }

    fn message(shape: &Shape) -> Frame {
        match shape.opcode {
            Opcode::Text => Frame::text(shape.text().to_owned()),
            _ => Frame::binary(shape.payload.clone()),
        }
    }

    fn receive(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                black_box(self.0.next_frame().await.unwrap());
            }
        });
    }

    fn send(&mut self, message: &Frame, count: usize) {
        run(async {
            for _ in 0..count {
                self.0.send(message.clone()).await.unwrap();
            }
        });
    }

    fn echo(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                let frame = self.0.next_frame().await.unwrap();
                self.0.send(frame).await.unwrap();
            }
        });
    }
}
