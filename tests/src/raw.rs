use std::{
    io::{self, BufRead as _, BufReader, Read, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use socket2::SockRef;

use crate::{
    eventually, kernel,
    wire::{self, Frame},
};

/// Time after which a waiting raw socket fails its test. It is far above the usual time.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A TCP stream with helpers for HTTP and WebSocket frames. A test may also send invalid bytes.
#[derive(Debug)]
pub struct Raw {
    stream: BufReader<TcpStream>,
}

/// An HTTP response.
#[derive(Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The status line and the header lines.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Raw {
    /// Connects without sending a byte.
    pub fn connect(address: SocketAddr) -> Self {
        Self::new(TcpStream::connect(address).expect("a connection"))
    }

    /// Connects and opens a WebSocket.
    pub fn open(address: SocketAddr, path: &str) -> Self {
        Self::connect(address).opened(path)
    }

    /// Same as [`open`](Self::open) over an existing connection.
    pub fn open_over(stream: TcpStream, path: &str) -> Self {
        Self::new(stream).opened(path)
    }

    fn opened(mut self, path: &str) -> Self {
        self.write(wire::request(path, &[]));
        let head = self.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(wire::header(&head, "Sec-WebSocket-Accept"), Some(&*wire::accept(wire::KEY)));
        self
    }

    /// Writes bytes. Returns an error instead of failing the test.
    pub fn try_write(&self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.socket().write_all(bytes.as_ref())
    }

    /// Reads the head of a response. Returns an error instead of failing the test.
    pub fn try_head(&mut self) -> io::Result<String> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(head)
    }

    fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        stream.set_write_timeout(Some(PATIENCE)).expect("SO_SNDTIMEO");
        Self { stream: BufReader::new(stream) }
    }

    /// Returns the socket.
    pub fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Writes bytes.
    pub fn write(&self, bytes: impl AsRef<[u8]>) {
        self.socket().write_all(bytes.as_ref()).expect("a write");
    }

    /// Writes bytes and waits until the other end, in this process, has read them.
    pub fn write_and_see_read(&self, bytes: impl AsRef<[u8]>) {
        self.write(bytes);
        let here = self.socket().local_addr().expect("an address");
        let there = self.socket().peer_addr().expect("an address");
        eventually("the other end has read", || kernel::unread(there, here) == Some(0));
    }

    /// Reads the head of a request or response.
    pub fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            let read = self.stream.read_line(&mut head).expect("a head");
            assert_ne!(read, 0, "the stream ended in the head: {head}");
        }
        head
    }

    /// Reads an HTTP response up to the end of the stream, which must come without a reset.
    pub fn reply(&mut self) -> Reply {
        let head = self.head();
        let body = String::from_utf8(self.rest().expect("an end without a reset")).expect("UTF-8");
        let status = head.get(9..12).and_then(|status| status.parse().ok()).expect("a status");
        Reply { status, head, body }
    }

    /// Reads to the end of the stream.
    pub fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest)?;
        Ok(rest)
    }

    /// Reads available bytes. Returns zero at the end of the stream.
    pub fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.read(buffer)
    }

    /// Reads exactly this number of bytes.
    pub fn read_exact(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("more bytes");
        bytes
    }

    /// Sends a masked frame as a client does.
    pub fn send(&self, frame: Frame) {
        self.write(frame.masked().encode());
    }

    /// Sends an unmasked frame as a server does.
    pub fn send_unmasked(&self, frame: &Frame) {
        self.write(frame.encode());
    }

    /// Reads a frame.
    pub fn frame(&mut self) -> Frame {
        self.next_frame().expect("the end of the stream")
    }

    /// Reads a frame. Returns `None` at the end of the stream, which must come without a reset.
    pub fn next_frame(&mut self) -> Option<Frame> {
        self.try_frame().expect("a frame")
    }

    /// Reads a frame. Returns an error instead of failing the test.
    pub fn try_frame(&mut self) -> io::Result<Option<Frame>> {
        Frame::read(&mut self.stream)
    }

    /// Sends many messages to an echo server in one write, and checks that it answers in one write.
    pub fn expect_echoes_at_once(&mut self) {
        for _ in 0..20 {
            self.write(Frame::text("ping-pong").masked().encode().repeat(100));
            // One read returns the bytes of one write.
            let mut answers = vec![0; 4096];
            assert_eq!(self.read(&mut answers).expect("answers"), 1100);
            assert_eq!(answers[..1100], Frame::text("ping-pong").encode().repeat(100));
        }
    }

    /// Makes the drop of this stream a reset: unsent bytes are lost, and the peer sees no end of the stream.
    pub fn reset(self) {
        SockRef::from(self.socket()).set_linger(Some(Duration::ZERO)).expect("SO_LINGER");
    }
}

impl From<TcpStream> for Raw {
    fn from(stream: TcpStream) -> Self {
        Self::new(stream)
    }
}

/// A listener for raw streams.
#[derive(Debug)]
pub struct RawListener {
    listener: TcpListener,
}

impl Default for RawListener {
    fn default() -> Self {
        Self::new()
    }
}

impl RawListener {
    /// Listens on a free loopback port.
    pub fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        SockRef::from(&listener).set_read_timeout(Some(PATIENCE)).expect("SO_RCVTIMEO");
        Self { listener }
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// Returns the URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address())
    }

    /// Waits for a client and sends no bytes.
    pub fn accept(&self) -> Raw {
        Raw::new(self.listener.accept().expect("a client").0)
    }

    /// Waits for a client and opens its WebSocket. Also returns the head of its request.
    pub fn open(&self) -> (Raw, String) {
        let mut raw = self.accept();
        let head = raw.head();
        raw.write(wire::response(&head));
        (raw, head)
    }
}
