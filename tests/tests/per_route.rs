//! Settings of a route: each acts, against a server with the opposite setting.

use std::{
    net::Shutdown,
    time::{Duration, Instant},
};

use ws_std::{
    Accept, CloseCode, Config, Deflate, Delivery, Error, Event, Keepalive, OriginPolicy, Response,
    TimeoutKind, ws_core::Cause,
};
use ws_tests::{
    PATIENCE, Raw,
    either::{Adapter, Handed, Route, Running, Server},
    eventually, takes,
    wire::{self, Frame},
    with_both_adapters,
};

with_both_adapters! {
    the_largest_message_is_that_of_the_route
    the_largest_frame_is_that_of_the_route
    the_number_of_fragments_is_that_of_the_route
    messages_come_in_chunks_if_the_route_says_so
    the_write_buffer_is_that_of_the_route
    the_write_timeout_is_that_of_the_route
    the_stall_timeout_is_that_of_the_route
    keepalive_is_that_of_the_route
    compression_is_that_of_the_route
    the_policy_for_origins_is_that_of_the_route
    the_close_timeout_of_the_route_bounds_the_wait_for_the_close
    the_routes_close_timeout_bounds_the_wait_for_the_end_of_the_stream
    the_close_timeout_of_the_route_bounds_its_refusals
    the_write_timeout_of_the_route_bounds_its_refusals
    the_limits_of_the_opening_handshake_hold_for_all_routes
}

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(50);

/// A server with one setting and a route with another, and a client that is connected to the route.
fn connected(adapter: Adapter, server: fn(&mut Config), route: fn(&mut Config)) -> (Running, Raw, Handed) {
    let (handler, take) = Route::hand_over(adapter);
    let server = Server::new(adapter).mount("/", handler.configure(route)).configure(server).start();
    let raw = Raw::open(server.address(), "/");
    let handed = take();
    (server, raw, handed)
}

/// The code of the Close that the server sends while its handler receives.
fn refused_with(raw: &mut Raw, handed: &mut Handed) -> u16 {
    handed.ws.receive().unwrap_err();
    raw.frame().code_and_reason().0
}

fn the_largest_message_is_that_of_the_route(adapter: Adapter) {
    let (_server, mut raw, mut handed) =
        connected(adapter, |config| config.max_message_size = 1 << 30, |config| config.max_message_size = 3);
    raw.send(Frame::text("four"));
    assert_eq!(refused_with(&mut raw, &mut handed), 1009);
}

fn the_largest_frame_is_that_of_the_route(adapter: Adapter) {
    let (_server, mut raw, mut handed) =
        connected(adapter, |config| config.max_frame_size = 1 << 30, |config| config.max_frame_size = 3);
    raw.send(Frame::text("four"));
    assert_eq!(refused_with(&mut raw, &mut handed), 1009);
}

fn the_number_of_fragments_is_that_of_the_route(adapter: Adapter) {
    let (_server, mut raw, mut handed) =
        connected(adapter, |config| config.max_fragments = 1000, |config| config.max_fragments = 1);
    raw.send(Frame::text("one").unfinished());
    raw.send(Frame::new(0, "two"));
    assert_eq!(refused_with(&mut raw, &mut handed), 1008);
}

fn messages_come_in_chunks_if_the_route_says_so(adapter: Adapter) {
    let (_server, raw, mut handed) = connected(adapter, |_| {}, |config| config.delivery = Delivery::Chunks);
    raw.send(Frame::text("a message"));
    let event = handed.ws.receive_event().unwrap();
    assert!(matches!(event, Some(Event::Chunk(_))), "{event:?}");
}

fn the_write_buffer_is_that_of_the_route(adapter: Adapter) {
    let (_server, _raw, handed) = connected(
        adapter,
        |config| (config.write_buffer_size, config.write_timeout) = (1, None),
        |config| config.write_buffer_size = usize::MAX,
    );
    // The client reads nothing. With the buffer of the server, this would wait for ever.
    for _ in 0..16 {
        handed.ws.feed(vec![7; 1 << 20]).unwrap();
    }
}

fn the_write_timeout_is_that_of_the_route(adapter: Adapter) {
    let (_server, _raw, handed) =
        connected(adapter, |config| config.write_timeout = None, |config| config.write_timeout = Some(SHORT));
    let error = takes(SHORT, || {
        loop {
            if let Err(error) = handed.ws.send(vec![7; 1 << 20]) {
                return error;
            }
        }
    });
    assert!(matches!(error, Error::Timeout(TimeoutKind::Write)), "{error}");
}

fn the_stall_timeout_is_that_of_the_route(adapter: Adapter) {
    let (_server, raw, mut handed) =
        connected(adapter, |config| config.stall_timeout = None, |config| config.stall_timeout = Some(SHORT));
    raw.send(Frame::text("begun").unfinished());
    let error = takes(SHORT, || handed.ws.receive().unwrap_err());
    let Error::Disconnected(close_info) = error else { panic!("{error}") };
    assert_eq!(close_info.cause, Cause::Timeout(TimeoutKind::Stall));
}

fn keepalive_is_that_of_the_route(adapter: Adapter) {
    let pings = |config: &mut Config| {
        config.keepalive = Some(Keepalive { interval: SHORT, timeout: LONG, max_missed: Some(1) });
    };
    let route = Route::echo(adapter).configure(pings);
    let server = Server::new(adapter).mount("/", route).configure(|config| config.keepalive = None).start();
    let mut raw = Raw::open(server.address(), "/");
    takes(SHORT, || assert_eq!(raw.frame().opcode, Frame::PING));
}

