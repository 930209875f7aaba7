//! From messages to bytes that are written, and all the way from the one to the other.

use std::hint::black_box;

use criterion::Criterion;
use ws_core::{Connection, Event, PreparedMessage};

use crate::support::{Group, Shape, Wire, core_client, core_server, drain, per_message, run};

/// How many messages are sent between two looks at the clock.
const BATCH: usize = 64;

pub(crate) fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode-server");
    for shape in [
        Shape::binary("binary-20", 20, BATCH),
        Shape::ascii("text-125", 125, BATCH),
        Shape::binary("binary-16K", 16 << 10, BATCH),
    ] {
        written_each(&mut group, &shape, core_server());
        if shape.payload.len() < 1024 {
            written_together(&mut group, &shape, core_server());
        }
        prepared(&mut group, &shape, core_server());
        tungstenite(&mut group, &shape, tungstenite::protocol::Role::Server);
        fastwebsockets(&mut group, &shape, fastwebsockets::Role::Server);
    }
}

pub(crate) fn client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode-client");
    for shape in [
        Shape::binary("binary-20", 20, BATCH),
        Shape::ascii("text-125", 125, BATCH),
        Shape::binary("binary-16K", 16 << 10, BATCH),
    ] {
        written_each(&mut group, &shape, core_client());
        if shape.payload.len() < 1024 {
            written_together(&mut group, &shape, core_client());
        }
        prepared(&mut group, &shape, core_client());
        tungstenite(&mut group, &shape, tungstenite::protocol::Role::Client);
        fastwebsockets(&mut group, &shape, fastwebsockets::Role::Client);
    }
}

/// Each message is written before the next one is sent.
fn written_each(group: &mut Group<'_>, shape: &Shape, mut connection: Connection) {
    let message = shape.message();
    per_message(group, shape.name, "core", BATCH, || {
        for _ in 0..BATCH {
            connection.send(black_box(&message)).unwrap();
            drain(connection.transmit());
        }
    });
}

/// All messages are written at once.
fn written_together(group: &mut Group<'_>, shape: &Shape, mut connection: Connection) {
    let message = shape.message();
    per_message(group, shape.name, "core-together", BATCH, || {
        for _ in 0..BATCH {
            connection.send(black_box(&message)).unwrap();
        }
        drain(connection.transmit());
    });
}

fn prepared(group: &mut Group<'_>, shape: &Shape, mut connection: Connection) {
    let message = PreparedMessage::new(shape.message());
    per_message(group, shape.name, "core-prepared", BATCH, || {
        for _ in 0..BATCH {
            connection.send_prepared(black_box(&message)).unwrap();
            drain(connection.transmit());
        }
    });
}

fn tungstenite(group: &mut Group<'_>, shape: &Shape, role: tungstenite::protocol::Role) {
    let message = shape.tungstenite();
    let mut socket = tungstenite::WebSocket::from_raw_socket(Wire::new(Vec::new()), role, None);
    per_message(group, shape.name, "tungstenite", BATCH, || {
        for _ in 0..BATCH {
            socket.send(black_box(&message).clone()).unwrap();
        }
    });
}

fn fastwebsockets(group: &mut Group<'_>, shape: &Shape, role: fastwebsockets::Role) {
    let mut socket = fastwebsockets::WebSocket::after_handshake(Wire::new(Vec::new()), role);
    per_message(group, shape.name, "fastwebsockets", BATCH, || {
        run(async {
            for _ in 0..BATCH {
                socket.write_frame(black_box(shape).fastwebsockets()).await.unwrap();
            }
        });
    });
}

/// Each message is sent back and written before the next one is looked at.
pub(crate) fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for shape in [Shape::binary("binary-20", 20, 64), Shape::ascii("text-125", 125, 64)] {
        let mut connection = core_server();
        let wire = shape.masked();
        let mut buffer = vec![0; wire.len()];
        per_message(&mut group, shape.name, "core-copied", shape.count, || {
            buffer.copy_from_slice(black_box(&wire));
            let mut input = &mut buffer[..];
            while let Some(event) = connection.receive(&mut input).unwrap() {
                let Event::Message(message) = event else { unreachable!("no other event was sent") };
                connection.send(message).unwrap();
                drain(connection.transmit());
            }
        });

        let role = tungstenite::protocol::Role::Server;
        let mut socket = tungstenite::WebSocket::from_raw_socket(Wire::new(shape.masked()), role, None);
        per_message(&mut group, shape.name, "tungstenite", shape.count, || {
            for _ in 0..shape.count {
                let message = socket.read().unwrap();
                socket.send(message).unwrap();
            }
        });

        let role = fastwebsockets::Role::Server;
        let mut socket = fastwebsockets::WebSocket::after_handshake(Wire::new(shape.masked()), role);
        per_message(&mut group, shape.name, "fastwebsockets", shape.count, || {
            run(async {
                for _ in 0..shape.count {
                    let received = socket.read_frame().await.unwrap();
                    let frame = fastwebsockets::Frame::new(true, received.opcode, None, received.payload);
                    socket.write_frame(frame).await.unwrap();
                }
            });
        });
    }
}
