//! Clients behind proxies: real ones, hostile ones, and those of the environment.

use std::{
    env,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Command,
    thread,
    time::Duration,
};

use ws_std::{CloseCode, Error, ProxyError};
use ws_tests::{
    ForeignProxy, RawListener, Transport, bounded,
    certificates::Authority,
    either::{Adapter, Client, Pairing, Route, Running, WebSocket},
    takes,
    tls::RawTls,
    wire, with_both_adapters,
};

with_both_adapters! {
    a_message_passes_an_http_proxy
    a_message_passes_an_http_proxy_over_tls
    a_message_passes_a_socks_proxy
    large_messages_and_the_closing_handshake_pass_tls_in_tls
    a_proxy_that_refuses_the_password_is_an_error
    a_proxy_that_cannot_reach_the_server_is_an_error
    a_proxy_that_cannot_be_reached_is_named_in_the_error
    a_proxy_that_ends_the_stream_at_any_byte_is_an_error
    a_proxy_that_violates_its_protocol_is_an_error
    a_proxy_that_never_ends_its_reply_is_given_up
    a_proxy_that_cannot_be_trusted_receives_no_request
    bytes_of_the_server_that_arrive_with_the_reply_are_received
    the_names_of_proxy_and_server_are_resolved_where_the_scheme_says
}

const USER: &str = "Aladdin:open sesame";
const USER_IN_URL: &str = "Aladdin:open%20sesame";

/// Returns a client of this server through a proxy, by the name `localhost`.
fn client(adapter: Adapter, server: &Running, transport: Transport, proxy: &str) -> Client {
    let scheme = if transport.is_tls() { "wss" } else { "ws" };
    let url = format!("{scheme}://localhost:{}/", server.address().port());
    Client::new(adapter, &url)
        .proxy(proxy)
        .tls(Authority::shared().trusted())
        .proxy_tls(Authority::shared().trusted())
}

fn expect_echo(ws: &mut WebSocket) {
    ws.send("through the proxy").unwrap();
    assert_eq!(ws.receive().unwrap().unwrap(), "through the proxy");
}

/// Checks echoes through this kind of proxy, with and without authentication, for `ws://` and `wss://`.
fn expect_echoes(adapter: Adapter, kind: &str, schemes: &[&str], tls: bool) {
    let identity = tls.then(|| Authority::shared().server());
    for user in [None, Some(USER)] {
        let proxy = ForeignProxy::start(kind, user, identity.as_ref());
        let user = user.map_or(String::new(), |_| format!("{USER_IN_URL}@"));
        for transport in Transport::BOTH {
            let server = Pairing::of(adapter, transport).serve(Route::echo(adapter)).start();
            for scheme in schemes {
                let url = format!("{scheme}://{user}{}", proxy.address());
                let mut ws = client(adapter, &server, transport, &url).connect().unwrap();
                expect_echo(&mut ws);
            }
        }
    }
}

fn a_message_passes_an_http_proxy(adapter: Adapter) {
    expect_echoes(adapter, "http", &["http"], false);
    expect_echoes(adapter, "pproxy-http", &["http"], false);
}

fn a_message_passes_an_http_proxy_over_tls(adapter: Adapter) {
    expect_echoes(adapter, "http", &["https"], true);
}

fn a_message_passes_a_socks_proxy(adapter: Adapter) {
    expect_echoes(adapter, "pproxy-socks5", &["socks5", "socks5h"], false);
}

/// A proxy in this process, with TLS, that forwards each connection to the server.
fn forwarding_tls(server: &Running, clients: usize) -> (String, thread::JoinHandle<()>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let server = server.address();
    let forwarding = thread::spawn(move || {
        for _ in 0..clients {
            let mut client = RawTls::accept_tls(&listener, &Authority::shared().server());
            client.head();
            client.write("HTTP/1.1 200 OK\r\n\r\n");
            forward(client, TcpStream::connect(server).unwrap());
        }
    });
    (url, forwarding)
}