fn compression_is_that_of_the_route(adapter: Adapter) {
    let compressed = Route::echo(adapter).configure(|config| config.deflate = Some(Deflate::default()));
    let plain = Route::echo(adapter).configure(|config| config.deflate = None);
    let server = Server::new(adapter).mount("/compressed", compressed).mount("/plain", plain);
    let server = server.mount("/", Route::echo(adapter));
    let server = server.configure(|config| config.deflate = Some(Deflate::default())).start();
    for (path, agreed) in [("/compressed", true), ("/plain", false), ("/", true)] {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request(path, &["Sec-WebSocket-Extensions: permessage-deflate"]));
        assert_eq!(wire::header(&raw.head(), "Sec-WebSocket-Extensions").is_some(), agreed, "{path}");
    }
}

fn the_policy_for_origins_is_that_of_the_route(adapter: Adapter) {
    let one = |origin: &str| OriginPolicy::OneOf(vec![origin.to_owned()]);
    let server = Server::new(adapter).mount("/", Route::echo(adapter).origin(one("https://route.example")));
    let server = server.mount("/server", Route::echo(adapter));
    let server = match server {
        Server::Std(server) => Server::Std(server.origin(one("https://server.example"))),
        Server::Smol(server) => Server::Smol(server.origin(one("https://server.example"))),
    };
    let server = server.start();
    for (path, origin, status) in [
        ("/", "https://route.example", "101"),
        ("/", "https://server.example", "403"),
        ("/server", "https://route.example", "403"),
        ("/server", "https://server.example", "101"),
    ] {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request(path, &[&format!("Origin: {origin}")]));
        assert_eq!(raw.head().get(9..12), Some(status), "{path} {origin}");
    }
}

fn patient(config: &mut Config) {
    config.close_timeout = LONG;
    config.write_timeout = None;
}

fn close_soon(config: &mut Config) {
    config.close_timeout = SHORT;
}

fn the_close_timeout_of_the_route_bounds_the_wait_for_the_close(adapter: Adapter) {
    let (_server, _raw, mut handed) = connected(adapter, patient, close_soon);
    takes(SHORT, || handed.ws.close(CloseCode::NORMAL_CLOSURE, "").unwrap());
    assert_eq!(handed.ws.close_info().cause, Cause::Timeout(TimeoutKind::Close));
}

fn the_routes_close_timeout_bounds_the_wait_for_the_end_of_the_stream(adapter: Adapter) {
    let (server, mut raw, handed) = connected(adapter, patient, close_soon);
    // The handler returns, and the client answers the Close and keeps its side of the stream open.
    drop(handed);
    assert_eq!(raw.frame().code_and_reason().0, 1000);
    raw.send(Frame::close(1000, ""));
    ends_soon(&server);
}

/// The client whose connection it is does nothing.
fn ends_soon(server: &Running) {
    let began = Instant::now();
    eventually("the connection has ended", || server.handle().connections() == 0);
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
}

fn the_close_timeout_of_the_route_bounds_its_refusals(adapter: Adapter) {
    let refuse = |_: &_| Err(Response::new(401).text("unauthorized"));
    let refused = Route::echo(adapter).check(refuse).configure(close_soon);
    let foreign = Route::echo(adapter).configure(close_soon);
    let unsendable = |_: &_| Ok(Accept::new().header("Upgrade", "again"));
    let unsendable = Route::echo(adapter).check(unsendable).configure(close_soon);
    let server = Server::new(adapter).mount("/", refused).mount("/foreign", foreign);
    let server = server.mount("/unsendable", unsendable).configure(patient).start();
    for (path, status) in [("/", "401"), ("/foreign", "403"), ("/unsendable", "500")] {
        let mut raw = Raw::connect(server.address());
        let origin = if path == "/foreign" { "Origin: https://elsewhere.example" } else { "X-None: x" };
        raw.write(wire::request(path, &[origin]));
        assert_eq!(raw.head().get(9..12), Some(status), "{path}");
        ends_soon(&server);
    }
}

fn the_write_timeout_of_the_route_bounds_its_refusals(adapter: Adapter) {
    let body = vec![b'x'; 32 << 20];
    let large = Response::new(401).body(body);
    let refused = Route::echo(adapter)
        .check(move |_| Err(large.clone()))
        .configure(|config| config.write_timeout = Some(SHORT));
    let server = Server::new(adapter).mount("/", refused).configure(patient).start();
    let mut raw = Raw::connect(server.address());
    raw.write(wire::request("/", &[]));
    assert_eq!(raw.head().get(9..12), Some("401"));
    ends_soon(&server);
}

fn the_limits_of_the_opening_handshake_hold_for_all_routes(adapter: Adapter) {
    let server = Server::new(adapter).mount("/", Route::echo(adapter)).configure_handshake(|limits| {
        limits.max_head_size = 1000;
        limits.max_headers = 10;
        limits.open_timeout = Some(SHORT);
    });
    let server = server.start();
    let long = format!("X-Long: {}", "x".repeat(1000));
    let many: Vec<&str> = vec!["X: y"; 11];
    for headers in [&[&*long][..], &many] {
        let mut raw = Raw::connect(server.address());
        raw.write(wire::request("/", headers));
        assert_eq!(raw.head().get(9..12), Some("431"));
        raw.socket().shutdown(Shutdown::Both).unwrap();
    }
    let mut raw = Raw::connect(server.address());
    takes(SHORT, || assert_eq!(raw.head().get(9..12), Some("408")));
}
