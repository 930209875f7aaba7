//! Connecting of clients, and the errors when it fails.

use std::{
    error::Error as _,
    io,
    net::{SocketAddr, TcpListener, ToSocketAddrs as _},
    thread,
};

use ws_std::{Client, Error, HandshakeError, Server, UrlError};
use ws_tests::{RawListener, Running, bounded, echo, hand_over, wire};

fn refused(url: &str) -> HandshakeError {
    match Client::new(url).connect().map(drop) {
        Err(Error::Handshake(error)) => error,
        other => panic!("{other:?}"),
    }
}

/// Connects a client to a server that sends this response.
fn refused_with(response: &str) -> HandshakeError {
    let listener = RawListener::new();
    let (url, response) = (listener.url("/"), response.to_owned());
    let answering = thread::spawn(move || {
        let mut raw = listener.accept();
        raw.head();
        raw.write(response);
    });
    let error = refused(&url);
    answering.join().unwrap();
    error
}

#[test]
fn every_address_of_a_host_is_tried_in_turn() {
    bounded(|| {
        // The addresses of this name differ between machines: 127.0.0.1, ::1 or both.
        let addresses: Vec<SocketAddr> = ("localhost", 0).to_socket_addrs().unwrap().collect();
        assert!(!addresses.is_empty());
        for address in addresses {
            let listener = Server::new().route("/", echo).bind(address).unwrap();
            let (port, handle) = (listener.local_addr().unwrap().port(), listener.handle());
            let serving = thread::spawn(move || listener.serve());
            let mut ws = ws_std::connect(&format!("ws://localhost:{port}/")).unwrap();
            assert_eq!(ws.peer_addr().unwrap().ip(), address.ip());
            ws.send("found").unwrap();
            assert_eq!(ws.receive().unwrap().unwrap(), "found");
            drop(ws);
            handle.stop(ws_tests::PATIENCE);
            serving.join().unwrap().unwrap();
        }
    });
}

#[test]
fn an_ipv6_address_may_be_the_host() {
    bounded(|| {
        let Ok(listener) = Server::new().route("/", echo).bind("[::1]:0") else {
            assert!(TcpListener::bind("[::1]:0").is_err(), "this machine speaks IPv6");
            return;
        };
        let (address, handle) = (listener.local_addr().unwrap(), listener.handle());
        let serving = thread::spawn(move || listener.serve());
        let mut ws = ws_std::connect(&format!("ws://[::1]:{}/", address.port())).unwrap();
        ws.send("found").unwrap();
        assert_eq!(ws.receive().unwrap().unwrap(), "found");
        drop(ws);
        handle.stop(ws_tests::PATIENCE);
        serving.join().unwrap().unwrap();
    });
}

