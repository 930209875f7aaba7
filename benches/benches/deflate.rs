//! permessage-deflate through a connection, beside the codec alone and yawc: 16 KiB of JSON-like text.

use std::{
    cell::Cell,
    hint::black_box,
    io,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::{Buf, Bytes};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use futures_sink::Sink;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_core::{
    Config, Connection, Deflate, Event, HandshakeConfig, OriginPolicy, Timestamp, client,
    server::{Accept, Handshake},
};

const LEVEL: u32 = 6;

fn benches(criterion: &mut Criterion) {
    let text = ws_benches::json();
    for takeover in [false, true] {
        let name = if takeover { "context-kept" } else { "no-context" };
        let frames = frames(&text, takeover);
        let sizes: Vec<usize> = frames.iter().map(Vec::len).collect();
        println!("{name}: {} bytes become frames of {sizes:?} bytes", text.len());
        println!("{name}: with yawc of {:?} bytes", yawc_sizes(&text, takeover));

        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Bytes(text.len() as u64));
        let mut per_message = |name: &str, work: &mut dyn FnMut()| {
            group.bench_function(name, |bencher| {
                bencher.iter_custom(|messages| {
                    let start = processor_time();
                    (0..messages).for_each(|_| work());
                    processor_time() - start
                });
            });
        };

        let (_, mut server) = open(takeover);
        per_message("compress/connection", &mut || {
            server.send(black_box(text.as_str())).unwrap();
            let mut output = server.transmit();
            let len = output.remaining();
            output.advance(len);
        });
        let mut codec = Compress::new(Compression::new(LEVEL), false);
        let mut out = Vec::with_capacity(text.len());
        per_message("compress/codec", &mut || {
            out.clear();
            codec.compress_vec(black_box(text.as_bytes()), &mut out, FlushCompress::Sync).unwrap();
            if !takeover {
                codec.reset();
            }
            black_box(&out);
        });
        let mut socket = yawc(Wire::default(), yawc::Role::Server, takeover);
        let payload = Bytes::from(text.clone());
        per_message("compress/yawc", &mut || yawc_send(&mut socket, black_box(&payload)));

        // With a context, the third frame equals all later ones too, because the text repeats.
        let [first, second, third] = &frames;
        let (mut client, _) = open(takeover);
        let mut receive = |frame: &[u8], buffer: &mut Vec<u8>| {
            buffer.clear();
            buffer.extend_from_slice(frame);
            let mut input = &mut buffer[..];
            let Ok(Some(Event::Message(message))) = client.receive(&mut input) else { panic!("no message") };
            assert_eq!(black_box(message).len(), text.len());
        };
        let mut buffer = Vec::new();
        receive(first, &mut buffer);
        receive(second, &mut buffer);
        per_message("inflate/connection", &mut || receive(black_box(third), &mut buffer));
        let payload = |frame: &[u8]| [&frame[4..], &[0, 0, 0xFF, 0xFF]].concat();
        let mut codec = Decompress::new(false);
        let mut inflate = |payload: &[u8]| {
            let mut out = Vec::with_capacity(text.len() + 1);
            codec.decompress_vec(payload, &mut out, FlushDecompress::Sync).unwrap();
            if !takeover {
                codec.reset(false);
            }
            assert_eq!(String::from_utf8(out).unwrap().len(), text.len());
        };
        inflate(&payload(first));
        inflate(&payload(second));
        let third_payload = payload(third);
        per_message("inflate/codec", &mut || inflate(black_box(&third_payload)));
        let wire = Wire { first: [&first[..], second].concat(), then: third.clone(), ..Wire::default() };
        let mut socket = yawc(wire, yawc::Role::Client, takeover);
        let mut receive = || {
            let frame = run(socket.next_frame()).unwrap();
            assert_eq!(frame.payload().len(), text.len());
        };
        receive();
        receive();
        per_message("inflate/yawc", &mut receive);
    }
}

/// Returns the first three frames of a server that sends this text repeatedly.
fn frames(text: &str, takeover: bool) -> [Vec<u8>; 3] {
    let (_, mut server) = open(takeover);
    [(); 3].map(|()| {
        server.send(text).unwrap();
        let mut output = server.transmit();
        let frame = output.copy_to_bytes(output.remaining()).to_vec();
        assert_eq!(frame[..2], [0xC1, 126], "compressed, with a length of two bytes");
        frame
    })
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(now.tv_sec as u64) + Duration::from_nanos(now.tv_nsec as u64)
}

fn open(takeover: bool) -> (Connection, Connection) {
    let mut config = Config::default();
    let mut deflate = Deflate::default();
    deflate.level = LEVEL as u8;
    deflate.server_context_takeover = takeover;
    config.deflate = Some(deflate);
    let config = Arc::new(config);
    let now = Timestamp::ZERO;
    let request = client::Request::new("ws://host/".parse().unwrap());
    let mut opening =
        client::Handshake::new(&request, &HandshakeConfig::default(), config.clone(), [7; 32], now).unwrap();
    let mut output = opening.transmit();
    let mut bytes = output.copy_to_bytes(output.remaining()).to_vec();
    drop(output);
    let request =
        Handshake::new(&HandshakeConfig::default(), now).receive(&mut &mut bytes[..]).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    let mut server = upgrade.accept(&Accept::new(), config, now).unwrap();
    let mut output = server.transmit();
    let mut bytes = output.copy_to_bytes(output.remaining()).to_vec();
    drop(output);
    let (client, _) = opening.receive(&mut &mut bytes[..]).unwrap().unwrap();
    (client, server)
}

fn yawc(wire: Wire, role: yawc::Role, takeover: bool) -> yawc::WebSocket<Wire> {
    let options =
        yawc::Options::default().with_compression_level(yawc::CompressionLevel::new(LEVEL)).with_utf8();
    let extensions =
        if takeover { "permessage-deflate" } else { "permessage-deflate; server_no_context_takeover" };
    yawc::WebSocket::from_stream_with_extensions(wire, role, Some(extensions), options).unwrap()
}

fn yawc_send(socket: &mut yawc::WebSocket<Wire>, payload: &Bytes) {
    let context = &mut Context::from_waker(Waker::noop());
    assert!(Pin::new(&mut *socket).poll_ready(context).is_ready());
    Pin::new(&mut *socket).start_send(yawc::Frame::text(payload.clone())).unwrap();
    assert!(Pin::new(socket).poll_flush(context).is_ready());
}

fn yawc_sizes(text: &str, takeover: bool) -> [usize; 3] {
    let wire = Wire::default();
    let written = wire.written.clone();
    let mut socket = yawc(wire, yawc::Role::Server, takeover);
    [(); 3].map(|()| {
        written.set(0);
        yawc_send(&mut socket, &Bytes::from(text.to_owned()));
        written.get()
    })
}

/// Runs a future that never returns `Pending`.
fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

/// A stream with a peer that sends `first` once and then `again` repeatedly, and accepts all output.
#[derive(Default)]
struct Wire {
    first: Vec<u8>,
    then: Vec<u8>,
    at: usize,
    written: Rc<Cell<usize>>,
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buffer.remaining() > 0 {
            let rest = &this.first[this.at..];
            let next = &rest[..rest.len().min(buffer.remaining())];
            buffer.put_slice(next);
            this.at += next.len();
            if this.at == this.first.len() {
                this.first.clone_from(&this.then);
                this.at = 0;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        self.written.set(self.written.get() + black_box(buffer).len());
        Poll::Ready(Ok(buffer.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

criterion_group!(group, benches);
criterion_main!(group);
