//! Cost of a message without a network: each part of the protocol core beside the same work by other libraries. The
//! README of this package explains the lines.

mod decode;
mod encode;
mod handshake;
mod kernels;
mod peers;
mod support;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

fn settings() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(800))
        .nresamples(5_000)
}

criterion_group! {
    name = codec;
    config = settings();
    targets = decode::server, decode::client, encode::server, encode::client, encode::echo, kernels::mask,
        kernels::utf8, handshake::server, handshake::client
}
criterion_main!(codec);