#[test]
fn a_connection_that_is_refused_names_the_address() {
    bounded(|| {
        let listener = RawListener::new();
        let (address, url) = (listener.address(), listener.url("/"));
        drop(listener);
        match ws_std::connect(&url) {
            Err(Error::Io(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
                assert!(error.to_string().starts_with(&format!("cannot connect to {address}: ")), "{error}");
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_text_that_is_no_url_says_what_is_wrong_with_it() {
    for (url, expected) in [
        ("", UrlError::Scheme),
        ("localhost:9001", UrlError::Scheme),
        ("ftp://localhost/", UrlError::Scheme),
        ("ws://", UrlError::Host),
        ("ws://localhost:99999/", UrlError::Port),
        ("ws://localhost/#top", UrlError::Fragment),
        ("ws://localhost/\r\nX-Injected: 1", UrlError::ControlCharacter),
    ] {
        match ws_std::connect(url) {
            Err(Error::Url(error)) => assert_eq!(error, expected, "{url:?}"),
            other => panic!("{url:?}: {other:?}"),
        }
    }
    assert!(ws_std::connect("ftp://localhost/").unwrap_err().to_string().contains("ws://"));
}

#[test]
fn headers_that_cannot_be_sent_are_refused_before_anything_is_sent() {
    bounded(|| {
        let listener = RawListener::new();
        for (name, value) in
            [("X-Split", "a\r\nX-Injected: b"), ("No Token", "x"), ("Upgrade", "h2c"), ("", "x")]
        {
            let error = Client::new(&listener.url("/")).header(name, value).connect().unwrap_err();
            assert!(matches!(error, Error::Handshake(HandshakeError::UnsendableHeader)), "{name}: {error}");
        }
        for name in ["", "a b", "a,b"] {
            let error = Client::new(&listener.url("/")).subprotocol(name).connect().unwrap_err();
            assert!(
                matches!(error, Error::Handshake(HandshakeError::UnsendableSubprotocol)),
                "{name}: {error}"
            );
        }
    });
}

#[test]
fn the_local_address_is_the_one_that_was_given() {
    bounded(|| {
        let (route, take) = hand_over();
        let server = Running::start(Server::new().mount("/", route));
        let local: SocketAddr = "127.0.0.2:0".parse().unwrap();
        let ws = Client::new(&server.url("/")).local_address(local).connect().unwrap();
        let peer = take().request.peer_addr().unwrap();
        assert_eq!(peer.ip(), local.ip());
        assert_eq!(Some(peer), ws.local_addr());
    });
}

#[test]
fn user_and_password_in_the_url_reach_the_server_as_authorization() {
    bounded(|| {
        let (route, take) = hand_over();
        let server = Running::start(Server::new().mount("/", route));
        let url = format!("ws://Aladdin:open%20sesame@{}/", server.address());
        let _ws = Client::new(&url).connect().unwrap();
        assert_eq!(take().request.header("Authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
        let _ws = Client::new(&url).header("Authorization", "Bearer 1234").connect().unwrap();
        assert_eq!(take().request.header("Authorization"), Some("Bearer 1234"));
    });
}

#[test]
fn the_request_is_what_the_url_says() {
    bounded(|| {
        let listener = RawListener::new();
        let url = listener.url("/grüße und mehr?q=a b&r=ü");
        let connecting = thread::spawn(move || {
            Client::new(&url).header("X-One", "1").subprotocol("a").subprotocol("b").connect().map(drop)
        });
        let (_raw, head) = listener.open();
        assert!(
            head.starts_with("GET /gr%C3%BC%C3%9Fe%20und%20mehr?q=a%20b&r=%C3%BC HTTP/1.1\r\n"),
            "{head}"
        );
        for (name, value) in [
            ("Host", &*listener.address().to_string()),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "a, b"),
            ("X-One", "1"),
        ] {
            assert_eq!(wire::header(&head, name), Some(value));
        }
        assert_eq!(wire::header(&head, "Origin"), None);
        connecting.join().unwrap().unwrap();
    });
}

#[test]
fn a_refusal_carries_status_headers_and_body() {
    bounded(|| {
        for response in [
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 12\r\n\r\nwho are you?",
            "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\n\r\nwho are you?",
            "HTTP/1.1 401 Nope\r\nWWW-Authenticate: Basic\r\nTransfer-Encoding: chunked\r\n\r\n\
             4\r\nwho \r\n8\r\nare you?\r\n0\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n\
             HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 12\r\n\r\nwho are you?",
        ] {
            match refused_with(response) {
                HandshakeError::Refused(refusal) => {
                    assert_eq!(refusal.status(), 401);
                    assert_eq!(refusal.header_value("WWW-Authenticate"), Some("Basic"));
                    assert_eq!(refusal.body_bytes(), b"who are you?");
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn an_error_tells_a_person_what_the_server_said() {
    bounded(|| {
        let error = Error::from(refused_with("HTTP/1.1 503 Oops\r\nContent-Length: 9\r\n\r\ntoo busy\n"));
        let text = error.to_string();
        assert!(text.contains("503 Service Unavailable") && text.contains("too busy"), "{text}");
        // The line says everything, and a report of the chain would repeat it.
        assert!(error.source().is_none());
        let error = refused_with("HTTP/1.1 403 Oops\r\nContent-Length: 12\r\n\r\n\x1B[2Jclear!!!");
        assert!(!error.to_string().contains('\x1B'), "{error}");
    });
}

#[test]
fn a_redirect_is_not_followed_but_shown() {
    bounded(|| {
        let response = "HTTP/1.1 302 Found\r\nLocation: ws://elsewhere.example/\r\nContent-Length: 0\r\n\r\n";
        match refused_with(response) {
            HandshakeError::Refused(refusal) => {
                assert_eq!(refusal.status(), 302);
                assert_eq!(refusal.header_value("Location"), Some("ws://elsewhere.example/"));
            }
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_server_that_speaks_something_else_is_told_from_one_that_closes() {
    bounded(|| {
        let beginning = "220 mail.example ESMTP".into();
        assert_eq!(refused_with("220 mail.example ESMTP\r\n\r\n"), HandshakeError::NotHttp { beginning });
        assert_eq!(refused_with("\u{15}\u{3}\u{3}"), HandshakeError::TlsRecord);
        assert!(matches!(refused_with(""), HandshakeError::Eof));
        assert!(matches!(refused_with("HTTP/1.1 101 Swi"), HandshakeError::Eof));
    });
}

#[test]
fn a_response_that_breaks_the_rules_is_refused() {
    bounded(|| {
        let right = |key: &str| wire::response(&wire::request("/", &[]).replace(wire::KEY, key));
        // The key is random, so a prepared response is never correct.
        let error = refused_with(&right(wire::KEY));
        assert_eq!(error, HandshakeError::InvalidHeader("Sec-WebSocket-Accept"));
        for (from, to, expected) in [
            ("Upgrade: websocket\r\n", "", HandshakeError::MissingHeader("Upgrade")),
            ("Upgrade: websocket", "Upgrade: h2c", HandshakeError::InvalidHeader("Upgrade")),
            ("Connection: Upgrade", "Connection: close", HandshakeError::InvalidHeader("Connection")),
            ("Sec-WebSocket-Accept", "X-Accept", HandshakeError::MissingHeader("Sec-WebSocket-Accept")),
            ("\r\n\r\n", "\r\nSec-WebSocket-Protocol: x\r\n\r\n", HandshakeError::UnofferedSubprotocol),
            ("\r\n\r\n", "\r\nSec-WebSocket-Extensions: x\r\n\r\n", HandshakeError::UnofferedExtension),
        ] {
            let listener = RawListener::new();
            let url = listener.url("/");
            let answering = thread::spawn(move || {
                let mut raw = listener.accept();
                let head = raw.head();
                raw.write(right(wire::header(&head, "Sec-WebSocket-Key").unwrap()).replace(from, to));
            });
            assert_eq!(refused(&url), expected, "{to:?} for {from:?}");
            answering.join().unwrap();
        }
    });
}

#[test]
fn an_endless_head_or_body_is_not_read_to_its_end() {
    bounded(|| {
        let endless = format!("HTTP/1.1 101 Switching\r\n{}", "X-Padding: x\r\n".repeat(10_000));
        assert!(matches!(
            refused_with(&endless),
            HandshakeError::HeadTooLarge { .. } | HandshakeError::TooManyHeaders { .. }
        ));
        let endless = format!("HTTP/1.1 101 {}", "x".repeat(100_000));
        assert!(matches!(refused_with(&endless), HandshakeError::FirstLineTooLong { .. }));
        match refused_with(&format!("HTTP/1.1 500 Oops\r\n\r\n{}", "x".repeat(100_000))) {
            HandshakeError::Refused(refusal) => assert_eq!(refusal.body_bytes().len(), 4096),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_server_without_tls_is_told_from_one_that_cannot_be_trusted() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let url = server.url("/").replace("ws://", "wss://");
        match ws_std::connect(&url).map(drop) {
            Err(error @ Error::Tls(_)) => assert!(error.to_string().contains("TLS"), "{error}"),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_connection_in_a_log_is_short_and_keeps_its_contents_to_itself() {
    bounded(|| {
        let server = Running::start(Server::new().route("/", echo));
        let mut ws = ws_std::connect(&server.url("/")).unwrap();
        ws.send("x".repeat(10_000)).unwrap();
        ws.receive().unwrap();
        let shown = format!("{ws:?}");
        assert!(shown.len() < 2000, "{} bytes: {}...", shown.len(), &shown[..500]);
    });
}
