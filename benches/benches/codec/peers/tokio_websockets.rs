//! `tokio-websockets`.

use std::hint::black_box;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio_websockets::{ClientBuilder, Message, ServerBuilder, WebSocketStream};
use ws_core::{Role, frame::Opcode};

use super::Peer;
use crate::support::{Shape, Wire, run};

pub(super) struct TokioWebSockets(WebSocketStream<Wire>);

impl Peer for TokioWebSockets {
    const NAME: &'static str = "tokio-websockets";

    type Message = Message;

    fn new(role: Role, wire: Wire) -> Self {
        Self(match role {
            Role::Client => ClientBuilder::new().take_over(wire),
            Role::Server => ServerBuilder::new().serve(wire),
        })
    }

    fn message(shape: &Shape) -> Message {
        match shape.opcode {
            Opcode::Text => Message::text(shape.text().to_owned()),
            _ => Message::binary(shape.payload.clone()),
        }
    }

    fn receive(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                black_box(self.0.next().await.unwrap().unwrap());
            }
        });
    }

    fn send(&mut self, message: &Message, count: usize) {
        run(async {
            for _ in 0..count {
                self.0.send(message.clone()).await.unwrap();
            }
        });
    }

    fn echo(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                let message = self.0.next().await.unwrap().unwrap();
                self.0.send(message).await.unwrap();
            }
        });
    }
}
