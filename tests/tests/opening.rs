//! Timeouts of the opening handshake.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    thread,
    time::Duration,
};

use socket2::{Domain, Type};
use ws_std::{Client, Error, HandshakeError, Server, TimeoutKind};
use ws_tests::{Raw, RawListener, Running, bounded, echo, let_pass, takes, wire};

/// The configured timeout.
const SHORT: Duration = Duration::from_millis(200);

fn client(listener: &RawListener) -> Client {
    Client::new(&listener.url("/")).configure_handshake(|limits| limits.open_timeout = Some(SHORT))
}

fn server() -> Running {
    let server =
        Server::new().route("/", echo).configure_handshake(|limits| limits.open_timeout = Some(SHORT));
    Running::start(server)
}

/// Writes byte by byte until the other end is gone, far more slowly than the deadline of the whole handshake permits.
fn trickle(socket: &TcpStream, bytes: &[u8]) {
    for byte in bytes {
        if (&mut &*socket).write_all(&[*byte]).is_err() {
            return;
        }
        let_pass(Duration::from_millis(20));
    }
}

#[test]
fn connecting_to_a_server_that_accepts_none_ends_at_the_connect_timeout() {
    bounded(|| {
        // A listener that accepts no clients and whose queue is full.
        let listener = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        listener.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let socket = socket2::Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
                socket.set_nonblocking(true).unwrap();
                let _ = socket.connect(&address.into());
                socket
            })
            .collect();
        let client = Client::new(&format!("ws://{address}/")).connect_timeout(SHORT);
        let error = takes(SHORT, || client.connect().unwrap_err());
        assert!(matches!(error, Error::Timeout(TimeoutKind::Connect)), "{error}");
        drop(waiting);
    });
}

#[test]
fn a_server_that_is_silent_is_given_up_after_the_open_timeout() {
    bounded(|| {
        let listener = RawListener::new();
        let error = takes(SHORT, || client(&listener).connect().unwrap_err());
        assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error}");
    });
}

#[test]
fn a_server_that_trickles_its_response_is_given_up_after_the_open_timeout() {
    bounded(|| {
        let listener = RawListener::new();
        let client = client(&listener);
        let trickling = thread::spawn(move || {
            let mut raw = listener.accept();
            let response = wire::response(&raw.head());
            trickle(raw.socket(), &response.as_bytes()[..50]);
        });
        let error = takes(SHORT, || client.connect().unwrap_err());
        assert!(matches!(error, Error::Handshake(HandshakeError::Timeout)), "{error}");
        trickling.join().unwrap();
    });
}

#[test]
fn a_client_that_trickles_its_request_gets_408_after_the_open_timeout() {
    bounded(|| {
        let server = server();
        let mut raw = Raw::connect(server.address());
        let socket = raw.socket().try_clone().unwrap();
        let trickling = thread::spawn(move || trickle(&socket, &wire::request("/", &[]).as_bytes()[..50]));
        let reply = takes(SHORT, || raw.reply());
        assert_eq!(reply.status, 408, "{}", reply.head);
        drop(raw);
        trickling.join().unwrap();
    });
}

#[test]
fn a_client_that_says_nothing_gets_408_after_the_open_timeout() {
    bounded(|| {
        let server = server();
        let reply = takes(SHORT, || Raw::connect(server.address()).reply());
        assert_eq!(reply.status, 408, "{}", reply.head);
    });
}
