//! `soketto`, with buffers around the stream as in its examples. It returns text as bytes, and its caller then checks
//! the UTF-8.

use std::{
    hint::black_box,
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::io::{AsyncRead, AsyncWrite, BufReader, BufWriter};
use soketto::{
    Data,
    connection::{Builder, Mode, Receiver, Sender},
};
use tokio::io::ReadBuf;
use ws_core::{Role, frame::Opcode};

use super::Peer;
use crate::support::{Shape, Wire, run};

type Stream = BufReader<BufWriter<FuturesWire>>;

pub(super) struct Soketto {
    sender: Sender<Stream>,
    receiver: Receiver<Stream>,
    message: Vec<u8>,
}

pub(super) enum Outgoing {
    Text(String),
    Binary(Vec<u8>),
}

impl Peer for Soketto {
    const NAME: &'static str = "soketto";

    type Message = Outgoing;

    fn new(role: Role, wire: Wire) -> Self {
        let mode = match role {
            Role::Client => Mode::Client,
            Role::Server => Mode::Server,
        };
        let stream = BufReader::new(BufWriter::new(FuturesWire(wire)));
        let (sender, receiver) = Builder::new(stream, mode).finish();
        Self { sender, receiver, message: Vec::new() }
    }

    fn message(shape: &Shape) -> Outgoing {
        match shape.opcode {
            Opcode::Text => Outgoing::Text(shape.text().to_owned()),
            _ => Outgoing::Binary(shape.payload.clone()),
        }
    }

    fn receive(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                self.message.clear();
                match self.receiver.receive_data(&mut self.message).await.unwrap() {
                    Data::Text(_) => _ = black_box(std::str::from_utf8(&self.message).unwrap()),
                    Data::Binary(_) => _ = black_box(&self.message),
                }
            }
        });
    }

    fn send(&mut self, message: &Outgoing, count: usize) {
        run(async {
            for _ in 0..count {
                match message {
                    Outgoing::Text(text) => self.sender.send_text(text).await.unwrap(),
                    Outgoing::Binary(bytes) => self.sender.send_binary(bytes).await.unwrap(),
                }
                self.sender.flush().await.unwrap();
            }
        });
    }

    fn echo(&mut self, count: usize) {
        run(async {
            for _ in 0..count {
                self.message.clear();
                match self.receiver.receive_data(&mut self.message).await.unwrap() {
                    Data::Text(_) => {
                        let text = std::str::from_utf8(&self.message).unwrap();
                        self.sender.send_text(text).await.unwrap();
                    }
                    Data::Binary(_) => self.sender.send_binary(&self.message).await.unwrap(),
                }
                self.sender.flush().await.unwrap();
            }
        });
    }
}

/// The in-memory stream with the traits of the `futures` crate.
struct FuturesWire(Wire);

impl AsyncRead for FuturesWire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(buffer);
        let wire = Pin::new(&mut self.get_mut().0);
        tokio::io::AsyncRead::poll_read(wire, context, &mut buffer).map_ok(|()| buffer.filled().len())
    }
}

impl AsyncWrite for FuturesWire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(buffer).len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