/// Forwards bytes in both directions until the client has ended its stream.
fn forward(mut client: RawTls, mut server: TcpStream) {
    const PAUSE: Duration = Duration::from_millis(1);
    client.socket().set_read_timeout(Some(PAUSE)).unwrap();
    server.set_read_timeout(Some(PAUSE)).unwrap();
    let is_pause = |error: &std::io::Error| {
        matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
    };
    let mut buffer = vec![0; 64 << 10];
    let mut server_ended = false;
    loop {
        match client.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => server.write_all(&buffer[..read]).unwrap(),
            Err(error) if is_pause(&error) => {}
            Err(_) => break,
        }
        if server_ended {
            continue;
        }
        match server.read(&mut buffer) {
            Ok(0) => {
                server_ended = true;
                // The client may have closed already.
                let _ = client.socket().shutdown(Shutdown::Write);
            }
            Ok(read) => client.write(&buffer[..read]),
            Err(error) if is_pause(&error) => {}
            Err(_) => break,
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

fn large_messages_and_the_closing_handshake_pass_tls_in_tls(adapter: Adapter) {
    let server = Pairing::of(adapter, Transport::Tls).serve(Route::echo(adapter)).start();
    let (proxy, forwarding) = forwarding_tls(&server, 1);
    let mut ws = client(adapter, &server, Transport::Tls, &proxy).connect().unwrap();
    for len in [0, 1, 1000, 16 << 10, 300_000] {
        let message: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        ws.send(&message[..]).unwrap();
        assert_eq!(ws.receive().unwrap().unwrap().as_bytes(), message);
    }
    takes(Duration::ZERO, || ws.close(CloseCode::NORMAL_CLOSURE, "bye").unwrap());
    assert!(ws.close_info().was_clean);
    drop(ws);
    forwarding.join().unwrap();
}

fn a_proxy_that_refuses_the_password_is_an_error(adapter: Adapter) {
    let server = Pairing::of(adapter, Transport::Plain).serve(Route::echo(adapter)).start();
    let proxy = ForeignProxy::start("http", Some(USER), None);
    for user in ["", "Aladdin:wrong@"] {
        let url = format!("http://{user}{}", proxy.address());
        match client(adapter, &server, Transport::Plain, &url).connect() {
            Err(Error::Proxy(ProxyError::Refused(response))) => assert_eq!(response.status(), 407),
            result => panic!("{result:?}"),
        }
    }
}

fn a_proxy_that_cannot_reach_the_server_is_an_error(adapter: Adapter) {
    let refusing = RawListener::new().address();
    for (reply, url) in [(&b"HTTP/1.1 502 Bad Gateway\r\n\r\n"[..], "http"), (&[5, 0, 5, 5][..], "socks5h")] {
        let error = of_proxy(adapter, url, &format!("ws://{refusing}/"), reply);
        assert!(matches!(error, Error::Proxy(_)) && error.is_transient(), "{error}");
    }
}

fn a_proxy_that_cannot_be_reached_is_named_in_the_error(adapter: Adapter) {
    let refusing = RawListener::new().address();
    let client = |proxy: &str| Client::new(adapter, "ws://server.test/").proxy(proxy);
    let error = client(&format!("http://{refusing}")).connect().unwrap_err();
    assert!(matches!(error, Error::Io(_)), "{error}");
    assert!(error.to_string().starts_with(&format!("cannot connect to the proxy {refusing}: ")), "{error}");
    let client = client("socks5h://proxy.test").resolver(|_, _| Err(std::io::Error::other("no idea")));
    let error = client.connect().unwrap_err();
    assert_eq!(error.to_string(), "cannot resolve the host \"proxy.test\" of the proxy: no idea");
    let error = Client::new(adapter, "ws://server.test/").proxy("ftp://proxy.test").connect().unwrap_err();
    assert!(matches!(error, Error::Proxy(ProxyError::InvalidUrl(_))), "{error}");
}

/// Returns the error of a client if its proxy sends these bytes and ends its stream.
fn of_proxy(adapter: Adapter, scheme: &str, url: &str, reply: &[u8]) -> Error {
    let listener = RawListener::new();
    let client = Client::new(adapter, url).proxy(&format!("{scheme}://{}", listener.address()));
    let reply = reply.to_vec();
    let serving = thread::spawn(move || {
        let mut raw = listener.accept();
        raw.write(&reply);
        let _ = raw.socket().shutdown(Shutdown::Write);
        // The client may reset the stream, because it has more to send.
        let _ = raw.rest();
    });
    let error = client.connect().unwrap_err();
    serving.join().unwrap();
    error
}

const URL: &str = "ws://server.test/";

fn a_proxy_that_ends_the_stream_at_any_byte_is_an_error(adapter: Adapter) {
    for (scheme, reply) in [
        ("http", &b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[..]),
        ("socks5h", &[5, 0, 5, 0, 0, 3, 1, b'x', 0, 80][..]),
    ] {
        for cut in 0..reply.len() {
            let error = of_proxy(adapter, scheme, URL, &reply[..cut]);
            assert!(matches!(error, Error::Proxy(ProxyError::Eof)), "{scheme}, {cut}: {error:?}");
            assert!(error.is_transient());
        }
        // Now it is the end of the server's stream.
        let error = of_proxy(adapter, scheme, URL, reply);
        assert!(matches!(error, Error::Handshake(ws_std::HandshakeError::Eof)), "{scheme}: {error:?}");
    }
}

fn a_proxy_that_violates_its_protocol_is_an_error(adapter: Adapter) {
    let endless_head = [&b"HTTP/1.1 200 OK\r\n"[..], &b"X: y\r\n".repeat(100_000)].concat();
    let endless_line = [&b"HTTP/1.1 200 "[..], &b"x".repeat(1 << 20)].concat();
    for (scheme, reply, expected) in [
        ("http", &endless_head[..], "Head(TooManyHeaders"),
        ("http", &endless_line, "Head(FirstLineTooLong"),
        ("http", b"220 mail.example ESMTP\r\n", "Head(NotHttp"),
        ("http", &[5, 0xFF, b'\n'], "Head(NotHttp"),
        ("http", b"HTTP/1.1 200 OK\nno\n\n", "Head(MalformedHead"),
        ("socks5h", b"HTTP/1.1 400 Bad Request\r\n\r\n", "NotSocks"),
        ("socks5h", &[4, 90], "NotSocks"),
        ("socks5h", &[5, 0xFF], "CredentialsMissing"),
        ("socks5h", &[5, 0, 5, 0, 0, 9], "MalformedReply"),
        ("socks5h", &[5, 0, 5, 2], "SocksRefused(2)"),
    ] {
        match of_proxy(adapter, scheme, URL, reply) {
            Error::Proxy(error) => {
                assert!(format!("{error:?}").starts_with(expected), "{expected}: {error:?}");
            }
            error => panic!("{expected}: {error:?}"),
        }
    }
}

fn a_proxy_that_never_ends_its_reply_is_given_up(adapter: Adapter) {
    const SHORT: Duration = Duration::from_millis(150);
    for (scheme, byte) in [("http", b"H"), ("socks5h", &[5])] {
        let listener = RawListener::new();
        let client = Client::new(adapter, URL).proxy(&format!("{scheme}://{}", listener.address()));
        let client = client.configure_connect(|config| config.proxy_timeout = Some(SHORT));
        let serving = thread::spawn(move || {
            let raw = listener.accept();
            raw.write(byte);
            raw
        });
        let error = takes(SHORT, || client.connect().unwrap_err());
        assert!(matches!(error, Error::Timeout(ws_std::TimeoutKind::Proxy)), "{error}");
        drop(serving.join().unwrap());
    }
}

fn a_proxy_that_cannot_be_trusted_receives_no_request(adapter: Adapter) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = format!("https://user:secret@{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut raw = RawTls::accept_tls(&listener, &Authority::new().server());
        let mut received = Vec::new();
        let _ = raw.read_to_end(&mut received);
        received
    });
    let client = Client::new(adapter, "ws://server.test/").proxy(&proxy);
    // The trust in the server's authority does not count for the proxy.
    let client = client.tls(Authority::shared().trusted()).proxy_tls(Authority::shared().trusted());
    let error = client.connect().unwrap_err();
    assert!(matches!(error, Error::ProxyTls(_)), "{error:?}");
    assert!(error.to_string().starts_with("TLS to the proxy failed: "), "{error}");
    assert!(serving.join().unwrap().is_empty());
}

