//! `Debug` output of the adapters' types is for logs: no secrets, no payload, and a bounded length.

use std::{fmt::Debug, sync::mpsc};

use ws_std::{
    Backlog, Callbacks, Chunk, Error, HandshakeError, PreparedMessage, Response, Rooms, Sessions,
    ws_core::{Config, Connection, Message, Timestamp},
};
use ws_tests::{
    PATIENCE, Raw, Transport, bounded,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Server},
    eventually, wire,
    wire::Frame,
    with_both_adapters,
};
use ws_transport::{Driver, MessageAssembler, Outgoing, OutgoingKind, OutgoingPayload, RecycledBuffer};

with_both_adapters! {
    clients_and_servers_show_no_secret_before_they_connect
    connections_show_no_payload
    sessions_and_errors_are_bounded
}

/// What must show nowhere.
const SECRET: &str = "hush4711";

#[track_caller]
fn check(what: &str, value: &dyn Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!shown.contains(SECRET), "{what} shows a secret: {shown}");
        // A private key, and the bytes of "hush" and of "-----" in a list.
        let spaced = shown.split_whitespace().collect::<Vec<_>>().join(" ");
        for list in ["BEGIN ", "104, 117, 115, 104", "45, 45, 45", "120, 120, 120"] {
            assert!(!spaced.contains(list), "{what} shows {list:?}: {shown}");
        }
        assert!(shown.len() <= 4096, "{what} has {} bytes: {}", shown.len(), &shown[..500]);
    }
}

/// A path that is as long as a head may be.
fn long_path() -> String {
    format!("/{}", "long/".repeat(2000))
}

fn clients_and_servers_show_no_secret_before_they_connect(adapter: Adapter) {
    let authority = Authority::shared();
    let identity = authority.client();
    let url = format!("wss://user:{SECRET}@localhost{}?token={SECRET}", "/x".repeat(5000));
    let client = Client::new(adapter, &url)
        .header("Authorization", &format!("Bearer {SECRET}"))
        .header("Cookie", &format!("session={SECRET}"))
        .header("X-Long", &"x".repeat(1 << 20))
        .tls(identity.shown_by(authority.trusted()));
    check("a client", &client);
    let tls = authority.server().serving().require_clients_from(authority.pem().as_bytes());
    check("the certificates", &tls.certificates());
    let server = Server::new(adapter)
        .mount("/", Route::echo(adapter).subprotocols(&["chat"]))
        .page("/page", |_| Response::new(200).text(SECRET))
        .tls(tls);
    check("a server", &server);
    check("a route", &Route::callbacks(adapter, Callbacks::new()));
    let running = server.start();
    check("a handle", running.handle());
}

fn connections_show_no_payload(adapter: Adapter) {
    for transport in Transport::BOTH {
        let (_server, mut handed, mut client) = Pairing::of(adapter, transport).open();
        handed.ws.send(SECRET).unwrap();
        assert_eq!(client.message(), SECRET);
        for _ in 0..100 {
            client.feed(SECRET).unwrap();
        }
        client.send_chunk(Chunk::new(SECRET)).unwrap();
        client.flush().unwrap();
        assert_eq!(handed.ws.message(), SECRET);
        check("a client's connection", &client);
        check("a server's connection", &handed.ws);
        check("a request", &handed.request);
        let sender = client.sender();
        check("a sender", &sender);
        let (sender, receiver) = handed.ws.split();
        check("a sender", &sender);
        check("a receiver", &receiver);
    }
}

fn sessions_and_errors_are_bounded(adapter: Adapter) {
    let (everyone, rooms) = (Sessions::new(), Rooms::new());
    let joined = rooms.clone();
    let callbacks = Callbacks::new().sessions(&everyone).backlog(Backlog::default());
    let callbacks = callbacks.on_connect(move |session| {
        for number in 0..100 {
            joined.join(&format!("{number}{}", "room".repeat(100)), session);
        }
    });
    check("callbacks", &callbacks);
    let (tell, seen) = mpsc::channel();
    let tell = std::sync::Mutex::new(tell);
    let server = Server::new(adapter)
        .mount("/*path", Route::callbacks(adapter, callbacks))
        .on_error(move |error| {
            check("an error of a connection", error);
            let _ = tell.lock().unwrap().send(());
        })
        .start();
    let headers = [&*format!("Cookie: {SECRET}"), &format!("Authorization: Bearer {SECRET}")];
    let mut raw = Raw::connect(server.address());
    raw.write(wire::request(&long_path(), &headers));
    assert!(raw.head().starts_with("HTTP/1.1 101 "));
    eventually("the session has begun", || everyone.len() == 1 && rooms.all().len() == 100);
    raw.send(Frame::text(SECRET).unfinished());
    check("a session", &everyone.all()[0]);
    check("sessions", &everyone);
    check("rooms", &rooms);
    drop(raw);
    seen.recv_timeout(PATIENCE).expect("an error that passes the check");
}

#[test]
fn errors_and_the_parts_of_a_driver_show_no_secret() {
    bounded(|| {
        let response = Response::new(401)
            .header("Set-Cookie", &format!("session={SECRET}"))
            .header("Location", &format!("https://example.com/{}?code={SECRET}", "x".repeat(1 << 20)))
            .text("x".repeat(1 << 20));
        let error = Error::Handshake(HandshakeError::Refused(Box::new(response)));
        assert!(error.to_string().len() < 1000 && !error.to_string().contains(SECRET), "{error}");

        let secret = format!("{SECRET}{}", "x".repeat(200));
        let mut recycled = RecycledBuffer::default();
        check("an empty buffer", &recycled);
        drop(recycled.own(Message::from(&*secret)));
        let mut assembler = MessageAssembler::default();
        assert!(assembler.add(Chunk::new(&*secret).into_owned()).unwrap().is_none());
        check("an assembler", &assembler);

        let connection = Connection::client(Config::default().into(), [0; 32], Timestamp::ZERO);
        let mut driver = Driver::new(connection, None);
        driver.connection.send(vec![200; 2 << 20]).unwrap();
        for _ in 0..1000 {
            let backlog = || Backlog { messages: 2000, ..Backlog::default() };
            let prepared = PreparedMessage::new(&*secret);
            let message = Outgoing {
                payload: OutgoingPayload::Prepared(&prepared),
                backlog: &backlog,
                kind: OutgoingKind::Send,
            };
            driver.post(message, ws_transport::Network::Refuses).unwrap();
        }
        // A short message that was sent leaves its memory to the next one that is received.
        let connection = Connection::client(Config::default().into(), [0; 32], Timestamp::ZERO);
        let mut short = Driver::new(connection, None);
        short.send(Message::from(secret.clone())).unwrap();
        check("a driver that has sent", &short);
        check("a driver with many messages that wait", &driver);
    });
}
