//! The error hook of a server, and the counters of errors.

use std::{
    net::SocketAddr,
    sync::{Mutex, mpsc},
};

use ws_std::{Callbacks, ConnectionErrorKind as Kind, Response};
use ws_tests::{
    PATIENCE, Raw,
    certificates::Authority,
    either::{Adapter, Route, Running, Server},
    eventually,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    a_handler_that_fails_or_panics_reaches_the_hook
    a_panic_in_a_page_check_or_callback_reaches_the_hook
    a_refused_request_reaches_the_hook
    a_lost_peer_reaches_the_hook_once
    a_failed_tls_handshake_reaches_the_hook
    normal_ends_reach_no_hook
    a_hook_that_panics_harms_nobody
}

/// The errors that the hook has received.
#[derive(Debug)]
struct Seen {
    kind: Kind,
    peer: Option<SocketAddr>,
    path: Option<String>,
    text: String,
}

/// A server that reports its errors to the test.
struct Reporting {
    server: Running,
    monitor: ws_std::ServerMetrics,
    seen: mpsc::Receiver<Seen>,
}

impl Reporting {
    fn start(server: Server) -> Self {
        let (tell, seen) = mpsc::channel();
        let tell = Mutex::new(tell);
        let monitor = server.monitor();
        let server = server.on_error(move |error| {
            let seen = Seen {
                kind: error.kind,
                peer: error.peer_addr,
                path: error.path.clone(),
                text: error.to_string(),
            };
            let _ = tell.lock().unwrap().send(seen);
        });
        Self { server: server.start(), monitor, seen }
    }

    fn open(&self, path: &str) -> Raw {
        Raw::open(self.server.address(), path)
    }

    /// Waits for the next error, which must be of this kind and from this client.
    fn expect(&self, kind: Kind, raw: SocketAddr, path: Option<&str>, text: &str) {
        let seen = self.seen.recv_timeout(PATIENCE).expect("an error");
        assert_eq!((seen.kind, seen.path.as_deref()), (kind, path), "{seen:?}");
        assert_eq!(seen.peer, Some(raw), "{seen:?}");
        assert!(seen.text.contains(text) && seen.text.starts_with(kind.as_str()), "{seen:?}");
    }

    fn expect_nothing_more(&self) {
        eventually("all connections have ended", || self.server.handle().connections() == 0);
        assert!(self.seen.try_recv().is_err());
    }
}

fn address(raw: &Raw) -> SocketAddr {
    raw.socket().local_addr().unwrap()
}

fn a_handler_that_fails_or_panics_reaches_the_hook(adapter: Adapter) {
    let reporting = Reporting::start(
        Server::new(adapter)
            .mount("/fails", Route::after_one(adapter, || Err("out of order".into())))
            .mount("/panics", Route::after_one(adapter, || panic!("on purpose"))),
    );
    for (path, kind, text) in
        [("/fails", Kind::Handler, "out of order"), ("/panics", Kind::Panic, "on purpose")]
    {
        let mut raw = reporting.open(path);
        raw.send(Frame::text("go"));
        reporting.expect(kind, address(&raw), Some(path), text);
        assert_eq!(raw.frame().code_and_reason(), (1011, "the handler failed"));
        raw.send(Frame::close(1011, ""));
        assert_eq!(raw.next_frame(), None);
    }
    reporting.expect_nothing_more();
    let stats = reporting.monitor.stats();
    assert_eq!((stats.handler_errors, stats.panics, stats.disconnected, stats.refused), (1, 1, 0, 0));
    let text = stats.to_prometheus();
    assert!(text.contains("\nwebsocket_handler_errors_total 1\n"), "{text}");
    assert!(text.contains("\nwebsocket_panics_total 1\n"), "{text}");
}

fn a_panic_in_a_page_check_or_callback_reaches_the_hook(adapter: Adapter) {
    let callbacks = Callbacks::new().on_message(|_, _| panic!("in on_message"));
    let last = Callbacks::new().on_disconnect(|_, _| panic!("in on_disconnect"));
    let reporting = Reporting::start(
        Server::new(adapter)
            .page("/page", |_| panic!("in a page"))
            .mount("/check", Route::echo(adapter).check(|_| panic!("in a check")))
            .mount("/callbacks", Route::callbacks(adapter, callbacks))
            .mount("/last", Route::callbacks(adapter, last)),
    );
    let mut raw = Raw::connect(reporting.server.address());
    raw.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.reply().status, 500);
    reporting.expect(Kind::Panic, address(&raw), Some("/page"), "in a page");
    let mut raw = Raw::connect(reporting.server.address());
    raw.write(wire::request("/check", &[]));
    assert_eq!(raw.reply().status, 500);
    reporting.expect(Kind::Panic, address(&raw), Some("/check"), "in a check");
    let mut raw = reporting.open("/callbacks");
    raw.send(Frame::text("go"));
    assert_eq!(raw.frame().code_and_reason(), (1011, "the handler failed"));
    raw.send(Frame::close(1011, ""));
    reporting.expect(Kind::Panic, address(&raw), Some("/callbacks"), "in on_message");
    let raw = reporting.open("/last");
    raw.send(Frame::close(1000, ""));
    reporting.expect(Kind::Panic, address(&raw), Some("/last"), "in on_disconnect");
    drop(raw);
    reporting.expect_nothing_more();
}