fn bytes_of_the_server_that_arrive_with_the_reply_are_received(adapter: Adapter) {
    let listener = RawListener::new();
    let client = Client::new(adapter, URL).proxy(&format!("http://{}", listener.address()));
    let connecting = thread::spawn(move || client.connect().unwrap_err());
    let mut raw = listener.accept();
    let head = raw.head();
    assert!(head.starts_with("CONNECT server.test:80 HTTP/1.1\r\nHost: server.test:80\r\n"), "{head}");
    raw.write("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n");
    match connecting.join().unwrap() {
        Error::Handshake(ws_std::HandshakeError::Refused(response)) => assert_eq!(response.status(), 503),
        error => panic!("{error:?}"),
    }
}

fn the_names_of_proxy_and_server_are_resolved_where_the_scheme_says(adapter: Adapter) {
    for (scheme, is_resolved_here) in [("socks5", true), ("socks5h", false)] {
        let listener = RawListener::new();
        let proxy = listener.address();
        let client = Client::new(adapter, URL).proxy(&format!("{scheme}://proxy.test:{}", proxy.port()));
        let client = client.resolver(move |host, port| {
            assert!(host == "proxy.test" || (host == "server.test" && is_resolved_here), "{host}");
            Ok(vec![if host == "proxy.test" { proxy } else { ([192, 0, 2, 7], port).into() }])
        });
        let connecting = thread::spawn(move || client.connect().map(drop));
        let mut raw = listener.accept();
        assert_eq!(raw.read_exact(3), [5, 1, 0]);
        raw.write([5, 0]);
        if is_resolved_here {
            assert_eq!(raw.read_exact(10), [5, 1, 0, 1, 192, 0, 2, 7, 0, 80]);
        } else {
            assert_eq!(raw.read_exact(18), [&[5, 1, 0, 3, 11], &b"server.test"[..], &[0, 80]].concat());
        }
        raw.write([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let head = raw.head();
        assert_eq!(wire::header(&head, "Host"), Some("server.test"));
        raw.write(wire::response(&head));
        connecting.join().unwrap().unwrap();
    }
}

/// The variable that makes the test below the client of another process.
const CHILD: &str = "WS_TESTS_CLIENT_OF";

#[test]
fn the_environment_names_the_proxy_on_request_only() {
    if let Ok(url) = env::var(CHILD) {
        for adapter in [Adapter::Std, Adapter::Smol] {
            Client::new(adapter, &url).proxy_from_environment().connect().map(drop).unwrap();
            let never = |_: &str, _| Err(std::io::Error::other("no proxy"));
            let error = Client::new(adapter, &url).resolver(never).connect().unwrap_err().to_string();
            assert!(error.contains("server.test"), "{error}");
        }
        return;
    }
    bounded(|| {
        let listener = RawListener::new();
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "the_environment_names_the_proxy_on_request_only"]);
        command.env(CHILD, "ws://server.test:81/").env("http_proxy", listener.address().to_string());
        command.env("HTTP_PROXY", "http://127.0.0.1:1").env("no_proxy", "example.com").env_remove("ws_proxy");
        let child = thread::spawn(move || command.output().unwrap());
        for _ in 0..2 {
            let mut raw = listener.accept();
            assert!(raw.head().starts_with("CONNECT server.test:81 "));
            raw.write("HTTP/1.0 200 Connection established\r\n\r\n");
            let head = raw.head();
            raw.write(wire::response(&head));
        }
        let output = child.join().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}
