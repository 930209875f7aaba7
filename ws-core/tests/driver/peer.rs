//! A server that runs the program, and the socket of a client that a test controls by hand.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::{self, JoinHandle},
    time::Instant,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    net::{AddressFamily, SocketType, connect, socket, sockopt},
};
use ws_core::{
    CloseInfo, Config, HandshakeConfig, Role,
    testing::{Frame, Head, wire},
};

use crate::{LONG, driver};

/// The program, which serves one client.
pub(crate) struct Server {
    address: SocketAddr,
    thread: JoinHandle<io::Result<Option<CloseInfo>>>,
}

impl Server {
    /// Starts the program with a changed configuration, and optionally with a send buffer of this size in bytes.
    pub(crate) fn start(change: impl FnOnce(&mut Config), send_buffer: Option<usize>) -> Self {
        let mut config = Config::default();
        change(&mut config);
        Self::serve(HandshakeConfig::default(), config, send_buffer)
    }

    /// Starts it with changed limits of the opening handshake.
    pub(crate) fn start_with(change: impl FnOnce(&mut HandshakeConfig)) -> Self {
        let mut limits = HandshakeConfig::default();
        change(&mut limits);
        Self::serve(limits, Config::default(), None)
    }

    fn serve(limits: HandshakeConfig, config: Config, send_buffer: Option<usize>) -> Self {
        let (listener, address) = listen(send_buffer);
        let thread = thread::spawn(move || {
            let (socket, _) = listener.accept()?;
            driver::serve(socket, &limits, &Arc::new(config), Instant::now())
        });
        Self { address, thread }
    }

    /// Connects without an opening handshake, optionally with a receive buffer of this size in bytes.
    pub(crate) fn connect_raw(&self, receive_buffer: Option<usize>) -> TcpStream {
        connect_raw(self.address, receive_buffer)
    }

    /// Connects, and opens a WebSocket.
    pub(crate) fn connect(&self, receive_buffer: Option<usize>) -> TcpStream {
        open(self.address, receive_buffer)
    }

    /// Waits until the thread of the connection has returned, and returns the record of the connection's end.
    pub(crate) fn close_info(self) -> Option<CloseInfo> {
        self.thread.join().unwrap().unwrap()
    }
}

/// Creates a listening socket, optionally with a send buffer of this size in bytes.
pub(crate) fn listen(send_buffer: Option<usize>) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    if let Some(size) = send_buffer {
        // Connections inherit this option.
        sockopt::set_socket_send_buffer_size(&listener, size).unwrap();
    }
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn connect_raw(address: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    if let Some(size) = receive_buffer {
        // The window of the connection is chosen when the connection is established.
        sockopt::set_socket_recv_buffer_size(&client, size).unwrap();
    }
    connect(&client, &address).unwrap();
    let client = TcpStream::from(client);
    client.set_read_timeout(Some(LONG)).unwrap();
    client
}

/// Connects to a server, and opens a WebSocket.
pub(crate) fn open(address: SocketAddr, receive_buffer: Option<usize>) -> TcpStream {
    let mut client = connect_raw(address, receive_buffer);
    client.write_all(request().as_bytes()).unwrap();
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    client
}

/// Returns a request that opens a WebSocket.
pub(crate) fn request() -> String {
    String::from_utf8(Head::request().bytes()).unwrap()
}

/// Returns frames as a client sends them.
pub(crate) fn masked<'f>(frames: impl IntoIterator<Item = &'f Frame>) -> Vec<u8> {
    wire::stream(Role::Server, frames)
}

/// Returns the frames that a server sent, without its keepalive pings.
pub(crate) fn answers(bytes: &[u8]) -> Vec<Frame> {
    wire::frames(bytes).unwrap().into_iter().filter(|frame| frame.opcode != wire::PING).collect()
}

/// Reads to the end of the stream. A reset fails the test.
pub(crate) fn read_to_end(client: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    client.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Sends a reserved opcode followed by garbage, and expects only a Close with 1002 before the end of the stream.
pub(crate) fn expect_refusal(client: &mut TcpStream, round: usize) {
    let stream = [masked([&Frame::new(11, "")]), vec![0xFF; 300_000]].concat();
    client.write_all(&stream).unwrap_or_else(|error| panic!("round {round}: {error}"));
    let received = answers(&read_to_end(client));
    assert_eq!(received.len(), 1, "round {round}");
    assert_eq!((received[0].opcode, &received[0].payload[..2]), (wire::CLOSE, &1002_u16.to_be_bytes()[..]));
}

/// Same as [`next_frame`], but skips keepalive pings, which arrive if a test takes long.
pub(crate) fn next_answer(client: &mut TcpStream, received: &mut Vec<u8>) -> Frame {
    loop {
        let frame = next_frame(client, received);
        if frame.opcode != wire::PING {
            return frame;
        }
    }
}

/// Reads the next frame. The bytes behind it stay in `received`.
pub(crate) fn next_frame(client: &mut TcpStream, received: &mut Vec<u8>) -> Frame {
    let mut piece = [0; 1000];
    loop {
        if let Some((frame, rest)) = wire::split_frame(received) {
            *received = rest.to_vec();
            return frame;
        }
        let len = client.read(&mut piece).unwrap();
        assert!(len > 0, "the stream has ended");
        received.extend_from_slice(&piece[..len]);
    }
}

/// Waits until the server has written bytes.
pub(crate) fn wait_until_readable(client: &TcpStream) {
    let mut sockets = [PollFd::new(client, PollFlags::IN)];
    assert_eq!(poll(&mut sockets, None).unwrap(), 1);
}