fn a_refused_request_reaches_the_hook(adapter: Adapter) {
    let teapot = |_: &ws_std::Request| Err(Response::new(401));
    let reporting = Reporting::start(Server::new(adapter).mount("/", Route::echo(adapter).check(teapot)));
    let requests = [
        (wire::request("/", &[]), 401, Some("/"), "401 Unauthorized"),
        (wire::request("/nowhere", &[]), 404, Some("/nowhere"), "404 Not Found"),
        ("What?\r\n\r\n".into(), 400, None, "handshake"),
    ];
    for (request, status, path, text) in requests {
        let mut raw = Raw::connect(reporting.server.address());
        raw.write(request);
        assert_eq!(raw.reply().status, status);
        reporting.expect(Kind::Refused, address(&raw), path, text);
    }
    // A missing page does not count as a refused WebSocket.
    let mut raw = Raw::connect(reporting.server.address());
    raw.write("GET /favicon.ico HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.reply().status, 404);
    drop(raw);
    reporting.expect_nothing_more();
    assert_eq!(reporting.monitor.stats().refused, 3);
}

fn a_lost_peer_reaches_the_hook_once(adapter: Adapter) {
    let callbacks = Callbacks::new().on_message(|_, _| ());
    let reporting = Reporting::start(
        Server::new(adapter)
            .mount("/handler", Route::echo(adapter))
            .mount("/callbacks", Route::callbacks(adapter, callbacks)),
    );
    for path in ["/handler", "/callbacks"] {
        let raw = reporting.open(path);
        let peer = address(&raw);
        drop(raw);
        reporting.expect(Kind::Disconnected, peer, Some(path), "1006");
        let raw = reporting.open(path);
        raw.send_unmasked(&Frame::text("hello"));
        reporting.expect(Kind::Protocol, address(&raw), Some(path), "mask");
        let raw = reporting.open(path);
        raw.send(Frame::close(1011, "database down"));
        reporting.expect(Kind::Disconnected, address(&raw), Some(path), "database down");
    }
    reporting.expect_nothing_more();
    let stats = reporting.monitor.stats();
    assert_eq!((stats.disconnected, stats.protocol_errors, stats.handler_errors), (4, 2, 0));
}

fn a_failed_tls_handshake_reaches_the_hook(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter));
    let reporting = Reporting::start(server.tls(Authority::shared().server().serving()));
    let raw = Raw::connect(reporting.server.address());
    raw.write("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    reporting.expect(Kind::Tls, address(&raw), None, "");
    drop(raw);
    reporting.expect_nothing_more();
    assert_eq!(reporting.monitor.stats().tls_errors, 1);
}

fn normal_ends_reach_no_hook(adapter: Adapter) {
    let reporting = Reporting::start(
        Server::new(adapter)
            .mount("/", Route::echo(adapter))
            .mount("/returns", Route::after_one(adapter, || Ok(())))
            .page("/page", |_| Response::new(200).text("fine")),
    );
    for code in [1000, 1001] {
        let mut raw = reporting.open("/");
        raw.send(Frame::close(code, ""));
        assert_eq!(raw.frame().code_and_reason().0, code);
        assert_eq!(raw.next_frame(), None);
    }
    let mut raw = reporting.open("/returns");
    raw.send(Frame::text("go"));
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    raw.send(Frame::close(1000, ""));
    assert_eq!(raw.next_frame(), None);
    let mut raw = Raw::connect(reporting.server.address());
    raw.write("GET /page HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!(raw.reply().status, 200);
    // A port scan connects without sending a request.
    drop(Raw::connect(reporting.server.address()));
    reporting.expect_nothing_more();
}

fn a_hook_that_panics_harms_nobody(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::panics(adapter)).max_connections(4);
    let server = server.on_error(|_| panic!("in the hook")).start();
    for _ in 0..16 {
        let mut raw = Raw::open(server.address(), "/");
        assert_eq!(raw.frame().code_and_reason().0, 1011);
        raw.send(Frame::close(1011, ""));
        assert_eq!(raw.next_frame(), None);
        drop(raw);
        eventually("the place is free", || server.handle().connections() == 0);
    }
    assert!(server.handle().stop(PATIENCE));
}
