//! Encoding, from messages to written bytes, and the whole echo from received to written bytes.

use std::hint::black_box;

use criterion::Criterion;
use ws_core::{Connection, Event, PreparedMessage, Role};

use crate::{
    peers,
    support::{Group, Shape, core_client, core_server, drain, per_message},
};

/// Number of messages between two readings of the clock.
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
        peers::encode(&mut group, &shape, Role::Server);
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
        peers::encode(&mut group, &shape, Role::Client);
    }
}

/// Writes each message before the next one is sent.
fn written_each(group: &mut Group<'_>, shape: &Shape, mut connection: Connection) {
    let message = shape.message();
    per_message(group, shape.name, "core", BATCH, || {
        for _ in 0..BATCH {
            connection.send(black_box(&message)).unwrap();
            drain(connection.transmit());
        }
    });
}

/// Writes all messages at once.
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

/// Sends back and writes each message before the next one is decoded.
pub(crate) fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo");
    for shape in [Shape::binary("binary-20", 20, 64), Shape::ascii("text-125", 125, 64)] {
        let mut connection = core_server();
        let wire = shape.to(Role::Server);
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

        peers::echo(&mut group, &shape, Role::Server);
    }
}
