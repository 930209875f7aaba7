//! Connections of both adapters on sockets that an HTTP library has upgraded.

use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::net::UnixStream,
    sync::Arc,
    thread,
};

use smol::Async;
use ws_std::{
    Accept, Clock, CloseCode, Config, OriginPolicy, Request,
    ws_core::{Connection, client, client::Upgrade},
};
use ws_tests::{
    Raw,
    either::{Adapter, WebSocket},
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    messages_that_came_with_the_request_are_received
    a_client_and_a_server_open_a_unix_socket_by_parts
    no_reset_follows_the_close_of_an_upgraded_stream
}

/// A head that a minimal HTTP library has parsed: the words of the first line, and the header fields.
type Head = (Vec<String>, Vec<(String, String)>);

fn read_head(stream: &mut impl std::io::BufRead) -> Head {
    let mut lines = stream.lines().map(Result::unwrap).take_while(|line| !line.is_empty());
    let first = lines.next().unwrap().split(' ').map(str::to_owned).collect();
    let field = |line: String| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
    (first, lines.map(|line| field(line).unwrap()).collect())
}

fn write_head<'h>(
    stream: &mut impl std::io::Write,
    first: &str,
    fields: impl Iterator<Item = (&'h str, &'h [u8])>,
) {
    let mut head = format!("{first}\r\n").into_bytes();
    for (name, value) in fields {
        head.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    stream.write_all(&[&head[..], b"\r\n"].concat()).unwrap();
}

/// Hands a TCP stream to an adapter.
fn hand_over_tcp(
    adapter: Adapter,
    stream: TcpStream,
    connection: Connection,
    clock: Clock,
    read: &[u8],
) -> WebSocket {
    match adapter {
        Adapter::Std => {
            WebSocket::Std(ws_std::WebSocket::from_upgraded(stream, connection, clock, read).unwrap())
        }
        Adapter::Smol => WebSocket::Smol(ws_smol::WebSocket::from_upgraded(
            smol::net::TcpStream::from(Async::new(stream).unwrap()),
            connection,
            clock,
            read,
        )),
    }
}

fn messages_that_came_with_the_request_are_received(adapter: Adapter) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut raw = Raw::connect(listener.local_addr().unwrap());
    let hasty = [Frame::text("one"), Frame::text("two")].map(|frame| frame.masked().encode()).concat();
    raw.write([wire::request("/chat", &["Sec-WebSocket-Protocol: a, b"]).as_bytes(), &hasty].concat());
    let mut stream = BufReader::new(listener.accept().unwrap().0);
    let (first, fields) = read_head(&mut stream);
    let request = Request::from_parts(&first[0], &first[1], fields).unwrap();
    let clock = Clock::start();
    let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
    let accept = Accept::new().subprotocol("b");
    let (connection, response) =
        upgrade.accept_parts(&accept, Arc::new(Config::default()), clock.now()).unwrap();
    write_head(stream.get_mut(), "HTTP/1.1 101 Switching Protocols", response.headers().iter());
    let read = stream.buffer().to_vec();
    assert_eq!(read, hasty);
    let mut ws = hand_over_tcp(adapter, stream.into_inner(), connection, clock, &read);

    let head = raw.head();
    assert_eq!(wire::header(&head, "Sec-WebSocket-Accept"), Some(&*wire::accept(wire::KEY)));
    assert_eq!(wire::header(&head, "Sec-WebSocket-Protocol"), Some("b"));
    assert_eq!((ws.message(), ws.message()), ("one".into(), "two".into()));
    ws.send("three").unwrap();
    assert_eq!(raw.frame(), Frame::text("three"));
    raw.send(Frame::close(1000, ""));
    assert_eq!(ws.receive().unwrap(), None);
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    drop(ws);
    assert_eq!(raw.next_frame(), None);
}

fn hand_over_unix(adapter: Adapter, stream: UnixStream, connection: Connection, clock: Clock) -> WebSocket {
    match adapter {
        Adapter::Std => {
            WebSocket::Std(ws_std::WebSocket::from_upgraded(stream, connection, clock, []).unwrap())
        }
        Adapter::Smol => WebSocket::Smol(ws_smol::WebSocket::from_upgraded(
            smol::net::unix::UnixStream::from(Async::new(stream).unwrap()),
            connection,
            clock,
            [],
        )),
    }
}

fn a_client_and_a_server_open_a_unix_socket_by_parts(adapter: Adapter) {
    let (one, other) = UnixStream::pair().unwrap();
    let serving = thread::spawn(move || {
        let mut stream = BufReader::new(other);
        let (first, fields) = read_head(&mut stream);
        let request = Request::from_parts(&first[0], &first[1], fields).unwrap();
        let clock = Clock::start();
        let upgrade = request.upgrade(&OriginPolicy::default()).unwrap();
        let config = Arc::new(Config::default());
        let (connection, response) = upgrade.accept_parts(&Accept::new(), config, clock.now()).unwrap();
        write_head(stream.get_mut(), "HTTP/1.1 101 Switching Protocols", response.headers().iter());
        let mut ws = hand_over_unix(adapter, stream.into_inner(), connection, clock);
        while let Some(message) = ws.receive().unwrap() {
            ws.send(message).unwrap();
        }
    });
    let request = client::Request::new("ws://example.com/".parse().unwrap());
    let upgrade = Upgrade::new(&request, Arc::new(Config::default()), [7; 32]).unwrap();
    let mut stream = BufReader::new(one);
    let first = format!("{} {} HTTP/1.1", upgrade.method(), upgrade.target());
    write_head(stream.get_mut(), &first, upgrade.headers().iter());
    let (first, fields) = read_head(&mut stream);
    let clock = Clock::start();
    let (connection, _) = upgrade.accept(first[1].parse().unwrap(), fields, clock.now()).unwrap();
    let mut ws = hand_over_unix(adapter, stream.into_inner(), connection, clock);
    for text in ["one", "two"] {
        ws.send(text).unwrap();
        assert_eq!(ws.message(), text);
    }
    ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
    assert!(ws.close_info().was_clean);
    serving.join().unwrap();
}

fn no_reset_follows_the_close_of_an_upgraded_stream(adapter: Adapter) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut raw = Raw::connect(listener.local_addr().unwrap());
    let clock = Clock::start();
    let connection = Connection::server(Arc::new(Config::default()), clock.now());
    let mut ws = hand_over_tcp(adapter, listener.accept().unwrap().0, connection, clock, &[]);
    raw.send(Frame::close(1000, ""));
    assert_eq!(ws.receive().unwrap(), None);
    raw.write(Frame::text("after the Close").masked().encode());
    let closing = thread::spawn(move || ws.close(CloseCode::NORMAL_CLOSURE, ""));
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    assert_eq!(raw.rest().unwrap(), b"");
    // The server waits until this end closes its side. A socket that is already closed would refuse these writes.
    for _ in 0..1000 {
        raw.try_write(Frame::text("even later").masked().encode()).unwrap();
    }
    drop(raw);
    closing.join().unwrap().unwrap();
}
