//! Raw clients of `ws://` and `wss://` alike, small buffers in the kernel, and slow readers.

use std::{
    io::{self, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::{Raw, Transport, eventually, kernel, let_pass, tls::RawTls, wire::Frame};

/// Size of small kernel buffers in bytes.
pub const SMALL_BUFFER: usize = 8 << 10;

/// A raw client of `ws://` or `wss://`.
#[derive(Debug)]
pub enum Link {
    /// Of `ws://`.
    Plain(Raw),
    /// A connection of `wss://`.
    Tls(Box<RawTls>),
}

impl Link {
    /// Connects and opens a WebSocket.
    pub fn open(address: SocketAddr, transport: Transport) -> Self {
        Self::open_over(TcpStream::connect(address).expect("a connection"), transport)
    }

    /// Same as [`open`](Self::open) with a small receive buffer in the kernel.
    pub fn open_with_small_buffer(address: SocketAddr, transport: Transport) -> Self {
        Self::open_over(connect_with_small_buffer(address), transport)
    }

    fn open_over(stream: TcpStream, transport: Transport) -> Self {
        if transport.is_tls() {
            Self::Tls(Box::new(RawTls::open_over(stream)))
        } else {
            Self::Plain(Raw::open_over(stream, "/"))
        }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(raw) => raw.socket(),
            Self::Tls(raw) => raw.socket(),
        }
    }

    /// Writes bytes, in one call if the kernel accepts them all.
    pub fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.write_with_rubbish(bytes, []);
    }

    /// Writes bytes, followed by unencrypted bytes.
    pub fn write_with_rubbish(&mut self, bytes: impl AsRef<[u8]>, rubbish: impl AsRef<[u8]>) {
        let mut bytes = match self {
            Self::Plain(_) => bytes.as_ref().to_vec(),
            Self::Tls(raw) => raw.seal(bytes),
        };
        bytes.extend_from_slice(rubbish.as_ref());
        self.socket().write_all(&bytes).expect("a write");
    }

    /// Sends a frame as a client does.
    pub fn send(&mut self, frame: Frame) {
        self.write(frame.masked().encode());
    }

    /// Reads a frame.
    pub fn frame(&mut self) -> Frame {
        self.next_frame().expect("a frame before the end of the stream")
    }

    /// Reads a frame. Returns `None` at the end of the stream, which must come without a reset and, with TLS, with
    /// `close_notify`.
    pub fn next_frame(&mut self) -> Option<Frame> {
        Frame::read(self).expect("a frame, or the end without a reset")
    }

    /// Reads and drops bytes until the stream ends or fails.
    pub fn drain(&mut self) {
        let _ = io::copy(self, &mut io::sink());
    }

    /// Sends messages and a Close with one write to a server that echoes. As soon as the server cannot write more,
    /// reads the answers: each message, the Close and the end of the stream.
    pub fn expect_echoes_before_close(&mut self, count: u8) {
        let message = |number| Frame::new(Frame::BINARY, vec![number; 1000]);
        let mut stream: Vec<u8> = (0..count).flat_map(|number| message(number).masked().encode()).collect();
        stream.extend(Frame::close(1000, "").masked().encode());
        self.write(stream);
        self.wait_until_full();
        for number in 0..count {
            assert!(self.frame() == message(number), "answer {number} of {count}");
        }
        let close = self.frame();
        self.expect_end(&close);
    }

    /// Sends a message and a Close with one write to a server of
    /// [`Route::answer_each`](crate::either::Route::answer_each). As soon as the server cannot write more, reads the
    /// answer, the Close and the end of the stream.
    pub fn expect_answer_before_close(&mut self, len: usize) {
        let close = Frame::close(1000, "").masked().encode();
        self.write([Frame::text("all").masked().encode(), close].concat());
        self.wait_until_full();
        assert!(self.frame() == Frame::new(Frame::BINARY, vec![7; len]), "another answer");
        let close = self.frame();
        self.expect_end(&close);
    }

    /// Sends a message to a server of [`Route::answer_each`](crate::either::Route::answer_each), reads the answer at
    /// this rate in bytes per second, and closes.
    pub fn expect_answer_slowly(&mut self, len: usize, rate: u32) {
        self.send(Frame::text("all"));
        let answer = Frame::read(&mut Slow::new(&mut *self, rate)).expect("an answer");
        assert!(answer == Some(Frame::new(Frame::BINARY, vec![7; len])), "another answer");
        self.send(Frame::close(1000, ""));
        let close = loop {
            let frame = self.frame();
            if frame.opcode != Frame::PING {
                break frame;
            }
        };
        self.expect_end(&close);
    }

    /// Expects this frame to answer a Close with 1000, followed by the end of the stream.
    fn expect_end(&mut self, close: &Frame) {
        assert_eq!(close.code_and_reason().0, 1000);
        assert_eq!(self.next_frame(), None);
    }

    /// Waits until the kernel's receive queue stops growing: then the peer has written as much as it can.
    pub fn wait_until_full(&self) {
        let here = self.socket().local_addr().expect("an address");
        let there = self.socket().peer_addr().expect("an address");
        let mut last = (0, Instant::now());
        eventually("the peer has written what it can", || {
            let unread = kernel::unread(here, there).expect("the socket");
            if unread != last.0 || unread == 0 {
                last = (unread, Instant::now());
            }
            last.1.elapsed() > Duration::from_millis(200)
        });
    }
}

impl Read for Link {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(raw) => raw.read(buffer),
            Self::Tls(raw) => raw.read(buffer),
        }
    }
}

/// A reader with a constant rate.
#[derive(Debug)]
pub struct Slow<R> {
    inner: R,
    /// Rate in bytes per second.
    rate: u32,
    began: Instant,
    read: u32,
}

impl<R: Read> Slow<R> {
    /// Starts to read at this number of bytes per second.
    pub fn new(inner: R, rate: u32) -> Self {
        Self { inner, rate, began: Instant::now(), read: 0 }
    }
}

impl<R: Read> Read for Slow<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let due = Duration::from_secs(1) * self.read / self.rate;
        let_pass(due.saturating_sub(self.began.elapsed()));
        let most = buffer.len().min(SMALL_BUFFER);
        let read = self.inner.read(&mut buffer[..most])?;
        self.read += u32::try_from(read).expect("a small read");
        Ok(read)
    }
}

/// Connects with a small receive buffer in the kernel.
pub fn connect_with_small_buffer(address: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(SMALL_BUFFER).expect("SO_RCVBUF");
    socket.connect(&address.into()).expect("a connection");
    socket.into()
}

/// Returns a listening socket on a free loopback port, whose connections have a small send buffer.
pub fn listen_with_small_buffer() -> TcpListener {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    socket2::SockRef::from(&listener).set_send_buffer_size(SMALL_BUFFER).expect("SO_SNDBUF");
    listener
}
