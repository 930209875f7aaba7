//! The connection limit of a server, and the refusal of further clients.

use std::{collections::HashSet, sync::Mutex, sync::mpsc, thread};

use ws_std::{Client, CloseCode, Error, HandshakeError, Server, WebSocket};
use ws_tests::{PATIENCE, Raw, Running, bounded, echo, eventually, wire};

/// Connects as soon as the server has a free place.
fn connect_when_there_is_room(server: &Running) -> WebSocket {
    let mut opened = None;
    eventually("there is room", || {
        opened = ws_std::connect(&server.url("/")).ok();
        opened.is_some()
    });
    opened.unwrap()
}

#[test]
fn clients_beyond_the_most_are_refused_with_503_and_later_ones_served() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo).max_connections(3));
        let mut served: Vec<_> = (0..3).map(|_| ws_std::connect(&server.url("/")).unwrap()).collect();
        for _ in 0..10 {
            match Client::new(&server.url("/")).connect().map(drop) {
                Err(Error::Handshake(HandshakeError::Refused(response))) => {
                    assert_eq!(response.status(), 503);
                    assert!(response.header_value("Retry-After").is_some());
                    assert!(!response.body_bytes().is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
        for ws in &mut served {
            ws.send("not disturbed").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "not disturbed");
        }
        for _ in 0..10 {
            let mut ended = served.remove(0);
            ended.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
            served.push(connect_when_there_is_room(&server));
        }
        assert_eq!(server.handle().connections(), 3);
    });
}

#[test]
fn a_refusal_arrives_whole_whatever_the_client_sends_meanwhile() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo).max_connections(0));
        let mut refused: Vec<_> = (0..40).map(|_| Raw::connect(server.address())).collect();
        for raw in &refused {
            raw.write(wire::request("/", &[]));
        }
        for raw in &mut refused {
            let reply = raw.reply();
            assert_eq!(reply.status, 503);
            assert_eq!(wire::header(&reply.head, "Connection"), Some("close"));
            assert_eq!(wire::header(&reply.head, "Content-Length"), Some(&*reply.body.len().to_string()));
        }
    });
}

#[test]
fn handshakes_in_progress_count() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo).max_connections(1));
        let raw = Raw::connect(server.address());
        eventually("it was accepted", || server.handle().connections() == 1);
        assert_eq!(Raw::connect(server.address()).reply().status, 503);
        drop(raw);
        connect_when_there_is_room(&server);
    });
}

#[test]
fn threads_of_connections_that_ended_serve_later_ones() {
    bounded(|| {
        let (tell, told) = mpsc::channel();
        let tell = Mutex::new(tell);
        let server = Running::start(Server::new().route("/", move |request, ws| {
            tell.lock().unwrap().send(thread::current().id())?;
            echo(request, ws)
        }));
        let mut threads = HashSet::new();
        for _ in 0..100 {
            let mut ws = ws_std::connect(&server.url("/")).unwrap();
            threads.insert(told.recv_timeout(PATIENCE).unwrap());
            ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap();
        }
        // The next client may arrive before a thread has noticed the end of its own client.
        assert!(threads.len() < 20, "{} threads for 100 connections, one at a time", threads.len());
    });
}

#[test]
fn five_hundred_connections_are_served_at_once() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut clients: Vec<_> = (0..500).map(|_| ws_std::connect(&server.url("/")).unwrap()).collect();
        assert_eq!(server.handle().connections(), 500);
        for (number, ws) in clients.iter().enumerate() {
            ws.send(number.to_string()).unwrap();
        }
        for (number, ws) in clients.iter_mut().enumerate() {
            assert_eq!(ws.receive().unwrap().unwrap(), *number.to_string());
        }
    });
}

#[test]
fn fewer_threads_at_most_than_at_least_are_refused_at_bind() {
    #[expect(clippy::reversed_empty_ranges)]
    let servers = [Server::new().threads(8..=4), Server::new().threads(8..=16).max_connections(4)];
    for server in servers {
        let error = server.route("/", echo).bind("127.0.0.1:0").unwrap_err();
        assert!(error.to_string().contains("8..=4"), "{error}");
    }
}
