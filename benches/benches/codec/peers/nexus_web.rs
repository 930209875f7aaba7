//! The reader and the writer of `nexus-web`, without sockets.

use std::hint::black_box;

use nexus_web::ws::{FrameReader, FrameWriter, Message, pair_with};
use ws_core::{Role, frame::Opcode};

use super::Peer;
use crate::support::{Shape, Wire};

pub(super) struct NexusWeb {
    wire: Wire,
    reader: FrameReader,
    writer: FrameWriter,
    output: Vec<u8>,
}

impl Peer for NexusWeb {
    const NAME: &'static str = "nexus-web";

    type Message = (Opcode, Vec<u8>);

    fn new(role: Role, wire: Wire) -> Self {
        let role = match role {
            Role::Client => nexus_web::ws::Role::Client,
            Role::Server => nexus_web::ws::Role::Server,
        };
        // The buffer holds the bytes of one read, as in `core-copied`. A frame that arrives in several reads is
        // copied once more, and version 0.8 returns its text as `&str` without a UTF-8 check.
        let reader = FrameReader::builder().buffer_capacity(wire.len().max(1));
        let (reader, writer) = pair_with(role, reader);
        Self { wire, reader, writer, output: vec![0; 2 << 20] }
    }

    fn message(shape: &Shape) -> Self::Message {
        (shape.opcode, shape.payload.clone())
    }

    fn receive(&mut self, count: usize) {
        for _ in 0..count {
            while !self.reader.poll().unwrap() {
                self.reader.read_from(&mut self.wire).unwrap();
            }
            black_box(self.reader.next().unwrap());
        }
    }

    fn send(&mut self, (opcode, payload): &Self::Message, count: usize) {
        for _ in 0..count {
            let len = match opcode {
                Opcode::Text => self.writer.encode_text(payload, &mut self.output),
                _ => self.writer.encode_binary(payload, &mut self.output),
            };
            black_box(&self.output[..len]);
        }
    }

    fn echo(&mut self, count: usize) {
        for _ in 0..count {
            while !self.reader.poll().unwrap() {
                self.reader.read_from(&mut self.wire).unwrap();
            }
            let len = match self.reader.next().unwrap().unwrap() {
                Message::Text(text) => self.writer.encode_text(text.as_bytes(), &mut self.output),
                Message::Binary(bytes) => self.writer.encode_binary(bytes, &mut self.output),
                _ => unreachable!("no other message was sent"),
            };
            black_box(&self.output[..len]);
        }
    }
}
