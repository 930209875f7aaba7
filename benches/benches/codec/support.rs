//! Messages, the in-memory streams that carry them, and the measurement of time.

use std::{
    hint::black_box,
    io::{self, IoSlice, Read, Write},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Buf;
use criterion::{BenchmarkGroup, BenchmarkId, measurement::WallTime};
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use ws_core::{
    Config, Connection, HandshakeConfig, Message, OriginPolicy, Role, Timestamp,
    frame::{Header, Opcode, apply_mask},
};

/// The masking key. No byte has its top bit set, so that masked ASCII text is ASCII text.
const KEY: [u8; 4] = [0x35, 0x5A, 0x11, 0x6C];

/// A kind of message, and the number of messages in one read.
pub(crate) struct Shape {
    pub(crate) name: &'static str,
    pub(crate) payload: Vec<u8>,
    pub(crate) opcode: Opcode,
    pub(crate) count: usize,
}

impl Shape {
    pub(crate) fn binary(name: &'static str, len: usize, count: usize) -> Self {
        let payload = (0..len).map(|at| ((at * 167) >> 3) as u8).collect();
        Self { name, payload, opcode: Opcode::Binary, count }
    }

    pub(crate) fn ascii(name: &'static str, len: usize, count: usize) -> Self {
        let payload = "{\"id\":17,\"name\":\"value\",\"list\":[1,2,3]} ".bytes().cycle().take(len).collect();
        Self { name, payload, opcode: Opcode::Text, count }
    }

    /// Returns text with characters of one, two, three and four bytes.
    pub(crate) fn mixed(name: &'static str, len: usize) -> Self {
        let phrase = "Grüße aus Köln, 世界你好, Привет мир, καλημέρα, 🌍🚀, and some plain words; ";
        let mut payload = String::with_capacity(len);
        payload.extend(std::iter::repeat_n(phrase, len / phrase.len()));
        payload.extend(std::iter::repeat_n('.', len - payload.len()));
        Self { name, payload: payload.into_bytes(), opcode: Opcode::Text, count: 1 }
    }

    /// Returns the frames of one read for an endpoint of this role, back to back.
    pub(crate) fn to(&self, role: Role) -> Vec<u8> {
        self.frames((role == Role::Server).then_some(KEY))
    }

    /// Returns masked frames that are decoded in place repeatedly. Unmasking is the same operation as masking, so
    /// every second round decodes the masked payload. That is equivalent even for text: with `KEY`, ASCII remains
    /// ASCII. Other text uses a key of zeros, with which the same instructions change nothing.
    pub(crate) fn masked_for_reuse(&self) -> Vec<u8> {
        self.frames(Some(if self.payload.is_ascii() || self.opcode == Opcode::Binary { KEY } else { [0; 4] }))
    }

    fn frames(&self, masking_key: Option<[u8; 4]>) -> Vec<u8> {
        let header = Header { masking_key, ..Header::new(self.opcode, self.payload.len() as u64) }.encode();
        let mut frame = [&header, &self.payload[..]].concat();
        apply_mask(&mut frame[header.len()..], masking_key.unwrap_or_default());
        frame.repeat(self.count)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }

    pub(crate) fn message(&self) -> Message<'_> {
        match self.opcode {
            Opcode::Text => Message::from(self.text()),
            _ => Message::from(&self.payload),
        }
    }
}

/// A group of lines that differ in the message and in the library.
pub(crate) type Group<'c> = BenchmarkGroup<'c, WallTime>;

/// Measures `work`, which processes `count` messages in each call, and reports the time for one message. It counts
/// the CPU time of the thread, so that other programs affect it less.
pub(crate) fn per_message(
    group: &mut Group<'_>,
    message: &str,
    subject: &str,
    count: usize,
    mut work: impl FnMut(),
) {
    group.bench_function(BenchmarkId::new(message, subject), |bencher| {
        bencher.iter_custom(|messages| {
            let rounds = messages.div_ceil(count as u64);
            let start = processor_time();
            for _ in 0..rounds {
                work();
            }
            let elapsed = processor_time() - start;
            elapsed.mul_f64(messages as f64 / (rounds * count as u64) as f64)
        });
    });
}

fn processor_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::from_secs(now.tv_sec as u64) + Duration::from_nanos(now.tv_nsec as u64)
}

pub(crate) fn core_server() -> Connection {
    used(Connection::server(Arc::new(Config::default()), Timestamp::ZERO))
}

pub(crate) fn core_client() -> Connection {
    used(Connection::client(Arc::new(Config::default()), [7; 32], Timestamp::ZERO))
}

/// Creates a server connection that negotiated compression. It may still receive uncompressed messages.
#[cfg(feature = "deflate")]
pub(crate) fn compressing_server() -> Connection {
    let mut config = Config::default();
    config.deflate = Some(ws_core::Deflate::default());
    let config = Arc::new(config);
    let mut request = *b"GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let mut handshake = ws_core::server::Handshake::new(&HandshakeConfig::default(), Timestamp::ZERO);
    let request = handshake.receive(&mut &mut request[..]).unwrap().unwrap();
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    let mut connection = upgrade.accept(&ws_core::server::Accept::new(), config, Timestamp::ZERO).unwrap();
    assert!(connection.is_compression_negotiated());
    drain(connection.transmit());
    used(connection)
}

/// Creates a connection with an output block of the final size.
fn used(mut connection: Connection) -> Connection {
    connection.send(&[0; 2048]).unwrap();
    drain(connection.transmit());
    connection
}

/// Drains the output like a driver with a socket that accepts everything.
#[inline]
pub(crate) fn drain(mut transmit: impl Buf) {
    while transmit.has_remaining() {
        let chunk = transmit.chunk();
        black_box(chunk);
        let written = chunk.len();
        transmit.advance(written);
    }
}

/// Runs a future that never returns `Pending`.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("nothing here waits"),
    }
}

/// A stream with a peer that sends the same frames without end and accepts all output. A read fills the whole buffer of the
/// caller, so that libraries with large reads benefit from them.
pub(crate) struct Wire {
    bytes: Vec<u8>,
    at: usize,
}

impl Wire {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, at: 0 }
    }

    /// Returns the total length of the frames in bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Returns the next bytes, at most `most` and at most to the end of the frames.
    fn next(&mut self, most: usize) -> &[u8] {
        let rest = &self.bytes[self.at..];
        let next = &rest[..rest.len().min(most)];
        self.at = if next.len() == rest.len() { 0 } else { self.at + next.len() };
        next
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() && !self.bytes.is_empty() {
            let bytes = self.next(buffer.len() - filled);
            buffer[filled..filled + bytes.len()].copy_from_slice(bytes);
            filled += bytes.len();
        }
        Ok(filled)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        Ok(black_box(buffer).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while buffer.remaining() > 0 && !this.bytes.is_empty() {
            buffer.put_slice(this.next(buffer.remaining()));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(buffer).len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffers: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(black_box(buffers).iter().map(|buffer| buffer.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
