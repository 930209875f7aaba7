//! permessage-deflate through a connection beside its codec alone: 16 KiB of JSON-like text.

use std::{hint::black_box, sync::Arc};

use bytes::Buf;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use ws_core::{
    Config, Connection, Deflate, Event, Timestamp, client,
    server::{Accept, Handshake},
};

fn benches(criterion: &mut Criterion) {
    let text = json();
    for takeover in [false, true] {
        let mut group = criterion.benchmark_group(if takeover { "context-kept" } else { "no-context" });
        group.throughput(Throughput::Bytes(text.len() as u64));
        group.bench_function("compress/connection", |bencher| {
            let (_, mut server) = open(takeover);
            bencher.iter(|| {
                server.send(black_box(text.as_str())).unwrap();
                let mut output = server.transmit();
                let len = output.remaining();
                output.advance(len);
            });
        });
        group.bench_function("compress/codec", |bencher| {
            let mut codec = Compress::new(Compression::new(6), false);
            let mut out = Vec::with_capacity(text.len());
            bencher.iter(|| {
                out.clear();
                codec.compress_vec(black_box(text.as_bytes()), &mut out, FlushCompress::Sync).unwrap();
                if !takeover {
                    codec.reset();
                }
                out.len()
            });
        });
        if takeover {
            // Inflating the same bytes again is possible only where each message stands alone.
            continue;
        }
        let (mut client, mut server) = open(takeover);
        server.send(text.as_str()).unwrap();
        let mut output = server.transmit();
        let frame = output.copy_to_bytes(output.remaining());
        group.bench_function("inflate/connection", |bencher| {
            let mut bytes = frame.to_vec();
            bencher.iter(|| {
                let mut input = &mut bytes[..];
                let Ok(Some(Event::Message(message))) = client.receive(&mut input) else {
                    panic!("no message")
                };
                assert_eq!(message.len(), text.len());
            });
        });
        group.bench_function("inflate/codec", |bencher| {
            let mut codec = Decompress::new(false);
            let payload = [&frame[4..], &[0, 0, 0xFF, 0xFF]].concat();
            bencher.iter(|| {
                let mut out = Vec::with_capacity(text.len() + 1);
                codec.decompress_vec(black_box(&payload), &mut out, FlushDecompress::Sync).unwrap();
                codec.reset(false);
                assert_eq!(String::from_utf8(out).unwrap().len(), text.len());
            });
        });
    }
}

fn json() -> String {
    let mut text = String::from("[");
    for id in 0_u32.. {
        if text.len() > 16_300 {
            break;
        }
        let noise = id.wrapping_mul(2_654_435_761);
        text.push_str(&format!(
            "{{\"id\":{id},\"name\":\"user-{noise:08x}\",\"active\":{},\"score\":{}.{}}},",
            noise % 2 == 0,
            noise % 1000,
            noise % 97
        ));
    }
    text + "{}]"
}

fn open(takeover: bool) -> (Connection, Connection) {
    let mut config = Config::default();
    let mut deflate = Deflate::default();
    deflate.server_context_takeover = takeover;
    config.deflate = Some(deflate);
    let config = Arc::new(config);
    let now = Timestamp::ZERO;
    let request = client::Request::new("ws://host/".parse().unwrap());
    let mut opening = client::Handshake::new(&request, config.clone(), [7; 32], now).unwrap();
    let mut output = opening.transmit();
    let mut bytes = output.copy_to_bytes(output.remaining()).to_vec();
    drop(output);
    let request = Handshake::new(config.clone(), now).receive(&mut &mut bytes[..]).unwrap().unwrap();
    let upgrade = request.upgrade(&config.origin).unwrap();
    let mut server = upgrade.accept(&Accept::new(), config, now).unwrap();
    let mut output = server.transmit();
    let mut bytes = output.copy_to_bytes(output.remaining()).to_vec();
    drop(output);
    let (client, _) = opening.receive(&mut &mut bytes[..]).unwrap().unwrap();
    (client, server)
}

criterion_group!(group, benches);
criterion_main!(group);
