//! Decoding: from received bytes to messages.

use std::hint::black_box;

use criterion::Criterion;
use ws_core::{Connection, Event, Role};

use crate::{
    peers,
    support::{Group, Shape, core_client, core_server, per_message},
};

pub(crate) fn server(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode-server");
    for shape in [
        Shape::binary("binary-20", 20, 64),
        Shape::ascii("text-20", 20, 64),
        Shape::binary("binary-125", 125, 64),
        Shape::ascii("text-125", 125, 64),
        Shape::binary("binary-16K", 16 << 10, 1),
        Shape::ascii("text-16K", 16 << 10, 1),
        Shape::mixed("text-16K-mixed", 16 << 10),
        Shape::binary("binary-1M", 1 << 20, 1),
        Shape::ascii("text-1M", 1 << 20, 1),
        Shape::mixed("text-1M-mixed", 1 << 20),
    ] {
        in_place(&mut group, &shape, "core", core_server(), shape.masked_for_reuse());
        #[cfg(feature = "deflate")]
        in_place(
            &mut group,
            &shape,
            "core-compressing",
            crate::support::compressing_server(),
            shape.masked_for_reuse(),
        );
        copied(&mut group, &shape, core_server(), &shape.to(Role::Server));
        copy_alone(&mut group, &shape, &shape.to(Role::Server));
        peers::decode(&mut group, &shape, Role::Server);
    }
}

pub(crate) fn client(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode-client");
    for shape in [
        Shape::binary("binary-20", 20, 64),
        Shape::ascii("text-125", 125, 64),
        Shape::binary("binary-16K", 16 << 10, 1),
        Shape::ascii("text-16K", 16 << 10, 1),
    ] {
        in_place(&mut group, &shape, "core", core_client(), shape.to(Role::Client));
        copied(&mut group, &shape, core_client(), &shape.to(Role::Client));
        peers::decode(&mut group, &shape, Role::Client);
    }
}

/// Decodes a buffer that a read has filled, and returns the number of messages.
#[inline]
fn decode(connection: &mut Connection, mut input: &mut [u8]) -> usize {
    let mut messages = 0;
    while let Some(event) = connection.receive(&mut input).unwrap() {
        if let Event::Message(message) = event {
            black_box(message.as_bytes());
            messages += 1;
        }
    }
    messages
}

/// Decodes the bytes that are already in the buffer.
fn in_place(
    group: &mut Group<'_>,
    shape: &Shape,
    subject: &str,
    mut connection: Connection,
    mut buffer: Vec<u8>,
) {
    per_message(group, shape.name, subject, shape.count, || {
        assert_eq!(decode(&mut connection, black_box(&mut buffer)), shape.count);
    });
}

/// Copies new bytes into the buffer before decoding, as a read does.
fn copied(group: &mut Group<'_>, shape: &Shape, mut connection: Connection, wire: &[u8]) {
    let mut buffer = vec![0; wire.len()];
    per_message(group, shape.name, "core-copied", shape.count, || {
        buffer.copy_from_slice(black_box(wire));
        assert_eq!(decode(&mut connection, &mut buffer), shape.count);
    });
}

/// Measures only that copy.
fn copy_alone(group: &mut Group<'_>, shape: &Shape, wire: &[u8]) {
    let mut buffer = vec![0; wire.len()];
    per_message(group, shape.name, "copy", shape.count, || {
        buffer.copy_from_slice(black_box(wire));
        black_box(&mut buffer);
    });
}
